//! The other members of the consumer group, found by describing it: each carries its address in its client id.

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long the broker may take to describe the group.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a peer may take to take a call.
const CALL: Duration = Duration::from_millis(300);

const PREFIX: &str = "lakeward@";

/// Another member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Where it answers HTTP; `None` where it does not.
    pub(super) address: Option<String>,
}

/// The client id of an instance that answers at `address`; its last part tells it from one that stood there before.
pub(super) fn client_id(address: &str) -> String {
    format!("{PREFIX}{address}#{}", uuid::Uuid::new_v4().simple())
}

/// The members of a group but for us; `None` when the broker does not say. Whoever stood at our address is gone, since we stand there now.
pub(super) fn others<C: ConsumerContext>(consumer: &BaseConsumer<C>, group: &str, own: &str) -> Option<Vec<Peer>> {
    let groups = consumer.fetch_group_list(Some(group), ANSWER).ok()?;
    let Some(group) = groups.groups().iter().find(|found| found.name() == group) else { return Some(Vec::new()) };
    let ours = address(own);
    let is_us = |client_id: &str| client_id == own || (ours.is_some() && address(client_id) == ours);
    let others = group.members().iter().filter(|member| !is_us(member.client_id()));
    Some(others.map(|member| Peer { address: address(member.client_id()) }).collect())
}

fn address(client_id: &str) -> Option<String> {
    let (address, _) = client_id.strip_prefix(PREFIX)?.rsplit_once('#')?;
    (!address.is_empty()).then(|| address.to_owned())
}

impl Peer {
    /// Whether something takes calls at its address. One that cannot be called counts as alive: nothing is known of it.
    pub(super) fn is_alive(&self) -> bool {
        let Some(address) = &self.address else { return true };
        let Ok(mut found) = address.to_socket_addrs() else { return true };
        found.any(|address| match TcpStream::connect_timeout(&address, CALL) {
            Ok(_) => true,
            Err(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_carries_the_address() {
        assert_eq!(address(&client_id("10.0.0.7:8080")).as_deref(), Some("10.0.0.7:8080"));
        assert_eq!(address(&client_id("")), None);
        assert_eq!(address("rdkafka"), None);
    }

    #[test]
    fn who_takes_calls_is_alive() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Peer { address: Some(listener.local_addr().unwrap().to_string()) };
        assert!(peer.is_alive());
        drop(listener);
        assert!(!peer.is_alive());
        assert!(Peer { address: None }.is_alive(), "nothing is known of it");
    }
}

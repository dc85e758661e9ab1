//! What the proxy does to a store that only counts.

use super::*;
use std::io::{Read, Write};

/// A store that answers every request with how many it has had; a conditional PUT that is not its first with 412.
fn store() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (had, client) in listener.incoming().enumerate() {
            let mut client = client.unwrap();
            let request = Request::read(&mut client).unwrap().unwrap();
            let exists = had > 0 && request.is_conditional_put();
            let status = if exists { "412 Precondition Failed" } else { "200 OK" };
            client
                .write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\nrequest {}", had + 1).as_bytes())
                .unwrap();
        }
    });
    address
}

fn ask(proxy: &StoreProxy, line: &str, headers: &str) -> String {
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: store\r\n{headers}content-length: 4\r\n\r\nbody");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn check(mischief: Mischief, line: &str, headers: &str, answer: &str, then: &str) {
    let proxy = StoreProxy::start(store(), 1).unwrap();
    proxy.set(mischief);
    let found = ask(&proxy, line, headers);
    assert!(if answer.is_empty() { found.is_empty() } else { found.contains(answer) }, "{found}");
    proxy.set(Mischief::default());
    let after = ask(&proxy, "GET /a", "");
    assert!(after.ends_with(then), "{after}");
}

#[test]
fn each_mischief_does_what_it_says() {
    let none = Mischief::default();
    check(none, "PUT /a", "", "request 1", "request 2");
    check(Mischief { refuse: 1000, ..none }, "PUT /a", "", "503 Slow Down", "request 1");
    check(Mischief { deny: 1000, ..none }, "PUT /a", "", "500 Internal", "request 2");
    check(Mischief { deny: 1000, ..none }, "GET /a", "", "request 1", "request 2");
    check(Mischief { cut: 1000, ..none }, "PUT /a", "", "", "request 2");
    check(Mischief { repeat: 1000, ..none }, "PUT /a", "If-None-Match: *\r\n", "412", "request 3");
    check(Mischief { repeat: 1000, ..none }, "PUT /a", "", "request 1", "request 2");
    check(Mischief { hang: 1000, ..none }, "PUT /a", "", "request 1", "request 2");
    check(Mischief { slow: 1000, ..none }, "PUT /a", "", "request 1", "request 2");
}

#[test]
fn what_came_by_is_counted() {
    let proxy = StoreProxy::start(store(), 1).unwrap();
    ask(&proxy, "POST /a?uploads", "");
    proxy.set(Mischief { refuse: 1000, ..Mischief::default() });
    ask(&proxy, "GET /a", "");
    assert_eq!(proxy.seen(), Seen { requests: 2, mischief: 1, multipart: 1, longest: 4 });
}

//! The publisher against the embedded broker.

use super::*;
use crate::cli::demo::Broker;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

const PARTITIONS: i32 = 2;

fn publisher(broker: &Broker, rate: u32, max_lag: i64) -> Publisher {
    let clock = Clock::manual(1_767_225_600_000);
    Publisher { bootstrap_servers: broker.bootstrap_servers(), topic: "orders".to_owned(), rate, max_lag, clock }
}

fn consumer(broker: &Broker) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("group.id", "test")
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset("orders", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    consumer
}

/// The next `count` records, as keys and values.
fn read(consumer: &BaseConsumer, count: u64) -> Vec<Event> {
    let deadline = clock::instant() + Duration::from_secs(30);
    let mut events = Vec::new();
    while (events.len() as u64) < count {
        assert!(clock::instant() < deadline, "{} of {count} records came in 30 s", events.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            events.push(Event { key: message.key().map(<[u8]>::to_vec), value: message.payload().map(<[u8]>::to_vec) });
        }
    }
    events
}

/// A lag that is always `answer`, and a flag that is set at the 101st look at it: about a second in, without a clock in the test.
fn after_looks(answer: Option<i64>) -> (Lag, Arc<AtomicBool>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, looks) = (Arc::clone(&stop), AtomicI64::new(0));
    let lag = move || {
        flag.store(looks.fetch_add(1, Ordering::Relaxed) >= 100, Ordering::Relaxed);
        answer
    };
    (Box::new(lag), stop)
}

#[test]
fn what_is_published_is_what_a_consumer_reads() {
    let broker = Broker::start(&[("orders", PARTITIONS)]).unwrap();
    let publisher = publisher(&broker, 5_000, 100_000);
    let mut generator = Generator::new(1, 0);
    let (lag, stop) = after_looks(Some(0));
    let published = publisher.run(&mut generator, &lag, &stop).unwrap();
    assert!(published.counts.sent > 1_000, "{published:?}");

    let mut read = read(&consumer(&broker), published.counts.sent);
    let mut again = Generator::new(1, 0);
    let mut made: Vec<Event> = (0..published.counts.sent).map(|_| again.next(1_767_225_600_000)).collect();
    // Partitions are read in any order: compare as sets with repetition.
    let order = |event: &Event| (event.key.clone(), event.value.clone());
    read.sort_by_key(order);
    made.sort_by_key(order);
    assert_eq!(read, made);
}

#[test]
fn the_publisher_waits_for_a_reader_that_is_behind() {
    let broker = Broker::start(&[("orders", PARTITIONS)]).unwrap();
    let publisher = publisher(&broker, 10_000, 500);
    // The reader never tells how far it is.
    let (lag, stop) = after_looks(None);
    let published = publisher.run(&mut Generator::new(1, 0), &lag, &stop).unwrap();
    // One step at this rate, and what a slow machine may catch up in one, is 1,000 orders.
    assert!((501..=1_501).contains(&published.counts.sent), "{published:?}");
    assert!(published.waited > Duration::ZERO);
}

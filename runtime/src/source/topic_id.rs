//! The id that a broker gave a topic when it was made: under another id the same name is another topic, whose offsets count anew.
#![expect(unsafe_code, reason = "librdkafka describes topics in its C interface only")]

use super::Error;
use super::kafka::Quiet;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys::{
    RDKafkaErrorCode, RDKafkaEvent, rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new,
    rd_kafka_AdminOptions_set_broker, rd_kafka_AdminOptions_set_request_timeout, rd_kafka_DescribeTopics,
    rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy, rd_kafka_TopicCollection_of_topic_names,
    rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_name, rd_kafka_TopicDescription_t,
    rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_base64str, rd_kafka_Uuid_least_significant_bits,
    rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t, rd_kafka_error_code,
    rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_queue_destroy,
    rd_kafka_queue_new, rd_kafka_queue_poll,
};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;
use std::time::Duration;

/// What librdkafka gets to say that time is up, before nobody listens to it any more.
const SLACK_MS: i32 = 500;

/// Asks for the ids of topics, over the connections of a client that is there anyway.
#[derive(Clone)]
pub struct TopicIds {
    pub(super) consumer: Arc<BaseConsumer<Quiet>>,
    pub(super) brokers: String,
}

impl std::fmt::Debug for TopicIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicIds").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl TopicIds {
    /// The ids by topic, written as Kafka's own tools write them. A topic that does not exist is not among them, nor are those of a broker
    /// that gives no ids. It waits for up to twice `limit`, so it blocks its thread.
    ///
    /// # Errors
    /// When no broker answers in time.
    pub fn ask(&self, topics: &[&str], limit: Duration) -> Result<BTreeMap<String, String>, Error> {
        let unreachable = |reason: String| Error::Unreachable { brokers: self.brokers.clone(), reason };
        let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
        let Some(first) = topics.first() else { return Ok(BTreeMap::new()) };
        // Whoever answers this is there. Left to itself librdkafka would ask the controller, which need not be within reach.
        let metadata = self.consumer.fetch_metadata(Some(first), limit).map_err(|e| unreachable(e.to_string()))?;
        let known = metadata.brokers().iter().map(|broker| broker.id());
        let answered = known.clone().find(|id| *id == metadata.orig_broker_id());
        let Some(broker) = answered.or(known.min()) else { return Ok(BTreeMap::new()) };
        match self.describe(&names, broker, limit) {
            Ok(ids) => Ok(ids),
            Err(RDKafkaErrorCode::UnsupportedFeature) => Ok(BTreeMap::new()),
            Err(code) => Err(unreachable(code.to_string())),
        }
    }

    fn describe(
        &self,
        names: &[CString],
        broker: i32,
        limit: Duration,
    ) -> Result<BTreeMap<String, String>, RDKafkaErrorCode> {
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX - SLACK_MS);
        let client = self.consumer.client().native_ptr();
        let mut refusal: [c_char; 256] = [0; 256];
        // SAFETY: the client is alive as long as `self.consumer`; librdkafka copies the names and the options before it returns. What is
        // made here is destroyed here, the event after everything that it holds was copied.
        unsafe {
            let wanted = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let options = rd_kafka_AdminOptions_new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
            rd_kafka_AdminOptions_set_request_timeout(options, limit_ms, refusal.as_mut_ptr(), refusal.len());
            rd_kafka_AdminOptions_set_broker(options, broker, refusal.as_mut_ptr(), refusal.len());
            let queue = rd_kafka_queue_new(client);
            rd_kafka_DescribeTopics(client, wanted, options, queue);
            rd_kafka_AdminOptions_destroy(options);
            rd_kafka_TopicCollection_destroy(wanted);
            let event = rd_kafka_queue_poll(queue, limit_ms + SLACK_MS);
            let ids = if event.is_null() { Err(RDKafkaErrorCode::OperationTimedOut) } else { read(event) };
            if !event.is_null() {
                rd_kafka_event_destroy(event);
            }
            rd_kafka_queue_destroy(queue);
            ids
        }
    }
}

/// # Safety
/// `event` is the answer to a call of `rd_kafka_DescribeTopics`.
unsafe fn read(event: *mut RDKafkaEvent) -> Result<BTreeMap<String, String>, RDKafkaErrorCode> {
    // SAFETY: as the caller promises; the descriptions belong to the event and are as many as librdkafka says.
    unsafe {
        let failed = RDKafkaErrorCode::from(rd_kafka_event_error(event));
        if failed != RDKafkaErrorCode::NoError {
            return Err(failed);
        }
        let answer = rd_kafka_event_DescribeTopics_result(event);
        if answer.is_null() {
            return Ok(BTreeMap::new());
        }
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(answer, &raw mut count);
        let described = if topics.is_null() { &[] } else { std::slice::from_raw_parts(topics, count) };
        Ok(described.iter().filter_map(|topic| id(*topic)).collect())
    }
}

/// A topic's name and id; `None` where there is no such topic, or no id.
///
/// # Safety
/// `topic` is a description in an event that is alive.
unsafe fn id(topic: *const rd_kafka_TopicDescription_t) -> Option<(String, String)> {
    // SAFETY: as the caller promises; name, error and id belong to the description.
    unsafe {
        let error = rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && RDKafkaErrorCode::from(rd_kafka_error_code(error)) != RDKafkaErrorCode::NoError {
            return None;
        }
        let id = rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() || (rd_kafka_Uuid_most_significant_bits(id), rd_kafka_Uuid_least_significant_bits(id)) == (0, 0)
        {
            return None;
        }
        let (name, id) = (rd_kafka_TopicDescription_name(topic), rd_kafka_Uuid_base64str(id));
        if name.is_null() || id.is_null() {
            return None;
        }
        let text = |pointer: *const c_char| CStr::from_ptr(pointer).to_string_lossy().into_owned();
        // Kafka writes its ids in the alphabet for URLs.
        Some((text(name), text(id).replace('+', "-").replace('/', "_")))
    }
}

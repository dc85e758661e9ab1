//! The one queue on which librdkafka delivers all assigned partitions, read in batches.
//!
//! rdkafka wraps no batch call; polling message by message costs twice the CPU. Batch-consuming the *consumer's* queue would
//! force an unassign, hence a private queue to which each partition's queue is forwarded.
#![expect(unsafe_code, reason = "librdkafka's batch call is only in the C interface")]

use crate::record::Headers;
use rdkafka_sys::{
    RDKafka, RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr, RDKafkaTopic, rd_kafka_consume_batch_queue,
    rd_kafka_get_watermark_offsets, rd_kafka_header_get_all, rd_kafka_message_destroy, rd_kafka_message_headers,
    rd_kafka_message_timestamp, rd_kafka_queue_destroy, rd_kafka_queue_forward, rd_kafka_queue_get_partition,
    rd_kafka_queue_new, rd_kafka_timestamp_type_t,
};
use std::ffi::{CStr, CString};

/// Messages of one batch call.
const BATCH: usize = 8_192;

/// A private queue. It must be dropped before its consumer: with a handle left, destroying the consumer waits for ever.
pub(super) struct Queue {
    client: *mut RDKafka,
    queue: *mut RDKafkaQueue,
    partitions: Vec<*mut RDKafkaQueue>,
    messages: Vec<*mut RDKafkaMessage>,
}

// The handles are used by one thread at a time, and librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}

/// A message as librdkafka holds it; valid during the callback only.
pub(super) struct Message<'a> {
    pub(super) topic: *const RDKafkaTopic,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) error: RDKafkaRespErr,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pointer: *mut RDKafkaMessage,
}

impl Message<'_> {
    /// Packs the message's headers behind what is in `packed`.
    pub(super) fn pack_headers(&self, packed: &mut Vec<u8>) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is valid during the callback, and so are its headers, which belong to it; names are C strings.
        unsafe {
            let error = rd_kafka_message_headers(self.pointer, &raw mut headers);
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
                let error = rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
                if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                Headers::pack(packed, CStr::from_ptr(name).to_bytes(), slice(value.cast(), size));
            }
        }
    }
}

impl Queue {
    /// A queue that gets no messages yet.
    ///
    /// # Safety
    /// `client` must outlive the queue.
    pub(super) unsafe fn new(client: *mut RDKafka) -> Self {
        // SAFETY: the caller keeps the client alive; the queue handle is owned here and destroyed on drop.
        let queue = unsafe { rd_kafka_queue_new(client) };
        Self { client, queue, partitions: Vec::new(), messages: vec![std::ptr::null_mut(); BATCH] }
    }

    /// Has the messages of a partition delivered here. It must not be assigned yet: an assignment that ends takes its partitions' queues
    /// back, whoever they were forwarded to meanwhile.
    pub(super) fn forward(&mut self, topic: &CStr, partition: i32) {
        // SAFETY: the client is alive; the partition's handle is owned here and destroyed on drop.
        unsafe {
            let source = rd_kafka_queue_get_partition(self.client, topic.as_ptr(), partition);
            rd_kafka_queue_forward(source, self.queue);
            self.partitions.push(source);
        }
    }

    /// Gives each waiting message to `take`, waiting up to `wait_ms` for the first; returns how many there were.
    pub(super) fn read(&mut self, wait_ms: i32, mut take: impl FnMut(Message<'_>)) -> usize {
        // SAFETY: the array has room for the announced number of pointers; those filled in are valid until destroyed below.
        let count = unsafe {
            rd_kafka_consume_batch_queue(self.queue, wait_ms, self.messages.as_mut_ptr(), self.messages.len())
        };
        let count = usize::try_from(count).unwrap_or(0);
        for pointer in &self.messages[..count] {
            // SAFETY: librdkafka gave the message, whose key and payload stay in place until it is destroyed.
            unsafe {
                let message = &**pointer;
                let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
                take(Message {
                    topic: message.rkt,
                    partition: message.partition,
                    offset: message.offset,
                    error: message.err,
                    timestamp_ms: rd_kafka_message_timestamp(*pointer, &raw mut kind),
                    key: slice(message.key.cast(), message.key_len),
                    value: slice(message.payload.cast(), message.len),
                    pointer: *pointer,
                });
                rd_kafka_message_destroy(*pointer);
            }
        }
        count
    }

    /// The log-end offset that the broker told with the last fetch; asks nobody.
    pub(super) fn log_end(&self, topic: &CString, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is alive and the out-parameters are valid.
        let error = unsafe {
            rd_kafka_get_watermark_offsets(self.client, topic.as_ptr(), partition, &raw mut low, &raw mut high)
        };
        (error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

/// # Safety
/// `pointer` is null, or `len` bytes are readable there for `'a`.
unsafe fn slice<'a>(pointer: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer, len) })
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the handles are owned here and used nowhere else.
        unsafe {
            for partition in self.partitions.drain(..) {
                rd_kafka_queue_destroy(partition);
            }
            rd_kafka_queue_destroy(self.queue);
        }
    }
}

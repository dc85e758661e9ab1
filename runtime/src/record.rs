//! Records as read, and what became of them: the words that every stage shares.

use std::sync::Arc;

/// Bytes behind the last payload of a chunk that may be read (not written) by wide loads.
pub const PADDING: usize = 64;

/// Up to 8,192 consecutive records of one topic-partition, in one arena.
///
/// Offsets increase but need not be contiguous (compaction, aborted transactions).
#[derive(Debug)]
pub struct Chunk {
    topic: Arc<str>,
    partition: i32,
    records: Vec<Span>,
    arena: Vec<u8>,
    next_offset: i64,
    /// [`i64::MAX`] where no record has a timestamp.
    oldest_ms: i64,
}

/// Where a record stands in the arena.
#[derive(Debug, Clone, Copy)]
struct Span {
    offset: i64,
    timestamp_ms: i64,
    start: u32,
    key_len: u32,
    value_len: u32,
    headers_len: u32,
    has_key: bool,
    has_value: bool,
}

/// A record as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The record's offset in its partition.
    pub offset: i64,
    /// The record's Kafka timestamp, in milliseconds since 1970-01-01T00:00:00Z; -1 without one.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

impl Chunk {
    /// An empty chunk that starts at `offset`.
    #[must_use]
    pub fn new(topic: Arc<str>, partition: i32, offset: i64) -> Self {
        Self { topic, partition, records: Vec::new(), arena: Vec::new(), next_offset: offset, oldest_ms: i64::MAX }
    }

    /// Adds a record; the chunk's position moves behind it.
    ///
    /// # Panics
    /// When the arena would pass 4 GiB: the source closes a chunk long before.
    pub fn push(&mut self, record: Record<'_>) {
        self.push_with(record, Headers::default());
    }

    /// The same with the record's headers.
    ///
    /// # Panics
    /// As [`Self::push`].
    pub fn push_with(&mut self, record: Record<'_>, headers: Headers<'_>) {
        let start = u32::try_from(self.arena.len()).expect("the source closes a chunk before 4 GiB");
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.arena.extend_from_slice(headers.0);
        self.records.push(Span {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            start,
            key_len: u32::try_from(key.len()).expect("Kafka bounds a key to 2 GiB"),
            value_len: u32::try_from(value.len()).expect("Kafka bounds a value to 2 GiB"),
            headers_len: u32::try_from(headers.0.len()).expect("Kafka bounds a record to 2 GiB"),
            has_key: record.key.is_some(),
            has_value: record.value.is_some(),
        });
        self.next_offset = record.offset + 1;
        if record.timestamp_ms >= 0 {
            self.oldest_ms = self.oldest_ms.min(record.timestamp_ms);
        }
    }

    /// Moves the position without a record (control records, compacted ranges).
    pub fn advance_to(&mut self, next_offset: i64) {
        self.next_offset = self.next_offset.max(next_offset);
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of keys, values and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// The offset to read next.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The offset of the record at `index`.
    #[must_use]
    pub fn offset(&self, index: usize) -> i64 {
        self.records[index].offset
    }

    /// The record at `index`.
    #[must_use]
    pub fn record(&self, index: usize) -> Record<'_> {
        let span = &self.records[index];
        let key_end = span.start as usize + span.key_len as usize;
        let key = &self.arena[span.start as usize..key_end];
        let value = &self.arena[key_end..key_end + span.value_len as usize];
        Record {
            offset: span.offset,
            timestamp_ms: span.timestamp_ms,
            key: span.has_key.then_some(key),
            value: span.has_value.then_some(value),
        }
    }

    /// The headers of the record at `index`; none where nobody asked the source for them.
    #[must_use]
    pub fn headers(&self, index: usize) -> Headers<'_> {
        let span = &self.records[index];
        let start = span.start as usize + span.key_len as usize + span.value_len as usize;
        Headers(&self.arena[start..start + span.headers_len as usize])
    }

    /// The value of the record at `index`; `None` is a tombstone.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.record(index).value
    }

    /// The oldest timestamp of a record, in milliseconds since 1970-01-01T00:00:00Z; `None` where no record has one.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        (self.oldest_ms != i64::MAX).then_some(self.oldest_ms)
    }

    /// The number of leading records whose offset is below `offset`.
    #[must_use]
    pub fn count_before(&self, offset: i64) -> usize {
        self.records.partition_point(|span| span.offset < offset)
    }
}

/// The headers of a record, packed one behind the other: each name and value behind its length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

/// The length of a value that is null.
const NULL: u32 = u32::MAX;

impl<'a> Headers<'a> {
    /// Packs one more header behind those in `packed`.
    pub fn pack(packed: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("Kafka bounds a record to 2 GiB").to_le_bytes();
        packed.extend_from_slice(&length(name));
        packed.extend_from_slice(name);
        packed.extend_from_slice(&value.map_or(NULL.to_le_bytes(), length));
        packed.extend_from_slice(value.unwrap_or_default());
    }

    /// What [`Self::pack`] has packed.
    #[must_use]
    pub fn packed(packed: &'a [u8]) -> Self {
        Self(packed)
    }
}

impl<'a> Iterator for Headers<'a> {
    /// A name and its value, which may be null.
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (length, rest) = rest.split_first_chunk()?;
        let value = match u32::from_le_bytes(*length) {
            NULL => None,
            length => Some(length as usize),
        };
        let (bytes, rest) = rest.split_at_checked(value.unwrap_or(0))?;
        self.0 = rest;
        Some((name, value.map(|_| bytes)))
    }
}

/// A record of a chunk that could not become rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record's index in its chunk.
    pub index: u32,
    /// Where it failed.
    pub stage: Stage,
    /// Why, for a person.
    pub reason: String,
}

/// What the reason of a dead letter begins with, at [`Stage::Aggregate`], where a row's time is far ahead of its record.
pub const AHEAD: &str = "ahead: ";

/// Where in the pipeline a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The payload is not what the input declares.
    Decode,
    /// The module rejected it or failed on it.
    Transform,
    /// A row of it breaks the product's contract.
    Product,
    /// It came after its window had closed.
    Aggregate,
}

impl Stage {
    /// The stage's name in the dead-letter table and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::Product => "product",
            Self::Aggregate => "aggregate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stand_behind_their_record() {
        let mut packed = Vec::new();
        Headers::pack(&mut packed, b"trace", Some(b"1"));
        Headers::pack(&mut packed, b"", None);
        Headers::pack(&mut packed, b"empty", Some(b""));
        let mut chunk = Chunk::new("t".into(), 0, 0);
        let record = |offset| Record { offset, timestamp_ms: 5, key: Some(b"k"), value: None };
        chunk.push_with(record(0), Headers::packed(&packed));
        chunk.push(record(1));
        let found: Vec<_> = chunk.headers(0).collect();
        assert_eq!(found, [(&b"trace"[..], Some(&b"1"[..])), (b"", None), (b"empty", Some(b""))]);
        assert_eq!(chunk.headers(1).count(), 0);
        assert_eq!((chunk.record(0), chunk.record(1)), (record(0), record(1)));
    }
}

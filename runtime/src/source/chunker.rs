//! Gathers records into chunks: a chunk closes when it is full, or when its first record has waited long enough.

use super::Assigned;
use crate::clock;
use crate::record::{Chunk, Headers, Record};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Records of a full chunk: large enough that a call of a module costs nothing per record, small enough to stay in cache.
const CHUNK_RECORDS: usize = 8_192;

/// Bytes of a full chunk; a single larger record makes a chunk of its own.
const CHUNK_BYTES: usize = 4 << 20;

/// How long a record waits for company.
const CHUNK_WAIT: Duration = Duration::from_millis(50);

/// The open chunk of every assigned partition, and the closed ones that nobody took yet.
#[derive(Debug)]
pub struct Chunker {
    slots: Vec<Slot>,
    closed: VecDeque<(usize, Chunk)>,
    open_since: Option<Instant>,
}

#[derive(Debug)]
struct Slot {
    assigned: Assigned,
    open: Option<Chunk>,
    next: i64,
}

impl Chunker {
    /// No records yet, one slot for each assigned partition.
    #[must_use]
    pub fn new(assigned: &[Assigned]) -> Self {
        let slot = |assigned: &Assigned| Slot { assigned: assigned.clone(), open: None, next: assigned.start };
        Self { slots: assigned.iter().map(slot).collect(), closed: VecDeque::new(), open_since: None }
    }

    /// The offset that a slot expects next.
    #[must_use]
    pub fn next(&self, slot: usize) -> i64 {
        self.slots[slot].next
    }

    /// Adds a record. One below the slot's position was read already (a broker may answer with the whole batch that an offset is in).
    pub fn push(&mut self, slot: usize, record: Record<'_>) {
        self.push_with(slot, record, Headers::default());
    }

    /// The same with the record's headers.
    pub fn push_with(&mut self, slot: usize, record: Record<'_>, headers: Headers<'_>) {
        let Slot { assigned, open, next } = &mut self.slots[slot];
        if record.offset < *next {
            return;
        }
        let chunk = match open {
            Some(chunk) => chunk,
            None => {
                self.open_since.get_or_insert_with(clock::instant);
                open.insert(Chunk::new(assigned.topic.clone(), assigned.partition, *next))
            }
        };
        chunk.push_with(record, headers);
        *next = chunk.next_offset();
        if chunk.len() >= CHUNK_RECORDS || chunk.bytes() >= CHUNK_BYTES {
            self.closed.extend(open.take().map(|chunk| (slot, chunk)));
        }
    }

    /// Moves a slot's position over offsets without records.
    pub fn advance(&mut self, slot: usize, next_offset: i64) {
        let Slot { assigned, open, next } = &mut self.slots[slot];
        if next_offset <= *next {
            return;
        }
        *next = next_offset;
        self.open_since.get_or_insert_with(clock::instant);
        open.get_or_insert_with(|| Chunk::new(assigned.topic.clone(), assigned.partition, next_offset))
            .advance_to(next_offset);
    }

    /// The next chunk that is full or has waited long enough.
    pub fn take(&mut self, now: Instant) -> Option<(usize, Chunk)> {
        if self.closed.is_empty() && self.open_since.is_some_and(|since| now.duration_since(since) >= CHUNK_WAIT) {
            self.close_all();
        }
        self.closed.pop_front()
    }

    /// Closes all open chunks.
    pub fn close_all(&mut self) {
        self.open_since = None;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            self.closed.extend(slot.open.take().map(|chunk| (index, chunk)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunker() -> Chunker {
        Chunker::new(&[Assigned {
            topic: "orders".into(),
            partition: 3,
            start: 10,
            with_headers: false,
            from_beginning: false,
        }])
    }

    fn record(offset: i64, value: &[u8]) -> Record<'_> {
        Record { offset, timestamp_ms: 0, key: None, value: Some(value) }
    }

    #[test]
    fn a_full_chunk_closes_at_once() {
        let mut chunker = chunker();
        for offset in 10..10 + CHUNK_RECORDS as i64 {
            chunker.push(0, record(offset, b"x"));
        }
        let (slot, chunk) = chunker.take(clock::instant()).unwrap();
        assert_eq!((slot, chunk.len(), chunk.partition()), (0, CHUNK_RECORDS, 3));
        assert_eq!(chunk.next_offset(), 10 + CHUNK_RECORDS as i64);
    }

    #[test]
    fn a_record_waits_for_company_but_not_for_long() {
        let mut chunker = chunker();
        chunker.push(0, record(10, b"x"));
        assert!(chunker.take(clock::instant()).is_none());
        let later = clock::instant() + CHUNK_WAIT;
        assert_eq!(chunker.take(later).unwrap().1.len(), 1);
        assert!(chunker.take(later).is_none());
    }

    #[test]
    fn a_record_is_taken_once() {
        let mut chunker = chunker();
        chunker.push(0, record(9, b"old"));
        chunker.push(0, record(12, b"a"));
        chunker.push(0, record(12, b"again"));
        chunker.close_all();
        let (_, chunk) = chunker.take(clock::instant()).unwrap();
        assert_eq!(chunk.value(0), Some(&b"a"[..]));
        assert_eq!(chunk.len(), 1);
    }

    #[test]
    fn a_gap_moves_the_position_without_records() {
        let mut chunker = chunker();
        chunker.advance(0, 25);
        chunker.close_all();
        let (_, chunk) = chunker.take(clock::instant()).unwrap();
        assert!(chunk.is_empty());
        assert_eq!(chunk.next_offset(), 25);
    }
}

//! Reads partitions whose log has lost records that are kept elsewhere: the past first, then the log from where the past ends.

use super::{Assigned, Chunker, Error, Kafka, Reader};
use crate::record::Chunk;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

/// How long to wait for the past where nothing else is read.
const WAIT: Duration = Duration::from_millis(5);

/// Chunks of a partition's past that are taken at a time, so that those who are at the live edge wait for less than their own chunks may.
const CHUNKS: usize = 4;

/// The records of a partition that its log no longer holds.
#[derive(Debug)]
pub struct Past {
    /// Their chunks, in the order of offsets; the last one stands at `until`.
    pub chunks: Receiver<Result<Chunk, Error>>,
    /// The offset from which on the log is read.
    pub until: i64,
}

/// A Kafka client some of whose partitions are read from their past first.
pub struct Backed {
    kafka: Kafka,
    /// By slot.
    partitions: Vec<Partition>,
    /// Whether the log of some partition is read.
    reads_logs: bool,
}

struct Partition {
    assigned: Assigned,
    /// Nothing once it is read.
    past: Option<Past>,
}

impl Backed {
    /// Starts reading the partitions; those that have a past, by slot, start with it.
    ///
    /// # Errors
    /// When librdkafka refuses the assignment.
    pub fn new(kafka: Kafka, assigned: &[Assigned], pasts: Vec<Option<Past>>) -> Result<Self, Error> {
        let partition = |(assigned, past): (&Assigned, Option<Past>)| Partition { assigned: assigned.clone(), past };
        let partitions: Vec<Partition> = assigned.iter().zip(pasts).map(partition).collect();
        let mut backed = Self { kafka, partitions, reads_logs: false };
        let is_read = |slot: &usize| backed.partitions[*slot].past.is_none();
        let read: Vec<usize> = (0..assigned.len()).filter(is_read).collect();
        backed.add(&read)?;
        Ok(backed)
    }

    /// Has the client read these slots too.
    fn add(&mut self, slots: &[usize]) -> Result<(), Error> {
        if slots.is_empty() {
            return Ok(());
        }
        self.reads_logs = true;
        self.kafka.add(slots.iter().map(|slot| (*slot, self.partitions[*slot].assigned.clone())))
    }

    /// Takes what has come of the pasts. Says whether anything has.
    fn read_pasts(&mut self, chunker: &mut Chunker) -> Result<bool, Error> {
        let (mut has_come, mut ended) = (false, Vec::new());
        for (slot, partition) in self.partitions.iter_mut().enumerate() {
            for _ in 0..CHUNKS {
                let Some(past) = &mut partition.past else { break };
                match past.chunks.try_recv() {
                    Ok(chunk) => {
                        let chunk = chunk?;
                        (0..chunk.len()).for_each(|index| chunker.push(slot, chunk.record(index)));
                        chunker.advance(slot, chunk.next_offset());
                        has_come = true;
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) if chunker.next(slot) < past.until => {
                        return Err(cut_off(&partition.assigned, chunker.next(slot)));
                    }
                    Err(TryRecvError::Disconnected) => {
                        partition.past = None;
                        partition.assigned.start = chunker.next(slot);
                        ended.push(slot);
                    }
                }
            }
        }
        self.add(&ended)?;
        Ok(has_come)
    }
}

/// Whoever read the past has gone without reaching its end.
fn cut_off(assigned: &Assigned, next: i64) -> Error {
    Error::Past {
        topic: assigned.topic.to_string(),
        partition: assigned.partition,
        is_transient: true,
        source: format!("it was cut off at offset {next}").into(),
    }
}

impl Reader for Backed {
    fn read(&mut self, chunker: &mut Chunker) -> Result<(), Error> {
        let has_past = self.partitions.iter().any(|partition| partition.past.is_some());
        let has_come = has_past && self.read_pasts(chunker)?;
        if !self.reads_logs && !has_come {
            std::thread::sleep(WAIT);
        }
        self.kafka.read(chunker)
    }

    fn log_end(&self, slot: usize) -> Option<i64> {
        self.kafka.log_end(slot)
    }

    fn committed(&mut self, next_offsets: &[(usize, i64)]) {
        self.kafka.committed(next_offsets);
    }
}

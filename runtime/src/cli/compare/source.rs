//! Past events of a topic: from Kafka without joining a group, from bronze where Kafka no longer has them, or from files.

use super::super::{DiffArgs, output};
use super::bronze::Bronze;
use super::edge::Edge;
use super::error::Error;
use super::progress::Progress;
use crate::clock;
use crate::config::Config;
use crate::record::Chunk;
use crate::sink::bronze::Held;
use crate::source::{self, Assigned, Backed, Chunker, Files, Kafka, LogRange, Reader};
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::Duration;

/// How long a partition may be silent although its log goes on; and where records are read back, which first takes a look at many files.
const STALLED: Duration = Duration::from_secs(30);
const STALLED_BACK: Duration = Duration::from_secs(600);

/// What is read by one reader.
pub(super) struct Source {
    reader: Box<dyn Reader>,
    parts: Vec<Part>,
    stalled: Duration,
    /// Whose threads read back what is not in the log.
    _bronze: Vec<Bronze>,
}

/// The records of a partition that are compared: from `assigned.start` up to, not including, `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    assigned: Assigned,
    end: i64,
}

impl Source {
    /// Opens what holds the events of these topics.
    pub(super) fn open_all(args: &DiffArgs, config: Option<&Config>, topics: &[Arc<str>]) -> Result<Vec<Self>, Error> {
        if let Some(events) = &args.events {
            let [topic] = topics else { return Err(Error::WhichTopic { known: topics.join(", ") }) };
            return Ok(vec![Self::files(args, topic, events)?]);
        }
        let of_files = |topic: &Arc<str>| config.and_then(|config| config.topics.get(&**topic)?.path.as_deref());
        let mut sources = Vec::new();
        for topic in topics {
            if let Some(path) = of_files(topic) {
                sources.push(Self::files(args, topic, path)?);
            }
        }
        let of_kafka: Vec<&Arc<str>> = topics.iter().filter(|topic| of_files(topic).is_none()).collect();
        if let Some(first) = of_kafka.first() {
            let brokers = config.and_then(|config| Some((config, config.kafka.brokers.clone()?)));
            let Some((config, brokers)) = brokers else { return Err(Error::NoBrokers { topic: first.to_string() }) };
            sources.push(Self::kafka(args, config, brokers, &of_kafka)?);
        }
        Ok(sources)
    }

    fn files(args: &DiffArgs, topic: &Arc<str>, path: &std::path::Path) -> Result<Self, Error> {
        let mut files = Files::new(path)?.whole();
        let range = files.log_range()?;
        let at = |edge: Edge| match edge {
            Edge::Earliest => Ok(range.start),
            Edge::Latest => Ok(range.end),
            Edge::Offset(offset) => Ok(offset),
            Edge::Time(_) => Err(Error::NoTimes { topic: topic.to_string() }),
        };
        let part = Part::new(topic, 0, range, at(args.from)?, at(args.to)?);
        files.assign(&part.assigned);
        Ok(Self { reader: Box::new(files), parts: vec![part], stalled: STALLED, _bronze: Vec::new() })
    }

    fn kafka(args: &DiffArgs, config: &Config, brokers: String, topics: &[&Arc<str>]) -> Result<Self, Error> {
        let properties =
            config.kafka.properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let mut kafka = Kafka::new(&source::Settings { brokers, group: config.kafka.group.clone(), properties })?;
        let (mut parts, mut pasts, mut tables) = (Vec::new(), Vec::new(), Vec::new());
        for topic in topics {
            let partitions = kafka.partitions(topic)?;
            let bronze = Bronze::open(config, topic, &partitions)?;
            let mut back = Vec::new();
            for partition in partitions {
                let log = kafka.log_range(topic, partition)?;
                let mut part = part(args, &kafka, topic, partition, log, bronze.as_ref())?;
                // What the log loses until it is read is not compared, as with all that it has lost before.
                part.assigned.from_beginning = part.assigned.start == log.start;
                if part.assigned.start < part.end {
                    if part.assigned.start < log.start {
                        back.push((partition, part.assigned.start));
                    }
                    parts.push(part);
                    pasts.push(None);
                }
            }
            if let Some(bronze) = bronze.filter(|_| !back.is_empty()) {
                for ((partition, _), past) in back.iter().zip(bronze.read_back(&back)?) {
                    let is_it = |part: &Part| part.assigned.topic == **topic && part.assigned.partition == *partition;
                    if let Some(slot) = parts.iter().position(is_it) {
                        pasts[slot] = Some(past);
                    }
                }
                tables.push(bronze);
            }
        }
        let assigned: Vec<Assigned> = parts.iter().map(|part| part.assigned.clone()).collect();
        if tables.is_empty() {
            kafka.assign(&assigned)?;
            return Ok(Self { reader: Box::new(kafka), parts, stalled: STALLED, _bronze: tables });
        }
        let reader = Box::new(Backed::new(kafka, &assigned, pasts)?);
        Ok(Self { reader, parts, stalled: STALLED_BACK, _bronze: tables })
    }

    /// The offsets that are read.
    pub(super) fn total(&self) -> u64 {
        self.parts.iter().map(|part| u64::try_from(part.end - part.assigned.start).unwrap_or(0)).sum()
    }

    /// Reads all of it into `chunks`; ends early where nobody takes them any more.
    pub(super) fn read(&mut self, chunks: &Sender<Chunk>, progress: &mut Progress<'_>) -> Result<(), Error> {
        let assigned: Vec<Assigned> = self.parts.iter().map(|part| part.assigned.clone()).collect();
        let mut chunker = Chunker::new(&assigned);
        let position = |chunker: &Chunker| (0..assigned.len()).map(|slot| chunker.next(slot)).sum::<i64>();
        let (mut at, mut moved) = (position(&chunker), clock::instant());
        while let Some(slot) = (0..self.parts.len()).find(|slot| chunker.next(*slot) < self.parts[*slot].end) {
            self.reader.read(&mut chunker)?;
            let now = clock::instant();
            progress.show(now);
            while let Some((slot, chunk)) = chunker.take(now) {
                if !self.send(slot, chunk, chunks) {
                    return Ok(());
                }
            }
            if position(&chunker) != at {
                (at, moved) = (position(&chunker), now);
            } else if now.duration_since(moved) >= self.stalled {
                let Part { assigned: Assigned { topic, partition, .. }, end } = &self.parts[slot];
                let place = format!("{topic}/{partition} from offset {}", chunker.next(slot));
                return Err(Error::Stalled { place, seconds: self.stalled.as_secs(), end: *end });
            }
        }
        chunker.close_all();
        while let Some((slot, chunk)) = chunker.take(clock::instant()) {
            if !self.send(slot, chunk, chunks) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&self, slot: usize, chunk: Chunk, chunks: &Sender<Chunk>) -> bool {
        let chunk = cut(chunk, self.parts[slot].end);
        chunk.is_empty() || chunks.send(chunk).is_ok()
    }
}

/// The part of a partition that is wanted, from its log and from what bronze holds before that.
fn part(
    args: &DiffArgs,
    kafka: &Kafka,
    topic: &Arc<str>,
    partition: i32,
    log: LogRange,
    bronze: Option<&Bronze>,
) -> Result<Part, Error> {
    let range = LogRange { start: Held::oldest(bronze.and_then(|bronze| bronze.held(partition)), log.start), ..log };
    let at = |edge: Edge| match edge {
        Edge::Earliest => Ok(range.start),
        Edge::Latest => Ok(range.end),
        Edge::Offset(offset) => Ok(offset),
        Edge::Time(ms) => {
            let in_log = kafka.offset_at(topic, partition, ms)?.unwrap_or(range.end);
            match bronze.filter(|_| in_log <= log.start && range.start < log.start) {
                Some(bronze) => Ok::<_, Error>(bronze.first_at(partition, ms, log.start)?.unwrap_or(in_log)),
                None => Ok(in_log),
            }
        }
    };
    Ok(Part::new(topic, partition, range, at(args.from)?, at(args.to)?))
}

impl Part {
    /// The part of a log between two offsets; says so where the log does not reach so far back.
    fn new(topic: &Arc<str>, partition: i32, range: LogRange, from: i64, to: i64) -> Self {
        if from < range.start {
            let start = range.start;
            output::say(format_args!("{topic}/{partition} begins at offset {start}: what was before is gone\n"));
        }
        let end = to.clamp(range.start, range.end);
        let start = from.clamp(range.start, range.end).min(end);
        let topic = Arc::clone(topic);
        Self { assigned: Assigned { topic, partition, start, with_headers: false, from_beginning: false }, end }
    }
}

/// The records of a chunk below `end`.
fn cut(chunk: Chunk, end: i64) -> Chunk {
    if chunk.next_offset() <= end {
        return chunk;
    }
    let keep = chunk.count_before(end);
    let mut kept = Chunk::new(Arc::clone(chunk.topic()), chunk.partition(), end);
    (0..keep).for_each(|index| kept.push(chunk.record(index)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn a_chunk_is_cut_at_the_end() {
        let mut chunk = Chunk::new("t".into(), 0, 3);
        for offset in [3, 5, 8] {
            chunk.push(Record { offset, timestamp_ms: 0, key: None, value: Some(b"x") });
        }
        let kept = cut(chunk, 8);
        assert_eq!((0..kept.len()).map(|index| kept.offset(index)).collect::<Vec<_>>(), [3, 5]);
    }

    #[test]
    fn a_part_lies_within_the_log() {
        let range = LogRange { start: 10, end: 20 };
        let part = |from, to| {
            let part = Part::new(&"t".into(), 0, range, from, to);
            (part.assigned.start, part.end)
        };
        assert_eq!(part(12, 15), (12, 15));
        assert_eq!(part(0, 99), (10, 20));
        assert_eq!(part(15, 12), (12, 12));
        assert_eq!(part(30, 40), (20, 20));
    }
}

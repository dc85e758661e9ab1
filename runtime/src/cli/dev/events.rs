//! The events that a module is tried on: those of a file, or the orders of the demo's shop, the same at each build.

use super::super::compare;
use super::super::demo::{Event, Generator};
use super::error::Error;
use crate::clock;
use crate::record::{Chunk, Record};
use crate::release::compare::grouped;
use crate::source::{Assigned, Chunker, Files, Reader as _};
use lakeward_manifest::Manifest;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// The topic of the orders that are made up.
const MADE: &str = "orders";

/// How many of them: enough for some of each kind of dirt, few enough to be run in a moment.
const ORDERS: i64 = 10_000;

/// When the shop opens, in milliseconds since 1970-01-01T00:00:00Z: always the same day, so that two runs show the same rows.
const OPENS_MS: i64 = 1_704_096_000_000;

/// Milliseconds from one order to the next: some hours in all, for the windows of gold products.
const APART_MS: i64 = 1_000;

/// Records of a file after which no more are read: who waits for rows wants them now.
const MOST: i64 = 100_000;

/// Where events come from.
#[derive(Debug)]
pub(super) struct Supply {
    file: Option<PathBuf>,
    topic: Option<String>,
}

/// Events of one topic.
#[derive(Debug)]
pub(super) struct Supplied {
    pub(super) topic: Arc<str>,
    pub(super) chunks: Vec<Chunk>,
    /// What they are, for a person.
    pub(super) what: String,
    /// Topics of the module of which there are no events.
    pub(super) without: Vec<String>,
}

impl Supply {
    /// The events of `file`, which are of `topic`; without a file those that are made up.
    pub(super) fn new(file: Option<PathBuf>, topic: Option<String>) -> Result<Self, Error> {
        if let Some(file) = &file {
            Files::new(file)?.check()?;
        }
        Ok(Self { file, topic })
    }

    /// What is there for a module.
    pub(super) fn events(&self, manifest: &Manifest) -> Result<Supplied, Error> {
        let topic = self.topic(manifest)?;
        let mut chunker = Chunker::new(&[Assigned {
            topic: Arc::clone(&topic),
            partition: 0,
            start: 0,
            with_headers: false,
            from_beginning: false,
        }]);
        let what = match &self.file {
            Some(file) => read(file, &mut chunker)?,
            None => {
                make_up(&mut chunker);
                format!("{} orders as `lakeward demo` makes them up", grouped(ORDERS.unsigned_abs()))
            }
        };
        chunker.close_all();
        let chunks = std::iter::from_fn(|| chunker.take(clock::instant())).map(|(_, chunk)| chunk).collect();
        let without = topics(manifest).into_iter().filter(|name| **name != *topic).map(str::to_owned).collect();
        Ok(Supplied { topic, chunks, what, without })
    }

    fn topic(&self, manifest: &Manifest) -> Result<Arc<str>, Error> {
        let topics = topics(manifest);
        let known = || topics.iter().copied().collect::<Vec<_>>().join(", ");
        match (&self.file, &self.topic) {
            (None, _) if topics.contains(MADE) => Ok(MADE.into()),
            (None, _) => Err(Error::NoEvents {
                module: manifest.name.clone(),
                topics: format!("topic{} {}", if topics.len() == 1 { "" } else { "s" }, known()),
                made: MADE,
            }),
            (Some(_), Some(topic)) if topics.contains(topic.as_str()) => Ok(topic.as_str().into()),
            (Some(_), Some(topic)) => Err(Error::OtherTopic { topic: topic.clone(), known: known() }),
            (Some(_), None) => match topics.iter().copied().collect::<Vec<_>>()[..] {
                [topic] => Ok(topic.into()),
                _ => Err(compare::Error::WhichTopic { known: known() }.into()),
            },
        }
    }
}

fn topics(manifest: &Manifest) -> BTreeSet<&str> {
    manifest.inputs.iter().map(|input| input.topic.as_str()).collect()
}

/// Reads the records of the file, up to a bound; says what they are.
fn read(file: &std::path::Path, chunker: &mut Chunker) -> Result<String, Error> {
    let mut files = Files::new(file)?.whole();
    files.check()?;
    let told =
        |which: &str, count: i64| format!("{which} {} events of {}", grouped(count.unsigned_abs()), file.display());
    loop {
        let before = chunker.next(0);
        files.read(chunker)?;
        let count = chunker.next(0);
        match count {
            0 => return Err(Error::Empty { file: file.to_owned() }),
            _ if count == before => return Ok(told("the", count)),
            _ if count >= MOST => return Ok(told("the first", count)),
            _ => {}
        }
    }
}

fn make_up(chunker: &mut Chunker) {
    let mut shop = Generator::new(0, 0);
    for offset in 0..ORDERS {
        let timestamp_ms = OPENS_MS + offset * APART_MS;
        let Event { key, value } = shop.next(timestamp_ms);
        chunker.push(0, Record { offset, timestamp_ms, key: key.as_deref(), value: value.as_deref() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::sample;

    /// A module that reads these topics.
    fn reader(topics: &[&str]) -> Manifest {
        let mut manifest = sample::manifest();
        let input = manifest.inputs[0].clone();
        manifest.inputs =
            topics.iter().map(|topic| lakeward_manifest::Input { topic: (*topic).into(), ..input.clone() }).collect();
        manifest
    }

    fn supply(file: Option<&str>, topic: Option<&str>) -> Supply {
        Supply { file: file.map(Into::into), topic: topic.map(Into::into) }
    }

    #[test]
    fn the_topic_is_the_one_that_there_are_events_of() {
        type Case<'a> = (Option<&'a str>, Option<&'a str>, &'a [&'a str], Result<&'a str, &'a str>);
        let table: [Case<'_>; 7] = [
            (None, None, &["orders"], Ok("orders")),
            (None, None, &["returns", "orders"], Ok("orders")),
            (
                None,
                None,
                &["returns"],
                Err("module retail reads topic returns, and events are made up only for topic orders"),
            ),
            (Some("f"), None, &["returns"], Ok("returns")),
            (Some("f"), None, &["returns", "orders"], Err("the modules read several topics (orders, returns)")),
            (Some("f"), Some("returns"), &["returns", "orders"], Ok("returns")),
            (Some("f"), Some("retruns"), &["returns"], Err("the module does not read topic retruns, it reads returns")),
        ];
        for (file, topic, read, expected) in table {
            let mut manifest = reader(read);
            manifest.name = "retail".to_owned();
            match (supply(file, topic).topic(&manifest), expected) {
                (Ok(topic), Ok(expected)) => assert_eq!(&*topic, expected),
                (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{error}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_is_made_up_is_the_same_each_time() {
        let values = || {
            let supplied = supply(None, None).events(&reader(&["orders", "returns"])).unwrap();
            assert_eq!(supplied.without, ["returns"]);
            let chunks = supplied.chunks.iter();
            let values = chunks.flat_map(|chunk| (0..chunk.len()).map(|index| chunk.value(index).map(<[u8]>::to_vec)));
            values.collect::<Vec<_>>()
        };
        let first = values();
        assert_eq!(first.len(), 10_000);
        assert_eq!(first, values());
    }

    #[test]
    fn a_file_without_an_event_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        std::fs::write(&path, "\n\n").unwrap();
        let supply = Supply::new(Some(path.clone()), None).unwrap();
        let refused = supply.events(&reader(&["orders"])).unwrap_err();
        assert_eq!(refused.to_string(), format!("there is no event in {}: it takes one a line", path.display()));
        std::fs::write(&path, "{}\n{}\n").unwrap();
        let supplied = supply.events(&reader(&["orders"])).unwrap();
        assert_eq!(supplied.chunks.iter().map(Chunk::len).sum::<usize>(), 2);
        assert!(matches!(
            Supply::new(Some(folder.path().join("no")), None),
            Err(Error::Run(compare::Error::Source(_)))
        ));
    }
}

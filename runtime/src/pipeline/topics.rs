//! Whether the topics are still those that the tables know: one that was deleted and made anew has another id, and offsets of its own.
//!
//! | the tables' id | the broker's | what happens                                                             |
//! |----------------|--------------|--------------------------------------------------------------------------|
//! | none           | any          | goes on; the next commit notes the broker's                              |
//! | any            | none         | goes on: old brokers and files have none                                 |
//! | the same       |              | goes on                                                                  |
//! | another        |              | all partitions of the topic stop; while it runs, the session starts over |

use super::Error;
use super::session::Slot;
use crate::checkpoint::SourcePartition;
use crate::sink::{OffsetMove, Table};
use crate::source::TopicIds;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a commit waits for the broker to say which topics it has; without an answer it is made all the same.
const ANSWER: Duration = Duration::from_secs(1);

/// What the broker says of the topics, in answer to [`Topics::ask`].
pub(super) type Answer = Option<JoinHandle<BTreeMap<String, String>>>;

/// The topics of a session.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// By topic: its id when the session began, where the broker gives one.
    ids: BTreeMap<String, String>,
    broker: Option<TopicIds>,
}

impl Topics {
    pub(super) fn new(ids: BTreeMap<String, String>, broker: Option<TopicIds>) -> Self {
        Self { ids, broker }
    }

    /// Whether the offsets that the tables have of a partition count in the topic that the broker has.
    pub(super) fn check(&self, tables: &[Table], slot: &Slot) -> Result<(), Error> {
        let Some(found) = self.ids.get(&*slot.partition.topic) else { return Ok(()) };
        match tables.iter().filter_map(|table| table.topic_id(&slot.partition)).find(|stored| stored != found) {
            None => Ok(()),
            Some(stored) => Err(Error::Recreated {
                topic: slot.partition.topic.to_string(),
                stored: stored.to_owned(),
                found: found.clone(),
            }),
        }
    }

    /// The ids that a commit of these offsets notes.
    pub(super) fn of(&self, offsets: &[OffsetMove]) -> BTreeMap<String, String> {
        let id = |partition: &SourcePartition| Some((partition.of_topic(), self.ids.get(&*partition.topic)?.clone()));
        offsets.iter().filter_map(|step| id(&step.partition)).collect()
    }

    /// Asks the broker in the background which topics it has.
    pub(super) fn ask(&self) -> Answer {
        let (broker, topics) = (self.broker.clone()?, self.ids.keys().cloned().collect::<Vec<_>>());
        if topics.is_empty() {
            return None;
        }
        Some(tokio::task::spawn_blocking(move || {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            broker.ask(&names, ANSWER).unwrap_or_default()
        }))
    }

    /// Whether they are those with which the session began. Whoever asks after the last record of a micro-batch was read knows of what
    /// topic its records are.
    pub(super) async fn compare(&self, answer: Answer) -> Result<(), Error> {
        let Some(answer) = answer else { return Ok(()) };
        self.same(&answer.await.unwrap_or_default())
    }

    fn same(&self, now: &BTreeMap<String, String>) -> Result<(), Error> {
        let differs = |(topic, before): &(&String, &String)| now.get(*topic).is_some_and(|now| now != *before);
        match self.ids.iter().find(differs) {
            None => Ok(()),
            Some((topic, before)) => Err(Error::TopicChanged {
                topic: topic.clone(),
                before: before.clone(),
                now: now.get(topic).cloned().unwrap_or_default(),
            }),
        }
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        // The last one to let go of a client closes its connections, which takes a moment.
        let broker = self.broker.take();
        tokio::task::block_in_place(|| drop(broker));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(id: &str) -> BTreeMap<String, String> {
        [("orders".to_owned(), id.to_owned())].into()
    }

    #[test]
    fn another_id_is_another_topic_and_none_says_nothing() {
        let topics = Topics::new(ids("a"), None);
        assert!(topics.same(&ids("a")).is_ok());
        assert!(topics.same(&BTreeMap::new()).is_ok());
        let changed = topics.same(&ids("b")).unwrap_err();
        assert_eq!(changed.remedy(), crate::pipeline::Remedy::Restart);
        assert!(Topics::default().same(&ids("b")).is_ok());
    }

    #[test]
    fn a_commit_notes_the_ids_of_the_topics_that_it_names() {
        let step = |topic: &str, partition| OffsetMove {
            partition: SourcePartition::new(topic, 2, partition),
            from: None,
            next: 5,
        };
        let noted = Topics::new(ids("a"), None).of(&[step("orders", 0), step("orders", 1), step("files", 0)]);
        assert_eq!(noted, [("orders#2".to_owned(), "a".to_owned())].into());
    }
}

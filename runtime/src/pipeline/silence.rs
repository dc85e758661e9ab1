//! Asks brokers whether partitions that seem to be silent are.

use super::session;
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use std::sync::{Arc, OnceLock};

/// A partition, and the offset up to which it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Silent {
    pub(super) partition: SourcePartition,
    pub(super) next: i64,
}

/// Whether the logs still end where the partitions are read up to.
#[derive(Debug, Clone)]
pub(super) struct Question {
    silent: Vec<Silent>,
    answer: Arc<OnceLock<Vec<Silent>>>,
}

impl Question {
    /// `None` where there is nothing to ask.
    pub(super) fn about(mut silent: Vec<Silent>) -> Option<Self> {
        silent.sort_unstable();
        silent.dedup();
        (!silent.is_empty()).then(|| Self { silent, answer: Arc::default() })
    }

    /// What is asked about.
    #[cfg(test)]
    pub(super) fn silent(&self) -> &[Silent] {
        &self.silent
    }

    /// Those of which the brokers said that nothing has come; `None` before they have answered.
    pub(super) fn answer(&self) -> Option<&[Silent]> {
        self.answer.get().map(Vec::as_slice)
    }

    /// Answers it.
    pub(super) fn tell(&self, confirmed: Vec<Silent>) {
        // Nobody else answers.
        let _ = self.answer.set(confirmed);
    }

    /// Asks in the background. What a broker does not say is not confirmed.
    pub(super) fn ask(self, config: &Arc<Config>) {
        let config = Arc::clone(config);
        tokio::task::spawn_blocking(move || {
            let is_of_files = |of: &Silent| config.topics.get(&*of.partition.topic).is_some_and(|of| of.path.is_some());
            let (mut confirmed, of_kafka): (Vec<Silent>, Vec<Silent>) =
                self.silent.iter().cloned().partition(is_of_files);
            let kafka = of_kafka.first().map(|of| session::connect(&config, &of.partition.topic));
            if let Some(Ok(kafka)) = kafka {
                let log = |of: &Silent| kafka.log_range(&of.partition.topic, of.partition.partition);
                // Who does not answer for one will not for the next either, and each takes its time.
                let logs = of_kafka.into_iter().map_while(|of| log(&of).ok().map(|log| (of, log)));
                confirmed.extend(logs.filter(|(of, log)| log.end <= of.next).map(|(of, _)| of));
            }
            self.tell(confirmed);
        });
    }
}

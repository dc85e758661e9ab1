//! Asks brokers where the logs of partitions end.

use super::session;
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use std::sync::{Arc, OnceLock};

/// Where the logs of some partitions end.
#[derive(Debug, Clone)]
pub(super) struct Question {
    partitions: Vec<SourcePartition>,
    answer: Arc<OnceLock<Vec<(SourcePartition, i64)>>>,
}

impl Question {
    /// `None` where there is nothing to ask.
    pub(super) fn about(mut partitions: Vec<SourcePartition>) -> Option<Self> {
        partitions.sort_unstable();
        partitions.dedup();
        (!partitions.is_empty()).then(|| Self { partitions, answer: Arc::default() })
    }

    /// What is asked about.
    #[cfg(test)]
    pub(super) fn partitions(&self) -> &[SourcePartition] {
        &self.partitions
    }

    /// Where the logs ended after the question was made, of those partitions of which that could be found out; `None` before that is over.
    pub(super) fn answer(&self) -> Option<&[(SourcePartition, i64)]> {
        self.answer.get().map(Vec::as_slice)
    }

    /// Answers it.
    pub(super) fn tell(&self, ends: Vec<(SourcePartition, i64)>) {
        // Nobody else answers.
        let _ = self.answer.set(ends);
    }

    /// Asks in the background.
    pub(super) fn ask(self, config: &Arc<Config>) {
        let config = Arc::clone(config);
        tokio::task::spawn_blocking(move || {
            let path = |of: &SourcePartition| config.topics.get(&*of.topic).and_then(|topic| topic.path.as_ref());
            let (of_files, of_kafka): (Vec<_>, Vec<_>) = self.partitions.iter().partition(|of| path(of).is_some());
            let mut ends = Vec::with_capacity(self.partitions.len());
            for of in of_files {
                ends.extend(session::log_range(&config, &of.topic, of.partition).ok().map(|log| (of.clone(), log.end)));
            }
            let kafka = of_kafka.first().map(|of| session::connect(&config, &of.topic));
            if let Some(Ok(kafka)) = kafka {
                let end = |of: &SourcePartition| Some((of.clone(), kafka.log_range(&of.topic, of.partition).ok()?.end));
                // Who does not answer for one will not for the next either, and each takes its time.
                ends.extend(of_kafka.into_iter().map_while(end));
            }
            self.tell(ends);
        });
    }
}

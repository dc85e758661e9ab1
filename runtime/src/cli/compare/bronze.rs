//! What bronze holds of a topic that is compared: records that its log may no longer have.

use super::super::{run, verify};
use super::error::Error;
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::pipeline;
use crate::sink::bronze::Held;
use crate::sink::{Kept, Stretch, Warehouse};
use crate::source::Past;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// The bronze table of a topic.
pub(super) struct Bronze {
    runtime: Runtime,
    lake: Warehouse,
    pipeline: String,
    topic: Arc<str>,
    incarnation: u32,
    kept: Kept,
}

impl Bronze {
    /// Opens the table of a topic, if its records are kept and there are any.
    pub(super) fn open(config: &Config, topic: &Arc<str>, partitions: &[i32]) -> Result<Option<Self>, Error> {
        let Some(settings) = config.topics.get(&**topic).filter(|settings| settings.bronze) else { return Ok(None) };
        let failed = |error| Error::Lake(Box::new(error));
        let (runtime, lake) = (run::runtime().map_err(failed)?, verify::open_lake(config).map_err(failed)?);
        let pipeline = config.pipeline.clone();
        let open = |of: &[SourcePartition]| {
            let kept = runtime.block_on(Kept::open(&lake, &pipeline, topic, of));
            kept.map_err(|error| failed(pipeline::Error::from(error).into()))
        };
        let Some(kept) = open(&[])? else { return Ok(None) };
        let incarnation = settings.incarnation.max(kept.incarnation(topic));
        let of = partitions.iter().map(|of| SourcePartition::new(Arc::clone(topic), incarnation, *of));
        let Some(kept) = open(&of.collect::<Vec<_>>())? else { return Ok(None) };
        Ok(Some(Self { runtime, lake, pipeline, topic: Arc::clone(topic), incarnation, kept }))
    }

    fn partition(&self, partition: i32) -> SourcePartition {
        SourcePartition::new(Arc::clone(&self.topic), self.incarnation, partition)
    }

    /// What it holds of a partition.
    pub(super) fn held(&self, partition: i32) -> Option<Held> {
        self.kept.held(&self.partition(partition))
    }

    /// The first offset of a partition below `below` whose record is not older than `ms`.
    pub(super) fn first_at(&self, partition: i32, ms: i64, below: i64) -> Result<Option<i64>, Error> {
        let Some(held) = self.held(partition) else { return Ok(None) };
        let stretch = Stretch { partition: self.partition(partition), range: held.since..below };
        let found = self.runtime.block_on(self.kept.first_at(&stretch, ms));
        found.map_err(|error| Error::Lake(Box::new(pipeline::Error::from(error).into())))
    }

    /// Reads partitions from these offsets on, each to the end of what is held.
    pub(super) fn read_back(&self, from: &[(i32, i64)]) -> Result<Vec<Past>, Error> {
        let stretch = |(partition, from): &(i32, i64)| {
            let end = self.held(*partition).map_or(*from, |held| held.next);
            Stretch { partition: self.partition(*partition), range: *from..end }
        };
        let _inside = self.runtime.enter();
        pipeline::read_back(&self.lake, &self.pipeline, &self.topic, from.iter().map(stretch).collect())
            .map_err(|error| Error::Lake(Box::new(error.into())))
    }
}

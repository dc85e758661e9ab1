//! The log of deployments: a table with one row for every decision about a module, the one truth for every instance.
//!
//! Two decisions about one module cannot both follow the same one: each commit moves the module's sequence, in a `txn` action, from the
//! number that it was decided on, and the table's own commit check lets one of two through.

use super::{Action, Standing, Target};
use crate::checkpoint::SourcePartition;
use crate::columns::UTC;
use crate::sink::{self, Commit, FileWriter, Layout, OffsetMove, Table, TableSpec, Warehouse};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The path of the table.
pub const DEPLOYMENTS: &str = "_lakeward/deployments";

/// Versions of the table after which its log gets a checkpoint.
const CHECKPOINT_EVERY: u64 = 25;

/// One decision about a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The module's name.
    pub module: String,
    /// The number of the decision among those about the module; the first is 1.
    pub sequence: i64,
    /// What was decided.
    pub action: Action,
    /// The digest that it is about; none where it is about whatever is active.
    pub digest: Option<String>,
    /// The version that this digest's manifest names.
    pub version: Option<String>,
    /// Who decided.
    pub who: String,
    /// Why.
    pub why: Option<String>,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// Where the module's products stood at that time, `{"orders#0/3": next}`: the rows of the new digest come from offsets at or behind
    /// these. Which row came from which digest, the commits table says.
    pub offsets: String,
    /// Where a rewind leads.
    pub target: Option<Target>,
}

impl Deployment {
    /// A decision without digest, reason, time and place.
    #[must_use]
    pub fn of(module: &str, action: Action, who: &str) -> Self {
        Self {
            module: module.to_owned(),
            sequence: 0,
            action,
            digest: None,
            version: None,
            who: who.to_owned(),
            why: None,
            at_ms: 0,
            offsets: "{}".to_owned(),
            target: None,
        }
    }
}

/// Why a decision was not written down.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else decided meanwhile.
    #[error("somebody else was first")]
    Lost,
    /// The lake failed.
    #[error(transparent)]
    Sink(#[from] sink::Error),
}

/// The open log.
#[derive(Debug)]
pub struct Deployments {
    table: Table,
    pipeline: String,
    layout: Arc<Layout>,
    seen: BTreeSet<String>,
    /// By module and sequence.
    rows: BTreeMap<(String, i64), Deployment>,
    checkpointed: u64,
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

fn schema() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pipeline", false),
        text("module", false),
        Field::new("sequence", DataType::Int64, false),
        text("action", false),
        text("digest", true),
        text("version", true),
        text("who", false),
        text("why", true),
        Field::new("at", timestamp(), false),
        text("offsets", false),
        text("target", true),
    ]))
}

impl Deployments {
    /// Opens the log, and makes the table if there is none.
    ///
    /// # Errors
    /// When the lake fails, or the table is another's.
    pub async fn open(lake: &Warehouse, pipeline: &str) -> Result<Self, sink::Error> {
        let layout = Layout::new(DEPLOYMENTS, &schema(), &[], &[]);
        let spec = TableSpec {
            path: DEPLOYMENTS.to_owned(),
            description: "What was deployed, by whom, when and why.".to_owned(),
            schema: layout.table_schema(),
            partition_columns: Vec::new(),
            track_files: true,
            evolves: false,
        };
        let table = Table::open(lake, pipeline, spec).await?;
        let checkpointed = table.checkpointed();
        let pipeline = pipeline.to_owned();
        let mut log = Self { table, pipeline, layout, seen: BTreeSet::new(), rows: BTreeMap::new(), checkpointed };
        log.read_new().await?;
        let modules: BTreeSet<&String> = log.rows.keys().map(|(module, _)| module).collect();
        let sequences: Vec<SourcePartition> = modules.into_iter().map(|module| sequence_of(module)).collect();
        log.table.find_offsets(lake, &sequences).await?;
        Ok(log)
    }

    /// Opens the log where there is one, and makes nothing: for those who only read.
    ///
    /// # Errors
    /// When the lake fails, or the table is another's.
    pub async fn find(lake: &Warehouse, pipeline: &str) -> Result<Option<Self>, sink::Error> {
        let first = lake.get(&format!("{DEPLOYMENTS}/_delta_log"), "00000000000000000000.json").await?;
        match first {
            Some(_) => Self::open(lake, pipeline).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads what was decided since; `true` if anything was.
    ///
    /// # Errors
    /// When the lake fails.
    pub async fn refresh(&mut self) -> Result<bool, sink::Error> {
        // Not by the version: a commit that came too late has caught up with it already, and read no rows.
        self.table.catch_up(None).await?;
        let known = self.rows.len();
        self.read_new().await?;
        Ok(self.rows.len() > known)
    }

    async fn read_new(&mut self) -> Result<(), sink::Error> {
        let new: Vec<String> = self.table.files().keys().filter(|file| !self.seen.contains(*file)).cloned().collect();
        for file in new {
            for rows in self.table.read_rows(&file).await? {
                for deployment in parse(&rows, &self.pipeline) {
                    self.rows.insert((deployment.module.clone(), deployment.sequence), deployment);
                }
            }
            self.seen.insert(file);
        }
        Ok(())
    }

    /// Where every module stands, by name.
    #[must_use]
    pub fn standings(&self) -> BTreeMap<&str, Standing> {
        let mut standings: BTreeMap<&str, Standing> = BTreeMap::new();
        for ((module, _), deployment) in &self.rows {
            standings.entry(module).or_default().apply(deployment);
        }
        standings
    }

    /// Where a module stands; `None` if nothing was ever deployed under that name.
    #[must_use]
    pub fn standing(&self, module: &str) -> Option<Standing> {
        self.standings().remove(module)
    }

    /// Everything that was decided about a module, the oldest first.
    pub fn history(&self, module: &str) -> impl Iterator<Item = &Deployment> {
        let of_module = (module.to_owned(), i64::MIN)..=(module.to_owned(), i64::MAX);
        self.rows.range(of_module).map(|(_, deployment)| deployment)
    }

    /// Writes a decision down that follows the one with the number `after` (0: none). Its own number is the next one.
    ///
    /// # Errors
    /// [`AppendError::Lost`] when another decision was written down since this log was last read, also about another module: what was found
    /// to fit beside that one may do so no more. Otherwise when the lake fails.
    pub async fn append(&mut self, lake: &Warehouse, after: i64, deployment: Deployment) -> Result<(), AppendError> {
        let deployment = Deployment { sequence: after + 1, ..deployment };
        let mut writer = FileWriter::new(Arc::clone(&self.layout));
        writer.write(columns(&self.pipeline, &deployment))?;
        let files = writer.finish()?;
        for file in &files {
            self.table.write_file(file).await?;
        }
        let step = OffsetMove {
            partition: sequence_of(&deployment.module),
            from: Some(after).filter(|after| *after > 0),
            next: deployment.sequence,
        };
        let from = self.table.offsets().get(&decisions());
        let any = OffsetMove { partition: decisions(), from, next: from.unwrap_or(0) + 1 };
        let commit = Commit { add: files, offsets: vec![step, any], at_ms: deployment.at_ms, ..Commit::default() };
        let id = uuid::Uuid::new_v4().to_string();
        let mut tries = 0;
        loop {
            match self.table.commit(&commit, &id).await {
                Ok(_) => break,
                Err(sink::Error::Moved { .. }) => return Err(AppendError::Lost),
                // The reply got lost perhaps: the same id finds out.
                Err(error) if error.is_transient() && tries < 3 => {
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.read_new().await?;
        if self.table.version() >= self.checkpointed + CHECKPOINT_EVERY {
            self.checkpointed = self.table.version();
            tokio::task::spawn_blocking(self.table.checkpoint(lake));
        }
        Ok(())
    }
}

/// The number of decisions, about whatever module.
fn decisions() -> SourcePartition {
    SourcePartition::new("deployments", 0, 0)
}

/// A module's sequence as the table's offsets know it.
fn sequence_of(module: &str) -> SourcePartition {
    SourcePartition::new(format!("deployments/{module}"), 0, 0)
}

fn columns(pipeline: &str, deployment: &Deployment) -> Vec<ArrayRef> {
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let maybe = |value: &Option<String>| Arc::new(StringArray::from(vec![value.as_deref()])) as ArrayRef;
    let at = TimestampMicrosecondArray::from(vec![deployment.at_ms.saturating_mul(1000)]).with_timezone(UTC);
    vec![
        text(pipeline),
        text(&deployment.module),
        Arc::new(Int64Array::from(vec![deployment.sequence])),
        text(deployment.action.name()),
        maybe(&deployment.digest),
        maybe(&deployment.version),
        text(&deployment.who),
        maybe(&deployment.why),
        Arc::new(at),
        text(&deployment.offsets),
        maybe(&deployment.target.as_ref().and_then(|target| serde_json::to_string(target).ok())),
    ]
}

/// The decisions of `pipeline` in rows of the table; rows with an action that this version does not know say nothing to it.
fn parse(rows: &RecordBatch, pipeline: &str) -> Vec<Deployment> {
    let text = |name: &str| rows.column_by_name(name).map(|column| column.as_string::<i32>().clone());
    let (Some(pipelines), Some(modules), Some(actions), Some(digests), Some(versions)) =
        (text("pipeline"), text("module"), text("action"), text("digest"), text("version"))
    else {
        return Vec::new();
    };
    let (Some(who), Some(why), Some(offsets), Some(targets)) =
        (text("who"), text("why"), text("offsets"), text("target"))
    else {
        return Vec::new();
    };
    let sequences = rows.column_by_name("sequence").map(|column| column.as_primitive::<Int64Type>().clone());
    let times = rows.column_by_name("at").map(|column| column.as_primitive::<TimestampMicrosecondType>().clone());
    let (Some(sequences), Some(times)) = (sequences, times) else { return Vec::new() };
    let maybe = |column: &StringArray, row: usize| column.is_valid(row).then(|| column.value(row).to_owned());
    let deployment = |row: usize| {
        Some(Deployment {
            module: modules.value(row).to_owned(),
            sequence: sequences.value(row),
            action: Action::parse(actions.value(row))?,
            digest: maybe(&digests, row),
            version: maybe(&versions, row),
            who: who.value(row).to_owned(),
            why: maybe(&why, row),
            at_ms: times.value(row).div_euclid(1000),
            offsets: offsets.value(row).to_owned(),
            target: maybe(&targets, row).and_then(|target| serde_json::from_str(&target).ok()),
        })
    };
    (0..rows.num_rows()).filter(|row| pipelines.value(*row) == pipeline).filter_map(deployment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn log(lake: &Warehouse) -> Deployments {
        Deployments::open(lake, "shop").await.unwrap()
    }

    fn deploy(digest: &str) -> Deployment {
        Deployment { digest: Some(digest.to_owned()), at_ms: 5, ..Deployment::of("retail", Action::Deploy, "ann") }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_two_decisions_that_follow_the_same_one_one_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Warehouse::open(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let (mut ann, mut bob) = (log(&lake).await, log(&lake).await);
        ann.append(&lake, 0, deploy("a")).await.unwrap();
        assert!(matches!(bob.append(&lake, 0, deploy("b")).await, Err(AppendError::Lost)));
        bob.refresh().await.unwrap();
        assert_eq!(bob.standing("retail").unwrap().active(), Some("a"));
        bob.append(&lake, 1, deploy("b")).await.unwrap();
        // Another module may be no other matter: both may want to make one product.
        let another = || Deployment { module: "logistics".to_owned(), ..deploy("c") };
        assert!(matches!(ann.append(&lake, 0, another()).await, Err(AppendError::Lost)));
        ann.refresh().await.unwrap();
        ann.append(&lake, 0, another()).await.unwrap();
        let later = log(&lake).await;
        assert_eq!(later.standing("retail").unwrap().previous(), Some("a"));
        assert_eq!(later.standing("logistics").unwrap().active(), Some("c"));
        let history: Vec<_> = later.history("retail").map(|deployment| deployment.digest.clone().unwrap()).collect();
        assert_eq!(history, ["a", "b"]);
        assert_eq!(later.history("retail").next().unwrap(), &Deployment { sequence: 1, ..deploy("a") });
        assert!(log_of_another(&lake).await.standings().is_empty());
    }

    async fn log_of_another(lake: &Warehouse) -> Deployments {
        Deployments::open(lake, "other").await.unwrap()
    }
}

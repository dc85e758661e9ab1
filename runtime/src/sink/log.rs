//! The commit loop: puts a version into a Delta log if nobody else did, and judges what others committed meanwhile.
//!
//! Success and failure replies of a store are both unreliable, so any error leads to the same place: read what is in the log now, look for
//! our own commit by its id, and only then decide. Follows the Delta transaction log protocol, section "Delta Log Entries".

use super::Error;
use super::closed::Closed;
use super::lasting::Lasting;
use super::metadata::Metadata;
use super::table::{FileEntry, Table};
use super::warehouse::TableStore;
use super::writer::DataFile;
use crate::checkpoint::SourcePartition;
use crate::clock::Clock;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a commit names its writer.
pub(super) const ENGINE: &str = concat!("lakeward/", env!("CARGO_PKG_VERSION"));

/// The path of a version in the log.
pub(super) fn entry_path(version: u64) -> String {
    format!("_delta_log/{version:020}.json")
}

/// The version of an entry or a checkpoint, by its file's name.
fn version_of(name: &str) -> Option<u64> {
    let digits = name.get(..20)?;
    (digits.bytes().all(|byte| byte.is_ascii_digit()) && name[20..].starts_with('.')).then(|| digits.parse().ok())?
}

/// The names of the files of a table's log.
pub(super) async fn names(store: &TableStore) -> Result<Vec<String>, Error> {
    let files = store.store.list(Some(&Path::from("_delta_log")));
    let names = files.try_filter_map(async |found| Ok(found.location.filename().map(str::to_owned)));
    names.try_collect().await.map_err(Error::Store)
}

/// Whether a log of these files still says what a version was: its entries go back to the first one, or to a checkpoint.
pub(super) fn leads_to(names: &[String], version: u64) -> bool {
    let of = |is_it: fn(&str) -> bool| {
        let found = names.iter().filter(move |name| is_it(name.get(20..).unwrap_or_default()));
        found.filter_map(|name| version_of(name)).filter(|found| *found <= version).collect::<BTreeSet<u64>>()
    };
    let (entries, checkpoints) = (of(|rest| rest == ".json"), of(|rest| rest.starts_with(".checkpoint.")));
    let gap = (0..=version).rev().find(|version| !entries.contains(version));
    gap.is_none_or(|gap| checkpoints.iter().any(|checkpoint| *checkpoint >= gap))
}

/// Who has looked at the end of a log within this time has missed nothing of it: no log is cleaned as fast.
const UNSEEN_MS: i64 = 60_000;

/// A partition's move within one commit: `[from, next)` is what the commit adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetMove {
    /// The partition.
    pub partition: SourcePartition,
    /// The table's offset before; `None` if it had none.
    pub from: Option<i64>,
    /// The offset after.
    pub next: i64,
}

/// What a commit changes.
#[derive(Debug, Default)]
pub struct Commit {
    /// Files that are written already and become visible.
    pub add: Vec<DataFile>,
    /// Files that are replaced, by path.
    pub remove: Vec<String>,
    /// Every partition that the writer owns, moved or not: the conflict check sees only what a commit names.
    pub offsets: Vec<OffsetMove>,
    /// Partitions that the commit does not name and that must be where the writer believes them: checked, not written.
    pub unmoved: Vec<(SourcePartition, Option<i64>)>,
    /// The micro-batch, for the log's readers.
    pub micro_batch: i64,
    /// The time of the commit, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// What is closed, where the table has such a thing.
    pub closed: Closed,
    /// The digests of the modules that made the rows, by name: what a crash leaves half committed is finished by the same ones.
    pub modules: Arc<BTreeMap<String, String>>,
    /// Files of an earlier version that become visible again, as `add` actions.
    pub restore: Vec<Value>,
    /// Whether the table goes back to an earlier version, and its horizon with it.
    pub is_rewind: bool,
    /// Whether it brings records, which are of the newest incarnations of their topics, or else are refused.
    pub is_of_newest: bool,
    /// Whether the table gets the columns of its writer's rows, whatever it has: all of its files are removed in the same commit.
    pub renews: bool,
    /// The broker's ids of the topics whose offsets the commit names, by [`SourcePartition::of_topic`], as far as they are known: a topic
    /// that is made anew under its name has another.
    pub topic_ids: BTreeMap<String, String>,
}

/// What one entry of the log says to us.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) offsets: Vec<(SourcePartition, i64)>,
    commit_id: Option<String>,
    /// The name of another pipeline that wrote it.
    pub(super) other: Option<String>,
    pub(super) micro_batch: Option<i64>,
    pub(super) closed: Closed,
    pub(super) is_rewind: bool,
    pub(super) modules: Arc<BTreeMap<String, String>>,
    pub(super) topic_ids: BTreeMap<String, String>,
    /// How many rows our commits up to this one have added.
    pub(super) rows_added: Option<u64>,
    changes_protocol: bool,
    metadata: Option<Value>,
    add: Vec<(String, FileEntry)>,
    remove: Vec<String>,
}

impl Entry {
    /// Whether this pipeline wrote it.
    pub(super) fn is_ours(&self) -> bool {
        self.commit_id.is_some()
    }

    /// The same without what it does to the files.
    pub(super) fn without_files(self) -> Self {
        Self { add: Vec::new(), remove: Vec::new(), ..self }
    }

    pub(super) fn parse(bytes: &[u8], pipeline: &str) -> Result<Self, serde_json::Error> {
        let mut entry = Self::default();
        for action in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
            let action = action?;
            if let Some(txn) = action.get("txn") {
                let partition = txn["appId"].as_str().and_then(|id| SourcePartition::from_app_id(pipeline, id));
                entry.offsets.extend(partition.zip(txn["version"].as_i64()));
            } else if let Some(add) = action.get("add") {
                let file = FileEntry {
                    raw: text(&add["path"]),
                    size: add["size"].as_i64().unwrap_or(0),
                    partition_values: serde_json::from_value(add["partitionValues"].clone()).unwrap_or_default(),
                };
                entry.add.push((decoded(&file.raw), file));
            } else if let Some(remove) = action.get("remove") {
                entry.remove.push(decoded(&text(&remove["path"])));
            } else if let Some(info) = action.get("commitInfo") {
                let ours = &info["lakeward"];
                entry.other = ours["pipeline"].as_str().filter(|name| *name != pipeline).map(str::to_owned);
                if ours["pipeline"].as_str() == Some(pipeline) {
                    entry.commit_id = ours["commit"].as_str().map(str::to_owned);
                    entry.micro_batch = ours["microBatch"].as_i64();
                    entry.closed = Closed::parse(ours);
                    entry.rows_added = ours["rowsAdded"].as_u64();
                    entry.is_rewind = ours["rewind"].as_bool() == Some(true);
                    entry.modules = serde_json::from_value(ours["modules"].clone()).map(Arc::new).unwrap_or_default();
                    let ids = ours["topicIds"].as_object().into_iter().flatten();
                    let id = |(topic, id): (&String, &Value)| Some((topic.clone(), id.as_str()?.to_owned()));
                    entry.topic_ids = ids.filter_map(id).collect();
                }
            } else if let Some(metadata) = action.get("metaData") {
                entry.metadata = Some(metadata.clone());
            } else if action.get("protocol").is_some() {
                entry.changes_protocol = true;
            }
        }
        Ok(entry)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A path of the log is a URI reference; ours need no escapes, those of other writers may.
pub(super) fn decoded(path: &str) -> String {
    Path::from_url_path(path).map_or_else(|_| path.to_owned(), String::from)
}

/// Where a file is in the store, by its decoded path: a `%` that is in it then is one of the object's name.
pub(super) fn location(path: &str) -> Path {
    Path::parse(path).unwrap_or_else(|_| Path::from(path))
}

impl Table {
    /// Commits: all of it becomes visible in one version, or nothing.
    ///
    /// # Errors
    /// [`Error::Moved`] when a partition is not where the commit starts, [`Error::Replaced`] when a file to remove is gone,
    /// [`Error::SchemaChanged`], or a failure of the store, after which the outcome is unknown: calling again with the same
    /// `commit_id` finds out.
    pub async fn commit(&mut self, commit: &Commit, commit_id: &str) -> Result<u64, Error> {
        loop {
            let caught_up = self.catch_up(Some(commit_id)).await;
            if let Some(version) = self.landed(commit_id) {
                return Ok(version);
            }
            caught_up?;
            self.verify(commit)?;
            // Each time anew: what others committed may have added columns, and a `metaData` action without these would take them away.
            let bytes = bytes::Bytes::from(self.render(commit, commit_id));
            let version = self.version + 1;
            let put = self.store.create(&entry_path(version), bytes.clone()).await;
            crate::fault::point("entry.put");
            match put {
                Ok(()) => {
                    let entry = self.parse_own(&bytes, version)?;
                    self.follow(version, &entry, true)?;
                    self.advance(version, &entry);
                    return Ok(version);
                }
                // Somebody was first, or our own earlier attempt landed: look.
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(source) => {
                    // Whether the log could be read to its end or not: what counts is whether we are in it.
                    let _ = self.catch_up(Some(commit_id)).await;
                    return self.landed(commit_id).ok_or(Error::Store(source));
                }
            }
        }
    }

    /// Reads what was committed since, and remembers where `commit_id` is if it is among it.
    ///
    /// # Errors
    /// When the log cannot be read, or the schema was changed to one that does not take the product's rows.
    pub async fn catch_up(&mut self, commit_id: Option<&str>) -> Result<(), Error> {
        loop {
            while let Some(entry) = self.read_entry(self.version + 1).await? {
                let version = self.version + 1;
                let is_own = commit_id.is_some() && entry.commit_id.as_deref() == commit_id;
                self.follow(version, &entry, is_own)?;
                if let Some(commit_id) = commit_id.filter(|_| is_own) {
                    self.landed = Some((commit_id.to_owned(), version));
                }
                self.advance(version, &entry);
            }
            if !self.goes_on().await? {
                return Ok(());
            }
        }
    }

    /// Whether the log goes on by now, where the next entry was not there. Who has not looked for some time may have missed entries that were
    /// cleaned since: what is put in their place nobody ever reads.
    async fn goes_on(&mut self) -> Result<bool, Error> {
        let now_ms = Clock::system().now_ms();
        if now_ms - self.looked_ms < UNSEEN_MS {
            self.looked_ms = now_ms;
            return Ok(false);
        }
        let (folder, own) = (Path::from("_delta_log"), Path::from(entry_path(self.version)));
        let later = self.store.store.list_with_offset(Some(&folder), &own);
        let versions = later.try_filter_map(async |found| Ok(found.location.filename().and_then(version_of)));
        let versions: Vec<u64> = versions.try_collect().await.map_err(Error::Store)?;
        match versions.into_iter().filter(|version| *version > self.version).min() {
            // Only now: whoever tries again after a failure has not looked either.
            None => {
                self.looked_ms = now_ms;
                Ok(false)
            }
            Some(next) if next == self.version + 1 => Ok(true),
            Some(oldest) => Err(Error::Cleaned { table: self.spec.path.clone(), version: self.version, oldest }),
        }
    }

    /// The version of a commit that was met in the log: the entry behind it may be one that cannot be read, and nobody comes past ours twice.
    fn landed(&self, commit_id: &str) -> Option<u64> {
        self.landed.as_ref().filter(|(landed, _)| landed == commit_id).map(|(_, version)| *version)
    }

    /// Takes over what an entry does to the table's metadata: another writer's may add columns, no more.
    fn follow(&mut self, version: u64, entry: &Entry, is_own: bool) -> Result<(), Error> {
        let changed = || Error::SchemaChanged { table: self.spec.path.clone(), version };
        if entry.changes_protocol {
            return Err(changed());
        }
        if let Some(action) = &entry.metadata {
            self.metadata = if is_own {
                Metadata::new(action.clone(), &self.spec).0
            } else {
                self.metadata.followed_by(action, &self.spec).ok_or_else(changed)?
            };
        }
        Ok(())
    }

    fn parse_own(&self, bytes: &[u8], version: u64) -> Result<Entry, Error> {
        Entry::parse(bytes, &self.pipeline).map_err(|source| Error::Commit {
            table: self.spec.path.clone(),
            version,
            source,
        })
    }

    fn advance(&mut self, version: u64, entry: &Entry) {
        self.version = version;
        self.note(entry);
        self.topic_ids.extend(entry.topic_ids.clone());
        self.rows_added = entry.rows_added.or(self.rows_added);
        for (partition, next) in &entry.offsets {
            if self.offsets.get(partition) != Some(*next) {
                self.modules.insert(partition.clone(), Arc::clone(&entry.modules));
            }
            self.offsets.set(partition.clone(), *next);
        }
        if self.spec.track_files {
            for path in &entry.remove {
                self.files.remove(path);
            }
            self.files.extend(entry.add.iter().cloned());
        }
    }

    /// The commit continues exactly where the table stands, and what it replaces is there.
    fn verify(&self, commit: &Commit) -> Result<(), Error> {
        if commit.is_of_newest {
            commit.offsets.iter().try_for_each(|step| self.is_newest(&step.partition))?;
        }
        let named = commit.offsets.iter().map(|step| (&step.partition, step.from));
        let unmoved = commit.unmoved.iter().map(|(partition, from)| (partition, *from));
        for (partition, from) in named.chain(unmoved) {
            let found = self.offsets.get(partition);
            if found != from {
                return Err(Error::Moved {
                    table: self.spec.path.clone(),
                    partition: partition.clone(),
                    expected: from,
                    found,
                });
            }
        }
        let is_whole = !commit.renews || commit.remove.len() == self.files.len();
        if is_whole && commit.remove.iter().all(|path| self.files.contains_key(path)) {
            return Ok(());
        }
        Err(Error::Replaced { table: self.spec.path.clone(), version: self.version })
    }

    /// No records of a later incarnation of the topic are in the table: whoever still writes an earlier one has not heard of it.
    fn is_newest(&self, of: &SourcePartition) -> Result<(), Error> {
        let is_later = |other: &SourcePartition| {
            other.incarnation > of.incarnation && other.partition == of.partition && other.topic == of.topic
        };
        match self.offsets.iter().map(|(other, _)| other).find(|other| is_later(other)) {
            None => Ok(()),
            Some(later) => Err(Error::Incarnation {
                table: self.spec.path.clone(),
                partition: of.clone(),
                newest: later.incarnation,
            }),
        }
    }

    fn render(&self, commit: &Commit, commit_id: &str) -> String {
        let rows_added = self.rows_added.map(|rows| rows + commit.add.iter().map(|file| file.rows).sum::<u64>());
        let operation = if commit.remove.is_empty() { "Append" } else { "Overwrite" };
        // All that was closed so far too: whoever reads one of our commits looks no further back.
        let closed = if commit.is_rewind { commit.closed } else { self.closed().and(commit.closed) };
        let info = json!({"commitInfo": {
            "timestamp": commit.at_ms,
            "operation": "WRITE",
            "operationParameters": {"mode": operation},
            "engineInfo": ENGINE,
            "lakeward": {
                "commit": commit_id,
                "pipeline": self.pipeline,
                "microBatch": commit.micro_batch,
                "horizonMs": closed.horizon_ms,
                "keptFromUs": closed.kept_from_us,
                "rewind": commit.is_rewind,
                "modules": *commit.modules,
                "topicIds": commit.topic_ids,
                "rowsAdded": rows_added,
            },
        }});
        let mut lines = vec![info];
        let metadata = match commit.renews {
            true => self.metadata.renewed(&self.spec),
            false if commit.add.is_empty() => None,
            false => self.metadata.grown(),
        };
        lines.extend(metadata.map(|metadata| json!({"metaData": metadata})));
        for step in &commit.offsets {
            lines.push(json!({"txn": {"appId": step.partition.app_id(&self.pipeline), "version": step.next}}));
        }
        let micro_batch = Some(commit.micro_batch.max(self.micro_batch()));
        let closed = if commit.is_rewind { closed.or_nothing() } else { closed };
        lines.extend(Lasting { micro_batch, closed, rows_added }.actions(&self.pipeline));
        for path in &commit.remove {
            lines.push(self.render_remove(path, commit.at_ms));
        }
        lines.extend(commit.restore.iter().map(|add| json!({"add": add})));
        for file in &commit.add {
            lines.push(json!({"add": {
                "path": file.path,
                "partitionValues": file.partition_values,
                "size": file.size,
                "modificationTime": commit.at_ms,
                "dataChange": true,
                "stats": file.stats.to_string(),
            }}));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn render_remove(&self, path: &str, at_ms: i64) -> Value {
        // Readers match it with the `add` before they decode either.
        let raw = self.files.get(path).map_or(path, |file| &file.raw);
        let mut remove = json!({"path": raw, "deletionTimestamp": at_ms, "dataChange": true});
        if let Some(file) = self.files.get(path) {
            remove["extendedFileMetadata"] = true.into();
            remove["size"] = file.size.into();
            remove["partitionValues"] = json!(file.partition_values);
        }
        json!({"remove": remove})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_leads_to_a_version_from_its_start_or_a_checkpoint() {
        let leads = |entries: &[u64], checkpoints: &[u64], version| {
            let entries = entries.iter().map(|version| format!("{version:020}.json"));
            let checkpoints = checkpoints.iter().map(|version| format!("{version:020}.checkpoint.parquet"));
            let names: Vec<String> = entries.chain(checkpoints).chain(["_last_checkpoint".to_owned()]).collect();
            leads_to(&names, version)
        };
        assert!(leads(&[0, 1, 2], &[], 2) && !leads(&[0, 1, 2], &[], 3));
        assert!(!leads(&[4, 5, 6], &[], 5) && !leads(&[4, 5, 6], &[6], 5));
        assert!(leads(&[4, 5, 6], &[4], 5) && leads(&[4, 5, 6], &[3], 5) && leads(&[6], &[5], 5));
        assert!(!leads(&[2, 4, 5], &[2], 5));
    }
}

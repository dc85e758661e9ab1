//! Where a module's history is cut for a rewind: the offsets and the versions of tables that belong to a row of the commits table.

use super::Error;
use super::commit::chain;
use super::history::{Row, first_read, read};
use super::reached::versions;
use super::target::{Chosen, own_tables, reads};
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::config::Config;
use crate::serve::orders::Refusal;
use crate::sink::{Past, Warehouse, find_commit, system};
use lakeward_manifest::Manifest;
use std::collections::BTreeMap;

/// How many rows before the chosen one are looked at for a cut that is whole.
const MOST_STEPS: usize = 100;

/// What goes back.
pub(super) struct Cut {
    /// The index of the row that stays.
    pub(super) at: usize,
    pub(super) offsets: BTreeMap<String, i64>,
    pub(super) tables: BTreeMap<String, u64>,
}

/// The rows of the commits table, and where the module began.
pub(super) struct Around<'a> {
    pub(super) config: &'a Config,
    pub(super) lake: &'a Warehouse,
    pub(super) manifest: &'a Manifest,
    pub(super) rows: &'a [Row],
    pub(super) first: &'a BTreeMap<SourcePartition, i64>,
}

impl Around<'_> {
    /// The cut at the chosen row, or at the first one before it that is whole: of several instances, each commits its tables one after the
    /// other, so that where one has its row, another's rows may be in some of the tables and not in the rest.
    pub(super) async fn cut(&self, chosen: &Chosen<'_>) -> Result<Cut, Refusal> {
        let name = &self.manifest.name;
        let is_its = |at: &usize| self.rows[*at].is_micro_batch() && self.rows[*at].modules.contains_key(name);
        for at in (0..=chosen.at).rev().filter(is_its).take(MOST_STEPS) {
            let offsets = self.offsets(at).await?;
            if chosen.without.is_some_and(|digest| self.stays(at, &offsets, digest)) {
                continue;
            }
            if let Some(tables) = self.tables(at, &offsets).await? {
                return Ok(Cut { at, offsets, tables });
            }
        }
        Err(Refusal::Conflict(format!(
            "around micro-batch {} instances were in the midst of theirs all the time: name an earlier one",
            self.rows[chosen.at].micro_batch
        )))
    }

    /// Where the module stood in each partition when the row was committed.
    async fn offsets(&self, at: usize) -> Result<BTreeMap<String, i64>, Refusal> {
        let Self { config, lake, manifest, rows, first } = self;
        let failed = |error: crate::sink::Error| Refusal::Unavailable(chain(&Error::from(error)));
        let stay = &rows[at];
        let named: Checkpoint = stay
            .offsets
            .iter()
            .filter_map(|(of, [_, next])| Some((SourcePartition::parse(of)?, *next)))
            .filter(|(of, _)| {
                of.reader.as_deref().is_none_or(|reader| *reader == *manifest.name) && reads(manifest, of)
            })
            .collect();
        let version =
            find_commit(lake, &config.pipeline, system::COMMITS, stay.micro_batch, &named).await.map_err(failed)?;
        let Some(version) = version else {
            return Err(Refusal::Conflict(format!(
                "the log of the commits table no longer goes back to micro-batch {}",
                stay.micro_batch
            )));
        };
        let had_read = first_read(&rows[..=at], &manifest.name);
        stood(config, lake, manifest, first, &had_read, version).await.map_err(failed)
    }

    /// Whether rows of a digest would stay that were committed with a higher number, but before.
    fn stays(&self, at: usize, offsets: &BTreeMap<String, i64>, digest: &str) -> bool {
        let name = &self.manifest.name;
        let later =
            self.rows[at + 1..].iter().filter(|row| row.modules.get(name).is_some_and(|of| of.starts_with(digest)));
        later.into_iter().any(|row| {
            let mut ranges = read(std::slice::from_ref(row), name);
            ranges.any(|(of, [from, _])| offsets.get(&of.to_string()).is_some_and(|next| from < *next))
        })
    }

    /// The versions of the module's tables and of the dead letters; `None` where one of them is ahead.
    async fn tables(
        &self,
        at: usize,
        offsets: &BTreeMap<String, i64>,
    ) -> Result<Option<BTreeMap<String, u64>>, Refusal> {
        let own = own_tables(self.manifest);
        let tables = self.rows[at].tables.iter();
        let tables = tables.filter(|(path, _)| own.contains(path) || *path == system::DEAD_LETTERS);
        let tables = tables.map(|(path, version)| (path.clone(), *version)).collect();
        let had_read = first_read(&self.rows[..=at], &self.manifest.name);
        let found = versions(self.config, self.lake, self.manifest, tables, offsets, &had_read).await;
        found.map_err(|error| Refusal::Unavailable(chain(&Error::from(error))))
    }
}

/// Where the module stood at a version of the commits table in each partition that it has read by now, the `first` record of each being
/// known. A partition that it `had_read` nothing of then is read from that on, however far others were.
async fn stood(
    config: &Config,
    lake: &Warehouse,
    manifest: &Manifest,
    first: &BTreeMap<SourcePartition, i64>,
    had_read: &BTreeMap<SourcePartition, i64>,
    version: u64,
) -> Result<BTreeMap<String, i64>, crate::sink::Error> {
    let own = first.keys().map(|of| of.of_reader(&manifest.name));
    let known: Vec<SourcePartition> = first.keys().cloned().chain(own).collect();
    let past = Past::of(lake, &config.pipeline, system::COMMITS, version, &known).await?;
    let stood = |(of, first): (&SourcePartition, &i64)| {
        let of_all = || past.offsets.get(of).filter(|_| had_read.contains_key(of));
        let next = past.offsets.get(&of.of_reader(&manifest.name)).or_else(of_all);
        (of.to_string(), next.unwrap_or(*first))
    };
    Ok(first.iter().filter(|(of, _)| reads(manifest, of)).map(stood).collect())
}

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
    /// What is active now.
    pub(super) active: &'a Manifest,
    /// What reads on from there: that, or what was active before it.
    pub(super) next: &'a Manifest,
    pub(super) rows: &'a [Row],
    pub(super) first: &'a BTreeMap<SourcePartition, i64>,
}

impl Around<'_> {
    /// The cut at the chosen row, or at the first one before it that is whole: of several instances, each commits its tables one after the
    /// other, so that where one has its row, another's rows may be in some of the tables and not in the rest.
    pub(super) async fn cut(&self, chosen: &Chosen<'_>) -> Result<Cut, Refusal> {
        let name = &self.active.name;
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
        let Self { config, lake, active, rows, first, .. } = self;
        let failed = |error: crate::sink::Error| Refusal::Unavailable(chain(&Error::from(error)));
        let stay = &rows[at];
        let named: Checkpoint = stay
            .offsets
            .iter()
            .filter_map(|(of, [_, next])| Some((SourcePartition::parse(of)?, *next)))
            .filter(|(of, _)| of.reader.as_deref().is_none_or(|reader| *reader == *active.name) && self.reads(of))
            .collect();
        let version =
            find_commit(lake, &config.pipeline, system::COMMITS, stay.micro_batch, &named).await.map_err(failed)?;
        let Some(version) = version else {
            return Err(Refusal::Conflict(format!(
                "the log of the commits table no longer goes back to micro-batch {}",
                stay.micro_batch
            )));
        };
        let had_read = first_read(&rows[..=at], &active.name);
        let own = first.keys().map(|of| of.of_reader(&active.name));
        let known: Vec<SourcePartition> = first.keys().cloned().chain(own).collect();
        let past = Past::of(lake, &config.pipeline, system::COMMITS, version, &known).await.map_err(failed)?;
        // A partition of which the module had read nothing then is read from its beginning, however far others were.
        let stood = |(of, first): (&SourcePartition, &i64)| {
            let of_all = || past.offsets.get(of).filter(|_| had_read.contains_key(of));
            let next = past.offsets.get(&of.of_reader(&active.name)).or_else(of_all);
            (of.to_string(), next.unwrap_or(*first))
        };
        Ok(first.iter().filter(|(of, _)| self.reads(of)).map(stood).collect())
    }

    /// Whether the module reads the partition's topic, now or then.
    fn reads(&self, of: &SourcePartition) -> bool {
        reads(self.active, of) || reads(self.next, of)
    }

    /// The tables that are the module's own, now or then.
    pub(super) fn own_tables(&self) -> Vec<String> {
        let mut own = own_tables(self.active);
        let left = own_tables(self.next).into_iter().filter(|path| !own.contains(path));
        let left: Vec<String> = left.collect();
        own.extend(left);
        own
    }

    /// Whether rows of a digest would stay that were committed with a higher number, but before.
    fn stays(&self, at: usize, offsets: &BTreeMap<String, i64>, digest: &str) -> bool {
        let name = &self.active.name;
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
        let own = self.own_tables();
        let tables = self.rows[at].tables.iter();
        let tables = tables.filter(|(path, _)| own.contains(path) || *path == system::DEAD_LETTERS);
        let tables = tables.map(|(path, version)| (path.clone(), *version)).collect();
        let had_read = first_read(&self.rows[..=at], &self.active.name);
        let found = versions(self.config, self.lake, self.active, tables, offsets, &had_read).await;
        found.map_err(|error| Refusal::Unavailable(chain(&Error::from(error))))
    }
}

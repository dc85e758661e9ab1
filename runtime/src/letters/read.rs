//! Reads the table of dead letters, file by file.

use super::Error;
use super::filter::{Filter, Grouping};
use super::letter::{BYTES, COLUMNS, Letter, Origin, Rows, STATE_COLUMNS};
use super::requested::Requested;
use super::states::States;
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::sink::redrives::{Action, REDRIVES};
use crate::sink::{Part, Snapshot, Warehouse, system};
use futures::TryStreamExt;
use std::collections::BTreeMap;

/// Groups that are counted one by one; reasons that quote the record can be as many as there are letters.
const GROUPS: usize = 10_000;

/// The name under which the groups beyond these are counted together.
const OTHERS: &str = "(others)";

/// The dead letters of a pipeline, as of one version of the table.
pub struct Letters {
    /// `None` while nothing has been written.
    pub(super) table: Option<Snapshot>,
    /// Of each sequence of redrives, what the table executes next.
    pub(super) executed: Checkpoint,
    pub(super) states: States,
    pub(super) requested: Requested,
}

/// What a list shows.
#[derive(Debug, Default)]
pub struct Listing {
    /// The newest letters, each with what is requested for it and not executed yet.
    pub letters: Vec<(Letter, Option<Action>)>,
    /// How many there are in all.
    pub total: u64,
    /// How many there are of each group, the largest first; empty where nobody asked for groups.
    pub groups: Vec<(String, u64)>,
}

impl Letters {
    /// Reads what became of every letter.
    ///
    /// # Errors
    /// When the lake fails.
    pub async fn open(lake: &Warehouse, pipeline: &str) -> Result<Self, Error> {
        let table = Snapshot::open(lake, pipeline, system::DEAD_LETTERS, None).await?;
        let mut letters =
            Self { table, executed: Checkpoint::default(), states: States::default(), requested: Requested::default() };
        // Opened after the letters: all that those have executed is in it.
        let redrives = Snapshot::open(lake, pipeline, REDRIVES, None).await?;
        let (Some(table), Some(redrives)) = (&letters.table, redrives) else { return Ok(letters) };
        let sequences: Vec<SourcePartition> =
            redrives.recent_offsets().iter().map(|(sequence, _)| sequence.clone()).collect();
        letters.executed = table.offsets(&sequences).await?;
        letters.requested = Requested::read(&redrives, &letters.executed).await?;
        let mut files = table.rows_of(table.parts(), &STATE_COLUMNS);
        while let Some((part, mut rows)) = files.try_next().await? {
            while let Some(batch) = rows.batches.try_next().await? {
                letters.states.add(&Rows::of(&batch).ok_or_else(|| columns(part))?, batch.num_rows());
            }
        }
        drop(files);
        Ok(letters)
    }

    /// The letters that a filter takes: the newest `limit` of them, and how many there are in all, by group if asked for.
    ///
    /// # Errors
    /// When the lake fails.
    pub async fn list(&self, filter: &Filter, limit: usize, by: Option<Grouping>) -> Result<Listing, Error> {
        let (mut listing, mut groups) = (Listing::default(), BTreeMap::<String, u64>::new());
        self.each(&COLUMNS, |letter| {
            if filter.takes(&letter) {
                listing.total += 1;
                if let Some(by) = by {
                    count(&mut groups, by.of(&letter));
                }
                if listing.letters.len() < limit {
                    let requested = self.requested.action(&letter.identity);
                    listing.letters.push((letter, requested));
                }
            }
        })
        .await?;
        listing.groups = groups.into_iter().collect();
        listing.groups.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        Ok(listing)
    }

    /// All rows about a record, with its bytes, the oldest first.
    ///
    /// # Errors
    /// When the lake fails.
    pub async fn history(&self, origin: &Origin) -> Result<Vec<(Letter, Option<Action>)>, Error> {
        let Some(table) = &self.table else { return Ok(Vec::new()) };
        let (mut history, all) = (Vec::new(), [&COLUMNS[..], &BYTES[..]].concat());
        for part in table.parts() {
            if !self.holds(table, part, origin).await? {
                continue;
            }
            let mut rows = table.rows(part, &all).await?;
            while let Some(batch) = rows.batches.try_next().await? {
                let rows = Rows::of(&batch).ok_or_else(|| columns(part))?;
                let found = (0..batch.num_rows()).filter(|row| rows.is_of(*row, origin));
                for letter in found.filter_map(|row| rows.letter(row)) {
                    let requested = self.requested.action(&letter.identity);
                    history.push((letter, requested));
                }
            }
        }
        history.sort_by_key(|(letter, _)| (letter.identity.clone(), letter.micro_batch, letter.request));
        Ok(history)
    }

    /// Whether a file has a row about a record: bytes are read only where it has.
    async fn holds(&self, table: &Snapshot, part: &Part, origin: &Origin) -> Result<bool, Error> {
        let mut rows = table.rows(part, &STATE_COLUMNS).await?;
        while let Some(batch) = rows.batches.try_next().await? {
            let rows = Rows::of(&batch).ok_or_else(|| columns(part))?;
            if (0..batch.num_rows()).any(|row| rows.is_of(row, origin)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives out the newest row of every letter, with these columns; of the newest files first.
    pub(super) async fn each(&self, wanted: &[&str], mut take: impl FnMut(Letter)) -> Result<(), Error> {
        let Some(table) = &self.table else { return Ok(()) };
        let mut files = table.rows_of(newest_first(table), wanted);
        while let Some((part, mut rows)) = files.try_next().await? {
            while let Some(batch) = rows.batches.try_next().await? {
                let rows = Rows::of(&batch).ok_or_else(|| columns(part))?;
                for row in 0..batch.num_rows() {
                    if self.is_newest(&rows, row) {
                        take(rows.letter(row).ok_or_else(|| columns(part))?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a row is its letter's newest.
    pub(super) fn is_newest(&self, rows: &Rows<'_>, row: usize) -> bool {
        self.states.is_newest(&rows.identity(row), rows.status(row), rows.request(row))
    }
}

/// The files of a table, those committed last first.
pub(super) fn newest_first(table: &Snapshot) -> Vec<&Part> {
    let mut parts: Vec<&Part> = table.parts().iter().collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.committed_at_ms));
    parts
}

pub(super) fn columns(part: &Part) -> Error {
    Error::Columns { table: system::DEAD_LETTERS, file: part.path().to_owned() }
}

/// Counts one more of a group. Where there are too many, the smaller half goes to the others: what is frequent stays, whenever it began.
fn count(groups: &mut BTreeMap<String, u64>, group: &str) {
    if let Some(count) = groups.get_mut(group) {
        *count += 1;
        return;
    }
    if groups.len() >= GROUPS {
        let mut counts: Vec<u64> = groups.values().copied().collect();
        let (_, median, _) = counts.select_nth_unstable(GROUPS / 2);
        let median = *median;
        let before: u64 = groups.values().sum();
        groups.retain(|group, count| *count > median || group == OTHERS);
        *groups.entry(OTHERS.to_owned()).or_default() += before - groups.values().sum::<u64>();
    }
    groups.insert(group.to_owned(), 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_beyond_the_bound_are_counted_together() {
        let mut groups = BTreeMap::new();
        for reason in 0..3 * GROUPS {
            count(&mut groups, &format!("customer {reason} is not a number"));
            count(&mut groups, "customer 3 is not a number");
        }
        // One that is frequent, but begins late.
        (0..50).for_each(|_| count(&mut groups, "no country"));
        assert!(groups.len() <= GROUPS);
        assert!(groups[OTHERS] > GROUPS as u64);
        assert_eq!(groups["customer 3 is not a number"], 3 * GROUPS as u64 + 1);
        assert_eq!(groups["no country"], 50);
        assert_eq!(groups.values().sum::<u64>(), 6 * GROUPS as u64 + 50);
    }
}

//! Which groups of a gold product hold rows that differ in something that the product counts.

use super::align::taken;
use super::examples::Examples;
use super::pairs::{GoldPair, Grouping};
use super::products::Differences;
use super::report::{GoldReport, Group, Presence};
use super::values::{self, HIDDEN};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef};
use chrono::{DateTime, SecondsFormat};
use hashbrown::HashSet;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::BTreeMap;
use std::hash::Hasher;

/// Groups that are told apart; from there on the count is "at least". 16 bytes each, in every thread.
const COUNTED: usize = 200_000;

/// The groups of one gold product that were found to differ.
#[derive(Debug, Default)]
pub(super) struct GroupTally {
    /// By the hash of keys and window.
    seen: HashSet<u128>,
    is_full: bool,
    examples: Examples<(i64, Vec<u8>), Group>,
}

/// What a chunk's differences do to a gold product.
pub(super) struct Touched<'a> {
    pub(super) grouping: &'a Grouping,
    pub(super) differences: &'a Differences<'a>,
}

impl Touched<'_> {
    /// Notes the groups that the rows of both modules fall into, where the rows differ in what the gold product reads.
    pub(super) fn note(&self, tally: &mut GroupTally) {
        let Differences { old, new, alignment, columns } = self.differences;
        let read = columns.iter().filter(|(name, _)| self.grouping.reads.iter().any(|read| read == name));
        let changed = read.filter_map(|(_, rows)| rows.clone()).reduce(|all, rows| &all | &rows);
        let changed: Vec<usize> = changed.map(|rows| rows.set_indices().collect()).unwrap_or_default();
        let rows = |matched: fn(&super::align::Alignment, usize) -> u32, only: &[u32]| {
            changed.iter().map(|index| matched(alignment, *index)).chain(only.iter().copied()).collect::<Vec<u32>>()
        };
        let before = rows(super::align::Alignment::old_row, &alignment.only_old);
        let after = rows(super::align::Alignment::new_row, &alignment.only_new);
        let keys = &self.grouping.keys;
        self.add(tally, &old.columns, &before, self.grouping.time.0, keys.iter().map(|key| key.1));
        self.add(tally, &new.columns, &after, self.grouping.time.1, keys.iter().map(|key| key.2));
    }

    fn add(
        &self,
        tally: &mut GroupTally,
        columns: &[ArrayRef],
        rows: &[u32],
        time: usize,
        keys: impl Iterator<Item = usize>,
    ) {
        if rows.is_empty() {
            return;
        }
        let keys: Vec<ArrayRef> = keys.map(|column| taken(&columns[column], rows)).collect();
        let times = taken(&columns[time], rows);
        let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else { return };
        let encoded = (!keys.is_empty())
            .then(|| self.grouping.encoder.convert_columns(&keys).expect("the keys are of the encoder's types"));
        for row in (0..rows.len()).filter(|row| times.is_valid(*row)) {
            let time = times.value(row);
            let start_us = time.saturating_sub(time.rem_euclid(self.grouping.width_us));
            let key = encoded.as_ref().map(|encoded| encoded.row(row));
            let key: &[u8] = key.as_ref().map_or(&[], |key| key.as_ref());
            if tally.see(start_us, key) {
                tally.examples.offer((start_us, key.to_vec()), || self.group(&keys, row, start_us));
            }
        }
    }

    fn group(&self, keys: &[ArrayRef], row: usize, start_us: i64) -> Group {
        let value = |(column, (name, _, _, may_show)): (&ArrayRef, &(String, usize, usize, bool))| {
            let value = values::show(column, row);
            (name.clone(), if *may_show { value } else { value.map(|_| HIDDEN.to_owned()) })
        };
        let keys: BTreeMap<String, Option<String>> = keys.iter().zip(&self.grouping.keys).map(value).collect();
        Group { keys, window_start: rfc3339(start_us) }
    }
}

fn rfc3339(us: i64) -> String {
    let time = DateTime::from_timestamp_micros(us);
    time.map_or_else(|| format!("microsecond {us}"), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

impl GroupTally {
    /// Whether the group was not seen before.
    fn see(&mut self, start_us: i64, key: &[u8]) -> bool {
        let mut hasher = SipHasher13::new();
        hasher.write_i64(start_us);
        hasher.write(key);
        let hash = hasher.finish128().as_u128();
        if self.seen.len() < COUNTED {
            return self.seen.insert(hash);
        }
        let is_new = !self.seen.contains(&hash);
        self.is_full |= is_new;
        is_new
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.is_full |= other.is_full;
        for hash in other.seen {
            if self.seen.len() < COUNTED {
                self.seen.insert(hash);
            } else {
                self.is_full |= !self.seen.contains(&hash);
            }
        }
        // The same group may be an example of both.
        for (key, group) in other.examples.into_iter() {
            if !self.examples.iter().any(|(known, _)| *known == key) {
                self.examples.offer(key, || group);
            }
        }
    }

    pub(super) fn report(&self, pair: &GoldPair) -> GoldReport {
        GoldReport {
            product: pair.path.clone(),
            presence: pair.presence,
            is_redefined: pair.presence == Presence::Both && pair.grouping.is_none(),
            groups: self.seen.len() as u64,
            at_least: self.is_full,
            examples: self.examples.iter().map(|(_, group)| group.clone()).collect(),
        }
    }
}

//! How the rows of one product differ: counted exactly, with a few examples.

use super::Side;
use super::align::{Alignment, Flat};
use super::examples::{Examples, Origin};
use super::groups::{GroupTally, Touched};
use super::pairs::{ColumnPair, GoldPair, ProductPair};
use super::report::{ColumnReport, Differing, Presence, ProductReport, RowExample, RowsReport};
use super::values::{self, HIDDEN};
use crate::record::Chunk;
use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;
use std::sync::Arc;

/// Columns of a row that an example shows.
const SHOWN_COLUMNS: usize = 6;

/// What was found about one product.
#[derive(Debug)]
pub(super) struct ProductTally {
    rows: RowsReport,
    columns: Vec<ColumnTally>,
    only_old: Examples<(Origin, u32), String>,
    only_new: Examples<(Origin, u32), String>,
}

#[derive(Debug, Default)]
struct ColumnTally {
    differs: u64,
    examples: Examples<(Origin, u32), (Option<String>, Option<String>)>,
}

/// What of two chunks' rows differs, for the gold products over them.
pub(super) struct Differences<'a> {
    pub(super) old: &'a Flat,
    pub(super) new: &'a Flat,
    pub(super) alignment: &'a Alignment,
    /// By column that both modules have: its name, and the matched rows that differ in it.
    pub(super) columns: Vec<(&'a str, Option<BooleanBuffer>)>,
}

impl ProductTally {
    pub(super) fn new(pair: &ProductPair) -> Self {
        let columns = pair.columns.iter().map(|_| ColumnTally::default()).collect();
        Self { rows: RowsReport::default(), columns, only_old: Examples::default(), only_new: Examples::default() }
    }

    /// Compares what both modules made of a chunk for this product, and tells the gold products over it.
    pub(super) fn chunk(
        &mut self,
        pair: &ProductPair,
        golds: &[GoldPair],
        tallies: &mut [GroupTally],
        chunk: &Chunk,
        old: &[Side<'_>],
        new: &[Side<'_>],
    ) {
        let flat = |sides, product: Option<usize>| product.map(|product| Flat::of(sides, product)).unwrap_or_default();
        let (old, new) = (flat(old, pair.old), flat(new, pair.new));
        let alignment = Alignment::new(&old.records, &new.records);
        let mut changed: Option<BooleanBuffer> = None;
        let mut columns = Vec::with_capacity(pair.columns.len());
        for (column, tally) in pair.columns.iter().zip(&mut self.columns) {
            let rows =
                if alignment.matched == 0 { None } else { tally.chunk(column, pair, chunk, &old, &new, &alignment) };
            if let Some(rows) = &rows {
                changed = Some(changed.map_or_else(|| rows.clone(), |changed| &changed | rows));
            }
            columns.push((column.name.as_str(), rows));
        }
        let changed = changed.map_or(0, |rows| rows.count_set_bits());
        self.rows += RowsReport {
            same: (alignment.matched - changed) as u64,
            changed: changed as u64,
            only_old: alignment.only_old.len() as u64,
            only_new: alignment.only_new.len() as u64,
        };
        lonely(&mut self.only_old, &old, &alignment.only_old, chunk, &pair.old_names);
        lonely(&mut self.only_new, &new, &alignment.only_new, chunk, &pair.new_names);
        let differences = Differences { old: &old, new: &new, alignment: &alignment, columns };
        for (gold, tally) in golds.iter().zip(tallies) {
            if let Some(grouping) = gold.grouping.as_ref().filter(|grouping| grouping.product == pair.path) {
                Touched { grouping, differences: &differences }.note(tally);
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.only_old.merge(other.only_old);
        self.only_new.merge(other.only_new);
        for (tally, other) in self.columns.iter_mut().zip(other.columns) {
            tally.differs += other.differs;
            tally.examples.merge(other.examples);
        }
    }

    pub(super) fn report(&self, pair: &ProductPair) -> ProductReport {
        let both = pair.columns.iter().zip(&self.columns).map(|(column, tally)| ColumnReport {
            column: column.name.clone(),
            presence: Presence::Both,
            types: column.types.clone().map(|(old, new)| [old, new]),
            differs: tally.differs,
            examples: tally
                .examples
                .iter()
                .map(|((origin, _), (before, after))| Differing {
                    origin: origin.clone(),
                    before: before.clone(),
                    after: after.clone(),
                })
                .collect(),
        });
        let lonely = pair.lonely.iter().map(|(column, presence)| ColumnReport {
            column: column.clone(),
            presence: *presence,
            types: None,
            differs: 0,
            examples: Vec::new(),
        });
        let rows = |examples: &Examples<(Origin, u32), String>| {
            let row =
                |((origin, _), row): &((Origin, u32), String)| RowExample { origin: origin.clone(), row: row.clone() };
            examples.iter().map(row).collect()
        };
        ProductReport {
            product: pair.path.clone(),
            presence: pair.presence(),
            rows: self.rows,
            columns: both.chain(lonely).collect(),
            only_old: rows(&self.only_old),
            only_new: rows(&self.only_new),
        }
    }
}

impl ColumnTally {
    /// Counts the matched rows whose values differ, and gives them back.
    fn chunk(
        &mut self,
        column: &ColumnPair,
        pair: &ProductPair,
        chunk: &Chunk,
        old: &Flat,
        new: &Flat,
        alignment: &Alignment,
    ) -> Option<BooleanBuffer> {
        let (before, after) = (alignment.old(&old.columns[column.old]), alignment.new_rows(&new.columns[column.new]));
        let rows = values::differing(column, &before, &after)?;
        self.differs += rows.count_set_bits() as u64;
        let (show_old, show_new) = (pair.old_names[column.old].1, pair.new_names[column.new].1);
        for row in rows.set_indices() {
            let record = old.records[alignment.old_row(row) as usize];
            let key = (origin(chunk, record), alignment.old_row(row));
            if !self.examples.wants(&key) {
                break;
            }
            self.examples.offer(key, || (shown(&before, row, show_old), shown(&after, row, show_new)));
        }
        Some(rows)
    }
}

fn shown(column: &ArrayRef, row: usize, may_show: bool) -> Option<String> {
    let value = values::show(column, row);
    if may_show { value } else { value.map(|_| HIDDEN.to_owned()) }
}

fn origin(chunk: &Chunk, record: u32) -> Origin {
    Origin { topic: Arc::clone(chunk.topic()), partition: chunk.partition(), offset: chunk.offset(record as usize) }
}

/// Keeps examples of rows that one module makes and the other does not.
fn lonely(
    examples: &mut Examples<(Origin, u32), String>,
    flat: &Flat,
    rows: &[u32],
    chunk: &Chunk,
    names: &[(String, bool)],
) {
    for row in rows {
        let key = (origin(chunk, flat.records[*row as usize]), *row);
        // Rows come by rising offsets: what follows is no smaller.
        if !examples.wants(&key) {
            return;
        }
        let value = |(column, (name, may_show)): (&ArrayRef, &(String, bool))| {
            format!("{name}={}", shown(column, *row as usize, *may_show).unwrap_or_else(|| "null".to_owned()))
        };
        examples.offer(key, || {
            let values: Vec<String> = flat.columns.iter().zip(names).take(SHOWN_COLUMNS).map(value).collect();
            let more = if flat.columns.len() > SHOWN_COLUMNS { ", .." } else { "" };
            values.join(", ") + more
        });
    }
}

//! A gold product computed anew from the rows of its silver product, up to where the gold table stands.

use super::cell::{Cell, Column, constant};
use super::origins::{Columns, Origins, Source};
use super::report::Offenders;
use super::subject::{Gold, Silver};
use super::total::Total;
use crate::checkpoint::Checkpoint;
use crate::columns::table_type;
use crate::sink::Part;
use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::DataType as ArrowType;
use lakeward_manifest::DataType;
use std::collections::{BTreeMap, HashMap};

/// The groups of a gold product.
pub(super) struct Regrouped<'a> {
    silver: &'a Silver,
    gold: &'a Gold,
    /// Rows at or behind these offsets are not in the gold table yet.
    cut: BTreeMap<Source, i64>,
    /// Records of which rows came too late for their window.
    late: Origins,
    /// Of these, records with rows whose time was far ahead: each row was judged by itself.
    ahead: Origins,
    /// Records that became rows by a redrive which the gold table does not have yet.
    hidden: Origins,
    width_us: i64,
    groups: HashMap<Vec<u8>, Group>,
    /// Late records of which a row was seen, and those of which several were.
    seen: Origins,
    several: Origins,
    /// The rows of the latter, once they are looked for: which of them were late, the windows tell.
    held: Option<BTreeMap<(Source, i64), Vec<HeldRow>>>,
    /// Rows that are in the groups.
    pub(super) rows: u64,
    scratch: Vec<u8>,
}

/// The start of a row's window and its group.
type HeldRow = (i64, Vec<u8>);

struct Group {
    totals: Vec<Total>,
    /// Whether it holds a row of a late record of which nobody can say whether it was late.
    doubtful: bool,
}

impl<'a> Regrouped<'a> {
    /// No rows yet.
    #[must_use]
    pub(super) fn new(
        silver: &'a Silver,
        gold: &'a Gold,
        cut: &Checkpoint,
        [late, ahead]: [Origins; 2],
        hidden: Origins,
    ) -> Self {
        let cut = cut.iter().filter(|(partition, _)| partition.topic == silver.topic);
        let cut = cut.map(|(partition, next)| (super::origins::source_of(partition), next)).collect();
        let width_us = i64::try_from(gold.gold.window.width_ms()).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
        let (seen, several) = (Origins::default(), Origins::default());
        let (groups, scratch) = (HashMap::new(), Vec::new());
        let width_us = width_us.max(1);
        Self { silver, gold, cut, late, ahead, hidden, width_us, groups, seen, several, held: None, rows: 0, scratch }
    }

    /// Whether the rows must be read once more, to look at late records with several rows. They are rare, and holding all late rows
    /// would cost more memory than all else together.
    #[must_use]
    pub(super) fn look_again(&mut self) -> bool {
        self.held = (self.several.len() > 0).then(BTreeMap::new);
        self.held.is_some()
    }

    /// The columns of the silver product that are needed.
    #[must_use]
    pub(super) fn columns(&self) -> Vec<&'a str> {
        let gold = &self.gold.gold;
        let measured = gold.measures.iter().filter_map(|measure| measure.column.as_deref());
        let keys = gold.keys.iter().map(|key| key.column.as_str());
        measured.chain(keys).chain([gold.time.as_str()]).collect()
    }

    /// Adds rows of a file of the silver table; false if a column is missing or of another type.
    #[must_use]
    pub(super) fn add(&mut self, part: &Part, rows: &RecordBatch, origins: &Columns<'_>) -> bool {
        let arrays: Option<Vec<ArrayRef>> = self.columns().iter().map(|name| self.array(part, rows, name)).collect();
        let Some(arrays) = arrays else { return false };
        let Some(columns) = arrays.iter().map(|array| Column::of(array)).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let mut columns = columns.iter();
        let Some(time) = columns.next_back() else { return false };
        let keys: Vec<&Column<'_>> = columns.by_ref().rev().take(self.gold.gold.keys.len()).collect();
        let keys: Vec<&Column<'_>> = keys.into_iter().rev().collect();
        let mut measured = Vec::new();
        for measure in &self.gold.gold.measures {
            measured.push(if measure.column.is_some() { columns.next() } else { None });
        }
        for row in 0..rows.num_rows() {
            let (source, offset) = origins.at(row);
            let is_in = self.cut.get(&source).is_some_and(|next| offset < *next);
            if is_in && !self.hidden.contains(source, offset) {
                let Cell::Int(time_us) = time.at(row) else { return false };
                self.add_row(source, offset, time_us, row, &keys, &measured);
            }
        }
        true
    }

    fn add_row(
        &mut self,
        source: Source,
        offset: i64,
        time_us: i64,
        row: usize,
        keys: &[&Column<'_>],
        measured: &[Option<&Column<'_>>],
    ) {
        let start_us = time_us.saturating_sub(time_us.rem_euclid(self.width_us));
        self.scratch.clear();
        Cell::Int(start_us).encode(&mut self.scratch);
        keys.iter().for_each(|key| key.at(row).encode(&mut self.scratch));
        if let Some(held) = &mut self.held {
            if self.several.contains(source, offset) {
                held.entry((source, offset)).or_default().push((start_us, self.scratch.clone()));
            }
            return;
        }
        if self.late.contains(source, offset) {
            if !self.seen.insert(source, offset) {
                self.several.insert(source, offset);
            }
            return;
        }
        self.rows += 1;
        let gold = &self.gold.gold;
        if !self.groups.contains_key(self.scratch.as_slice()) {
            let totals =
                gold.measures.iter().map(|measure| Total::of(measure, self.source_type(measure.column.as_deref())));
            let group = Group { totals: totals.collect(), doubtful: false };
            self.groups.insert(self.scratch.clone(), group);
        }
        let Some(group) = self.groups.get_mut(self.scratch.as_slice()) else { return };
        for ((total, measure), column) in group.totals.iter_mut().zip(&gold.measures).zip(measured) {
            let value = column.map_or(Cell::Null, |column| column.at(row));
            total.add(measure.function, &value, &mut self.scratch);
        }
    }

    /// A column of the file, or of the values of its table partition.
    fn array(&self, part: &Part, rows: &RecordBatch, name: &str) -> Option<ArrayRef> {
        if let Some(column) = rows.column_by_name(name) {
            return Some(ArrayRef::clone(column));
        }
        let nullable = self.silver.product.columns.iter().any(|column| column.name == name && column.nullable);
        let data_type = self.silver.column_type(name)?;
        let Some(value) = part.partition_values.get(name) else {
            // The file is older than the column, which is then null in all of its rows.
            return nullable.then(|| new_null_array(&data_type, rows.num_rows()));
        };
        constant(value.as_deref(), &data_type, nullable, rows.num_rows())
    }

    fn source_type(&self, column: Option<&str>) -> Option<&'a DataType> {
        let columns = &self.silver.product.columns;
        columns.iter().find(|found| Some(found.name.as_str()) == column).map(|found| &found.data_type)
    }

    /// Decides which rows of late records were late. Rows of one window share their fate, so a record whose rows are all of one
    /// window was late with all of them; of others, and where rows were far ahead, the groups are doubtful.
    pub(super) fn settle(&mut self) -> u64 {
        let mut doubtful = 0;
        for ((source, offset), rows) in self.held.take().unwrap_or_default() {
            let is_ahead = self.ahead.contains(source, offset);
            if !is_ahead && rows.iter().all(|(start_us, _)| *start_us == rows[0].0) {
                continue;
            }
            doubtful += 1;
            for (_, key) in rows {
                let totals = Vec::new();
                self.groups.entry(key).or_insert(Group { totals, doubtful: true }).doubtful = true;
            }
        }
        doubtful
    }

    /// Holds rows of the gold table against the groups; what is left afterwards is missing there.
    pub(super) fn compare(&mut self, rows: &RecordBatch, bad: &mut Offenders) -> bool {
        let gold = &self.gold.gold;
        let keys: Vec<&str> = gold.keys.iter().map(|key| key.name.as_str()).collect();
        let measures: Vec<&str> = gold.measures.iter().map(|measure| measure.name.as_str()).collect();
        let column = |name: &&str| rows.column_by_name(name).and_then(|array| Column::of(array));
        let Some(keys) = keys.iter().map(column).collect::<Option<Vec<_>>>() else { return false };
        let Some(measured) = measures.iter().map(column).collect::<Option<Vec<_>>>() else { return false };
        let (Some(starts), Some(ends)) = (column(&"window_start"), column(&"window_end")) else { return false };
        for row in 0..rows.num_rows() {
            let mut key = Vec::new();
            starts.at(row).encode(&mut key);
            keys.iter().for_each(|column| column.at(row).encode(&mut key));
            let cells: Vec<Cell<'_>> = keys.iter().chain([&starts]).map(|column| column.at(row)).collect();
            let Some(group) = self.groups.remove(&key) else {
                bad.add(|| format!("{} is in gold, but silver has no row of it", self.show(&cells)));
                continue;
            };
            if group.doubtful {
                continue;
            }
            let (Cell::Int(start), Cell::Int(end)) = (starts.at(row), ends.at(row)) else { return false };
            if end != start.saturating_add(self.width_us) {
                bad.add(|| format!("{}: the window does not end where it should", self.show(&cells)));
            }
            for ((total, measure), column) in group.totals.iter().zip(&gold.measures).zip(&measured) {
                let expected = total.finish(measure, self.source_type(measure.column.as_deref()));
                let (found, declared) = (column.at(row), table_type(&measure.data_type));
                if !expected.is(&found) {
                    let (name, found) = (&measure.name, found.show(&declared));
                    let expected = expected.cell().show(&declared);
                    bad.add(|| format!("{}: {name} is {found} in gold and {expected} from silver", self.show(&cells)));
                }
            }
        }
        true
    }

    /// The groups that the gold table lacks.
    pub(super) fn missing(self, bad: &mut Offenders) {
        for (key, group) in &self.groups {
            if !group.doubtful {
                bad.add(|| format!("{} is missing in gold", self.show(&decode(key))));
            }
        }
    }

    /// A group for a person; `cells` are its keys and the start of its window.
    fn show(&self, cells: &[Cell<'_>]) -> String {
        let time = ArrowType::Timestamp(arrow_schema::TimeUnit::Microsecond, None);
        let key_types = self.gold.gold.keys.iter().map(|key| self.silver.column_type(&key.column));
        let names = self.gold.gold.keys.iter().map(|key| key.name.as_str()).chain(["window_start"]);
        let types = key_types.map(|found| found.unwrap_or(ArrowType::Null)).chain([time]);
        let shown =
            names.zip(types).zip(cells).map(|((name, data_type), cell)| format!("{name}={}", cell.show(&data_type)));
        shown.collect::<Vec<_>>().join(" ")
    }
}

/// The keys and the window's start of a group, from its encoded form, where the start comes first.
fn decode(mut key: &[u8]) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    while let Some((tag, rest)) = key.split_first() {
        let (cell, rest) = match (tag, rest.first_chunk::<8>(), rest.first_chunk::<16>()) {
            (1, Some(bytes), _) => (Cell::Int(i64::from_be_bytes(*bytes)), &rest[8..]),
            (2, _, Some(bytes)) => (Cell::Decimal(i128::from_be_bytes(*bytes)), &rest[16..]),
            (3, Some(bytes), _) => (Cell::Float(f64::from_bits(u64::from_be_bytes(*bytes))), &rest[8..]),
            (4, Some(bytes), _) => {
                let length = usize::try_from(u64::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
                let (text, rest) = rest[8..].split_at(length.min(rest.len() - 8));
                (Cell::Bytes(text.into()), rest)
            }
            _ => (Cell::Null, rest),
        };
        cells.push(cell);
        key = rest;
    }
    if !cells.is_empty() {
        cells.rotate_left(1);
    }
    cells
}

/// Up to where the gold table has everything: its own offsets, and of older incarnations all that the state has, since the
/// table is written from the whole state.
#[must_use]
pub(super) fn cut(gold: &Checkpoint, state: &Checkpoint) -> Checkpoint {
    let mut cut = gold.clone();
    for (partition, next) in state.iter() {
        let newer = gold.iter().any(|(own, _)| own.topic == partition.topic && own.incarnation > partition.incarnation);
        if newer {
            cut.set(partition.clone(), next);
        }
    }
    cut
}

#[cfg(test)]
mod tests;

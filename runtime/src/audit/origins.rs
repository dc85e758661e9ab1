//! Sets of origins, a bit an offset, and how one file's rows are held against them.

use super::report::Offenders;
use crate::checkpoint::SourcePartition;
use crate::sink::system;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use roaring::RoaringTreemap;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The incarnation and the partition of a topic, as the tables' columns hold them.
pub(super) type Source = (i32, i32);

/// Offsets by partition of one topic. Dense ranges cost a bit an offset, sparse ones two bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins(pub(super) BTreeMap<Source, RoaringTreemap>);

impl Origins {
    /// Whether an origin is in it.
    #[must_use]
    pub(super) fn contains(&self, source: Source, offset: i64) -> bool {
        self.0.get(&source).is_some_and(|set| set.contains(bit(offset)))
    }

    /// Adds an origin; false if it was there.
    pub(super) fn insert(&mut self, source: Source, offset: i64) -> bool {
        self.0.entry(source).or_default().insert(bit(offset))
    }

    /// Adds all of another set.
    pub(super) fn merge(&mut self, other: &Self) {
        for (source, set) in &other.0 {
            *self.0.entry(*source).or_default() |= set;
        }
    }

    /// Takes out all of another set.
    #[must_use]
    pub(super) fn without(mut self, other: &Self) -> Self {
        for (source, set) in &other.0 {
            if let Some(own) = self.0.get_mut(source) {
                *own -= set;
            }
        }
        self
    }

    /// How many origins of a partition are in a range.
    #[must_use]
    pub(super) fn count(&self, source: Source, range: &Range<i64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        self.0.get(&source).map_or(0, |set| set.range_cardinality(bit(range.start)..bit(range.end)))
    }

    /// The offsets of a partition in a range.
    pub(super) fn named(&self, source: Source, range: Range<i64>) -> impl Iterator<Item = i64> {
        let set = self.0.get(&source).filter(|set| set.max().is_some_and(|last| last >= bit(range.start)));
        set.into_iter().flat_map(move |set| {
            let mut offsets = set.iter();
            offsets.advance_to(bit(range.start));
            offsets.map(u64::cast_signed).take_while(move |offset| *offset < range.end)
        })
    }

    /// How many there are.
    #[must_use]
    pub(super) fn len(&self) -> u64 {
        self.0.values().map(RoaringTreemap::len).sum()
    }
}

/// An offset as a bit's number. Kafka has no negative ones; one in a table is an offender, far beyond all others.
fn bit(offset: i64) -> u64 {
    offset.cast_unsigned()
}

/// The partition of a topic as its tables' columns hold it.
#[must_use]
pub(super) fn source_of(partition: &SourcePartition) -> Source {
    (system::incarnation_column(partition.incarnation), partition.partition)
}

/// The partition that a pair of columns means.
#[must_use]
pub(super) fn partition_of(topic: &Arc<str>, (incarnation, partition): Source) -> SourcePartition {
    SourcePartition::new(Arc::clone(topic), incarnation.cast_unsigned(), partition)
}

/// The origin columns of some rows.
pub(super) struct Columns<'a> {
    /// Incarnations.
    pub(super) incarnations: &'a [i32],
    /// Partitions.
    pub(super) partitions: &'a [i32],
    /// Offsets.
    pub(super) offsets: &'a [i64],
}

impl<'a> Columns<'a> {
    /// The columns named so; `None` if one is missing, of another type, or holds a null.
    #[must_use]
    pub(super) fn of(rows: &'a RecordBatch, names: [&str; 3]) -> Option<Self> {
        let column = |index: usize| rows.column_by_name(names[index]).filter(|column| column.null_count() == 0);
        Some(Self {
            incarnations: column(0)?.as_primitive_opt::<Int32Type>()?.values(),
            partitions: column(1)?.as_primitive_opt::<Int32Type>()?.values(),
            offsets: column(2)?.as_primitive_opt::<Int64Type>()?.values(),
        })
    }

    /// The origin of a row.
    #[must_use]
    pub(super) fn at(&self, row: usize) -> (Source, i64) {
        ((self.incarnations[row], self.partitions[row]), self.offsets[row])
    }
}

/// The origins of one file, in the order of its rows.
#[derive(Debug, Default)]
pub(super) struct FileOrigins {
    runs: Vec<Run>,
    at: usize,
    /// Origins that stand in neighbouring rows of the file.
    pub(super) neighbours: Offenders,
    /// Origins that stand in the file again, with others between.
    pub(super) apart: Offenders,
}

/// The rows of one partition in a file.
#[derive(Debug)]
struct Run {
    source: Source,
    set: RoaringTreemap,
    /// Consecutive offsets that are not in the set yet: most rows only move its end.
    first: i64,
    last: i64,
}

impl FileOrigins {
    /// Adds the origin of the next row.
    pub(super) fn push(&mut self, topic: &Arc<str>, source: Source, offset: i64) {
        if self.runs.get(self.at).is_none_or(|run| run.source != source) {
            self.at = self.runs.iter().position(|run| run.source == source).unwrap_or(self.runs.len());
            if self.at == self.runs.len() {
                self.runs.push(Run { source, set: RoaringTreemap::new(), first: offset, last: offset });
                return;
            }
        }
        let run = &mut self.runs[self.at];
        if offset == run.last {
            self.neighbours.add(|| show(topic, source, offset));
        } else if run.last.checked_add(1) == Some(offset) {
            run.last = offset;
        } else {
            run.close(topic, &mut self.apart);
            (run.first, run.last) = (offset, offset);
        }
    }

    /// All of the file's origins, and the range of each partition.
    #[must_use]
    pub(super) fn finish(mut self, topic: &Arc<str>) -> (Origins, Offenders, Offenders) {
        for run in &mut self.runs {
            run.close(topic, &mut self.apart);
        }
        let sets = self.runs.into_iter().map(|run| (run.source, run.set)).collect();
        (Origins(sets), self.neighbours, self.apart)
    }
}

impl Run {
    fn close(&mut self, topic: &Arc<str>, apart: &mut Offenders) {
        let range = bit(self.first)..=bit(self.last);
        if self.set.range_cardinality(range.clone()) > 0 {
            let again = (self.first..=self.last).filter(|offset| self.set.contains(bit(*offset)));
            again.for_each(|offset| apart.add(|| show(topic, self.source, offset)));
        }
        self.set.insert_range(range);
    }
}

/// An origin for a person.
#[must_use]
pub(super) fn show(topic: &Arc<str>, source: Source, offset: i64) -> String {
    format!("{} offset {offset}", partition_of(topic, source))
}

/// Origins that are in both.
#[must_use]
pub(super) fn common(topic: &Arc<str>, left: &Origins, right: &Origins) -> Offenders {
    let mut both = Offenders::default();
    for (source, set) in &left.0 {
        let Some(other) = right.0.get(source) else { continue };
        if set.intersection_len(other) > 0 {
            (set & other).iter().for_each(|offset| both.add(|| show(topic, *source, offset.cast_signed())));
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: &[(i32, i64)]) -> (Origins, Offenders, Offenders) {
        let topic = "orders".into();
        let mut file = FileOrigins::default();
        rows.iter().for_each(|(partition, offset)| file.push(&topic, (0, *partition), *offset));
        file.finish(&topic)
    }

    #[test]
    fn rows_of_one_record_stand_side_by_side() {
        let (origins, neighbours, apart) = file(&[(0, 7), (0, 7), (1, 7), (0, 8), (1, 8)]);
        assert_eq!((origins.len(), neighbours.count(), apart.count()), (4, 1, 0));
        assert_eq!(origins.count((0, 0), &(0..8)), 1);
        assert_eq!(origins.count((0, 1), &(8..100)), 1);
        assert_eq!(origins.count((0, 2), &(0..100)), 0);
    }

    #[test]
    fn a_row_that_comes_again_later_is_found() {
        let (origins, neighbours, apart) = file(&[(0, 5), (0, 6), (0, 7), (0, 20), (0, 6), (0, 7)]);
        assert_eq!((origins.len(), neighbours.count(), apart.count()), (4, 0, 2));
        let mut expected = Offenders::default();
        expected.add(|| "orders#0/0 offset 6".to_owned());
        expected.add(|| "orders#0/0 offset 7".to_owned());
        assert_eq!(apart, expected);
    }

    #[test]
    fn huge_offsets_cost_nothing() {
        let base = i64::MAX - 100_000;
        let rows: Vec<(i32, i64)> = (0..50_000).map(|row| (0, base + row * 2)).collect();
        let (origins, ..) = file(&rows);
        assert_eq!(origins.len(), 50_000);
        assert!(origins.contains((0, 0), base) && !origins.contains((0, 0), base + 1));
        assert!(origins.0[&(0, 0)].serialized_size() < 40_000);
    }

    #[test]
    fn what_two_files_share_is_named() {
        let (left, ..) = file(&[(0, 1), (0, 2), (1, 1)]);
        let (right, ..) = file(&[(0, 2), (0, 3), (2, 1)]);
        let mut expected = Offenders::default();
        expected.add(|| "orders#0/0 offset 2".to_owned());
        assert_eq!(common(&"orders".into(), &left, &right), expected);
    }
}

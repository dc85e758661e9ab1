//! What the commits table tells of the past of a module.

use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::sink::redrives::topic_of;
use crate::sink::{Snapshot, Warehouse, system};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use std::collections::BTreeMap;

const COLUMNS: [&str; 6] = ["micro_batch", "kind", "committed_at", "offsets", "tables", "modules"];

/// A row of the commits table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) micro_batch: i64,
    pub(super) kind: String,
    pub(super) at_ms: i64,
    pub(super) offsets: BTreeMap<String, [i64; 2]>,
    pub(super) tables: BTreeMap<String, u64>,
    pub(super) modules: BTreeMap<String, String>,
}

impl Row {
    pub(super) fn is_micro_batch(&self) -> bool {
        self.kind == system::CommitKind::MicroBatch.name()
    }
}

/// All rows of the commits table, by number; none before there is one.
pub(super) async fn rows(config: &Config, lake: &Warehouse) -> Result<Vec<Row>, crate::sink::Error> {
    let mut rows = Vec::new();
    if let Some(commits) = Snapshot::open(lake, &config.pipeline, system::COMMITS, None).await? {
        for batch in commits.all_rows(&COLUMNS).await? {
            rows.extend((0..batch.num_rows()).filter_map(|row| parse(&batch, row)));
        }
    }
    rows.sort_by_key(|row: &Row| row.micro_batch);
    Ok(rows)
}

/// Leaves out the micro-batches that an earlier rewind of the module has undone: their rows are no more, and nothing goes back to them.
pub(super) fn leave_out_undone(rows: &mut Vec<Row>, module: &str) {
    let is_rewind = |row: &Row| row.kind == system::CommitKind::Rewound.name() && row.modules.contains_key(module);
    let is_left = |at: usize, row: &Row| {
        let is_of_module = row.is_micro_batch() && row.modules.contains_key(module);
        !is_of_module || !rows[at..].iter().any(|later| is_rewind(later) && undoes(later, row, module))
    };
    let left: Vec<bool> = rows.iter().enumerate().map(|(at, row)| is_left(at, row)).collect();
    let mut left = left.into_iter();
    rows.retain(|_| left.next().unwrap_or(true));
}

/// Whether a rewind went back to before what the module has read with a micro-batch.
fn undoes(rewind: &Row, row: &Row, module: &str) -> bool {
    row.offsets.iter().any(|(of, [_, next])| {
        let Some(parsed) = SourcePartition::parse(of) else { return false };
        let own = parsed.of_reader(module).to_string();
        let counts = match &parsed.reader {
            // Where the module stands apart, its own range counts.
            None => !row.offsets.contains_key(&own),
            Some(reader) => **reader == *module,
        };
        counts && rewind.offsets.get(&own).is_some_and(|[_, to]| next > to)
    })
}

/// The rows since a module was last rebuilt: before, its tables had other columns.
pub(super) fn since_rebuilt<'a>(rows: &'a [Row], module: &str) -> &'a [Row] {
    let is_rebuild = |row: &Row| row.kind == system::CommitKind::Rebuilt.name() && row.modules.contains_key(module);
    &rows[rows.iter().rposition(is_rebuild).map_or(0, |at| at + 1)..]
}

/// What a module has read of each partition, micro-batch by micro-batch.
pub(super) fn read<'a>(rows: &'a [Row], module: &'a str) -> impl Iterator<Item = (SourcePartition, [i64; 2])> + 'a {
    rows.iter().filter(move |row| row.is_micro_batch() && row.modules.contains_key(module)).flat_map(move |row| {
        row.offsets.iter().filter_map(move |(of, range)| {
            let of = SourcePartition::parse(of).filter(|of| topic_of(of).is_none())?;
            // Where the module stands apart, its own range counts.
            let is_its = match &of.reader {
                None => !row.offsets.contains_key(&of.of_reader(module).to_string()),
                Some(reader) => **reader == *module,
            };
            is_its.then(|| (of.of_all(), *range))
        })
    })
}

/// The first offset of each partition that a module has read.
pub(super) fn first_read(rows: &[Row], module: &str) -> BTreeMap<SourcePartition, i64> {
    let mut first = BTreeMap::new();
    for (of, [from, _]) in read(rows, module) {
        first.entry(of).and_modify(|first: &mut i64| *first = (*first).min(from)).or_insert(from);
    }
    first
}

/// The offset behind the last one of each partition that a module has read.
pub(super) fn last_read(rows: &[Row], module: &str) -> BTreeMap<SourcePartition, i64> {
    let mut last = BTreeMap::new();
    for (of, [_, next]) in read(rows, module) {
        last.entry(of).and_modify(|last: &mut i64| *last = (*last).max(next)).or_insert(next);
    }
    last
}

fn parse(batch: &RecordBatch, row: usize) -> Option<Row> {
    let text = |name: &str| Some(batch.column_by_name(name)?.as_string_opt::<i32>()?.value(row));
    let micro_batch = batch.column_by_name("micro_batch")?.as_primitive_opt::<Int64Type>()?.value(row);
    let at = batch.column_by_name("committed_at")?.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
    Some(Row {
        micro_batch,
        kind: text("kind")?.to_owned(),
        at_ms: at.div_euclid(1000),
        offsets: serde_json::from_str(text("offsets")?).ok()?,
        tables: serde_json::from_str(text("tables")?).ok()?,
        modules: serde_json::from_str(text("modules")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use system::CommitKind;

    fn row(kind: CommitKind, module: &str, offsets: &[(&str, i64)]) -> Row {
        Row {
            micro_batch: 1,
            kind: kind.name().to_owned(),
            at_ms: 0,
            offsets: offsets.iter().map(|(of, from)| ((*of).to_owned(), [*from, from + 10])).collect(),
            tables: BTreeMap::new(),
            modules: [(module.to_owned(), "a".to_owned())].into(),
        }
    }

    #[test]
    fn what_a_module_has_read_begins_where_it_did_itself() {
        use CommitKind::{MicroBatch, Rebuilt};
        let check = |rows: &[Row], expected: &[(&str, i64)]| {
            let found: Vec<(String, i64)> = first_read(since_rebuilt(rows, "retail"), "retail")
                .iter()
                .map(|(of, first)| (of.to_string(), *first))
                .collect();
            let expected: Vec<(String, i64)> = expected.iter().map(|(of, first)| ((*of).to_owned(), *first)).collect();
            assert_eq!(found, expected);
        };
        let runs = [row(MicroBatch, "retail", &[("orders#0/0", 7)]), row(MicroBatch, "retail", &[("orders#0/0", 17)])];
        check(&runs, &[("orders#0/0", 7)]);
        check(&[row(MicroBatch, "wholesale", &[("orders#0/0", 7)])], &[]);
        let own = row(MicroBatch, "retail", &[("orders#0/0", 7), ("orders#0/0@retail", 3)]);
        check(std::slice::from_ref(&own), &[("orders#0/0", 3)]);
        check(
            &[row(MicroBatch, "retail", &[("orders#0/0@retail", 3), ("orders#0/1@wholesale", 1)])],
            &[("orders#0/0", 3)],
        );
        check(&[own, row(Rebuilt, "retail", &[("orders#0/0@retail", 9)]), runs[1].clone()], &[("orders#0/0", 17)]);
    }

    /// Rows of micro-batches that read from where the one before had ended, up to these offsets; `Err` is a rewind to one.
    #[track_caller]
    fn check_undone(steps: &[Result<i64, i64>], left: &[i64]) {
        let mut from = 0;
        let mut rows = Vec::new();
        for (number, step) in (1..).zip(steps) {
            let (Ok(next) | Err(next)) = *step;
            let (kind, of) = match step {
                Ok(_) => (system::CommitKind::MicroBatch, "orders#0/0"),
                Err(_) => (system::CommitKind::Rewound, "orders#0/0@retail"),
            };
            let offsets = [(of.to_owned(), [from, next])].into();
            rows.push(Row { micro_batch: number, offsets, ..row(kind, "retail", &[]) });
            from = next;
        }
        let all = rows.len();
        leave_out_undone(&mut rows, "wholesale");
        assert_eq!(rows.len(), all, "{steps:?}");
        leave_out_undone(&mut rows, "retail");
        let numbers: Vec<i64> = rows.iter().filter(|row| row.is_micro_batch()).map(|row| row.micro_batch).collect();
        assert_eq!(numbers, left, "{steps:?}");
    }

    #[test]
    fn nothing_goes_back_to_what_was_undone() {
        check_undone(&[Ok(10), Ok(20)], &[1, 2]);
        check_undone(&[Ok(10), Ok(20), Ok(30), Err(10), Ok(40)], &[1, 5]);
        // The later one goes back to before the earlier one, and to after it.
        check_undone(&[Ok(10), Ok(20), Ok(30), Err(20), Ok(30), Ok(40), Err(10), Ok(20)], &[1, 8]);
        check_undone(&[Ok(10), Ok(20), Ok(30), Err(10), Ok(20), Ok(30), Err(20), Ok(30)], &[1, 5, 8]);
        check_undone(&[Ok(10), Err(0), Ok(10), Err(0), Ok(10), Err(0)], &[]);
    }
}

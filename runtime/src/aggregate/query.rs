//! Questions and answers: which groups match, in which order, as which columns.

use super::column::{Value, array_of};
use super::error::QueryError;
use super::plan::Plan;
use super::view::{Group, Side};
use super::{text, window};
use crate::columns::table_type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SortOptions;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A question about a gold product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// As of the last micro-batch, instead of live.
    pub committed: bool,
    /// Key columns and the values that they must have, as text.
    pub keys: Vec<(String, String)>,
    /// Only windows that start at or after this, in milliseconds.
    pub from_ms: Option<i64>,
    /// Only windows that start before this, in milliseconds.
    pub to_ms: Option<i64>,
    /// The columns to order by, and whether downwards; nulls come last. Ties, and all rows without any, are ordered by
    /// `window_start` downwards, then by the keys upwards.
    pub order: Vec<(String, bool)>,
    /// The most rows to answer.
    pub limit: usize,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What identifies it.
    pub as_of: AsOf,
    /// The rows, in the plan's gold schema.
    pub rows: RecordBatch,
    /// Whether each row can no longer change: its window has closed.
    pub is_final: Vec<bool>,
    /// The rows that match, before the limit.
    pub total: usize,
}

/// What identifies an answer: the same question with an equal `AsOf` has the same rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AsOf {
    /// The last micro-batch that was committed; -1 before the first.
    pub micro_batch: i64,
    /// The next offset of each Kafka partition in the view that was asked.
    pub offsets: BTreeMap<i32, i64>,
    /// How often groups of the view were changed without a record behind these offsets: by dead letters that were redriven.
    pub restated: u64,
    /// The Kafka partitions that other instances read, and when their newest offset was learned of, in milliseconds.
    pub elsewhere: BTreeMap<i32, i64>,
    /// Windows that start before this, in milliseconds, are answered no more; `i64::MIN` while all are.
    pub kept_from_ms: i64,
    /// The event time before which everything is closed, in milliseconds; `i64::MIN` before anything is.
    pub watermark_ms: i64,
    /// The newest version of the gold table.
    pub table_version: Option<i64>,
    /// The micro-batch that the version holds.
    pub table_micro_batch: Option<i64>,
}

/// A group that matches.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) start_us: i64,
    pub(super) key: Arc<[u8]>,
    pub(super) results: Arc<[Value]>,
}

/// A question, checked.
pub(super) struct Selection<'a> {
    query: &'a Query,
    from_us: i64,
    to_us: i64,
    /// The encoded key, if the question names the value of every key column.
    key: Option<Vec<u8>>,
    /// The key columns, by index, that must have a value, as a column of one row.
    filters: Vec<(usize, ArrayRef)>,
    /// The columns to order by, by index in the gold schema.
    order: Vec<(usize, bool)>,
}

/// What was picked under the lock.
pub(super) struct Picked {
    hits: Vec<Hit>,
    total: usize,
}

impl<'a> Selection<'a> {
    pub(super) fn new(plan: &Plan, query: &'a Query) -> Result<Self, QueryError> {
        let mut filters =
            query.keys.iter().map(|(name, value)| filter(plan, name, value)).collect::<Result<Vec<_>, _>>()?;
        filters.sort_by_key(|(index, _)| *index);
        let every = filters.iter().map(|(index, _)| *index).eq(0..plan.keys.len());
        let key = every.then(|| match filters.as_slice() {
            [] => Vec::new(),
            filters => encode(&plan.encoder, filters.iter().map(|(_, value)| Arc::clone(value)).collect()),
        });
        let schema = plan.gold_schema();
        let column = |(name, descending): &(String, bool)| match schema.index_of(name) {
            Ok(index) => Ok((index, *descending)),
            Err(_) => Err(QueryError::UnknownColumn {
                name: name.clone(),
                known: schema.fields().iter().map(|field| field.name().clone()).collect(),
            }),
        };
        let order = query.order.iter().map(column).collect::<Result<_, _>>()?;
        let from_us = query.from_ms.map_or(i64::MIN, window::us);
        let to_us = query.to_ms.map_or(i64::MAX, window::us);
        Ok(Self { query, from_us, to_us, key, filters, order })
    }

    /// Picks groups in the default order. Where nothing is filtered or sorted afterwards, only as many as are answered.
    pub(super) fn pick(&self, side: &Side, hit: impl Fn(i64, &Arc<[u8]>, &Group) -> Hit) -> Picked {
        let mut picked = Picked { hits: Vec::new(), total: 0 };
        if self.from_us >= self.to_us {
            return picked;
        }
        let partial_filter = self.key.is_none() && !self.filters.is_empty();
        let enough = if partial_filter || !self.order.is_empty() { usize::MAX } else { self.query.limit };
        for (&start_us, groups) in side.windows.range(self.from_us..self.to_us).rev() {
            let room = enough.saturating_sub(picked.hits.len());
            match &self.key {
                Some(key) => {
                    let found = groups.get_key_value(key.as_slice());
                    picked.total += usize::from(found.is_some());
                    picked.hits.extend(found.into_iter().take(room).map(|(key, group)| hit(start_us, key, group)));
                }
                None => {
                    picked.total += groups.len();
                    picked.hits.extend(groups.iter().take(room).map(|(key, group)| hit(start_us, key, group)));
                }
            }
        }
        picked
    }

    /// Filters, sorts and limits what was picked; the number of matches before the limit comes with it.
    pub(super) fn finish(&self, plan: &Plan, picked: Picked) -> (Vec<Hit>, usize) {
        let Picked { mut hits, mut total } = picked;
        if self.key.is_none() && !self.filters.is_empty() {
            self.retain(plan, &mut hits);
            total = hits.len();
        }
        if !self.order.is_empty() && !hits.is_empty() {
            hits = self.sort(plan, hits);
        }
        hits.truncate(self.query.limit);
        (hits, total)
    }

    fn retain(&self, plan: &Plan, hits: &mut Vec<Hit>) {
        let columns = plan.decode_keys(hits.iter().map(|hit| &*hit.key));
        let fields = self.filters.iter().map(|(_, value)| SortField::new(value.data_type().clone())).collect();
        let encoder = RowConverter::new(fields).expect("key columns are of types that have an encoding");
        let wanted = encode(&encoder, self.filters.iter().map(|(_, value)| Arc::clone(value)).collect());
        let columns: Vec<_> = self.filters.iter().map(|(index, _)| Arc::clone(&columns[*index])).collect();
        let found = encoder.convert_columns(&columns).expect("the columns are of the types of their filters");
        let mut found = found.iter();
        hits.retain(|_| found.next().is_some_and(|row| row.data() == wanted));
    }

    fn sort(&self, plan: &Plan, hits: Vec<Hit>) -> Vec<Hit> {
        let columns: Vec<_> = self.order.iter().map(|(index, _)| column(plan, &hits, *index)).collect();
        let fields = columns.iter().zip(&self.order).map(|(column, (_, descending))| {
            let options = SortOptions { descending: *descending, nulls_first: false };
            SortField::new_with_options(column.data_type().clone(), options)
        });
        let encoder = RowConverter::new(fields.collect()).expect("gold columns are of types that have an encoding");
        let rows = encoder.convert_columns(&columns).expect("the fields were made from the columns");
        // Hits come in the default order, so their number breaks ties.
        let compare = |left: &usize, right: &usize| rows.row(*left).cmp(&rows.row(*right)).then(left.cmp(right));
        let mut order: Vec<_> = (0..hits.len()).collect();
        if self.query.limit < order.len() {
            order.select_nth_unstable_by(self.query.limit, compare);
            order.truncate(self.query.limit);
        }
        order.sort_unstable_by(compare);
        order.into_iter().map(|index| hits[index].clone()).collect()
    }
}

/// The rows of the plan's gold schema.
pub(super) fn batch(plan: &Plan, hits: &[Hit]) -> RecordBatch {
    let mut columns = plan.decode_keys(hits.iter().map(|hit| &*hit.key));
    let schema = plan.gold_schema();
    columns.extend((columns.len()..schema.fields().len()).map(|index| column(plan, hits, index)));
    RecordBatch::try_new(schema, columns)
        .expect("every column is built by its field, and only nullable ones have nulls")
}

/// One column of the gold schema.
fn column(plan: &Plan, hits: &[Hit], index: usize) -> ArrayRef {
    let keys = plan.keys.len();
    match index {
        key if key < keys => plan.decode_keys(hits.iter().map(|hit| &*hit.key)).swap_remove(key),
        start if start == keys => plan.timestamps(hits.iter().map(|hit| hit.start_us)),
        end if end == keys + 1 => plan.timestamps(hits.iter().map(|hit| plan.windows.end_us(hit.start_us))),
        measure => {
            let results = hits.iter().map(|hit| &hit.results[measure - keys - 2]);
            array_of(plan.gold_schema().field(measure).data_type(), results)
        }
    }
}

fn filter(plan: &Plan, name: &str, value: &str) -> Result<(usize, ArrayRef), QueryError> {
    let Some((index, key)) = plan.keys.iter().enumerate().find(|(_, key)| key.name == name) else {
        let known = plan.keys.iter().map(|key| key.name.clone()).collect();
        return Err(QueryError::UnknownColumn { name: name.to_owned(), known });
    };
    let parsed = text::parse(&key.data_type, value).ok_or_else(|| QueryError::BadValue {
        column: name.to_owned(),
        value: value.to_owned(),
        data_type: key.data_type.clone(),
    })?;
    Ok((index, array_of(&table_type(&key.data_type), [parsed].iter())))
}

fn encode(encoder: &RowConverter, row: Vec<ArrayRef>) -> Vec<u8> {
    let rows = encoder.convert_columns(&row).expect("the values are of the types of their columns");
    rows.row(0).data().to_vec()
}

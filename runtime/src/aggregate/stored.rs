//! Groups as rows of the state table, and back.

use super::changes::{Changes, Group};
use super::column::{Value, Values, array_of};
use super::distinct::Set;
use super::error::Error;
use super::measure::Measure;
use super::partial::Partial;
use super::plan::{Plan, STATE_COLUMNS};
use super::total::Total;
use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch};
use datasketches::hll::HllSketch;
use lakeward_manifest::Function;
use std::sync::Arc;

/// Writes groups as rows of the state table.
pub(super) fn write(changes: &Changes, plan: &Plan, micro_batch: i64) -> Result<RecordBatch, Error> {
    let groups = &changes.groups;
    let schema = plan.state_schema();
    let watermark_us = super::window::us(changes.watermark_ms());
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_value(changes.partition, groups.len())),
        Arc::new(Int64Array::from_value(micro_batch, groups.len())),
        plan.timestamps(groups.iter().map(|_| watermark_us)),
        plan.timestamps(groups.iter().map(|group| group.start_us)),
    ];
    columns.extend(plan.decode_keys(groups.iter().map(|group| &*group.key)));
    for (index, measure) in plan.measures.iter().enumerate() {
        if matches!(measure.function, Function::Distinct | Function::DistinctSketch) {
            columns.push(binary_column(measure, groups, index)?);
            continue;
        }
        let values: Vec<_> = groups.iter().map(|group| values_of(&group.partials[index])).collect();
        columns.push(array_of(schema.field(columns.len()).data_type(), values.iter().map(|(first, _)| first)));
        if matches!(measure.function, Function::Sum | Function::Average) {
            columns.push(array_of(schema.field(columns.len()).data_type(), values.iter().map(|(_, second)| second)));
        }
    }
    RecordBatch::try_new(schema, columns).map_err(Error::Arrow)
}

/// The stored values of a partial that has no set; the second only of a sum.
fn values_of(partial: &Partial) -> (Value, Value) {
    match partial {
        Partial::Count(count) => (Value::Int(*count), Value::Null),
        Partial::Sum { total, count } => (total.get().map_or(Value::Null, Value::Decimal), Value::Int(*count)),
        Partial::FloatSum { total, count } => (Value::Float(*total), Value::Int(*count)),
        Partial::Min(value) | Partial::Max(value) => (value.clone(), Value::Null),
        Partial::Distinct(_) | Partial::Sketch(_) => (Value::Null, Value::Null),
    }
}

fn binary_column(measure: &Measure, groups: &[Group], index: usize) -> Result<ArrayRef, Error> {
    let mut builder = BinaryBuilder::with_capacity(groups.len(), 0);
    let mut bytes = 0;
    for group in groups {
        let value = match &group.partials[index] {
            Partial::Distinct(set) => set.to_bytes(),
            Partial::Sketch(sketch) => sketch.serialize(),
            _ => Vec::new(),
        };
        bytes += value.len();
        if i32::try_from(bytes).is_err() {
            return Err(Error::TooLarge { measure: measure.name.clone() });
        }
        builder.append_value(value);
    }
    Ok(Arc::new(builder.finish()))
}

/// Rows of the state table, checked.
pub(super) struct Stored<'a> {
    pub(super) micro_batches: &'a [i64],
    pub(super) watermarks_us: &'a [i64],
    pub(super) starts_us: &'a [i64],
    pub(super) keys: Vec<ArrayRef>,
    /// The columns of the measures, with their values.
    measures: Vec<(&'a ArrayRef, Option<Values<'a>>)>,
}

impl<'a> Stored<'a> {
    /// Checks that the rows are of the plan's state schema and of one partition.
    pub(super) fn of(plan: &Plan, partition: i32, rows: &'a RecordBatch) -> Result<Self, Error> {
        let (expected, found) = (plan.state_schema(), rows.schema());
        for (index, field) in expected.fields().iter().enumerate() {
            let same = found.fields().get(index).is_some_and(|found| {
                found.name() == field.name() && found.data_type() == field.data_type()
            });
            if !same || (!field.is_nullable() && rows.column(index).null_count() > 0) {
                return Err(Error::StateSchema { column: field.name().clone() });
            }
        }
        if let Some(extra) = found.fields().get(expected.fields().len()) {
            return Err(Error::StateSchema { column: extra.name().clone() });
        }
        let partitions = rows.column(0).as_primitive::<Int32Type>().values();
        if let Some(found) = partitions.iter().find(|found| **found != partition) {
            return Err(Error::ForeignPartition { expected: partition, found: *found });
        }
        let (fixed, rest) = rows.columns().split_at(STATE_COLUMNS.len());
        let (keys, measures) = rest.split_at(plan.keys.len());
        Ok(Self {
            micro_batches: fixed[1].as_primitive::<Int64Type>().values(),
            watermarks_us: fixed[2].as_primitive::<TimestampMicrosecondType>().values(),
            starts_us: fixed[3].as_primitive::<TimestampMicrosecondType>().values(),
            keys: keys.to_vec(),
            measures: measures.iter().map(|column| (column, Values::of(column))).collect(),
        })
    }

    /// The partials of a row.
    pub(super) fn partials(&self, plan: &Plan, row: usize) -> Result<Vec<Partial>, Error> {
        let mut columns = self.measures.iter();
        let mut next = || match columns.next() {
            Some((column, Some(values))) if column.is_valid(row) => values.get(row),
            _ => Value::Null,
        };
        plan.measures
            .iter()
            .map(|measure| {
                let unreadable = || Error::Distinct { measure: measure.name.clone() };
                let partial = match (measure.empty(), next()) {
                    (Partial::Count(_), value) => Partial::Count(int(&value)),
                    (Partial::Sum { .. }, value) => {
                        let sum = if let Value::Decimal(sum) = value { Some(sum) } else { None };
                        Partial::Sum { total: Total::stored(sum), count: int(&next()) }
                    }
                    (Partial::FloatSum { .. }, Value::Float(total)) => {
                        Partial::FloatSum { total, count: int(&next()) }
                    }
                    (Partial::Min(_), value) => Partial::Min(value),
                    (Partial::Max(_), value) => Partial::Max(value),
                    (Partial::Distinct(_), Value::Bytes(bytes)) => {
                        Partial::Distinct(Set::from_bytes(&bytes).ok_or_else(unreadable)?)
                    }
                    (Partial::Sketch(_), Value::Bytes(bytes)) => {
                        Partial::Sketch(Arc::new(HllSketch::deserialize(&bytes).map_err(|_| unreadable())?))
                    }
                    _ => return Err(unreadable()),
                };
                Ok(partial)
            })
            .collect()
    }
}

fn int(value: &Value) -> i64 {
    if let Value::Int(value) = value { *value } else { 0 }
}

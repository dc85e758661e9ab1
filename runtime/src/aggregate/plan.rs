//! A gold product, checked against the product that it aggregates.

use super::column::{self, Value};
use super::error::Error;
use super::measure::{self, Measure};
use super::window::{self, Windows};
use crate::columns::{UTC, table_type};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, RowParser, SortField};
use arrow_schema::{DataType as ArrowType, Field, Fields, Schema, SchemaRef, TimeUnit};
use lakeward_manifest::{self as manifest, Column, DataType, Granularity, PartitionBy};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The columns before the keys in the state table.
pub(super) const STATE_COLUMNS: [&str; 4] = ["partition", "micro_batch", "watermark", WINDOW_START];
pub(super) const WINDOW_START: &str = "window_start";
pub(super) const WINDOW_END: &str = "window_end";

/// A compiled gold product.
#[derive(Debug)]
pub struct Plan {
    gold: manifest::Gold,
    path: String,
    pub(super) windows: Windows,
    /// The index of the time column in the source product.
    pub(super) time: usize,
    pub(super) keys: Vec<Key>,
    pub(super) measures: Vec<Measure>,
    gold_schema: SchemaRef,
    state_schema: SchemaRef,
    /// Writes the key values of a group as bytes that compare as the values do. Never stored.
    pub(super) encoder: RowConverter,
    parser: RowParser,
}

/// A grouping column.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    /// The index of its column in the source product.
    pub(super) column: usize,
    pub(super) data_type: DataType,
    nullable: bool,
}

impl Plan {
    /// Checks `gold`, owned by `domain`, against the product that it aggregates.
    ///
    /// # Errors
    /// When a column is unknown, the time column is not a timestamp that is never null, a key or a measure is not defined
    /// for its column's type, a measure's declared type cannot hold its result, names collide, the window has no width,
    /// nothing is measured, or the table is not laid out by a calendar part.
    pub fn new(domain: &str, gold: &manifest::Gold, product: &manifest::Product) -> Result<Arc<Self>, Error> {
        if gold.from != product.name {
            return Err(Error::OtherProduct { expected: gold.from.clone(), found: product.name.clone() });
        }
        if gold.partition_by == Granularity::Value {
            return Err(Error::PartitionBy);
        }
        if gold.measures.is_empty() {
            return Err(Error::NoMeasures);
        }
        let width_ms = gold.window.width_ms();
        let windows = Windows::new(width_ms, gold.lateness_ms).ok_or(Error::Width { width_ms })?;
        let (time, time_column) = measure::find(product, &gold.time)?;
        if time_column.data_type != DataType::Timestamp || may_be_null(time_column) {
            return Err(Error::Time { column: gold.time.clone() });
        }
        let keys = gold.keys.iter().map(|key| Key::new(key, product)).collect::<Result<Vec<_>, _>>()?;
        let measures =
            gold.measures.iter().map(|measure| Measure::new(measure, product)).collect::<Result<Vec<_>, _>>()?;
        let gold_schema = gold_schema(&keys, &measures);
        let state_schema = state_schema(&keys, &measures);
        let layout = PartitionBy { column: WINDOW_START.into(), by: gold.partition_by }.table_column();
        refuse_duplicates(gold_schema.fields(), &layout)?;
        refuse_duplicates(state_schema.fields(), &layout)?;
        let sort = keys.iter().map(|key| SortField::new(table_type(&key.data_type))).collect();
        let encoder = RowConverter::new(sort).map_err(Error::Arrow)?;
        let parser = encoder.parser();
        let path = format!("{domain}/{}", gold.name);
        let gold = gold.clone();
        Ok(Arc::new(Self { gold, path, windows, time, keys, measures, gold_schema, state_schema, encoder, parser }))
    }

    /// The gold product as declared.
    #[must_use]
    pub fn gold(&self) -> &manifest::Gold {
        &self.gold
    }

    /// The product's path, `retail/sales_by_country`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The start, in microseconds, before which windows need not be kept: all of their calendar part are closed for `keep_ms` of event
    /// time. `i64::MIN` where nothing can be let go of.
    #[must_use]
    pub fn forgettable_us(&self, horizon_ms: i64, keep_ms: i64) -> i64 {
        if horizon_ms == i64::MIN || self.gold.partition_by == Granularity::Value {
            return i64::MIN;
        }
        // A window that starts before this has ended, lateness included, `keep_ms` before the horizon.
        let open_us = self.windows.closes_at_us(0);
        let start_us = window::us(horizon_ms.saturating_sub(keep_ms)).saturating_sub(open_us);
        window::part_start_us(window::part(start_us, self.gold.partition_by))
    }

    /// The start of the window of each row of the source product, in microseconds.
    ///
    /// # Panics
    /// When the rows are not of the source product's table schema, which the product stage guarantees.
    #[must_use]
    pub fn window_starts_us(&self, rows: &RecordBatch) -> Vec<i64> {
        self.times_us(rows).iter().map(|time_us| self.windows.start_us(*time_us)).collect()
    }

    /// The event time of each row of the source product, in microseconds.
    ///
    /// # Panics
    /// When the rows are not of the source product's table schema, which the product stage guarantees.
    #[must_use]
    pub fn times_us<'a>(&self, rows: &'a RecordBatch) -> &'a [i64] {
        rows.column(self.time).as_primitive::<TimestampMicrosecondType>().values()
    }

    /// The columns of the gold table: the keys, `window_start`, `window_end`, the measures.
    #[must_use]
    pub fn gold_schema(&self) -> SchemaRef {
        Arc::clone(&self.gold_schema)
    }

    /// The columns of the state table: `partition`, `micro_batch`, `watermark`, `window_start`, the keys, and one or two
    /// columns for each measure.
    #[must_use]
    pub fn state_schema(&self) -> SchemaRef {
        Arc::clone(&self.state_schema)
    }

    /// The key columns of groups, from the groups' encoded keys.
    pub(super) fn decode_keys<'a>(&'a self, keys: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        if self.keys.is_empty() {
            return Vec::new();
        }
        let rows = keys.map(|key| self.parser.parse(key));
        self.encoder.convert_rows(rows).expect("every key was written by the plan's own encoder")
    }

    /// A column of points in time, in microseconds.
    pub(super) fn timestamps(&self, us: impl Iterator<Item = i64>) -> ArrayRef {
        let values: Vec<_> = us.map(Value::Int).collect();
        column::array_of(&timestamp(), values.iter())
    }
}

impl Key {
    fn new(key: &manifest::Key, product: &manifest::Product) -> Result<Self, Error> {
        let (index, column) = measure::find(product, &key.column)?;
        let data_type = column.data_type.clone();
        // Floats do not group by equality, bytes have no text in a query, nested values no order.
        let refused = matches!(
            data_type,
            DataType::Float32 | DataType::Float64 | DataType::Binary | DataType::List(_) | DataType::Struct(_)
        );
        if refused {
            return Err(Error::Key { key: key.name.clone(), data_type });
        }
        Ok(Self { name: key.name.clone(), column: index, data_type, nullable: may_be_null(column) })
    }

    fn field(&self) -> Field {
        Field::new(&self.name, table_type(&self.data_type), self.nullable)
    }
}

/// Whether a column can hold nulls in the product's table, where redaction has replaced what is no text.
fn may_be_null(column: &Column) -> bool {
    column.nullable || (column.mask == Some(manifest::Mask::Redact) && column.data_type != DataType::String)
}

fn timestamp() -> ArrowType {
    ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

fn gold_schema(keys: &[Key], measures: &[Measure]) -> SchemaRef {
    let windows = [WINDOW_START, WINDOW_END].map(|name| Field::new(name, timestamp(), false));
    let measures = measures.iter().map(Measure::gold_field);
    Arc::new(Schema::new(keys.iter().map(Key::field).chain(windows).chain(measures).collect::<Fields>()))
}

fn state_schema(keys: &[Key], measures: &[Measure]) -> SchemaRef {
    let types = [ArrowType::Int32, ArrowType::Int64, timestamp(), timestamp()];
    let fixed = STATE_COLUMNS.into_iter().zip(types).map(|(name, data_type)| Field::new(name, data_type, false));
    let measures = measures.iter().flat_map(Measure::state_fields);
    Arc::new(Schema::new(fixed.chain(keys.iter().map(Key::field)).chain(measures).collect::<Fields>()))
}

fn refuse_duplicates(fields: &Fields, layout: &str) -> Result<(), Error> {
    // Delta Lake's column names differ by more than case.
    let mut seen = BTreeSet::from([layout.to_lowercase()]);
    match fields.iter().find(|field| !seen.insert(field.name().to_lowercase())) {
        Some(field) => Err(Error::DuplicateName { name: field.name().clone() }),
        None => Ok(()),
    }
}

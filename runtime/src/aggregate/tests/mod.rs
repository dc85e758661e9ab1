//! A sales product and its gold product, for the tests of aggregates.

mod forget;
mod lateness;
mod measures;
mod model;
mod plans;
mod restart;
mod views;

use super::{Answer, Plan, Query, View};
use crate::columns::arrow_type;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use lakeward_manifest::{Column, DataType, Function, Gold, Granularity, Key, Layer, Measure, Product, Window};
use std::sync::Arc;

const MINUTE_US: i64 = 60_000_000;
const MINUTE_MS: i64 = 60_000;
const MONEY: DataType = DataType::Decimal { precision: 18, scale: 2 };

/// One row of the sales product.
#[derive(Debug, Clone, PartialEq)]
struct Sale {
    country: Option<String>,
    customer: Option<String>,
    quantity: Option<i64>,
    total: Option<i128>,
    ratio: f64,
    sold_us: i64,
}

/// A sale to customer `c1` in a country, at a minute since 1970.
fn sale(country: &str, minute: i64, total: i128) -> Sale {
    Sale {
        country: Some(country.into()),
        customer: Some("c1".into()),
        quantity: Some(1),
        total: Some(total),
        ratio: 0.5,
        sold_us: minute * MINUTE_US,
    }
}

fn column(name: &str, data_type: DataType, nullable: bool) -> Column {
    Column {
        name: name.into(),
        source: None,
        data_type,
        nullable,
        format: None,
        mask: None,
        description: String::new(),
    }
}

fn sales() -> Product {
    Product {
        name: "sales".into(),
        layer: Layer::Silver,
        description: String::new(),
        columns: vec![
            column("country", DataType::String, true),
            column("customer", DataType::String, true),
            column("quantity", DataType::Int64, true),
            column("total", MONEY, true),
            column("ratio", DataType::Float64, false),
            column("sold_at", DataType::Timestamp, false),
        ],
        partition_by: Vec::new(),
        expectations: Vec::new(),
    }
}

fn measure(name: &str, function: Function, column: Option<&str>, data_type: DataType) -> Measure {
    Measure { name: name.into(), function, column: column.map(Into::into), data_type, description: String::new() }
}

/// Windows of 10 minutes with a lateness of 5, by country, laid out by day.
fn by_country() -> Gold {
    let mean = DataType::Decimal { precision: 20, scale: 4 };
    Gold {
        name: "by_country".into(),
        description: String::new(),
        from: "sales".into(),
        time: "sold_at".into(),
        window: Window::Tumbling { width_ms: 600_000 },
        lateness_ms: 300_000,
        partition_by: Granularity::Day,
        keys: vec![Key { name: "country".into(), column: "country".into(), description: String::new() }],
        measures: vec![
            measure("lines", Function::Count, None, DataType::Uint64),
            measure("revenue", Function::Sum, Some("total"), MONEY),
            measure("least", Function::Min, Some("quantity"), DataType::Int64),
            measure("last", Function::Max, Some("customer"), DataType::String),
            measure("mean", Function::Average, Some("total"), mean),
            measure("ratio", Function::Average, Some("ratio"), DataType::Float64),
            measure("customers", Function::Distinct, Some("customer"), DataType::Uint64),
            measure("about", Function::DistinctSketch, Some("customer"), DataType::Uint64),
        ],
    }
}

fn plan() -> Arc<Plan> {
    Plan::new("retail", &by_country(), &sales()).unwrap()
}

/// The rows as the product stage hands them over.
fn batch(sales_rows: &[Sale]) -> RecordBatch {
    let totals: Decimal128Array = sales_rows.iter().map(|sale| sale.total).collect();
    let times: TimestampMicrosecondArray = sales_rows.iter().map(|sale| Some(sale.sold_us)).collect();
    let schema = crate::columns::arrow_schema(&sales().columns);
    RecordBatch::try_new(
        schema,
        vec![
            Arc::new(sales_rows.iter().map(|sale| sale.country.as_deref()).collect::<StringArray>()),
            Arc::new(sales_rows.iter().map(|sale| sale.customer.as_deref()).collect::<StringArray>()),
            Arc::new(sales_rows.iter().map(|sale| sale.quantity).collect::<Int64Array>()),
            Arc::new(totals.with_data_type(arrow_type(&MONEY))),
            Arc::new(sales_rows.iter().map(|sale| Some(sale.ratio)).collect::<Float64Array>()),
            Arc::new(times.with_data_type(arrow_type(&DataType::Timestamp))),
        ],
    )
    .unwrap()
}

/// Everything, live or committed.
fn all(view: &View, committed: bool) -> Answer {
    view.query(&Query { committed, limit: usize::MAX, ..Query::default() }).unwrap()
}

/// A text column and an integer column of an answer's rows, side by side.
fn pairs(rows: &RecordBatch, text: &str, number: &str) -> Vec<(String, i64)> {
    let texts = rows.column_by_name(text).unwrap().as_string::<i32>();
    let numbers = rows.column_by_name(number).unwrap().as_primitive::<Int64Type>();
    texts.iter().zip(numbers.values()).map(|(text, number)| (text.unwrap_or("null").to_owned(), *number)).collect()
}

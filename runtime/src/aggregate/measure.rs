//! A measure, checked: which functions are defined for which types, what is kept, and what comes out.

use super::column::Value;
use super::distinct::Set;
use super::error::Error;
use super::partial::{self, Partial};
use super::total::{self, Total};
use crate::columns::table_type;
use arrow_schema::{DataType as ArrowType, Field};
use lakeward_manifest::{self as manifest, Column, DataType, Function};
use std::sync::Arc;

/// A measure of a gold product over a column of its source.
#[derive(Debug)]
pub(super) struct Measure {
    pub(super) name: String,
    pub(super) function: Function,
    /// The column's index in the source product; none for `count`.
    pub(super) column: Option<usize>,
    /// The column's type in the source; for `count` the declared type.
    source: DataType,
    declared: DataType,
}

impl Measure {
    /// Checks a declared measure against the columns of the source product.
    pub(super) fn new(measure: &manifest::Measure, product: &manifest::Product) -> Result<Self, Error> {
        let name = &measure.name;
        let (column, source) = match (measure.function, &measure.column) {
            (Function::Count, None) => (None, measure.data_type.clone()),
            (Function::Count, Some(_)) => return Err(Error::CountOfColumn { measure: name.clone() }),
            (_, None) => return Err(Error::NoColumn { measure: name.clone() }),
            (_, Some(column)) => {
                let (index, column) = find(product, column)?;
                (Some(index), column.data_type.clone())
            }
        };
        let accepted = accepted(measure.function, &source).ok_or_else(|| Error::Undefined {
            measure: name.clone(),
            function: function_name(measure.function),
            data_type: source.clone(),
        })?;
        if !accepted.takes(&measure.data_type) {
            return Err(Error::MeasureType {
                measure: name.clone(),
                declared: measure.data_type.clone(),
                accepted: accepted.describe(),
            });
        }
        Ok(Self { name: name.clone(), function: measure.function, column, source, declared: measure.data_type.clone() })
    }

    /// The column in the gold table.
    pub(super) fn gold_field(&self) -> Field {
        let counts = matches!(self.function, Function::Count | Function::Distinct | Function::DistinctSketch);
        Field::new(&self.name, table_type(&self.declared), !counts)
    }

    /// The columns in the state table.
    pub(super) fn state_fields(&self) -> Vec<Field> {
        let name = &self.name;
        match self.function {
            Function::Count => vec![Field::new(name, ArrowType::Int64, false)],
            Function::Sum | Function::Average => {
                let sum = match &self.source {
                    DataType::Float32 | DataType::Float64 => ArrowType::Float64,
                    source => ArrowType::Decimal128(38, i8::try_from(scale(source)).unwrap_or(38)),
                };
                let nullable = sum != ArrowType::Float64;
                let count = Field::new(format!("{name}_count"), ArrowType::Int64, false);
                vec![Field::new(format!("{name}_sum"), sum, nullable), count]
            }
            Function::Min | Function::Max => vec![Field::new(name, table_type(&self.source), true)],
            Function::Distinct | Function::DistinctSketch => vec![Field::new(name, ArrowType::Binary, false)],
        }
    }

    /// The partial of a group without rows.
    pub(super) fn empty(&self) -> Partial {
        match self.function {
            Function::Count => Partial::Count(0),
            Function::Sum | Function::Average => match self.source {
                DataType::Float32 | DataType::Float64 => Partial::FloatSum { total: 0.0, count: 0 },
                _ => Partial::Sum { total: Total::ZERO, count: 0 },
            },
            Function::Min => Partial::Min(Value::Null),
            Function::Max => Partial::Max(Value::Null),
            Function::Distinct => Partial::Distinct(Set::new()),
            Function::DistinctSketch => Partial::Sketch(Arc::new(partial::sketch())),
        }
    }

    /// The result of a partial, for the gold table. Null where the group has no value, and where a sum or mean does not
    /// fit the declared type: a wrong number would be believed.
    pub(super) fn finish(&self, partial: &Partial) -> Value {
        match partial {
            Partial::Count(count) => Value::Int(*count),
            Partial::Sum { count: 0, .. } | Partial::FloatSum { count: 0, .. } => Value::Null,
            Partial::Sum { total, count } => total.get().map_or(Value::Null, |sum| self.finish_sum(sum, *count)),
            Partial::FloatSum { total, count } if self.function == Function::Average => {
                Value::Float(total / *count as f64)
            }
            Partial::FloatSum { total, .. } => Value::Float(*total),
            Partial::Min(value) | Partial::Max(value) => value.clone(),
            Partial::Distinct(set) => Value::Int(i64::try_from(set.len()).unwrap_or(i64::MAX)),
            Partial::Sketch(sketch) => Value::Int(partial::estimate(sketch)),
        }
    }

    fn finish_sum(&self, sum: i128, count: i64) -> Value {
        let from = scale(&self.source);
        match (self.function, &self.declared) {
            (Function::Average, DataType::Decimal { precision, scale }) => total::mean(sum, count, from, *scale)
                .filter(|mean| total::fits(*mean, *precision))
                .map_or(Value::Null, Value::Decimal),
            (Function::Average, _) => Value::Float(sum as f64 / 10_f64.powi(i32::from(from)) / count as f64),
            (_, DataType::Decimal { precision, .. }) if total::fits(sum, *precision) => Value::Decimal(sum),
            (_, DataType::Decimal { .. }) => Value::Null,
            _ => i64::try_from(sum).map_or(Value::Null, Value::Int),
        }
    }
}

/// The column of a product and its index.
pub(super) fn find<'a>(product: &'a manifest::Product, name: &str) -> Result<(usize, &'a Column), Error> {
    product.columns.iter().enumerate().find(|(_, column)| column.name == name).ok_or_else(|| Error::UnknownColumn {
        product: product.name.clone(),
        column: name.to_owned(),
    })
}

/// The digits after the point of an exact number.
fn scale(data_type: &DataType) -> u8 {
    if let DataType::Decimal { scale, .. } = data_type { *scale } else { 0 }
}

/// The types that a measure may be declared as.
enum Accepted {
    /// Any of these.
    Types(Vec<DataType>),
    /// These, or a decimal of this scale (any, if none) with at least this precision.
    Decimal { types: Vec<DataType>, precision: u8, scale: Option<u8> },
}

impl Accepted {
    fn takes(&self, declared: &DataType) -> bool {
        match (self, declared) {
            (Self::Decimal { precision: least, scale: wanted, .. }, DataType::Decimal { precision, scale }) => {
                precision >= least && wanted.is_none_or(|wanted| *scale == wanted)
            }
            (Self::Types(types) | Self::Decimal { types, .. }, declared) => types.contains(declared),
        }
    }

    fn describe(&self) -> String {
        let (types, decimal) = match self {
            Self::Types(types) => (types, None),
            Self::Decimal { types, precision, scale: Some(scale) } => {
                (types, Some(format!("decimal({precision},{scale}) or wider")))
            }
            Self::Decimal { types, .. } => (types, Some("a decimal".to_owned())),
        };
        types.iter().map(ToString::to_string).chain(decimal).collect::<Vec<_>>().join(" or ")
    }
}

/// The types that hold the result of a function over a type; `None` where the function is not defined.
///
/// | function | over | declared as |
/// |---|---|---|
/// | count | rows | uint64, int64 |
/// | sum | integers | int64, uint64 of unsigned ones, decimal(19,0) and wider |
/// | sum | decimal(p,s) | decimal of scale s and at least p digits |
/// | sum | floats | float64 |
/// | average | integers, decimals | float64, any decimal (rounded half to even) |
/// | average | floats | float64 |
/// | min, max | all but lists and structs | the column's type |
/// | distinct, `distinct_sketch` | all but lists and structs | uint64, int64 |
fn accepted(function: Function, source: &DataType) -> Option<Accepted> {
    use DataType::{Decimal, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    let nested = matches!(source, DataType::List(_) | DataType::Struct(_));
    Some(match (function, source) {
        (Function::Count, _) => Accepted::Types(vec![Uint64, Int64]),
        (Function::Distinct | Function::DistinctSketch, _) if !nested => Accepted::Types(vec![Uint64, Int64]),
        (Function::Min | Function::Max, source) if !nested => Accepted::Types(vec![source.clone()]),
        (Function::Sum | Function::Average, Float32 | Float64) => Accepted::Types(vec![Float64]),
        (Function::Sum, Int8 | Int16 | Int32 | Int64) => {
            Accepted::Decimal { types: vec![Int64], precision: 19, scale: Some(0) }
        }
        (Function::Sum, Uint8 | Uint16 | Uint32 | Uint64) => {
            Accepted::Decimal { types: vec![Uint64, Int64], precision: 19, scale: Some(0) }
        }
        (Function::Sum, Decimal { precision, scale }) => {
            Accepted::Decimal { types: vec![], precision: *precision, scale: Some(*scale) }
        }
        (Function::Average, Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64 | Decimal { .. }) => {
            Accepted::Decimal { types: vec![Float64], precision: 1, scale: None }
        }
        _ => return None,
    })
}

fn function_name(function: Function) -> &'static str {
    match function {
        Function::Count => "count",
        Function::Sum => "sum",
        Function::Min => "min",
        Function::Max => "max",
        Function::Average => "average",
        Function::Distinct => "distinct",
        Function::DistinctSketch => "distinct_sketch",
    }
}

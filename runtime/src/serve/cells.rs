//! How the values of one column are written: chosen once a column, so that a row costs a match and no more.

use super::time::{write_date, write_timestamp};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use std::fmt::Write;

/// One column of an answer.
pub(super) struct Cells<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, Scale),
    String(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
}

/// Digits after the point, and the ten to that power.
#[derive(Clone, Copy)]
struct Scale {
    digits: usize,
    unit: u128,
}

/// A column of a type that no answer can carry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} is of type {data_type}, which rows over HTTP cannot carry")]
pub(super) struct Unsupported {
    pub(super) column: String,
    pub(super) data_type: DataType,
}

impl<'a> Cells<'a> {
    /// The values of the column `name`.
    pub(super) fn of(name: &str, array: &'a dyn Array) -> Result<Self, Unsupported> {
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive::<Int8Type>()),
            DataType::Int16 => Values::Int16(array.as_primitive::<Int16Type>()),
            DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, scale @ 0..=38) => {
                let digits = scale.unsigned_abs();
                let scale = Scale { digits: usize::from(digits), unit: 10_u128.pow(u32::from(digits)) };
                Values::Decimal(array.as_primitive::<Decimal128Type>(), scale)
            }
            DataType::Utf8 => Values::String(array.as_string()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::Date32 => Values::Date(array.as_primitive::<Date32Type>()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>())
            }
            other => return Err(Unsupported { column: name.to_owned(), data_type: other.clone() }),
        };
        Ok(Self { array, values })
    }

    /// Writes the value at `row` as JSON. Decimals are strings, because most readers of JSON turn numbers into doubles.
    pub(super) fn json(&self, out: &mut String, row: usize) {
        if self.array.is_null(row) {
            out.push_str("null");
            return;
        }
        match &self.values {
            Values::String(array) => json_string(out, array.value(row)),
            Values::Float32(array) => json_float(out, f64::from(array.value(row)), array.value(row)),
            Values::Float64(array) => json_float(out, array.value(row), array.value(row)),
            Values::Decimal(..) | Values::Binary(_) | Values::Date(_) | Values::Timestamp(_) => {
                out.push('"');
                self.plain(out, row);
                out.push('"');
            }
            Values::Bool(_) | Values::Int8(_) | Values::Int16(_) | Values::Int32(_) | Values::Int64(_) => {
                self.plain(out, row);
            }
        }
    }

    /// Writes the value at `row` as a CSV field (RFC 4180): nothing is null, `""` is the empty text.
    pub(super) fn csv(&self, out: &mut String, row: usize) {
        if self.array.is_null(row) {
            return;
        }
        match &self.values {
            Values::String(array) => csv_string(out, array.value(row)),
            _ => self.plain(out, row),
        }
    }

    fn plain(&self, out: &mut String, row: usize) {
        match &self.values {
            Values::Bool(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
            Values::Int8(array) => display(out, array.value(row)),
            Values::Int16(array) => display(out, array.value(row)),
            Values::Int32(array) => display(out, array.value(row)),
            Values::Int64(array) => display(out, array.value(row)),
            Values::Float32(array) => display(out, format_args!("{:?}", array.value(row))),
            Values::Float64(array) => display(out, format_args!("{:?}", array.value(row))),
            Values::Decimal(array, scale) => decimal(out, array.value(row), *scale),
            Values::String(array) => out.push_str(array.value(row)),
            Values::Binary(array) => base64(out, array.value(row)),
            Values::Date(array) => write_date(out, array.value(row)),
            Values::Timestamp(array) => write_timestamp(out, array.value(row)),
        }
    }
}

fn display(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a string cannot fail");
}

/// JSON has no word for what is not a number: null.
fn json_float(out: &mut String, wide: f64, shortest: impl std::fmt::Debug) {
    if wide.is_finite() {
        display(out, format_args!("{shortest:?}"));
    } else {
        out.push_str("null");
    }
}

fn decimal(out: &mut String, value: i128, scale: Scale) {
    if value < 0 {
        out.push('-');
    }
    let digits = value.unsigned_abs();
    // Division of 128 bits is a library call; nearly every amount fits 64.
    match (u64::try_from(digits), u64::try_from(scale.unit)) {
        (Ok(digits), Ok(unit)) => display(out, digits / unit),
        _ => display(out, digits / scale.unit),
    }
    if scale.digits > 0 {
        match (u64::try_from(digits), u64::try_from(scale.unit)) {
            (Ok(digits), Ok(unit)) => display(out, format_args!(".{:0width$}", digits % unit, width = scale.digits)),
            _ => display(out, format_args!(".{:0width$}", digits % scale.unit, width = scale.digits)),
        }
    }
}

/// Writes `text` as a JSON string.
pub(super) fn json_string(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&serde_json::Value::from(text).to_string());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Writes `text` as a CSV field.
pub(super) fn csv_string(out: &mut String, text: &str) {
    if text.is_empty() || text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        out.push('"');
        for (index, part) in text.split('"').enumerate() {
            if index > 0 {
                out.push_str("\"\"");
            }
            out.push_str(part);
        }
        out.push('"');
    } else {
        out.push_str(text);
    }
}

/// RFC 4648, the standard alphabet, padded: as bytes stand in the records too.
fn base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            out.push(if place <= group.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::NullArray;

    fn check(array: &dyn Array, json: &[&str], csv: &[&str]) {
        let cells = Cells::of("c", array).unwrap();
        let written = |write: &dyn Fn(&mut String, usize)| -> Vec<String> {
            (0..array.len())
                .map(|row| {
                    let mut out = String::new();
                    write(&mut out, row);
                    out
                })
                .collect()
        };
        assert_eq!(written(&|out, row| cells.json(out, row)), json);
        assert_eq!(written(&|out, row| cells.csv(out, row)), csv);
    }

    #[test]
    fn decimals_keep_their_full_scale() {
        let values = [Some(12_340), Some(-5), Some(0), None, Some(10_i128.pow(30) + 1)];
        let array = Decimal128Array::from_iter(values).with_precision_and_scale(38, 3).unwrap();
        let text = ["12.340", "-0.005", "0.000", "", "1000000000000000000000000000.001"];
        check(
            &array,
            &["\"12.340\"", "\"-0.005\"", "\"0.000\"", "null", "\"1000000000000000000000000000.001\""],
            &text,
        );
        let whole = Decimal128Array::from_iter([Some(-7)]).with_precision_and_scale(38, 0).unwrap();
        check(&whole, &["\"-7\""], &["-7"]);
        let tiny = Decimal128Array::from_iter([Some(-7)]).with_precision_and_scale(38, 38).unwrap();
        let tiny_text = "-0.00000000000000000000000000000000000007";
        check(&tiny, &[&format!("\"{tiny_text}\"")], &[tiny_text]);
    }

    #[test]
    fn text_is_quoted_where_it_must_be() {
        check(
            &StringArray::from(vec![Some("France"), Some("a \"b\", c"), Some("x\n\\"), Some(""), None]),
            &["\"France\"", r#""a \"b\", c""#, r#""x\n\\""#, "\"\"", "null"],
            &["France", "\"a \"\"b\"\", c\"", "\"x\n\\\"", "\"\"", ""],
        );
    }

    #[test]
    fn what_is_not_a_number_is_null_in_json() {
        check(
            &Float64Array::from(vec![1.0, 0.1, 1e300, f64::NAN, f64::INFINITY]),
            &["1.0", "0.1", "1e300", "null", "null"],
            &["1.0", "0.1", "1e300", "NaN", "inf"],
        );
        check(&Float32Array::from(vec![0.1]), &["0.1"], &["0.1"]);
    }

    #[test]
    fn integers_days_and_bytes_are_written() {
        check(&Int64Array::from(vec![i64::MIN]), &["-9223372036854775808"], &["-9223372036854775808"]);
        check(&Date32Array::from(vec![0]), &["\"1970-01-01\""], &["1970-01-01"]);
        let bytes: Vec<&[u8]> = vec![b"", b"f", b"fo", b"foo", b"foob"];
        check(
            &BinaryArray::from(bytes),
            &["\"\"", "\"Zg==\"", "\"Zm8=\"", "\"Zm9v\"", "\"Zm9vYg==\""],
            &["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="],
        );
    }

    #[test]
    fn a_type_that_cannot_be_written_is_an_error() {
        let error = Cells::of("c", &NullArray::new(1)).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "column c is of type Null, which rows over HTTP cannot carry");
    }
}

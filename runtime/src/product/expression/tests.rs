//! The language of expectations, as truth tables.

use super::Expression;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use lakeward_manifest::{Column, DataType};
use proptest::prelude::*;
use std::sync::Arc;

fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.to_owned(),
        source: None,
        data_type,
        nullable: true,
        format: None,
        mask: None,
        description: String::new(),
    }
}

/// Three rows and a row of nulls.
fn rows() -> Vec<(Column, ArrayRef)> {
    let price = Decimal128Array::from(vec![Some(-300), Some(0), Some(1050), None]).with_precision_and_scale(18, 2);
    let micros = vec![Some(0), Some(1_000_000), Some(1_293_840_000_000_000), None];
    let items = [Some(vec![]), Some(vec![Some(1)]), Some(vec![None, Some(2)]), None];
    let item = Column { name: "item".to_owned(), ..column("item", DataType::Int32) };
    vec![
        (column("n", DataType::Int32), Arc::new(Int32Array::from(vec![Some(-1), Some(0), Some(7), None]))),
        (column("m", DataType::Int64), Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(0), Some(i64::MAX), None]))),
        (column("u", DataType::Uint64), Arc::new(UInt64Array::from(vec![Some(0), Some(1), Some(u64::MAX), None]))),
        (column("price", DataType::Decimal { precision: 18, scale: 2 }), Arc::new(price.unwrap())),
        (
            column("f", DataType::Float64),
            Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(0.1), Some(2.0), None])),
        ),
        (column("s", DataType::String), Arc::new(StringArray::from(vec![Some(""), Some("C12"), Some("äöü"), None]))),
        (column("b", DataType::Bool), Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(true), None]))),
        (column("d", DataType::Date), Arc::new(Date32Array::from(vec![Some(0), Some(14_975), Some(-1), None]))),
        (column("t", DataType::Timestamp), Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))),
        (
            column("bytes", DataType::Binary),
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b""), Some(b"ab"), Some(b"c"), None])),
        ),
        (
            column("items", DataType::List(Box::new(item))),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(items)),
        ),
        (column("Odd Name", DataType::Int32), Arc::new(Int32Array::from(vec![Some(1), Some(2), Some(3), None]))),
    ]
}

/// One letter a row: true, false or unknown.
fn truth(expression: &str) -> String {
    let (columns, arrays): (Vec<Column>, Vec<ArrayRef>) = rows().into_iter().unzip();
    let value = columns.iter().position(|column| column.name == "n");
    let no = Expression::compile(expression, &columns, value).unwrap().violations(&arrays, 4);
    let negated = format!("not ({expression})");
    let yes = Expression::compile(&negated, &columns, value).unwrap().violations(&arrays, 4);
    (0..4)
        .map(|row| match (yes.value(row), no.value(row)) {
            (true, false) => 't',
            (false, true) => 'f',
            (false, false) => '?',
            (true, true) => panic!("{expression} is both true and false in row {row}"),
        })
        .collect()
}

fn check(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(truth(expression), *expected, "{expression}");
    }
}

#[test]
fn exact_numbers_compare_exactly() {
    check(&[
        ("value >= 0", "ftt?"),
        ("n = 0", "ftf?"),
        ("n <> 0", "tft?"),
        ("n != 0", "tft?"),
        ("0 < n", "fft?"),
        ("0 >= n", "ttf?"),
        ("n < 0.5", "ttf?"),
        ("n > -0.5", "ftt?"),
        ("n < 1e3", "ttt?"),
        ("n < 99999999999999999999", "ttt?"),
        ("u >= -1", "ttt?"),
        ("u = 18446744073709551615", "fft?"),
        ("m = 9223372036854775807", "fft?"),
        ("m < u", "ttt?"),
        ("price >= 0", "ftt?"),
        ("price = 10.5", "fft?"),
        ("price = 10.505", "fff?"),
        ("price < 10.505", "ttt?"),
        ("price > n", "fft?"),
        ("m > 0.00000000000000000000000000000000000001", "fft?"),
        ("0.5 = 0.50", "tttt"),
    ]);
}

#[test]
fn arithmetic_is_exact() {
    check(&[
        ("n + 1 > 0", "ftt?"),
        ("n - 7 = 0", "fft?"),
        ("-n = 1", "tff?"),
        ("n * price = 73.50", "fft?"),
        ("1 + 2 * 3 = 7", "tttt"),
        ("(1 + 2) * 3 = 9", "tttt"),
        ("1 - 2 - 3 = -4", "tttt"),
        ("m * m >= 0", "ttt?"),
        ("m + m <> 0", "tft?"),
        ("0.1 + 0.2 = 0.3", "tttt"),
    ]);
}

#[test]
fn floats_follow_ieee_754() {
    check(&[
        ("f = 0.1", "ftf?"),
        ("f >= 0", "ftt?"),
        ("f < 0", "fff?"),
        ("f <> f", "tff?"),
        ("f > n", "ftf?"),
        ("f * 2 = 4", "fft?"),
        ("f + 0.2 = 0.3", "fff?"),
        ("f between 0.1 and 1", "ftf?"),
    ]);
}

#[test]
fn text_compares_by_its_bytes_and_matches_patterns() {
    check(&[
        ("s = ''", "tff?"),
        ("s > 'B'", "ftt?"),
        ("'C12' = s", "ftf?"),
        ("s like 'C%'", "ftf?"),
        ("s not like 'C%'", "tft?"),
        ("s like '%'", "ttt?"),
        ("s like '___'", "ftt?"),
        ("s like '%2'", "ftf?"),
        ("s like '_1_'", "ftf?"),
        ("s like '%_ü'", "fft?"),
        ("s like 'C\\%'", "fff?"),
        ("'a%b' like 'a\\%b'", "tttt"),
        ("'aXbXc' like '%X%c'", "tttt"),
        ("'it''s' = 'it''s'", "tttt"),
        ("length(s) = 3", "ftt?"),
        ("length(s) > 0", "ftt?"),
        ("length('äö') = 2", "tttt"),
    ]);
}

#[test]
fn lists_and_ranges_include_their_ends() {
    check(&[
        ("n in (0, 7)", "ftt?"),
        ("n in (-1, 0.5)", "tff?"),
        ("n not in (0, 7)", "tff?"),
        ("price in (10.5, 1)", "fft?"),
        ("n + 1 in (1, 8)", "ftt?"),
        ("s in ('C12', 'x')", "ftf?"),
        ("d in (date '1970-01-01')", "tff?"),
        ("t in (timestamp '1970-01-01T00:00:01Z')", "ftf?"),
        ("n between 0 and 7", "ftt?"),
        ("n not between 0 and 7", "tff?"),
        ("s between 'A' and 'C12'", "ftf?"),
        ("n between -1 and 0 and b", "tff?"),
    ]);
}

#[test]
fn dates_and_timestamps_compare_with_literals() {
    check(&[
        ("d < date '2011-01-01'", "tft?"),
        ("d = date '2011-01-01'", "ftf?"),
        ("d <= date '1969-12-31'", "fft?"),
        ("t >= timestamp '2011-01-01T00:00:00Z'", "fft?"),
        ("t = timestamp '1970-01-01T01:00:01+01:00'", "ftf?"),
    ]);
}

#[test]
fn unknown_spreads_as_in_sql() {
    check(&[
        ("b", "tft?"),
        ("not b", "ftf?"),
        ("b = true", "tft?"),
        ("b <> (n = 7)", "tff?"),
        ("n is null", "ffft"),
        ("n is not null", "tttf"),
        ("b and true", "tft?"),
        ("b and false", "ffff"),
        ("b or true", "tttt"),
        ("b or false", "tft?"),
        ("b and n = 0", "fff?"),
        ("b or n = 0 or s = 'x'", "ttt?"),
        ("false and true or true", "tttt"),
        ("false and (true or true)", "ffff"),
        ("n is null or n >= 0", "fttt"),
        ("NOT b OR b", "ttt?"),
    ]);
}

#[test]
fn lengths_count_bytes_and_items() {
    check(&[("length(bytes) = 2", "ftf?"), ("length(items) > 0", "ftt?"), ("items is null", "ffft")]);
}

#[test]
fn quoted_names_reach_any_column() {
    check(&[("\"Odd Name\" > 1", "ftt?"), ("\"n\" = value", "ttt?")]);
}

fn error(expression: &str) -> String {
    let columns: Vec<Column> = rows().into_iter().map(|(column, _)| column).take(3).collect();
    let mut columns = columns;
    columns.extend([column("s", DataType::String), column("t", DataType::Timestamp), column("id", DataType::Uuid)]);
    columns.push(column("dec", DataType::Decimal { precision: 38, scale: 0 }));
    columns.push(column("ok", DataType::Bool));
    Expression::compile(expression, &columns, None).unwrap_err().to_string()
}

#[test]
fn an_expression_that_cannot_be_used_says_why_and_where() {
    let cases = [
        ("", "expected a column, a value or `(` at character 1, found the end"),
        ("n >", "expected a column, a value or `(` at character 4, found the end"),
        ("n >> 1", "expected a column, a value or `(` at character 4, found `>`"),
        ("n = 1 n", "expected `and`, `or` or the end at character 7, found `n`"),
        ("n = 'ä' ; s", "unexpected `;` at character 9"),
        ("s = 'x", "the quote opened at character 5 is never closed"),
        ("(n = 1", "expected `)` at character 7, found the end"),
        ("n is 1", "expected `null` at character 6, found a number"),
        ("n between 1 or 2", "expected `and` at character 13, found `or`"),
        ("n not 1", "expected `in`, `between` or `like` at character 7, found a number"),
        ("n = null", "expected a column, a value or `(` at character 5, found `null`"),
        ("x = 1", "unknown column `x` at character 1, the product has `n`, `m`, `u`, `s`, `t`, `id`, `dec`, `ok`"),
        (
            "value = 1",
            "`value` at character 1 means nothing in a rule that stands on no column, the product has `n`, `m`, `u`, `s`, `t`, `id`, `dec`, `ok`",
        ),
        ("n = '1'", "a number cannot be compared with text at character 3, write numbers without quotes"),
        ("s > 1", "text cannot be compared with a number at character 3"),
        (
            "t > '2011'",
            "a timestamp cannot be compared with text at character 3, write timestamp '2011-01-31T23:59:59Z'",
        ),
        ("id = 'x'", "a uuid cannot be compared with text at character 4"),
        ("ok < true", "a truth value cannot be compared with a truth value at character 4"),
        ("n + 1", "the condition at character 3 takes something that is true or false, not a number"),
        ("n and ok", "the condition at character 1 takes something that is true or false, not a number"),
        ("s + 1 > 0", "`+` at character 3 takes numbers, not text"),
        ("-s = 1", "`-` at character 1 takes numbers, not text"),
        ("n like 'x'", "`like` at character 3 takes text, not a number"),
        ("s like n", "expected a pattern in single quotes at character 8, found `n`"),
        ("length(n) = 1", "`length` at character 1 takes text, a binary or a list, not a number"),
        ("n in (m)", "`in` at character 7 takes literal values, not an expression"),
        ("n in ('a')", "a number cannot be compared with text at character 3, write numbers without quotes"),
        ("ok in (true)", "`in` at character 4 takes an exact number, text, a date or a timestamp, not a truth value"),
        ("n + 1 is null", "`is null` at character 7 takes a column, not an expression"),
        ("m * m * m > 0", "the result of `*` at character 7 may need more than 38 digits"),
        ("1234567890123456789012345678901234567890 = n", "the number at character 1 needs more than 38 digits"),
        ("n = 1e99999999999", "the number at character 5 needs more than 38 digits"),
        ("t = timestamp 'soon'", "`soon` at character 5 is not a timestamp, which is written '2011-01-31T23:59:59Z'"),
        ("t = date '2011-02-30'", "`2011-02-30` at character 5 is not a date, which is written '2011-01-31'"),
    ];
    for (expression, expected) in cases {
        assert_eq!(error(expression), expected, "{expression}");
    }
}

#[test]
fn a_hostile_expression_is_refused_before_it_exhausts_the_stack() {
    for (open, core, close) in [("(", "ok", ")"), ("not ", "ok", ""), ("length(", "s", ")"), ("-", "n", "")] {
        let text = format!("{}{core}{}", open.repeat(500), close.repeat(500));
        assert!(error(&text).contains("nests deeper than 32 levels"), "{}", error(&text));
    }
    let sum = format!("n{} > 0", " + n".repeat(500));
    assert!(error(&sum).contains("nests deeper than 32 levels"), "{}", error(&sum));
    assert_eq!(error(&" ".repeat(5000)), "the expression has 5000 bytes, at most 4096 are taken");
    let pattern = format!("s like '{}'", "a".repeat(300));
    assert_eq!(error(&pattern), "the pattern at character 3 has more than 256 bytes");
}

#[test]
fn a_long_chain_is_not_a_deep_one() {
    let chain = format!("n <> 9{}", " and n <> 9".repeat(300));
    assert_eq!(truth(&chain), "ttt?");
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_panic(text in "[nst()'\"<>=!*+. 0-9e-]{0,40}|.{0,40}|(not |\\(|n|s|t| = | and | or |1|'x'| in | like ){0,12}") {
        let columns: Vec<Column> = rows().into_iter().map(|(column, _)| column).collect();
        if let Ok(expression) = Expression::compile(&text, &columns, Some(0)) {
            let arrays: Vec<ArrayRef> = rows().into_iter().map(|(_, array)| array).collect();
            prop_assert_eq!(expression.violations(&arrays, 4).len(), 4);
        }
    }

    #[test]
    fn comparisons_agree_with_the_numbers(values in prop::collection::vec(any::<i64>(), 1..200), literal in any::<i64>()) {
        let columns = [column("n", DataType::Int64)];
        let arrays: [ArrayRef; 1] = [Arc::new(Int64Array::from(values.clone()))];
        for (text, holds) in [
            (format!("n < {literal}"), (|n, l| n < l) as fn(i64, i64) -> bool),
            (format!("n + 0 < {literal}"), |n, l| n < l),
            (format!("n >= {literal}"), |n, l| n >= l),
            (format!("{literal} = n"), |n, l| n == l),
            (format!("n <= {literal}.0"), |n, l| n <= l),
        ] {
            let broken = Expression::compile(&text, &columns, None).unwrap().violations(&arrays, values.len());
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(broken.value(row), !holds(*value, literal), "{} for {}", &text, value);
            }
        }
    }
}

//! Contracts against rows, as a reader of the table and of the dead letters sees them.

use super::{Contract, Screened};
use crate::columns::{UTC, arrow_schema};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int16Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, FixedSizeBinaryArray, Int64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray, UInt8Array, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::DataType as ArrowType;
use lakeward_manifest::{Column, DataType, Expectation, Granularity, Layer, Mask, OnViolation, PartitionBy, Product};
use std::error::Error as _;
use std::sync::Arc;

const SECRET: Option<&[u8]> = Some(b"a secret of the tests");

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

fn masked(name: &str, data_type: DataType, mask: Mask) -> Column {
    Column { mask: Some(mask), ..column(name, data_type) }
}

fn expectation(name: &str, column: Option<&str>, expression: &str, on_violation: OnViolation) -> Expectation {
    let (name, column) = (name.to_owned(), column.map(str::to_owned));
    Expectation { name, column, expression: expression.to_owned(), on_violation }
}

fn product(columns: Vec<Column>, expectations: Vec<Expectation>) -> Product {
    Product {
        name: "sales".to_owned(),
        layer: Layer::Silver,
        description: String::new(),
        columns,
        partition_by: Vec::new(),
        expectations,
    }
}

fn screen(product: &Product, columns: &[ArrayRef]) -> Screened {
    Contract::new(product, SECRET).unwrap().screen(columns, columns[0].len())
}

fn int64s(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn kept(screened: &Screened) -> Vec<bool> {
    screened.kept.as_ref().map(|kept| kept.iter().collect()).unwrap_or_default()
}

fn reasons(screened: &Screened) -> Vec<(u32, OnViolation, &str)> {
    screened.violations.iter().map(|violation| (violation.row, violation.action, violation.reason.as_str())).collect()
}

/// A rule of each action on one number: each is broken by the numbers below its threshold.
fn ladder() -> Product {
    let rule = |name, threshold: i64, action| expectation(name, Some("n"), &format!("value >= {threshold}"), action);
    let rules = vec![
        rule("warned", 40, OnViolation::Warn),
        rule("dropped", 30, OnViolation::Drop),
        rule("refused", 20, OnViolation::DeadLetter),
        rule("stopped", 10, OnViolation::Stop),
    ];
    product(vec![column("n", DataType::Int64)], rules)
}

#[test]
fn the_strictest_broken_rule_decides() {
    let screened = screen(&ladder(), &[int64s(&[45, 35, 25, 15, 5])]);
    assert_eq!(kept(&screened), [true, true, false, false, false]);
    assert_eq!(screened.counts, [4, 3, 2, 1]);
    assert_eq!(screened.dropped, 1);
    let expected = [
        (3, OnViolation::DeadLetter, "refused: value >= 20 (value is 15)"),
        (4, OnViolation::Stop, "stopped: value >= 10 (value is 5)"),
    ];
    assert_eq!(reasons(&screened), expected);
}

#[test]
fn rows_that_break_nothing_are_not_copied() {
    let numbers = int64s(&[45, 50]);
    let screened = screen(&ladder(), std::slice::from_ref(&numbers));
    assert!(screened.kept.is_none() && screened.violations.is_empty());
    assert!(Arc::ptr_eq(&screened.columns[0], &numbers));
}

#[test]
fn warnings_are_counted_and_no_more() {
    let screened = screen(&ladder(), &[int64s(&[35, 36, 37])]);
    assert!(screened.kept.is_none() && screened.violations.is_empty());
    assert_eq!((screened.counts.as_slice(), screened.dropped), ([3, 0, 0, 0].as_slice(), 0));
}

#[test]
fn no_rows_are_screened_to_no_rows() {
    let screened = screen(&ladder(), &[int64s(&[])]);
    assert!(screened.kept.is_none() && screened.columns[0].is_empty());
}

#[test]
fn a_reason_shows_the_values_but_not_the_masked_ones() {
    let columns = vec![
        column("price", DataType::Decimal { precision: 18, scale: 2 }),
        column("kind", DataType::String),
        masked("customer", DataType::String, Mask::Hash),
    ];
    let rule = "price >= 0 or kind = 'refund' or customer = '1'";
    let product = product(columns, vec![expectation("sane", None, rule, OnViolation::DeadLetter)]);
    let price = Decimal128Array::from(vec![-300]).with_precision_and_scale(18, 2).unwrap();
    let kind = StringArray::from(vec!["x".repeat(50)]);
    let screened = screen(&product, &[Arc::new(price), Arc::new(kind), Arc::new(StringArray::from(vec!["17850"]))]);
    let shown = format!("sane: {rule} (price is -3.00, kind is '{}...', customer is masked)", "x".repeat(40));
    assert_eq!(reasons(&screened), [(0, OnViolation::DeadLetter, shown.as_str())]);
}

#[test]
fn a_value_that_the_table_cannot_hold_is_a_dead_letter() {
    let columns = vec![
        column("id", DataType::Uint64),
        column("price", DataType::Decimal { precision: 4, scale: 2 }),
        Column { nullable: false, ..column("name", DataType::String) },
    ];
    let price = Decimal128Array::from(vec![9_999, 10_000, -9_999, 0]).with_precision_and_scale(4, 2).unwrap();
    let name = StringArray::from(vec![Some("a"), Some("b"), None, Some("d")]);
    let id = UInt64Array::from(vec![i64::MAX as u64, 1, 2, u64::MAX]);
    let screened = screen(&product(columns, vec![]), &[Arc::new(id), Arc::new(price), Arc::new(name)]);
    assert_eq!(kept(&screened), [true, false, false, false]);
    let expected = [
        (1, OnViolation::DeadLetter, "price: more digits than decimal(4,2) has (value is 100.00)"),
        (2, OnViolation::DeadLetter, "name: null in a column that is declared without nulls (value is null)"),
        (
            3,
            OnViolation::DeadLetter,
            "id: above 9223372036854775807, the largest integer of a table (value is 18446744073709551615)",
        ),
    ];
    assert_eq!(reasons(&screened), expected);
}

#[test]
fn times_that_no_table_can_name_a_partition_by_are_misfits() {
    let product = product(vec![column("at", DataType::Timestamp), column("day", DataType::Date)], Vec::new());
    let day_us = 86_400_000_000;
    let times = [-719_162 * day_us, -719_162 * day_us - 1, 2_932_897 * day_us - 1, 2_932_897 * day_us, i64::MAX, 0, 0];
    let days = [0, 0, 0, 0, 0, 2_932_897, -719_163];
    let columns: [ArrayRef; 2] = [
        Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone(UTC)),
        Arc::new(Date32Array::from(days.to_vec())),
    ];
    let screened = screen(&product, &columns);
    assert_eq!(kept(&screened), [true, false, true, false, false, false, false]);
    let found: Vec<&str> = reasons(&screened).into_iter().map(|(.., reason)| reason).collect();
    let expected = [
        "at: outside of the years 1 to 9999 (value is 0000-12-31T23:59:59.999999Z)",
        "at: outside of the years 1 to 9999 (value is +10000-01-01T00:00:00Z)",
        "at: outside of the years 1 to 9999 (value is microsecond 9223372036854775807)",
        "day: outside of the years 1 to 9999 (value is +10000-01-01)",
        "day: outside of the years 1 to 9999 (value is 0000-12-31)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_empty_text_that_names_a_partition_is_null_or_a_misfit() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some(""), None]));
    let by = |column: Column| Product {
        partition_by: vec![PartitionBy { column: "country".to_owned(), by: Granularity::Value }],
        ..product(vec![column], Vec::new())
    };
    let nullable = screen(&by(column("country", DataType::String)), std::slice::from_ref(&texts));
    assert!(nullable.kept.is_none());
    assert_eq!(nullable.columns[0].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None, None]);
    let never_null = Column { nullable: false, ..column("country", DataType::String) };
    let screened = screen(&by(never_null), &[texts.slice(0, 2)]);
    let reason = "country: empty, which a table that is partitioned by it takes for null (value is '')";
    assert_eq!(reasons(&screened), [(1, OnViolation::DeadLetter, reason)]);
    let hashed = screen(&by(masked("country", DataType::String, Mask::Hash)), &[texts]);
    assert_eq!(hashed.columns[0].null_count(), 1, "the hash of an empty text is a text");
}

#[test]
fn a_misfit_inside_a_list_is_found_and_a_hidden_one_is_not() {
    let id = column("id", DataType::Uint64);
    let item = column("item", DataType::Struct(vec![id]));
    let lists = column("lines", DataType::List(Box::new(item)));
    let ids: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1, u64::MAX]));
    let schema = arrow_schema(std::slice::from_ref(&lists));
    let ArrowType::List(item_field) = schema.field(0).data_type() else { panic!("a list stands as a list") };
    let ArrowType::Struct(fields) = item_field.data_type() else { panic!("a struct stands as a struct") };
    let structs = StructArray::new(fields.clone(), vec![ids], Some(vec![true, true, false].into()));
    let offsets = OffsetBuffer::from_lengths([1, 2, 0]);
    let list = ListArray::new(Arc::clone(item_field), offsets, Arc::new(structs), None);
    let contract = Contract::new(&product(vec![lists], vec![]), None).unwrap();
    let screened = contract.screen(&[Arc::new(list)], 3);
    assert_eq!(kept(&screened), [false, true, true]);
    assert_eq!(screened.columns[0].data_type(), contract.table_schema().field(0).data_type());
}

#[test]
fn columns_come_out_in_table_types() {
    let columns = vec![column("small", DataType::Uint8), column("big", DataType::Uint64), column("id", DataType::Uuid)];
    let ids = FixedSizeBinaryArray::try_from_iter([[0xAB_u8; 16]; 2].into_iter()).unwrap();
    let small = UInt8Array::from(vec![Some(255), None]);
    let contract = Contract::new(&product(columns, vec![]), None).unwrap();
    let screened = contract.screen(&[Arc::new(small), Arc::new(UInt64Array::from(vec![7, 8])), Arc::new(ids)], 2);
    for (array, field) in screened.columns.iter().zip(contract.table_schema().fields()) {
        assert_eq!(array.data_type(), field.data_type());
    }
    assert_eq!(screened.columns[0].as_primitive::<Int16Type>().iter().collect::<Vec<_>>(), [Some(255), None]);
    assert_eq!(screened.columns[1].as_primitive::<Int64Type>().values(), &[7, 8]);
    assert_eq!(screened.columns[2].as_string::<i32>().value(0), "abababab-abab-abab-abab-abababababab");
}

#[test]
fn rules_see_what_masks_hide() {
    let columns = vec![masked("name", DataType::String, Mask::Truncate { keep: 1 })];
    let rule = expectation("long", Some("name"), "length(value) > 2", OnViolation::Drop);
    let screened = screen(&product(columns, vec![rule]), &[Arc::new(StringArray::from(vec!["abc", "ab"]))]);
    assert_eq!(kept(&screened), [true, false]);
    assert_eq!(screened.columns[0].as_string::<i32>().value(0), "a");
}

/// The error and its causes, as `main` prints them.
fn refusal(product: &Product, secret: Option<&[u8]>) -> String {
    let error = Contract::new(product, secret).unwrap_err();
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[test]
fn a_contract_that_cannot_be_kept_says_whose_and_why() {
    let number = || column("n", DataType::Int64);
    let rule = |column, expression| vec![expectation("sane", column, expression, OnViolation::Warn)];
    let of = product;
    let cases = [
        (
            of(vec![number()], rule(None, "x > 1")),
            "product sales, expectation `sane`: `x > 1` cannot be used: unknown column `x` at character 1, the product has `n`",
        ),
        (
            of(vec![number()], rule(Some("n"), "value > 'a'")),
            "product sales, expectation `sane` on column `n`: `value > 'a'` cannot be used: a number cannot be compared with text at character 7, write numbers without quotes",
        ),
        (
            of(vec![number()], rule(Some("x"), "value > 1")),
            "product sales, expectation `sane` stands on column `x`, the product has `n`",
        ),
        (
            of(vec![number()], [rule(None, "n > 1"), rule(None, "n > 2")].concat()),
            "product sales has two expectations named `sane`",
        ),
        (
            of(vec![number(), column("N", DataType::Bool)], vec![]),
            "product sales, column `N`: two columns have this name (upper and lower case are the same here)",
        ),
        (
            of(vec![column("_lakeward_offset", DataType::Bool)], vec![]),
            "product sales, column `_lakeward_offset`: names that start with `_lakeward` are taken",
        ),
        (
            of(vec![column("a b", DataType::Bool)], vec![]),
            "product sales, column `a b`: a table's column name holds no space and none of `,;{}()=`",
        ),
        (
            of(vec![column("d", DataType::Decimal { precision: 4, scale: 5 })], vec![]),
            "product sales, column `d`: a decimal has 1 to 38 digits, and no more of them behind the point than in all",
        ),
        (of(vec![], vec![]), "product sales has no columns"),
    ];
    for (product, expected) in cases {
        assert_eq!(refusal(&product, Some(b"")), expected);
    }
}

#[test]
fn a_mask_or_a_layout_that_does_not_fit_says_whose_and_why() {
    let number = || column("n", DataType::Int64);
    let by = |column: &str, by| vec![PartitionBy { column: column.to_owned(), by }];
    let of = product;
    let laid_out = |partition_by| Product {
        partition_by,
        ..product(
            vec![
                number(),
                column("n_day", DataType::Int8),
                column("at", DataType::Date),
                column("at_day", DataType::Date),
            ],
            vec![],
        )
    };
    let cases = [
        (
            of(vec![masked("n", DataType::Int64, Mask::Hash)], vec![]),
            "product sales, column `n`: mask `hash` fits text only",
        ),
        (
            of(vec![masked("s", DataType::String, Mask::Hash)], vec![]),
            "product sales, column `s`: mask `hash` needs a secret, which the configuration gives as `masks.secret`",
        ),
        (
            of(vec![masked("n", DataType::Int64, Mask::Truncate { keep: 1 })], vec![]),
            "product sales, column `n`: mask `truncate` fits text only",
        ),
        (
            of(vec![Column { nullable: false, ..masked("n", DataType::Int64, Mask::Redact) }], vec![]),
            "product sales, column `n`: mask `redact` needs a column that may be null, or text",
        ),
        (
            laid_out(by("x", Granularity::Value)),
            "product sales cannot be partitioned by `x`: there is no such column, the product has `n`, `n_day`, `at`, `at_day`",
        ),
        (
            laid_out(by("n", Granularity::Day)),
            "product sales cannot be partitioned by `n`: a calendar part is of a date or a timestamp, this is a int64",
        ),
        (
            laid_out(by("at", Granularity::Day)),
            "product sales cannot be partitioned by `at`: the table already has a column `at_day`",
        ),
        (
            Product { layer: Layer::Gold, ..of(vec![number()], vec![]) },
            "product sales is of the gold layer, a transform writes silver products only",
        ),
        (
            Product { name: "../sales".to_owned(), ..of(vec![number()], vec![]) },
            "`../sales` cannot name a product, only letters, digits, `_` and `-` can stand in its path",
        ),
    ];
    for (product, expected) in cases {
        assert_eq!(refusal(&product, Some(b"")), expected);
    }
}

//! Which gold products compile, and what their tables look like.

use super::*;

/// The errors of gold products that differ from the good one in one way, as text, with their causes.
fn check(change: impl FnOnce(&mut Gold, &mut Product), expected: &str) {
    let (mut gold, mut product) = (by_country(), sales());
    change(&mut gold, &mut product);
    let error = Plan::new("retail", &gold, &product).expect_err(expected);
    assert_eq!(error.to_string(), expected);
}

fn set_measure(gold: &mut Gold, function: Function, column: Option<&str>, data_type: DataType) {
    gold.measures = vec![measure("m", function, column, data_type)];
}

#[test]
fn a_gold_product_that_makes_no_sense_is_refused() {
    check(|gold, _| gold.from = "orders".into(), "the gold product aggregates orders, not sales");
    check(|gold, _| gold.time = "sold".into(), "product sales has no column sold");
    check(|gold, _| gold.time = "country".into(), "time column country must be a timestamp that is never null");
    check(|_, product| product.columns[5].nullable = true, "time column sold_at must be a timestamp that is never null");
    check(|gold, _| gold.window = Window::Tumbling { width_ms: 0 }, "a window of 0 ms is not possible");
    check(|gold, _| gold.partition_by = Granularity::Value, "a gold product is partitioned by day, month or year of its window");
    check(|gold, _| gold.measures.clear(), "a gold product needs a measure");
    check(|gold, _| gold.keys[0].column = "land".into(), "product sales has no column land");
    check(|gold, _| gold.keys[0].column = "ratio".into(), "key country cannot be a float64");
}

#[test]
fn names_that_collide_are_refused() {
    check(|gold, _| gold.keys[0].name = "lines".into(), "two columns would be named lines");
    check(|gold, _| gold.keys[0].name = "LINES".into(), "two columns would be named lines");
    check(|gold, _| gold.keys[0].name = "window_end".into(), "two columns would be named window_end");
    check(|gold, _| gold.keys[0].name = "window_start_day".into(), "two columns would be named window_start_day");
    check(|gold, _| gold.keys[0].name = "partition".into(), "two columns would be named partition");
    check(|gold, _| gold.keys[0].name = "revenue_count".into(), "two columns would be named revenue_count");
}

#[test]
fn a_measure_must_be_defined_and_its_type_hold_the_result() {
    let bad = |function, column, data_type, expected: &str| {
        check(|gold, _| set_measure(gold, function, column, data_type), expected);
    };
    let narrow = DataType::Decimal { precision: 17, scale: 2 };
    bad(Function::Sum, None, DataType::Int64, "measure m names no column");
    bad(Function::Count, Some("total"), DataType::Int64, "measure m counts rows and so takes no column");
    bad(Function::Count, None, DataType::Int32, "measure m is declared int32, but must be uint64 or int64");
    bad(Function::Sum, Some("country"), DataType::Int64, "measure m: sum is not defined for string");
    bad(Function::Sum, Some("total"), DataType::Int64, "measure m is declared int64, but must be decimal(18,2) or wider");
    bad(Function::Sum, Some("total"), narrow, "measure m is declared decimal(17,2), but must be decimal(18,2) or wider");
    bad(Function::Sum, Some("quantity"), DataType::Int32, "measure m is declared int32, but must be int64 or decimal(19,0) or wider");
    bad(Function::Sum, Some("quantity"), DataType::Uint64, "measure m is declared uint64, but must be int64 or decimal(19,0) or wider");
    bad(Function::Sum, Some("ratio"), MONEY, "measure m is declared decimal(18,2), but must be float64");
    bad(Function::Average, Some("total"), DataType::Int64, "measure m is declared int64, but must be float64 or a decimal");
    bad(Function::Min, Some("total"), DataType::Float64, "measure m is declared float64, but must be decimal(18,2)");
    bad(Function::Distinct, Some("total"), MONEY, "measure m is declared decimal(18,2), but must be uint64 or int64");
}

#[test]
fn the_tables_hold_keys_windows_and_measures() {
    let plan = plan();
    assert_eq!(plan.path(), "retail/by_country");
    let fields = |schema: arrow_schema::SchemaRef| {
        let field = |field: &Arc<arrow_schema::Field>| {
            format!("{} {}{}", field.name(), field.data_type(), if field.is_nullable() { "?" } else { "" })
        };
        schema.fields().iter().map(field).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(fields(plan.gold_schema()), @r#""#);
    insta::assert_snapshot!(fields(plan.state_schema()), @r#""#);
}

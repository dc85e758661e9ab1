//! What the functions answer where it is delicate: overflow, nulls, floats, sketches, every type.

use super::super::PartitionState;
use super::*;
use arrow_array::ArrayRef;

/// The gold rows of one measure over one column of values in one window, in two Kafka partitions.
fn answer(function: Function, source: DataType, declared: DataType, parts: [ArrayRef; 2]) -> RecordBatch {
    let mut product = sales();
    product.columns = vec![column("value", source, true), column("sold_at", DataType::Timestamp, false)];
    let mut gold = by_country();
    gold.keys.clear();
    gold.measures = vec![measure("result", function, Some("value"), declared)];
    let plan = Plan::new("retail", &gold, &product).unwrap();
    let schema = arrow_schema::Schema::new(product.columns.iter().map(crate::columns::table_field).collect::<Vec<_>>());
    let schema = Arc::new(schema);
    let (view, committed) = (View::new(Arc::clone(&plan)), View::new(Arc::clone(&plan)));
    for (partition, values) in (0..).zip(parts) {
        let times = TimestampMicrosecondArray::from_value(0, values.len());
        let times = Arc::new(times.with_data_type(arrow_type(&DataType::Timestamp)));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![values, times]).unwrap();
        let mut state = PartitionState::new(Arc::clone(&plan), partition);
        assert!(state.update(&rows, i64::MIN).is_empty());
        view.apply_live(&state.take_live(1));
        let mut restored = PartitionState::new(Arc::clone(&plan), partition);
        restored.restore(&state.take_commit(1).state_rows(&plan, 1).unwrap()).unwrap();
        committed.apply_committed(1, &[restored.take_all(1)]);
    }
    let rows = all(&view, false).rows;
    assert_eq!(rows, all(&committed, true).rows, "the state table does not hold what the worker has");
    rows
}

/// The only value of the measure, as text.
fn check(function: Function, source: DataType, declared: DataType, parts: [ArrayRef; 2], expected: &str) {
    let what = format!("{function:?} of {source}");
    let rows = answer(function, source, declared, parts);
    let column = rows.column_by_name("result").unwrap();
    let found = if column.is_null(0) {
        "null".to_owned()
    } else if let Some(texts) = column.as_string_opt::<i32>() {
        texts.value(0).to_owned()
    } else if let Some(decimals) = column.as_primitive_opt::<arrow_array::types::Decimal128Type>() {
        decimals.value_as_string(0)
    } else {
        format!("{column:?}").lines().nth(2).unwrap_or_default().trim().trim_end_matches(',').to_owned()
    };
    assert_eq!(found, expected, "{what}");
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap())
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn a_sum_that_does_not_fit_is_null_and_never_wraps() {
    let sum = |parts, expected: &str| check(Function::Sum, DataType::Int64, DataType::Int64, parts, expected);
    sum([ints(&[Some(i64::MAX)]), ints(&[Some(0)])], "9223372036854775807");
    sum([ints(&[Some(i64::MAX)]), ints(&[Some(1)])], "null");
    sum([ints(&[Some(i64::MAX), Some(1)]), ints(&[Some(-1)])], "9223372036854775807");
    sum([ints(&[None]), ints(&[None, None])], "null");
    let wide = DataType::Decimal { precision: 19, scale: 0 };
    let parts = [ints(&[Some(i64::MAX)]), ints(&[Some(1)])];
    check(Function::Sum, DataType::Int64, wide, parts, "9223372036854775808");
    let cents = DataType::Decimal { precision: 3, scale: 2 };
    let sum = |parts, expected: &str| check(Function::Sum, cents.clone(), cents.clone(), parts, expected);
    sum([decimals(&[998], 3, 2), decimals(&[1], 3, 2)], "9.99");
    sum([decimals(&[999], 3, 2), decimals(&[1], 3, 2)], "null");
    let full = DataType::Decimal { precision: 38, scale: 0 };
    let limit = 10_i128.pow(38) - 1;
    let sum = |parts, expected: &str| check(Function::Sum, full.clone(), full.clone(), parts, expected);
    sum([decimals(&[limit], 38, 0), decimals(&[-limit], 38, 0)], "0");
    sum([decimals(&[limit, 1, -limit], 38, 0), decimals(&[0], 38, 0)], "null");
}

#[test]
fn a_mean_is_exact_until_it_is_rounded() {
    let mean = |declared: DataType, parts, expected: &str| check(Function::Average, DataType::Int64, declared, parts, expected);
    mean(DataType::Float64, [ints(&[Some(1), None]), ints(&[Some(2)])], "1.5");
    mean(DataType::Float64, [ints(&[None]), ints(&[])], "null");
    mean(DataType::Float64, [ints(&[Some(i64::MAX)]), ints(&[Some(i64::MAX)])], "9.223372036854776e18");
    mean(DataType::Decimal { precision: 3, scale: 2 }, [ints(&[Some(1), Some(1)]), ints(&[Some(0)])], "0.67");
    mean(DataType::Decimal { precision: 3, scale: 2 }, [ints(&[Some(10)]), ints(&[])], "null");
}

#[test]
fn extremes_ignore_nulls_and_order_nan_above_everything() {
    let int = |function, parts, expected: &str| check(function, DataType::Int64, DataType::Int64, parts, expected);
    int(Function::Min, [ints(&[Some(3), None]), ints(&[Some(-3)])], "-3");
    int(Function::Max, [ints(&[Some(3), None]), ints(&[Some(-3)])], "3");
    int(Function::Max, [ints(&[None]), ints(&[None])], "null");
    let float = |function, parts, expected: &str| check(function, DataType::Float64, DataType::Float64, parts, expected);
    float(Function::Min, [floats(&[f64::NAN, 0.0]), floats(&[-0.0])], "-0.0");
    float(Function::Max, [floats(&[-f64::NAN, f64::INFINITY]), floats(&[1.0])], "NaN");
    let text = |function, parts, expected: &str| check(function, DataType::String, DataType::String, parts, expected);
    text(Function::Min, [texts(&["b", ""]), texts(&["ab"])], "");
    text(Function::Max, [texts(&["b", ""]), texts(&["ba"])], "ba");
}

#[test]
fn distinct_counts_a_value_of_several_partitions_once() {
    let distinct = |source, parts, expected: &str| check(Function::Distinct, source, DataType::Uint64, parts, expected);
    distinct(DataType::Int64, [ints(&[Some(1), Some(-1), None]), ints(&[Some(1), Some(2)])], "3");
    distinct(DataType::String, [texts(&["", "a", "a"]), texts(&["a", "b"])], "3");
    distinct(DataType::Float64, [floats(&[0.0, f64::NAN]), floats(&[-0.0, -f64::NAN])], "2");
    distinct(MONEY, [decimals(&[1, -1], 18, 2), decimals(&[-1], 18, 2)], "2");
    let many: Vec<_> = (0..1_000).map(Some).collect();
    distinct(DataType::Int64, [ints(&many), ints(&many[500..])], "1000");
}

#[test]
fn a_sketch_is_within_five_standard_errors_and_does_not_count_overlap() {
    let half = |range: std::ops::Range<i64>| ints(&range.map(Some).collect::<Vec<_>>());
    let parts = [half(0..60_000), half(40_000..100_000)];
    let rows = answer(Function::DistinctSketch, DataType::Int64, DataType::Uint64, parts);
    let estimate = rows.column_by_name("result").unwrap().as_primitive::<Int64Type>().value(0);
    assert!((92_000..=108_000).contains(&estimate), "{estimate} of 100,000");
    let parts = [half(0..60_000), half(0..60_000)];
    let twice = answer(Function::DistinctSketch, DataType::Int64, DataType::Uint64, parts);
    let once = answer(Function::DistinctSketch, DataType::Int64, DataType::Uint64, [half(0..60_000), half(0..0)]);
    assert_eq!(twice, once);
    let few = answer(Function::DistinctSketch, DataType::Int64, DataType::Uint64, [half(0..5), half(3..8)]);
    assert_eq!(few.column_by_name("result").unwrap().as_primitive::<Int64Type>().value(0), 8);
}

#[test]
fn every_table_type_has_extremes_and_a_distinct_count() {
    use arrow_array::{BinaryArray, BooleanArray, Date32Array, Float32Array, Int8Array, Int16Array, Int32Array};
    let time = arrow_type(&DataType::Timestamp);
    let columns: Vec<(DataType, ArrayRef)> = vec![
        (DataType::Bool, Arc::new(BooleanArray::from(vec![true, false]))),
        (DataType::Int8, Arc::new(Int8Array::from(vec![1, -1]))),
        (DataType::Uint8, Arc::new(Int16Array::from(vec![1, 255]))),
        (DataType::Uint16, Arc::new(Int32Array::from(vec![1, 65_535]))),
        (DataType::Uint64, ints(&[Some(1), Some(2)])),
        (DataType::Float32, Arc::new(Float32Array::from(vec![0.1, 0.2]))),
        (DataType::Date, Arc::new(Date32Array::from(vec![-1, 1]))),
        (DataType::Timestamp, Arc::new(TimestampMicrosecondArray::from(vec![-1, 1]).with_data_type(time))),
        (DataType::Binary, Arc::new(BinaryArray::from_vec(vec![b"a", b"b"]))),
        (DataType::Uuid, texts(&["67e55044-10b1-426f-9247-bb680e5fe0c8", "00000000-0000-0000-0000-000000000000"])),
    ];
    for (data_type, values) in columns {
        let parts = || [values.slice(0, 1), values.slice(1, 1)];
        let extremes = [Function::Min, Function::Max]
            .map(|function| answer(function, data_type.clone(), data_type.clone(), parts()).column(2).slice(0, 1));
        let found = |extreme: &ArrayRef| (0..2).find(|row| values.slice(*row, 1).as_ref() == extreme.as_ref());
        let order: Vec<_> = extremes.iter().map(found).collect();
        assert!(order.contains(&Some(0)) && order.contains(&Some(1)), "{data_type}: {extremes:?}");
        check(Function::Distinct, data_type, DataType::Int64, parts(), "2");
    }
}

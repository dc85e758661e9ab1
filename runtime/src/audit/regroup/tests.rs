//! Groups computed anew, held against gold tables that are right and wrong.

use super::super::origins::partition_of;
use super::*;
use crate::sink::system;
use arrow_array::{Decimal128Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema};
use lakeward_manifest::{self as manifest, Function, Granularity, Layer};
use std::sync::Arc;

const HOUR_US: i64 = 3_600_000_000;
const MONEY: DataType = DataType::Decimal { precision: 18, scale: 2 };

fn column(name: &str, data_type: DataType) -> manifest::Column {
    let text = format!(
        r#"{{"name": {name:?}, "data_type": {}, "nullable": false}}"#,
        serde_json::to_string(&data_type).unwrap()
    );
    serde_json::from_str(&text).unwrap()
}

fn silver() -> Silver {
    Silver {
        path: "a/sales".into(),
        module: "a".into(),
        topic: "orders".into(),
        product: manifest::Product {
            name: "sales".into(),
            description: String::new(),
            layer: Layer::Silver,
            columns: vec![
                column("at", DataType::Timestamp),
                column("country", DataType::String),
                column("price", MONEY),
            ],
            partition_by: Vec::new(),
            expectations: Vec::new(),
        },
    }
}

fn gold() -> Gold {
    let measure = |name: &str, function, column: Option<&str>, data_type| manifest::Measure {
        name: name.into(),
        function,
        column: column.map(str::to_owned),
        data_type,
        description: String::new(),
    };
    Gold {
        path: "a/by_country".into(),
        from: 0,
        gold: manifest::Gold {
            name: "by_country".into(),
            description: String::new(),
            from: "sales".into(),
            time: "at".into(),
            window: manifest::Window::Tumbling { width_ms: 3_600_000 },
            lateness_ms: 0,
            partition_by: Granularity::Day,
            keys: vec![manifest::Key { name: "land".into(), column: "country".into(), description: String::new() }],
            measures: vec![
                measure("lines", Function::Count, None, DataType::Uint64),
                measure("revenue", Function::Sum, Some("price"), MONEY),
            ],
        },
    }
}

fn times(us: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(us).with_timezone("UTC"))
}

fn prices(cents: Vec<i128>) -> ArrayRef {
    Arc::new(Decimal128Array::from(cents).with_precision_and_scale(18, 2).unwrap())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

/// Rows of silver: offset, hour, country, price.
fn rows(rows: &[(i64, i64, &str, i128)]) -> RecordBatch {
    let [incarnation, partition, offset] = system::ORIGIN_COLUMNS;
    batch(vec![
        ("at", times(rows.iter().map(|row| row.1 * HOUR_US + 5).collect())),
        ("country", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)))),
        ("price", prices(rows.iter().map(|row| row.3).collect())),
        (incarnation, Arc::new(Int32Array::from(vec![0; rows.len()]))),
        (partition, Arc::new(Int32Array::from(vec![0; rows.len()]))),
        (offset, Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
    ])
}

/// Rows of gold: hour, country, lines, revenue.
fn groups(rows: &[(i64, &str, i64, i128)]) -> RecordBatch {
    batch(vec![
        ("land", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ("window_start", times(rows.iter().map(|row| row.0 * HOUR_US).collect())),
        ("window_end", times(rows.iter().map(|row| (row.0 + 1) * HOUR_US).collect())),
        ("lines", Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>())),
        ("revenue", prices(rows.iter().map(|row| row.3).collect())),
    ])
}

/// What is said of `gold_rows`, where the gold table stands at offset 100 and the records at `late` were late.
fn check(silver_rows: &[(i64, i64, &str, i128)], late: &[i64], gold_rows: &[(i64, &str, i64, i128)], said: &[&str]) {
    check_ahead(silver_rows, late, &[], gold_rows, said);
}

/// The same, where rows of those at `ahead` were too far ahead.
fn check_ahead(
    silver_rows: &[(i64, i64, &str, i128)],
    late: &[i64],
    ahead: &[i64],
    gold_rows: &[(i64, &str, i64, i128)],
    said: &[&str],
) {
    let (silver, gold) = (silver(), gold());
    let letters = [late, ahead].map(|offsets| {
        let mut letters = Origins::default();
        offsets.iter().for_each(|offset| assert!(letters.insert((0, 0), *offset)));
        letters
    });
    let cut = [(partition_of(&silver.topic, (0, 0)), 100)].into_iter().collect();
    let mut fresh = Regrouped::new(&silver, &gold, &cut, letters, Origins::default());
    let rows = rows(silver_rows);
    let origins = Columns::of(&rows, system::ORIGIN_COLUMNS).unwrap();
    let part = Part::default();
    assert!(fresh.add(&part, &rows, &origins));
    if fresh.look_again() {
        assert!(fresh.add(&part, &rows, &origins));
    }
    fresh.settle();
    let mut bad = Offenders::default();
    assert!(fresh.compare(&groups(gold_rows), &mut bad));
    fresh.missing(&mut bad);
    let mut expected = Offenders::default();
    said.iter().for_each(|words| expected.add(|| (*words).to_owned()));
    assert_eq!(bad, expected);
}

const SALES: [(i64, i64, &str, i128); 3] = [(1, 8, "France", 150), (2, 8, "France", 250), (3, 9, "Spain", 100)];

#[test]
fn a_gold_table_that_adds_up_is_right() {
    check(&SALES, &[], &[(8, "France", 2, 400), (9, "Spain", 1, 100)], &[]);
}

#[test]
fn every_digit_and_every_group_counts() {
    let place = "land=France window_start=1970-01-01T08:00:00Z";
    check(
        &SALES,
        &[],
        &[(8, "France", 1, 401)],
        &[
            &format!("{place}: lines is 1 in gold and 2 from silver"),
            &format!("{place}: revenue is 4.01 in gold and 4.00 from silver"),
            "land=Spain window_start=1970-01-01T09:00:00Z is missing in gold",
        ],
    );
    check(
        &SALES[..2],
        &[],
        &[(8, "France", 2, 400), (8, "Italy", 1, 1)],
        &["land=Italy window_start=1970-01-01T08:00:00Z is in gold, but silver has no row of it"],
    );
}

#[test]
fn rows_that_gold_does_not_have_yet_do_not_count() {
    let rows = [SALES[0], (100, 8, "France", 999), (101, 9, "Spain", 1)];
    check(&rows, &[], &[(8, "France", 1, 150)], &[]);
}

#[test]
fn late_rows_do_not_count() {
    check(&SALES, &[2], &[(8, "France", 1, 150), (9, "Spain", 1, 100)], &[]);
    // All rows of a record that fall into one window share their fate.
    let twice = [SALES[0], (2, 8, "France", 1), (2, 8, "Spain", 2)];
    check(&twice, &[2], &[(8, "France", 1, 150)], &[]);
    // Unless one was too far ahead and the others were not.
    check_ahead(&twice, &[2], &[2], &[(8, "France", 2, 151)], &[]);
    check_ahead(&SALES, &[2], &[2], &[(8, "France", 1, 150), (9, "Spain", 1, 100)], &[]);
}

#[test]
fn where_nobody_knows_which_rows_were_late_nothing_is_said() {
    let apart = [SALES[0], (2, 8, "France", 1), (2, 9, "Spain", 2)];
    check(&apart, &[2], &[(8, "France", 1, 150), (9, "Spain", 1, 2)], &[]);
    check(&apart, &[2], &[(8, "France", 2, 151)], &[]);
}

#[test]
fn an_encoded_group_reads_back() {
    let mut key = Vec::new();
    let text = Cell::Bytes(b"France".as_slice().into());
    for cell in [&Cell::Int(7), &text, &Cell::Null, &Cell::Decimal(-3)] {
        cell.encode(&mut key);
    }
    let cells = decode(&key);
    assert_eq!(cells.len(), 4);
    assert!(cells[0].is(&text) && cells[1].is(&Cell::Null) && cells[2].is(&Cell::Decimal(-3)));
    assert!(cells[3].is(&Cell::Int(7)));
}

#[test]
fn an_older_incarnation_is_in_gold_as_far_as_in_the_state() {
    let at = |incarnation, partition| partition_of(&"orders".into(), (incarnation, partition));
    let gold: Checkpoint = [(at(0, 0), 5), (at(1, 0), 3)].into_iter().collect();
    let state: Checkpoint = [(at(0, 0), 9), (at(0, 1), 4), (at(1, 0), 7), (at(1, 1), 2)].into_iter().collect();
    let expected: Checkpoint = [(at(0, 0), 9), (at(0, 1), 4), (at(1, 0), 3)].into_iter().collect();
    assert_eq!(cut(&gold, &state), expected);
}

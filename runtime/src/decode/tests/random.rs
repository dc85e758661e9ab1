//! Random records, written and judged by `serde_json`.

use super::{check, chunk, column, decode, list, nullable, row};
use crate::decode::Decoder;
use lakeward_manifest::{Column, DataType};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn columns() -> Vec<Column> {
    let inner = DataType::Struct(vec![column("s", DataType::String), nullable("n", DataType::Int64)]);
    vec![
        column("int", DataType::Int64),
        nullable("small", DataType::Uint8),
        nullable("float", DataType::Float64),
        column("text", DataType::String),
        nullable("flag", DataType::Bool),
        list("list", nullable("item", inner.clone())),
        nullable("inner", inner),
    ]
}

/// Any JSON value, a few levels deep.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A record that fits the columns, with fields that nobody reads among them, in any order.
fn record() -> impl Strategy<Value = Vec<(String, Value)>> {
    let small = proptest::option::of(any::<u8>());
    let float = proptest::option::of(prop_oneof![
        any::<f64>(),
        (-99_999_i32..99_999).prop_map(|cents| f64::from(cents) / 100.0)
    ]);
    let text = prop_oneof!["[ -~]{0,40}", any::<String>()];
    let inner = || {
        proptest::option::of((any::<String>(), proptest::option::of(any::<i64>())))
            .prop_map(|inner| inner.map_or(Value::Null, |(s, n)| json!({"n": n, "s": s})))
    };
    let int = prop_oneof![any::<i64>(), -99_999..99_999_i64];
    (int, small, float, text, any::<Option<bool>>(), vec(inner(), 0..4), inner(), vec(("[A-Z]{0,3}", anything()), 0..4))
        .prop_map(|(int, small, float, text, flag, list, inner, more)| {
            let float = float.filter(|float| float.is_finite());
            let mut fields = vec![
                ("int".into(), json!(int)),
                ("small".into(), json!(small)),
                ("float".into(), json!(float)),
                ("text".into(), json!(text)),
                ("flag".into(), json!(flag)),
                ("list".into(), json!(list)),
                ("inner".into(), inner),
            ];
            fields.extend(more);
            fields
        })
        .prop_shuffle()
}

/// Writes a record, with white space as it comes.
fn write(fields: &[(String, Value)], space: &str) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{space}{}{space}:{space}{}", json!(name), value)).collect();
    format!("{space}{{{}{space}}}{space}", fields.join(&format!("{space},")))
}

/// The row that a record must give.
fn expected(fields: &[(String, Value)]) -> Value {
    let value = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
    columns().iter().map(|column| (column.name.clone(), value(&column.name).unwrap_or_default())).collect()
}

proptest! {
    #[test]
    fn good_records_are_read_as_serde_json_wrote_them(records in vec(record(), 1..8), space in "[ \t\r\n]{0,2}") {
        let payloads: Vec<_> = records.iter().map(|fields| write(fields, &space)).collect();
        let events = decode(&columns(), &chunk(payloads.iter().map(String::as_bytes)));
        prop_assert_eq!(&events.dead_letters, &[]);
        for (index, fields) in records.iter().enumerate() {
            prop_assert_eq!(row(&columns(), &events.columns, index), expected(fields));
        }
    }

    #[test]
    fn a_changed_byte_never_spoils_its_neighbours(records in vec(record(), 3), place: prop::sample::Index, byte: u8) {
        let mut payloads: Vec<_> = records.iter().map(|fields| write(fields, "").into_bytes()).collect();
        let place = place.index(payloads[1].len());
        payloads[1][place] = byte;
        let events = decode(&columns(), &chunk(payloads.iter().map(Vec::as_slice)));
        let first = events.rows.iter().position(|&row| row == 0).unwrap();
        let last = events.rows.iter().position(|&row| row == 2).unwrap();
        prop_assert_eq!(row(&columns(), &events.columns, first), expected(&records[0]));
        prop_assert_eq!(row(&columns(), &events.columns, last), expected(&records[2]));
        // What we take is JSON to others too, but for strings that nobody reads, and numbers that no type holds.
        if events.rows.len() == 3 && std::str::from_utf8(&payloads[1]).is_ok() {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&payloads[1]).is_ok());
        }
    }

    #[test]
    fn no_bytes_break_it(payloads in vec(vec(any::<u8>(), 0..40), 1..4), json in vec("[\\[\\]{}\":,0-9eE.\\\\untrfals -]{0,30}", 1..4)) {
        let all = payloads.iter().map(Vec::as_slice).chain(json.iter().map(String::as_bytes));
        decode(&columns(), &chunk(all));
    }

    #[test]
    fn an_input_sees_the_same_alone_and_with_others(records in vec(record(), 3), place: prop::sample::Index, byte: u8) {
        let mut payloads: Vec<_> = records.iter().map(|fields| write(fields, "").into_bytes()).collect();
        let place = place.index(payloads[1].len());
        payloads[1][place] = byte;
        let chunk = chunk(payloads.iter().map(Vec::as_slice));
        let columns = columns();
        let [one, other] = [&columns[..4], &columns[2..]];
        let both = Decoder::new(&[one, other]).unwrap().decode(&chunk, 0);
        for (events, columns) in both.iter().zip([one, other]) {
            check(events, columns, &chunk, 0);
            let alone = decode(columns, &chunk);
            prop_assert_eq!(&events.rows, &alone.rows);
            prop_assert_eq!(&events.columns, &alone.columns);
        }
    }
}

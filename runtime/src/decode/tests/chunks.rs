//! Whole chunks: bad records between good ones, several inputs, shapes that change.

use super::{check, chunk, column, decode, list, nullable, row};
use crate::decode::{Decoder, Error};
use crate::record::{Chunk, Record};
use arrow_array::Array;
use lakeward_manifest::{Column, DataType};
use serde_json::{Value, json};
use std::sync::Arc;

fn rows(columns: &[Column], payloads: &[&str]) -> (Vec<Value>, Vec<u32>) {
    let events = decode(columns, &chunk(payloads.iter().map(|payload| payload.as_bytes())));
    let rows = (0..events.rows.len()).map(|index| row(columns, &events.columns, index)).collect();
    (rows, events.dead_letters.iter().map(|letter| letter.index).collect())
}

/// One column of every kind that keeps something of a value that was begun.
fn wide() -> Vec<Column> {
    let pair = DataType::Struct(vec![column("x", DataType::Int32), nullable("y", DataType::String)]);
    vec![
        column("number", DataType::Int64),
        nullable("text", DataType::String),
        nullable("bytes", DataType::Binary),
        list("pairs", column("item", pair.clone())),
        nullable("pair", pair),
        column("flag", DataType::Bool),
    ]
}

#[test]
fn a_bad_record_leaves_no_trace_wherever_it_breaks_off() {
    let columns = wide();
    let good =
        r#"{"number":1,"text":"a\tb","bytes":"Zm9v","pairs":[{"x":1,"y":"p"},{"x":2}],"pair":{"x":3},"flag":true}"#;
    let expected = json!({
        "number": 1, "text": "a\tb", "bytes": b"foo", "pairs": [{"x": 1, "y": "p"}, {"x": 2, "y": null}],
        "pair": {"x": 3, "y": null}, "flag": true,
    });
    for end in 0..good.len() {
        let (rows, bad) = rows(&columns, &[good, &good[..end], good]);
        assert_eq!((rows, bad), (vec![expected.clone(); 2], vec![1]), "cut at {end}");
    }
}

#[test]
fn columns_without_nulls_stay_so_under_an_absent_struct() {
    let inner = DataType::Struct(vec![column("n", DataType::Int8), list("l", column("item", DataType::String))]);
    let columns = [nullable("outer", DataType::Struct(vec![column("inner", inner)]))];
    let (rows, bad) = rows(&columns, &[r#"{"outer":null}"#, r#"{"outer":{"inner":{"n":1,"l":["a"]}}}"#, "{}"]);
    assert_eq!(
        rows,
        [json!({"outer": null}), json!({"outer": {"inner": {"n": 1, "l": ["a"]}}}), json!({"outer": null})]
    );
    assert!(bad.is_empty());
}

#[test]
fn keys_may_come_in_any_order_and_spelling() {
    let columns = [
        column("a", DataType::Int8),
        column("b", DataType::Int8),
        nullable("a key of more than thirty-two bytes", DataType::Int8),
    ];
    let payloads = [
        r#"{"a":1,"b":2,"a key of more than thirty-two bytes":3}"#,
        r#"{"b":2,"a key of more than thirty-two bytes":3,"a":1}"#,
        r#"{"x":0,"b":2,"y":[],"a key of more than thirty-two bytes":3,"a":1}"#,
        r#"{ "b" :2, "a" : 1 ,"a key of more than thirty-two bytes" :3}"#,
        r#"{"\u0061":1,"b":2,"a key of more than thirty-two byte\u0073":3}"#,
        r#"{"ab":0,"a":1,"":4,"b":2,"a key of more than thirty-two bytes":3}"#,
    ];
    for _ in 0..3 {
        let (rows, bad) = rows(&columns, &payloads.repeat(3));
        assert_eq!(rows, vec![json!({"a": 1, "b": 2, "a key of more than thirty-two bytes": 3}); 18]);
        assert!(bad.is_empty());
    }
}

#[test]
fn keys_without_any_order_are_found() {
    let columns: Vec<_> = (0..100).map(|field| column(&format!("field{field}"), DataType::Int64)).collect();
    let payloads: Vec<_> = (1..60)
        .map(|step| {
            let fields: Vec<_> =
                (0..101).map(|place| place * step % 101).map(|field| format!("\"field{field}\":{field}")).collect();
            format!("{{{}}}", fields.join(","))
        })
        .collect();
    let (rows, bad) = rows(&columns, &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let expected: Value = (0..100).map(|field| (format!("field{field}"), json!(field))).collect();
    assert_eq!(rows, vec![expected; 59]);
    assert!(bad.is_empty());
}

#[test]
fn records_before_the_first_and_tombstones_are_no_rows() {
    let columns = [column("v", DataType::Int8)];
    let mut chunk = Chunk::new("topic".into(), 0, 0);
    for (offset, value) in [Some("{\"v\":1}"), None, Some("{\"v\":2}"), Some("")].into_iter().enumerate() {
        chunk.push(Record { offset: offset as i64, timestamp_ms: 0, key: Some(b"k"), value: value.map(str::as_bytes) });
    }
    let mut decoder = Decoder::new(&[&columns]).unwrap();
    for first in 0..6 {
        let [events] = decoder.decode(&chunk, first).try_into().unwrap();
        check(&events, &columns, &chunk, first as u32);
        let letters: Vec<_> = events.dead_letters.iter().map(|letter| (letter.index, letter.reason.as_str())).collect();
        let expected = [(1, "tombstone: the record has no value"), (3, "empty payload")];
        assert_eq!(letters, expected[(first / 2).min(2)..], "from {first}");
    }
}

#[test]
fn a_decoder_starts_every_chunk_afresh() {
    let columns = wide();
    let good = r#"{"number":1,"flag":true,"pairs":[]}"#;
    let mut decoder = Decoder::new(&[&columns]).unwrap();
    for length in [3, 0, 1, 20] {
        let chunk = chunk(std::iter::repeat_n(good.as_bytes(), length));
        let [events] = decoder.decode(&chunk, 0).try_into().unwrap();
        check(&events, &columns, &chunk, 0);
        assert_eq!(events.rows.len(), length);
    }
}

#[test]
fn a_fault_in_a_field_concerns_only_the_inputs_that_read_it() {
    let sales = [column("id", DataType::Int64), column("price", DataType::Float64)];
    let names = [column("id", DataType::Int64), nullable("name", DataType::String)];
    let payloads: [&[u8]; 7] = [
        br#"{"id":0,"price":1.5,"name":"a"}"#,
        br#"{"id":1,"price":"x","name":"b"}"#,
        br#"{"id":2,"name":7,"price":2.5}"#,
        br#"{"id":"x","price":3.5}"#,
        br#"{"id":4,"price":"x","name":"b"},"#,
        br#"{"id":5,"name":"f"}"#,
        br#"{"id":6,"price":6.5,"name":"\xff","id":7}"#,
    ];
    let chunk = chunk(payloads);
    let both = Decoder::new(&[&sales, &names]).unwrap().decode(&chunk, 0);
    for (events, (columns, kept)) in both.iter().zip([(&sales, &[0, 2][..]), (&names, &[0, 1, 5])]) {
        check(events, columns, &chunk, 0);
        assert_eq!(events.rows, kept);
        let alone = decode(columns, &chunk);
        assert_eq!((&events.rows, &events.columns), (&alone.rows, &alone.columns));
        let indexes =
            |letters: &[crate::record::DeadLetter]| letters.iter().map(|letter| letter.index).collect::<Vec<_>>();
        assert_eq!(indexes(&events.dead_letters), indexes(&alone.dead_letters));
    }
}

#[test]
fn inputs_share_what_they_read_alike() {
    let one = [column("id", DataType::Int64), column("price", DataType::Float64)];
    let renamed = Column { name: "key".into(), source: Some("id".into()), ..column("", DataType::Int64) };
    let other = [column("price", DataType::Decimal { precision: 9, scale: 2 }), renamed.clone(), renamed];
    let chunk = chunk([&br#"{"id":1,"price":1.25}"#[..]]);
    let [first, second] = Decoder::new(&[&one, &other]).unwrap().decode(&chunk, 0).try_into().unwrap();
    check(&first, &one, &chunk, 0);
    check(&second, &other, &chunk, 0);
    assert!(Arc::ptr_eq(&first.columns[0], &second.columns[1]));
    assert!(Arc::ptr_eq(&first.columns[0], &second.columns[2]));
    assert_eq!(row(&one, &first.columns, 0), json!({"id": 1, "price": 1.25}));
    assert_eq!(row(&other, &second.columns, 0), json!({"key": 1, "price": "125"}));
}

#[test]
fn a_partly_read_value_that_one_input_refuses_is_filled_for_the_others() {
    let pair = DataType::Struct(vec![column("x", DataType::Int32), column("y", DataType::Int32)]);
    let one = [column("pair", pair.clone()), list("pairs", column("item", pair))];
    let other = [column("id", DataType::Int64)];
    let chunk = chunk([
        &br#"{"pair":{"x":1,"y":2},"pairs":[],"id":0}"#[..],
        br#"{"pair":{"x":1},"pairs":[{"x":1,"y":2},{"x":1,"y":""}],"id":1}"#,
        br#"{"pair":{"x":3,"y":4},"pairs":[{"x":5,"y":6}],"id":2}"#,
    ]);
    let [first, second] = Decoder::new(&[&one, &other]).unwrap().decode(&chunk, 0).try_into().unwrap();
    check(&first, &one, &chunk, 0);
    check(&second, &other, &chunk, 0);
    assert_eq!(first.rows, [0, 2]);
    assert_eq!(first.dead_letters[0].reason, "required field \"pair.y\" is missing");
    assert_eq!(row(&one, &first.columns, 1), json!({"pair": {"x": 3, "y": 4}, "pairs": [{"x": 5, "y": 6}]}));
    assert_eq!(second.rows, [0, 1, 2]);
    assert_eq!(second.columns[0].len(), 3);
}

#[test]
fn a_column_that_cannot_be_decoded_is_refused_at_once() {
    let error = |column: Column| Decoder::new(&[&[column]]).unwrap_err();
    let bad = Column { format: Some("%Q".into()), ..column("at", DataType::Timestamp) };
    assert!(matches!(error(bad), Error::Format { column, .. } if column == "at"));
    for (precision, scale) in [(0, 0), (39, 2), (5, 6)] {
        let found = error(column("price", DataType::Decimal { precision, scale }));
        assert!(matches!(found, Error::Decimal { column, .. } if column == "price"), "decimal({precision},{scale})");
    }
    let nested = |levels: usize| (0..levels).fold(column("item", DataType::Int8), |inner, _| list("item", inner));
    assert!(Decoder::new(&[&[nested(16)]]).is_ok());
    assert!(matches!(error(nested(17)), Error::Nesting { .. }));
}

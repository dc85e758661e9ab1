//! One payload: nulls, nesting, and what is not JSON.

use super::{check_values as check, column, list, nullable, outcome};
use lakeward_manifest::{Column, DataType};
use serde_json::{Value, json};

#[test]
fn null_and_no_field_are_null_where_that_may_be() {
    check(
        &nullable("v", DataType::String),
        &[("null", Ok(Value::Null)), ("nul", Err("!expected a value at byte 24, found nul"))],
    );
    let columns = [nullable("v", DataType::String), column("w", DataType::Int32)];
    assert_eq!(outcome(&columns, br#"{"w":1}"#), Ok(json!({"v": null, "w": 1})));
    assert_eq!(outcome(&columns, br#"{"v":"a"}"#), Err("required field \"w\" is missing".into()));
    assert_eq!(outcome(&columns, b"{}"), Err("required field \"w\" is missing".into()));
}

#[test]
fn nested_columns_are_read_at_any_depth() {
    let line = DataType::Struct(vec![
        column("sku", DataType::String),
        nullable("price", DataType::Decimal { precision: 9, scale: 2 }),
    ]);
    let columns = [
        column("who", DataType::Struct(vec![column("name", DataType::String), nullable("age", DataType::Int8)])),
        list("lines", column("item", line)),
        Column { nullable: true, ..list("tags", nullable("item", DataType::String)) },
        list("grid", list("item", column("item", DataType::Int16))),
    ];
    let good = br#"{"lines":[{"sku":"a","price":1.5},{"more":[{}],"sku":"b"}],"grid":[[1,2],[],[3]],"who":{"age":7,"name":"x"},"tags":["t",null]}"#;
    assert_eq!(
        outcome(&columns, good),
        Ok(json!({
            "who": {"name": "x", "age": 7},
            "lines": [{"sku": "a", "price": "150"}, {"sku": "b", "price": null}],
            "tags": ["t", null],
            "grid": [[1, 2], [], [3]],
        }))
    );
    for (payload, reason) in [
        (r#"{"lines":[{"sku":"a"},{"price":1}]}"#, r#"required field "lines[1].sku" is missing"#),
        (r#"{"grid":[[1],[2,"x"]]}"#, r#"field "grid[1][1]": expected an integer, found "x""#),
        (r#"{"who":{"name":null}}"#, r#"field "who.name": null, where a value is required"#),
        (r#"{"who":[]}"#, r#"field "who": expected an object, found a list"#),
        (r#"{"lines":{}}"#, r#"field "lines": expected a list, found an object"#),
        (r#"{"grid":[[1,]]}"#, r#"field "grid[0][1]": expected an integer, found ]"#),
        (r#"{"grid":[[1}]}"#, "expected \",\" or \"]\" at byte 11, found }"),
        (r#"{"tags":null,"grid":[null]}"#, r#"field "grid[0]": null, where a value is required"#),
    ] {
        assert_eq!(outcome(&columns, payload.as_bytes()), Err(reason.into()), "{payload}");
    }
}

#[test]
fn what_is_not_one_json_object_is_a_dead_letter() {
    let columns = [nullable("v", DataType::Int64)];
    for (payload, reason) in [
        ("", "empty payload"),
        (" ", "truncated at byte 1"),
        ("{", "truncated at byte 1"),
        ("{\"v", "truncated at byte 3"),
        ("{\"v\"", "truncated at byte 4"),
        ("{\"v\":", "truncated at byte 5"),
        ("{\"v\":1", "truncated at byte 6"),
        ("{\"v\":1,", "truncated at byte 7"),
        ("{\"w\":\"abc", "truncated at byte 9"),
        ("{\"w\":\"abc\\", "truncated at byte 10"),
        ("{\"w\":\"abc\\u00", "truncated at byte 13"),
        ("{\"w\":tru", "truncated at byte 8"),
        ("{\"w\":[1,{\"x\":2}", "truncated at byte 15"),
        ("{\"v\":1}{\"v\":2}", "trailing bytes after the value at byte 7"),
        ("{\"v\":1} x", "trailing bytes after the value at byte 8"),
        ("{\"v\":1,}", "expected a field name at byte 7, found }"),
        ("{,}", "expected a field name at byte 1, found ,"),
        ("{v:1}", "expected a field name at byte 1, found v:1"),
        ("{\"v\" 1}", "expected \":\" at byte 5, found 1"),
        ("{\"v\":1 \"w\":2}", "expected \",\" or \"}\" at byte 7, found \"w\""),
        ("{\"v\":1]", "expected \",\" or \"}\" at byte 6, found ]"),
        ("{\"v\":1,\"v\":2}", "field \"v\": stands twice in one object"),
        ("{\"v\":1,\"\\u0076\":2}", "field \"v\": stands twice in one object"),
        ("[1]", "expected an object, found a list"),
        ("\"v\"", "expected an object, found \"v\""),
        ("null", "expected an object, found null"),
        ("garbage", "expected an object, found garbage"),
        ("\u{feff}{}", "expected an object, found \\u{feff}{"),
        ("{\"w\":01}", "expected a number at byte 5, found 01"),
        ("{\"w\":+1}", "expected a value at byte 5, found +1"),
        ("{\"w\":[1,]}", "expected a value at byte 8, found ]"),
        ("{\"w\":[1 2]}", "expected \",\" or \"]\" at byte 8, found 2"),
        ("{\"w\":{\"x\":1,}}", "expected a field name at byte 12, found }"),
        ("{\"w\":{\"x\"}}", "expected \":\" at byte 9, found }"),
        ("{\"w\":{]}}", "expected a field name at byte 6, found ]"),
        ("{\"w\":[}]}", "expected a value at byte 6, found }"),
        ("{\"w\":\"a\nb\"}", "control character 0x0a in a string at byte 7"),
        ("{\"w\":\"\\q\"}", "expected an escape's letter at byte 7, found q\""),
        ("{\"w\":NaN}", "expected a value at byte 5, found NaN"),
    ] {
        assert_eq!(outcome(&columns, payload.as_bytes()), Err(reason.into()), "{payload:?}");
    }
    assert_eq!(outcome(&columns, b" \t\r\n{ \"v\" : 1 , \"w\" : [ ] , \"x\" : { } } \n"), Ok(json!({"v": 1})));
    assert_eq!(outcome(&columns, b"{\"w\":1,\"w\":2}"), Ok(json!({"v": null})), "nobody reads it");
}

#[test]
fn nesting_is_bounded_and_never_recurses() {
    let columns = [nullable("v", DataType::Int64)];
    let nested = |levels: usize| [b"{\"w\":".to_vec(), vec![b'['; levels], vec![b']'; levels], b"}".to_vec()].concat();
    assert_eq!(outcome(&columns, &nested(63)), Ok(json!({"v": null})));
    assert_eq!(outcome(&columns, &nested(64)), Err("nested deeper than 64 levels at byte 68".into()));
    assert!(outcome(&columns, &nested(10_000)).is_err());
    let objects = [b"{\"w\":".repeat(64), b"1".to_vec(), vec![b'}'; 64]].concat();
    assert_eq!(outcome(&columns, &objects), Ok(json!({"v": null})));
    let objects = [b"{\"w\":".repeat(10_000), b"1".to_vec(), vec![b'}'; 10_000]].concat();
    assert!(outcome(&columns, &objects).is_err());
}

#[test]
fn a_value_of_megabytes_is_read() {
    let text = "0123456789abcde\u{e9}".repeat(300_000);
    let payload = json!({"v": text, "w": text}).to_string();
    assert_eq!(outcome(&[column("v", DataType::String)], payload.as_bytes()), Ok(json!({"v": text})));
}

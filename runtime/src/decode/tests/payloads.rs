//! One payload, one column: the truth tables.

use super::{chunk, column, decode, list, nullable, row, with_format};
use lakeward_manifest::{Column, DataType};
use serde_json::{Value, json};

/// What becomes of one payload: its row, or why it is none.
fn outcome(columns: &[Column], payload: &[u8]) -> Result<Value, String> {
    // A good record on each side shows that a bad one leaves nothing behind.
    let chunk = chunk([payload, payload]);
    let mut events = decode(columns, &chunk);
    match events.dead_letters.pop() {
        Some(letter) => Err(letter.reason),
        None => Ok(row(columns, &events.columns, 1)),
    }
}

/// Puts each text in the place of the value of the field `v`.
fn check(column: &Column, cases: &[(&str, Result<Value, &str>)]) {
    for (text, expected) in cases {
        let payload = format!(r#"{{"a":[1,{{"v":2}}], "v" : {text} ,"z":"more than sixteen bytes"}}"#);
        let found = outcome(std::slice::from_ref(column), payload.as_bytes()).map(|row| row["v"].clone());
        let expected = expected.clone().map_err(|reason| match reason.strip_prefix('!') {
            Some(whole) => whole.to_owned(),
            None => format!("field \"v\": {reason}"),
        });
        assert_eq!(found, expected, "{} of {text}", column.data_type);
        // The same, where the payload ends behind the value.
        let payload = format!(r#"{{"v":{text}}}"#);
        let short = outcome(std::slice::from_ref(column), payload.as_bytes()).map(|row| row["v"].clone());
        assert_eq!(short.is_ok(), expected.is_ok(), "{} of {text}", column.data_type);
        assert_eq!(short.ok(), expected.ok(), "{} of {text}", column.data_type);
    }
}

#[test]
fn integers_are_taken_however_they_are_written_and_in_range_only() {
    check(
        &column("v", DataType::Int8),
        &[
            ("0", Ok(json!(0))),
            ("-0", Ok(json!(0))),
            ("127", Ok(json!(127))),
            ("-128", Ok(json!(-128))),
            ("6.0", Ok(json!(6))),
            ("6e0", Ok(json!(6))),
            ("1.2E1", Ok(json!(12))),
            ("120000e-3", Ok(json!(120))),
            ("128", Err("expected int8, found 128")),
            ("300", Err("expected int8, found 300")),
            ("6.5", Err("expected int8, found 6.5")),
            ("1e999999999999", Err("expected int8, found 1e999999999999")),
            ("\"6\"", Err("expected an integer, found \"6\"")),
            ("\"abc\"", Err("expected an integer, found \"abc\"")),
            ("true", Err("expected an integer, found true")),
            ("NaN", Err("expected an integer, found NaN")),
            ("{}", Err("expected an integer, found an object")),
            ("[1]", Err("expected an integer, found a list")),
            ("null", Err("null, where a value is required")),
            ("01", Err("expected an integer, found 01")),
            ("-01", Err("expected an integer, found -01")),
            ("+1", Err("expected an integer, found +1")),
            ("-", Err("expected an integer, found -")),
            ("1.", Err("expected an integer, found 1.")),
            (".5", Err("expected an integer, found .5")),
            ("1e", Err("expected an integer, found 1e")),
            ("6x", Err("!expected \",\" or \"}\" at byte 25, found x")),
        ],
    );
    check(
        &column("v", DataType::Int64),
        &[
            ("9223372036854775807", Ok(json!(i64::MAX))),
            ("-9223372036854775808", Ok(json!(i64::MIN))),
            ("12345678", Ok(json!(12_345_678))),
            ("-123456789012345678", Ok(json!(-123_456_789_012_345_678_i64))),
            ("9223372036854775808", Err("expected int64, found 9223372036854775808")),
            (&"9".repeat(400), Err(&format!("expected int64, found {}..", "9".repeat(40)))),
        ],
    );
    check(
        &column("v", DataType::Uint64),
        &[
            ("18446744073709551615", Ok(json!(u64::MAX))),
            ("-0", Ok(json!(0))),
            ("-1", Err("expected uint64, found -1")),
            ("18446744073709551616", Err("expected uint64, found 18446744073709551616")),
        ],
    );
}

#[test]
fn floats_are_the_nearest_and_finite() {
    check(
        &column("v", DataType::Float64),
        &[
            ("3.39", Ok(json!(3.39))),
            ("-0.1", Ok(json!(-0.1))),
            ("12345678.87654321", Ok(json!(12_345_678.876_543_21))),
            ("1e-400", Ok(json!(0.0))),
            ("1.7976931348623157e308", Ok(json!(f64::MAX))),
            ("1e309", Err("expected float64, found 1e309")),
            ("Infinity", Err("expected a number, found Infinity")),
            ("-Infinity", Err("expected a number, found -Infinity")),
            ("NaN", Err("expected a number, found NaN")),
            ("\"1.5\"", Err("expected a number, found \"1.5\"")),
        ],
    );
    check(
        &column("v", DataType::Float32),
        &[
            ("0.1", Ok(json!(0.1_f32))),
            ("16777217", Ok(json!(16_777_216.0_f32))),
            ("1e39", Err("expected float32, found 1e39")),
        ],
    );
}

#[test]
fn decimals_are_exact_numbers_or_strings_of_them() {
    check(
        &column("v", DataType::Decimal { precision: 6, scale: 3 }),
        &[
            ("3.39", Ok(json!("3390"))),
            ("-3.390", Ok(json!("-3390"))),
            ("3.3900", Ok(json!("3390"))),
            ("999.999", Ok(json!("999999"))),
            ("1.5e2", Ok(json!("150000"))),
            ("\"12.5\"", Ok(json!("12500"))),
            ("\"\\u0031\"", Ok(json!("1000"))),
            ("0.0005", Err("expected decimal(6,3), found 0.0005")),
            ("1000", Err("expected decimal(6,3), found 1000")),
            ("\"12.5 \"", Err("expected decimal(6,3), found \"12.5 \"")),
            ("\"\"", Err("expected decimal(6,3), found \"\"")),
            ("01", Err("expected a decimal number, found 01")),
            ("true", Err("expected a decimal number, found true")),
        ],
    );
    let most = "9".repeat(38);
    check(
        &column("v", DataType::Decimal { precision: 38, scale: 0 }),
        &[(&most, Ok(json!(most))), (&format!("{most}0"), Err(&format!("expected decimal(38,0), found {most}0")))],
    );
}

#[test]
fn strings_are_whole_utf_8_with_escapes_resolved() {
    check(
        &column("v", DataType::String),
        &[
            ("\"\"", Ok(json!(""))),
            ("\"plain\"", Ok(json!("plain"))),
            ("\"exactly sixteen!\"", Ok(json!("exactly sixteen!"))),
            ("\"somewhat longer than sixteen bytes\"", Ok(json!("somewhat longer than sixteen bytes"))),
            ("\"\u{a3}5 \u{1f600} \u{4e2d}\u{6587}\"", Ok(json!("\u{a3}5 \u{1f600} \u{4e2d}\u{6587}"))),
            (r#""a\"b\\c\/d\b\f\n\r\t""#, Ok(json!("a\"b\\c/d\u{8}\u{c}\n\r\t"))),
            (r#""\u00a3\u0041\ud83d\ude00\uFFFF""#, Ok(json!("\u{a3}A\u{1f600}\u{ffff}"))),
            (
                r#""a long text with an escape \u00e9 in it, and more""#,
                Ok(json!("a long text with an escape \u{e9} in it, and more")),
            ),
            (r#""\ud83d""#, Err("!lone surrogate in a string at byte 25")),
            (r#""\ude00""#, Err("!lone surrogate in a string at byte 25")),
            (r#""\ud83d\u0041""#, Err("!lone surrogate in a string at byte 25")),
            (r#""\x""#, Err("!expected an escape's letter at byte 26, found x\"")),
            (r#""\u12g4""#, Err("!expected a hexadecimal digit at byte 29, found g4\"")),
            ("\"a\tb\"", Err("!control character 0x09 in a string at byte 26")),
            ("\"a\0b\"", Err("!control character 0x00 in a string at byte 26")),
            ("6", Err("expected a string, found 6")),
            ("'a'", Err("expected a string, found 'a'")),
        ],
    );
    for bytes in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"a plain beginning \xf0\x9f\x98",
        b"\xc3\\n\xa9",
    ] {
        let payload = [b"{\"v\":\"", bytes, b"\"}"].concat();
        let found = outcome(&[column("v", DataType::String)], &payload);
        assert_eq!(found, Err("field \"v\": the text is not UTF-8".into()), "{bytes:?}");
        let skipped = outcome(&[], &payload);
        assert_eq!(skipped, Ok(json!({})), "nobody reads it");
    }
}

#[test]
fn the_other_scalars_are_read() {
    check(
        &column("v", DataType::Bool),
        &[
            ("true", Ok(json!(true))),
            ("false", Ok(json!(false))),
            ("1", Err("expected true or false, found 1")),
            ("\"true\"", Err("expected true or false, found \"true\"")),
            ("True", Err("expected true or false, found True")),
            ("tru", Err("!expected a value at byte 24, found tru")),
        ],
    );
    check(
        &column("v", DataType::Binary),
        &[
            ("\"\"", Ok(json!([]))),
            ("\"Zm9vYg==\"", Ok(json!(b"foob"))),
            ("\"Zm9v\\u0059g\"", Ok(json!(b"foob"))),
            ("\"Zm9vYh==\"", Err("expected base64, found \"Zm9vYh==\"")),
            ("1", Err("expected base64, found 1")),
        ],
    );
    check(
        &column("v", DataType::Uuid),
        &[
            ("\"00000000-0000-0000-0000-00000000000f\"", Ok(json!([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15]))),
            ("\"0\"", Err("expected a UUID, found \"0\"")),
        ],
    );
    check(
        &column("v", DataType::Date),
        &[
            ("\"1970-01-02\"", Ok(json!(1))),
            ("\"2023-02-30\"", Err("expected a date (YYYY-MM-DD), found \"2023-02-30\"")),
            ("1", Err("expected a date (YYYY-MM-DD), found 1")),
        ],
    );
    check(
        &with_format("v", DataType::Date, "%d/%m/%Y"),
        &[
            (r#""02\/01\/1970""#, Ok(json!(1))),
            ("\"1970-01-02\"", Err("expected a date of the column's format, found \"1970-01-02\"")),
        ],
    );
}

#[test]
fn timestamps_follow_their_format() {
    check(
        &column("v", DataType::Timestamp),
        &[
            ("\"1970-01-01T00:00:01.5Z\"", Ok(json!(1_500_000))),
            ("\"1970-01-01 01:00:00+01:00\"", Ok(json!(0))),
            ("\"1970-01-01\"", Err("expected a timestamp of the column's format, found \"1970-01-01\"")),
            ("1", Err("expected a timestamp of the column's format, found 1")),
        ],
    );
    check(
        &with_format("v", DataType::Timestamp, "%Y-%m-%d %H:%M:%S"),
        &[
            ("\"1970-01-01 00:00:01\"", Ok(json!(1_000_000))),
            (
                "\"1970-01-01T00:00:01Z\"",
                Err("expected a timestamp of the column's format, found \"1970-01-01T00:00:01Z\""),
            ),
        ],
    );
    check(
        &with_format("v", DataType::Timestamp, "unix_ms"),
        &[
            ("1500", Ok(json!(1_500_000))),
            ("1.5e3", Ok(json!(1_500_000))),
            ("\"1500\"", Ok(json!(1_500_000))),
            ("-1", Ok(json!(-1_000))),
            ("1e30", Err("expected a timestamp of the column's format, found 1e30")),
            ("true", Err("expected a timestamp of the column's format, found true")),
        ],
    );
}

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

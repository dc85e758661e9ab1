//! One value of each type: what its column takes.

use super::{check_values as check, column, outcome, with_format};
use lakeward_manifest::DataType;
use serde_json::json;

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

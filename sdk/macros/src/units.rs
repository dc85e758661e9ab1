//! Windows and durations as authors write them: `tumbling 1h`, `10m`.

use syn::{Error, LitStr, Result};

const FORM: &str = "a whole number and a unit, such as `500ms`, `30s`, `10m`, `1h` or `1d`";

/// The width of `tumbling 1h`, in milliseconds.
pub(crate) fn tumbling_ms(text: &LitStr) -> Result<u64> {
    let window = text.value();
    let Some(width) = window.strip_prefix("tumbling ") else {
        return Err(Error::new(text.span(), format!("unknown window `{window}`: write `tumbling ` and {FORM}")));
    };
    match milliseconds(width.trim()) {
        Some(0) => Err(Error::new(text.span(), "a window must have a width")),
        Some(width_ms) => Ok(width_ms),
        None => Err(Error::new(text.span(), format!("unknown window `{window}`: write `tumbling ` and {FORM}"))),
    }
}

/// The duration `10m`, in milliseconds.
pub(crate) fn duration_ms(text: &LitStr) -> Result<u64> {
    milliseconds(text.value().trim())
        .ok_or_else(|| Error::new(text.span(), format!("unknown duration `{}`: write {FORM}", text.value())))
}

fn milliseconds(text: &str) -> Option<u64> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let cases = [
            ("500ms", Some(500)),
            ("10m", Some(600_000)),
            ("1d", Some(86_400_000)),
            ("10", None),
            ("m", None),
            ("1 h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}

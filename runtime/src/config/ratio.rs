//! A share of something, as an operator writes it: `"50%"`.

use std::fmt;
use std::str::FromStr;

/// What makes up the whole, in parts.
const WHOLE: u32 = 1_000_000;

/// A share of more than 0 and at most 100 percent, to a ten-thousandth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

impl Ratio {
    /// One half.
    pub const HALF: Self = Self(WHOLE / 2);

    /// Whether `part` is at least this share of `whole`; of nothing there is no share.
    #[must_use]
    pub fn is_reached(self, part: u64, whole: u64) -> bool {
        whole > 0 && u128::from(part) * u128::from(WHOLE) >= u128::from(whole) * u128::from(self.0)
    }
}

/// The text is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRatio;

impl FromStr for Ratio {
    type Err = NoRatio;

    fn from_str(text: &str) -> Result<Self, NoRatio> {
        let percent = text.trim().strip_suffix('%').ok_or(NoRatio)?.trim_end();
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 4 {
            return Err(NoRatio);
        }
        let parts = format!("{whole}{fraction:0<4}").parse().map_err(|_| NoRatio)?;
        if (1..=WHOLE).contains(&parts) { Ok(Self(parts)) } else { Err(NoRatio) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / f64::from(WHOLE / 100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_of_something() {
        let table = [
            ("50%", Some("50%")),
            (" 0.1 %", Some("0.1%")),
            ("100%", Some("100%")),
            ("0.0001%", Some("0.0001%")),
            ("0%", None),
            ("100.0001%", None),
            ("0.00001%", None),
            ("0.5", None),
            ("-1%", None),
            ("+1%", None),
            (".5%", None),
            ("99999999999%", None),
            ("half", None),
        ];
        for (text, expected) in table {
            let read = text.parse::<Ratio>().ok().map(|ratio| ratio.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_share_is_reached_by_so_many_and_not_by_one_less() {
        let third: Ratio = "33.3333%".parse().unwrap();
        assert!(Ratio::HALF.is_reached(1, 2) && !Ratio::HALF.is_reached(499, 999));
        assert!(third.is_reached(1, 3) && !third.is_reached(333_332, 1_000_000));
        assert!(!Ratio::HALF.is_reached(0, 0));
        assert!(Ratio::HALF.is_reached(u64::MAX, u64::MAX));
    }
}

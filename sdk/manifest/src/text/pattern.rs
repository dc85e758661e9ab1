//! Timestamp patterns with `%` directives.

use super::calendar;
use super::timestamp::FormatError;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Item>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Literal(u8),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    PointFraction,
    Offset,
}

impl Item {
    /// The directive, for a person; `%f` and `%.f` are the same part of the time.
    fn directive(self) -> Option<&'static str> {
        Some(match self {
            Self::Literal(_) => return None,
            Self::Year => "%Y",
            Self::Month => "%m",
            Self::Day => "%d",
            Self::Hour => "%H",
            Self::Minute => "%M",
            Self::Second => "%S",
            Self::Fraction | Self::PointFraction => "%f",
            Self::Offset => "%z",
        })
    }
}

impl Pattern {
    pub(super) fn new(format: &str) -> Result<Self, FormatError> {
        let mut items = Vec::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            items.extend(before.bytes().map(Item::Literal));
            let length = if after.starts_with(".f") { 2 } else { after.chars().next().map_or(0, char::len_utf8) };
            let (directive, after) = after.split_at(length);
            match directive {
                "Y" => items.push(Item::Year),
                "m" => items.push(Item::Month),
                "d" => items.push(Item::Day),
                "H" => items.push(Item::Hour),
                "M" => items.push(Item::Minute),
                "S" => items.push(Item::Second),
                "f" => items.push(Item::Fraction),
                ".f" => items.push(Item::PointFraction),
                "z" => items.push(Item::Offset),
                "%" => items.push(Item::Literal(b'%')),
                "F" => items.extend([Item::Year, Item::Literal(b'-'), Item::Month, Item::Literal(b'-'), Item::Day]),
                "T" => items.extend([Item::Hour, Item::Literal(b':'), Item::Minute, Item::Literal(b':'), Item::Second]),
                _ => return Err(FormatError::Unknown { format: format.into(), directive: format!("%{directive}") }),
            }
            rest = after;
        }
        items.extend(rest.bytes().map(Item::Literal));
        check(format, &items)?;
        Ok(Self(items))
    }

    pub(super) fn parse(&self, text: &[u8]) -> Option<i64> {
        let [mut year, mut month, mut day, mut hour, mut minute, mut second] = [0; 6];
        let [mut fraction, mut east] = [0_i64; 2];
        let mut rest = text;
        for item in &self.0 {
            match *item {
                Item::Literal(byte) => rest = rest.strip_prefix(&[byte])?,
                Item::Year => year = take::<4>(&mut rest)?,
                Item::Month => month = take::<2>(&mut rest)?,
                Item::Day => day = take::<2>(&mut rest)?,
                Item::Hour => hour = take::<2>(&mut rest)?,
                Item::Minute => minute = take::<2>(&mut rest)?,
                Item::Second => second = take::<2>(&mut rest)?,
                Item::Fraction => (fraction, rest) = calendar::fraction(rest)?,
                Item::PointFraction => {
                    if let [b'.', after @ ..] = rest {
                        (fraction, rest) = calendar::fraction(after)?;
                    }
                }
                Item::Offset => east = offset(&mut rest)?,
            }
        }
        if !rest.is_empty() {
            return None;
        }
        let clock = calendar::micros(calendar::days(year, month, day)?, hour, minute, second)?;
        let utc = clock + fraction - east;
        calendar::RANGE_US.contains(&utc).then_some(utc)
    }
}

/// Every part at most once, and the whole date.
fn check(format: &str, items: &[Item]) -> Result<(), FormatError> {
    let named = || items.iter().filter_map(|item| item.directive());
    for (index, directive) in named().enumerate() {
        if named().take(index).any(|earlier| earlier == directive) {
            return Err(FormatError::Repeated { format: format.into(), directive });
        }
    }
    for directive in ["%Y", "%m", "%d"] {
        if !named().any(|found| found == directive) {
            return Err(FormatError::Missing { format: format.into(), directive });
        }
    }
    Ok(())
}

/// Takes exactly `N` digits.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<u32> {
    let (digits, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

/// Takes `Z`, `+hh:mm` or `+hhmm`, as microseconds east of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let (east, after) = match rest {
        [b'Z' | b'z', after @ ..] => (0, after),
        [sign @ (b'+' | b'-'), a, b, b':', c, d, after @ ..] => (calendar::offset(*sign, &[*a, *b, *c, *d])?, after),
        [sign @ (b'+' | b'-'), a, b, c, d, after @ ..] => (calendar::offset(*sign, &[*a, *b, *c, *d])?, after),
        _ => return None,
    };
    *rest = after;
    Some(east)
}

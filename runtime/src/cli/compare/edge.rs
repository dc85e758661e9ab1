//! Where a comparison begins or ends, as it is written on the command line.

use crate::serve::Time;
use std::fmt;
use std::str::FromStr;

/// A place in every partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// The first record that is not older, in milliseconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// This offset.
    Offset(i64),
}

impl Edge {
    /// Whether nothing lies between this and `to`, whatever is there.
    pub fn is_behind(self, to: Self) -> bool {
        match (self, to) {
            (Self::Latest, _) | (_, Self::Earliest) => true,
            (Self::Offset(from), Self::Offset(to)) | (Self::Time(from), Self::Time(to)) => from >= to,
            _ => false,
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Time(ms) => write!(f, "{}", Time(*ms)),
            Self::Offset(offset) => write!(f, "{offset}"),
        }
    }
}

impl FromStr for Edge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is none of earliest, latest, an RFC 3339 time and an offset");
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().map(Self::Offset).map_err(|_| refused())
            }
            time => {
                let time = chrono::DateTime::parse_from_rfc3339(time).map_err(|_| refused())?;
                Ok(Self::Time(time.timestamp_millis()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_a_word_a_time_or_an_offset() {
        let table = [
            ("earliest", Ok(Edge::Earliest)),
            ("latest", Ok(Edge::Latest)),
            ("1970-01-01T00:00:01Z", Ok(Edge::Time(1_000))),
            ("42", Ok(Edge::Offset(42))),
            ("", Err("\"\" is none of earliest, latest, an RFC 3339 time and an offset".to_owned())),
            ("-1", Err("\"-1\" is none of earliest, latest, an RFC 3339 time and an offset".to_owned())),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse(), expected);
        }
    }

    #[test]
    fn nothing_lies_between_an_edge_and_one_before_it() {
        let is_behind = |from: &str, to: &str| from.parse::<Edge>().unwrap().is_behind(to.parse().unwrap());
        for (from, to) in [("20", "10"), ("10", "10"), ("latest", "10"), ("10", "earliest"), ("latest", "latest")] {
            assert!(is_behind(from, to), "{from} to {to}");
        }
        // Where a time lies among offsets, only the topic says.
        for (from, to) in [("10", "20"), ("earliest", "latest"), ("10", "1970-01-01T00:00:01Z"), ("10", "latest")] {
            assert!(!is_behind(from, to), "{from} to {to}");
        }
    }
}

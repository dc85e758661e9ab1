//! What goes wrong at the demo's tills, and how often.

use super::random::Random;

/// What is special about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Clean,
    /// The description has stray spaces around it: still good.
    Untrimmed,
    /// The same line as the last good one, once more: real in this trade, and good.
    Duplicate,
    /// Held up for minutes: good, and within the lateness that a sensible window allows.
    Late,
    /// Held up for hours: good as a row, but its window has closed.
    VeryLate,
    /// The description is null, empty or spaces.
    NoDescription,
    /// The price is zero.
    FreeOfCharge,
    /// The price is negative: an adjustment of bad debt.
    NegativePrice,
    /// Not an order line at all.
    Poison(Poison),
}

/// A payload that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poison {
    /// JSON that breaks off.
    Truncated,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Text where a number belongs.
    WrongType,
    /// No bytes.
    Empty,
    /// No value: to Kafka a deletion.
    Tombstone,
}

/// The kinds and their shares, in ten thousand.
pub(super) const SHARES: [(Kind, u64); 13] = [
    (Kind::Clean, 9_155),
    (Kind::Untrimmed, 400),
    (Kind::Duplicate, 100),
    (Kind::Late, 200),
    (Kind::VeryLate, 5),
    (Kind::NoDescription, 60),
    (Kind::FreeOfCharge, 50),
    (Kind::NegativePrice, 10),
    (Kind::Poison(Poison::Truncated), 6),
    (Kind::Poison(Poison::NotUtf8), 4),
    (Kind::Poison(Poison::WrongType), 5),
    (Kind::Poison(Poison::Empty), 3),
    (Kind::Poison(Poison::Tombstone), 2),
];

const MINUTE_MS: u64 = 60_000;

/// What stands before the invoice's number.
const INVOICE: &[u8] = br#""InvoiceNo":""#;

impl Kind {
    /// Whether the event becomes a row under the silver rule.
    pub(super) fn is_good(self) -> bool {
        match self {
            Self::Clean | Self::Untrimmed | Self::Duplicate | Self::Late | Self::VeryLate => true,
            Self::NoDescription | Self::FreeOfCharge | Self::NegativePrice | Self::Poison(_) => false,
        }
    }

    /// Whether the event was held up.
    pub(super) fn is_late(self) -> bool {
        matches!(self, Self::Late | Self::VeryLate)
    }

    /// The kind's name in counts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Untrimmed => "untrimmed",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::VeryLate => "very_late",
            Self::NoDescription => "no_description",
            Self::FreeOfCharge => "free_of_charge",
            Self::NegativePrice => "negative_price",
            Self::Poison(Poison::Truncated) => "truncated",
            Self::Poison(Poison::NotUtf8) => "not_utf8",
            Self::Poison(Poison::WrongType) => "wrong_type",
            Self::Poison(Poison::Empty) => "empty",
            Self::Poison(Poison::Tombstone) => "tombstone",
        }
    }

    /// How long the event was held up.
    pub(super) fn held_up_ms(self, random: &mut Random) -> i64 {
        let held_up = match self {
            Self::Late => random.between(MINUTE_MS, 9 * MINUTE_MS),
            Self::VeryLate => random.between(3 * 60 * MINUTE_MS, 30 * 60 * MINUTE_MS),
            _ => random.below(1_000),
        };
        i64::try_from(held_up).expect("a few hours fit")
    }

    /// The description, as JSON.
    pub(super) fn description(self, name: &str, random: &mut Random) -> String {
        match self {
            Self::Untrimmed => format!(r#"" {name}  ""#),
            Self::NoDescription => (*random.weighted(&[("null", 6), (r#""""#, 2), (r#""   ""#, 2)])).to_owned(),
            _ => format!(r#""{name}""#),
        }
    }

    /// The price of an article of `pence`, as JSON.
    pub(super) fn price(self, pence: u64) -> String {
        match self {
            Self::FreeOfCharge => "0".to_owned(),
            Self::NegativePrice => format!("-{}.{:02}", pence / 100, pence % 100),
            Self::Poison(Poison::WrongType) => r#""on request""#.to_owned(),
            _ => format!("{}.{:02}", pence / 100, pence % 100),
        }
    }
}

impl Poison {
    /// What becomes of an event's JSON.
    pub(super) fn spoil(self, text: String, random: &mut Random) -> Option<Vec<u8>> {
        let mut bytes = text.into_bytes();
        match self {
            Self::WrongType => {}
            Self::Empty => bytes.clear(),
            Self::Tombstone => return None,
            Self::Truncated => {
                let keep = random.between(1, bytes.len() as u64 - 1);
                bytes.truncate(usize::try_from(keep).expect("a prefix of what is in memory"));
            }
            // In the invoice's number, which every reader of the topic wants.
            Self::NotUtf8 => {
                let number = bytes.windows(INVOICE.len()).position(|window| window == INVOICE);
                bytes[number.map_or(0, |start| start + INVOICE.len())] = 0xFF;
            }
        }
        Some(bytes)
    }
}

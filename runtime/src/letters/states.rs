//! What became of every letter, from the rows that answer requests.
//!
//! | newest row of a letter          | the letter is | its row to show        |
//! |---------------------------------|---------------|------------------------|
//! | the first one, without a request | open          | that                   |
//! | `open`, of request n            | open          | that: it failed again  |
//! | `redriven`, of request n        | redriven      | that; none follows it  |
//! | `discarded`, of request n       | discarded     | that; none follows it  |
//!
//! Requests are numbered along a partition and one letter's are executed one after the other, so the newest row is the one of the
//! highest request.

use super::letter::{Identity, Rows};
use crate::checkpoint::SourcePartition;
use crate::sink::system::LetterStatus;
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashMap};

/// Letters that share all but the offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    partition: SourcePartition,
    module: String,
    late_for: Option<String>,
}

impl Key {
    pub(super) fn of(identity: &Identity) -> (Self, i64) {
        let Identity { origin, module, late_for } = identity;
        let key = Self { partition: origin.partition.clone(), module: module.clone(), late_for: late_for.clone() };
        (key, origin.offset)
    }
}

/// Every letter that some request was executed for.
#[derive(Debug, Default)]
pub(super) struct States(HashMap<Key, Answered>);

#[derive(Debug, Default)]
struct Answered {
    redriven: RoaringTreemap,
    discarded: RoaringTreemap,
    /// By offset, the newest request after which the letter is open still.
    failed: BTreeMap<i64, i64>,
}

impl States {
    /// Takes the rows that answer requests.
    pub(super) fn add(&mut self, rows: &Rows<'_>, count: usize) {
        for row in 0..count {
            if let Some(request) = rows.request(row) {
                self.note(&rows.identity(row), rows.status(row), request);
            }
        }
    }

    fn note(&mut self, identity: &Identity, status: LetterStatus, request: i64) {
        let (key, offset) = Key::of(identity);
        let answered = self.0.entry(key).or_default();
        match status {
            LetterStatus::Redriven => {
                answered.redriven.insert(offset.cast_unsigned());
            }
            LetterStatus::Discarded => {
                answered.discarded.insert(offset.cast_unsigned());
            }
            LetterStatus::Open => {
                let newest = answered.failed.entry(offset).or_insert(request);
                *newest = (*newest).max(request);
            }
        }
    }

    /// What became of a letter that is in the table.
    pub(super) fn status(&self, identity: &Identity) -> LetterStatus {
        let (key, offset) = Key::of(identity);
        let Some(answered) = self.0.get(&key) else { return LetterStatus::Open };
        match offset.cast_unsigned() {
            offset if answered.redriven.contains(offset) => LetterStatus::Redriven,
            offset if answered.discarded.contains(offset) => LetterStatus::Discarded,
            _ => LetterStatus::Open,
        }
    }

    /// Whether a row is its letter's newest.
    pub(super) fn is_newest(&self, identity: &Identity, status: LetterStatus, request: Option<i64>) -> bool {
        let (key, offset) = Key::of(identity);
        let Some(answered) = self.0.get(&key) else { return true };
        status == self.status(identity)
            && (status != LetterStatus::Open || answered.failed.get(&offset).copied() == request)
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;
    use LetterStatus::{Discarded, Open, Redriven};

    /// Of these rows of one letter, as `(status, request)`, what it is and which row is its newest.
    #[track_caller]
    fn check(rows: &[(LetterStatus, Option<i64>)], status: LetterStatus, newest: usize) {
        let identity = letter(7, "").identity;
        let mut states = States::default();
        for (status, request) in rows {
            request.iter().for_each(|request| states.note(&identity, *status, *request));
        }
        assert_eq!(states.status(&identity), status, "{rows:?}");
        let found: Vec<usize> =
            (0..rows.len()).filter(|row| states.is_newest(&identity, rows[*row].0, rows[*row].1)).collect();
        assert_eq!(found, [newest], "{rows:?}");
        let other = letter(8, "").identity;
        assert!(states.status(&other) == Open && states.is_newest(&other, Open, None));
    }

    #[test]
    fn the_newest_row_tells_what_became_of_a_letter() {
        check(&[(Open, None)], Open, 0);
        check(&[(Open, None), (Open, Some(3))], Open, 1);
        check(&[(Open, Some(9)), (Open, None), (Open, Some(3))], Open, 0);
        check(&[(Open, None), (Redriven, Some(0))], Redriven, 1);
        check(&[(Open, None), (Open, Some(0)), (Redriven, Some(4))], Redriven, 2);
        check(&[(Discarded, Some(4)), (Open, Some(0)), (Open, None)], Discarded, 0);
    }
}

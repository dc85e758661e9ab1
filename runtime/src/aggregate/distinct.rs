//! Sets of distinct values: exact, mergeable, cheap to snapshot, and stable on disk.

use hashbrown::HashSet;
use siphasher::sip128::SipHasher13;
use std::sync::Arc;

/// The values that a set holds without hashing.
const SMALL: usize = 16;

/// Bytes of a stored value.
pub(super) const STORED_BYTES: usize = 16;

/// A set of 128-bit values: fixed-width values themselves, text and bytes by their hash ([`of_bytes`]).
///
/// A snapshot (`clone`) shares what is there. A large set is a list of disjoint runs; a shared run is left alone and new
/// values go to a new run, which is merged with its neighbours once it is about as large. So a value is copied a
/// logarithmic number of times, where copying the set on write would copy all of it after every snapshot.
#[derive(Debug, Clone)]
pub(super) enum Set {
    Small(Vec<u128>),
    Large(Vec<Arc<HashSet<u128>>>),
}

impl Set {
    pub(super) fn new() -> Self {
        Self::Small(Vec::new())
    }

    /// Adds a value, unless it is there.
    #[inline]
    pub(super) fn insert(&mut self, value: u128) {
        match self {
            Self::Small(values) => {
                if values.contains(&value) {
                } else if values.len() < SMALL {
                    values.push(value);
                } else {
                    let run = values.iter().copied().chain([value]).collect();
                    *self = Self::Large(vec![Arc::new(run)]);
                }
            }
            Self::Large(runs) => {
                if !runs.iter().any(|run| run.contains(&value)) {
                    writable_run(runs).insert(value);
                }
            }
        }
    }

    /// Adds the values of another set.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.len() < other.len() {
            let smaller = std::mem::replace(self, other.clone());
            smaller.for_each(|value| self.insert(value));
        } else {
            other.for_each(|value| self.insert(value));
        }
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(values) => values.len(),
            Self::Large(runs) => runs.iter().map(|run| run.len()).sum(),
        }
    }

    fn for_each(&self, mut each: impl FnMut(u128)) {
        match self {
            Self::Small(values) => values.iter().for_each(|value| each(*value)),
            Self::Large(runs) => runs.iter().flat_map(|run| run.iter()).for_each(|value| each(*value)),
        }
    }

    /// The set as stored: the values in ascending order, each 16 bytes, big-endian.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut values = Vec::with_capacity(self.len());
        self.for_each(|value| values.push(value));
        values.sort_unstable();
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if it is not a whole number of values.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (values, []) = bytes.as_chunks::<STORED_BYTES>() else { return None };
        let values = values.iter().map(|value| u128::from_be_bytes(*value));
        if values.len() <= SMALL {
            let mut set = Self::new();
            values.for_each(|value| set.insert(value));
            return Some(set);
        }
        Some(Self::Large(vec![Arc::new(values.collect())]))
    }
}

/// The last run, or a new one if the last is shared with a snapshot.
fn writable_run(runs: &mut Vec<Arc<HashSet<u128>>>) -> &mut HashSet<u128> {
    let shared = runs.last_mut().is_none_or(|run| Arc::get_mut(run).is_none());
    if shared {
        while let [.., before, last] = runs.as_slice()
            && last.len() * 2 >= before.len()
        {
            let last = runs.pop().unwrap_or_default();
            let before = runs.pop().unwrap_or_default();
            let mut merged = Arc::unwrap_or_clone(before);
            merged.extend(last.iter().copied());
            runs.push(Arc::new(merged));
        }
        if runs.last_mut().is_none_or(|run| Arc::get_mut(run).is_none()) {
            runs.push(Arc::default());
        }
    }
    let last = runs.last_mut().expect("a run was pushed if there was none to write to");
    Arc::make_mut(last)
}

/// The value that stands for text or bytes: SipHash-1-3 with 128 bits of output and a zero key.
///
/// It is stored, so it must never change. At 10^9 values of a group, two share a hash with a chance below 10^-20.
#[inline]
pub(super) fn of_bytes(bytes: &[u8]) -> u128 {
    SipHasher13::new().hash(bytes).as_u128()
}

/// The value that stands for an integer, date or timestamp.
#[inline]
pub(super) fn of_integer(value: i64) -> u128 {
    u128::from(value.cast_unsigned())
}

/// The value that stands for a float; the zeros are one value, and so are the NaNs.
#[inline]
pub(super) fn of_float(value: f64) -> u128 {
    let canonical = if value.is_nan() { f64::NAN } else { value + 0.0 };
    u128::from(canonical.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_counts_what_is_distinct_whatever_its_size_and_snapshots() {
        let mut set = Set::new();
        let mut snapshots = Vec::new();
        for value in 0..5_000_u128 {
            set.insert(value * 7 % 1_000);
            if value % 10 == 0 {
                snapshots.push((set.clone(), value.min(999) as usize + 1));
            }
        }
        assert_eq!(set.len(), 1_000);
        for (snapshot, len) in snapshots {
            assert_eq!(snapshot.len(), len);
        }
    }

    #[test]
    fn snapshots_leave_a_logarithmic_number_of_runs() {
        let mut set = Set::new();
        let mut held = set.clone();
        for value in 0..20_000_u128 {
            set.insert(value);
            if value % 5 == 0 {
                held = set.clone();
            }
        }
        let Set::Large(runs) = &set else { panic!("20,000 values are a large set") };
        assert!(runs.len() <= 15, "{} runs", runs.len());
        assert_eq!((held.len(), set.len()), (19_996, 20_000));
    }

    #[test]
    fn a_stored_set_reads_back() {
        for len in [0, 1, 16, 17, 300_u128] {
            let mut set = Set::new();
            (0..len).for_each(|value| set.insert(value << 70 | value));
            let bytes = set.to_bytes();
            let back = Set::from_bytes(&bytes).unwrap();
            assert_eq!(back.len() as u128, len);
            assert_eq!(back.to_bytes(), bytes);
        }
        assert!(Set::from_bytes(&[0; 17]).is_none());
    }

    #[test]
    fn a_union_holds_what_either_holds() {
        let (mut left, mut right) = (Set::new(), Set::new());
        (0..10).for_each(|value| left.insert(value));
        (5..500).for_each(|value| right.insert(value));
        let mut both = left.clone();
        both.merge(&right);
        right.merge(&left);
        assert_eq!((both.len(), right.len()), (500, 500));
        assert_eq!(both.to_bytes(), right.to_bytes());
    }

    #[test]
    fn the_hash_of_a_text_never_changes() {
        insta::assert_snapshot!(format!("{:032x} {:032x}", of_bytes(b""), of_bytes(b"17850")), @"");
    }

    #[test]
    fn the_zeros_are_one_value_and_so_are_the_nans() {
        assert_eq!(of_float(0.0), of_float(-0.0));
        assert_eq!(of_float(f64::NAN), of_float(-f64::NAN));
        assert_ne!(of_float(1.0), of_float(-1.0));
        assert_ne!(of_integer(1), of_integer(-1));
    }
}

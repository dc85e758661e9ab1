//! A few examples of something that may happen millions of times: those of the smallest origins.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Examples of one kind that are kept.
const KEPT: usize = 5;

/// The record that something came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// The examples with the smallest keys, in order.
#[derive(Debug, Clone)]
pub(super) struct Examples<K, T>(Vec<(K, T)>);

impl<K, T> Default for Examples<K, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, T> Examples<K, T> {
    /// Whether an example of this key would be kept.
    pub(super) fn wants(&self, key: &K) -> bool {
        self.0.len() < KEPT || self.0.last().is_some_and(|(last, _)| key < last)
    }

    /// Keeps the example if it is among the smallest; what is made of it is made only then.
    pub(super) fn offer(&mut self, key: K, make: impl FnOnce() -> T) {
        if self.wants(&key) {
            let at = self.0.partition_point(|(other, _)| *other <= key);
            self.0.insert(at, (key, make()));
            self.0.truncate(KEPT);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (key, example) in other.0 {
            self.offer(key, || example);
        }
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = (K, T)> {
        self.0.into_iter()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, T)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_are_kept_in_whatever_order_they_come() {
        let mut forwards = Examples::default();
        let mut backwards = Examples::default();
        for number in 0..20 {
            forwards.offer(number, || number * 10);
            backwards.offer(19 - number, || (19 - number) * 10);
        }
        let mut merged = Examples::default();
        merged.offer(3, || 30);
        merged.offer(90, || 900);
        let mut others = Examples::default();
        [0, 1, 2, 4].into_iter().for_each(|number| others.offer(number, || number * 10));
        merged.merge(others);
        let expected = [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40)];
        for examples in [forwards, backwards, merged] {
            assert!(examples.iter().eq(&expected), "{examples:?}");
        }
    }
}

//! A small seeded source of numbers: the same seed gives the same demo.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). For demo data, nothing secret.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Numbers that `seed` determines.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product is uniform up to a bias of `bound / 2^64`.
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).expect("the high half of a product fits")
    }

    /// A number of `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True `per_mille` times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of `choices`, as often as its weight says.
    pub(super) fn weighted<'a, T>(&mut self, choices: &'a [(T, u64)]) -> &'a T {
        let total = choices.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(total);
        for (choice, weight) in choices {
            if left < *weight {
                return choice;
            }
            left -= weight;
        }
        unreachable!("the number is below the sum of the weights")
    }

    /// An index below `length` that is small more often: the smaller of two draws.
    pub(super) fn skewed(&mut self, length: usize) -> usize {
        let length = length as u64;
        let (a, b) = (self.below(length), self.below(length));
        usize::try_from(a.min(b)).expect("an index below a length fits")
    }
}

//! Random numbers that are the same for the same seed, on every machine.

/// `SplitMix64`: one multiplication chain a number, good enough to spread faults and events.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A row of numbers of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The row of numbers of one of several `parts` of what `seed` decides: a part can be repeated without those before it.
    #[must_use]
    pub fn of(seed: u64, part: u64) -> Self {
        Self(Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95)).number())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` up to, but without, `to`.
    ///
    /// # Panics
    /// When there is none.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        assert!(from < to, "no number from {from} to {to}");
        from + self.number() % (to - from)
    }

    /// True so many times in a thousand.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.between(0, 1000) < share
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there is none.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = u64::try_from(choices.len()).unwrap_or(u64::MAX);
        let index = self.between(0, count);
        choices[usize::try_from(index).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_part_decide_every_number() {
        let row = |mut random: Random| -> Vec<u64> { (0..9).map(|_| random.between(5, 50)).collect() };
        assert_eq!(row(Random::of(7, 3)), row(Random::of(7, 3)));
        assert_ne!(row(Random::of(7, 3)), row(Random::of(7, 4)));
        assert_ne!(row(Random::of(7, 3)), row(Random::of(8, 3)));
        assert!(row(Random::new(1)).iter().all(|number| (5..50).contains(number)));
    }
}

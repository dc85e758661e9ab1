//! Exact sums and means of integers and decimals.

/// The largest number of 38 decimal digits, which is what a decimal column of a table holds.
const LIMIT: i128 = 10_i128.pow(38) - 1;

/// A sum of integers, or of decimals as integers of one scale. Once it leaves 38 digits it stays overflown, whatever is
/// added later: the state table could not hold it, so a restart would otherwise change the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Total(i128);

impl Total {
    pub(super) const ZERO: Self = Self(0);
    pub(super) const OVERFLOWN: Self = Self(i128::MAX);

    /// A total that was stored.
    pub(super) fn stored(sum: Option<i128>) -> Self {
        sum.map_or(Self::OVERFLOWN, |sum| Self::ZERO.plus(sum))
    }

    #[inline]
    pub(super) fn plus(self, value: i128) -> Self {
        match self.0.checked_add(value) {
            Some(sum) if self != Self::OVERFLOWN && (-LIMIT..=LIMIT).contains(&sum) => Self(sum),
            _ => Self::OVERFLOWN,
        }
    }

    /// The total of both.
    pub(super) fn merge(self, other: Self) -> Self {
        if other == Self::OVERFLOWN { other } else { self.plus(other.0) }
    }

    /// The sum; `None` if it has overflown.
    pub(super) fn get(self) -> Option<i128> {
        (self != Self::OVERFLOWN).then_some(self.0)
    }
}

/// Whether a decimal of `precision` digits holds `unscaled`.
pub(super) fn fits(unscaled: i128, precision: u8) -> bool {
    10_u128.checked_pow(u32::from(precision)).is_none_or(|limit| unscaled.unsigned_abs() < limit)
}

/// `sum / count` as an integer scaled by 10^`to`, where `sum` is scaled by 10^`from`; rounded half to even.
///
/// `None` if `count` is not positive or the result does not fit.
pub(super) fn mean(sum: i128, count: i64, from: u8, to: u8) -> Option<i128> {
    let mut divisor = u128::try_from(count).ok().filter(|count| *count > 0)?;
    if from > to {
        divisor = divisor.checked_mul(10_u128.checked_pow(u32::from(from - to))?)?;
    }
    let mut quotient = sum.unsigned_abs() / divisor;
    let mut remainder = sum.unsigned_abs() % divisor;
    // One decimal digit at a time, so that the remainder never needs more than the divisor's bits plus four.
    for _ in from..to {
        remainder = remainder.checked_mul(10)?;
        quotient = quotient.checked_mul(10)?.checked_add(remainder / divisor)?;
        remainder %= divisor;
    }
    let above_half = remainder > divisor - remainder;
    let tie_to_odd = remainder == divisor - remainder && quotient % 2 == 1;
    let rounded = i128::try_from(quotient.checked_add(u128::from(above_half || tie_to_odd))?).ok()?;
    Some(if sum < 0 { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_beyond_38_digits_stays_overflown() {
        let full = Total::ZERO.plus(LIMIT);
        assert_eq!(full.get(), Some(LIMIT));
        let over = full.plus(1);
        assert_eq!(over.get(), None);
        assert_eq!(over.plus(-LIMIT).get(), None);
        assert_eq!(Total::ZERO.merge(over).get(), None);
        assert_eq!(over.merge(Total::ZERO.plus(-5)).get(), None);
        assert_eq!(Total::stored(over.get()), over);
        assert_eq!(Total::stored(full.get()), full);
    }

    #[test]
    fn a_mean_rounds_half_to_even() {
        let table = [
            (5, 2, 0, 0, Some(2)),
            (7, 2, 0, 0, Some(4)),
            (-5, 2, 0, 0, Some(-2)),
            (-7, 2, 0, 0, Some(-4)),
            (10, 3, 0, 4, Some(33_333)),
            (20, 3, 0, 4, Some(66_667)),
            (12_345, 1, 4, 2, Some(123)),
            (12_350, 1, 4, 2, Some(124)),
            (12_450, 1, 4, 2, Some(124)),
            (1, 0, 0, 0, None),
            (LIMIT, 1, 0, 38, None),
            (LIMIT, i64::MAX, 0, 10, Some(108_420_217_248_550_443_400_745_280_087)),
        ];
        for (sum, count, from, to, expected) in table {
            assert_eq!(mean(sum, count, from, to), expected, "{sum} at scale {from} over {count} at scale {to}");
        }
    }

    #[test]
    fn a_decimal_holds_as_many_digits_as_it_declares() {
        assert!(fits(99, 2) && fits(-99, 2) && fits(LIMIT, 38));
        assert!(!fits(100, 2) && !fits(-100, 2) && !fits(LIMIT + 1, 38));
    }
}

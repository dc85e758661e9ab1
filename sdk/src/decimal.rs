//! `Decimal<P, S>`: exact numbers such as money, as they stand in the columns.

use crate::ParseError;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};
use std::str::FromStr;

/// An exact number of at most `P` decimal digits, `S` of them after the point (1 ≤ `P` ≤ 38, `S` ≤ `P`).
///
/// Results are exact or there are none: nothing rounds unless [`round`](Self::round) is called. The operators **panic** when a
/// result needs more than `P` digits; in a module that ends the call, and the host makes a dead letter of the record at
/// fault. A transform that would rather say why uses the `checked_` forms and returns a [`Reject`](crate::Reject).
///
/// ```
/// # use lakeward_sdk::prelude::*;
/// let price = Decimal::<18, 3>::from_unscaled(3_390).expect("4 digits fit into 18");
/// assert_eq!((price * 6).to_string(), "20.340");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal<const P: u8, const S: u8>(i128);

impl<const P: u8, const S: u8> Decimal<P, S> {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// The largest value: `P` nines.
    pub const MAX: Self = Self(Self::LIMIT - 1);
    /// The smallest value: minus `P` nines.
    pub const MIN: Self = Self(1 - Self::LIMIT);

    /// The first number that is too large, as an unscaled integer.
    const LIMIT: i128 = {
        assert!(P >= 1 && P <= 38, "a decimal has 1 to 38 digits");
        assert!(S <= P, "a decimal cannot have more digits after the point than digits in all");
        10_i128.pow(P as u32)
    };

    /// The number `unscaled` / 10^`S`; `None` when it has more than `P` digits.
    #[must_use]
    pub const fn from_unscaled(unscaled: i128) -> Option<Self> {
        if unscaled < Self::LIMIT && unscaled > -Self::LIMIT { Some(Self(unscaled)) } else { None }
    }

    /// The number times 10^`S`.
    #[must_use]
    pub const fn unscaled(self) -> i128 {
        self.0
    }

    /// Whether the number is above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Whether the number is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether the number is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The number without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// The sum; `None` when it has more than `P` digits.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        // Both are below 10^38, so that an i128 holds their sum only if it stays below 1.7 * 10^38.
        match self.0.checked_add(other.0) {
            Some(sum) => Self::from_unscaled(sum),
            None => None,
        }
    }

    /// The difference; `None` when it has more than `P` digits.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self(-other.0))
    }

    /// The number times an integer; `None` when the result has more than `P` digits.
    #[must_use]
    pub fn checked_mul(self, factor: impl Into<i128>) -> Option<Self> {
        product(self.0, factor.into()).and_then(Self::from_unscaled)
    }

    /// The exact product of two decimals, in a type that can hold its digits after the point (`S3` ≥ `S` + `S2`, checked
    /// when it is compiled); `None` when it has more than `P3` digits.
    #[must_use]
    pub fn checked_times<const P2: u8, const S2: u8, const P3: u8, const S3: u8>(
        self,
        other: Decimal<P2, S2>,
    ) -> Option<Decimal<P3, S3>> {
        const { assert!(S3 >= S + S2, "the product of two decimals needs as many digits after the point as both have") };
        let exact = product(self.0, other.0)?;
        product(exact, 10_i128.checked_pow(u32::from(S3 - S - S2))?).and_then(Decimal::from_unscaled)
    }

    /// The exact product of two decimals, like [`checked_times`](Self::checked_times).
    ///
    /// ```
    /// # use lakeward_sdk::prelude::*;
    /// let price: Decimal<18, 3> = "19.990".parse()?;
    /// let tax: Decimal<5, 4> = "0.1900".parse()?;
    /// let due: Decimal<18, 7> = price.times(tax);
    /// assert_eq!(due.round::<18, 2>().to_string(), "3.80");
    /// # Ok::<(), lakeward_sdk::ParseError>(())
    /// ```
    ///
    /// # Panics
    /// When the product has more than `P3` digits.
    #[must_use]
    pub fn times<const P2: u8, const S2: u8, const P3: u8, const S3: u8>(
        self,
        other: Decimal<P2, S2>,
    ) -> Decimal<P3, S3> {
        self.checked_times(other).unwrap_or_else(|| overflow::<P3, S3>())
    }

    /// The same number with another number of digits; `None` when digits that are not zero would be lost.
    #[must_use]
    pub fn rescale<const P2: u8, const S2: u8>(self) -> Option<Decimal<P2, S2>> {
        if S2 >= S {
            return product(self.0, 10_i128.pow(u32::from(S2 - S))).and_then(Decimal::from_unscaled);
        }
        let unit = 10_i128.pow(u32::from(S - S2));
        if self.0 % unit == 0 { Decimal::from_unscaled(self.0 / unit) } else { None }
    }

    /// The nearest number with `S2` digits after the point; halves go away from zero, as in SQL.
    ///
    /// # Panics
    /// When the result has more than `P2` digits.
    #[must_use]
    pub fn round<const P2: u8, const S2: u8>(self) -> Decimal<P2, S2> {
        if S2 >= S {
            return self.rescale().unwrap_or_else(|| overflow::<P2, S2>());
        }
        let unit = 10_i128.pow(u32::from(S - S2));
        let (whole, rest) = (self.0 / unit, self.0 % unit);
        let up = if rest.abs() >= unit - rest.abs() { self.0.signum() } else { 0 };
        Decimal::from_unscaled(whole + up).unwrap_or_else(|| overflow::<P2, S2>())
    }

    pub(crate) fn from_le_bytes(bytes: [u8; 16]) -> Self {
        Self(i128::from_le_bytes(bytes))
    }

    pub(crate) fn to_le_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

/// The product, by way of the short multiplication that nearly all numbers fit: WebAssembly has no other in one instruction.
#[inline]
fn product(left: i128, right: i128) -> Option<i128> {
    match (i32::try_from(left), i32::try_from(right)) {
        (Ok(left), Ok(right)) => Some(i128::from(i64::from(left) * i64::from(right))),
        _ => long_product(left, right),
    }
}

#[cold]
fn long_product(left: i128, right: i128) -> Option<i128> {
    match (i64::try_from(left), i64::try_from(right)) {
        (Ok(left), Ok(right)) => Some(i128::from(left) * i128::from(right)),
        _ => left.checked_mul(right),
    }
}

/// The digits without the sign.
pub(crate) fn digits(unscaled: i128, scale: u8) -> String {
    let unit = 10_u128.pow(u32::from(scale));
    let (whole, rest) = (unscaled.unsigned_abs() / unit, unscaled.unsigned_abs() % unit);
    if scale == 0 { whole.to_string() } else { format!("{whole}.{rest:0width$}", width = usize::from(scale)) }
}

#[cold]
fn overflow<const P: u8, const S: u8>() -> ! {
    panic!("the result does not fit into decimal({P},{S})")
}

impl<const P: u8, const S: u8> Add for Decimal<P, S> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.checked_add(other).unwrap_or_else(|| overflow::<P, S>())
    }
}

impl<const P: u8, const S: u8> Sub for Decimal<P, S> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.checked_sub(other).unwrap_or_else(|| overflow::<P, S>())
    }
}

impl<const P: u8, const S: u8> AddAssign for Decimal<P, S> {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<const P: u8, const S: u8> SubAssign for Decimal<P, S> {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl<const P: u8, const S: u8> Neg for Decimal<P, S> {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl<const P: u8, const S: u8> Sum for Decimal<P, S> {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::ZERO, Add::add)
    }
}

/// Generic, so that the result's type is known whatever integer the factor is: `(price * 6).abs()`.
impl<const P: u8, const S: u8, I: Into<i128>> Mul<I> for Decimal<P, S> {
    type Output = Self;

    fn mul(self, factor: I) -> Self {
        self.checked_mul(factor).unwrap_or_else(|| overflow::<P, S>())
    }
}

impl<const P: u8, const S: u8> FromStr for Decimal<P, S> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        lakeward_manifest::text::decimal(text.as_bytes(), P, S)
            .and_then(Self::from_unscaled)
            .ok_or(ParseError { expected: "a decimal number that fits its type" })
    }
}

impl<const P: u8, const S: u8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad_integral(self.0 >= 0, "", &digits(self.0, S))
    }
}

impl<const P: u8, const S: u8> fmt::Debug for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Decimal<18, 3> {
        text.parse().unwrap()
    }

    #[test]
    fn text_survives_the_round_trip() {
        for text in ["0.000", "-0.001", "3.390", "999999999999999.999", "-80995.000"] {
            assert_eq!(money(text).to_string(), text);
        }
        assert_eq!(format!("[{:>9}]", money("1.5")), "[    1.500]");
    }

    #[test]
    fn arithmetic_is_exact() {
        assert_eq!(money("0.1") + money("0.2"), money("0.3"));
        assert_eq!(money("0.1") - money("0.2"), money("-0.1"));
        assert_eq!(money("3.39") * -6_i64, money("-20.34"));
        assert_eq!(money("0.001") * 2, money("0.002"));
        assert_eq!([money("1"), money("2.5")].into_iter().sum::<Decimal<18, 3>>(), money("3.5"));
        let product: Decimal<38, 6> = money("-1.111").times(money("2.000"));
        assert_eq!(product.to_string(), "-2.222000");
    }

    #[test]
    fn what_needs_too_many_digits_is_refused() {
        let largest = Decimal::<3, 1>::MAX;
        assert_eq!(largest.to_string(), "99.9");
        assert_eq!(largest.checked_add(Decimal::from_unscaled(1).unwrap()), None);
        assert_eq!(Decimal::<3, 1>::MIN.checked_sub(largest), None);
        assert_eq!(largest.checked_mul(2), None);
        assert_eq!(Decimal::<38, 0>::MAX.checked_mul(i64::MAX), None);
        assert_eq!(Decimal::<38, 0>::MAX.checked_add(Decimal::MAX), None);
        assert_eq!("100".parse::<Decimal<3, 1>>(), Err(ParseError { expected: "a decimal number that fits its type" }));
    }

    #[test]
    fn rescaling_never_loses_a_digit_but_rounding_may() {
        assert_eq!(money("1.250").rescale::<18, 2>().unwrap().to_string(), "1.25");
        assert_eq!(money("1.255").rescale::<18, 2>(), None);
        assert_eq!(money("1.255").round::<18, 2>().to_string(), "1.26");
        assert_eq!(money("-1.255").round::<18, 2>().to_string(), "-1.26");
        assert_eq!(money("-1.254").round::<18, 2>().to_string(), "-1.25");
        assert_eq!(money("1.5").rescale::<20, 5>().unwrap().to_string(), "1.50000");
    }
}

//! How text becomes a value: decimals, dates, timestamps, UUIDs. Shared by the runtime's decoder and the SDK's tests.

/// Reads a decimal number (`-12.5`, `1e3` too) as an integer scaled by 10^`scale`.
///
/// `None` when it is not a number, has more digits after the point than `scale` that are not zero, or needs more
/// than `precision` digits.
#[must_use]
pub fn decimal(_text: &[u8], _precision: u8, _scale: u8) -> Option<i128> {
    None
}

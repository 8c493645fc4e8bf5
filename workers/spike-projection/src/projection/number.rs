//! Conversions between counts and floating point numbers.

/// Converts a count to a floating point number.
#[expect(
    clippy::cast_precision_loss,
    reason = "above 2^53 a count loses its last digits, which no limit depends on"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Returns the smallest count that is not below the value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates: negative values and NaN become 0, values that are too large the largest count"
)]
pub(crate) fn ceil(value: f64) -> u64 {
    value.ceil() as u64
}

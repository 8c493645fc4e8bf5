//! The way from counts to floating point and back, in one place. Never negative, never NaN.

/// A count as a floating point number.
#[expect(
    clippy::cast_precision_loss,
    reason = "above 2^53 a count loses its last digits, which no limit depends on"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The smallest count that is not below the value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates: below zero and NaN become 0, what is too large the largest count"
)]
pub(crate) fn ceil(value: f64) -> u64 {
    value.ceil() as u64
}

//! A span of time as a ledger tells it: in units, of which so many pass in a nanosecond.
//!
//! It is worked out only for who asks: dividing would be a tenth of a denial, and most callers only want to know that they
//! were denied.

use std::hash::{Hash, Hasher};

/// Time to wait; in nanoseconds it is rounded up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    units: u64,
    // Never 0.
    per_nano: u64,
}

impl Span {
    /// The time in which so many units pass.
    #[inline]
    pub(crate) fn of(units: u64, per_nano: u64) -> Self {
        Self { units, per_nano }
    }

    /// So many nanoseconds.
    pub(crate) fn nanos(nanos: u64) -> Self {
        Self { units: nanos, per_nano: 1 }
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.units.div_ceil(self.per_nano)
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        self.as_nanos() == other.as_nanos()
    }
}

impl Eq for Span {}

impl Hash for Span {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_nanos().hash(state);
    }
}

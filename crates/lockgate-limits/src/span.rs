//! A duration in the units of a schedule, of which a fixed number passes per nanosecond.
//!
//! The conversion to nanoseconds happens only on request. The division would be a tenth of the cost of a
//! denial, and most callers only need to know that they were denied.

use std::hash::{Hash, Hasher};

/// A time to wait. Conversion to nanoseconds rounds up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    units: u64,
    // Never 0.
    per_nano: u64,
}

impl Span {
    /// Creates the time in which `units` pass.
    #[inline]
    pub(crate) fn of(units: u64, per_nano: u64) -> Self {
        Self { units, per_nano }
    }

    /// Creates a wait of `nanos` nanoseconds.
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

//! What an attempt of a job came to.

use std::time::Duration;

use crate::bounds::{self, MAX_DURATION};

/// What an attempt, or a delivery that came to none, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Succeeded,
    /// Went wrong; another attempt after the wait.
    Retry {
        /// How long to wait.
        after: Duration,
        /// What went wrong.
        error: String,
    },
    /// Again later, and no attempt used: no slot, or the backend is overloaded.
    Deferred {
        /// How long to wait.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// Not done on purpose.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Failed for good.
    Failed {
        /// What went wrong.
        error: String,
    },
    /// Ended by an operator.
    Cancelled {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Retry { .. } => "retry",
            Self::Deferred { .. } => "deferred",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// The same outcome within the bounds of [`crate::bounds`]: no wait is longer than [`MAX_DURATION`], and
    /// reasons and errors are cut. A worker applies it before it logs or reports an outcome, and every ledger
    /// before it stores one.
    #[must_use]
    pub fn bounded(self) -> Self {
        match self {
            Self::Succeeded => Self::Succeeded,
            Self::Retry { after, error } => {
                Self::Retry { after: after.min(MAX_DURATION), error: bounds::text(error) }
            }
            Self::Deferred { after, reason } => {
                Self::Deferred { after: after.min(MAX_DURATION), reason: bounds::text(reason) }
            }
            Self::Skipped { reason } => Self::Skipped { reason: bounds::text(reason) },
            Self::Failed { error } => Self::Failed { error: bounds::text(error) },
            Self::Cancelled { reason } => Self::Cancelled { reason: bounds::text(reason) },
        }
    }

    /// The reason or the error, when there is one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Succeeded => None,
            Self::Retry { error, .. } | Self::Failed { error } => Some(error),
            Self::Deferred { reason, .. } | Self::Skipped { reason } | Self::Cancelled { reason } => {
                Some(reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_outcome_has_bounded_wait_and_text() {
        let (after, long) = (Duration::MAX, "x".repeat(20_000_000));
        for outcome in [
            Outcome::Retry { after, error: long.clone() },
            Outcome::Deferred { after, reason: long.clone() },
            Outcome::Skipped { reason: long.clone() },
            Outcome::Failed { error: long.clone() },
            Outcome::Cancelled { reason: long },
        ] {
            let bounded = outcome.bounded();
            assert!(bounded.reason().unwrap().len() <= bounds::MAX_TEXT_BYTES, "{}", bounded.as_str());
            if let Outcome::Retry { after, .. } | Outcome::Deferred { after, .. } = bounded {
                assert_eq!(after, MAX_DURATION);
            }
        }
    }
}

//! Why a request for slots failed.

use std::time::Duration;

use lockgate_core::lease::Refusal;

/// Why a request got no slots. Jobs and guards ([`SlotClient::slot`](super::SlotClient::slot)) share this
/// type.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// No slot became free within the `max_wait` of the request.
    #[error("no slot within {waited:?}; raise max_wait or the slots of the pool, or ask again later")]
    TimedOut {
        /// How long the request waited.
        waited: Duration,
    },
    /// The store refused the request. [`Refusal::retry_after`] says when to ask again, if ever.
    #[error(transparent)]
    Refused(Refusal),
    /// The store was unreachable until `max_wait` had passed.
    #[error("slot store unreachable: {0}")]
    Unreachable(String),
}

impl AcquireError {
    /// Returns the message without the remedy, as the reason of a job's outcome.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::TimedOut { waited } => format!("no slot within {waited:?}"),
            Self::Refused(_) | Self::Unreachable(_) => self.to_string(),
        }
    }

    /// Returns the value of the `reason` label in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "busy",
            Self::Refused(Refusal::TooBusy { .. }) => "too-busy",
            Self::Refused(Refusal::Held { .. }) => "held",
            Self::Refused(Refusal::Draining { .. }) => "draining",
            Self::Refused(Refusal::TooHeavy { .. }) => "too-heavy",
            Self::Refused(Refusal::Never { .. }) => "never",
            Self::Refused(Refusal::UnknownPool { .. }) => "unknown-pool",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// Returns whether the store does not know a pool of the request.
    pub(crate) fn is_unknown_pool(&self) -> bool {
        matches!(self, Self::Refused(Refusal::UnknownPool { .. }))
    }
}

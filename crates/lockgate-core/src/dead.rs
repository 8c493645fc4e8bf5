//! Dead letters: messages that nobody can handle, kept for a person with the reason.
//!
//! A job without attempts left is not a dead letter of the broker: it is read and retried in the ledger.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::QueueName;
use crate::time::Timestamp;

/// Why a message is a dead letter. Scripts and alerts may rely on the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadReason {
    /// Its body has more than [`crate::envelope::MAX_PAYLOAD_BYTES`].
    Oversized,
    /// Its body is not UTF-8 text.
    NotUtf8,
    /// Its body is not valid JSON.
    Malformed,
    /// Its JSON is nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// It has no kind.
    NoKind,
    /// A property or header is invalid.
    BadHeader,
    /// No worker of its queue knows its kind.
    UnknownKind,
    /// Its payload does not fit its kind.
    BadPayload,
    /// The ledger cannot store its job or its outcome, and another attempt would fail in the same way.
    Refused,
    /// It was delivered repeatedly and never settled.
    DeliveryLimit,
    /// The broker gives another reason.
    Other,
}

/// The deepest nesting of a payload.
pub const MAX_DEPTH: usize = 64;

impl DeadReason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::Oversized,
        Self::NotUtf8,
        Self::Malformed,
        Self::TooDeep,
        Self::NoKind,
        Self::BadHeader,
        Self::UnknownKind,
        Self::BadPayload,
        Self::Refused,
        Self::DeliveryLimit,
        Self::Other,
    ];

    /// Returns the word in headers, commands and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::NotUtf8 => "not-utf8",
            Self::Malformed => "malformed",
            Self::TooDeep => "too-deep",
            Self::NoKind => "no-kind",
            Self::BadHeader => "bad-header",
            Self::UnknownKind => "unknown-kind",
            Self::BadPayload => "bad-payload",
            Self::Refused => "refused",
            Self::DeliveryLimit => "delivery-limit",
            Self::Other => "other",
        }
    }

    /// Returns the reason with this word, or [`Self::Other`].
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word).unwrap_or(Self::Other)
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a message cannot be handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The reason that scripts rely on.
    pub reason: DeadReason,
    /// A detail for people, at most [`crate::bounds::MAX_TEXT_BYTES`].
    pub detail: String,
}

impl Rejection {
    /// Creates a rejection, with the detail cut to [`crate::bounds::MAX_TEXT_BYTES`].
    pub fn new(reason: DeadReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: crate::bounds::text(detail.into()) }
    }
}

/// A message that nobody could handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Names the letter in commands. Stable until it is resolved.
    pub id: String,
    /// The queue that the message came from, and that a replay publishes it to.
    pub queue: QueueName,
    /// The reason that scripts rely on.
    pub reason: DeadReason,
    /// A detail for people.
    pub detail: String,
    /// The kind that the message names, if any.
    pub kind: Option<String>,
    /// The message id that its sender set.
    pub message_id: Option<String>,
    /// When it became a dead letter, if the store knows.
    pub died_at: Option<Timestamp>,
    /// The length of its body.
    pub bytes: u64,
    /// The textual part of its body. `None` in a list.
    pub body: Option<String>,
}

/// Which dead letters to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadQuery {
    /// The queue whose dead letters are read, without prefix.
    pub queue: QueueName,
    /// Only the letter with this id, with its body.
    pub id: Option<String>,
    /// Page size, oldest first. 0 means 100.
    pub limit: u32,
}

/// How dead letters are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Publish it to its queue again, unchanged.
    Replay,
    /// Delete it.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_back_by_its_word() {
        for reason in DeadReason::ALL {
            assert_eq!(DeadReason::of(reason.as_str()), reason);
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!(DeadReason::of("rejected"), DeadReason::Other);
    }
}

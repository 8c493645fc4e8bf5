//! Dead letters: messages that nobody can handle, kept for a person with the reason.
//!
//! A job that is out of attempts is a dead letter too, but of the ledger: it is read and retried there, as a
//! job.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::QueueName;
use crate::time::Timestamp;

/// Why a message is a dead letter: a word that scripts and alerts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadReason {
    /// Its body has more than [`crate::envelope::MAX_PAYLOAD_BYTES`].
    Oversized,
    /// Its body is not UTF-8 text.
    NotUtf8,
    /// Its body is no JSON.
    Malformed,
    /// Its JSON is nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// It does not say of which kind it is.
    NoKind,
    /// One of its headers is not what the contract says.
    BadHeader,
    /// No worker of its queue knows its kind.
    UnknownKind,
    /// Its payload is not one of its kind.
    BadPayload,
    /// The ledger cannot store its job, or what became of it, and trying again would fail in the same way.
    Refused,
    /// It was delivered again and again and never settled.
    DeliveryLimit,
    /// The broker gives another reason.
    Other,
}

/// The deepest nesting of a payload.
pub const MAX_DEPTH: usize = 64;

impl DeadReason {
    /// All of them.
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

    /// The word in headers, commands and metrics.
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

    /// The reason of this word; [`Self::Other`] when there is none.
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

/// Why a message cannot be handled: the word, and what exactly is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The word.
    pub reason: DeadReason,
    /// What exactly is wrong.
    pub detail: String,
}

impl Rejection {
    /// A reason with what exactly is wrong, cut to [`crate::bounds::MAX_TEXT_BYTES`].
    pub fn new(reason: DeadReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: crate::bounds::text(detail.into()) }
    }
}

/// A message that nobody could handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// What it is named by, stable while it lies there.
    pub id: String,
    /// The queue that it came from, and that it is replayed to.
    pub queue: QueueName,
    /// Why it is here.
    pub reason: DeadReason,
    /// What exactly was wrong.
    pub detail: String,
    /// The kind that it names, when it names one.
    pub kind: Option<String>,
    /// The id that its sender gave it.
    pub message_id: Option<String>,
    /// When it was put here, when the store knows.
    pub died_at: Option<Timestamp>,
    /// How long its body is.
    pub bytes: u64,
    /// Its body, as much of it as is text; not there in a list.
    pub body: Option<String>,
}

/// Which dead letters to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadQuery {
    /// The queue whose dead letters are read, without prefix.
    pub queue: QueueName,
    /// Only the one of this id, with its body.
    pub id: Option<String>,
    /// Page size, oldest first. 0 means 100.
    pub limit: u32,
}

/// What becomes of dead letters.
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

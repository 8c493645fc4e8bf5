//! A dead letter, as commands print it. Its names never change their meaning.

use std::time::Duration;

use lockgate::Timestamp;
use lockgate::core::dead::{DeadLetter, DeadReason};
use serde::Serialize;

use super::{ms, none};
use crate::Look;
use crate::times::{coarse, rfc3339};

/// A dead letter.
#[derive(Debug, Serialize)]
pub(crate) struct DeadView {
    pub(crate) id: String,
    pub(crate) queue: String,
    pub(crate) reason: DeadReason,
    pub(crate) detail: String,
    pub(crate) kind: Option<String>,
    message_id: Option<String>,
    died_at: Option<String>,
    age_ms: Option<u64>,
    bytes: u64,
    /// Only where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

impl DeadView {
    /// `now` is the ledger's.
    pub(crate) fn new(letter: &DeadLetter, now: Timestamp) -> Self {
        Self {
            id: letter.id.clone(),
            queue: letter.queue.to_string(),
            reason: letter.reason,
            detail: letter.detail.clone(),
            kind: letter.kind.clone(),
            message_id: letter.message_id.clone(),
            died_at: letter.died_at.map(rfc3339),
            age_ms: letter.died_at.map(|at| ms(now.since(at))),
            bytes: letter.bytes,
            body: letter.body.clone(),
        }
    }

    pub(crate) fn age(&self) -> String {
        // To the second: nobody cares how many milliseconds something has been dead.
        self.age_ms.map_or_else(none, |age| coarse(Duration::from_millis(age)))
    }

    pub(crate) fn size(&self) -> String {
        match self.bytes {
            bytes @ ..1_024 => format!("{bytes} B"),
            bytes => format!("{} KiB", bytes.div_ceil(1_024)),
        }
    }

    pub(crate) fn describe(&self, look: &Look) -> String {
        look.pairs(&[
            ("id", self.id.clone()),
            ("queue", self.queue.clone()),
            ("reason", self.reason.to_string()),
            ("detail", self.detail.clone()),
            ("kind", self.kind.clone().unwrap_or_else(none)),
            ("message id", self.message_id.clone().unwrap_or_else(none)),
            ("died at", self.died_at.clone().unwrap_or_else(none)),
            ("age", self.age()),
            ("size", self.size()),
        ])
    }
}

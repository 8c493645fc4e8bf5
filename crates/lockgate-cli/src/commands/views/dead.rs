//! How commands print a dead letter.

use std::time::Duration;

use lockgate::Timestamp;
use lockgate::core::dead::{DeadLetter, DeadReason};
use serde::Serialize;

use super::{ms, none};
use crate::Style;
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
    /// Absent in a list, and when the body is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

impl DeadView {
    /// Creates the view. `now` is the time of the ledger.
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
        // A precision of seconds is enough for an age.
        self.age_ms.map_or_else(none, |age| coarse(Duration::from_millis(age)))
    }

    pub(crate) fn size(&self) -> String {
        match self.bytes {
            bytes @ ..1_024 => format!("{bytes} B"),
            bytes => format!("{} KiB", bytes.div_ceil(1_024)),
        }
    }

    pub(crate) fn describe(&self, style: &Style) -> String {
        style.pairs(&[
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

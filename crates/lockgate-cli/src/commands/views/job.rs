//! How commands print a job. All numbers are from the ledger.

use lockgate::JobState;
use lockgate::core::job::JobRow;
use serde::Serialize;

use super::{ms, none, of_ms};
use crate::terminal::Style;
use crate::times::rfc3339;

/// A job.
#[derive(Debug, Serialize)]
pub(crate) struct JobView {
    pub(crate) id: String,
    pub(crate) run: Option<String>,
    pub(crate) kind: String,
    pub(crate) queue: String,
    pub(crate) key: String,
    pub(crate) tenant: String,
    pub(crate) state: JobState,
    pub(crate) attempt: u32,
    pub(crate) executions: u32,
    pub(crate) deferrals: u32,
    pub(crate) batch: Option<u32>,
    pub(crate) due_at: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) waited_ms: Option<u64>,
    pub(crate) ran_ms: Option<u64>,
    pub(crate) updated_at: String,
    pub(crate) payload: String,
}

impl From<&JobRow> for JobView {
    fn from(job: &JobRow) -> Self {
        Self {
            id: job.id.to_string(),
            run: job.run.map(|run| run.to_string()),
            kind: job.kind.to_string(),
            queue: job.queue.to_string(),
            key: job.key.to_string(),
            tenant: job.tenant.to_string(),
            state: job.state,
            attempt: job.attempt,
            executions: job.executions,
            deferrals: job.deferrals,
            batch: job.batch,
            due_at: job.due_at.map(rfc3339),
            reason: job.reason.clone(),
            waited_ms: job.waited.map(ms),
            ran_ms: job.ran.map(ms),
            updated_at: rfc3339(job.updated_at),
            payload: job.payload.clone(),
        }
    }
}

impl JobView {
    /// Formats all fields for people.
    pub(crate) fn describe(&self, style: &Style) -> String {
        style.pairs(&[
            ("job", self.id.clone()),
            ("run", self.run.clone().unwrap_or_else(none)),
            ("kind", self.kind.clone()),
            ("queue", self.queue.clone()),
            ("key", self.key.clone()),
            ("tenant", self.tenant.clone()),
            ("state", self.state.to_string()),
            ("reason", self.reason.clone().unwrap_or_else(none)),
            ("attempt", self.attempt.to_string()),
            ("executions", self.executions.to_string()),
            ("deferrals", self.deferrals.to_string()),
            ("batch", self.batch.map_or_else(none, |batch| batch.to_string())),
            ("due", self.due_at.clone().unwrap_or_else(none)),
            ("waited", self.waited_ms.map_or_else(none, of_ms)),
            ("ran", self.ran_ms.map_or_else(none, of_ms)),
            ("changed", self.updated_at.clone()),
            ("payload", self.payload.clone()),
        ])
    }
}

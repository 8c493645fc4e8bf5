//! Planning: how jobs enter the ledger, from the manifest of a run or from other clients of the broker.
//!
//! Every step may be repeated without effect, because its answer may be lost.

use crate::id::{JobId, RunId};
use crate::name::{Key, Kind, MAX_NAME_BYTES, QueueName, Tenant};
use crate::run::{RunRow, RunSpec};

/// A step of planning: one `Open`, any number of `Append`s, and one `Seal`; or an `Ingest`, which does all
/// three.
#[derive(Debug, Clone)]
pub enum PlanStep {
    /// Creates the run, or returns the one with this name.
    Open(RunSpec),
    /// Adds jobs to a run that is being planned. Existing keys are skipped. A sealed run does not change.
    Append {
        /// The run that is being planned.
        run: RunId,
        /// The next jobs of the manifest.
        jobs: Vec<PlannedJob>,
    },
    /// Seals the manifest: its batches become due. Sealing again changes nothing.
    Seal {
        /// The run whose manifest is complete.
        run: RunId,
    },
    /// Adds jobs whose messages were not sent by the dispatcher, as if their first dispatch had been
    /// published. They belong to the [`crate::run::external_run`] of their kind and the ledger's day, which
    /// is created if missing and active again if it was cancelled. Existing jobs, by id, are skipped. If
    /// another job of the run has the same key, the job's id is appended to the key.
    Ingest(Ingestion),
}

/// Jobs of one kind from one queue whose messages were not sent by the dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingestion {
    /// The id of the external run, used if the run is new.
    pub external_run: RunId,
    /// The kind that the messages name.
    pub kind: Kind,
    /// The queue of the messages, and of their retries.
    pub queue: QueueName,
    /// Jobs to ingest. Existing ones, by id, are skipped.
    pub jobs: Vec<PlannedJob>,
}

/// A job of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// The id, used if the key is new.
    pub id: JobId,
    /// What the job is about, unique in its run.
    pub key: Key,
    /// The tenant that is charged for the slots of the job.
    pub tenant: Tenant,
    /// JSON text, at most [`crate::envelope::MAX_PAYLOAD_BYTES`].
    pub payload: String,
}

/// Returns the key of an ingested job whose own key is taken in its external run.
#[must_use]
pub fn ingested_key(key: &Key, job: JobId) -> Key {
    let mut text = key.as_str().to_owned();
    let id = job.to_string();
    while text.len() + id.len() + 1 > MAX_NAME_BYTES {
        text.pop();
    }
    // The parts are names, so the whole is one; were it none, the key itself would be the honest answer.
    Key::new(format!("{text}/{id}")).unwrap_or_else(|_| key.clone())
}

/// The result of a planning step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The run as it is after the step.
    pub run: RunRow,
    /// Whether `Open` returned an existing run.
    pub existed: bool,
    /// Jobs added by this step.
    pub added: u64,
}

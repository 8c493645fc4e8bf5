//! Planning: how jobs come into the ledger, by a run's manifest or from clients of the broker.
//!
//! Nothing here may depend on being said once: every step can be repeated.

use crate::id::{JobId, RunId};
use crate::name::{Key, Kind, MAX_NAME_BYTES, QueueName, Tenant};
use crate::run::{RunRow, RunSpec};

/// A step of a planning: one `Open`, any number of `Append`s, one `Seal`; or an `Ingest`, which is all three
/// at once.
#[derive(Debug, Clone)]
pub enum PlanStep {
    /// Makes the run, or finds the one of that name.
    Open(RunSpec),
    /// Adds jobs to a run that is being planned; a key that it has already is passed over. To a run that is
    /// sealed nothing is added.
    Append {
        /// The run that is being planned.
        run: RunId,
        /// Its next jobs.
        jobs: Vec<PlannedJob>,
    },
    /// Makes the manifest whole: batches are due from now on. A second seal changes nothing.
    Seal {
        /// The run whose manifest is complete.
        run: RunId,
    },
    /// Takes in jobs whose messages came from elsewhere than the dispatcher, as if their first dispatch had
    /// been published. They belong to the [`crate::run::external_run`] of their kind and of the ledger's day,
    /// which is made when it is not there, and is active again when it was cancelled. A job that is there
    /// already, by its id, is passed over; a key that another job of the external run has gets the job's id
    /// behind it.
    Ingest(Ingestion),
}

/// Jobs of one kind, out of one queue, whose messages came from elsewhere than the dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingestion {
    /// The id of the external run, used when it is new.
    pub external_run: RunId,
    /// Their kind.
    pub kind: Kind,
    /// Where they came from, and where their retries go.
    pub queue: QueueName,
    /// Jobs to ingest. Existing ones, by id, are skipped.
    pub jobs: Vec<PlannedJob>,
}

/// A job of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// Its id, used when its key is new.
    pub id: JobId,
    /// What it is about, unique in its run.
    pub key: Key,
    /// Whom it is charged to.
    pub tenant: Tenant,
    /// JSON text, at most [`crate::envelope::MAX_PAYLOAD_BYTES`].
    pub payload: String,
}

/// The key of an ingested job whose own key another job of its external run has.
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

/// The run after a step of its planning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The run as it is after the step.
    pub run: RunRow,
    /// Whether `Open` found it.
    pub existed: bool,
    /// Jobs added by this step.
    pub added: u64,
}

//! A job as it travels through the broker.

use serde::{Deserialize, Serialize};

use crate::id::{JobId, RunId};
use crate::name::{Key, Kind, QueueName, Tenant};

/// What a message says. The ledger stays the truth: a message that disagrees with it is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The id of the job, the same in every dispatch.
    pub job: JobId,
    /// Its type.
    pub kind: Kind,
    /// What it is about.
    pub key: Key,
    /// Whom it is charged to.
    pub tenant: Tenant,
    /// The run that the job belongs to. `None`: the message came from another client.
    pub run: Option<RunId>,
    /// Where it waits.
    pub queue: QueueName,
    /// The n-th dispatch of this job, from 1. A delivery of an older one does not run.
    pub dispatch: u32,
    /// JSON text, read by the kind alone.
    pub payload: String,
}

/// The longest payload, in bytes: a job carries a reference to its data, not the data.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;

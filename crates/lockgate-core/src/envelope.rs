//! A job as a message.

use serde::{Deserialize, Serialize};

use crate::id::{JobId, RunId};
use crate::name::{Key, Kind, QueueName, Tenant};

/// The content of a message. The ledger is the truth: a message that contradicts it is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The id of the job, the same in every dispatch.
    pub job: JobId,
    /// The kind, which selects the code.
    pub kind: Kind,
    /// What the job is about, unique in its run.
    pub key: Key,
    /// The tenant that is charged for its slots.
    pub tenant: Tenant,
    /// The run that the job belongs to. `None`: the message came from another client.
    pub run: Option<RunId>,
    /// The queue of the message, without prefix.
    pub queue: QueueName,
    /// The number of the dispatch, from 1. A delivery of an older dispatch does not run.
    pub dispatch: u32,
    /// JSON text that only the kind reads.
    pub payload: String,
}

/// The longest payload in bytes. A job carries a reference to its data, not the data.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;

//! Identifiers. They are made by the runtime (a core cannot draw random numbers) and only carried here.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub Uuid);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $type {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// Identifies a run. A UUIDv7, so ids sort by creation.
    RunId
);
id!(
    /// One job, the same through all its attempts.
    JobId
);
id!(
    /// One lease. A job's lease has the job's id, so that a job can never hold slots twice.
    LeaseId
);
id!(
    /// One process as the slot store knows it, from `open` to `close` or to its death.
    SessionId
);

impl From<JobId> for LeaseId {
    fn from(job: JobId) -> Self {
        Self(job.0)
    }
}

/// A number that grows with each grant: a later holder's is larger, also after the store lost its state.
///
/// A sink that refuses a smaller fence than the last one it saw for its key is safe even from a process that
/// was frozen between its check and its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

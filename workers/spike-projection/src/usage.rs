//! Where the usage of an organization comes from. A source answers with all of it or with an error, never with a part.
//!
//! A source of your own is one method; its errors say what they mean for the job.

pub mod clickhouse;
pub mod http;
mod query_id;
pub mod sql;
pub mod wire;

use std::ops::Range;

use async_trait::async_trait;
use lockgate::core::error::Source as Cause;
use lockgate::{EngineError, ErrorClass, JobError};

use crate::hour::Hour;
use crate::projection::Usage;

pub use clickhouse::{ClickHouseError, ClickHouseSource};
pub use http::HttpSource;
pub use query_id::{NotAQueryId, QueryId};
pub use sql::SqlSource;

/// A source of hourly usage.
#[async_trait]
pub trait UsageSource: Send + Sync + 'static {
    /// What an organization used in these hours, and of which of them anything is known. A backend that knows its queries
    /// by ids knows this one by `query`.
    ///
    /// # Errors
    /// When the answer is not whole: see [`UsageError`].
    async fn hourly(
        &self,
        organization_id: &str,
        hours: Range<Hour>,
        query: &QueryId,
    ) -> Result<Usage, UsageError>;

    /// The same for several organizations, each named once, in their order, in as few queries as the backend takes: each has its usage or an
    /// error of its own. Default: one after the other.
    ///
    /// # Errors
    /// What concerns all of them alike.
    async fn each(
        &self,
        organization_ids: &[&str],
        hours: Range<Hour>,
        query: &QueryId,
    ) -> Result<Vec<Result<Usage, UsageError>>, UsageError> {
        let mut all = Vec::with_capacity(organization_ids.len());
        for id in organization_ids {
            all.push(self.hourly(id, hours.clone(), query).await);
        }
        Ok(all)
    }
}

/// Why there is no usage.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The backend has as many queries as it takes.
    #[error("the usage backend refused the query: {message}")]
    Overloaded {
        /// Its own words.
        message: String,
    },
    /// The backend does not take this query, and will not.
    #[error("the usage backend answered {status}: {message}; check `url` in [spike_projection.http]")]
    Refused {
        /// The status.
        status: u16,
        /// Its own words, shortened.
        message: String,
    },
    /// The backend failed.
    #[error("the usage backend answered {status}: {message}")]
    Failed {
        /// The status.
        status: u16,
        /// Its own words, shortened.
        message: String,
    },
    /// The backend cannot be reached: no query was sent.
    #[error("cannot reach the usage backend")]
    Unreachable(#[source] Cause),
    /// No whole answer came in time, or the connection broke: the query may still run.
    #[error("no whole answer from the usage backend")]
    NoAnswer(#[source] Cause),
    /// An answer came that is not what was asked for.
    #[error("the usage backend's answer is broken: {0}")]
    Broken(String),
    /// The answer is larger than it may be.
    #[error(
        "the usage backend's answer has more than {most} bytes; raise `max_answer_bytes` in [spike_projection.http]"
    )]
    TooLarge {
        /// The most it may have.
        most: usize,
    },
    /// ClickHouse has no answer.
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] EngineError),
}

impl JobError for UsageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::ClickHouse(error) => error.class(),
            Self::Overloaded { .. } => ErrorClass::Overloaded { retry_after: None },
            Self::Refused { .. } | Self::TooLarge { .. } => ErrorClass::Permanent,
            Self::Unreachable(_) => ErrorClass::Unavailable,
            Self::Store(error) => error.class(),
            Self::Failed { .. } | Self::NoAnswer(_) | Self::Broken(_) => ErrorClass::Retry,
        }
    }

    fn backend_may_run(&self) -> bool {
        // A gateway that gave up says nothing of the query behind it.
        let gave_up = |status: &u16| [408, 502, 504].contains(status);
        match self {
            Self::ClickHouse(error) => error.backend_may_run(),
            Self::NoAnswer(_) | Self::TooLarge { .. } => true,
            Self::Failed { status, .. } => gave_up(status),
            _ => false,
        }
    }
}

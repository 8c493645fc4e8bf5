//! The sources of usage. A source returns the whole usage of an organization, or an error, but no partial
//! result.
//!
//! A new source implements one method of [`UsageSource`]. Its errors implement `JobError`, which tells what
//! they mean for the job.

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
    /// Returns the usage of an organization in these hours, and which of the hours are known. `query` is the
    /// id of the query on backends that support query ids.
    ///
    /// # Errors
    /// When the usage cannot be read completely: see [`UsageError`].
    async fn hourly(
        &self,
        organization_id: &str,
        hours: Range<Hour>,
        query: &QueryId,
    ) -> Result<Usage, UsageError>;

    /// Returns the usage of several distinct organizations in their order, with as few queries as the backend
    /// allows. Each organization has a result of its own. The default implementation queries one after the
    /// other.
    ///
    /// # Errors
    /// When a failure concerns all organizations alike.
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

/// Reasons why usage cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The backend runs as many queries as it allows.
    #[error("the usage backend refused the query: {message}")]
    Overloaded {
        /// The backend's message.
        message: String,
    },
    /// The backend rejects this query, and would reject it again.
    #[error("the usage backend answered {status}: {message}; check `url` in [spike_projection.http]")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The backend's message, shortened.
        message: String,
    },
    /// The backend failed.
    #[error("the usage backend answered {status}: {message}")]
    Failed {
        /// HTTP status.
        status: u16,
        /// The backend's message, shortened.
        message: String,
    },
    /// The backend cannot be reached; no query was sent.
    #[error("cannot reach the usage backend")]
    Unreachable(#[source] Cause),
    /// The response is incomplete or late, or the connection broke. The query may still run.
    #[error("no complete response from the usage backend")]
    NoResponse(#[source] Cause),
    /// The response does not match the query.
    #[error("invalid response from the usage backend: {0}")]
    InvalidResponse(String),
    /// The response is larger than allowed.
    #[error(
        "the response of the usage backend has more than {most} bytes; raise `max_answer_bytes` in [spike_projection.http]"
    )]
    TooLarge {
        /// Largest accepted response, in bytes.
        most: usize,
    },
    /// The query failed on ClickHouse.
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
            Self::Failed { .. } | Self::NoResponse(_) | Self::InvalidResponse(_) => ErrorClass::Retry,
        }
    }

    fn backend_may_run(&self) -> bool {
        // A gateway timeout does not tell whether the query behind it has ended.
        let gave_up = |status: &u16| [408, 502, 504].contains(status);
        match self {
            Self::ClickHouse(error) => error.backend_may_run(),
            Self::NoResponse(_) | Self::TooLarge { .. } => true,
            Self::Failed { status, .. } => gave_up(status),
            _ => false,
        }
    }
}

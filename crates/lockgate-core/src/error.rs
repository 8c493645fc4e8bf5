//! Errors of engines, and what an error means for a job.

use std::error::Error;
use std::time::Duration;

/// The cause of an error.
pub type Source = Box<dyn Error + Send + Sync + 'static>;

/// Why a call to an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store did not answer, or not in time. The same call may succeed later.
    #[error("cannot reach the store while {doing}")]
    Unavailable {
        /// The operation that failed.
        doing: String,
        /// The cause.
        source: Source,
    },
    /// The store is full. The same call succeeds when there is space again.
    #[error("the disk is full while {doing}; free some space, nothing that was accepted is lost")]
    Full {
        /// The operation that failed.
        doing: String,
        /// The error of the store.
        source: Source,
    },
    /// The store refused the call, or its answer was invalid. The same call will fail again.
    #[error("the store failed while {doing}")]
    Failed {
        /// The operation that failed.
        doing: String,
        /// The cause.
        source: Source,
    },
    /// The named thing does not exist.
    #[error("there is no {what} {name}")]
    NotFound {
        /// The kind of thing, such as `run` or `pool`.
        what: &'static str,
        /// What was looked up, as the caller wrote it.
        name: String,
    },
    /// The current state does not allow the call.
    #[error("{reason}")]
    Conflict {
        /// Why the call was refused, and the remedy.
        reason: String,
    },
    /// The store that this process opened was deleted, replaced or damaged. Nothing can be recorded any more,
    /// so the process stops its jobs and ends.
    #[error("{reason}")]
    StoreLost {
        /// What happened to the store, and the remedy.
        reason: String,
    },
}

impl EngineError {
    /// Returns whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }
}

/// What an error means for the job that returned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Another attempt may succeed.
    Retry,
    /// The backend is overloaded. The job is deferred and uses no attempt.
    Overloaded {
        /// The time after which the backend wants to be called again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The backend is unreachable for reasons that the job did not cause. The job is deferred and uses no
    /// attempt. Not for a connection that breaks mid-query: a job that crashes its backend would be retried
    /// forever.
    Unavailable,
    /// Another attempt would fail in the same way.
    Permanent,
}

/// An error that a job may return with `?`, because it knows its class.
///
/// ```
/// use lockgate_core::{ErrorClass, JobError};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the backend answered {0}")]
/// struct Http(u16);
///
/// impl JobError for Http {
///     fn class(&self) -> ErrorClass {
///         match self.0 {
///             429 => ErrorClass::Overloaded { retry_after: None },
///             400..=499 => ErrorClass::Permanent,
///             _ => ErrorClass::Retry,
///         }
///     }
/// }
/// ```
pub trait JobError: Error + Send + Sync + 'static {
    /// Returns what the error means for the job.
    fn class(&self) -> ErrorClass {
        ErrorClass::Retry
    }

    /// Returns whether the backend may still work for the attempt, for example after a timeout or a
    /// connection that broke after the query was sent. The slots of the attempt then drain for the kind's
    /// `backend_time`.
    fn backend_may_run(&self) -> bool {
        false
    }
}

impl JobError for std::io::Error {}

impl JobError for EngineError {
    fn class(&self) -> ErrorClass {
        if self.is_transient() { ErrorClass::Unavailable } else { ErrorClass::Retry }
    }
}

/// Why a job did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// An error, and what it means for the job.
    Error {
        /// Whether the job is retried, deferred or failed.
        class: ErrorClass,
        /// The cause. Its chain of sources becomes the reason of the job.
        error: Source,
        /// Whether the backend may still work for the attempt.
        backend_may_run: bool,
    },
    /// The job is not done, on purpose.
    Skip {
        /// The reason, shown to operators.
        reason: String,
    },
}

impl Failure {
    /// Creates a failure that is retried with backoff.
    pub fn retry(error: impl Into<Source>) -> Self {
        Self::Error { class: ErrorClass::Retry, error: error.into(), backend_may_run: false }
    }

    /// Creates a failure that is not retried.
    pub fn permanent(error: impl Into<Source>) -> Self {
        Self::Error { class: ErrorClass::Permanent, error: error.into(), backend_may_run: false }
    }

    /// Creates a skip: the job ends, counted and with its reason.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::Skip { reason: reason.into() }
    }
}

// `Failure` is no `Error` itself, so that `?` takes every `JobError`.
impl<E: JobError> From<E> for Failure {
    fn from(error: E) -> Self {
        let (class, backend_may_run) = (error.class(), error.backend_may_run());
        Self::Error { class, error: Box::new(error), backend_may_run }
    }
}

/// Returns an error with its causes on one line, without repeated causes, cut to
/// [`crate::bounds::MAX_TEXT_BYTES`].
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    crate::bounds::text(text)
}

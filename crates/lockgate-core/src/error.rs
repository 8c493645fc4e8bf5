//! Errors: what an engine could not do, and what a job's failure means for it.

use std::error::Error;
use std::time::Duration;

/// The cause beneath an error.
pub type Source = Box<dyn Error + Send + Sync + 'static>;

/// What an engine could not do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store did not answer, or not in time: the same call may go through later.
    #[error("cannot reach the store while {doing}")]
    Unavailable {
        /// What we were doing.
        doing: String,
        /// Why not.
        source: Source,
    },
    /// The store has no room left: the same call goes through when there is some again.
    #[error("the disk is full while {doing}; free some space, nothing that was accepted is lost")]
    Full {
        /// What we were doing.
        doing: String,
        /// The store's error.
        source: Source,
    },
    /// The store refused the call, or its answer made no sense: the same call will fail again.
    #[error("the store failed while {doing}")]
    Failed {
        /// What we were doing.
        doing: String,
        /// Why.
        source: Source,
    },
    /// There is no such thing.
    #[error("there is no {what} {name}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// What was looked up, as the caller wrote it.
        name: String,
    },
    /// The call makes no sense as things stand now.
    #[error("{reason}")]
    Conflict {
        /// Why the call was refused, and the remedy.
        reason: String,
    },
    /// The store that this process opened is deleted, replaced or damaged. Nothing that the process does can
    /// be kept any more, so it stops its jobs and ends.
    #[error("{reason}")]
    StoreLost {
        /// What happened to the store, and the remedy.
        reason: String,
    },
}

impl EngineError {
    /// Whether the same call may go through later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }
}

/// What an error means for the job that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Worth another attempt.
    Retry,
    /// The backend is overloaded: again later, and no attempt used.
    Overloaded {
        /// When the backend asked to be called again, if it did.
        retry_after: Option<Duration>,
    },
    /// The backend is unreachable for reasons that the job did not cause. The job is deferred and uses no
    /// attempt. Not for a connection that breaks mid-query: a job that crashes its backend would be retried
    /// forever.
    Unavailable,
    /// Another attempt would fail in the same way.
    Permanent,
}

/// An error that a job may return with `?`: it knows its own class.
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
    /// What it means for the job.
    fn class(&self) -> ErrorClass {
        ErrorClass::Retry
    }

    /// Whether the backend may still be at work for the attempt that met it: a time-out, say, or a connection
    /// that broke after the query was sent. The attempt's slots then drain for the kind's `backend_time`
    /// instead of being free at once.
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

/// How a job ended when it did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// An error, with what it means.
    Error {
        /// Whether the job is retried, deferred or failed.
        class: ErrorClass,
        /// The cause. Its chain of sources becomes the reason of the job.
        error: Source,
        /// Whether the backend may still be at work for the attempt.
        backend_may_run: bool,
    },
    /// Not done, on purpose.
    Skip {
        /// Why.
        reason: String,
    },
}

impl Failure {
    /// Another attempt, with backoff.
    pub fn retry(error: impl Into<Source>) -> Self {
        Self::Error { class: ErrorClass::Retry, error: error.into(), backend_may_run: false }
    }

    /// No other attempt.
    pub fn permanent(error: impl Into<Source>) -> Self {
        Self::Error { class: ErrorClass::Permanent, error: error.into(), backend_may_run: false }
    }

    /// Not done, on purpose: counted, with its reason.
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

/// An error with its causes, on one line, no cause repeated, cut to [`crate::bounds::MAX_TEXT_BYTES`].
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

//! What can go wrong with the broker, said as an engine says it.
//!
//! It must never call something passing that will fail again, nor the other way round: callers try again by that.

use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lockgate_core::error::{EngineError, Source};
use tokio::time::timeout;

/// How long a call may take, the publishing one included. After it the outcome is unknown: what was published may be
/// stored, and what is published again is stale then and does no harm.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn unavailable(doing: &str, source: impl Into<Source>) -> EngineError {
    EngineError::Unavailable { doing: doing.to_owned(), source: source.into() }
}

/// The driver's error: one that the server gave to this very call will be given again.
pub(super) fn driver(doing: &str, error: lapin::Error) -> EngineError {
    match soft(&error) {
        Some(AMQPSoftError::ACCESSREFUSED) => EngineError::Failed {
            doing: format!("{doing}; the user of the broker's url lacks a permission"),
            source: error.into(),
        },
        Some(AMQPSoftError::NOTFOUND | AMQPSoftError::PRECONDITIONFAILED) => {
            EngineError::Failed { doing: doing.to_owned(), source: error.into() }
        }
        _ => unavailable(doing, error),
    }
}

/// The server's refusal of one call; it has closed the call's channel with it.
pub(super) fn soft(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => match refusal.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// The answer, when it comes in time.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &str,
    call: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let late =
        |_| Err(unavailable(doing, format!("no answer within {limit:?}; whether it was done is unknown")));
    timeout(limit, call).await.unwrap_or_else(late)
}

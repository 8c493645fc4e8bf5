//! Converts errors of the broker to errors of an engine.
//!
//! Callers retry transient errors, so an error that would come again must not be transient, nor the other way
//! round.

use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::ShortString;
use lockgate_core::error::{EngineError, Source};
use tokio::time::timeout;

/// Deadline of a call, including publishing. After it the outcome is unknown: messages may be stored.
/// Publishing them again is harmless, because the second delivery is stale.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn unavailable(doing: &str, source: impl Into<Source>) -> EngineError {
    EngineError::Unavailable { doing: doing.to_owned(), source: source.into() }
}

/// Converts the driver's error: permanent when the server would refuse the same call again, otherwise
/// transient.
pub(super) fn driver(doing: &str, error: lapin::Error) -> EngineError {
    let lasts = match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => refusal_lasts(refusal.kind(), refusal.get_message()),
        // A message that cannot be sent, or a server with another protocol.
        lapin::ErrorKind::SerialisationError(_) | lapin::ErrorKind::InvalidProtocolVersion(_) => true,
        // Broken or exhausted connections and channels. New ones replace them.
        _ => false,
    };
    if !lasts {
        return unavailable(doing, error);
    }
    let doing = match soft(&error) {
        Some(AMQPSoftError::ACCESSREFUSED) => {
            format!("{doing}; the user of the broker's url lacks a permission")
        }
        _ => doing.to_owned(),
    };
    EngineError::Failed { doing, source: error.into() }
}

/// Returns whether the server would refuse the same call again (rabbitmq.com/docs/channels#error-handling).
/// `message` is the server's reply text.
fn refusal_lasts(kind: &AMQPErrorKind, message: &ShortString) -> bool {
    match kind {
        AMQPErrorKind::Soft(soft) => match soft {
            AMQPSoftError::CONTENTTOOLARGE
            | AMQPSoftError::ACCESSREFUSED
            | AMQPSoftError::PRECONDITIONFAILED => true,
            // The node of the queue may come back.
            AMQPSoftError::NOTFOUND => !message.as_str().contains("down or inaccessible"),
            // No consumer yet, or an exclusive lock of another one.
            AMQPSoftError::NOROUTE | AMQPSoftError::NOCONSUMERS | AMQPSoftError::RESOURCELOCKED => false,
        },
        AMQPErrorKind::Hard(hard) => match hard {
            // Closed by an operator or a shutdown; short of resources; a fault in the server or in the
            // network. A new connection starts clean.
            AMQPHardError::CONNECTIONFORCED
            | AMQPHardError::RESOURCEERROR
            | AMQPHardError::INTERNALERROR
            | AMQPHardError::FRAMEERROR
            | AMQPHardError::CHANNELERROR
            | AMQPHardError::UNEXPECTEDFRAME => false,
            AMQPHardError::INVALIDPATH
            | AMQPHardError::SYNTAXERROR
            | AMQPHardError::COMMANDINVALID
            | AMQPHardError::NOTALLOWED
            | AMQPHardError::NOTIMPLEMENTED => true,
        },
    }
}

/// Returns the server's refusal of one call. The server has closed the channel of the call.
pub(super) fn soft(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => match refusal.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// Returns the result of the call, or an error when it does not complete within the limit.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &str,
    call: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let late = |_| {
        Err(unavailable(doing, format!("no reply within {limit:?}; whether the call took effect is unknown")))
    };
    timeout(limit, call).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    /// Returns whether the error with this reply code is permanent.
    fn lasts(code: u16, message: &str) -> bool {
        let error = AMQPError::from_id(code, message.into()).unwrap();
        !driver("testing", lapin::ErrorKind::ProtocolError(error).into()).is_transient()
    }

    #[test]
    fn transient_and_permanent_reply_codes_are_distinguished() {
        for (code, message) in [
            (312, "NO_ROUTE"),
            (313, "NO_CONSUMERS"),
            (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"),
            (
                404,
                "NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible",
            ),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'"),
            (501, "FRAME_ERROR"),
            (504, "CHANNEL_ERROR - expected 'channel.open'"),
            (505, "UNEXPECTED_FRAME"),
            (506, "RESOURCE_ERROR - memory"),
            (541, "INTERNAL_ERROR"),
        ] {
            assert!(!lasts(code, message), "{code} {message}");
        }
        for (code, message) in [
            (311, "CONTENT_TOO_LARGE"),
            (402, "INVALID_PATH"),
            (403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'"),
            (404, "NOT_FOUND - no queue 'q' in vhost '/'"),
            (406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q'"),
            (502, "SYNTAX_ERROR"),
            (503, "COMMAND_INVALID"),
            (530, "NOT_ALLOWED - vhost v not found"),
            (540, "NOT_IMPLEMENTED"),
        ] {
            assert!(lasts(code, message), "{code} {message}");
        }
    }

    #[test]
    fn lost_connections_are_transient() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        for kind in [
            lapin::ErrorKind::IOError(broken.into()),
            lapin::ErrorKind::MissingHeartbeatError,
            lapin::ErrorKind::ChannelsLimitReached,
            lapin::ErrorKind::InvalidChannel(7),
        ] {
            assert!(driver("testing", kind.into()).is_transient());
        }
    }
}

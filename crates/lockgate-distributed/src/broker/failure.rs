//! What can go wrong with the broker, said as an engine says it.
//!
//! It must never call something passing that will fail again, nor the other way round: callers try again by
//! that.

use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::ShortString;
use lockgate_core::error::{EngineError, Source};
use tokio::time::timeout;

/// How long a call may take, the publishing one included. After it the outcome is unknown: what was published
/// may be stored, and what is published again is stale then and does no harm.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn unavailable(doing: &str, source: impl Into<Source>) -> EngineError {
    EngineError::Unavailable { doing: doing.to_owned(), source: source.into() }
}

/// Returns the driver's error as an engine's: one that the server would give to the same call again is
/// permanent.
pub(super) fn driver(doing: &str, error: lapin::Error) -> EngineError {
    let lasts = match error.kind() {
        lapin::ErrorKind::ProtocolError(refusal) => refusal_lasts(refusal.kind(), refusal.get_message()),
        // A message that cannot be sent, or a server that speaks another protocol.
        lapin::ErrorKind::SerialisationError(_) | lapin::ErrorKind::InvalidProtocolVersion(_) => true,
        // Connections and channels that break or are used up: new ones take their place.
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

/// Whether the server would refuse the same call again (rabbitmq.com/docs/channels#error-handling). `message`
/// is what it said.
fn refusal_lasts(kind: &AMQPErrorKind, message: &ShortString) -> bool {
    match kind {
        AMQPErrorKind::Soft(soft) => match soft {
            AMQPSoftError::CONTENTTOOLARGE
            | AMQPSoftError::ACCESSREFUSED
            | AMQPSoftError::PRECONDITIONFAILED => true,
            // The node that holds the queue may come back.
            AMQPSoftError::NOTFOUND => !message.as_str().contains("down or inaccessible"),
            // Nobody reads it yet, or somebody holds it exclusively.
            AMQPSoftError::NOROUTE | AMQPSoftError::NOCONSUMERS | AMQPSoftError::RESOURCELOCKED => false,
        },
        AMQPErrorKind::Hard(hard) => match hard {
            // Closed by an operator or a shutdown; short of resources; a fault in the server, or on the way
            // to it. A new connection begins anew.
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

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    /// Whether a reply code lasts.
    fn lasts(code: u16, message: &str) -> bool {
        let error = AMQPError::from_id(code, message.into()).unwrap();
        !driver("testing", lapin::ErrorKind::ProtocolError(error).into()).is_transient()
    }

    #[test]
    fn reply_codes_that_pass_are_told_from_those_that_last() {
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
    fn lost_connections_pass() {
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

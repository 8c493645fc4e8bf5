//! Classifies errors of Redis as transient or permanent.

use lockgate_core::error::EngineError;
use redis::{ErrorKind, RedisError};

/// Converts the error of a failed call: `Unavailable` when the same call may succeed later, otherwise
/// `Failed`.
pub(super) fn engine_error(doing: &str, error: RedisError) -> EngineError {
    let passes = match error.code() {
        Some(code) => server_error_passes(code, error.detail().unwrap_or_default()),
        None => matches!(error.kind(), ErrorKind::Io) || error.is_connection_dropped(),
    };
    let doing = doing.to_owned();
    if passes {
        EngineError::Unavailable { doing, source: hinted(error) }
    } else {
        EngineError::Failed { doing, source: Box::new(error) }
    }
}

/// Returns whether a server error passes without a change of the program, its settings or its rights.
fn server_error_passes(code: &str, detail: &str) -> bool {
    match code {
        // The server starts, fails over, or is a replica right now.
        "LOADING" | "MASTERDOWN" | "NOMASTERLINK" | "READONLY" | "INPROG" | "FAILOVER" => true,
        // It runs another client's script, or refuses writes: disk full, too few replicas, out of memory.
        "BUSY" | "UNKILLABLE" | "MISCONF" | "NOREPLICAS" | "OOM" => true,
        // A cluster that is down, or moves its hash slots right now.
        "CLUSTERDOWN" | "TRYAGAIN" | "ASK" | "IOERR" => true,
        // This one has no code of its own.
        "ERR" => detail.starts_with("max number of clients"),
        // Rights, wrong keys, an unusable server: NOAUTH, WRONGPASS, NOPERM, DENIED, MOVED, CROSSSLOT,
        // WRONGTYPE ..
        _ => false,
    }
}

/// Returns whether the server is, or becomes, a copy of another one. Its data may be older afterwards.
pub(super) fn may_lose_data(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN"))
}

/// Adds a hint to an error whose own text has none.
fn hinted(error: RedisError) -> Box<dyn std::error::Error + Send + Sync> {
    match error.code() {
        Some("OOM") => format!("{error}; raise maxmemory of this Redis, or free some of its memory").into(),
        Some("READONLY") => {
            format!("{error}; it is a replica: wait for the failover, or name the primary").into()
        }
        Some("NOREPLICAS") => format!("{error}; min-replicas-to-write of this Redis is not met").into(),
        _ => Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    /// Returns the error that a caller gets for a server's reply.
    fn of(reply: &str) -> EngineError {
        let parsed = parse_redis_value(format!("-{reply}\r\n").as_bytes()).and_then(Value::extract_error);
        engine_error("testing", parsed.unwrap_err())
    }

    /// Error replies of Redis 7 and 8, verbatim.
    const PASSING: [&str; 14] = [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "READONLY You can't write against a read only replica.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "UNKILLABLE Sorry the script already executed write commands against the dataset.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "NOREPLICAS Not enough good replicas to write.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "ASK 3999 127.0.0.1:6381",
        "NOMASTERLINK Can't SYNC while not connected with my master",
        "ERR max number of clients reached",
    ];

    const LASTING: [&str; 11] = [
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOPERM User lockgate has no permissions to run the 'zcard' command",
        "DENIED Redis is running in protected mode because protected mode is enabled",
        "MOVED 3999 127.0.0.1:6381",
        "CROSSSLOT Keys in request don't hash to the same slot",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR unknown command 'EVALSHA'",
        "ERR user_script:12: attempt to index a nil value",
        "NOPROTO unsupported protocol version",
        "EXECABORT Transaction discarded because of previous errors.",
    ];

    #[test]
    fn transient_and_permanent_server_errors_are_distinguished() {
        for reply in PASSING {
            assert!(of(reply).is_transient(), "{reply}: {:?}", of(reply));
        }
        for reply in LASTING {
            assert!(!of(reply).is_transient(), "{reply}: {:?}", of(reply));
        }
    }

    #[test]
    fn lost_connections_are_transient_and_wrong_options_are_permanent() {
        let error = |kind| engine_error("testing", RedisError::from((kind, "testing")));
        assert!(error(ErrorKind::Io).is_transient());
        for kind in
            [ErrorKind::AuthenticationFailed, ErrorKind::InvalidClientConfig, ErrorKind::RESP3NotSupported]
        {
            assert!(!error(kind).is_transient(), "{kind:?}");
        }
    }
}

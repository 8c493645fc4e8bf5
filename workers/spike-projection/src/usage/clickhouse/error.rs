//! Errors of ClickHouse queries, and what they mean for the job.

use lockgate::core::error::Source as Cause;
use lockgate::{ErrorClass, JobError};

use super::code::{Meaning, meaning};
use crate::hour::Hour;
use crate::usage::query_id::NotAQueryId;

/// Reasons why a query failed on ClickHouse.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// The server reported an error.
    #[error("ClickHouse refused the query: {message}{}", hint(*.code))]
    Server {
        /// ClickHouse's error code.
        code: u32,
        /// The server's message, shortened.
        message: String,
    },
    /// A gateway in front of the server rejected the query because there are too many.
    #[error("ClickHouse refused the query: {message}")]
    RateLimited {
        /// The gateway's message.
        message: String,
    },
    /// The response has no ClickHouse error code, so something between client and server sent it.
    #[error(
        "something between here and ClickHouse answered {status}: {message}; check `url` in [spike_projection.clickhouse]"
    )]
    NotClickHouse {
        /// HTTP status.
        status: u16,
        /// The response body, shortened.
        message: String,
    },
    /// The server cannot be reached; no query was sent.
    #[error("cannot reach ClickHouse")]
    Unreachable(#[source] Cause),
    /// Waiting for the known hours, which another job queries, took too long. No query was sent.
    #[error("timed out waiting for the known hours, which another job queries")]
    KnownHoursTimeout,
    /// The response is incomplete or late, or the connection broke.
    #[error("no complete response from ClickHouse")]
    NoResponse {
        /// Whether the server was seen running the query and has confirmed its end.
        ended: bool,
        /// The transport error.
        #[source]
        source: Cause,
    },
    /// The response does not match the query.
    #[error("invalid response from ClickHouse: {0}")]
    InvalidResponse(String),
    /// The response is larger than allowed.
    #[error(
        "the response of ClickHouse has more than {most} bytes; raise `max_answer_bytes` in [spike_projection.clickhouse]"
    )]
    TooLarge {
        /// Largest accepted response, in bytes.
        most: usize,
    },
    /// The id is not a number, but ClickHouse stores numeric ids.
    #[error("{what} {id:?} is not a whole number; the usage source clickhouse needs numeric ids")]
    NotANumber {
        /// What the id identifies.
        what: &'static str,
        /// The value that is not a whole number.
        id: String,
    },
    /// A `DateTime` cannot hold the hour.
    #[error(
        "{0} is out of range; ClickHouse's DateTime holds hours from 1970-01-01T00:00Z to 2106-02-07T06:00Z"
    )]
    HourOutOfRange(Hour),
    /// The text is not a query id.
    #[error(transparent)]
    Id(#[from] NotAQueryId),
    /// The query was killed, but the server still lists it.
    #[error("the query {id} was killed but is still running")]
    StillRunning {
        /// Id of the query.
        id: String,
    },
}

impl ClickHouseError {
    /// Returns the meaning of the server's error code, if it is an error of the server.
    #[must_use]
    pub fn meaning(&self) -> Option<Meaning> {
        match self {
            Self::Server { code, .. } => Some(meaning(*code)),
            _ => None,
        }
    }
}

impl JobError for ClickHouseError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Server { code, .. } => meaning(*code).class(),
            Self::RateLimited { .. } => ErrorClass::Overloaded { retry_after: None },
            // An error of a gateway may pass. A 404 or a redirect means a wrong address.
            Self::NotClickHouse { status, .. } if *status < 500 && ![408, 429].contains(status) => {
                ErrorClass::Permanent
            }
            Self::TooLarge { .. } | Self::NotANumber { .. } | Self::HourOutOfRange(_) | Self::Id(_) => {
                ErrorClass::Permanent
            }
            // No query was sent, so none can have brought the server down.
            Self::Unreachable(_) | Self::KnownHoursTimeout => ErrorClass::Unavailable,
            Self::NotClickHouse { .. }
            | Self::NoResponse { .. }
            | Self::InvalidResponse(_)
            | Self::StillRunning { .. } => ErrorClass::Retry,
        }
    }

    fn backend_may_run(&self) -> bool {
        match self {
            Self::Server { code, .. } => meaning(*code).may_run(),
            Self::NoResponse { ended, .. } => !ended,
            // A gateway timeout does not tell whether the query behind it has ended.
            Self::NotClickHouse { status, .. } => [408, 502, 504].contains(status),
            Self::StillRunning { .. } => true,
            // The server buffers the response until the query has ended.
            _ => false,
        }
    }
}

/// Returns a hint what to do about the error, if there is one.
fn hint(code: u32) -> &'static str {
    match code {
        60 => "; create the table with `usage import --to clickhouse`, or name another with `table`",
        81 => "; create the database, or name another in `url`",
        164 => "; the user needs the profile setting readonly = 2",
        192 | 193 | 516 => "; check user and password in `url`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> ClickHouseError {
        ClickHouseError::NotClickHouse { status, message: String::new() }
    }

    #[test]
    fn wrong_address_is_permanent_and_a_failing_gateway_is_not() {
        for status in [301, 400, 401, 403, 404] {
            assert_eq!(answered(status).class(), ErrorClass::Permanent, "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(answered(status).class(), ErrorClass::Retry, "{status}");
        }
        assert!(answered(504).backend_may_run() && !answered(503).backend_may_run());
    }

    #[test]
    fn slot_is_kept_for_a_query_that_may_still_run() {
        let broke = |ended| ClickHouseError::NoResponse { ended, source: "cut off".into() };
        assert!(broke(false).backend_may_run() && !broke(true).backend_may_run());
        let server = |code| ClickHouseError::Server { code, message: String::new() };
        assert!(server(216).backend_may_run(), "the query of the first delivery runs");
        assert!(![202, 159, 394, 241, 60].into_iter().any(|code| server(code).backend_may_run()));
    }

    #[test]
    fn error_names_a_hint() {
        let text = ClickHouseError::Server { code: 60, message: "no table".to_owned() }.to_string();
        assert_eq!(
            text,
            "ClickHouse refused the query: no table; create the table with `usage import --to clickhouse`, or name another with \
             `table`"
        );
    }
}

//! Why ClickHouse has no answer for us, and what that means for the job.

use lockgate::core::error::Source as Cause;
use lockgate::{ErrorClass, JobError};

use super::code::{Meaning, meaning};
use crate::hour::Hour;
use crate::usage::query_id::NotAQueryId;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// The server's own error.
    #[error("ClickHouse refused the query: {message}{}", hint(*.code))]
    Server {
        /// Its code.
        code: u32,
        /// Its own words, shortened.
        message: String,
    },
    /// Something before the server says that there are too many queries.
    #[error("ClickHouse refused the query: {message}")]
    RateLimited {
        /// Its own words.
        message: String,
    },
    /// An answer without a code of ClickHouse: something in between gave it.
    #[error(
        "something between here and ClickHouse answered {status}: {message}; check `url` in [spike_projection.clickhouse]"
    )]
    NotClickHouse {
        /// The status.
        status: u16,
        /// Its words, shortened.
        message: String,
    },
    /// The server cannot be reached: no query was sent.
    #[error("cannot reach ClickHouse")]
    Unreachable(#[source] Cause),
    /// Nobody was asked: another query, whose answer this one needs, took too long.
    #[error("the known hours, which another job has asked for, did not come in time")]
    Waited,
    /// No whole answer came in time, or the connection broke.
    #[error("no whole answer from ClickHouse")]
    NoAnswer {
        /// Whether the server was seen at work for it and confirmed that it has ended.
        ended: bool,
        /// How it broke.
        #[source]
        source: Cause,
    },
    /// The answer is not what was asked for.
    #[error("ClickHouse's answer is broken: {0}")]
    Broken(String),
    /// The answer is larger than it may be.
    #[error(
        "ClickHouse's answer has more than {most} bytes; raise `max_answer_bytes` in [spike_projection.clickhouse]"
    )]
    TooLarge {
        /// The most it may have.
        most: usize,
    },
    /// ClickHouse counts by numbers.
    #[error("{what} {id:?} is no whole number; the usage source clickhouse needs ids as ClickHouse has them")]
    NotANumber {
        /// Whose id it is.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// An hour that a `DateTime` cannot hold.
    #[error(
        "{0} is out of range; ClickHouse's DateTime holds hours from 1970-01-01T00:00Z to 2106-02-07T06:00Z"
    )]
    HourOutOfRange(Hour),
    /// An id that no query of ours has.
    #[error(transparent)]
    Id(#[from] NotAQueryId),
    /// A query was ended, and the server still shows it.
    #[error("the query {id} was told to end and still runs")]
    StillRunning {
        /// Its id.
        id: String,
    },
}

impl ClickHouseError {
    /// What the server means, when it is the server's error.
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
            // A gateway's 5xx passes; a 404 or a redirect is a wrong address.
            Self::NotClickHouse { status, .. } if *status < 500 && ![408, 429].contains(status) => {
                ErrorClass::Permanent
            }
            Self::TooLarge { .. } | Self::NotANumber { .. } | Self::HourOutOfRange(_) | Self::Id(_) => {
                ErrorClass::Permanent
            }
            // No query was sent, so none can have brought the server down.
            Self::Unreachable(_) | Self::Waited => ErrorClass::Unavailable,
            Self::NotClickHouse { .. }
            | Self::NoAnswer { .. }
            | Self::Broken(_)
            | Self::StillRunning { .. } => ErrorClass::Retry,
        }
    }

    fn backend_may_run(&self) -> bool {
        match self {
            Self::Server { code, .. } => meaning(*code).may_run(),
            Self::NoAnswer { ended, .. } => !ended,
            // A gateway that gave up says nothing of the query behind it.
            Self::NotClickHouse { status, .. } => [408, 502, 504].contains(status),
            Self::StillRunning { .. } => true,
            // An answer comes when the query is over: the server buffers it to its end.
            _ => false,
        }
    }
}

/// The way out, where there is one.
fn hint(code: u32) -> &'static str {
    match code {
        60 => "; `usage import --to clickhouse` makes the table, or name another with `table`",
        81 => "; make the database, or name another in `url`",
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
    fn a_wrong_address_is_permanent_and_a_gateway_in_trouble_is_not() {
        for status in [301, 400, 401, 403, 404] {
            assert_eq!(answered(status).class(), ErrorClass::Permanent, "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(answered(status).class(), ErrorClass::Retry, "{status}");
        }
        assert!(answered(504).backend_may_run() && !answered(503).backend_may_run());
    }

    #[test]
    fn a_slot_is_kept_for_a_query_that_may_run() {
        let broke = |ended| ClickHouseError::NoAnswer { ended, source: "cut off".into() };
        assert!(broke(false).backend_may_run() && !broke(true).backend_may_run());
        let server = |code| ClickHouseError::Server { code, message: String::new() };
        assert!(server(216).backend_may_run(), "the first delivery runs");
        assert!(![202, 159, 394, 241, 60].into_iter().any(|code| server(code).backend_may_run()));
    }

    #[test]
    fn the_way_out_is_named() {
        let text = ClickHouseError::Server { code: 60, message: "no table".to_owned() }.to_string();
        assert_eq!(
            text,
            "ClickHouse refused the query: no table; `usage import --to clickhouse` makes the table, or name another with \
             `table`"
        );
    }
}

//! ClickHouse's numeric error codes and what they mean for a job.
//!
//! The HTTP status is ignored: ClickHouse sends most errors with 500, and an error in the middle of a result
//! with 200.

use lockgate::ErrorClass;

/// The meaning of a server error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Too many queries run. The job is deferred and consumes no attempt.
    Overloaded,
    /// A query with this id is running: this is a second delivery, and it must not run alongside the first.
    AlreadyRunning,
    /// The query exceeded its time limit.
    OutOfTime,
    /// The query was killed.
    Killed,
    /// The query needs more memory than is available at the moment.
    OutOfMemory,
    /// The query reads or returns more than the user's profile allows. A smaller query may succeed.
    TooMuch,
    /// The query, the table or the rights are wrong, and the next attempt would fail the same way.
    Permanent,
    /// The code is not known here.
    Unknown,
}

/// Returns the meaning of this error code.
#[must_use]
pub fn meaning(code: u32) -> Meaning {
    match code {
        202 => Meaning::Overloaded,
        216 => Meaning::AlreadyRunning,
        159 => Meaning::OutOfTime,
        394 => Meaning::Killed,
        241 => Meaning::OutOfMemory,
        // Not a number, types, functions, columns, tables, syntax, formats, databases, settings.
        6 | 46 | 47 | 53 | 60 | 62 | 73 | 81 | 115 => Meaning::Permanent,
        // More rows, bytes or set entries than the user's profile allows.
        158 | 191 | 307 | 396 => Meaning::TooMuch,
        // Rights: read-only, unknown user, wrong password, no access to the database, not granted, not
        // authenticated.
        164 | 192 | 193 | 291 | 497 | 516 => Meaning::Permanent,
        _ => Meaning::Unknown,
    }
}

impl Meaning {
    /// Returns the error class for the job.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        match self {
            Self::Overloaded => ErrorClass::Overloaded { retry_after: None },
            // The second delivery is deferred; by then the first one has ended.
            Self::AlreadyRunning => ErrorClass::Unavailable,
            Self::OutOfTime | Self::Killed | Self::OutOfMemory | Self::Unknown => ErrorClass::Retry,
            Self::TooMuch | Self::Permanent => ErrorClass::Permanent,
        }
    }

    /// Returns whether the server may be running a query with this id after the error.
    #[must_use]
    pub fn may_run(self) -> bool {
        self == Self::AlreadyRunning
    }
}

/// Returns the error code of a response: from the header if present, else from the start of the body.
#[must_use]
pub fn code_of(header: Option<&str>, body: &str) -> Option<u32> {
    let header = header.and_then(|text| text.trim().parse().ok()).filter(|code| *code != 0);
    header.or_else(|| leading_code(body))
}

/// Returns the code of an error that follows the beginning of a result.
#[must_use]
pub fn code_in_the_middle(body: &str) -> Option<u32> {
    leading_code(body.get(body.rfind("Code: ")?..)?)
}

/// Parses `Code: 202, e.displayText() = ..`, or `Code: 202. DB::Exception: ..` of newer servers.
fn leading_code(body: &str) -> Option<u32> {
    let (code, rest) = body.trim_start().strip_prefix("Code: ")?.split_once([',', '.'])?;
    rest.contains("DB::").then(|| code.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: &str = "Code: 202, e.displayText() = DB::Exception: Too many simultaneous queries. Maximum: 100, \
                        e.what() = DB::Exception\n";

    #[test]
    fn every_code_has_its_class() {
        let overloaded = ErrorClass::Overloaded { retry_after: None };
        let classes = [
            (overloaded, &[202][..]),
            (ErrorClass::Unavailable, &[216]),
            (ErrorClass::Retry, &[159, 394, 241, 0, 210, 999, u32::MAX]),
            (
                ErrorClass::Permanent,
                &[46, 47, 60, 62, 53, 6, 73, 115, 81, 164, 192, 193, 291, 497, 516, 158, 191, 307, 396],
            ),
        ];
        for (class, codes) in classes {
            for code in codes {
                assert_eq!(meaning(*code).class(), class, "{code}");
            }
        }
    }

    #[test]
    fn only_a_second_delivery_leaves_a_query_running() {
        for code in 0..1_000 {
            assert_eq!(meaning(code).may_run(), code == 216, "{code}");
        }
    }

    #[test]
    fn header_takes_precedence_over_the_body() {
        assert_eq!(code_of(Some("159"), BUSY), Some(159));
        assert_eq!(code_of(Some(" 241 "), ""), Some(241));
        assert_eq!(code_of(Some("none"), BUSY), Some(202), "a header that is not a number is ignored");
        assert_eq!(code_of(Some("0"), BUSY), Some(202), "zero means no error");
    }

    #[test]
    fn code_is_parsed_from_the_bodies_of_old_and_new_servers() {
        assert_eq!(code_of(None, BUSY), Some(202));
        let new = "Code: 60. DB::Exception: Table default.x does not exist. (UNKNOWN_TABLE) (version 24.8.1)";
        assert_eq!(code_of(None, new), Some(60));
        for none in
            ["", "Ok.\n", "<html>Code: 202</html>", "Code: many, DB::", "Code: 7", "error Code: 202, DB::"]
        {
            assert_eq!(code_of(None, none), None, "{none}");
        }
    }

    #[test]
    fn error_after_the_rows_is_found() {
        let text = format!("{{\"data\": [[1,2],[3,4]{BUSY}");
        assert_eq!((code_of(None, &text), code_in_the_middle(&text)), (None, Some(202)));
        assert_eq!(code_in_the_middle("{\"data\": []}"), None);
    }
}

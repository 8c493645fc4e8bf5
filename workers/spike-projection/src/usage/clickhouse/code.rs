//! What ClickHouse's numeric codes mean for a job. Pure.
//!
//! It must never look at the HTTP status: ClickHouse answers most of these with 500, and an error in the middle of a
//! result with 200.

use lockgate::ErrorClass;

/// What an error of the server means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// As many queries run as may: again later, and no attempt used.
    Overloaded,
    /// A query of this id runs already: this is a second delivery, and it must not run beside the first.
    AlreadyRunning,
    /// The query was ended by its time limit.
    OutOfTime,
    /// The query was ended by somebody.
    Killed,
    /// The query needs more memory than it may have at the moment.
    OutOfMemory,
    /// The query reads or answers more than the user's profile allows: a smaller one may go through.
    TooMuch,
    /// The query, the table or the rights are wrong, and will be so at the next attempt.
    Permanent,
    /// A code of which we know nothing.
    Unknown,
}

/// What this code means.
#[must_use]
pub fn meaning(code: u32) -> Meaning {
    match code {
        202 => Meaning::Overloaded,
        216 => Meaning::AlreadyRunning,
        159 => Meaning::OutOfTime,
        394 => Meaning::Killed,
        241 => Meaning::OutOfMemory,
        // A text that is no number, types, functions, columns, tables, syntax, formats, databases, settings.
        6 | 46 | 47 | 53 | 60 | 62 | 73 | 81 | 115 => Meaning::Permanent,
        // More rows, bytes or entries of a set than the user's profile allows.
        158 | 191 | 307 | 396 => Meaning::TooMuch,
        // Rights: read-only, unknown user, wrong password, no access to the database, not granted, not authenticated.
        164 | 192 | 193 | 291 | 497 | 516 => Meaning::Permanent,
        _ => Meaning::Unknown,
    }
}

impl Meaning {
    /// What it means for the job.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        match self {
            Self::Overloaded => ErrorClass::Overloaded { retry_after: None },
            // A second delivery has done nothing wrong: it comes back, and finds the first one over.
            Self::AlreadyRunning => ErrorClass::Unavailable,
            Self::OutOfTime | Self::Killed | Self::OutOfMemory | Self::Unknown => ErrorClass::Retry,
            Self::TooMuch | Self::Permanent => ErrorClass::Permanent,
        }
    }

    /// Whether the server may be at work for the query's id after this answer.
    #[must_use]
    pub fn may_run(self) -> bool {
        self == Self::AlreadyRunning
    }
}

/// The code of an answer: from the header when there is one, else from the beginning of its body.
#[must_use]
pub fn code_of(header: Option<&str>, body: &str) -> Option<u32> {
    let header = header.and_then(|text| text.trim().parse().ok()).filter(|code| *code != 0);
    header.or_else(|| leading_code(body))
}

/// The code of an error that came after the beginning of a result.
#[must_use]
pub fn code_in_the_middle(body: &str) -> Option<u32> {
    leading_code(body.get(body.rfind("Code: ")?..)?)
}

/// From `Code: 202, e.displayText() = ..`; of newer servers `Code: 202. DB::Exception: ..`.
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
    fn only_for_a_second_delivery_is_the_server_still_at_work() {
        for code in 0..1_000 {
            assert_eq!(meaning(code).may_run(), code == 216, "{code}");
        }
    }

    #[test]
    fn the_header_is_believed_before_the_body() {
        assert_eq!(code_of(Some("159"), BUSY), Some(159));
        assert_eq!(code_of(Some(" 241 "), ""), Some(241));
        assert_eq!(code_of(Some("none"), BUSY), Some(202), "a header that is no number says nothing");
        assert_eq!(code_of(Some("0"), BUSY), Some(202), "zero is no error");
    }

    #[test]
    fn a_body_tells_the_code_in_the_words_of_old_and_new_servers() {
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
    fn an_error_after_the_rows_is_found_behind_them() {
        let text = format!("{{\"data\": [[1,2],[3,4]{BUSY}");
        assert_eq!((code_of(None, &text), code_in_the_middle(&text)), (None, Some(202)));
        assert_eq!(code_in_the_middle("{\"data\": []}"), None);
    }
}

//! Query ids. An id identifies the execution that sent the query. It contains only letters, digits and
//! hyphens, so it needs no escaping in SQL or in a URL.

use std::fmt;

use lockgate::{Context, Fence, JobId};

/// Length of a job id.
const UUID: usize = 36;
/// Largest length of a query id.
const LONGEST: usize = 120;

/// The id of a query on its backend: `<job>-<attempt>-<fence>`. So no two executions share an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryId(String);

/// The text is not a query id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a query id; use at most {LONGEST} letters, digits and hyphens")]
pub struct NotAQueryId(pub String);

impl QueryId {
    /// Returns the query id of this execution.
    #[must_use]
    pub fn of(job: JobId, attempt: u32, fence: Fence) -> Self {
        Self(format!("{job}-{attempt}-{}", fence.0))
    }

    /// Returns the query id of the execution in this context.
    #[must_use]
    pub fn in_context(context: &Context) -> Self {
        Self::of(context.job(), context.attempt(), context.fence())
    }

    /// Returns the prefix of all query ids of a job.
    #[must_use]
    pub fn prefix_of(job: JobId) -> String {
        format!("{job}-")
    }

    /// Returns the id of a further query of the same execution. It begins with this id.
    #[must_use]
    pub fn another(&self, name: &'static str) -> Self {
        Self(format!("{self}-{name}"))
    }

    /// Returns the execution that sent the query, or `None` if the id has another format.
    #[must_use]
    pub fn execution(&self) -> Option<(JobId, Fence)> {
        let (job, rest) = self.0.split_at_checked(UUID)?;
        let mut parts = rest.strip_prefix('-')?.split('-');
        let (_attempt, fence) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse().ok()?);
        Some((JobId(job.parse().ok()?), Fence(fence)))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for QueryId {
    type Err = NotAQueryId;

    fn from_str(text: &str) -> Result<Self, NotAQueryId> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let good = (1..=LONGEST).contains(&text.len()) && text.chars().all(plain);
        if good { Ok(Self(text.to_owned())) } else { Err(NotAQueryId(text.to_owned())) }
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn id_contains_job_attempt_and_fence_and_parses_back() {
        let job = JobId(Uuid::from_u128(7));
        let id = QueryId::of(job, 2, Fence(90));
        assert_eq!(id.as_str(), "00000000-0000-0000-0000-000000000007-2-90");
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert!(id.as_str().starts_with(&QueryId::prefix_of(job)));
        assert_eq!(id.execution(), Some((job, Fence(90))));
        assert_eq!(id.another("hours").execution(), Some((job, Fence(90))));
        assert_eq!(id.another("hours").to_string(), format!("{id}-hours"));
        let longest = QueryId::of(JobId(Uuid::max()), u32::MAX, Fence(u64::MAX)).another("hours");
        assert!(longest.as_str().parse::<QueryId>().is_ok());
    }

    #[test]
    fn id_of_another_systems_query_has_no_execution() {
        let job = JobId(Uuid::from_u128(7));
        for other in
            ["a-1-2".to_owned(), job.to_string(), format!("{job}-1"), format!("{job}-x-2"), "x".repeat(60)]
        {
            assert_eq!(other.parse::<QueryId>().unwrap().execution(), None, "{other}");
        }
    }

    #[test]
    fn text_with_a_meaning_in_sql_is_rejected() {
        for bad in ["", "a'b", "a%", "a_b", "a b", "ä", "a\\", "x;y", &"x".repeat(121)] {
            assert_eq!(bad.parse::<QueryId>(), Err(NotAQueryId(bad.to_owned())));
        }
    }
}

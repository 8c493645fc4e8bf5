//! The usage of several organizations in one query, which costs the server less than one query for each.
//!
//! If the shared query is too large, each organization is queried alone, so that one organization cannot fail
//! the others.

use std::collections::BTreeMap;
use std::ops::Range;

use super::answer::UsageColumns;
use super::code::Meaning;
use super::{ClickHouseError, ClickHouseSource, answer, of_organizations};
use crate::hour::Hour;
use crate::projection::Usage;
use crate::usage::QueryId;

/// The result of each organization of a group.
type Each = BTreeMap<u64, Result<Usage, ClickHouseError>>;

impl ClickHouseSource {
    /// Returns the usage of these organizations. Sends one query, or one for each organization if the shared
    /// query is too large. An organization without rows has no usage.
    ///
    /// # Errors
    /// When the server fails in a way that would also fail single queries.
    pub(super) async fn each_of(
        &self,
        organizations: &[u64],
        hours: &Range<Hour>,
        query: &QueryId,
    ) -> Result<Each, ClickHouseError> {
        match self.usage_of(organizations, hours, query).await {
            Ok(usage) => Ok(usage.into_iter().map(|(id, usage)| (id, Ok(usage))).collect()),
            Err(error) if organizations.len() > 1 && exceeds_one_query(&error) => {
                tracing::info!(%error, organizations = organizations.len(), "shared query too large, querying one by one");
                let mut all = Each::new();
                for id in organizations {
                    all.insert(*id, self.usage_of_one(*id, hours, query).await);
                }
                Ok(all)
            }
            Err(error) => Err(error),
        }
    }

    async fn usage_of_one(
        &self,
        id: u64,
        hours: &Range<Hour>,
        query: &QueryId,
    ) -> Result<Usage, ClickHouseError> {
        Ok(self.usage_of(&[id], hours, query).await?.remove(&id).unwrap_or_default())
    }

    /// Returns the usage of all these organizations from one query.
    pub(super) async fn usage_of(
        &self,
        organizations: &[u64],
        hours: &Range<Hour>,
        query: &QueryId,
    ) -> Result<BTreeMap<u64, Usage>, ClickHouseError> {
        let known = self.known_hours(hours, query).await?;
        let statement = of_organizations(&self.table, organizations, hours);
        let rows = answer::rows::<UsageColumns>(&self.read(&statement, query).await?)?;
        let mut all = answer::usage(&rows, organizations, hours)?;
        for usage in all.values_mut() {
            usage.known.clone_from(&known);
        }
        Ok(all)
    }
}

/// Returns whether a smaller query may succeed where this one failed. Errors that may leave the query running
/// are excluded: a second query alongside it would have no slot.
fn exceeds_one_query(error: &ClickHouseError) -> bool {
    match error {
        ClickHouseError::TooLarge { .. } | ClickHouseError::InvalidResponse(_) => true,
        ClickHouseError::Server { code, .. } => {
            matches!(super::meaning(*code), Meaning::TooMuch | Meaning::OutOfMemory | Meaning::OutOfTime)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_query_that_is_too_large_is_split() {
        let server = |code| ClickHouseError::Server { code, message: String::new() };
        for code in [241, 159, 158, 191, 307, 396] {
            assert!(exceeds_one_query(&server(code)), "{code}");
        }
        assert!(exceeds_one_query(&ClickHouseError::TooLarge { most: 1 }));
        for code in [202, 216, 394, 60, 62, 164, 999] {
            assert!(!exceeds_one_query(&server(code)), "{code}");
        }
        let broke = ClickHouseError::NoResponse { ended: false, source: "cut off".into() };
        assert!(!exceeds_one_query(&broke), "the query may still run");
    }
}

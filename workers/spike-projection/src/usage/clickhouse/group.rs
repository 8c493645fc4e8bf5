//! The usage of several organizations in one query, which is cheaper for the server than a query for each.
//!
//! It must never let one organization's answer decide over another's: a group that is too much for one query is asked
//! for again, one by one.

use std::collections::BTreeMap;
use std::ops::Range;

use super::answer::UsageColumns;
use super::code::Meaning;
use super::{ClickHouseError, ClickHouseSource, answer, of_organizations};
use crate::hour::Hour;
use crate::projection::Usage;
use crate::usage::QueryId;

/// What each organization of a group came to.
type Each = BTreeMap<u64, Result<Usage, ClickHouseError>>;

impl ClickHouseSource {
    /// What these organizations used, in one query, or one after the other when one is too much. An organization without a
    /// row has used nothing.
    ///
    /// # Errors
    /// When the server refuses or does not answer, in a way that single queries would meet as well.
    pub(super) async fn each_of(
        &self,
        organizations: &[u64],
        hours: &Range<Hour>,
        query: &QueryId,
    ) -> Result<Each, ClickHouseError> {
        match self.together(organizations, hours, query).await {
            Ok(usage) => Ok(usage.into_iter().map(|(id, usage)| (id, Ok(usage))).collect()),
            Err(error) if organizations.len() > 1 && is_of_the_group(&error) => {
                tracing::info!(%error, organizations = organizations.len(), "a group is asked for one by one");
                let mut all = Each::new();
                for id in organizations {
                    all.insert(*id, self.alone(*id, hours, query).await);
                }
                Ok(all)
            }
            Err(error) => Err(error),
        }
    }

    async fn alone(&self, id: u64, hours: &Range<Hour>, query: &QueryId) -> Result<Usage, ClickHouseError> {
        Ok(self.together(&[id], hours, query).await?.remove(&id).unwrap_or_default())
    }

    /// What these organizations used, in one query: all of them, or an error.
    pub(super) async fn together(
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

/// Whether a smaller query may go through where this one did not. What is left running does not count: a second query
/// beside it would be one without a slot.
fn is_of_the_group(error: &ClickHouseError) -> bool {
    match error {
        ClickHouseError::TooLarge { .. } | ClickHouseError::Broken(_) => true,
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
    fn only_what_is_too_much_for_one_query_is_split() {
        let server = |code| ClickHouseError::Server { code, message: String::new() };
        for code in [241, 159, 158, 191, 307, 396] {
            assert!(is_of_the_group(&server(code)), "{code}");
        }
        assert!(is_of_the_group(&ClickHouseError::TooLarge { most: 1 }));
        for code in [202, 216, 394, 60, 62, 164, 999] {
            assert!(!is_of_the_group(&server(code)), "{code}");
        }
        let broke = ClickHouseError::NoAnswer { ended: false, source: "cut off".into() };
        assert!(!is_of_the_group(&broke), "it may still run");
    }
}

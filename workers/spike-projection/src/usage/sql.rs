//! Usage from the table `hourly_usage` of the engine's database, which `usage import` fills.

use std::ops::Range;

use async_trait::async_trait;

use super::{QueryId, UsageError, UsageSource};
use crate::hour::Hour;
use crate::projection::Usage;
use crate::store::HourlyUsage;

/// The source `sql`.
#[derive(Debug, Clone)]
pub struct SqlSource(pub HourlyUsage);

#[async_trait]
impl UsageSource for SqlSource {
    async fn hourly(
        &self,
        organization_id: &str,
        hours: Range<Hour>,
        _: &QueryId,
    ) -> Result<Usage, UsageError> {
        Ok(self.0.of(organization_id, hours).await?)
    }
}

//! Registers the job, the tables, the config section and the commands of this program with Lockgate.

use std::sync::Arc;

use async_trait::async_trait;
use lockgate::config::{Loaded, Section};
use lockgate::core::{KindOptions, LeaseId};
use lockgate::{App, Job, JobId, Kind, Lockgate, PoolName, Tables, Timestamp};
use lockgate_cli::{About, BackendCount, BackendQuery, Command, Manifest, ManifestRequest, Program};

use crate::commands;
use crate::config::{SECTION, SourceName, SpikeSettings};
use crate::demo::Demo;
use crate::job::{LedgerClock, ProjectSpikes};
use crate::manifest::OrganizationManifest;
use crate::store::{Store, TABLES};
use crate::usage::clickhouse::{LoggedPeak, Queries};
use crate::usage::{ClickHouseSource, HttpSource, SqlSource, UsageSource};

/// Largest expected difference, in seconds, between the clocks of the slot store and of ClickHouse. An audit
/// widens its window by this much so that it sees all queries.
const CLOCK_DIFFERENCE: i64 = 60;

/// The program `spike-projection`.
pub struct SpikeProjection;

#[async_trait]
impl Program for SpikeProjection {
    fn about(&self) -> About {
        About {
            name: "spike-projection",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Project usage spikes for every organization, within the slots of a pool",
            examples: &[
                ("demo", "show the whole story in a minute, on real usage"),
                ("enqueue --follow", "plan the run of this hour and watch it"),
                ("work", "execute it, in as many processes as you like"),
            ],
        }
    }

    fn sections(&self) -> Vec<Section> {
        vec![Section::of::<SpikeSettings>(SECTION)]
    }

    fn tables(&self) -> &'static [Tables] {
        &[TABLES]
    }

    fn pools(&self, loaded: &Loaded) -> Vec<PoolName> {
        let settings: SpikeSettings = loaded.section(SECTION).unwrap_or_default();
        PoolName::new(settings.pool).into_iter().collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        Kind::new(ProjectSpikes::KIND).into_iter().collect()
    }

    fn kind_options(&self, loaded: &Loaded) -> anyhow::Result<Vec<(Kind, KindOptions)>> {
        let jobs = jobs(&loaded.section(SECTION)?)?;
        Ok(jobs.registry.kinds().map(|(kind, options)| (kind.clone(), options.clone())).collect())
    }

    async fn app(&self, lockgate: &Lockgate) -> anyhow::Result<App> {
        app(lockgate)
    }

    async fn manifest(
        &self,
        lockgate: &Lockgate,
        request: ManifestRequest,
    ) -> anyhow::Result<Box<dyn Manifest>> {
        let ManifestRequest { as_of, keys } = request;
        let manifest = match keys {
            Some(input) => OrganizationManifest::named(&input, as_of, kind()?)?,
            None => OrganizationManifest::active(store(lockgate).organizations, as_of, kind()?),
        };
        Ok(Box::new(manifest))
    }

    async fn backend_count(
        &self,
        lockgate: &Lockgate,
        query: &BackendQuery<'_>,
    ) -> anyhow::Result<Option<BackendCount>> {
        let settings: SpikeSettings = lockgate.section(SECTION)?;
        let logs = settings.source == SourceName::ClickHouse && settings.clickhouse.log_queries;
        if !logs || query.pool.as_str() != settings.pool {
            return Ok(None);
        }
        let second = |at: Timestamp| at.0.div_euclid(1_000);
        let seconds =
            second(query.window.from) - CLOCK_DIFFERENCE..=second(query.window.to) + CLOCK_DIFFERENCE;
        let queries = Queries::new(&settings.clickhouse)?;
        let is_own = |job: JobId, fence| query.executions.contains(&(LeaseId::from(job), fence));
        let LoggedPeak { peak, refused } = queries.logged(seconds, is_own).await?;
        Ok(Some(BackendCount { source: String::from("ClickHouse's query log"), peak, refused }))
    }

    fn commands(&self) -> Vec<Box<dyn Command>> {
        vec![
            Box::new(Demo),
            Box::new(commands::Orgs),
            Box::new(commands::Usage),
            Box::new(commands::Projections),
            Box::new(commands::FakeBackend),
        ]
    }
}

/// Returns the job with its shared state.
///
/// # Errors
/// When the config section is invalid, or the source of usage cannot be created.
pub fn app(lockgate: &Lockgate) -> anyhow::Result<App> {
    let settings: SpikeSettings = lockgate.section(SECTION)?;
    let store = store(lockgate);
    let source: Arc<dyn UsageSource> = match settings.source {
        SourceName::Sql => Arc::new(SqlSource(store.usage)),
        SourceName::Http => Arc::new(HttpSource::new(&settings.http)?),
        SourceName::ClickHouse => Arc::new(ClickHouseSource::new(&settings.clickhouse)?),
    };
    let queries = match settings.source {
        SourceName::ClickHouse => Some(Queries::new(&settings.clickhouse)?),
        _ => None,
    };
    Ok(jobs(&settings)?
        .state(store.organizations)
        .state(store.projections)
        .state(settings.rules())
        .state(LedgerClock(lockgate.database().clone()))
        .state(source)
        .state(queries))
}

/// Returns the job with the options that the settings imply, without its shared state.
fn jobs(settings: &SpikeSettings) -> anyhow::Result<App> {
    let pool = PoolName::new(settings.pool.as_str())?;
    let (backend_time, group) = (settings.backend_time(), settings.group());
    Ok(App::new().job::<ProjectSpikes>()?.adjust(ProjectSpikes::KIND, |options| {
        options.backend_time = backend_time;
        options.group = group;
        options.needs.iter_mut().for_each(|need| need.pool = pool.clone());
    }))
}

/// Returns the tables of this worker.
#[must_use]
pub fn store(lockgate: &Lockgate) -> Store {
    Store::new(lockgate.database())
}

/// Returns the kind of the job.
///
/// # Errors
/// None in practice: the kind is a constant with a valid name.
pub fn kind() -> anyhow::Result<Kind> {
    Ok(Kind::new(ProjectSpikes::KIND)?)
}

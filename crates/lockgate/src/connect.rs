//! From settings to an engine: the only place that knows which engines there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockgate_core::pool::{Configured, PoolCommand, PoolStatus};
use lockgate_core::slots::PoolQuery;
use lockgate_core::{Engine, EngineError, PoolName, Timestamp};
use lockgate_limits::{Quota, RampState, TokenStore};
use lockgate_runtime::{PoolPolicy, RateOptions, Worker, WorkerOptions};

use crate::app::App;
use crate::config::{ConfigErrors, Loaded, Typed};
use crate::database::{Database, Tables};
use crate::settings::{EngineName, PoolSettings, Settings, quotas, ramp};

/// A connected engine with the settings that it was made from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lockgate {
    /// The three ports of the engine that the config chooses.
    pub engine: Engine,
    /// All settings, with the program's own sections.
    pub loaded: Loaded,
    /// What rates are drawn from.
    pub token_store: Arc<dyn TokenStore>,
    database: Database,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The database file cannot be used.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Embedded(#[from] lockgate_embedded::OpenError),
    /// A server cannot be used.
    #[cfg(feature = "distributed")]
    #[error(transparent)]
    Distributed(#[from] lockgate_distributed::OpenError),
    /// The program was built without this engine.
    #[error(
        "this program was built without the engine {0:?}; choose another one, or build it with lockgate's feature {0:?}"
    )]
    NotBuilt(&'static str),
    /// The engine is open, and failed at once.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ConnectError {
    /// Whether the same may go through later: a store is down, or on its way.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            #[cfg(feature = "distributed")]
            Self::Distributed(error) => error.is_transient(),
            Self::Engine(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// Connects the engine that the settings name: opens its stores, brings their tables and the program's own up
/// to date, and makes the configured pools that are not there yet.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("lockgate.db").display().to_string();
/// use lockgate::config::{Sources, load};
/// use lockgate::core::slots::PoolQuery;
///
/// let overrides = vec![("embedded.path".into(), path), ("pools.clickhouse.slots".into(), "40".into())];
/// let loaded = load(&Sources { overrides, ..Sources::default() })?;
/// let lockgate = lockgate::connect(&loaded, &[]).await?;
/// let pools = lockgate.engine.slots.inspect(&PoolQuery::all()).await?;
/// assert_eq!(pools[0].status.slots, 40);
/// # Ok(()) }
/// ```
///
/// # Errors
/// When its stores cannot be opened or their tables are not this program's.
pub async fn connect(loaded: &Loaded, tables: &[Tables]) -> Result<Lockgate, ConnectError> {
    let (engine, token_store, database) = open(loaded).await?;
    for tables in tables {
        database.migrate(tables).await?;
    }
    let lockgate = Lockgate { engine, loaded: loaded.clone(), token_store, database };
    lockgate.ensure_pools([]).await?;
    Ok(lockgate)
}

/// The one place that chooses the engine.
async fn open(loaded: &Loaded) -> Result<(Engine, Arc<dyn TokenStore>, Database), ConnectError> {
    let settings = &loaded.settings;
    let timing = settings.slots.timing();
    match (settings.engine, loaded.servers()) {
        #[cfg(feature = "embedded")]
        (EngineName::Embedded, _) => {
            let options = lockgate_embedded::Options { path: settings.embedded.path.clone(), timing };
            let opened = lockgate_embedded::open(options).await?;
            Ok((opened.engine, opened.token_store, Database::Embedded(opened.database)))
        }
        #[cfg(feature = "distributed")]
        (EngineName::Distributed, Some(servers)) => {
            let options = lockgate_distributed::Options {
                postgres: servers.postgres.clone(),
                amqp: servers.amqp.clone(),
                redis: servers.redis.clone(),
                namespace: settings.distributed.namespace.clone(),
                timing,
                process: crate::process_name(),
            };
            let opened = lockgate_distributed::open(options).await?;
            Ok((opened.engine, opened.token_store, Database::Distributed(opened.database)))
        }
        // Settings that were loaded have servers for this engine; only those that nobody loaded have none.
        (engine, _) => Err(ConnectError::NotBuilt(engine.as_str())),
    }
}

impl Lockgate {
    /// The framework's settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// A section of the program's own.
    ///
    /// # Errors
    /// As [`Loaded::section`].
    pub fn section<T: Typed>(&self, name: &str) -> Result<T, ConfigErrors> {
        self.loaded.section(name)
    }

    /// The database beneath the engine, for tables of the program's own.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The wall clock of the ledger's store: the same for all processes. The ledger decides what is due by a
    /// time of its own.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.database.now()
    }

    /// Creates the configured pools, and those `used` by name, that do not exist yet. A pool that nobody
    /// configured has the defaults. An existing pool keeps the numbers of its store, which only notes what
    /// this config says.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ensure_pools(&self, used: impl IntoIterator<Item = PoolName>) -> Result<(), EngineError> {
        let configured = &self.settings().pools;
        let existing = self.engine.slots.inspect(&PoolQuery::all()).await?;
        let existing: BTreeMap<PoolName, Configured> =
            existing.into_iter().map(|view| (view.status.name, view.status.configured)).collect();
        let names: BTreeSet<PoolName> = configured.keys().cloned().chain(used).collect();
        for name in names {
            let settings = configured.get(&name);
            let spec = settings.cloned().unwrap_or_default().spec(name);
            let is_current = match existing.get(&spec.name) {
                Some(noted) => settings.is_none() || *noted == spec.configured(),
                None => false,
            };
            if !is_current {
                self.engine.slots.control(PoolCommand::Ensure(spec)).await?;
            }
        }
        Ok(())
    }

    /// A worker for the app's jobs, with their options as `[kinds.NAME]` changes them. The pools that they
    /// use are made where they are missing, now and whenever the slot store has lost them; a pool that has
    /// other slots than the config says is warned of.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn worker(&self, app: App, options: WorkerOptions) -> Result<Worker, EngineError> {
        let app = app.configured(&self.settings().kinds);
        let needs = app.registry.kinds().flat_map(|(_, options)| &options.needs);
        let used: BTreeSet<PoolName> = needs.map(|need| need.pool.clone()).collect();
        self.ensure_pools(used.iter().cloned()).await?;
        for view in self.engine.slots.inspect(&PoolQuery::all()).await? {
            if let Some(settings) = self.settings().pools.get(&view.status.name) {
                warn_of_difference(&view.status, settings);
            }
        }
        self.warn_of_other_rates().await;
        let pools = used.into_iter().map(|name| self.pool(&name).spec(name)).collect();
        let options = WorkerOptions { pools, ..options };
        Ok(Worker::new(self.engine.clone(), app.registry, app.state, options))
    }

    async fn warn_of_other_rates(&self) {
        let configured = quotas(self.settings());
        // A store that is away now is waited for when tokens are needed.
        for limit in self.token_store.list().await.unwrap_or_default() {
            // A stage is a share of what is configured; one that was unset has the rate of the config again.
            let stored = limit.note.parse::<RampState>().map_or(limit.quota, |note| note.configured);
            let is_other = |quota: &&Quota| !limit.is_unset() && Some(**quota) != stored;
            if let Some(quota) = configured.get(&limit.name).filter(is_other) {
                tracing::warn!(
                    limit = limit.name,
                    store = stored.map_or_else(|| String::from("none"), |quota| quota.rate().to_string()),
                    config = %quota.rate(),
                    "the rate differs from the config's; the store's holds, and `limits set` changes it"
                );
            }
        }
    }

    /// The settings of a pool; the defaults when nobody configured it.
    fn pool(&self, name: &PoolName) -> PoolSettings {
        self.settings().pools.get(name).cloned().unwrap_or_default()
    }

    /// How a worker works by the settings.
    #[must_use]
    pub fn worker_options(&self, process: String) -> WorkerOptions {
        let Settings { worker, pools, runs, .. } = self.settings();
        let policies = pools.iter().map(|(name, pool)| (name.clone(), policy(pool))).collect();
        let (concurrency, grace) = (worker.concurrency, worker.grace);
        let rates = RateOptions {
            token_store: Arc::clone(&self.token_store),
            quotas: quotas(self.settings()),
            ramp: ramp(self.settings()),
        };
        let keep = runs.keep;
        let rates = Some(rates);
        WorkerOptions { process, concurrency, grace, policies, rates, keep, ..WorkerOptions::default() }
    }
}

fn policy(pool: &PoolSettings) -> PoolPolicy {
    let PoolSettings { max_wait, max_hold, on_busy, adaptive, adaptive_min, .. } = *pool;
    PoolPolicy { max_wait, max_hold, on_busy, adaptive: adaptive.into(), adaptive_min }
}

fn warn_of_difference(status: &PoolStatus, settings: &PoolSettings) {
    if status.slots != settings.slots || status.per_tenant != settings.per_tenant {
        tracing::warn!(
            pool = %status.name,
            store = status.slots,
            config = settings.slots,
            "the pool's slots differ from the config's; the store's hold, and `slots set` changes them"
        );
    }
}

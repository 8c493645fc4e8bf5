//! Where a demo stores its data: in a file of its own, or on the servers in the config, separate from other
//! work. A demo and real work must not share a ledger, because each would execute the other's jobs.

use std::path::PathBuf;

use anyhow::Context;
use clap::ArgMatches;
use clap::parser::ValueSource;
use lockgate::Lockgate;
use lockgate::core::ledger::RunQuery;
use lockgate::core::run::RunStatus;
use lockgate::settings::EngineName;
use lockgate_cli::{CommandContext, Problem};
use uuid::Uuid;

use super::ids;
use crate::store::Store;

/// Runs and organizations that are checked.
const CHECKED: u32 = 1_000;

/// Where a demo stores its data.
pub(super) enum Location {
    /// In this SQLite file.
    File(PathBuf),
    /// On the servers in the config. Queues and slots use a namespace of this demo.
    Servers {
        /// Address of the ledger, without its password.
        ledger: String,
        /// Namespace of queues and slots.
        namespace: String,
    },
}

impl Location {
    /// Returns the location that the settings and flags select.
    pub(super) fn of(session: &CommandContext, matches: &ArgMatches) -> anyhow::Result<Self> {
        let loaded = session.loaded();
        match (loaded.settings.engine, loaded.servers()) {
            (EngineName::Distributed, Some(servers)) => {
                let (ledger, namespace) = (servers.ledger(), format!("demo-{}", Uuid::now_v7().simple()));
                Ok(Self::Servers { ledger, namespace })
            }
            _ => Ok(Self::File(file(matches)?)),
        }
    }

    /// Returns the setting that selects this location.
    pub(super) fn setting(&self) -> (String, String) {
        match self {
            Self::File(path) => (String::from("embedded.path"), path.display().to_string()),
            Self::Servers { namespace, .. } => (String::from("distributed.namespace"), namespace.clone()),
        }
    }

    /// Returns the name of the database for people.
    pub(super) fn database(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Servers { ledger, .. } => ledger.clone(),
        }
    }

    /// Returns the flags with which another command opens the same database.
    pub(super) fn flags(&self) -> String {
        match self {
            Self::File(path) => format!("--db {}", path.display()),
            Self::Servers { .. } => String::from("--engine distributed"),
        }
    }

    /// Rejects a server database that contains data of anything but demos. A file was named on purpose and is
    /// not checked.
    pub(super) async fn check(&self, lockgate: &Lockgate, store: &Store) -> anyhow::Result<()> {
        let Self::Servers { ledger, .. } = self else { return Ok(()) };
        let rejected = |what: String, why: &str| {
            Problem::refused(format!(
                "{ledger} has {what}; {why}; use a database for demos alone, with \
                LOCKGATE__DISTRIBUTED__POSTGRES__URL or --set distributed.postgres.url_file=FILE"
            ))
        };
        let query = RunQuery { limit: CHECKED, ..RunQuery::default() };
        let runs = lockgate.engine.ledger.runs(query).await?;
        let live = |status| status != RunStatus::Cancelled;
        if let Some(open) = runs.iter().find(|run| live(run.run.status) && !run.settled()) {
            let why = "the demo's workers would execute its jobs against the fake backend";
            return Err(rejected(format!("the unfinished run {}", open.run.name), why).into());
        }
        let organizations = store.organizations.list(0, CHECKED).await?;
        match organizations.iter().find(|listed| !ids::is_of_a_demo(&listed.organization_id)) {
            None => Ok(()),
            Some(own) => {
                let why = "later runs would include the demo's organizations";
                Err(rejected(format!("organizations such as {}", own.organization_id), why).into())
            }
        }
    }
}

/// Returns the file that `--db` names, or a new one. The file is kept so that the commands proposed in the
/// summary can open it.
fn file(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    if matches.value_source("db") == Some(ValueSource::CommandLine)
        && let Some(path) = matches.get_one::<String>("db")
    {
        return Ok(PathBuf::from(path));
    }
    let folder = tempfile::Builder::new().prefix("lockgate-demo-").tempdir();
    let folder = folder.context("cannot create a temporary folder; name a database with --db")?.keep();
    Ok(folder.join("demo.db"))
}

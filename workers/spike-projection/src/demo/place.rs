//! Where a demo plays: in a file of its own, or on the servers of the config, apart from what else they do.
//!
//! It must never let a demo and real work share a ledger: each would work the other's jobs off.

use std::path::PathBuf;

use anyhow::Context;
use clap::ArgMatches;
use clap::parser::ValueSource;
use lockgate::Lockgate;
use lockgate::core::ledger::RunQuery;
use lockgate::core::run::RunStatus;
use lockgate::settings::EngineName;
use lockgate_cli::{Problem, Session};
use uuid::Uuid;

use super::ids;
use crate::store::Store;

/// Runs and organizations looked at.
const LOOKED_AT: u32 = 1_000;

/// Where a demo plays.
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// On the config's servers; queues and slots in a namespace of this demo alone.
    Servers {
        /// The ledger's address, without its password.
        ledger: String,
        /// The namespace.
        namespace: String,
    },
}

impl Place {
    /// The one that the settings and flags name.
    pub(super) fn of(session: &Session, matches: &ArgMatches) -> anyhow::Result<Self> {
        let loaded = session.loaded();
        match (loaded.settings.engine, loaded.servers()) {
            (EngineName::Distributed, Some(servers)) => {
                let (ledger, namespace) = (servers.ledger(), format!("demo-{}", Uuid::now_v7().simple()));
                Ok(Self::Servers { ledger, namespace })
            }
            _ => Ok(Self::File(file(matches)?)),
        }
    }

    /// What a setting must be for it.
    pub(super) fn setting(&self) -> (String, String) {
        match self {
            Self::File(path) => (String::from("embedded.path"), path.display().to_string()),
            Self::Servers { namespace, .. } => (String::from("distributed.namespace"), namespace.clone()),
        }
    }

    /// As people call it.
    pub(super) fn database(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Servers { ledger, .. } => ledger.clone(),
        }
    }

    /// The flags with which another command finds it again.
    pub(super) fn flags(&self) -> String {
        match self {
            Self::File(path) => format!("--db {}", path.display()),
            Self::Servers { .. } => String::from("--engine distributed"),
        }
    }

    /// Refuses servers whose database has more than what demos left there. A file was named on purpose.
    pub(super) async fn check(&self, lockgate: &Lockgate, store: &Store) -> anyhow::Result<()> {
        let Self::Servers { ledger, .. } = self else { return Ok(()) };
        let refused = |what: String, why: &str| {
            Problem::refused(format!(
                "{ledger} has {what}; {why}; name a database that only demos use, with \
                 LOCKGATE__DISTRIBUTED__POSTGRES__URL or --set distributed.postgres.url_file=FILE"
            ))
        };
        let query = RunQuery { limit: LOOKED_AT, ..RunQuery::default() };
        let runs = lockgate.engine.ledger.runs(query).await?;
        let live = |status| status != RunStatus::Cancelled;
        if let Some(open) = runs.iter().find(|run| live(run.run.status) && !run.settled()) {
            let why = "a demo would work off its jobs, too, and against the stand-in";
            return Err(refused(format!("the run {}, which is not over", open.run.name), why).into());
        }
        let organizations = store.organizations.list(0, LOOKED_AT).await?;
        match organizations.iter().find(|one| !ids::is_of_a_demo(&one.organization_id)) {
            None => Ok(()),
            Some(own) => {
                let why = "a demo would put its own beside them, into every run to come";
                Err(refused(format!("organizations such as {}", own.organization_id), why).into())
            }
        }
    }
}

/// The file that `--db` names, or a new one. It is kept: the summary's next commands are to find it.
fn file(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    if matches.value_source("db") == Some(ValueSource::CommandLine)
        && let Some(path) = matches.get_one::<String>("db")
    {
        return Ok(PathBuf::from(path));
    }
    let folder = tempfile::Builder::new().prefix("lockgate-demo-").tempdir();
    let folder = folder.context("cannot make a temporary folder; name a database with --db")?.keep();
    Ok(folder.join("demo.db"))
}

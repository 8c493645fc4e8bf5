//! Where a measurement takes place: on a database of its own where the engine is a file, else under names of its own.
//!
//! It must never remove a file that it did not make.

use std::path::{Path, PathBuf};

use lockgate::Lockgate;
use lockgate::settings::EngineName;

use crate::session::Session;

/// Where a measurement takes place.
pub(super) struct Ground {
    lockgate: Lockgate,
    /// On top of the session's settings, for the worker processes.
    overrides: Vec<(String, String)>,
    scratch: Option<Scratch>,
}

/// A database file; gone when this is dropped.
struct Scratch(PathBuf);

impl Ground {
    /// Takes it.
    pub(super) async fn take(session: &Session) -> anyhow::Result<Self> {
        let settings = &session.loaded().settings;
        if settings.engine != EngineName::Embedded {
            let lockgate = session.lockgate().await?.clone();
            return Ok(Self { lockgate, overrides: Vec::new(), scratch: None });
        }
        // Beside the configured one: on the same disk.
        let path = beside(&settings.embedded.path);
        let scratch = Scratch(path.clone());
        let path = path.display().to_string();
        let lockgate = session.lockgate_with(&[("embedded.path", path.clone())]).await?;
        Ok(Self { lockgate, overrides: vec![(String::from("embedded.path"), path)], scratch: Some(scratch) })
    }

    pub(super) fn lockgate(&self) -> &Lockgate {
        &self.lockgate
    }

    pub(super) fn overrides(&self) -> &[(String, String)] {
        &self.overrides
    }

    /// Leaves it as it was, or says what stays.
    pub(super) fn leave(self, session: &Session) {
        if self.scratch.is_none() {
            session.terminal().note("the run of this bench stays in the ledger until runs.keep has passed");
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bench-{}", std::process::id()));
    PathBuf::from(name)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(suffix);
            // Not there, or not to be removed: nobody could do anything about it here.
            drop(std::fs::remove_file(name));
        }
    }
}

//! Where a measurement takes place: in a folder of its own where the engine is a file, else under names of its own.
//!
//! It must never remove a file that it did not make.

use std::path::{Path, PathBuf};

use lockgate::Lockgate;
use lockgate::settings::EngineName;

use crate::problem::{Exit, Problem};
use crate::session::Session;

/// Where a measurement takes place.
pub(super) struct Ground {
    lockgate: Lockgate,
    /// On top of the session's settings, for the worker processes.
    overrides: Vec<(String, String)>,
    scratch: Option<Scratch>,
}

/// A folder for a database file; gone when this is dropped. A folder, so that a connection which is still being opened
/// then finds no place to make the file again.
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
        let scratch = Scratch::make(beside(&settings.embedded.path))?;
        let path = scratch.0.join("lockgate.db").display().to_string();
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

impl Scratch {
    fn make(path: PathBuf) -> Result<Self, Problem> {
        let refused = |error| {
            let way_out = "the engine is measured beside the configured file; name one in a folder that can be written to";
            Problem::new(
                Exit::CantCreate,
                format!("cannot make the folder {}: {error}; {way_out}", path.display()),
            )
        };
        // It must be new: what is there already is not ours to remove.
        std::fs::create_dir(&path).map_err(refused)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Once more when a file came into being in between. After that nobody could do anything about it here.
        let _gone = (0..3).any(|_| std::fs::remove_dir_all(&self.0).is_ok());
    }
}

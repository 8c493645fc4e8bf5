//! The environment of a measurement: a temporary folder when the engine is a file, else the configured
//! servers, where the benchmark has its own queue and pool.
//!
//! Only files that the benchmark created are removed.

use std::path::{Path, PathBuf};

use lockgate::Lockgate;
use lockgate::settings::EngineName;
use lockgate_cli::{CommandContext, Exit, Problem};

/// The engine of a measurement, and what is removed afterwards.
pub(crate) struct BenchEnvironment {
    lockgate: Lockgate,
    /// Settings that the worker processes need in addition to those of the command line.
    overrides: Vec<(String, String)>,
    folder: Option<TemporaryFolder>,
}

/// A folder with a database file; removed on drop. It is a folder and not a file, so that a connection which
/// is still opening cannot create the file again after the removal.
struct TemporaryFolder(PathBuf);

impl BenchEnvironment {
    /// Connects the engine. For the embedded engine it creates a temporary folder next to the configured
    /// file, which is on the same disk.
    pub(crate) async fn create(context: &CommandContext) -> anyhow::Result<Self> {
        let settings = &context.loaded().settings;
        if settings.engine != EngineName::Embedded {
            let lockgate = context.lockgate().await?.clone();
            return Ok(Self { lockgate, overrides: Vec::new(), folder: None });
        }
        let folder = TemporaryFolder::create(next_to(&settings.embedded.path))?;
        let path = folder.0.join("lockgate.db").display().to_string();
        let lockgate = context.lockgate_with(&[("embedded.path", path.clone())]).await?;
        Ok(Self { lockgate, overrides: vec![(String::from("embedded.path"), path)], folder: Some(folder) })
    }

    pub(crate) fn lockgate(&self) -> &Lockgate {
        &self.lockgate
    }

    pub(crate) fn overrides(&self) -> &[(String, String)] {
        &self.overrides
    }

    /// Removes the temporary folder, or prints what stays in the servers.
    pub(crate) fn remove(self, context: &CommandContext) {
        if self.folder.is_none() {
            context
                .terminal()
                .note("the run of this benchmark stays in the ledger until runs.keep has passed");
        }
    }
}

fn next_to(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bench-{}", std::process::id()));
    PathBuf::from(name)
}

impl TemporaryFolder {
    fn create(path: PathBuf) -> Result<Self, Problem> {
        // Fails when the folder exists: its contents are not ours to remove.
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(Problem::new(
                Exit::CantCreate,
                format!(
                    "cannot create the temporary folder {}: {error}; configure a database file in a writable folder",
                    path.display()
                ),
            )),
        }
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A file that is created during a removal makes it fail. After three attempts nothing more can be
        // done here.
        let _removed = (0..3).any(|_| std::fs::remove_dir_all(&self.0).is_ok());
    }
}

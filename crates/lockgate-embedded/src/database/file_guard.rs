//! Detects that the database file, its log or its shared memory was deleted or replaced while it is open.
//!
//! SQLite keeps using the files that it has opened, even when their names are deleted or belong to other
//! files by now. This process would then work on one database and the next process on another, each with all
//! slots of every pool. So the device and inode of the three files are compared before and after each
//! transaction, and regularly while nothing is written. An inode is not reused while a process has it open,
//! so a new file always differs.
//!
//! A file whose content is overwritten in place keeps its inode and is not detected here.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lockgate_core::error::EngineError;

/// The identity of a file, which survives a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Reads the identity without opening the file: closing a second descriptor would drop SQLite's locks on
    /// it (sqlite.org/howtocorrupt.html, 2.2).
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }
}

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
    }
}

/// The reason why one of the files is lost, with the remedy.
#[derive(Debug, Clone)]
pub(super) struct Lost(String);

impl From<Lost> for EngineError {
    fn from(Lost(reason): Lost) -> Self {
        Self::StoreLost { reason }
    }
}

/// The open files, and whether one of them was lost.
#[derive(Debug)]
pub(super) struct FileGuard {
    database: FileId,
    files: [(PathBuf, FileId); 3],
    lost: OnceLock<Lost>,
}

impl FileGuard {
    /// Records the files of a database that was opened and read.
    ///
    /// # Errors
    /// Fails when one of the files does not exist.
    pub(super) fn of(database: &Path) -> io::Result<Self> {
        // SQLite follows symbolic links before it names the two others.
        let real = std::fs::canonicalize(database)?;
        let next_to = |suffix: &str| {
            let mut name = real.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let known = |path: PathBuf| FileId::of(&path).map(|id| (path, id));
        let id = FileId::of(database)?;
        let files = [(database.to_owned(), id), known(next_to("-wal"))?, known(next_to("-shm"))?];
        Ok(Self { database: id, files, lost: OnceLock::new() })
    }

    /// Returns the identity of the database file.
    pub(super) fn database(&self) -> FileId {
        self.database
    }

    /// Returns whether an earlier check has failed. Does not access the file system.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Compares the files with those that were opened. After one failed check all later checks fail too,
    /// because writes in between went into the lost file.
    pub(super) fn check(&self) -> Result<(), Lost> {
        if let Some(lost) = self.lost.get() {
            return Err(lost.clone());
        }
        let lost = self.files.iter().find_map(|(path, id)| Some((path, changed(path, *id)?)));
        let Some((path, what)) = lost else { return Ok(()) };
        let reason = format!(
            "{path:?} was {what} while this process had it open; nothing more is granted or recorded. Stop all workers, put \
             the database in place, start them again"
        );
        tracing::error!(reason, "database file lost, stopping");
        Err(self.lost.get_or_init(|| Lost(reason)).clone())
    }
}

/// Returns what happened to a file. An error other than "not found" proves nothing about the file.
fn changed(path: &Path, id: FileId) -> Option<&'static str> {
    match FileId::of(path) {
        Ok(found) if found == id => None,
        Ok(_) => Some("replaced"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("deleted"),
        Err(_) => None,
    }
}

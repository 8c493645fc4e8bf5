//! The files of the repository, for the tests that read them.

use std::path::{Path, PathBuf};

use support::Result;

/// Folders that nobody writes by hand.
const GENERATED: &[&str] = &["target", ".git"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Whether the file is part of a test, wherever the repository lies.
pub(crate) fn is_test(file: &Path) -> bool {
    let inside = file.strip_prefix(root()).unwrap_or(file);
    // `foo/tests.rs` holds the unit tests of `foo.rs`.
    inside.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// Every file with this extension, without what was generated.
pub(crate) fn files(extension: &str) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_generated = path.file_name().is_some_and(|name| GENERATED.iter().any(|of| name == *of));
            if path.is_dir() && !is_generated {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

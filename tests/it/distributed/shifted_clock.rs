//! A server's clock that a test sets while the server runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use support::program::Place;
use support::servers::Private;
use support::{Context, Result, ensure};

use super::scene::say;

const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/support/shifted_clock.c");

/// A library that shifts the time of day of a server that is started with it, and the file that says how far.
pub(super) struct ShiftedClock {
    library: PathBuf,
    shift: PathBuf,
}

impl ShiftedClock {
    /// A clock that is not shifted yet. `None` without a compiler for C, said aloud.
    pub(super) fn compile(place: &Place) -> Result<Option<Self>> {
        let library = place.path("shim.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .arg(&library)
            .arg(Path::new(SHIM))
            .output();
        let Ok(output) = compiled else {
            ensure!(
                std::env::var_os("CI").is_none(),
                "cc is not here; install the Debian package build-essential"
            );
            say("SKIPPED: a shifted clock needs cc; install the Debian package build-essential");
            return Ok(None);
        };
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shift = place.write("shift", &text(0))?;
        Ok(Some(Self { library, shift }))
    }

    /// From its next start on, the server has this clock.
    pub(super) fn preload_into(&self, server: &mut Private) -> Result {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
        server.set_environment("LD_PRELOAD", &text(&self.library)?);
        server.set_environment("SHIFTED_CLOCK", &text(&self.shift)?);
        Ok(())
    }

    /// Sets the clock so many seconds off the host's.
    pub(super) fn shift(&self, seconds: i64) -> Result {
        Ok(std::fs::write(&self.shift, text(seconds))?)
    }
}

/// Of the same length each time, written in place: a server that reads meanwhile reads the one or the other.
fn text(seconds: i64) -> String {
    format!("{seconds:<9}")
}

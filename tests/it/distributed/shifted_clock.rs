//! A server clock that a test sets while the server runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use support::program::Sandbox;
use support::servers::Private;
use support::{Context, Result, ensure};

use super::scenario::say;

const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/support/shifted_clock.c");

/// A preloaded library that shifts the server's time of day, and the file that contains the shift.
pub(super) struct ShiftedClock {
    library: PathBuf,
    shift: PathBuf,
}

impl ShiftedClock {
    /// Compiles the library, without a shift. Returns `None`, and reports it, if there is no C compiler.
    pub(super) fn compile(sandbox: &Sandbox) -> Result<Option<Self>> {
        let library = sandbox.path("shim.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .arg(&library)
            .arg(Path::new(SHIM))
            .output();
        let Ok(output) = compiled else {
            ensure!(
                std::env::var_os("CI").is_none(),
                "cc is missing; install the Debian package build-essential"
            );
            say("SKIPPED: a shifted clock needs cc; install the Debian package build-essential");
            return Ok(None);
        };
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shift = sandbox.write("shift", &text(0))?;
        Ok(Some(Self { library, shift }))
    }

    /// Makes the server use this clock from its next start on.
    pub(super) fn preload_into(&self, server: &mut Private) -> Result {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("the path is not UTF-8");
        server.set_environment("LD_PRELOAD", &text(&self.library)?);
        server.set_environment("SHIFTED_CLOCK", &text(&self.shift)?);
        Ok(())
    }

    /// Sets the clock to this many seconds ahead of the host's clock.
    pub(super) fn shift(&self, seconds: i64) -> Result {
        Ok(std::fs::write(&self.shift, text(seconds))?)
    }
}

/// Formats the shift with a fixed length, so that a concurrent reader sees the old or the new value.
fn text(seconds: i64) -> String {
    format!("{seconds:<9}")
}

//! The benchmark as a program of the kit: one kind of job, and the sections that other programs have in the
//! config.

use std::ffi::OsString;

use async_trait::async_trait;
use lockgate::config::Section;
use lockgate::{App, Lockgate};
use lockgate_cli::{About, Manifest, ManifestRequest, Program};

use crate::job::{self, BenchJobs};
use crate::other_sections;

/// Jobs of a manifest when nobody says how many.
pub(crate) const DEFAULT_JOBS: u32 = 20_000;

/// The program of the benchmark.
pub(crate) struct BenchProgram {
    /// The sections of other programs in the same config. They are accepted and not used.
    sections: Vec<Section>,
}

impl BenchProgram {
    /// Creates the program for this command line, whose `--config` names the file that is searched for
    /// sections.
    pub(crate) fn from_command_line(arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self { sections: other_sections::find(arguments) }
    }
}

#[async_trait]
impl Program for BenchProgram {
    fn about(&self) -> About {
        About {
            name: "lockgate-bench",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Measure an engine of Lockgate with jobs that do nothing",
            examples: &[
                ("run", "20,000 jobs that do nothing, 50 slots, one worker process"),
                ("run --sleep 5ms --processes 4", "whether four processes keep the slots busy"),
                ("--engine distributed run --jobs 50000", "the three servers of the config"),
            ],
        }
    }

    fn sections(&self) -> Vec<Section> {
        self.sections.clone()
    }

    async fn app(&self, _: &Lockgate) -> anyhow::Result<App> {
        job::app(std::time::Duration::ZERO, true)
    }

    async fn manifest(&self, _: &Lockgate, _: ManifestRequest) -> anyhow::Result<Box<dyn Manifest>> {
        Ok(Box::new(BenchJobs::new(DEFAULT_JOBS)?))
    }
}

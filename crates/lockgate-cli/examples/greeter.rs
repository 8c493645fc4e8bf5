//! A complete program of a worker: one kind of job, a manifest, a section of the config. The tests of the kit
//! run it.
//!
//! ```text
//! cargo run -p lockgate-cli --example greeter -- enqueue
//! cargo run -p lockgate-cli --example greeter -- work --until-idle
//! ```

use std::io::{BufRead, Lines};
use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use garde::Validate;
use lockgate::config::Section;
use lockgate::core::ledger::PlannedJob;
use lockgate::settings::durations;
use lockgate::{App, Context, Failure, Job, JobOptions, Kind, Loaded, Lockgate, PoolName};
use lockgate_cli::{About, Manifest, ManifestRequest, Problem, Program, fanout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> ExitCode {
    lockgate_cli::run(Greeter).await
}

struct Greeter;

#[async_trait]
impl Program for Greeter {
    fn about(&self) -> About {
        About {
            name: "greeter",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Greet guests, a few at a time",
            examples: &[
                ("enqueue", "plan a run with a job for each guest"),
                ("work --until-idle", "run all jobs, then stop"),
            ],
        }
    }

    fn sections(&self) -> Vec<Section> {
        vec![Section::of::<Settings>("greeter")]
    }

    fn pools(&self, _: &Loaded) -> Vec<PoolName> {
        "door".parse().into_iter().collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        Greet::KIND.parse().into_iter().collect()
    }

    async fn app(&self, lockgate: &Lockgate) -> anyhow::Result<App> {
        Ok(App::new().job::<Greet>()?.state(lockgate.section::<Settings>("greeter")?))
    }

    async fn manifest(
        &self,
        lockgate: &Lockgate,
        request: ManifestRequest,
    ) -> anyhow::Result<Box<dyn Manifest>> {
        let guests: Guests = match request.keys {
            Some(input) => Guests::Named(input.open()?.lines()),
            None => Guests::Counted(0..lockgate.section::<Settings>("greeter")?.guests),
        };
        Ok(Box::new(guests))
    }
}

/// How guests are greeted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
struct Settings {
    /// Guests of a run without `--orgs`. Default: 10.
    #[garde(skip)]
    guests: u64,
    /// How long a greeting takes. Default: 0s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(skip)]
    takes: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { guests: 10, takes: Duration::ZERO }
    }
}

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

#[async_trait]
impl Job for Greet {
    const KIND: &'static str = "greet";

    fn options() -> JobOptions {
        JobOptions::queue("greetings").pool("door", 1)
    }

    async fn run(self, ctx: &Context) -> Result<(), Failure> {
        tokio::time::sleep(ctx.state::<Settings>()?.takes).await;
        match self.name.as_str() {
            "shy" => Err(Failure::skip("does not want to be greeted")),
            "rude" => Err(Failure::permanent("shut the door")),
            _ => Ok(()),
        }
    }
}

enum Guests {
    Counted(std::ops::Range<u64>),
    Named(Lines<Box<dyn BufRead + Send>>),
}

impl Guests {
    fn next_name(&mut self) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Counted(range) => range.next().map(|n| format!("guest-{n}")),
            Self::Named(lines) => lines.next().transpose()?,
        })
    }
}

#[async_trait]
impl Manifest for Guests {
    fn kind(&self) -> Kind {
        Kind::new(Greet::KIND).unwrap_or_else(|_| unreachable!("the kind is a valid name"))
    }

    async fn next(&mut self, most: usize) -> anyhow::Result<Vec<PlannedJob>> {
        let mut jobs = Vec::new();
        while jobs.len() < most {
            let Some(name) = self.next_name()? else { break };
            let job = fanout::job(&name, &Greet { name: name.clone() });
            jobs.push(job.map_err(|error| {
                Problem::data(format!(
                    "cannot invite {name:?}: {error}; write the name of a guest on each line"
                ))
            })?);
        }
        Ok(jobs)
    }
}

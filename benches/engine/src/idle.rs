//! Measures what workers cost that have nothing to do.

use std::time::Duration;

use lockgate_cli::{CommandContext, Style, times};
use serde::Serialize;

use crate::arguments::RunArgs;
use crate::environment::BenchEnvironment;
use crate::meter::{Meter, ProcessUsage};
use crate::report::mib;
use crate::worker_processes::WorkerProcesses;

/// What `run --idle` prints.
#[derive(Debug, Serialize)]
pub(crate) struct IdleReport {
    engine: &'static str,
    idle_ms: u64,
    costs: Vec<IdleCost>,
}

#[derive(Debug, Serialize)]
struct IdleCost {
    #[serde(flatten)]
    usage: ProcessUsage,
    /// Of one core.
    cpu_percent: f64,
}

/// Starts workers, gives them nothing to do for this long, and reads what they used.
pub(crate) async fn measure(
    context: &CommandContext,
    environment: &BenchEnvironment,
    args: &RunArgs,
    duration: Duration,
) -> anyhow::Result<IdleReport> {
    let mut workers = WorkerProcesses::spawn(context, environment, args).await?;
    let meter = Meter::start(&args.watched);
    workers.start().await?;
    tokio::time::sleep(duration).await;
    workers.check_alive()?;
    let servers = meter.read();
    let usages = ProcessUsage::of_workers(&workers.stop().await?).into_iter().chain(servers);
    let cost =
        |usage: ProcessUsage| IdleCost { cpu_percent: usage.cpu.div_duration_f64(duration) * 100.0, usage };
    let idle_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let engine = environment.lockgate().engine.name;
    Ok(IdleReport { engine, idle_ms, costs: usages.map(cost).collect() })
}

impl IdleReport {
    pub(crate) fn describe(&self, style: &Style) -> String {
        let rows = self.costs.iter().map(|IdleCost { usage, cpu_percent }| {
            let percent = format!("{cpu_percent:.2} %");
            [usage.process.clone(), percent, mib(usage.resident_bytes), mib(usage.peak_bytes)]
        });
        let table = style.table(["process", "cpu", "memory", "peak memory"], rows);
        let duration = times::human(Duration::from_millis(self.idle_ms));
        format!("Idle for {duration} on the {} engine:\n\n{table}", self.engine)
    }
}

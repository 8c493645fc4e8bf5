//! What workers cost that have nothing to do.
//!
//! It must never give them anything.

use std::time::Duration;

use serde::Serialize;

use super::Arguments;
use super::crew::Crew;
use super::ground::Ground;
use super::meter::{Meter, Used};
use super::report::mib;
use crate::Look;
use crate::session::Session;
use crate::times::human;

/// The answer of `bench --idle`.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    engine: &'static str,
    idle_ms: u64,
    costs: Vec<Cost>,
}

#[derive(Debug, Serialize)]
struct Cost {
    #[serde(flatten)]
    used: Used,
    cpu_percent: f64,
}

/// Lets workers be idle for so long.
pub(super) async fn measure(
    session: &Session,
    ground: &Ground,
    arguments: &Arguments,
    time: Duration,
) -> anyhow::Result<Idle> {
    let mut crew = Crew::muster(session, ground, arguments).await?;
    let meter = Meter::start(&arguments.watched);
    crew.go().await?;
    tokio::time::sleep(time).await;
    crew.check()?;
    let servers = meter.read();
    let used = Used::by_workers(&crew.dismiss().await?).into_iter().chain(servers);
    let cost = |used: Used| Cost { cpu_percent: used.cpu.div_duration_f64(time) * 100.0, used };
    let idle_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(Idle { engine: ground.lockgate().engine.name, idle_ms, costs: used.map(cost).collect() })
}

impl Idle {
    pub(super) fn describe(&self, look: &Look) -> String {
        let rows = self.costs.iter().map(|cost| {
            let Cost { used, cpu_percent } = cost;
            let percent = format!("{cpu_percent:.2} %");
            [used.process.clone(), percent, mib(used.resident_bytes), mib(used.peak_bytes)]
        });
        let table = look.table(["process", "cpu", "memory", "peak memory"], rows);
        let time = human(Duration::from_millis(self.idle_ms));
        format!("Idle for {time} on the {} engine:\n\n{table}", self.engine)
    }
}

//! The workers of a demo: a task of this process, or child processes that run the command `work` of this
//! program. Only processes started here are signalled.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use lockgate::EngineError;
use lockgate::config::{PREFIX, Sources};
use lockgate::runtime::OutcomeCounts;
use lockgate_cli::Terminal;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Extra time after the grace period before a worker process is killed.
const MARGIN: Duration = Duration::from_secs(5);

/// The workers of a demo.
pub(super) enum Workers {
    /// A worker in this process, which stops with the demo's token.
    InProcess(JoinHandle<Result<OutcomeCounts, EngineError>>),
    /// Child processes.
    Processes(Vec<Child>),
}

impl Workers {
    /// Starts child processes with the settings of the command and `overrides` on top.
    pub(super) fn start(
        processes: u32,
        sources: &Sources,
        overrides: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the file of this program")?;
        let start = |_| {
            let mut command = Command::new(&program);
            // They end when no job is left, even if this process is killed and cannot stop them.
            command.arg("work").arg("--until-idle");
            if let Some(file) = &sources.file {
                command.arg("--config").arg(file);
            }
            for (key, value) in sources.overrides.iter().chain(overrides) {
                match variable(key) {
                    Some(variable) => command.env(variable, value),
                    None => command.arg("--set").arg(format!("{key}={value}")),
                };
            }
            // Ctrl-C must reach only the demo: a worker would take it as the first of two signals.
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
            command.spawn().context("cannot start a worker process")
        };
        Ok(Self::Processes((0..processes).map(start).collect::<anyhow::Result<_>>()?))
    }

    /// Waits until all child processes have ended by themselves. Waits forever for a worker of this process.
    pub(super) async fn ended(&mut self) {
        let Self::Processes(children) = self else { return std::future::pending().await };
        for child in children {
            // `stop` checks and reports the status.
            let _status = child.wait().await;
        }
    }

    /// Stops the workers. Running jobs have `grace` to finish.
    pub(super) async fn stop(self, grace: Duration, terminal: &Terminal) -> anyhow::Result<()> {
        let mut children = match self {
            Self::InProcess(worker) => {
                worker.await.context("the worker task panicked")??;
                return Ok(());
            }
            Self::Processes(children) => children,
        };
        children.iter().filter_map(pid).for_each(terminate);
        for child in &mut children {
            let number = child.id();
            let status = match tokio::time::timeout(grace + MARGIN, child.wait()).await {
                Ok(status) => status,
                Err(_) => child.kill().await.and(child.wait().await),
            };
            let status = status.context("cannot wait for a worker process")?;
            report(terminal, number, status);
        }
        Ok(())
    }
}

/// Returns the pid of a child that has not been waited for. The kernel cannot have reused such a pid.
fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

fn terminate(pid: Pid) {
    if let Err(error) = kill_process(pid, Signal::TERM) {
        tracing::debug!(%error, "worker process had already ended");
    }
}

fn report(terminal: &Terminal, number: Option<u32>, status: ExitStatus) {
    if !status.success() {
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        terminal.note(&format!("the worker process{number} ended with {status}; its log is above"));
    }
}

/// Returns the environment variable for this key; `None` if the key would not be restored from it.
fn variable(key: &str) -> Option<String> {
    let reads_back = !key.contains("__") && !key.contains('=') && key.to_lowercase() == key;
    reads_back.then(|| format!("{PREFIX}__{}", key.replace('.', "__").to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_is_passed_by_a_variable_only_if_its_key_can_be_restored() {
        let of = |key| variable(key).unwrap_or_default();
        assert_eq!(of("distributed.postgres.url"), "LOCKGATE__DISTRIBUTED__POSTGRES__URL");
        assert_eq!(
            of("spike_projection.http.query_timeout"),
            "LOCKGATE__SPIKE_PROJECTION__HTTP__QUERY_TIMEOUT"
        );
        assert_eq!(variable("pools.ClickHouse.slots"), None, "upper case would be lost");
        assert_eq!(variable("pools.a__b.slots"), None, "it would be split into two keys");
    }
}

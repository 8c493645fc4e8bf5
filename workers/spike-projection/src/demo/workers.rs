//! The demo's workers: a task of this process, or processes of their own that run this program's `work`.
//!
//! It must never signal a process that it did not start.

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

/// What a worker process has beyond the grace of its jobs before it is killed.
const MARGIN: Duration = Duration::from_secs(5);

/// Who works the demo's run off.
pub(super) enum Workers {
    /// A worker in this process, that stops with the demo's token.
    Here(JoinHandle<Result<OutcomeCounts, EngineError>>),
    /// Workers in processes of their own.
    Apart(Vec<Child>),
}

impl Workers {
    /// Starts so many processes with these settings: those of the session, and `overrides` on top of them.
    pub(super) fn start(
        processes: u32,
        sources: &Sources,
        overrides: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the file of this program")?;
        let start = |_| {
            let mut command = Command::new(&program);
            // They end when nothing is left, also when this process is killed and cannot end them.
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
            // A Ctrl-C is for the demo alone: to a worker it would be the first of two signals.
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
            command.spawn().context("cannot start a worker process")
        };
        Ok(Self::Apart((0..processes).map(start).collect::<anyhow::Result<_>>()?))
    }

    /// Until all processes have ended by themselves; for a worker of this process for ever.
    pub(super) async fn ended(&mut self) {
        let Self::Apart(children) = self else { return std::future::pending().await };
        for child in children {
            // Looked at again, and told of, when it is stopped.
            let _status = child.wait().await;
        }
    }

    /// Ends them: running jobs have `grace` to finish.
    pub(super) async fn stop(self, grace: Duration, terminal: &Terminal) -> anyhow::Result<()> {
        let mut children = match self {
            Self::Here(worker) => {
                worker.await.context("the worker's task ended")??;
                return Ok(());
            }
            Self::Apart(children) => children,
        };
        children.iter().filter_map(pid).for_each(terminate);
        for child in &mut children {
            let number = child.id();
            let status = match tokio::time::timeout(grace + MARGIN, child.wait()).await {
                Ok(status) => status,
                Err(_) => child.kill().await.and(child.wait().await),
            };
            let status = status.context("cannot wait for a worker process")?;
            tell(terminal, number, status);
        }
        Ok(())
    }
}

/// The number of a process that has not been waited for: nobody else can have it.
fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

fn terminate(pid: Pid) {
    if let Err(error) = kill_process(pid, Signal::TERM) {
        tracing::debug!(%error, "a worker process had ended already");
    }
}

fn tell(terminal: &Terminal, number: Option<u32>, status: ExitStatus) {
    if !status.success() {
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        terminal.note(&format!("the worker process{number} ended with {status}; its log is above"));
    }
}

/// The variable that sets this key; `None` when the key would not read back from it.
fn variable(key: &str) -> Option<String> {
    let reads_back = !key.contains("__") && !key.contains('=') && key.to_lowercase() == key;
    reads_back.then(|| format!("{PREFIX}__{}", key.replace('.', "__").to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_handed_on_by_the_variable_that_reads_back_as_its_key() {
        let of = |key| variable(key).unwrap_or_default();
        assert_eq!(of("distributed.postgres.url"), "LOCKGATE__DISTRIBUTED__POSTGRES__URL");
        assert_eq!(
            of("spike_projection.http.query_timeout"),
            "LOCKGATE__SPIKE_PROJECTION__HTTP__QUERY_TIMEOUT"
        );
        assert_eq!(variable("pools.ClickHouse.slots"), None, "it would come back in small letters");
        assert_eq!(variable("pools.a__b.slots"), None, "it would come back as two keys");
    }
}

//! SIGINT and SIGTERM: the first starts a drain, the second ends the process immediately.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::problem::Exit;
use crate::terminal::Terminal;

/// Returns a token that the first signal cancels. The second signal ends the process without a drain; its
/// slots become free when its leases expire.
///
/// # Errors
/// When signal handlers cannot be installed.
pub fn drain_on_signal(terminal: &Terminal) -> anyhow::Result<CancellationToken> {
    let doing = "cannot install signal handlers";
    let interrupts = signal(SignalKind::interrupt()).context(doing)?;
    let terminations = signal(SignalKind::terminate()).context(doing)?;
    let stop = CancellationToken::new();
    // This task is not waited for: a drain must not wait for a second signal.
    TaskTracker::new().spawn(listen(interrupts, terminations, stop.clone(), terminal.clone()));
    Ok(stop)
}

async fn listen(
    mut interrupts: Signal,
    mut terminations: Signal,
    stop: CancellationToken,
    terminal: Terminal,
) {
    next(&mut interrupts, &mut terminations).await;
    terminal.note("stopping: running jobs finish, no new job starts; a second signal stops immediately");
    stop.cancel();
    let exit = next(&mut interrupts, &mut terminations).await;
    std::process::exit(exit.code().into());
}

async fn next(interrupts: &mut Signal, terminations: &mut Signal) -> Exit {
    tokio::select! {
        _ = interrupts.recv() => Exit::Interrupted,
        _ = terminations.recv() => Exit::Terminated,
    }
}

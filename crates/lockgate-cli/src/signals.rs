//! SIGINT and SIGTERM: the first asks for a drain, the second ends the process at once.
//!
//! It never ends a process that was asked to stop only once.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::problem::Exit;
use crate::terminal::Terminal;

/// A token that the first signal cancels. After the second, nothing is waited for: what the process held comes back
/// when its leases expire.
///
/// # Errors
/// When this process cannot listen to signals.
pub fn drain_on_signal(terminal: &Terminal) -> anyhow::Result<CancellationToken> {
    let doing = "cannot listen to signals";
    let interrupts = signal(SignalKind::interrupt()).context(doing)?;
    let terminations = signal(SignalKind::terminate()).context(doing)?;
    let stop = CancellationToken::new();
    // Ends with the process: a drain must not wait for a second signal.
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
    terminal.note("stopping: running jobs finish, nothing new is taken; a second signal stops at once");
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

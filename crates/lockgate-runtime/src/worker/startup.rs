//! Connects a worker to its stores. An unreachable store is retried until `stop` fires.

use std::sync::Arc;

use lockgate_core::error::chain;
use lockgate_core::{Engine, EngineError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::options::WorkerOptions;
use super::reconnect::ReconnectBackoff;
use super::state::WorkerState;
use crate::rates::Rates;
use crate::slots::SlotClient;

/// Reads the rate limits in force, because no job may start before they are known. Returns `false` when
/// `stop` fired first.
pub(super) async fn read_limits(
    rates: &Rates,
    worker_state: &watch::Sender<WorkerState>,
    stop: &CancellationToken,
) -> Result<bool, EngineError> {
    let mut backoff = ReconnectBackoff::default();
    loop {
        let error = match stop.run_until_cancelled(rates.refresh()).await {
            None => return Ok(false),
            Some(Ok(_)) => return Ok(true),
            Some(Err(error)) => error,
        };
        let reason = match error.downcast::<EngineError>() {
            Ok(error) if !error.is_transient() => return Err(*error),
            Ok(error) => chain(error.as_ref()),
            Err(error) => chain(error.as_ref()),
        };
        worker_state.send_replace(WorkerState::Waiting(reason.clone()));
        if !backoff.wait(reason, stop).await {
            return Ok(false);
        }
    }
}

/// Opens the session with the slot store. `None`: `stop` fired first.
pub(super) async fn open_session(
    engine: &Engine,
    options: &WorkerOptions,
    worker_state: &watch::Sender<WorkerState>,
    stop: &CancellationToken,
) -> Result<Option<SlotClient>, EngineError> {
    let mut backoff = ReconnectBackoff::default();
    loop {
        let opening = SlotClient::open(Arc::clone(&engine.slots), &options.process, options.heartbeat);
        match stop.run_until_cancelled(opening).await {
            None => return Ok(None),
            Some(Ok(slots)) => return Ok(Some(slots)),
            Some(Err(error)) if error.is_transient() => {
                let reason = chain(&error);
                worker_state.send_replace(WorkerState::Waiting(reason.clone()));
                if !backoff.wait(reason, stop).await {
                    return Ok(None);
                }
            }
            Some(Err(error)) => return Err(error),
        }
    }
}

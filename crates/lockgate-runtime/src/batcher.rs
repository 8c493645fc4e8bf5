//! Batches concurrent calls of one kind: items that arrive while a call is under way share the next call.
//!
//! An item that arrives alone is sent at once, and batches grow with the load. Calls for which no job waits
//! may be delayed, so that their batches grow further. With one call at a time, items are sent in their
//! order.
//!
//! When a call fails permanently or panics, each of its items is called again alone, so that one item that
//! the store refuses does not fail the others.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lockgate_core::EngineError;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::panics;

/// The result of one item. All items of a failed call share its error.
pub(crate) type BatchResult<R> = Result<R, Arc<EngineError>>;

/// The most items in one call. A store handles this many in one transaction without delaying other
/// transactions for long.
pub(crate) const MAX_BATCH: usize = 256;

/// Sends items in batches.
pub(crate) struct Batcher<T, R> {
    sender: mpsc::Sender<Item<T, R>>,
}

/// An item with the channel of its caller.
type Item<T, R> = (T, Reply<R>);
type Reply<R> = oneshot::Sender<BatchResult<R>>;

/// How long a batch waits for more items.
#[derive(Clone)]
pub(crate) struct BatchDelay {
    /// The least time between the beginnings of two calls.
    pub(crate) interval: Duration,
    /// Tracks the producers of items, each of which sends one item at a time. A batch with an item of each
    /// producer does not wait any longer. `None`: the number of producers is unknown.
    pub(crate) producers: Option<TaskTracker>,
}

impl BatchDelay {
    const NONE: Self = Self { interval: Duration::ZERO, producers: None };

    /// Returns the batch size at which waiting any longer is pointless.
    fn max_items(&self) -> usize {
        self.producers.as_ref().map_or(MAX_BATCH, |producers| producers.len().min(MAX_BATCH))
    }
}

impl<T, R> Batcher<T, R>
where
    T: Clone + Send + 'static,
    R: Send + 'static,
{
    /// Starts a batcher with one call under way at a time. Its task ends when the last handle is dropped.
    /// `call` returns one result for each item, in the order of the items.
    pub(crate) fn start<F, Fut>(tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        Self::concurrent(1, tracker, call)
    }

    /// Starts a batcher with up to `calls` calls under way at once. An item waits less for earlier items, and
    /// may overtake them.
    pub(crate) fn concurrent<F, Fut>(calls: u32, tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        Self::with(calls, BatchDelay::NONE, tracker, call)
    }

    /// Starts a batcher whose batches wait for more items. A call begins at once when `delay.interval` has
    /// passed since the last call began, when its batch is full, or when every producer has sent an item.
    pub(crate) fn delayed<F, Fut>(delay: BatchDelay, tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        Self::with(1, delay, tracker, call)
    }

    fn with<F, Fut>(calls: u32, delay: BatchDelay, tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        let (sender, receiver) = mpsc::channel(MAX_BATCH);
        let (receiver, call) = (Arc::new(Mutex::new(receiver)), Arc::new(call));
        for _ in 0..calls {
            let (receiver, call, delay) = (Arc::clone(&receiver), Arc::clone(&call), delay.clone());
            tracker.spawn(async move {
                let mut next_call = Instant::now();
                loop {
                    // The lock is held while the channel is empty, so one idle task receives all waiting
                    // items.
                    let batch = next_batch(&mut *receiver.lock().await, next_call, &delay).await;
                    let Some(batch) = batch else { return };
                    next_call = Instant::now() + delay.interval;
                    let (items, replies): (Vec<T>, Vec<_>) = batch.into_iter().unzip();
                    call_and_reply(call.as_ref(), items, replies).await;
                }
            });
        }
        Self { sender }
    }

    /// Sends one item with the next batch, and returns its result.
    pub(crate) async fn call(&self, item: T) -> BatchResult<R> {
        let (sender, receiver) = oneshot::channel();
        if self.sender.send((item, sender)).await.is_err() {
            return Err(stopped());
        }
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Returns the items that have arrived by `next_call`, or the first items after it. `None`: no more items
/// will arrive.
async fn next_batch<I>(
    receiver: &mut mpsc::Receiver<I>,
    next_call: Instant,
    delay: &BatchDelay,
) -> Option<Vec<I>> {
    let mut batch = Vec::new();
    let mut received = receiver.recv_many(&mut batch, MAX_BATCH).await;
    while received > 0 && batch.len() < delay.max_items() && Instant::now() < next_call {
        let rest = MAX_BATCH - batch.len();
        received = timeout_at(next_call, receiver.recv_many(&mut batch, rest)).await.unwrap_or(0);
    }
    (!batch.is_empty()).then_some(batch)
}

/// Makes a call and replies to its items. After a permanent error, each item is called again alone.
async fn call_and_reply<T, R, F, Fut>(call: &F, items: Vec<T>, replies: Vec<Reply<R>>)
where
    T: Clone,
    F: Fn(Vec<T>) -> Fut,
    Fut: Future<Output = Result<Vec<R>, EngineError>>,
{
    let retried = if items.len() > 1 { items.clone() } else { Vec::new() };
    match call_catching_panics(call, items).await {
        Err(error) if !retried.is_empty() && !error.is_transient() => {
            for (item, sender) in retried.into_iter().zip(replies) {
                reply(call_catching_panics(call, vec![item]).await, vec![sender]);
            }
        }
        results => reply(results, replies),
    }
}

/// Makes a call. A panic becomes an error of the call, so that the batcher continues.
async fn call_catching_panics<T, R, F, Fut>(call: &F, items: Vec<T>) -> Result<Vec<R>, EngineError>
where
    F: Fn(Vec<T>) -> Fut,
    Fut: Future<Output = Result<Vec<R>, EngineError>>,
{
    let calling = AssertUnwindSafe(async { call(items).await }).catch_unwind();
    calling.await.unwrap_or_else(|panic| {
        let source = format!("panicked: {}", panics::message(panic.as_ref())).into();
        Err(EngineError::Failed { doing: String::from("calling the store"), source })
    })
}

fn reply<R>(results: Result<Vec<R>, EngineError>, replies: Vec<Reply<R>>) {
    // A caller that was dropped needs no reply. Its call has happened, and its own guard undoes the effect.
    match results {
        Ok(results) => {
            for (sender, result) in replies.into_iter().zip(results) {
                drop(sender.send(Ok(result)));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for sender in replies {
                drop(sender.send(Err(Arc::clone(&error))));
            }
        }
    }
}

/// The error of a call that got no reply. It is transient, so that no job is given up because its process
/// stops.
fn stopped() -> Arc<EngineError> {
    Arc::new(EngineError::Unavailable {
        doing: String::from("calling the store"),
        source: "the worker has stopped, or the store returned too few results".into(),
    })
}

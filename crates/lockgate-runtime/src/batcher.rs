//! Calls of the same kind travel together: whatever has come in while one call was under way is the next one.
//!
//! Alone, an item leaves at once; under load the groups grow by themselves, and those that nobody waits for are paced, so
//! that they grow further. With one lane, order is kept.
//!
//! A call that fails for good, or panics, is repeated for each of its items alone: one that a store refuses fails no other.

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

/// An error that all items of a group share.
pub(crate) type GroupError = Arc<EngineError>;

/// The answer to one item of a group.
pub(crate) type Answer<R> = Result<R, GroupError>;

/// The most items in one call: what a store takes in one transaction without holding up the others for long.
pub(crate) const MAX_GROUP: usize = 256;

/// A way to make calls that travel together.
pub(crate) struct Group<T, R> {
    sender: mpsc::Sender<(T, oneshot::Sender<Answer<R>>)>,
}

/// How calls of a group follow each other.
#[derive(Clone)]
pub(crate) struct Pace {
    /// The least time from one to the next.
    pub(crate) least: Duration,
    /// What makes one item each: once as many wait as it counts, no more will come. `None`: more may always come.
    pub(crate) from: Option<TaskTracker>,
}

impl Pace {
    const NONE: Self = Self { least: Duration::ZERO, from: None };

    /// What is worth waiting for.
    fn most(&self) -> usize {
        self.from.as_ref().map_or(MAX_GROUP, |makers| makers.len().min(MAX_GROUP))
    }
}

impl<T, R> Group<T, R>
where
    T: Clone + Send + 'static,
    R: Send + 'static,
{
    /// Starts the group, with one call under way at a time; it ends when its last handle is dropped. `call` answers
    /// each item, in order.
    pub(crate) fn start<F, Fut>(tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        Self::in_lanes(1, tracker, call)
    }

    /// As [`Group::start`], with up to `lanes` calls under way at once: an item waits less for others to be answered,
    /// and may overtake them.
    pub(crate) fn in_lanes<F, Fut>(lanes: u32, tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        Self::with(lanes, Pace::NONE, tracker, call)
    }

    /// As [`Group::start`], with calls that begin no sooner than `pace.least` after each other, unless no more is to
    /// come before: for what nobody waits for. Alone, an item still leaves at once.
    pub(crate) fn paced<F, Fut>(pace: Pace, tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        Self::with(1, pace, tracker, call)
    }

    fn with<F, Fut>(lanes: u32, pace: Pace, tracker: &TaskTracker, call: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, EngineError>> + Send,
    {
        let (sender, receiver) = mpsc::channel(MAX_GROUP);
        let (receiver, call) = (Arc::new(Mutex::new(receiver)), Arc::new(call));
        for _ in 0..lanes {
            let (receiver, call, pace) = (Arc::clone(&receiver), Arc::clone(&call), pace.clone());
            tracker.spawn(async move {
                let mut next = Instant::now();
                loop {
                    // Locked while nothing comes: whoever is not calling takes all there is.
                    let waiting = gather(&mut *receiver.lock().await, next, &pace).await;
                    let Some(waiting) = waiting else { return };
                    next = Instant::now() + pace.least;
                    let (items, senders): (Vec<T>, Vec<_>) = waiting.into_iter().unzip();
                    call_for(call.as_ref(), items, senders).await;
                }
            });
        }
        Self { sender }
    }

    /// Makes one call of the group.
    pub(crate) async fn call(&self, item: T) -> Answer<R> {
        let (sender, receiver) = oneshot::channel();
        if self.sender.send((item, sender)).await.is_err() {
            return Err(ended());
        }
        receiver.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// What the next call is about: all that there is by `at`, or as soon as there is something after it; `None`: nothing will
/// come any more.
async fn gather<I>(receiver: &mut mpsc::Receiver<I>, at: Instant, pace: &Pace) -> Option<Vec<I>> {
    let mut waiting = Vec::new();
    let mut more = receiver.recv_many(&mut waiting, MAX_GROUP).await;
    while more > 0 && waiting.len() < pace.most() && Instant::now() < at {
        let rest = MAX_GROUP - waiting.len();
        more = timeout_at(at, receiver.recv_many(&mut waiting, rest)).await.unwrap_or(0);
    }
    (!waiting.is_empty()).then_some(waiting)
}

/// Makes a call and answers its items; one that fails for good is repeated for each item alone.
async fn call_for<T, R, F, Fut>(call: &F, items: Vec<T>, senders: Vec<oneshot::Sender<Answer<R>>>)
where
    T: Clone,
    F: Fn(Vec<T>) -> Fut,
    Fut: Future<Output = Result<Vec<R>, EngineError>>,
{
    let alone = if items.len() > 1 { items.clone() } else { Vec::new() };
    match guarded(call, items).await {
        Err(error) if !alone.is_empty() && !error.is_transient() => {
            for (item, sender) in alone.into_iter().zip(senders) {
                answer(guarded(call, vec![item]).await, vec![sender]);
            }
        }
        answers => answer(answers, senders),
    }
}

/// Makes a call. A panic in it is an error of the call, so that the group goes on.
async fn guarded<T, R, F, Fut>(call: &F, items: Vec<T>) -> Result<Vec<R>, EngineError>
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

fn answer<R>(answers: Result<Vec<R>, EngineError>, senders: Vec<oneshot::Sender<Answer<R>>>) {
    // A caller that went away needs no answer: what it asked for has happened, and its own guard puts it right.
    match answers {
        Ok(answers) => {
            for (sender, answer) in senders.into_iter().zip(answers) {
                drop(sender.send(Ok(answer)));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for sender in senders {
                drop(sender.send(Err(Arc::clone(&error))));
            }
        }
    }
}

/// Transient, so that nothing is given up because a process ends.
fn ended() -> GroupError {
    Arc::new(EngineError::Unavailable {
        doing: String::from("calling the store"),
        source: "this worker has stopped, or its store returned too few answers".into(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn what_comes_in_during_a_call_is_the_next_call() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sizes);
        let group = Group::start(&TaskTracker::new(), move |items: Vec<u32>| {
            seen.lock().unwrap().push(items.len());
            async move {
                tokio::task::yield_now().await;
                Ok(items.into_iter().map(|n| n * 2).collect())
            }
        });
        let answers = join_all((0..100).map(|n| group.call(n))).await;
        let doubled: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(doubled, (0..100).map(|n| n * 2).collect::<Vec<_>>());
        assert!(sizes.lock().unwrap().len() < 10, "{:?}", sizes.lock().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_lane_does_not_wait_for_the_first() {
        let group = Group::in_lanes(2, &TaskTracker::new(), |items: Vec<u64>| async {
            tokio::time::sleep(Duration::from_secs(items[0])).await; // virtual time
            Ok(items)
        });
        let begun = Instant::now();
        let slow = group.call(100);
        let quick = async {
            tokio::task::yield_now().await;
            group.call(1).await.unwrap();
            begun.elapsed()
        };
        let (slow, quick) = tokio::join!(slow, quick);
        assert_eq!((slow.unwrap(), quick), (100, Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn paced_calls_gather_what_comes_between_them_unless_one_is_full() {
        let pace = Pace { least: Duration::from_millis(10), from: None };
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (seen, begun) = (Arc::clone(&calls), Instant::now());
        let group = &Group::paced(pace, &TaskTracker::new(), move |items: Vec<u32>| {
            seen.lock().unwrap().push((begun.elapsed(), items.len()));
            async { Ok(items) }
        });
        let after = |wait, n| async move { (tokio::time::sleep(wait).await, group.call(n).await) }; // virtual time
        let few = (0..5).map(|n| after(Duration::from_millis(2) * n, n));
        let many = (0..300).map(|n| after(Duration::from_millis(50), n));
        join_all(few.chain(many)).await;
        let ms = Duration::from_millis;
        let mut calls = calls.lock().unwrap().clone();
        // Full before its time is over: MAX_GROUP come at once, and the rest waits.
        assert_eq!(calls.split_off(2).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [ms(50), ms(60)]);
        assert_eq!(calls, [(ms(0), 1), (ms(10), 4)], "alone at once, then together");
    }

    #[tokio::test(start_paused = true)]
    async fn a_paced_call_does_not_wait_for_what_will_not_come() {
        let (tasks, begun) = (TaskTracker::new(), Instant::now());
        let pace = Pace { least: Duration::from_millis(10), from: Some(tasks.clone()) };
        let group = Arc::new(Group::paced(pace, &TaskTracker::new(), |items: Vec<u32>| async { Ok(items) }));
        // Each makes its calls one after the other, as a worker does that has few jobs at hand.
        for n in 0..3 {
            let group = Arc::clone(&group);
            tasks.spawn(async move {
                for _ in 0..100 {
                    group.call(n).await.unwrap();
                }
            });
        }
        tasks.close();
        tasks.wait().await;
        assert!(begun.elapsed() <= Duration::from_millis(10), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn item_that_the_store_refuses_fails_no_other() {
        let group = Group::start(&TaskTracker::new(), |items: Vec<u32>| async {
            match items.iter().find(|n| **n % 10 >= 8) {
                Some(n) if n % 10 == 8 => Err(EngineError::Conflict { reason: format!("{n} is refused") }),
                Some(n) => panic!("{n} is out of order"),
                None => Ok(items),
            }
        });
        let answers = join_all((0..30).map(|n| group.call(n))).await;
        for (n, answer) in (0..30).zip(answers) {
            match (n % 10, answer) {
                (8, Err(error)) => assert_eq!(error.to_string(), format!("{n} is refused")),
                (9, Err(error)) => assert!(!error.is_transient(), "{error:?}"),
                (..8, Ok(answer)) => assert_eq!(answer, n),
                (_, answer) => panic!("{n}: {answer:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_store_that_answers_short_is_an_error_not_a_hang() {
        let group = Group::start(&TaskTracker::new(), |_: Vec<u32>| async { Ok(Vec::<u32>::new()) });
        assert!(group.call(1).await.is_err());
    }
}

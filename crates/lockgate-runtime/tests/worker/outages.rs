//! What a worker logs during an outage of its slot store: each cause once, and the end of the outage.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockgate_core::pool::{PoolChange, PoolCommand};
use lockgate_core::slots::PoolQuery;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::faults::FaultySlots;
use crate::scenario::{Act, Scenario};

/// Keeps the messages of the runtime from information on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    fn count(&self, level: Level, part: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|(l, text)| *l == level && text.contains(part)).count()
    }

    fn all(&self) -> String {
        format!("{:#?}", self.0.lock().unwrap())
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 = format!("{} {}={value:?}", self.0, field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("lockgate_runtime")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push((*event.metadata().level(), message.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn outage_under_many_jobs_is_one_warning_and_one_line_when_it_is_over() {
    let mut scenario = Scenario::new(8, vec![Act::Succeed { after: Duration::from_secs(1) }; 60]).await;
    let faults = FaultySlots::around(&mut scenario.engine);
    let log = Log::default();
    let _logs = tracing::subscriber::set_default(log.clone());
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(8).await;
    faults.refuse();
    tokio::time::sleep(Duration::from_secs(60)).await; // virtual time
    assert_eq!(log.count(Level::WARN, "the slot store fails"), 1, "{}", log.all());
    let slots = ["heartbeat failed", "release not confirmed", "slot store unreachable", "no pushes"];
    assert_eq!(slots.map(|part| log.count(Level::WARN, part)), [0; 4], "{}", log.all());
    assert!(log.count(Level::ERROR, "no heartbeat has succeeded") <= 1, "{}", log.all());
    faults.mend();
    scenario.until("it is said to work again", async |_| log.count(Level::INFO, "works again") == 1).await;
}

#[tokio::test(start_paused = true)]
async fn worker_that_holds_nothing_logs_no_error_in_an_outage() {
    let mut scenario = Scenario::new(1, []).await;
    scenario.options.until_idle = false;
    let faults = FaultySlots::around(&mut scenario.engine);
    let log = Log::default();
    let _logs = tracing::subscriber::set_default(log.clone());
    let (_stop, _tasks) = scenario.start();
    scenario.until("it runs", async |_| log.count(Level::INFO, "worker started") == 1).await;
    faults.refuse();
    tokio::time::sleep(Duration::from_secs(60)).await; // virtual time
    assert_eq!(log.count(Level::ERROR, ""), 0, "{}", log.all());
    assert_eq!(log.count(Level::WARN, "the slot store fails"), 1, "{}", log.all());
}

#[tokio::test(start_paused = true)]
async fn store_that_refuses_only_grants_is_warned_of_while_heartbeats_pass() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::ZERO }]).await;
    let faults = FaultySlots::around(&mut scenario.engine);
    faults.cut_acquires();
    let log = Log::default();
    let _logs = tracing::subscriber::set_default(log.clone());
    let (_stop, _tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(30)).await; // virtual time: ten heartbeats
    assert_eq!(log.count(Level::WARN, "the slot store fails"), 1, "{}", log.all());
    assert_eq!(log.count(Level::INFO, "works again"), 0, "a heartbeat does not end it: {}", log.all());
    faults.mend();
    scenario.until("it is said to work again", async |_| log.count(Level::INFO, "works again") == 1).await;
}

#[tokio::test(start_paused = true)]
async fn announcing_a_drain_changes_no_version() {
    let scenario = Scenario::new(3, []).await;
    let before = scenario.pool().await;
    let change = PoolChange { longest_drain: Some(Duration::from_secs(30)), ..PoolChange::default() };
    let set = PoolCommand::Set { pool: before.name.clone(), change, version: None };
    let after = scenario.engine.slots.control(set).await.unwrap();
    assert_eq!((after.version, after.slots), (before.version, before.slots));
    assert_eq!(scenario.engine.slots.inspect(&PoolQuery::writable()).await.unwrap()[0].status, after);
}

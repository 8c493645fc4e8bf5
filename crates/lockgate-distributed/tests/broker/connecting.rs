//! When connections to the broker are opened, and what happens to a broker that is dropped while it connects.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lockgate_core::broker::Broker;
use lockgate_core::ledger::RunQuery;
use lockgate_core::slots::PoolQuery;
use lockgate_core::timing::SlotTiming;
use lockgate_distributed::{BrokerOptions, Options, RabbitBroker, open};
use support::servers;
use support::wait::eventually_async;
use tokio::time::timeout;

use crate::faults::queue;
use crate::rabbit::database::OwnDatabase;
use crate::rabbit::shared;

/// Returns a server that accepts no connection by itself, so that each attempt can be detected.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("amqp://{}/%2f", listener.local_addr().unwrap());
    (listener, url)
}

fn is_untouched(listener: &TcpListener) -> bool {
    matches!(listener.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[tokio::test]
async fn calls_of_ledger_and_slots_open_no_connection_to_the_broker() {
    let Some(shared) = servers::shared().unwrap() else { return };
    let database = OwnDatabase::on(shared);
    let (listener, amqp) = listener();
    let options = Options {
        postgres: database.to_string().into(),
        amqp: amqp.into(),
        redis: shared.redis_url().into(),
        namespace: uuid::Uuid::now_v7().simple().to_string(),
        timing: SlotTiming::default(),
        process: "test".to_owned(),
    };
    let engine = open(options).await.unwrap().engine;
    assert!(engine.ledger.runs(RunQuery::default()).await.unwrap().is_empty());
    assert!(engine.slots.inspect(&PoolQuery::all()).await.unwrap().is_empty());
    assert!(is_untouched(&listener), "a connection to the broker was opened");
    let broker = Arc::clone(&engine.broker);
    let counting = tokio::task::JoinSet::from_iter([async move { broker.depth(&queue()).await.map(drop) }]);
    eventually_async("a connection is opened", Duration::from_secs(20), async || listener.accept().ok())
        .await
        .unwrap();
    drop(counting);
}

/// A process that waits for another store, or that ends, drops its broker during a handshake.
#[tokio::test]
async fn broker_that_is_dropped_while_it_connects_does_not_panic() {
    let Some(fixture) = shared() else { return };
    let panics = Arc::new(AtomicUsize::new(0));
    let (count, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        count.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    for step in 0..60 {
        let options = BrokerOptions::new(fixture.url(), "test");
        let broker = RabbitBroker::connect(options).unwrap();
        let moment = Duration::from_micros(step * 200);
        drop(timeout(moment, broker.depth(&queue())).await);
    }
    // The connections above were started before this one.
    fixture.broker.depth(&queue()).await.unwrap();
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

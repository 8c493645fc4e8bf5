//! What becomes of a message when the process that has it dies.

use std::time::Duration;

use lockgate_core::timing::SlotTiming;
use lockgate_core::{Envelope, JobId, Key, Kind, QueueName, Tenant};
use tokio::time::timeout;
use uuid::Uuid;

use super::subscription::{OpenConsumer, Receive};
use crate::store_clock::Reading;
use crate::{Options, open};

#[tokio::test]
async fn the_messages_of_a_dead_process_are_delivered_again_and_it_gets_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let timing = SlotTiming {
        ttl: Duration::from_millis(900),
        heartbeat: Duration::from_millis(150),
        clock_cap: Duration::from_millis(250),
        margin: Duration::from_millis(50),
    };
    let options = Options { timing, ..Options::new(folder.path().join("lockgate.db")) };
    let embedded = open(options).await.unwrap();
    let (engine, database) = (embedded.engine, embedded.database);
    let queue = QueueName::new("q").unwrap();
    let envelope = Envelope {
        job: JobId(Uuid::now_v7()),
        kind: Kind::new("kind").unwrap(),
        key: Key::new("key").unwrap(),
        tenant: Tenant::new("tenant").unwrap(),
        run: None,
        queue: queue.clone(),
        dispatch: 1,
        payload: "{}".to_owned(),
    };
    engine.broker.publish(std::slice::from_ref(&envelope)).await.unwrap();

    // A consumer without a heartbeat: its process died as soon as it had the message.
    let reading = Reading::of(&database, timing);
    let consumer =
        database.write("subscribing", OpenConsumer { reading, queue: queue.clone() }).await.unwrap();
    let take = || Receive { consumer, queue: queue.clone(), prefetch: 10 };
    assert_eq!(database.write("taking", take()).await.unwrap().len(), 1);

    let mut alive = engine.broker.subscribe(&queue, 10).await.unwrap();
    let again = timeout(Duration::from_secs(10), alive.next()).await.unwrap().unwrap();
    assert_eq!(again.len(), 1);
    assert!(again[0].redelivered);
    assert_eq!(again[0].message.as_ref().unwrap(), &envelope);

    // It was not dead after all: it is told, and gets nothing.
    engine.broker.publish(std::slice::from_ref(&envelope)).await.unwrap();
    drop(alive);
    let late = database.write("taking", take()).await.unwrap_err();
    assert!(late.is_transient(), "{late}");
}

//! Tests of messages in flight when their process dies.

use std::time::Duration;

use lockgate_core::timing::SlotTiming;
use lockgate_core::{Envelope, JobId, Key, Kind, QueueName, Tenant};
use tokio::time::timeout;
use uuid::Uuid;

use super::subscription::{OpenConsumer, Receive};
use crate::store_clock::Reading;
use crate::{Options, open};

#[tokio::test]
async fn messages_of_a_dead_consumer_are_redelivered_and_it_receives_no_more() {
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

    // A consumer without heartbeats, as if its process died right after it received the message.
    let reading = Reading::of(&database, timing);
    let consumer =
        database.write("subscribing", OpenConsumer { reading, queue: queue.clone() }).await.unwrap();
    let receive = || Receive { consumer, queue: queue.clone(), prefetch: 10 };
    assert_eq!(database.write("receiving", receive()).await.unwrap().len(), 1);

    let mut alive = engine.broker.subscribe(&queue, 10).await.unwrap();
    let again = timeout(Duration::from_secs(10), alive.next()).await.unwrap().unwrap();
    assert_eq!(again.len(), 1);
    assert!(again[0].redelivered);
    assert_eq!(again[0].message.as_ref().unwrap(), &envelope);

    // The consumer was alive after all. It gets an error, and no message.
    engine.broker.publish(std::slice::from_ref(&envelope)).await.unwrap();
    drop(alive);
    let late = database.write("receiving", receive()).await.unwrap_err();
    assert!(late.is_transient(), "{late}");
}

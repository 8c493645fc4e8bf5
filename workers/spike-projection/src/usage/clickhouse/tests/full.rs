//! A full server: 159 queries at once on a private server that allows 100.

use lockgate::{ErrorClass, JobError};
use support::servers::{ClickHouse, clickhouse_available};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn of_159_queries_59_are_rejected_at_once_and_the_others_can_be_cancelled_on_the_full_server() {
    if !clickhouse_available().unwrap() {
        return;
    }
    let server = ClickHouse::start().unwrap();
    let database = TestDatabase::on(server.url());
    let client = database.client();
    let (answers, mut answered) = mpsc::unbounded_channel();
    let queries = TaskTracker::new();
    for n in 0..159 {
        let (client, answers) = (client.clone(), answers.clone());
        queries.spawn(async move {
            let id = format!("evening-{n}").parse().unwrap();
            let answer = client.read(&Statement::new(SLOW), &id).await;
            // The receiver is dropped at the end of the test, while queries still run.
            drop(answers.send(answer));
        });
    }
    for _ in 0..59 {
        let error = answered.recv().await.unwrap().unwrap_err();
        assert!(matches!(error, ClickHouseError::Server { code: 202, .. }), "{error}");
        assert_eq!(
            (error.class(), error.backend_may_run()),
            (ErrorClass::Overloaded { retry_after: None }, false)
        );
    }
    // All others run, so the 59 were rejected because of the limit and not because of a slow queue.
    assert_eq!(database.running("evening-"), 100);
    let operator = database.queries();
    let running = operator.running("evening-").await.unwrap();
    assert_eq!(running.len(), 100);
    assert_eq!(operator.end(&running[0]).await.unwrap(), CancelOutcome::Killed);
    let killed = answered.recv().await.unwrap().unwrap_err();
    assert!(matches!(killed, ClickHouseError::Server { code: 394, .. }), "{killed}");
    assert!(answered.try_recv().is_err(), "one query was cancelled, and no other");
    assert_eq!(database.running("evening-"), 99);
}

//! A full server: the evening of the 159 queries, on a server of its own.

use lockgate::{ErrorClass, JobError};
use support::servers::{ClickHouse, clickhouse_available};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn of_159_queries_at_once_59_are_refused_at_once_and_the_rest_can_be_ended_on_a_full_server() {
    if !clickhouse_available().unwrap() {
        return;
    }
    let server = ClickHouse::start().unwrap();
    let place = Place::on(server.url());
    let client = place.client();
    let (answers, mut answered) = mpsc::unbounded_channel();
    let queries = TaskTracker::new();
    for n in 0..159 {
        let (client, answers) = (client.clone(), answers.clone());
        queries.spawn(async move {
            let id = format!("evening-{n}").parse().unwrap();
            let answer = client.read(&Statement::new(SLOW), &id).await;
            // Nobody listens any more once the rest is given up.
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
    // All others run, so the 59 were not refused for a queue that was slow to move.
    assert_eq!(place.running("evening-"), 100);
    let operator = place.queries();
    let running = operator.running("evening-").await.unwrap();
    assert_eq!(running.len(), 100);
    assert_eq!(operator.end(&running[0]).await.unwrap(), Ended::Killed);
    let killed = answered.recv().await.unwrap().unwrap_err();
    assert!(matches!(killed, ClickHouseError::Server { code: 394, .. }), "{killed}");
    assert!(answered.try_recv().is_err(), "one was ended, and no other");
    assert_eq!(place.running("evening-"), 99);
}

//! Running queries are listed and cancelled, and their end is confirmed.

use lockgate::JobError;
use support::servers::{ClickHouse, clickhouse_available};

use super::*;

#[tokio::test]
async fn query_of_a_disconnected_caller_runs_until_it_is_cancelled() {
    let Some(database) = TestDatabase::find() else { return };
    let (id, client) = (an_id(), database.client());
    let slow = Statement::new(SLOW);
    let dropped = async {
        tokio::select! {
            answer = client.read(&slow, &id) => panic!("{answer:?}"),
            () = database.eventually("the query runs", |database| database.running(id.as_str()) == 1) => {}
        }
    };
    dropped.await;
    // The connection is closed with its client; the server continues the query.
    drop(client);
    let elapsed = format!("SELECT count() FROM system.processes WHERE query_id = '{id}' AND elapsed > 2");
    database.eventually("the query has run for two seconds", |database| database.ask(&elapsed) == "1").await;
    let queries = database.queries();
    assert_eq!(queries.running(id.as_str()).await.unwrap(), [id.to_string()]);
    assert_eq!(queries.end(id.as_str()).await.unwrap(), CancelOutcome::Killed);
    assert_eq!(
        (database.running(id.as_str()), queries.end(id.as_str()).await.unwrap()),
        (0, CancelOutcome::NotSeen)
    );
    assert!(queries.running(id.as_str()).await.unwrap().is_empty());
}

#[tokio::test]
async fn query_without_a_response_is_cancelled_before_its_caller_gets_the_error() {
    let Some(database) = TestDatabase::find() else { return };
    let brief = ClickHouseSettings { timeout: Duration::from_millis(1_500), ..database.settings.clone() };
    let (source, id) = (ClickHouseSource::new(&brief).unwrap(), an_id());
    let error = source.read(&Statement::new(SLOW), &id).await.unwrap_err();
    assert!(matches!(error, ClickHouseError::NoResponse { ended: true, .. }), "{error}");
    assert!(!error.backend_may_run(), "the slot is free at once");
    assert_eq!(database.running(id.as_str()), 0);
}

#[tokio::test]
async fn death_of_the_server_confirms_no_cancellation() {
    if !clickhouse_available().unwrap() {
        return;
    }
    let mut server = ClickHouse::start().unwrap();
    let database = TestDatabase::on(server.url());
    let (source, id) = (database.source(), an_id());
    let slow = Statement::new(SLOW);
    let killed = async {
        database.eventually("the query runs", |database| database.running(id.as_str()) == 1).await;
        server.kill();
    };
    let (error, ()) = tokio::join!(source.read(&slow, &id), killed);
    let error = error.unwrap_err();
    assert!(matches!(error, ClickHouseError::NoResponse { ended: false, .. }), "{error}");
    assert!(error.backend_may_run(), "the slot is kept until the time limit of the query has passed");
}

#[tokio::test]
async fn only_queries_of_one_job_are_found_by_its_prefix() {
    let Some(database) = TestDatabase::find() else { return };
    let (mine, other) = (an_id(), an_id());
    let client = database.client();
    let slow = Statement::new(SLOW);
    let (hours, queries) = (mine.another("hours"), database.queries());
    let job = mine.as_str().strip_suffix("1-7").unwrap().to_owned();
    tokio::select! {
        _ = client.read(&slow, &mine) => panic!("the query ended"),
        _ = client.read(&slow, &hours) => panic!("the query ended"),
        _ = client.read(&slow, &other) => panic!("the query ended"),
        () = database.eventually("all queries run", |database| database.running(&job) == 2 && database.running(other.as_str()) == 1) => {}
    }
    let mut found = queries.running(&job).await.unwrap();
    found.sort();
    assert_eq!(found, [mine.to_string(), hours.to_string()]);
    for id in found {
        assert_eq!(queries.end(&id).await.unwrap(), CancelOutcome::Killed);
    }
    assert_eq!(database.running(other.as_str()), 1, "another job's query is not cancelled");
    assert_eq!(queries.end(other.as_str()).await.unwrap(), CancelOutcome::Killed);
}

#[tokio::test]
async fn id_with_special_characters_is_not_sent_to_the_server() {
    let queries = Queries::new(&settings("http://127.0.0.1:1/nowhere".to_owned())).unwrap();
    for bad in ["' OR 1 = 1 --", "", "a_b"] {
        assert!(matches!(queries.end(bad).await, Err(ClickHouseError::Id(_))), "{bad}");
        assert!(matches!(queries.running(bad).await, Err(ClickHouseError::Id(_))), "{bad}");
    }
}

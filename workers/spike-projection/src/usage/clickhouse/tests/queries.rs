//! Running queries are seen, ended, and confirmed to be gone.

use lockgate::JobError;
use support::servers::{ClickHouse, clickhouse_available};

use super::*;

#[tokio::test]
async fn a_query_whose_caller_is_gone_runs_on_until_it_is_ended() {
    let Some(place) = Place::find() else { return };
    let (id, client) = (an_id(), place.client());
    let slow = Statement::new(SLOW);
    let dropped = async {
        tokio::select! {
            answer = client.read(&slow, &id) => panic!("{answer:?}"),
            () = place.eventually("it runs", |place| place.running(id.as_str()) == 1) => {}
        }
    };
    dropped.await;
    // The connection goes with its client; the server works on.
    drop(client);
    let elapsed = format!("SELECT count() FROM system.processes WHERE query_id = '{id}' AND elapsed > 2");
    place.eventually("it works on for two seconds", |place| place.ask(&elapsed) == "1").await;
    let queries = place.queries();
    assert_eq!(queries.running(id.as_str()).await.unwrap(), [id.to_string()]);
    assert_eq!(queries.end(id.as_str()).await.unwrap(), Ended::Killed);
    assert_eq!((place.running(id.as_str()), queries.end(id.as_str()).await.unwrap()), (0, Ended::NotSeen));
    assert!(queries.running(id.as_str()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_query_whose_answer_does_not_come_is_ended_before_its_caller_hears_of_it() {
    let Some(place) = Place::find() else { return };
    let brief = ClickHouseSettings { timeout: Duration::from_millis(1_500), ..place.settings.clone() };
    let (source, id) = (ClickHouseSource::new(&brief).unwrap(), an_id());
    let error = source.read(&Statement::new(SLOW), &id).await.unwrap_err();
    assert!(matches!(error, ClickHouseError::NoAnswer { ended: true, .. }), "{error}");
    assert!(!error.backend_may_run(), "its slot is free at once");
    assert_eq!(place.running(id.as_str()), 0);
}

#[tokio::test]
async fn a_server_that_dies_with_a_query_has_confirmed_nothing() {
    if !clickhouse_available().unwrap() {
        return;
    }
    let mut server = ClickHouse::start().unwrap();
    let place = Place::on(server.url());
    let (source, id) = (place.source(), an_id());
    let slow = Statement::new(SLOW);
    let killed = async {
        place.eventually("it runs", |place| place.running(id.as_str()) == 1).await;
        server.kill();
    };
    let (error, ()) = tokio::join!(source.read(&slow, &id), killed);
    let error = error.unwrap_err();
    assert!(matches!(error, ClickHouseError::NoAnswer { ended: false, .. }), "{error}");
    assert!(error.backend_may_run(), "whoever holds its slot keeps it until its time limit has passed");
}

#[tokio::test]
async fn only_the_queries_of_one_job_are_found_by_it() {
    let Some(place) = Place::find() else { return };
    let (mine, other) = (an_id(), an_id());
    let client = place.client();
    let slow = Statement::new(SLOW);
    let (hours, queries) = (mine.another("hours"), place.queries());
    let job = mine.as_str().strip_suffix("1-7").unwrap().to_owned();
    tokio::select! {
        _ = client.read(&slow, &mine) => panic!("it ended"),
        _ = client.read(&slow, &hours) => panic!("it ended"),
        _ = client.read(&slow, &other) => panic!("it ended"),
        () = place.eventually("all run", |place| place.running(&job) == 2 && place.running(other.as_str()) == 1) => {}
    }
    let mut found = queries.running(&job).await.unwrap();
    found.sort();
    assert_eq!(found, [mine.to_string(), hours.to_string()]);
    for id in found {
        assert_eq!(queries.end(&id).await.unwrap(), Ended::Killed);
    }
    assert_eq!(place.running(other.as_str()), 1, "another job's query is left alone");
    assert_eq!(queries.end(other.as_str()).await.unwrap(), Ended::Killed);
}

#[tokio::test]
async fn an_id_that_means_more_than_an_id_never_reaches_the_server() {
    let queries = Queries::new(&settings("http://127.0.0.1:1/nowhere".to_owned())).unwrap();
    for bad in ["' OR 1 = 1 --", "", "a_b"] {
        assert!(matches!(queries.end(bad).await, Err(ClickHouseError::Id(_))), "{bad}");
        assert!(matches!(queries.running(bad).await, Err(ClickHouseError::Id(_))), "{bad}");
    }
}

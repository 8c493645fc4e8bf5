//! Each class of error, provoked for real.

use lockgate::{ErrorClass, JobError};

use super::*;

async fn error_of(client: &Client, statement: &'static str) -> ClickHouseError {
    let answer = client.read(&Statement::new(statement), &an_id()).await;
    answer.map(|body| String::from_utf8_lossy(&body).chars().take(200).collect::<String>()).unwrap_err()
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_permanent() {
    let Some(place) = Place::find() else { return };
    let client = place.client();
    for (code, statement) in [
        (6, "SELECT toUInt64('many')"),
        (46, "SELECT no_such_function(1)"),
        (47, "SELECT no_such_column"),
        (53, "SELECT x FROM (SELECT 1 AS x) ANY INNER JOIN (SELECT 'a' AS x) USING x"),
        (60, "SELECT * FROM no_such_table"),
        (62, "SELECT FROM WHERE"),
        (73, "SELECT 1 FORMAT NoSuchFormat"),
        (81, "SELECT * FROM no_such_database.x"),
        (115, "SELECT 1 SETTINGS no_such_setting = 1"),
    ] {
        let error = error_of(&client, statement).await;
        assert!(
            matches!(error, ClickHouseError::Server { code: got, .. } if got == code),
            "{statement}: {error}"
        );
        assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Permanent, false), "{statement}");
    }
    let answer = place.source().hourly("7", Hour(1)..Hour(2), &an_id()).await.unwrap_err();
    assert!(answer.to_string().contains("usage import --to clickhouse"), "{answer}");
}

#[tokio::test]
async fn too_little_memory_and_too_little_time_are_worth_another_attempt() {
    let Some(place) = Place::find() else { return };
    let hungry =
        "SELECT number, count() FROM (SELECT number FROM system.numbers LIMIT 10000000) GROUP BY number";
    let error = error_of(&place.client_of("poor:hush"), hungry).await;
    assert!(matches!(error, ClickHouseError::Server { code: 241, .. }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Retry, false));

    let brief = ClickHouseSettings { query_timeout: Duration::from_secs(1), ..place.settings.clone() };
    let error = error_of(&Client::new(&brief).unwrap(), SLOW).await;
    assert!(matches!(error, ClickHouseError::Server { code: 159, .. }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Retry, false));
}

#[tokio::test]
async fn an_error_after_the_first_rows_is_no_result() {
    let Some(place) = Place::find() else { return };
    let late =
        "SELECT throwIf(number = 500000) FROM system.numbers LIMIT 600000 SETTINGS max_block_size = 1000";
    let error = error_of(&place.client(), late).await;
    assert!(matches!(error, ClickHouseError::Server { code: 395, .. }), "{error}");
    // As a server behind a proxy that drops the parameter would send it: rows first, with a status of success.
    let raw = ask_clickhouse(
        &place.server,
        "SELECT throwIf(number = 500000) AS a FROM system.numbers LIMIT 600000 \
                             SETTINGS max_block_size = 1000 FORMAT JSONCompact",
    );
    let raw = raw.unwrap();
    assert!(raw.contains("\"meta\"") && raw.contains("Code: 395"), "{}", raw.len());
    let error = answer::rows::<serde_json::Value>(raw.as_bytes()).unwrap_err();
    assert!(matches!(error, ClickHouseError::Server { code: 395, .. }), "{error}");
}

#[tokio::test]
async fn a_result_that_the_server_would_cut_off_is_an_error_instead() {
    let Some(place) = Place::find() else { return };
    // A user whose profile cuts results off: the server then answers with a part, and says nothing of it.
    let part =
        ask_clickhouse(&place.url_of("cut-off:hush"), "SELECT number FROM system.numbers LIMIT 1000000")
            .unwrap();
    assert!((1..1_000_000).contains(&part.lines().count()), "{}", part.len());
    let long = "SELECT number FROM system.numbers LIMIT 1000000 FORMAT JSONCompact";
    let error = error_of(&place.client_of("cut-off:hush"), long).await;
    assert!(matches!(error, ClickHouseError::Server { code: 396, .. }), "{error}");
    let small = ClickHouseSettings { max_answer_bytes: 2_000, ..place.settings.clone() };
    let long = "SELECT number FROM system.numbers LIMIT 10000 FORMAT JSONCompact";
    let error = error_of(&Client::new(&small).unwrap(), long).await;
    assert!(matches!(error, ClickHouseError::TooLarge { most: 2_000 }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Permanent, false));
}

#[tokio::test]
async fn a_second_delivery_does_not_run_and_leaves_the_first_alone() {
    let Some(place) = Place::find() else { return };
    let (id, client) = (an_id(), place.client());
    let first = async { client.read(&Statement::new(SLOW), &id).await };
    let second = async {
        place.eventually("the first runs", |place| place.running(id.as_str()) == 1).await;
        let error = place.client().read(&Statement::new("SELECT 1"), &id).await.unwrap_err();
        assert!(matches!(error, ClickHouseError::Server { code: 216, .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Unavailable, "no attempt used");
        assert!(error.backend_may_run(), "the first one runs");
        assert_eq!(place.running(id.as_str()), 1);
        place.queries().end(id.as_str()).await.unwrap()
    };
    let (first, ended) = tokio::join!(first, second);
    assert_eq!(ended, Ended::Killed);
    let error = first.unwrap_err();
    assert!(matches!(error, ClickHouseError::Server { code: 394, .. }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Retry, false));
}

#[tokio::test]
async fn rights_that_are_missing_are_named_with_the_way_out() {
    let Some(place) = Place::find() else { return };
    for (user, code, way_out) in [
        ("worker:wrong", 193, "check user and password"),
        ("nobody:hush", 192, "check user and password"),
        ("readonly:hush", 164, "readonly = 2"),
    ] {
        let error = error_of(&place.client_of(user), "SELECT 1").await;
        assert!(matches!(error, ClickHouseError::Server { code: got, .. } if got == code), "{error}");
        assert_eq!(error.class(), ErrorClass::Permanent);
        let text = error.to_string();
        assert!(text.contains(way_out) && !text.contains("hush"), "{text}");
    }
    place.client_of("worker:hush").read(&Statement::new("SELECT 1"), &an_id()).await.unwrap();
}

#[tokio::test]
async fn nobody_there_means_no_query_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = error_of(&Client::new(&settings(url)).unwrap(), "SELECT 1").await;
    assert!(matches!(error, ClickHouseError::Unreachable(_)), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Unavailable, false));
}

//! Each class of error, caused on a real server.

use lockgate::{ErrorClass, JobError};

use super::*;

async fn error_of(client: &Client, statement: &'static str) -> ClickHouseError {
    let answer = client.read(&Statement::new(statement), &an_id()).await;
    answer.map(|body| String::from_utf8_lossy(&body).chars().take(200).collect::<String>()).unwrap_err()
}

#[tokio::test]
async fn faulty_query_is_a_permanent_error() {
    let Some(database) = TestDatabase::find() else { return };
    let client = database.client();
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
    let answer = database.source().hourly("7", Hour(1)..Hour(2), &an_id()).await.unwrap_err();
    assert!(answer.to_string().contains("usage import --to clickhouse"), "{answer}");
}

#[tokio::test]
async fn queries_that_exceed_memory_or_time_limits_are_retried() {
    let Some(database) = TestDatabase::find() else { return };
    let hungry =
        "SELECT number, count() FROM (SELECT number FROM system.numbers LIMIT 10000000) GROUP BY number";
    let error = error_of(&database.client_of("poor:hush"), hungry).await;
    assert!(matches!(error, ClickHouseError::Server { code: 241, .. }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Retry, false));

    let brief = ClickHouseSettings { query_timeout: Duration::from_secs(1), ..database.settings.clone() };
    let error = error_of(&Client::new(&brief).unwrap(), SLOW).await;
    assert!(matches!(error, ClickHouseError::Server { code: 159, .. }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Retry, false));
}

#[tokio::test]
async fn error_after_the_first_rows_is_an_error() {
    let Some(database) = TestDatabase::find() else { return };
    let late =
        "SELECT throwIf(number = 500000) FROM system.numbers LIMIT 600000 SETTINGS max_block_size = 1000";
    let error = error_of(&database.client(), late).await;
    assert!(matches!(error, ClickHouseError::Server { code: 395, .. }), "{error}");
    // As a server would respond behind a proxy that removes the parameter: rows first, with a successful
    // status.
    let raw = ask_clickhouse(
        &database.server,
        "SELECT throwIf(number = 500000) AS a FROM system.numbers LIMIT 600000 \
                             SETTINGS max_block_size = 1000 FORMAT JSONCompact",
    );
    let raw = raw.unwrap();
    assert!(raw.contains("\"meta\"") && raw.contains("Code: 395"), "{}", raw.len());
    let error = answer::rows::<serde_json::Value>(raw.as_bytes()).unwrap_err();
    assert!(matches!(error, ClickHouseError::Server { code: 395, .. }), "{error}");
}

#[tokio::test]
async fn result_that_the_server_would_truncate_is_an_error() {
    let Some(database) = TestDatabase::find() else { return };
    // The profile of this user truncates results. The server then returns a partial result without saying so.
    let part =
        ask_clickhouse(&database.url_of("cut-off:hush"), "SELECT number FROM system.numbers LIMIT 1000000")
            .unwrap();
    assert!((1..1_000_000).contains(&part.lines().count()), "{}", part.len());
    let long = "SELECT number FROM system.numbers LIMIT 1000000 FORMAT JSONCompact";
    let error = error_of(&database.client_of("cut-off:hush"), long).await;
    assert!(matches!(error, ClickHouseError::Server { code: 396, .. }), "{error}");
    let small = ClickHouseSettings { max_answer_bytes: 2_000, ..database.settings.clone() };
    let long = "SELECT number FROM system.numbers LIMIT 10000 FORMAT JSONCompact";
    let error = error_of(&Client::new(&small).unwrap(), long).await;
    assert!(matches!(error, ClickHouseError::TooLarge { most: 2_000 }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Permanent, false));
}

#[tokio::test]
async fn second_delivery_of_a_running_query_is_rejected_and_leaves_the_first_running() {
    let Some(database) = TestDatabase::find() else { return };
    let (id, client) = (an_id(), database.client());
    let first = async { client.read(&Statement::new(SLOW), &id).await };
    let second = async {
        database.eventually("the first query runs", |database| database.running(id.as_str()) == 1).await;
        let error = database.client().read(&Statement::new("SELECT 1"), &id).await.unwrap_err();
        assert!(matches!(error, ClickHouseError::Server { code: 216, .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Unavailable, "it consumes no attempt");
        assert!(error.backend_may_run(), "the first query runs");
        assert_eq!(database.running(id.as_str()), 1);
        database.queries().end(id.as_str()).await.unwrap()
    };
    let (first, ended) = tokio::join!(first, second);
    assert_eq!(ended, CancelOutcome::Killed);
    let error = first.unwrap_err();
    assert!(matches!(error, ClickHouseError::Server { code: 394, .. }), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Retry, false));
}

#[tokio::test]
async fn missing_rights_are_reported_with_a_hint() {
    let Some(database) = TestDatabase::find() else { return };
    for (user, code, hint) in [
        ("worker:wrong", 193, "check user and password"),
        ("nobody:hush", 192, "check user and password"),
        ("readonly:hush", 164, "readonly = 2"),
    ] {
        let error = error_of(&database.client_of(user), "SELECT 1").await;
        assert!(matches!(error, ClickHouseError::Server { code: got, .. } if got == code), "{error}");
        assert_eq!(error.class(), ErrorClass::Permanent);
        let text = error.to_string();
        assert!(text.contains(hint) && !text.contains("hush"), "{text}");
    }
    database.client_of("worker:hush").read(&Statement::new("SELECT 1"), &an_id()).await.unwrap();
}

#[tokio::test]
async fn refused_connection_means_that_no_query_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = error_of(&Client::new(&settings(url)).unwrap(), "SELECT 1").await;
    assert!(matches!(error, ClickHouseError::Unreachable(_)), "{error}");
    assert_eq!((error.class(), error.backend_may_run()), (ErrorClass::Unavailable, false));
}

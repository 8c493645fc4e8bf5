//! The source against servers that respond, reject, disconnect and hang.

use std::time::Duration;

use lockgate::{ErrorClass, JobError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::*;

const HOURS: Range<Hour> = Hour(480_000)..Hour(480_168);

/// Queries a server that sends these bytes and then disconnects, or stays silent with `hangs`.
async fn ask(response: &'static str, hangs: bool) -> Result<Usage, UsageError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = TaskTracker::new();
    server.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        let read = socket.read(&mut request).await.unwrap();
        assert!(
            request[..read].starts_with(b"GET /usage?organization_id=o&from=2024-10-04T00%3A00%3A00Z&to=")
        );
        socket.write_all(response.as_bytes()).await.unwrap();
        if hangs {
            std::future::pending::<()>().await;
        }
    });
    let timeout = if hangs { Duration::from_millis(300) } else { Duration::from_secs(30) };
    let settings =
        HttpSettings { url: url.into(), timeout, max_answer_bytes: 2_000, ..HttpSettings::default() };
    HttpSource::new(&settings).unwrap().hourly("o", HOURS, &"any".parse().unwrap()).await
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

macro_rules! says {
    ($status:literal, $body:literal) => {
        concat!("HTTP/1.1 ", $status, "\r\nconnection: close\r\n\r\n", $body)
    };
}

#[tokio::test]
async fn complete_response_is_usage() {
    let usage = ask(
        says!(
            "200 OK",
            r#"{"rows":1,"known":[["2024-10-04T00:00:00Z","2024-10-04T02:00:00Z"]],
                "data":[{"project":"p","category":"errors","hour":"2024-10-04T01:00:00Z","accepted":7}]}"#
        ),
        false,
    );
    let usage = usage.await.unwrap();
    assert_eq!(usage.known, [Hour(480_000), Hour(480_001)].into());
    assert_eq!(usage.series.len(), 1);
}

#[tokio::test]
async fn rejection_for_too_many_queries_is_overload_and_consumes_no_attempt() {
    let body = says!("429 Too Many Requests", r#"{"error":{"type":"rate-limited","message":"too many"}}"#);
    let error = ask(body, false).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Overloaded { retry_after: None });
    assert!(!error.backend_may_run());
}

#[tokio::test]
async fn other_rejections_are_permanent() {
    for response in [
        says!("400 Bad Request", r#"{"error":{"type":"invalid","message":"no such column"}}"#),
        says!("404 Not Found", ""),
        says!("302 Found", ""),
        says!("429 Too Many Requests", r#"{"error":{"type":"quota","message":"bill unpaid"}}"#),
    ] {
        let error = ask(response, false).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Permanent, "{response}: {error}");
    }
}

#[tokio::test]
async fn failure_of_the_backend_is_retried() {
    for response in
        [says!("500 Oops", "no"), says!("503 Later", ""), says!("429 Too Many Requests", "<html>")]
    {
        let error = ask(response, false).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Retry, "{response}");
        assert!(!error.backend_may_run(), "{response}");
    }
    assert!(ask(says!("504 Gateway Timeout", ""), false).await.unwrap_err().backend_may_run());
}

#[tokio::test]
async fn partial_response_is_an_error() {
    for response in [
        says!("200 OK", r#"{"rows":2,"known":[],"data":[]}"#),
        says!("200 OK", r#"{"rows":1,"known":[],"data":[{"project":"#),
        says!("200 OK", "not json"),
        "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"rows\":0,\"known\":[],\"data\":[]}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1f\r\n{\"rows\":0,\"known\":[],\"data\":[]}\r\n",
    ] {
        let error = ask(response, false).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Retry, "{response}: {error}");
    }
}

#[tokio::test]
async fn hanging_backend_times_out_and_may_still_run_the_query() {
    for response in ["", ANSWER] {
        let error = ask(response, true).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Retry);
        assert!(error.backend_may_run(), "{error}");
    }
}

#[tokio::test]
async fn refused_connection_means_that_no_query_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let source = HttpSource::new(&HttpSettings { url: url.into(), ..HttpSettings::default() }).unwrap();
    let error = source.hourly("o", HOURS, &"any".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(!error.backend_may_run());
}

#[tokio::test]
async fn response_above_the_size_limit_fails() {
    let long: &'static str = Box::leak(format!("{ANSWER}{}", " ".repeat(3_000)).into_boxed_str());
    let error = ask(long, false).await.unwrap_err();
    assert!(matches!(error, UsageError::TooLarge { most: 2_000 }), "{error}");
    assert_eq!(error.class(), ErrorClass::Permanent);
}

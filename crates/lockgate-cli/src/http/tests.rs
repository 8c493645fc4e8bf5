//! Tests a server with hostile clients.

use std::time::Duration;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(600);

async fn start(options: HttpOptions) -> (std::net::SocketAddr, CancellationToken, TaskTracker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/healthz", get(async || "well\n"));
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(serve(listener, router, options, stop.clone()));
    tasks.close();
    (address, stop, tasks)
}

async fn get_healthz(address: std::net::SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn half_sent_requests_block_no_other_client_and_are_closed_above_the_limit() {
    let (address, stop, tasks) =
        start(HttpOptions { connections: 8, header_timeout: LONG, ..HttpOptions::default() }).await;
    let mut half_sent = Vec::new();
    for _ in 0..120 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
        half_sent.push(stream);
    }
    let answer = tokio::time::timeout(Duration::from_secs(30), get_healthz(address, "localhost")).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    // All but the last eight were closed for a later connection.
    for mut stream in half_sent.drain(..112) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "a connection above the limit was not closed");
    }
    drop(half_sent);
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn client_that_does_not_finish_its_header_is_closed_after_the_timeout() {
    let (address, stop, tasks) = start(HttpOptions { header_timeout: SHORT, ..HttpOptions::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "still open");
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn only_requests_to_configured_names_are_accepted() {
    let hosts = vec![String::from("worker")];
    let (address, stop, tasks) = start(HttpOptions { hosts, ..HttpOptions::default() }).await;
    assert!(get_healthz(address, "worker:9464").await.starts_with("HTTP/1.1 200"));
    let refused = get_healthz(address, "evil.example").await;
    assert!(refused.starts_with("HTTP/1.1 421") && refused.contains("worker.hosts"), "{refused}");
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn stop_closes_idle_connections_immediately() {
    let (address, stop, tasks) = start(HttpOptions { header_timeout: LONG, ..HttpOptions::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut some = [0; 16];
    stream.read_exact(&mut some).await.unwrap();
    stop.cancel();
    assert!(tokio::time::timeout(Duration::from_secs(30), tasks.wait()).await.is_ok());
}

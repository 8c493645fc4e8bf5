//! A server, and clients that mean it no good.

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
async fn half_sent_requests_block_nobody_and_leave_only_so_many_connections_open() {
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
    // All but the last few were closed to make room; each of them sees its end.
    for mut stream in half_sent.drain(..112) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "a connection that made room was not closed");
    }
    drop(half_sent);
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_closed_after_the_timeout() {
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
async fn a_request_to_another_host_is_refused_and_one_to_a_configured_name_is_not() {
    let hosts = vec![String::from("worker")];
    let (address, stop, tasks) = start(HttpOptions { hosts, ..HttpOptions::default() }).await;
    assert!(get_healthz(address, "worker:9464").await.starts_with("HTTP/1.1 200"));
    let refused = get_healthz(address, "evil.example").await;
    assert!(refused.starts_with("HTTP/1.1 421") && refused.contains("worker.hosts"), "{refused}");
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn a_stop_ends_idle_connections_at_once() {
    let (address, stop, tasks) = start(HttpOptions { header_timeout: LONG, ..HttpOptions::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut some = [0; 16];
    stream.read_exact(&mut some).await.unwrap();
    stop.cancel();
    assert!(tokio::time::timeout(Duration::from_secs(30), tasks.wait()).await.is_ok());
}

//! A fake usage backend for demos and tests, because the embedded engine has no real one. It is a small HTTP
//! server that serves usage from the database, takes a fixed time for each query, and rejects queries above
//! its concurrency limit.
//!
//! Every response says that the backend is fake. It shares one property with a real backend: a query whose
//! caller disconnects continues to run, and is counted, until it is done.

mod limiter;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Params, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lockgate::core::error::chain;
use lockgate_cli::http::{self, HttpOptions};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::usage::SqlSource;
use crate::usage::wire::{Answer, Query, RATE_LIMITED, Refusal, RefusalError};
use limiter::{QueryLimiter, QueryPermit};

pub use limiter::QueryCounts;

/// The text in every response.
pub const NOTICE: &str =
    "this is Lockgate's fake usage backend: it serves the local database and only counts queries";

const HEADER: (HeaderName, &str) = (HeaderName::from_static("x-lockgate-fake-backend"), "true");

/// Connections in addition to those of running queries: for rejected callers, and for callers that keep their
/// connection open.
const SPARE_CONNECTIONS: usize = 1_024;

/// The behaviour of a fake backend.
#[derive(Debug, Clone, Copy)]
pub struct FakeBackendOptions {
    /// Queries that run at once; the next one is rejected. Default of the command: 100.
    pub limit: u32,
    /// Duration of each query. Default of the command: 50 ms.
    pub query_time: Duration,
}

/// A fake backend with its listener.
#[derive(Debug)]
pub struct FakeBackend {
    listener: TcpListener,
    hosts: Vec<String>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: FakeBackendOptions,
    usage: SqlSource,
    limiter: Arc<QueryLimiter>,
    queries: TaskTracker,
}

/// Body of the response to `GET /status`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Status {
    /// Always true.
    pub fake_backend: bool,
    /// The notice in words.
    pub notice: &'static str,
    /// Queries that run at once.
    pub limit: u32,
    /// Duration of each query, in milliseconds.
    pub query_time_ms: u64,
    /// Counters of queries.
    #[serde(flatten)]
    pub counts: QueryCounts,
}

impl FakeBackend {
    /// Creates a backend that will serve connections to this listener.
    #[must_use]
    pub fn new(listener: TcpListener, options: FakeBackendOptions, usage: SqlSource) -> Self {
        let limiter = Arc::new(QueryLimiter::new(options.limit));
        let shared = Shared { options, usage, limiter, queries: TaskTracker::new() };
        Self { listener, hosts: Vec::new(), shared: Arc::new(shared) }
    }

    /// Accepts requests for these host names too, in addition to `localhost` and the listener's addresses.
    #[must_use]
    pub fn hosts(self, hosts: Vec<String>) -> Self {
        Self { hosts, ..self }
    }

    /// Returns a reader of the query counters, usable during and after [`Self::serve`].
    #[must_use]
    pub fn counts(&self) -> CountsReader {
        CountsReader(Arc::clone(&self.shared.limiter))
    }

    /// Serves until `stop` is cancelled, then waits for running queries.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        let queries = self.shared.queries.clone();
        let running = usize::try_from(self.shared.options.limit).unwrap_or(usize::MAX);
        let connections = running.saturating_add(SPARE_CONNECTIONS);
        let options = HttpOptions { hosts: self.hosts, connections, ..HttpOptions::default() };
        let routes = Router::new()
            .route("/usage", get(usage))
            .route("/status", get(status))
            .route("/reset", post(reset))
            .fallback(nothing_here)
            .with_state(self.shared);
        http::serve(self.listener, routes, options, stop).await?;
        queries.close();
        queries.wait().await;
        Ok(())
    }
}

/// Reads the query counters of a fake backend. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CountsReader(Arc<QueryLimiter>);

impl CountsReader {
    /// Returns the current counters.
    #[must_use]
    pub fn read(&self) -> QueryCounts {
        self.0.read()
    }
}

async fn usage(State(shared): State<Arc<Shared>>, params: Result<Params<Query>, QueryRejection>) -> Response {
    let query = match params {
        Ok(Params(query)) => query,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "invalid", error.body_text()),
    };
    let Some(permit) = shared.limiter.try_acquire() else { return too_many(shared.options.limit) };
    let queries = shared.queries.clone();
    // Spawned, not awaited in place: when the caller disconnects, the query must continue to run.
    match queries.spawn(run(shared, query, permit)).await {
        Ok(answer) => answer,
        Err(error) => failed(error.to_string()),
    }
}

/// Runs one query: reads the usage and holds its permit until the query time has passed. The permit is
/// released before the response is sent, because the caller may send its next query at once.
async fn run(shared: Arc<Shared>, query: Query, permit: QueryPermit) -> Response {
    let until = tokio::time::Instant::now() + shared.options.query_time;
    let read = shared.usage.0.of(&query.organization_id, query.from..query.to).await;
    tokio::time::sleep_until(until).await;
    let answer = match read {
        Ok(usage) => (StatusCode::OK, [HEADER], Json(WithNotice::of(Answer::of(usage)))).into_response(),
        Err(error) => failed(chain(&error)),
    };
    permit.finish();
    answer
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let FakeBackendOptions { limit, query_time } = shared.options;
    let query_time_ms = u64::try_from(query_time.as_millis()).unwrap_or(u64::MAX);
    let status =
        Status { fake_backend: true, notice: NOTICE, limit, query_time_ms, counts: shared.limiter.read() };
    ([HEADER], Json(status)).into_response()
}

async fn reset(State(shared): State<Arc<Shared>>) -> Response {
    shared.limiter.reset();
    status(State(shared)).await
}

async fn nothing_here() -> Response {
    let message = "there are GET /usage, GET /status and POST /reset".to_owned();
    refusal(StatusCode::NOT_FOUND, "not-found", message)
}

/// Responds as Snuba does, without a Retry-After header.
fn too_many(limit: u32) -> Response {
    let message = format!("too many concurrent queries: {limit} of {limit} are running");
    refusal(StatusCode::TOO_MANY_REQUESTS, RATE_LIMITED, message)
}

fn failed(message: String) -> Response {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
}

fn refusal(status: StatusCode, kind: &str, message: String) -> Response {
    let error = RefusalError { kind: kind.to_owned(), message };
    (status, [HEADER], Json(WithNotice::of(Refusal { error }))).into_response()
}

/// A response body with the notice that the backend is fake.
#[derive(Serialize)]
struct WithNotice<T> {
    fake_backend: bool,
    notice: &'static str,
    #[serde(flatten)]
    body: T,
}

impl<T> WithNotice<T> {
    fn of(body: T) -> Self {
        Self { fake_backend: true, notice: NOTICE, body }
    }
}

#[cfg(test)]
mod tests;

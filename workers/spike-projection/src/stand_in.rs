//! A stand-in for the usage backend, because the embedded engine comes with none: a small HTTP server that serves usage
//! from the database, takes its time for each query, and refuses the query above its limit.
//!
//! It is no ClickHouse and never pretends to be: every answer says that it is a stand-in. What it has in common with
//! one is what matters to its callers: a query whose caller goes away runs on, and counts, until it is done.

mod gauge;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Asked, State};
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
use gauge::{Gauge, Seat};

pub use gauge::Reading;

/// What every answer says.
pub const NOTICE: &str =
    "this is Lockgate's stand-in for a usage backend: it serves the local database and only counts queries";

const HEADER: (HeaderName, &str) = (HeaderName::from_static("x-lockgate-stand-in"), "true");

/// Connections beyond those of queries that run: of callers that are refused, or keep theirs for the next query.
const SPARE_CONNECTIONS: usize = 1_024;

/// How it behaves.
#[derive(Debug, Clone, Copy)]
pub struct StandInOptions {
    /// Queries that it runs at once; the next one is refused.
    pub limit: u32,
    /// How long each query takes.
    pub query_time: Duration,
}

/// A stand-in that listens.
#[derive(Debug)]
pub struct StandIn {
    listener: TcpListener,
    hosts: Vec<String>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: StandInOptions,
    usage: SqlSource,
    gauge: Arc<Gauge>,
    queries: TaskTracker,
}

/// What `GET /status` answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Status {
    /// Always true.
    pub stand_in: bool,
    /// The same in words.
    pub notice: &'static str,
    /// Queries that it runs at once.
    pub limit: u32,
    /// How long each takes, in milliseconds.
    pub query_time_ms: u64,
    /// Its own count.
    #[serde(flatten)]
    pub reading: Reading,
}

impl StandIn {
    /// A stand-in that will answer whoever connects to this listener.
    #[must_use]
    pub fn new(listener: TcpListener, options: StandInOptions, usage: SqlSource) -> Self {
        let gauge = Arc::new(Gauge::new(options.limit));
        let shared = Shared { options, usage, gauge, queries: TaskTracker::new() };
        Self { listener, hosts: Vec::new(), shared: Arc::new(shared) }
    }

    /// Answers requests that are addressed to these host names too, besides `localhost` and its own addresses.
    #[must_use]
    pub fn hosts(self, hosts: Vec<String>) -> Self {
        Self { hosts, ..self }
    }

    /// Its count, readable while it serves and after.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts(Arc::clone(&self.shared.gauge))
    }

    /// Serves until `stop` fires; then lets running queries end.
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

/// A stand-in's own count. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Counts(Arc<Gauge>);

impl Counts {
    /// The count now.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.0.read()
    }
}

async fn usage(State(shared): State<Arc<Shared>>, asked: Result<Asked<Query>, QueryRejection>) -> Response {
    let query = match asked {
        Ok(Asked(query)) => query,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "invalid", error.body_text()),
    };
    let Some(seat) = shared.gauge.enter() else { return too_many(shared.options.limit) };
    let queries = shared.queries.clone();
    // Not awaited in place: the caller may go away, and the query must run on all the same.
    match queries.spawn(run(shared, query, seat)).await {
        Ok(answer) => answer,
        Err(error) => failed(error.to_string()),
    }
}

/// Runs one query: reads, and holds its seat until its time has passed. The seat is free before the caller hears of it,
/// as the caller may send its next query at once.
async fn run(shared: Arc<Shared>, query: Query, seat: Seat) -> Response {
    let until = tokio::time::Instant::now() + shared.options.query_time;
    let read = shared.usage.0.of(&query.organization_id, query.from..query.to).await;
    tokio::time::sleep_until(until).await;
    let answer = match read {
        Ok(usage) => (StatusCode::OK, [HEADER], Json(Said::of(Answer::of(usage)))).into_response(),
        Err(error) => failed(chain(&error)),
    };
    seat.leave();
    answer
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let StandInOptions { limit, query_time } = shared.options;
    let query_time_ms = u64::try_from(query_time.as_millis()).unwrap_or(u64::MAX);
    let status =
        Status { stand_in: true, notice: NOTICE, limit, query_time_ms, reading: shared.gauge.read() };
    ([HEADER], Json(status)).into_response()
}

async fn reset(State(shared): State<Arc<Shared>>) -> Response {
    shared.gauge.reset();
    status(State(shared)).await
}

async fn nothing_here() -> Response {
    let message = "there are GET /usage, GET /status and POST /reset".to_owned();
    refusal(StatusCode::NOT_FOUND, "not-found", message)
}

/// As Snuba says it, without a Retry-After.
fn too_many(limit: u32) -> Response {
    let message = format!("too many concurrent queries: {limit} of {limit} are running");
    refusal(StatusCode::TOO_MANY_REQUESTS, RATE_LIMITED, message)
}

fn failed(message: String) -> Response {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
}

fn refusal(status: StatusCode, kind: &str, message: String) -> Response {
    let error = RefusalError { kind: kind.to_owned(), message };
    (status, [HEADER], Json(Said::of(Refusal { error }))).into_response()
}

/// A body that says who speaks.
#[derive(Serialize)]
struct Said<T> {
    stand_in: bool,
    notice: &'static str,
    #[serde(flatten)]
    body: T,
}

impl<T> Said<T> {
    fn of(body: T) -> Self {
        Self { stand_in: true, notice: NOTICE, body }
    }
}

#[cfg(test)]
mod tests;

//! What a worker process tells over HTTP: `/metrics`, `/healthz`, `/readyz`.
//!
//! It only tells: nothing here changes a job, and no request, however often it comes, loads a store.

mod process;
mod readiness;
mod recorder;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub(crate) use readiness::ReadinessProbe;

use crate::http::{self, HttpOptions};
use crate::problem::{Exit, Problem};
use crate::program::About;

/// The endpoints of this process; they are gone when this is dropped.
#[must_use]
pub(crate) struct Endpoints {
    address: SocketAddr,
    _end: DropGuard,
}

#[derive(Clone)]
struct Shared {
    metrics: PrometheusHandle,
    readiness: Arc<ReadinessProbe>,
}

impl Endpoints {
    /// Takes the address at once, and answers from then on.
    ///
    /// # Errors
    /// When the address is taken, or not this machine's.
    pub(crate) async fn start(
        address: SocketAddr,
        hosts: Vec<String>,
        about: &About,
        readiness: Arc<ReadinessProbe>,
    ) -> anyhow::Result<Self> {
        let refused = |error: std::io::Error| cannot_listen(address, &error);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let metrics = recorder::install(about)?;
        let end = CancellationToken::new();
        let router = router(Shared { metrics: metrics.clone(), readiness });
        let tasks = TaskTracker::new();
        tasks.spawn(recorder::upkeep(metrics, end.clone()));
        let until = end.clone();
        let options = HttpOptions { hosts, ..HttpOptions::default() };
        tasks.spawn(async move {
            if let Err(error) = http::serve(listener, router, options, until).await {
                tracing::error!(%error, "the endpoints have ended");
            }
        });
        Ok(Self { address, _end: end.drop_guard() })
    }

    /// Where they are: the port that was found when none was asked for.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(async || "the process lives\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let report = shared.readiness.look().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let text = format!("{}{}", shared.metrics.render(), process::render());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Problem {
    let (exit, way_out) = match error.kind() {
        ErrorKind::AddrInUse => (Exit::Unavailable, "another process has it; give another port"),
        ErrorKind::PermissionDenied => (Exit::NoPermission, "give a port from 1024 on"),
        _ => (Exit::Unavailable, "give an address of this machine, such as 127.0.0.1:9464"),
    };
    Problem::new(exit, format!("cannot listen on {address}: {error}; {way_out}"))
}

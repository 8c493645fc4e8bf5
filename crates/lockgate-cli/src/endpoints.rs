//! The HTTP endpoints of a worker process: `/metrics`, `/healthz`, `/readyz`.
//!
//! They are read-only, and frequent requests cause no load on a store.

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

/// The endpoints of this process. They close on drop.
#[must_use]
pub(crate) struct Endpoints {
    address: SocketAddr,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Shared {
    metrics: PrometheusHandle,
    readiness: Arc<ReadinessProbe>,
}

impl Endpoints {
    /// Binds the address and serves the endpoints.
    ///
    /// # Errors
    /// When the address is in use or not an address of this machine.
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
        let stop = CancellationToken::new();
        let router = router(Shared { metrics: metrics.clone(), readiness });
        let tasks = TaskTracker::new();
        tasks.spawn(recorder::upkeep(metrics, stop.clone()));
        let stop_server = stop.clone();
        let options = HttpOptions { hosts, ..HttpOptions::default() };
        tasks.spawn(async move {
            if let Err(error) = http::serve(listener, router, options, stop_server).await {
                tracing::error!(%error, "HTTP endpoints stopped");
            }
        });
        Ok(Self { address, _stop: stop.drop_guard() })
    }

    /// Returns the address, with the port that the system chose if port 0 was configured.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let report = shared.readiness.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let text = format!("{}{}", shared.metrics.render(), process::render());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Problem {
    let (exit, remedy) = match error.kind() {
        ErrorKind::AddrInUse => (Exit::Unavailable, "choose another port"),
        ErrorKind::PermissionDenied => (Exit::NoPermission, "choose a port from 1024 on"),
        _ => (Exit::Unavailable, "choose an address of this machine, such as 127.0.0.1:9464"),
    };
    Problem::new(exit, format!("cannot listen on {address}: {error}; {remedy}"))
}

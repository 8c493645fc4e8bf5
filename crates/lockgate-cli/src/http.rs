//! Serves HTTP to untrusted clients that can reach the port. None of them can exhaust the process.
//!
//! - A client has [`HttpOptions::header_timeout`] to send the header of a request.
//! - At most [`HttpOptions::connections`] are open. At that limit, a new connection closes the oldest idle
//!   one. So half-sent requests neither block `/healthz` nor use up file descriptors.
//! - A request must be addressed to this server. This refuses a web page whose host name resolves to
//!   127.0.0.1. A change that a web page requests is refused too.

mod connections;
mod hosts;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connections::{Connection, Connections};
use hosts::Hosts;

/// The largest header of a request, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The pause after a failed accept. An immediate retry would fail again, for example without free file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The limits of a server, and its names.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Host names that requests may be addressed to, in addition to `localhost` and the server's own
    /// addresses. `*` allows any name. Default: none.
    pub hosts: Vec<String>,
    /// The most connections that are open at once. Default: 64.
    pub connections: usize,
    /// How long a client may take to send the header of a request, or to begin the next one. Default: 10 s.
    pub header_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { hosts: Vec::new(), connections: 64, header_timeout: Duration::from_secs(10) }
    }
}

/// Serves requests until `stop` is cancelled. It then waits for requests in progress, for at most
/// `header_timeout`.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: HttpOptions,
    stop: CancellationToken,
) -> io::Result<()> {
    let HttpOptions { hosts, connections, header_timeout } = options;
    let hosts = Hosts::new(listener.local_addr()?.ip(), &hosts);
    let server = Arc::new(Server { router, hosts, header_timeout, stop });
    let (mut open, tasks) = (Connections::with_limit(connections), TaskTracker::new());
    while let Some(accepted) = server.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                if let Some(connection) = open.admit() {
                    tasks.spawn(Arc::clone(&server).serve_connection(stream, connection));
                }
            }
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, retry_in = ?ACCEPT_PAUSE, "accept failed, retrying");
                server.stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    // After the timeout, clients that still send a header are disconnected.
    let _ended = tokio::time::timeout(header_timeout, tasks.wait()).await;
    Ok(())
}

struct Server {
    router: Router,
    hosts: Hosts,
    header_timeout: Duration,
    stop: CancellationToken,
}

impl Server {
    async fn serve_connection(self: Arc<Self>, stream: TcpStream, connection: Arc<Connection>) {
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let (server, connection) = (Arc::clone(&self), Arc::clone(&connection));
            async move { Ok::<_, Infallible>(server.respond(request, &connection).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.header_timeout).max_buf_size(MAX_HEADER_BYTES);
        let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
        // The error of a connection matters only to its client.
        tokio::select! {
            _ = served.as_mut() => return,
            () = connection.closed() => return,
            () = self.stop.cancelled() => served.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = served => {}
            () = connection.closed() => {}
        }
    }

    async fn respond(&self, request: hyper::Request<Incoming>, connection: &Arc<Connection>) -> Response {
        let _busy = connection.busy();
        if let Err(refusal) = self.hosts.check(&request) {
            return refusal.into_response();
        }
        match TowerToHyperService::new(self.router.clone()).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests;

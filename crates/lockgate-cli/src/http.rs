//! Serves HTTP to anybody who can reach a port, without letting one of them take the process down.
//!
//! - A client has [`HttpOptions::header_timeout`] to send the head of a request.
//! - At most [`HttpOptions::connections`] are open; beyond that, the oldest one that waits for nothing but its client is
//!   closed for the next. So half-sent requests neither block `/healthz` nor use up file descriptors.
//! - A request must be addressed to this server: a web page that resolves its own name to 127.0.0.1 is refused, and so is
//!   a change that a web page asks for.

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

/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 16 * 1024;

/// The pause after a failure to accept, such as a lack of file descriptors: the next attempt would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Bounds of a server, and the names it is reached by.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Host names that requests may be addressed to, besides `localhost` and the server's own addresses; `*` is any.
    pub hosts: Vec<String>,
    /// The most connections that are open at once. Default 64.
    pub connections: usize,
    /// How long a client may take to send the head of a request, and to begin the next one. Default 10 s.
    pub header_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { hosts: Vec::new(), connections: 64, header_timeout: Duration::from_secs(10) }
    }
}

/// Serves requests until `stop` fires; then lets those under way end, for at most `header_timeout`.
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
    let (mut open, tasks) = (Connections::at_most(connections), TaskTracker::new());
    while let Some(accepted) = server.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                if let Some(connection) = open.admit() {
                    tasks.spawn(Arc::clone(&server).see_to(stream, connection));
                }
            }
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                server.stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    // Who still sends the head of a request then is not waited for.
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
    async fn see_to(self: Arc<Self>, stream: TcpStream, connection: Arc<Connection>) {
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let (server, connection) = (Arc::clone(&self), Arc::clone(&connection));
            async move { Ok::<_, Infallible>(server.answer(request, &connection).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.header_timeout).max_buf_size(LARGEST_HEAD);
        let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
        // How a connection ends concerns its client alone.
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

    async fn answer(&self, request: hyper::Request<Incoming>, connection: &Arc<Connection>) -> Response {
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

//! A TCP proxy that simulates network faults: latency, closed and reset connections, silence in both
//! directions or one, and a connection that is cut just before the response to a request.
//!
//! The forwarded bytes are always a prefix of the sent bytes.

mod pump;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::Result;
use crate::proxy::pump::Ended;

/// A direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// The behaviour of the network, for open and new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
    None,
    /// All bytes arrive this much later.
    Latency(Duration),
    /// Open connections are closed cleanly, and new ones right after they are accepted.
    Closed,
    /// Open connections are reset, and new ones right after they are accepted.
    Reset,
    /// Connections stay open, new ones are accepted, and nothing is forwarded. A connection that lost bytes
    /// is reset when the fault ends, as by a router that has forgotten it.
    BlackHole,
    /// Like `BlackHole`, in one direction only.
    HalfOpen(Direction),
    /// The first client that sends this pattern is cut off: the server gets the request and responds, the
    /// response is lost, and the connection is reset. Then the fault is over.
    CutAfter(&'static [u8]),
}

impl Fault {
    fn swallows(self, direction: Direction) -> bool {
        self == Self::BlackHole || self == Self::HalfOpen(direction)
    }
}

/// A proxy in front of a port of the loopback. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    to: u16,
    shared: Arc<Shared>,
    /// Ends all tasks on drop. It is an option so that `Drop` can shut it down without blocking another
    /// runtime.
    runtime: Option<Runtime>,
}

/// State shared by the connections and the proxy.
#[derive(Debug)]
struct Shared {
    fault: watch::Sender<Fault>,
    accepted: AtomicU64,
    open: AtomicU64,
    cuts: AtomicU64,
}

impl Proxy {
    /// Starts a proxy in front of this port, without a fault.
    ///
    /// # Errors
    /// When no port is free.
    pub fn to(port: u16) -> Result<Self> {
        let shared = Arc::new(Shared {
            fault: watch::Sender::new(Fault::None),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let own = listener.local_addr()?.port();
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        runtime.spawn(accept(listener, port, shared.clone()));
        Ok(Self { port: own, to: port, shared, runtime: Some(runtime) })
    }

    /// Returns the port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Rewrites a url of the server to the proxy.
    ///
    /// # Errors
    /// When the url is not of this server.
    pub fn url(&self, url: &str) -> Result<String> {
        let (behind, before) = (format!("127.0.0.1:{}", self.to), format!("127.0.0.1:{}", self.port));
        let (head, rest) =
            url.split_once(&behind).with_context(|| format!("{url} is not behind this proxy"))?;
        Ok(format!("{head}{before}{rest}"))
    }

    /// Sets the fault for open and new connections.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Returns the current fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        *self.shared.fault.borrow()
    }

    /// Returns how many connections were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Returns how often [`Fault::CutAfter`] has cut a connection.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, to: u16, shared: Arc<Shared>) {
    let connections = TaskTracker::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let shared = shared.clone();
        connections.spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            // An error ends both sides of the connection and needs no report.
            drop(connect(client, to, &shared).await);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn connect(mut client: TcpStream, to: u16, shared: &Shared) -> std::io::Result<()> {
    match *shared.fault.borrow() {
        Fault::Closed => return Ok(()),
        Fault::Reset => return client.set_zero_linger(),
        _ => {}
    }
    // The proxy has already accepted, so it cannot refuse the connection. It resets it when the server does
    // not run.
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else {
        return client.set_zero_linger();
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    match pump::both(&mut client, &mut server, shared).await {
        Ended::Closed => Ok(()),
        Ended::Reset => client.set_zero_linger().and(server.set_zero_linger()),
    }
}

#[cfg(test)]
mod tests;

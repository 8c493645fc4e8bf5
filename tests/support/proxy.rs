//! A TCP proxy that plays the faults of a network: slow, closed, reset, silent both ways or one way, cut just before
//! the reply to something that was done.
//!
//! Never a byte invented and none out of order: what it passes on is a part of what was sent, up to a point.

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

/// One way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the client says.
    ToServer,
    /// What the server says.
    ToClient,
}

/// What the network does, to connections that are open and to those that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Whatever is sent arrives this much later.
    Latency(Duration),
    /// Connections are closed in good order, and new ones as soon as they are made.
    Closed,
    /// Connections are reset, and new ones as soon as they are made.
    Reset,
    /// Connections stay, new ones are accepted, and nothing arrives any more. A connection that has lost something
    /// this way is reset when the fault ends, as by a router that has forgotten it.
    BlackHole,
    /// The same in one direction only.
    HalfOpen(Way),
    /// A client that sends this is cut off: the server gets it and answers, the answer is lost and the connection is
    /// reset. It happens once; then the fault is over.
    CutAfter(&'static [u8]),
}

impl Fault {
    fn swallows(self, way: Way) -> bool {
        self == Self::BlackHole || self == Self::HalfOpen(way)
    }
}

/// A proxy in front of one port of the loopback. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    to: u16,
    shared: Arc<Shared>,
    /// Ends all tasks when it is dropped. An option, because that must not happen on a thread of another runtime.
    runtime: Option<Runtime>,
}

/// What the connections and their owner share.
#[derive(Debug)]
struct Shared {
    fault: watch::Sender<Fault>,
    accepted: AtomicU64,
    open: AtomicU64,
    cuts: AtomicU64,
}

impl Proxy {
    /// A proxy in front of this port, without a fault.
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

    /// The port that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A url of the server behind it, led through it.
    ///
    /// # Errors
    /// When the url is of another server.
    pub fn url(&self, url: &str) -> Result<String> {
        let (behind, before) = (format!("127.0.0.1:{}", self.to), format!("127.0.0.1:{}", self.port));
        let (head, rest) =
            url.split_once(&behind).with_context(|| format!("{url} is not behind this proxy"))?;
        Ok(format!("{head}{before}{rest}"))
    }

    /// From now on, the network does this.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// What the network does now.
    #[must_use]
    pub fn fault(&self) -> Fault {
        *self.shared.fault.borrow()
    }

    /// How many connections were made to it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections go through it now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How often [`Fault::CutAfter`] has cut.
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
            // Whatever ends a connection, ends it for both sides; there is nobody to tell.
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
    // It cannot refuse: it listens. A server that is gone resets instead.
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

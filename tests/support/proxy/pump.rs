//! Moves the bytes of one connection, both ways, as long as the fault of the moment lets it.
//!
//! Never more than some chunks in hand: a receiver that does not read holds its sender up, as without a proxy.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Fault, Shared, Way};

const CHUNK: usize = 16 * 1024;
/// TokenStore on their way at once, when they are late.
const IN_HAND: usize = 256;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// In good order.
    Closed,
    /// As if the other end had died.
    Reset,
}

/// What both ways of a connection know.
#[derive(Debug, Default)]
struct Connection {
    /// Something was swallowed: it can never go on.
    lost: AtomicBool,
    /// What was waited for has been sent: the next answer is the one to lose.
    cut: AtomicBool,
}

/// Pumps until both ends have closed or a fault ends it.
pub(super) async fn both(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) -> Ended {
    let connection = Connection::default();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let pump = |way| Pump { way, shared, connection: &connection, late: VecDeque::new(), tail: Vec::new() };
    let (mut there, mut back) = (pump(Way::ToServer), pump(Way::ToClient));
    let ways = async {
        tokio::try_join!(
            there.run(&mut from_client, &mut to_server),
            back.run(&mut from_server, &mut to_client)
        )
    };
    tokio::select! {
        ended = ways => ended.map_or(Ended::Reset, |_| Ended::Closed),
        ended = torn(shared.fault.subscribe(), &connection) => ended,
    }
}

/// Waits until the fault of the moment ends the connection, whatever it is doing.
async fn torn(mut fault: watch::Receiver<Fault>, connection: &Connection) -> Ended {
    loop {
        let now = *fault.borrow_and_update();
        match now {
            Fault::Closed => return Ended::Closed,
            Fault::Reset => return Ended::Reset,
            Fault::BlackHole | Fault::HalfOpen(_) => {}
            _ if connection.lost.load(Ordering::SeqCst) => return Ended::Reset,
            _ => {}
        }
        if fault.changed().await.is_err() {
            return Ended::Closed;
        }
    }
}

/// The way cannot go on: an end is gone, or it was cut.
struct Broken;

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// One way of a connection.
struct Pump<'a> {
    way: Way,
    shared: &'a Shared,
    connection: &'a Connection,
    /// What has come and may not go on yet, with the time when it may.
    late: VecDeque<(Instant, Vec<u8>)>,
    /// The last bytes that have come: what is looked for may come in two pieces.
    tail: Vec<u8>,
}

impl Pump<'_> {
    /// Until its sender has closed and everything has arrived.
    async fn run(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Broken> {
        let mut buffer = vec![0; CHUNK];
        let mut open = true;
        loop {
            let due = self.late.front().map(|(at, _)| *at);
            if due.is_some_and(|at| at <= Instant::now()) {
                let chunk = self.late.pop_front().map(|(_, chunk)| chunk).unwrap_or_default();
                to.write_all(&chunk).await?;
                continue;
            }
            tokio::select! {
                () = until(due), if due.is_some() => {}
                read = from.read(&mut buffer), if open && self.late.len() < IN_HAND => match read? {
                    0 => open = self.close().await,
                    n => self.take(buffer.get(..n).unwrap_or_default())?,
                },
                else => break,
            }
        }
        Ok(to.shutdown().await?)
    }

    /// The sender has closed. Who is not to hear of anything does not hear of that either: then this never returns.
    async fn close(&self) -> bool {
        if self.fault().swallows(self.way) {
            self.connection.lost.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        false
    }

    /// The sender has said something.
    fn take(&mut self, chunk: &[u8]) -> Result<(), Broken> {
        let fault = self.fault();
        if fault.swallows(self.way) {
            self.connection.lost.store(true, Ordering::SeqCst);
            return Ok(());
        }
        match (self.way, fault) {
            (Way::ToServer, Fault::CutAfter(pattern)) => self.look_for(pattern, chunk),
            (Way::ToClient, _) if self.connection.cut.load(Ordering::SeqCst) => {
                self.shared.cuts.fetch_add(1, Ordering::SeqCst);
                return Err(Broken);
            }
            _ => {}
        }
        let latency = if let Fault::Latency(latency) = fault { latency } else { Duration::ZERO };
        self.late.push_back((Instant::now() + latency, chunk.to_vec()));
        Ok(())
    }

    fn look_for(&mut self, pattern: &'static [u8], chunk: &[u8]) {
        self.tail.extend_from_slice(chunk);
        if self.tail.windows(pattern.len().max(1)).any(|window| window == pattern) {
            // The first of all connections takes it.
            let taken = self.shared.fault.send_if_modified(|fault| {
                let ours = *fault == Fault::CutAfter(pattern);
                if ours {
                    *fault = Fault::None;
                }
                ours
            });
            self.connection.cut.fetch_or(taken, Ordering::SeqCst);
        }
        let kept = self.tail.len().saturating_sub(pattern.len().saturating_sub(1));
        self.tail.drain(..kept);
    }

    fn fault(&self) -> Fault {
        *self.shared.fault.borrow()
    }
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        sleep_until(due).await;
    }
}

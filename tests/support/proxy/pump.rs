//! Forwards the bytes of one connection in both directions, as the current fault allows. The number of
//! buffered blocks is bounded, so a receiver that does not read blocks its sender, as without a proxy.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Direction, Fault, Shared};

const BLOCK: usize = 16 * 1024;
/// Largest number of blocks that are delayed at once.
const MAX_DELAYED: usize = 256;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Both sides closed cleanly.
    Closed,
    /// The connection was reset, as if the other end had died.
    Reset,
}

/// State shared by both directions of a connection.
#[derive(Debug, Default)]
struct Connection {
    /// Whether bytes were swallowed, after which the connection cannot continue.
    lost: AtomicBool,
    /// Whether the pattern of [`Fault::CutAfter`] was sent, so that the next response is lost.
    cut: AtomicBool,
}

/// Forwards until both ends have closed or a fault ends the connection.
pub(super) async fn both(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) -> Ended {
    let connection = Connection::default();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let pump = |direction| Pump {
        direction,
        shared,
        connection: &connection,
        late: VecDeque::new(),
        tail: Vec::new(),
    };
    let (mut there, mut back) = (pump(Direction::ToServer), pump(Direction::ToClient));
    let ways = async {
        tokio::try_join!(
            there.run(&mut from_client, &mut to_server),
            back.run(&mut from_server, &mut to_client)
        )
    };
    tokio::select! {
        ended = ways => ended.map_or(Ended::Reset, |_| Ended::Closed),
        ended = ended_by_fault(shared.fault.subscribe(), &connection) => ended,
    }
}

/// Waits until the current fault ends the connection.
async fn ended_by_fault(mut fault: watch::Receiver<Fault>, connection: &Connection) -> Ended {
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

/// A direction cannot continue, because an end has failed or the connection was cut.
struct Broken;

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// One direction of a connection.
struct Pump<'a> {
    direction: Direction,
    shared: &'a Shared,
    connection: &'a Connection,
    /// Delayed blocks, each with the time at which it is forwarded.
    late: VecDeque<(Instant, Vec<u8>)>,
    /// The last received bytes, because the pattern may be split between two reads.
    tail: Vec<u8>,
}

impl Pump<'_> {
    /// Forwards until the sender has closed and everything has been delivered.
    async fn run(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Broken> {
        let mut buffer = vec![0; BLOCK];
        let mut open = true;
        loop {
            let due = self.late.front().map(|(at, _)| *at);
            if due.is_some_and(|at| at <= Instant::now()) {
                let block = self.late.pop_front().map(|(_, block)| block).unwrap_or_default();
                to.write_all(&block).await?;
                continue;
            }
            tokio::select! {
                () = until(due), if due.is_some() => {}
                read = from.read(&mut buffer), if open && self.late.len() < MAX_DELAYED => match read? {
                    0 => open = self.close().await,
                    n => self.receive(buffer.get(..n).unwrap_or_default())?,
                },
                else => break,
            }
        }
        Ok(to.shutdown().await?)
    }

    /// Handles the end of the sender's stream. If the fault swallows this direction, the receiver must not
    /// see the end either, so this never returns.
    async fn close(&self) -> bool {
        if self.fault().swallows(self.direction) {
            self.connection.lost.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        false
    }

    /// Handles a block from the sender.
    fn receive(&mut self, block: &[u8]) -> Result<(), Broken> {
        let fault = self.fault();
        if fault.swallows(self.direction) {
            self.connection.lost.store(true, Ordering::SeqCst);
            return Ok(());
        }
        match (self.direction, fault) {
            (Direction::ToServer, Fault::CutAfter(pattern)) => self.check_pattern(pattern, block),
            (Direction::ToClient, _) if self.connection.cut.load(Ordering::SeqCst) => {
                self.shared.cuts.fetch_add(1, Ordering::SeqCst);
                return Err(Broken);
            }
            _ => {}
        }
        let latency = if let Fault::Latency(latency) = fault { latency } else { Duration::ZERO };
        self.late.push_back((Instant::now() + latency, block.to_vec()));
        Ok(())
    }

    fn check_pattern(&mut self, pattern: &'static [u8], block: &[u8]) {
        self.tail.extend_from_slice(block);
        if self.tail.windows(pattern.len().max(1)).any(|window| window == pattern) {
            // Only the first connection that sends the pattern is cut.
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

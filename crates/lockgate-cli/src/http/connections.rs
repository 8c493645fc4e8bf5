//! The open connections of a server, bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Open connections, the oldest first.
pub(super) struct Connections {
    most: usize,
    open: VecDeque<Arc<Connection>>,
}

/// One connection. It is open as long as its task has it.
#[derive(Default)]
pub(super) struct Connection {
    /// Requests that are being answered: none while the server waits for the client.
    requests: AtomicUsize,
    close: CancellationToken,
}

/// Held while a request is answered.
#[must_use]
pub(super) struct Busy<'a>(&'a Connection);

impl Connections {
    pub(super) fn at_most(most: usize) -> Self {
        Self { most: most.max(1), open: VecDeque::new() }
    }

    /// A place for one connection more. Where there is none, the oldest that waits for its client is closed; `None`: all
    /// of them are being answered.
    pub(super) fn admit(&mut self) -> Option<Arc<Connection>> {
        self.open.retain(|connection| Arc::strong_count(connection) > 1);
        if self.open.len() >= self.most {
            let idle = self.open.iter().position(|connection| connection.is_idle())?;
            self.open.remove(idle)?.close.cancel();
        }
        let connection = Arc::new(Connection::default());
        self.open.push_back(Arc::clone(&connection));
        Some(connection)
    }
}

impl Connection {
    /// Waits until it is to be closed.
    pub(super) async fn closed(&self) {
        self.close.cancelled().await;
    }

    /// Marks it as one that is being answered, until the guard is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_idle_connection_makes_room_and_a_busy_one_does_not() {
        let mut connections = Connections::at_most(2);
        let (first, second) = (connections.admit().unwrap(), connections.admit().unwrap());
        let busy = first.busy();
        let third = connections.admit().unwrap();
        assert!(second.close.is_cancelled() && !first.close.is_cancelled());
        let also_busy = third.busy();
        assert!(connections.admit().is_none());
        drop(busy);
        drop(also_busy);
        drop(third);
        assert!(connections.admit().is_some() && !first.close.is_cancelled(), "one had ended by itself");
    }
}

//! The open connections of a server. Their number is bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Open connections, the oldest first.
pub(super) struct Connections {
    limit: usize,
    open: VecDeque<Arc<Connection>>,
}

/// One connection. It is open while its task holds the second reference.
#[derive(Default)]
pub(super) struct Connection {
    /// Requests in progress. 0 while the server waits for the client.
    requests: AtomicUsize,
    close: CancellationToken,
}

/// Keeps a connection busy while a request is in progress.
#[must_use]
pub(super) struct Busy<'a>(&'a Connection);

impl Connections {
    pub(super) fn with_limit(limit: usize) -> Self {
        Self { limit: limit.max(1), open: VecDeque::new() }
    }

    /// Admits another connection. At the limit it closes the oldest idle one. `None`: all connections are
    /// busy.
    pub(super) fn admit(&mut self) -> Option<Arc<Connection>> {
        self.open.retain(|connection| Arc::strong_count(connection) > 1);
        if self.open.len() >= self.limit {
            let idle = self.open.iter().position(|connection| connection.is_idle())?;
            self.open.remove(idle)?.close.cancel();
        }
        let connection = Arc::new(Connection::default());
        self.open.push_back(Arc::clone(&connection));
        Some(connection)
    }
}

impl Connection {
    /// Waits until the connection is to be closed.
    pub(super) async fn closed(&self) {
        self.close.cancelled().await;
    }

    /// Makes the connection busy until the guard is dropped.
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
    fn oldest_idle_connection_is_closed_at_the_limit_and_a_busy_one_is_not() {
        let mut connections = Connections::with_limit(2);
        let (first, second) = (connections.admit().unwrap(), connections.admit().unwrap());
        let busy = first.busy();
        let third = connections.admit().unwrap();
        assert!(second.close.is_cancelled() && !first.close.is_cancelled());
        let also_busy = third.busy();
        assert!(connections.admit().is_none());
        drop(busy);
        drop(also_busy);
        drop(third);
        assert!(
            connections.admit().is_some() && !first.close.is_cancelled(),
            "the third connection had ended"
        );
    }
}

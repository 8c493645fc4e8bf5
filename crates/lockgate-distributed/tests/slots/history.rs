//! The history in Redis is bounded, and always says since when it is complete.

use lockgate_core::history::KEPT_ENTRIES;
use lockgate_core::slots::{PoolQuery, Slots};

use super::fixture::{acquire_lease, ensure, pool, release, request};
use super::server::Server;

/// Appends changes of slots to the history, numbered from 1, as `set.lua` would.
const FILL: &str = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('RPUSH', KEYS[1], struct.pack('<sdddds', 'l', i, 1000 + i, 1, 2, 'p'))
end";

#[tokio::test]
async fn long_history_is_shortened_and_reports_its_start() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 5).await;
    let session = slots.open("a").await.unwrap();
    let mut redis = server.connect().await;
    let many = KEPT_ENTRIES + 2_000;
    for from in (1..=many).step_by(1_000) {
        let mut fill = redis::cmd("EVAL");
        fill.arg(FILL).arg(1).arg(server.key("record")).arg(from).arg(from + 999);
        fill.query_async::<()>(&mut redis).await.unwrap();
    }
    // The release is added to the history and detects that it is too long. The next call shortens it.
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    release(&slots, &session, &lease).await;
    let view = slots.inspect(&PoolQuery::history(&pool("p"), 0)).await.unwrap().remove(0);
    let page = view.history.unwrap();
    assert_eq!((page.since.number, page.since.at_ms), (2_001, 3_001), "the last entry that was dropped");
    assert_eq!(page.entries.first().map(lockgate_core::history::HistoryEntry::number), Some(2_002));
    let length: u64 = redis::cmd("LLEN").arg(server.key("record")).query_async(&mut redis).await.unwrap();
    assert_eq!(length, KEPT_ENTRIES + 1, "the entries and their start");
}

#[tokio::test]
async fn deleted_history_starts_again() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 5).await;
    let session = slots.open("a").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    let mut redis = server.connect().await;
    redis::cmd("DEL").arg(server.key("record")).query_async::<()>(&mut redis).await.unwrap();
    release(&slots, &session, &lease).await;
    let view = slots.inspect(&PoolQuery::history(&pool("p"), 0)).await.unwrap().remove(0);
    let page = view.history.unwrap();
    assert_eq!(page.since.number, lease.fence.0, "earlier holds are unknown");
    assert_eq!(page.entries.len(), 1);
}

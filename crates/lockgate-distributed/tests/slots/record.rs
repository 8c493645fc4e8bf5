//! The record in Redis: bounded, and its beginning said, whoever touches it.

use lockgate_core::history::KEPT_ENTRIES;
use lockgate_core::slots::{PoolQuery, Slots};

use super::server::Server;
use super::stage::{ensure, free, pool, request, take};

/// Puts changes of a limit on the list, numbered from 1, as `set.lua` would.
const FILL: &str = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('RPUSH', KEYS[1], struct.pack('<sdddds', 'l', i, 1000 + i, 1, 2, 'p'))
end";

#[tokio::test]
async fn a_record_that_is_too_long_is_shortened_and_says_from_where_on_it_is_whole() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 5).await;
    let session = slots.open("a").await.unwrap();
    let mut redis = server.connect().await;
    let many = KEPT_ENTRIES + 2_000;
    for from in (1..=many).step_by(1_000) {
        let mut fill = redis::cmd("EVAL");
        fill.arg(FILL).arg(1).arg(server.key("record")).arg(from).arg(from + 999);
        fill.query_async::<()>(&mut redis).await.unwrap();
    }
    // The release is on record, and finds that it is too long; the call after it shortens it.
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    free(&slots, &session, &lease).await;
    let view = slots.inspect(&PoolQuery::history(&pool("p"), 0)).await.unwrap().remove(0);
    let page = view.history.unwrap();
    assert_eq!((page.since.number, page.since.at_ms), (2_001, 3_001), "the last that fell out");
    assert_eq!(page.entries.first().map(lockgate_core::history::HistoryEntry::number), Some(2_002));
    let length: u64 = redis::cmd("LLEN").arg(server.key("record")).query_async(&mut redis).await.unwrap();
    assert_eq!(length, KEPT_ENTRIES + 1, "and its beginning");
}

#[tokio::test]
async fn a_record_that_somebody_deleted_begins_anew() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 5).await;
    let session = slots.open("a").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    let mut redis = server.connect().await;
    redis::cmd("DEL").arg(server.key("record")).query_async::<()>(&mut redis).await.unwrap();
    free(&slots, &session, &lease).await;
    let view = slots.inspect(&PoolQuery::history(&pool("p"), 0)).await.unwrap().remove(0);
    let page = view.history.unwrap();
    assert_eq!(page.since.number, lease.fence.0, "what was granted by then is not judged");
    assert_eq!(page.entries.len(), 1);
}

//! The history of a pool is bounded, and the store knows where it starts.

use std::time::Duration;

use lockgate_core::history::{HistoryEntry, KEPT_ENTRIES};
use lockgate_core::lease::{Admission, Release, SlotRequest};
use lockgate_core::pool::{Need, PoolCommand, PoolSpec};
use lockgate_core::slots::PoolQuery;
use lockgate_core::{LeaseId, PoolName, Tenant};
use lockgate_embedded::{Options, open};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

/// Inserts ended holds of the pool, numbered from 1, as `record_holds` does.
const FILL: &str = "with recursive n (i) as (select 1 union all select i + 1 from n where i < ?1)
    insert into record (pool, at, number, lease, fence, weight, ended)
    select 'p', 1000 + i, i, '00000000-0000-7000-8000-000000000000', i, 1, 'released' from n";

#[tokio::test]
async fn history_that_is_too_long_is_trimmed_and_its_start_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lockgate.db");
    let slots = open(Options::new(&path)).await.unwrap().engine.slots;
    let name = PoolName::new("p").unwrap();
    let spec = PoolSpec { name: name.clone(), slots: 1, per_tenant: None };
    slots.control(PoolCommand::Ensure(spec)).await.unwrap();
    let mut file = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    // The next row is one that triggers a trim.
    sqlx::query(FILL).bind(101_999).execute(&mut file).await.unwrap();
    file.close().await.unwrap();

    let session = slots.open("a").await.unwrap();
    let request = SlotRequest {
        lease: LeaseId(Uuid::now_v7()),
        tenant: Tenant::new("t").unwrap(),
        needs: vec![Need { pool: name.clone(), weight: 1 }],
        drain_for: Duration::ZERO,
        max_wait: Duration::from_secs(60),
    };
    let admissions = slots.acquire(&session, vec![request]).await.unwrap();
    let [Admission::Granted(lease)] = admissions.as_slice() else { panic!("{admissions:?}") };
    let free = Release::Free { lease: lease.id(), fence: lease.fence };
    slots.release(&session, vec![free]).await.unwrap();

    let page = slots.inspect(&PoolQuery::history(&name, 0)).await.unwrap().remove(0).history.unwrap();
    let last = 102_000 - KEPT_ENTRIES;
    assert_eq!((page.since.number, page.since.at_ms), (last, 3_000), "the last entry that was trimmed");
    assert_eq!(page.entries.first().map(HistoryEntry::number), Some(last + 1));
    let mut file = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let rows: u64 = sqlx::query_scalar("select count(*) from record").fetch_one(&mut file).await.unwrap();
    assert_eq!(rows, KEPT_ENTRIES);
}

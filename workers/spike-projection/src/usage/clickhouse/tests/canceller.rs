//! Orphaned queries of ended executions are cancelled, and the server confirms it.

use lockgate::{Canceller, Fence, JobId, OrphanedQuery};

use super::*;

fn id_of(orphan: OrphanedQuery) -> QueryId {
    QueryId::of(orphan.job, 1, orphan.fence)
}

fn orphan(fence: u64) -> OrphanedQuery {
    OrphanedQuery { job: JobId(Uuid::now_v7()), fence: Fence(fence) }
}

/// Starts a query of each execution on the server and disconnects.
async fn start(database: &TestDatabase, orphans: &[OrphanedQuery]) {
    let (client, slow) = (database.client(), Statement::new(SLOW));
    let ids: Vec<QueryId> = orphans.iter().map(|orphan| id_of(*orphan)).collect();
    let all = || ids.iter().all(|id| database.running(id.as_str()) == 1);
    tokio::select! {
        _ = futures_util::future::join_all(ids.iter().map(|id| client.read(&slow, id))) => panic!("a query ended"),
        () = database.eventually("all queries run", |_| all()) => {}
    }
}

#[tokio::test]
async fn orphaned_queries_are_cancelled_and_no_others() {
    let Some(database) = TestDatabase::find() else { return };
    let orphans = [orphan(5), orphan(5), orphan(5)];
    let stranger = orphan(5);
    start(&database, &[orphans[0], orphans[1], stranger]).await;
    let mut ended = Canceller::end(&database.queries(), &orphans).await.unwrap();
    ended.sort_by_key(|orphan| orphan.job);
    assert_eq!(ended, orphans, "the third has no query, which was checked twice");
    assert_eq!(
        database.running(id_of(orphans[0]).as_str()) + database.running(id_of(orphans[1]).as_str()),
        0
    );
    assert_eq!(database.running(id_of(stranger).as_str()), 1);
    database.queries().end(id_of(stranger).as_str()).await.unwrap();
}

#[tokio::test]
async fn queries_of_earlier_executions_are_cancelled_and_those_of_later_ones_are_not() {
    let Some(database) = TestDatabase::find() else { return };
    let now = orphan(7);
    let (earlier, later) =
        (OrphanedQuery { fence: Fence(6), ..now }, OrphanedQuery { fence: Fence(8), ..now });
    start(&database, &[earlier, later]).await;
    assert_eq!(Canceller::end(&database.queries(), &[now]).await.unwrap(), [now]);
    assert_eq!(database.running(id_of(earlier).as_str()), 0);
    assert_eq!(database.running(id_of(later).as_str()), 1);
    database.queries().end(id_of(later).as_str()).await.unwrap();
}

#[tokio::test]
async fn query_that_starts_between_the_two_checks_is_cancelled_too() {
    let Some(database) = TestDatabase::find() else { return };
    let late = [orphan(5)];
    assert_eq!(database.queries().end_twice(&late, start(&database, &late)).await.unwrap(), late);
    assert_eq!(database.running(id_of(late[0]).as_str()), 0, "a confirmed query has ended");
}

#[tokio::test]
async fn unreachable_server_confirms_no_cancellation() {
    let nowhere = Queries::new(&settings("http://127.0.0.1:1/nowhere".to_owned())).unwrap();
    assert!(Canceller::end(&nowhere, &[orphan(1)]).await.is_err());
}

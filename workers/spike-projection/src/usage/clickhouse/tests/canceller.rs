//! What executions that are gone left on the server is ended, and confirmed by the server, not by a guess.

use lockgate::{Canceller, Fence, JobId, OrphanedQuery};

use super::*;

fn id_of(left: OrphanedQuery) -> QueryId {
    QueryId::of(left.job, 1, left.fence)
}

fn left(fence: u64) -> OrphanedQuery {
    OrphanedQuery { job: JobId(Uuid::now_v7()), fence: Fence(fence) }
}

/// Leaves a query of each running on the server, without a client.
async fn leave(place: &Place, lefts: &[OrphanedQuery]) {
    let (client, slow) = (place.client(), Statement::new(SLOW));
    let ids: Vec<QueryId> = lefts.iter().map(|left| id_of(*left)).collect();
    let all = || ids.iter().all(|id| place.running(id.as_str()) == 1);
    tokio::select! {
        _ = futures_util::future::join_all(ids.iter().map(|id| client.read(&slow, id))) => panic!("one ended"),
        () = place.eventually("all run", |_| all()) => {}
    }
}

#[tokio::test]
async fn what_gone_executions_left_is_ended_and_confirmed_and_nothing_else_is() {
    let Some(place) = Place::find() else { return };
    let lefts = [left(5), left(5), left(5)];
    let stranger = left(5);
    leave(&place, &[lefts[0], lefts[1], stranger]).await;
    let mut ended = Canceller::end(&place.queries(), &lefts).await.unwrap();
    ended.sort_by_key(|left| left.job);
    assert_eq!(ended, lefts, "the third had nothing left, and was looked for twice");
    assert_eq!(place.running(id_of(lefts[0]).as_str()) + place.running(id_of(lefts[1]).as_str()), 0);
    assert_eq!(place.running(id_of(stranger).as_str()), 1);
    place.queries().end(id_of(stranger).as_str()).await.unwrap();
}

#[tokio::test]
async fn a_later_execution_of_the_job_is_left_alone_and_an_earlier_one_is_not() {
    let Some(place) = Place::find() else { return };
    let now = left(7);
    let (earlier, later) =
        (OrphanedQuery { fence: Fence(6), ..now }, OrphanedQuery { fence: Fence(8), ..now });
    leave(&place, &[earlier, later]).await;
    assert_eq!(Canceller::end(&place.queries(), &[now]).await.unwrap(), [now]);
    assert_eq!(place.running(id_of(earlier).as_str()), 0);
    assert_eq!(place.running(id_of(later).as_str()), 1);
    place.queries().end(id_of(later).as_str()).await.unwrap();
}

#[tokio::test]
async fn a_query_that_begins_between_the_looks_is_ended_too() {
    let Some(place) = Place::find() else { return };
    let late = [left(5)];
    assert_eq!(place.queries().end_twice(&late, leave(&place, &late)).await.unwrap(), late);
    assert_eq!(place.running(id_of(late[0]).as_str()), 0, "it is gone when that is said");
}

#[tokio::test]
async fn a_server_that_does_not_answer_confirms_nothing() {
    let nowhere = Queries::new(&settings("http://127.0.0.1:1/nowhere".to_owned())).unwrap();
    assert!(Canceller::end(&nowhere, &[left(1)]).await.is_err());
}

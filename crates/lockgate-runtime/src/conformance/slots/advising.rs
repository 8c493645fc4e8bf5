//! What the adaptive limit advises: it can lower what grants obey, and restore it, and nothing else.

use lockgate_core::pool::{NewRecommendation, PoolChange, PoolCommand, PoolStatus};
use lockgate_core::{Engine, EngineError};

use super::super::Fixture;
use super::super::process::{Process, change, ensure, set_slots, status, view};
use super::super::stage::{pool, request};

async fn advise(engine: &Engine, slots: u32, enforced: bool) -> PoolStatus {
    let recommendation = NewRecommendation { slots, why: "the backend refused 3 of 40".to_owned(), enforced };
    change(engine, "p", PoolChange { recommendation: Some(Some(recommendation)), ..PoolChange::default() })
        .await
}

/// In use is at most what is advised, for new grants; who holds more keeps it.
pub async fn an_enforced_advice_is_obeyed_by_grants(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = Process::open(&engine, "a").await;
    for _ in 0..3 {
        a.take(&request("t", 1)).await;
    }
    let advised = advise(&fixture.second().await, 2, true).await;
    assert_eq!((advised.slots, advised.limit(), advised.held), (3, 2, 3), "nothing is taken away");
    let wish = request("t", 1);
    a.wait(&wish).await;
    for held_after in [2, 2] {
        let lease = a.held[0].clone();
        a.free(&lease).await;
        assert_eq!(status(&engine).await.held, held_after);
    }
    assert!(a.holds(&wish).await, "as soon as it was below the recommendation");
    a.wait(&request("t", 1)).await;
}

/// An recommendation that is not enforced is shown, with its reason and its age, and changes nothing.
pub async fn an_advice_that_is_not_enforced_is_only_shown(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 2).await;
    advise(&engine, 1, false).await;
    fixture.elapse(fixture.timing().heartbeat / 3).await;
    let status = status(&fixture.second().await).await;
    let recommendation = status.recommendation.clone().unwrap();
    assert_eq!(
        (recommendation.slots, recommendation.enforced, recommendation.why.as_str()),
        (1, false, "the backend refused 3 of 40")
    );
    assert!(recommendation.age >= fixture.timing().heartbeat / 4, "{recommendation:?}");
    assert_eq!((status.slots, status.limit()), (2, 2));
    assert!(status.version > made.version);
    let mut a = Process::open(&engine, "a").await;
    a.take(&request("t", 2)).await;
}

/// Taken back, it is as if it had never been; who waits is granted within the change.
pub async fn an_advice_that_is_taken_back_restores_what_was_configured(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    advise(&engine, 1, true).await;
    let mut a = Process::open(&engine, "a").await;
    a.take(&request("t", 1)).await;
    a.wait(&request("t", 1)).await;
    a.wait(&request("t", 1)).await;
    assert_eq!(advise(&engine, 2, true).await.held, 2, "a milder recommendation grants at once");
    let back = change(&engine, "p", PoolChange { recommendation: Some(None), ..PoolChange::default() }).await;
    assert_eq!((back.recommendation, back.slots, back.held, back.waiters), (None, 3, 3, 0));
}

/// It never raises: above what is configured, and above what an operator sets meanwhile, it is nothing.
pub async fn an_advice_never_raises_nor_undoes_what_an_operator_sets(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    assert_eq!(advise(&engine, 9, true).await.limit(), 3);
    assert_eq!(advise(&engine, 2, true).await.limit(), 2);
    let set = set_slots(&engine, "p", 1).await;
    assert_eq!((set.slots, set.limit()), (1, 1));
    let raised = set_slots(&engine, "p", 5).await;
    assert_eq!((raised.slots, raised.limit()), (5, 2), "the recommendation is still in force");
    assert_eq!(raised.recommendation.map(|recommendation| recommendation.slots), Some(2));
    assert_eq!(set_slots(&engine, "p", 0).await.limit(), 0, "closed is closed");
}

/// One decision for all processes: the second one that was decided on the same version is refused.
pub async fn an_advice_decided_on_an_older_version_is_refused(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 4).await;
    let advise = |slots| {
        let recommendation = NewRecommendation { slots, why: "why".to_owned(), enforced: true };
        let change = PoolChange { recommendation: Some(Some(recommendation)), ..PoolChange::default() };
        PoolCommand::Set { pool: pool("p"), change, version: Some(made.version) }
    };
    engine.slots.control(advise(3)).await.unwrap();
    let second = fixture.second().await.slots.control(advise(2)).await;
    assert!(matches!(second, Err(EngineError::Conflict { .. })), "{second:?}");
    assert_eq!(status(&engine).await.limit(), 3);
}

/// Who wants more than is advised, but not more than there is, waits: an recommendation passes.
pub async fn who_wants_more_than_is_advised_waits(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    advise(&engine, 1, true).await;
    let mut a = Process::open(&engine, "a").await;
    let heavy = request("t", 3);
    a.wait(&heavy).await;
    change(&engine, "p", PoolChange { recommendation: Some(None), ..PoolChange::default() }).await;
    assert!(a.holds(&heavy).await);
    assert_eq!(view(&engine).await.status.held, 3);
}

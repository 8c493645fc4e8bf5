//! Recommendations of the adaptive limit: they can lower the slots that grants respect and restore them, and
//! nothing else.

use lockgate_core::pool::{NewRecommendation, PoolChange, PoolCommand, PoolStatus};
use lockgate_core::{Engine, EngineError};

use super::super::Fixture;
use super::super::samples::{pool, request};
use super::super::slot_client::{SlotClient, change, ensure, set_slots, status, view};

async fn recommend(engine: &Engine, slots: u32, enforced: bool) -> PoolStatus {
    let recommendation = NewRecommendation { slots, why: "the backend refused 3 of 40".to_owned(), enforced };
    change(engine, "p", PoolChange { recommendation: Some(Some(recommendation)), ..PoolChange::default() })
        .await
}

/// New grants respect an enforced recommendation. Holders of more slots keep them.
pub async fn enforced_recommendation_limits_grants(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..3 {
        a.acquire_now(&request("t", 1)).await;
    }
    let lowered = recommend(&fixture.second().await, 2, true).await;
    assert_eq!((lowered.slots, lowered.limit(), lowered.held), (3, 2, 3), "nothing is taken away");
    let wanted = request("t", 1);
    a.enqueue(&wanted).await;
    for held_after in [2, 2] {
        let lease = a.held[0].clone();
        a.free(&lease).await;
        assert_eq!(status(&engine).await.held, held_after);
    }
    assert!(a.holds(&wanted).await, "as soon as it was below the recommendation");
    a.enqueue(&request("t", 1)).await;
}

/// A recommendation that is not enforced is shown with its reason and age, and changes nothing.
pub async fn unenforced_recommendation_is_only_shown(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 2).await;
    recommend(&engine, 1, false).await;
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
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 2)).await;
}

/// Removing a recommendation restores the slots. Waiters are granted by the same call.
pub async fn removed_recommendation_restores_slots(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    recommend(&engine, 1, true).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    a.enqueue(&request("t", 1)).await;
    a.enqueue(&request("t", 1)).await;
    assert_eq!(recommend(&engine, 2, true).await.held, 2, "a milder recommendation grants at once");
    let back = change(&engine, "p", PoolChange { recommendation: Some(None), ..PoolChange::default() }).await;
    assert_eq!((back.recommendation, back.slots, back.held, back.waiters), (None, 3, 3, 0));
}

/// A recommendation never raises the slots above those that are configured or set by an operator.
pub async fn recommendation_never_raises_slots(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    assert_eq!(recommend(&engine, 9, true).await.limit(), 3);
    assert_eq!(recommend(&engine, 2, true).await.limit(), 2);
    let set = set_slots(&engine, "p", 1).await;
    assert_eq!((set.slots, set.limit()), (1, 1));
    let raised = set_slots(&engine, "p", 5).await;
    assert_eq!((raised.slots, raised.limit()), (5, 2), "the recommendation is still in force");
    assert_eq!(raised.recommendation.map(|recommendation| recommendation.slots), Some(2));
    assert_eq!(set_slots(&engine, "p", 0).await.limit(), 0, "closed is closed");
}

/// Of two recommendations for the same version of a pool, the second is refused.
pub async fn recommendation_for_older_version_is_refused(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 4).await;
    let recommend = |slots| {
        let recommendation = NewRecommendation { slots, why: "why".to_owned(), enforced: true };
        let change = PoolChange { recommendation: Some(Some(recommendation)), ..PoolChange::default() };
        PoolCommand::Set { pool: pool("p"), change, version: Some(made.version) }
    };
    engine.slots.control(recommend(3)).await.unwrap();
    let second = fixture.second().await.slots.control(recommend(2)).await;
    assert!(matches!(second, Err(EngineError::Conflict { .. })), "{second:?}");
    assert_eq!(status(&engine).await.limit(), 3);
}

/// A request for more slots than recommended, but not more than the pool has, waits, because a recommendation
/// is temporary.
pub async fn request_above_recommendation_waits(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    recommend(&engine, 1, true).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let heavy = request("t", 3);
    a.enqueue(&heavy).await;
    change(&engine, "p", PoolChange { recommendation: Some(None), ..PoolChange::default() }).await;
    assert!(a.holds(&heavy).await);
    assert_eq!(view(&engine).await.status.held, 3);
}

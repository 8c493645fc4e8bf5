//! Messages on their way: publications of unknown outcome, and messages that the dispatcher did not send.

use std::time::Duration;

use lockgate_core::broker::{Depth, Origin};
use lockgate_core::dead::{DeadQuery, DeadReason};
use lockgate_core::ledger::{JobQuery, RunQuery};
use lockgate_core::run::RunStatus;
use lockgate_core::{Envelope, JobId, JobState, Key, Kind, QueueName, Tenant};
use tokio::time::Instant;
use uuid::Uuid;

use crate::faults::FaultyBroker;
use crate::scenario::{Act, Probe, Scenario};

pub(crate) fn queue() -> QueueName {
    QueueName::new("probes").unwrap()
}

/// A message as another client sends it: the ledger has never heard of its job.
pub(crate) fn message(kind: &str, payload: &str) -> Envelope {
    Envelope {
        job: JobId(Uuid::now_v7()),
        kind: Kind::new(kind).unwrap(),
        key: Key::new("7").unwrap(),
        tenant: Tenant::new("7").unwrap(),
        run: None,
        queue: queue(),
        dispatch: 1,
        payload: payload.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_publication_of_unknown_outcome_is_repeated_at_once_and_runs_once() {
    let mut scenario = Scenario::new(4, vec![Act::Succeed { after: Duration::from_millis(10) }; 8]).await;
    FaultyBroker::around(&mut scenario.engine, 3, Origin::Dispatcher);
    let begun = Instant::now();
    scenario.work().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "it waited for its claim to end: {:?}",
        begun.elapsed()
    );
    assert_eq!(scenario.summary().await.counts.succeeded, 8);
    assert!(scenario.seen.starts.lock().unwrap().values().all(|starts| *starts == 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_another_client_sent_is_recorded_run_and_settled() {
    let mut scenario = Scenario::new(4, []).await;
    scenario.options.until_idle = false;
    FaultyBroker::around(&mut scenario.engine, 0, Origin::Client);
    let probe = serde_json::to_string(&Probe { act: Act::Succeed { after: Duration::ZERO } }).unwrap();
    let sent = message("probe", &probe);
    scenario.engine.broker.publish(&[sent.clone(), sent.clone()]).await.unwrap();
    let (stop, mut tasks) = scenario.start();
    let look = JobQuery { ids: vec![sent.job], ..JobQuery::default() };
    scenario
        .until("the job has succeeded", async |scenario| {
            let found = scenario.engine.ledger.jobs(look.clone()).await.unwrap();
            found.first().is_some_and(|job| job.state == JobState::Succeeded)
        })
        .await;
    scenario
        .until("both messages are gone", async |scenario| {
            scenario.engine.broker.depth(&queue()).await.unwrap() == Depth::default()
        })
        .await;
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    let runs = scenario.engine.ledger.runs(RunQuery::default()).await.unwrap();
    let external_run = runs.iter().find(|run| run.run.name.as_str().starts_with("external-")).unwrap();
    assert_eq!(
        (external_run.counts.succeeded, external_run.run.planned, external_run.status()),
        (1, 1, RunStatus::Finished)
    );
    assert_eq!(scenario.seen.starts.lock().unwrap().values().copied().collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_another_client_sent_and_nobody_can_run_is_a_dead_letter_with_its_reason() {
    let mut scenario = Scenario::new(4, []).await;
    scenario.options.until_idle = false;
    FaultyBroker::around(&mut scenario.engine, 0, Origin::Client);
    let hostile = [message("nobody", "{}"), message("probe", "{\"act\":\"Explode\"}")];
    scenario.engine.broker.publish(&hostile).await.unwrap();
    let (stop, mut tasks) = scenario.start();
    scenario
        .until("both are dead letters", async |scenario| {
            scenario.engine.broker.depth(&queue()).await.unwrap().dead == 2
        })
        .await;
    stop.cancel();
    assert_eq!(tasks.join_next().await.unwrap().unwrap().rejected, 2);
    let query = DeadQuery { queue: queue(), id: None, limit: 0 };
    let letters = scenario.engine.broker.dead(query).await.unwrap();
    let mut reasons: Vec<DeadReason> = letters.iter().map(|letter| letter.reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [DeadReason::UnknownKind, DeadReason::BadPayload]);
    assert!(letters.iter().any(|letter| letter.detail.contains("Explode")), "{letters:?}");
    let jobs = scenario.engine.ledger.jobs(JobQuery::default()).await.unwrap();
    assert_eq!(jobs, [], "what cannot run gets no row");
}

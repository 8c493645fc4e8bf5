//! Writes that the ledger refuses for good: they end in a failed job or a dead letter, and fail no other job.

use std::time::Duration;

use lockgate_core::broker::Origin;
use lockgate_core::dead::{DeadQuery, DeadReason};
use lockgate_core::job::Outcome;
use lockgate_core::ledger::{JobQuery, PlanStep, Report, Settlement, StartDurability};
use lockgate_core::{JobState, Key};

use crate::faults::FaultyBroker;
use crate::faulty_ledger::Refused;
use crate::messages::{message, queue};
use crate::scenario::{Act, Probe, Scenario, state_of};

const QUICK: Act = Act::Succeed { after: Duration::from_millis(5) };

/// With one place in flight, a job that is retried forever would keep every other from running.
async fn with_one_place(acts: impl IntoIterator<Item = Act>, refused: Refused) -> Scenario {
    let mut scenario = Scenario::new(2, acts).await;
    scenario.options.concurrency = 1;
    scenario.options.until_idle = false;
    refused.by(&mut scenario.engine);
    scenario
}

async fn dead_letters(scenario: &Scenario) -> Vec<(DeadReason, String)> {
    let query = DeadQuery { queue: queue(), id: None, limit: 0 };
    let letters = scenario.engine.broker.dead(query).await.unwrap();
    letters.into_iter().map(|letter| (letter.reason, letter.detail)).collect()
}

#[tokio::test(start_paused = true)]
async fn message_whose_job_the_ledger_refuses_is_a_dead_letter() {
    let is_bad = |step: &PlanStep| match step {
        PlanStep::Ingest(ingestion) => ingestion.jobs.iter().any(|job| job.key.as_str() == "bad"),
        _ => false,
    };
    let mut scenario = with_one_place([], Refused { plan: is_bad, ..Refused::default() }).await;
    scenario.options.concurrency = 16;
    FaultyBroker::around(&mut scenario.engine, 0, Origin::Client);
    let probe = serde_json::to_string(&Probe { act: QUICK }).unwrap();
    let mut messages: Vec<_> = (0..10).map(|_| message("probe", &probe)).collect();
    messages[4].key = Key::new("bad").unwrap();
    scenario.engine.broker.publish(&messages).await.unwrap();
    let (_stop, _tasks) = scenario.start();
    scenario
        .until("all the others have run", async |scenario| {
            state_of(&scenario.engine.ledger.jobs(JobQuery::default()).await.unwrap(), JobState::Succeeded)
                == 9
        })
        .await;
    scenario.until("it is a dead letter", async |scenario| dead_letters(scenario).await.len() == 1).await;
    let (reason, detail) = dead_letters(&scenario).await.remove(0);
    assert_eq!(reason, DeadReason::Refused);
    assert!(detail.contains("refuses its job") && detail.contains("out of range"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn job_whose_outcome_the_ledger_refuses_fails() {
    let is_skip = |report: &Report| {
        matches!(report, Report::Settled(Settlement { outcome: Outcome::Skipped { .. }, .. }))
    };
    let refused = Refused { report: is_skip, ..Refused::default() };
    let scenario = with_one_place([Act::Skip, QUICK, Act::Skip, QUICK], refused).await;
    let (_stop, _tasks) = scenario.start();
    let over = async |scenario: &Scenario| scenario.jobs().await.iter().all(|job| job.state.is_terminal());
    scenario.until("all jobs are over", over).await;
    let jobs = scenario.jobs().await;
    assert_eq!((state_of(&jobs, JobState::Succeeded), state_of(&jobs, JobState::Failed)), (2, 2));
    let reason = jobs[0].reason.clone().unwrap();
    assert!(reason.contains("could not be recorded") && reason.contains("out of range"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn delivery_of_which_the_ledger_records_nothing_is_a_dead_letter() {
    let is_bad = |report: &Report| {
        matches!(
            report,
            Report::Settled(Settlement { outcome: Outcome::Skipped { .. } | Outcome::Failed { .. }, .. })
        )
    };
    let refused = Refused { report: is_bad, ..Refused::default() };
    let scenario = with_one_place([Act::Skip, QUICK], refused).await;
    let (_stop, _tasks) = scenario.start();
    scenario
        .until("the other has run", async |scenario| {
            state_of(&scenario.jobs().await, JobState::Succeeded) == 1
        })
        .await;
    let (reason, detail) = dead_letters(&scenario).await.remove(0);
    assert_eq!(reason, DeadReason::Refused);
    assert!(detail.contains("refuses the outcome of its job"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn job_whose_start_the_ledger_refuses_fails_and_holds_no_slot() {
    let refused = Refused { start: |start| start.durability != StartDurability::Never, ..Refused::default() };
    let scenario = with_one_place([QUICK, QUICK], refused).await;
    let (_stop, _tasks) = scenario.start();
    let over =
        async |scenario: &Scenario| scenario.jobs().await.iter().all(|job| job.state == JobState::Failed);
    scenario.until("both have failed", over).await;
    let reason = scenario.jobs().await[0].reason.clone().unwrap();
    assert!(reason.contains("its start could not be recorded"), "{reason}");
    scenario.until("all slots are free", async |scenario| scenario.pool().await.in_use() == 0).await;
    assert_eq!(scenario.seen.starts.lock().unwrap().len(), 0);
}

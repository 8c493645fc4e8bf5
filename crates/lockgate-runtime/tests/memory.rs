//! Runs the conformance suite against the memory engine.

use std::path::Path;

use async_trait::async_trait;
use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;
use lockgate_runtime::conformance::model::{self, Effort};
use lockgate_runtime::conformance::slots::{order, sessions, store_loss};
use lockgate_runtime::conformance::{Capabilities, Fixture};
use lockgate_runtime::memory::{Ablation, Memory};

struct InMemory(Memory);

#[async_trait]
impl Fixture for InMemory {
    fn engine(&self) -> Engine {
        self.0.engine()
    }

    async fn second(&self) -> Engine {
        self.0.engine()
    }

    fn timing(&self) -> SlotTiming {
        SlotTiming::default()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    async fn lose_slots(&self) {
        self.0.lose_slots();
    }
}

async fn fresh() -> InMemory {
    InMemory(Memory::new(SlotTiming::default()))
}

lockgate_runtime::conformance_suite!(fresh, (start_paused = true));

#[tokio::test(start_paused = true)]
async fn any_sequence_of_calls_agrees_with_the_model() {
    let effort = Effort { sequences: 1_000, calls: 60, seed: 1 };
    model::check(effort, fresh).await.unwrap_or_else(|broken| panic!("{broken}"));
}

/// Returns whether the property test fails when a rule is missing.
async fn notices(ablation: Ablation) -> bool {
    let broken = async || InMemory(Memory::broken(SlotTiming::default(), ablation));
    let found = model::check(Effort { sequences: 1_000, calls: 60, seed: 1 }, broken).await;
    found.is_err()
}

#[tokio::test(start_paused = true)]
async fn model_detects_missing_recovery() {
    assert!(notices(Ablation::NoRecovery).await);
}

#[tokio::test(start_paused = true)]
async fn model_detects_missing_grant_after_enqueue() {
    assert!(notices(Ablation::NoGrantAfterEnqueue).await);
}

#[tokio::test(start_paused = true)]
async fn model_detects_missing_grant_after_leave() {
    assert!(notices(Ablation::NoGrantAfterLeave).await);
}

async fn without(ablation: Ablation) -> InMemory {
    InMemory(Memory::broken(SlotTiming::default(), ablation))
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no process had time for a heartbeat")]
async fn case_detects_missing_clock_cap() {
    sessions::clock_jump_expires_no_session(&without(Ablation::NoClockCap).await).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "knows that it did")]
async fn case_detects_missing_recovery() {
    store_loss::nothing_is_granted_during_recovery(&without(Ablation::NoRecovery).await).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no waiter has precedence")]
async fn case_detects_missing_grant_after_enqueue() {
    let broken = without(Ablation::NoGrantAfterEnqueue).await;
    order::a_waiter_behind_another_tenants_ineligible_head_is_granted(&broken).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a grant behind the head that left")]
async fn case_detects_missing_grant_after_leave() {
    let broken = without(Ablation::NoGrantAfterLeave).await;
    order::waiters_are_granted_when_heavy_head_leaves(&broken).await;
}

/// Checks that every case is in a list, because a case that is not listed does not run.
#[test]
fn every_case_of_the_suite_is_listed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let lists =
        ["cases.rs", "cases/slots.rs"].map(|list| std::fs::read_to_string(source.join(list)).unwrap());
    let mut folders = vec![source];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for case in cases(&std::fs::read_to_string(&path).unwrap()) {
                let listed = lists.iter().any(|list| list.contains(&format!(" {case},")));
                assert!(listed, "{case} of {} is not listed", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} cases found");
}

fn cases(source: &str) -> impl Iterator<Item = &str> {
    let declared = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
    declared.filter_map(|line| line.split_once("(fixture: &dyn Fixture)")).map(|(case, _)| case)
}

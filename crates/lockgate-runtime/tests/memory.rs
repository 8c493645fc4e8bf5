//! The memory engine passes the conformance suite.

use std::path::Path;

use async_trait::async_trait;
use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;
use lockgate_runtime::conformance::model::{self, Effort};
use lockgate_runtime::conformance::slots::{losing, order, sessions};
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

/// Whether the property test notices that a rule is missing.
async fn notices(ablation: Ablation) -> bool {
    let broken = async || InMemory(Memory::broken(SlotTiming::default(), ablation));
    let found = model::check(Effort { sequences: 1_000, calls: 60, seed: 1 }, broken).await;
    found.is_err()
}

#[tokio::test(start_paused = true)]
async fn the_model_notices_a_store_that_does_not_learn() {
    assert!(notices(Ablation::NoLearning).await);
}

#[tokio::test(start_paused = true)]
async fn the_model_notices_a_newcomer_that_only_joins_the_line() {
    assert!(notices(Ablation::NoGrantAfterEnqueue).await);
}

#[tokio::test(start_paused = true)]
async fn the_model_notices_a_waiter_that_leaves_and_wakes_nobody() {
    assert!(notices(Ablation::NoWakeAfterCancel).await);
}

async fn without(ablation: Ablation) -> InMemory {
    InMemory(Memory::broken(SlotTiming::default(), ablation))
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "nobody was given the time")]
async fn a_case_notices_a_clock_that_leaps() {
    sessions::a_leap_of_the_clock_expires_nobody(&without(Ablation::NoClockCap).await).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "knows that it did")]
async fn a_case_notices_a_store_that_does_not_learn() {
    losing::nothing_is_granted_while_the_store_learns(&without(Ablation::NoLearning).await).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "nobody is before it")]
async fn a_case_notices_a_newcomer_that_only_joins_the_line() {
    let broken = without(Ablation::NoGrantAfterEnqueue).await;
    order::a_waiter_behind_another_tenants_ineligible_head_is_granted(&broken).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a grant behind the head that left")]
async fn a_case_notices_a_waiter_that_leaves_and_wakes_nobody() {
    let broken = without(Ablation::NoWakeAfterCancel).await;
    order::cancelling_a_heavy_head_wakes_those_behind_it(&broken).await;
}

/// A case that is in no list is run by nobody.
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
                assert!(listed, "nobody runs {case} of {}", path.display());
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

//! The property test of the slots: any sequence of calls, by several processes, against a model.
//!
//! The model is a list of leases and a wait queue, with the order of [`lockgate_core::fairness`]. It is kept
//! plain, so where it and an engine differ, the engine is wrong. After each step the replies are equal, no
//! grant exceeds the slots of a pool or the cap of a tenant, no eligible waiter waits for free slots, and
//! fences have increased.

mod comparing;
mod driver;
mod ops;
mod truth;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Fixture;
pub use ops::Op;

/// How much to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Sequences of calls, each on a fresh store. 256 take a second or two in memory.
    pub sequences: u32,
    /// The most calls in a sequence.
    pub calls: usize,
    /// Which sequences: the same seed tries the same ones.
    pub seed: u8,
}

impl Default for Effort {
    fn default() -> Self {
        Self { sequences: 256, calls: 40, seed: 0 }
    }
}

/// Tries sequences of calls, each against a fresh store; the error is the shortest sequence found that breaks
/// a rule, with what was broken.
///
/// # Errors
/// When the engine differs from the model, or breaks an invariant.
pub async fn check<F: Fixture>(effort: Effort, fresh: impl AsyncFn() -> F) -> Result<(), String> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[effort.seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let losses = fresh().await.capabilities().loses_slots;
    let sequences = ops::sequences(effort.calls, losses);
    for _ in 0..effort.sequences {
        let mut tree = sequences.new_tree(&mut runner).map_err(|reason| reason.to_string())?;
        if let Err(broken) = driver::run(&fresh().await, &tree.current()).await {
            let (ops, broken) = shrink(&mut tree, broken, &fresh).await;
            return Err(format!("{broken}\nafter {} calls:\n{ops:#?}", ops.len()));
        }
    }
    Ok(())
}

/// By hand, because a step of proptest's own runner cannot wait for a future.
async fn shrink<F: Fixture>(
    tree: &mut impl ValueTree<Value = Vec<Op>>,
    broken: String,
    fresh: &impl AsyncFn() -> F,
) -> (Vec<Op>, String) {
    let mut shortest = (tree.current(), broken);
    let mut smaller = tree.simplify();
    for _ in 0..2_000 {
        if !smaller {
            break;
        }
        smaller = match driver::run(&fresh().await, &tree.current()).await {
            Err(broken) => {
                shortest = (tree.current(), broken);
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    shortest
}

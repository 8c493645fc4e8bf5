//! What happens to PostgreSQL: killed, frozen.

use std::time::Duration;

use support::{Result, usual_or_nightly};

use super::scene::{Scene, Stage, lasts, outlives};

const BACK: Duration = Duration::from_secs(5);

#[test]
fn a_run_outlives_a_ledger_that_is_killed() -> Result {
    let kill = |scene: &mut Scene| {
        scene.postgres.kill();
        Ok(())
    };
    outlives(Stage::default(), BACK, kill, |scene| scene.postgres.restart())
}

#[test]
fn a_run_outlives_a_ledger_that_freezes() -> Result {
    let freeze = |scene: &mut Scene| {
        scene.postgres.freeze()?;
        lasts(usual_or_nightly(Duration::from_secs(10), Duration::from_secs(40)))
    };
    outlives(Stage::default(), BACK, freeze, |scene| scene.postgres.thaw())
}

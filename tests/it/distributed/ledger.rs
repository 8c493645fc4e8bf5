//! What happens to PostgreSQL: killed, frozen.

use std::time::Duration;

use support::Result;

use super::outage;
use super::scene::{Stage, lasts, outlives};

const BACK: Duration = Duration::from_secs(5);

#[test]
fn a_run_outlives_a_ledger_that_is_killed() -> Result {
    outlives(Stage::default(), BACK, |scene| {
        scene.postgres.kill();
        scene.postgres.restart()
    })
}

#[test]
fn a_run_outlives_a_ledger_that_freezes() -> Result {
    outlives(Stage::default(), BACK, |scene| {
        scene.postgres.freeze()?;
        lasts(outage(Duration::from_secs(10), Duration::from_secs(40)))?;
        scene.postgres.thaw()
    })
}

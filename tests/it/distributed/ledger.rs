//! Faults of PostgreSQL: it is killed, frozen, or its clock is moved.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use support::wait::block_on;
use support::{Result, ensure, usual_or_nightly};

use super::scenario::{Scenario, ScenarioOptions, lasts, survives};
use super::shifted_clock::ShiftedClock;

const BACK: Duration = Duration::from_secs(5);

#[test]
fn run_survives_a_killed_ledger() -> Result {
    let kill = |scenario: &mut Scenario| {
        scenario.postgres.kill();
        Ok(())
    };
    survives(ScenarioOptions::default(), BACK, kill, |scenario| scenario.postgres.restart())
}

#[test]
fn run_survives_a_frozen_ledger() -> Result {
    let freeze = |scenario: &mut Scenario| {
        scenario.postgres.freeze()?;
        lasts(usual_or_nightly(Duration::from_secs(10), Duration::from_secs(40)))
    };
    survives(ScenarioOptions::default(), BACK, freeze, |scenario| scenario.postgres.thaw())
}

#[test]
fn run_survives_a_ledger_clock_that_jumps_by_an_hour() -> Result {
    let Some(mut scenario) = Scenario::start(ScenarioOptions::default())? else { return Ok(()) };
    let Some(clock) = ShiftedClock::compile(&scenario.sandbox)? else { return Ok(()) };
    clock.preload_into(&mut scenario.postgres)?;
    scenario.postgres.restart()?;
    scenario.under_load()?;
    for seconds in [-3_600, 0, 3_600, 0] {
        let before = time(&scenario)?;
        clock.shift(seconds)?;
        let jumped = time(&scenario)?.abs_diff(before);
        ensure!((3_590..=3_700).contains(&jumped), "the clock jumped by {jumped} s instead of an hour");
        scenario.some_more_is_done(40, BACK)?;
    }
    scenario.ends_well()
}

/// Returns the server's clock, in seconds.
fn time(scenario: &Scenario) -> Result<i64> {
    block_on(async {
        let mut connection = PgConnection::connect(&scenario.postgres.url()).await?;
        let seconds = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::bigint");
        Ok(seconds.fetch_one(&mut connection).await?)
    })
}

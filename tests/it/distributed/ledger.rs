//! What happens to PostgreSQL: killed, frozen, its clock moved.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use support::wait::block_on;
use support::{Result, ensure, usual_or_nightly};

use super::scene::{Scene, Stage, lasts, outlives};
use super::shifted_clock::ShiftedClock;

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

#[test]
fn a_run_outlives_a_clock_of_the_ledger_that_jumps_by_an_hour() -> Result {
    let Some(mut scene) = Scene::set(Stage::default())? else { return Ok(()) };
    let Some(clock) = ShiftedClock::compile(&scene.place)? else { return Ok(()) };
    clock.preload_into(&mut scene.postgres)?;
    scene.postgres.restart()?;
    scene.under_load()?;
    for seconds in [-3_600, 0, 3_600, 0] {
        let before = time(&scene)?;
        clock.shift(seconds)?;
        let jumped = time(&scene)?.abs_diff(before);
        ensure!((3_590..=3_700).contains(&jumped), "the clock jumped by {jumped} s instead of an hour");
        scene.some_more_is_done(40, BACK)?;
    }
    scene.ends_well()
}

/// The seconds of its clock.
fn time(scene: &Scene) -> Result<i64> {
    block_on(async {
        let mut connection = PgConnection::connect(&scene.postgres.url()).await?;
        let seconds = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::bigint");
        Ok(seconds.fetch_one(&mut connection).await?)
    })
}

//! What happens to Redis: killed and empty, frozen, flushed, its clock moved.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use support::{Context, Result, ensure, usual_or_nightly};

use super::scene::{Scene, Stage, TTL, lasts, outlives};
use super::shifted_clock::ShiftedClock;

const BACK: Duration = Duration::from_secs(5);
/// A store that has lost its state grants nothing for one ttl, so that holders can say what they hold.
const BACK_WITHOUT_STATE: Duration = TTL.saturating_add(BACK).saturating_add(BACK);

#[test]
fn a_run_outlives_slots_that_are_killed_and_come_back_empty() -> Result {
    let kill = |scene: &mut Scene| {
        scene.redis.kill();
        Ok(())
    };
    outlives(Stage::default(), BACK_WITHOUT_STATE, kill, |scene| scene.redis.restart_empty())
}

#[test]
fn a_run_outlives_slots_that_freeze() -> Result {
    let freeze = |scene: &mut Scene| {
        scene.redis.freeze()?;
        lasts(usual_or_nightly(Duration::from_secs(10), Duration::from_secs(40)))
    };
    outlives(Stage::default(), BACK, freeze, |scene| scene.redis.thaw())
}

#[test]
fn a_run_outlives_slots_that_somebody_flushes() -> Result {
    let flush = |scene: &mut Scene| ask(scene, "FLUSHALL").map(drop);
    outlives(Stage::default(), BACK_WITHOUT_STATE, flush, |_| Ok(()))
}

#[test]
fn a_run_outlives_a_clock_of_the_slots_that_jumps_by_an_hour() -> Result {
    let Some(mut scene) = Scene::set(Stage::default())? else { return Ok(()) };
    let Some(clock) = ShiftedClock::compile(&scene.place)? else { return Ok(()) };
    clock.preload_into(&mut scene.redis)?;
    scene.redis.restart()?;
    scene.under_load()?;
    for seconds in [3_600, 0, -3_600, 0] {
        let before = time(&scene)?;
        clock.shift(seconds)?;
        let jumped = time(&scene)?.abs_diff(before);
        ensure!((3_590..=3_700).contains(&jumped), "the clock jumped by {jumped} s instead of an hour");
        scene.some_more_is_done(40, BACK)?;
    }
    scene.ends_well()
}

/// The seconds of its clock.
fn time(scene: &Scene) -> Result<u64> {
    // An array of two texts: `*2`, `$10`, the seconds, ..
    let answer = ask(scene, "TIME")?;
    Ok(answer.lines().nth(2).context("no time")?.trim().parse()?)
}

fn ask(scene: &Scene, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, scene.redis.port()))?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(!answer.starts_with('-'), "{command}: {answer}");
    Ok(answer)
}

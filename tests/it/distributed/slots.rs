//! Faults of Redis: it is killed and restarts empty, is frozen or flushed, or its clock is moved.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use support::{Context, Result, ensure, usual_or_nightly};

use super::scenario::{Scenario, ScenarioOptions, TTL, lasts, survives};
use super::shifted_clock::ShiftedClock;

const BACK: Duration = Duration::from_secs(5);
/// A store that has lost its state grants nothing for one ttl, so that holders can register their slots
/// again.
const BACK_WITHOUT_STATE: Duration = TTL.saturating_add(BACK).saturating_add(BACK);

#[test]
fn run_survives_killed_slots_that_restart_empty() -> Result {
    let kill = |scenario: &mut Scenario| {
        scenario.redis.kill();
        Ok(())
    };
    survives(ScenarioOptions::default(), BACK_WITHOUT_STATE, kill, |scenario| scenario.redis.restart_empty())
}

#[test]
fn run_survives_frozen_slots() -> Result {
    let freeze = |scenario: &mut Scenario| {
        scenario.redis.freeze()?;
        lasts(usual_or_nightly(Duration::from_secs(10), Duration::from_secs(40)))
    };
    survives(ScenarioOptions::default(), BACK, freeze, |scenario| scenario.redis.thaw())
}

#[test]
fn run_survives_flushed_slots() -> Result {
    let flush = |scenario: &mut Scenario| ask(scenario, "FLUSHALL").map(drop);
    survives(ScenarioOptions::default(), BACK_WITHOUT_STATE, flush, |_| Ok(()))
}

#[test]
fn run_survives_a_slot_clock_that_jumps_by_an_hour() -> Result {
    let Some(mut scenario) = Scenario::start(ScenarioOptions::default())? else { return Ok(()) };
    let Some(clock) = ShiftedClock::compile(&scenario.sandbox)? else { return Ok(()) };
    clock.preload_into(&mut scenario.redis)?;
    scenario.redis.restart()?;
    scenario.under_load()?;
    for seconds in [3_600, 0, -3_600, 0] {
        let before = time(&scenario)?;
        clock.shift(seconds)?;
        let jumped = time(&scenario)?.abs_diff(before);
        ensure!((3_590..=3_700).contains(&jumped), "the clock jumped by {jumped} s instead of an hour");
        scenario.some_more_is_done(40, BACK)?;
    }
    scenario.ends_well()
}

/// Returns the server's clock, in seconds.
fn time(scenario: &Scenario) -> Result<u64> {
    // The response is an array of two texts: `*2`, `$10`, the seconds, ..
    let answer = ask(scenario, "TIME")?;
    Ok(answer.lines().nth(2).context("no time")?.trim().parse()?)
}

fn ask(scenario: &Scenario, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, scenario.redis.port()))?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(!answer.starts_with('-'), "{command}: {answer}");
    Ok(answer)
}

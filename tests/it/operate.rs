//! An operator's commands act on workers that run, within a second and without a restart.

use std::time::Duration;

use serde_json::Value;
use support::program::{Place, Running};
use support::wait::eventually;
use support::{Context, Result};
use tokio::time::Instant;

use crate::organizations::{self, AS_OF};

const SOON: Duration = Duration::from_secs(30);

/// A database with organizations, a pool of 10 slots, a stand-in whose queries take some time, and a run `r` planned.
pub(crate) struct Scene {
    pub(crate) place: Place,
    _stand_in: Running,
}

impl Scene {
    pub(crate) fn new(query_time: &str, organizations: u32) -> Result<Self> {
        let place = organizations::imported(organizations)?;
        place.run(&["slots", "set", "clickhouse", "--slots", "10"])?.succeeded()?;
        let mut stand_in = place.start(&["stand-in", "--query-time", query_time, "--output", "json"])?;
        let banner = stand_in.first_json()?;
        let url = banner["url"].as_str().context("the stand-in does not say where it listens")?;
        let source = format!("source = \"http\"\n[spike_projection.http]\nurl = \"{url}\"\n");
        place.write("lockgate.toml", &format!("[spike_projection]\n{source}"))?;
        let plan =
            ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "100", "--batch-delay", "100ms"];
        place.run(&plan)?.succeeded()?;
        Ok(Self { place, _stand_in: stand_in })
    }

    /// What all processes have logged.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.place.path("processes.log"))?)
    }

    fn counts(&self) -> Result<Value> {
        Ok(self.place.json(&["runs", "show", "r"])?["run"].take())
    }
}

/// Slots held of the pool.
pub(crate) fn held(place: &Place) -> Result<u64> {
    let pools = place.json(&["slots", "show", "clickhouse"])?;
    pools["pools"][0]["held"].as_u64().with_context(|| format!("no slots in {pools:#}"))
}

#[test]
fn lowered_slots_cancel_nothing_and_grant_nothing_until_below() -> Result {
    let scene = Scene::new("1s", 60)?;
    let _worker = scene.place.start(&["work", "--concurrency", "40"])?;
    eventually("all slots are held", SOON, || Ok((held(&scene.place)? == 10).then_some(())))?;
    scene.place.run(&["slots", "set", "clickhouse", "--slots", "3"])?.succeeded()?;
    eventually("it falls to the new limit", SOON, || Ok((held(&scene.place)? <= 3).then_some(())))?;
    for _ in 0..20 {
        assert!(held(&scene.place)? <= 3);
    }
    scene.place.run(&["slots", "set", "clickhouse", "--slots", "20"])?.succeeded()?;
    eventually("everything is done", SOON, || Ok((scene.counts()?["succeeded"] == 60).then_some(())))?;
    Ok(())
}

#[test]
fn pause_resume_set_and_cancel_act_while_it_runs() -> Result {
    let scene = Scene::new("100ms", 400)?;
    let place = &scene.place;
    let _worker = place.start(&["work", "--concurrency", "20"])?;
    eventually(
        "jobs are done",
        SOON,
        || Ok((scene.counts()?["succeeded"].as_u64() > Some(0)).then_some(())),
    )?;

    place.run(&["runs", "pause", "r"])?.succeeded()?;
    let paused_at = Instant::now();
    let mut last = scene.counts()?["succeeded"].clone();
    let mut since = Instant::now();
    eventually("nothing more is done", SOON, || {
        let now = scene.counts()?["succeeded"].clone();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        Ok((since.elapsed() > Duration::from_secs(1)).then_some(()))
    })?;
    // A second on a quiet machine: what is left over is the machine's.
    assert!(since - paused_at < Duration::from_secs(5), "jobs went on for {:?}", since - paused_at);

    place.run(&["runs", "set", "r", "--batch-delay", "50ms", "--batch-size", "10"])?.succeeded()?;
    place.run(&["runs", "resume", "r"])?.succeeded()?;
    let resumed_at = Instant::now();
    eventually("it goes on", SOON, || Ok((scene.counts()?["succeeded"] != last).then_some(())))?;
    assert!(resumed_at.elapsed() < Duration::from_secs(10), "{:?}", resumed_at.elapsed());

    place.run(&["runs", "cancel", "r"])?.succeeded()?;
    let counts = scene.counts()?;
    assert_eq!((counts["scheduled"].as_u64(), counts["enqueued"].as_u64()), (Some(0), Some(0)), "{counts:#}");
    eventually("the slots are free", SOON, || Ok((held(place)? == 0).then_some(())))?;
    assert_eq!(scene.counts()?["cancelled"], counts["cancelled"], "a cancelled run changes no more");
    place.run(&["runs", "verify", "r"])?.succeeded()?;
    Ok(())
}

#[test]
fn an_audit_tells_the_peak_of_a_run_also_when_its_slots_were_lowered_meanwhile() -> Result {
    let scene = Scene::new("500ms", 40)?;
    let _worker = scene.place.start(&["work", "--concurrency", "40"])?;
    eventually("all slots are held", SOON, || Ok((held(&scene.place)? == 10).then_some(())))?;
    scene.place.run(&["slots", "set", "clickhouse", "--slots", "5"])?.succeeded()?;
    eventually("everything is done", SOON, || Ok((scene.counts()?["succeeded"] == 40).then_some(())))?;
    let audit = scene.place.json(&["slots", "audit", "clickhouse", "--run", "r"])?;
    assert_eq!((audit["peak"].as_u64(), audit["limit"].as_u64()), (Some(10), Some(10)), "{audit:#}");
    assert_eq!((audit["kept"].as_bool(), audit["above_ms"].as_u64()), (Some(true), Some(0)), "{audit:#}");
    assert_eq!(audit["run"]["whole"].as_bool(), Some(true), "{audit:#}");
    assert!(audit["run"]["holds"].as_u64() >= Some(40), "{audit:#}");
    let nowhere = scene.place.run(&["slots", "audit", "nowhere"])?;
    assert_eq!(nowhere.code, Some(66), "{nowhere:?}");
    Ok(())
}

//! `bench --split-slots`: the store counts whether slots are acquired from it.

use support::program::Sandbox;
use support::{Result, ensure, servers};

#[test]
fn split_slots_are_not_acquired_from_the_store() -> Result {
    let Some(shared) = servers::shared()? else { return Ok(()) };
    let sandbox = Sandbox::new()?;
    sandbox.write("lockgate.toml", &shared.engine(&format!("bench_{:016x}", fastrand::u64(..)))?)?;
    let sizes = [
        "bench",
        "--jobs",
        "300",
        "--sleep",
        "2ms",
        "--slots",
        "5",
        "--processes",
        "2",
        "--concurrency",
        "9",
    ];
    let split = sandbox.json(&[&sizes[..], &["--split-slots"]].concat())?;
    ensure!(
        split["succeeded"] == 300 && split["slots_split"] == true && split["hand_off"].is_null(),
        "{split}"
    );
    // Five slots in total for the duration of the run. If each process had five, the share would exceed 100
    // %.
    ensure!(split["slots_held_percent"].as_f64().is_some_and(|held| 0.0 < held && held <= 100.1), "{split}");
    assert_eq!(peak(&sandbox)?, Some(0));
    sandbox.json(&sizes)?;
    assert_eq!(peak(&sandbox)?, Some(5), "without splitting, all slots are held at once");
    Ok(())
}

/// Returns the largest number of slots of the bench's pool that were held at once.
fn peak(sandbox: &Sandbox) -> Result<Option<u64>> {
    let pools = sandbox.json(&["slots", "show", "lockgate-bench"])?["pools"].take();
    Ok(pools[0]["peak"].as_u64())
}

//! Which slots `lockgate-bench` takes, checked in the slot store.

use std::process::{Command, Stdio};

use serde_json::Value;
use support::program::{ProgramOutput, Sandbox, binary};
use support::{Result, ensure, servers};

#[test]
fn split_slots_are_not_taken_from_the_slot_store() -> Result {
    let Some(shared) = servers::shared()? else { return Ok(()) };
    let sandbox = Sandbox::new()?;
    sandbox.write("lockgate.toml", &shared.engine(&format!("bench_{:016x}", fastrand::u64(..)))?)?;
    let sizes =
        ["run", "--jobs", "300", "--sleep", "2ms", "--slots", "5", "--processes", "2", "--concurrency", "9"];
    let split = measure(&sandbox, &[&sizes[..], &["--split-slots"]].concat())?;
    ensure!(
        split["succeeded"] == 300 && split["slots_split"] == true && split["hand_off"].is_null(),
        "{split}"
    );
    // Five slots in total. If each process had all five, more than 100 % of them would be held.
    ensure!(split["slots_held_percent"].as_f64().is_some_and(|held| 0.0 < held && held <= 100.1), "{split}");
    assert_eq!(peak(&sandbox)?, Some(0));
    measure(&sandbox, &sizes)?;
    assert_eq!(peak(&sandbox)?, Some(5), "shared slots are all held at once");
    Ok(())
}

/// Runs `lockgate-bench`, which must succeed, and reads its JSON.
fn measure(sandbox: &Sandbox, args: &[&str]) -> Result<Value> {
    let args = [args, &["--output", "json"]].concat();
    let mut command = Command::new(binary("lockgate-bench"));
    command.args(&args).current_dir(sandbox.path("")).stdin(Stdio::null()).env_clear().env("NO_COLOR", "1");
    ProgramOutput::of(&mut command, &args)?.succeeded()?.json()
}

/// The most slots of the benchmark's pool that were ever held at once.
fn peak(sandbox: &Sandbox) -> Result<Option<u64>> {
    let pools = sandbox.json(&["slots", "show", "lockgate-bench"])?["pools"].take();
    Ok(pools[0]["peak"].as_u64())
}

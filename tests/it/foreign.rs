//! A client in another language, written from `docs/messages.md` alone. Its valid messages become jobs that
//! are accounted for. Messages that no worker can handle become dead letters with a reason.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::program::{ProgramOutput, Sandbox};
use support::servers::{self, Shared};
use support::wait::eventually;
use support::{Context, Result, bail};

use crate::organizations;

/// Debian's Python, which finds Debian's pika.
const PYTHON: &str = "/usr/bin/python3";
const GOOD: u64 = 980;
const HOSTILE: usize = 20;
const SOON: Duration = Duration::from_secs(60);

#[test]
fn messages_of_a_foreign_client_become_jobs_or_dead_letters_with_a_reason() -> Result {
    let Some(scenario) = Scenario::new()? else { return Ok(()) };
    organizations::import(&scenario.sandbox, u32::try_from(GOOD)?, this_hour()?)?;
    let mut worker = scenario.sandbox.start(&["work", "--concurrency", "32"])?;
    // Sending fails until the worker has declared its queue, because the client uses mandatory publishing.
    let sent = eventually("the worker has declared its queue", SOON, || {
        Ok(Some(scenario.send(&["hostile"])?).filter(|sent| sent.code == Some(0)))
    })?;
    let reasons: BTreeMap<String, String> = serde_json::from_value(sent.json()?)?;
    assert_eq!(reasons.len(), HOSTILE);
    scenario.send(&["good", &GOOD.to_string()])?.succeeded()?;
    eventually("every good message is a job that has succeeded", SOON * 2, || {
        Ok((scenario.succeeded()? == GOOD).then_some(()))
    })?;
    assert_eq!(scenario.dead_letters(HOSTILE)?, reasons);
    scenario.show_and_replay("another-kind")?;
    assert_eq!(scenario.dead_letters(HOSTILE)?, reasons, "a replayed letter becomes a dead letter again");
    let dropped = scenario.sandbox.json(&["dead", "drop", "--all", "--yes"])?;
    assert_eq!(dropped["dropped"], HOSTILE);
    assert_eq!(scenario.letters()?.len(), 0);
    assert_eq!(scenario.succeeded()?, GOOD, "replayed and dropped letters are not jobs");
    worker.signal(rustix::process::Signal::TERM)?;
    assert_eq!(worker.wait(SOON)?.code(), Some(0));
    Ok(())
}

/// A namespace of its own on the shared servers.
struct Scenario {
    sandbox: Sandbox,
    shared: &'static Shared,
    name: String,
}

impl Scenario {
    /// Returns `None`, and reports it, if the servers or pika are not installed.
    fn new() -> Result<Option<Self>> {
        let Some(shared) = servers::shared()? else { return Ok(None) };
        if !Command::new(PYTHON).args(["-c", "import pika"]).output().is_ok_and(|out| out.status.success()) {
            return without_pika().map(|()| None);
        }
        let name = format!("foreign_{:016x}", fastrand::u64(..));
        let sandbox = Sandbox::new()?;
        let scenario = Self { sandbox, shared, name };
        scenario.sandbox.write("lockgate.toml", &shared.engine(&scenario.name)?)?;
        Ok(Some(scenario))
    }

    fn send(&self, what: &[&str]) -> Result<ProgramOutput> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/foreign.py");
        let mut command = Command::new(PYTHON);
        command.args([script, self.shared.amqp_url(), &format!("{}.spikes", self.name)]).args(what);
        ProgramOutput::of(&mut command, what)
    }

    /// Returns how many jobs of clients have succeeded. No job may end otherwise. An external run covers one
    /// day, so around midnight there are two.
    fn succeeded(&self) -> Result<u64> {
        let runs = self.sandbox.json(&["runs", "list"])?["runs"].take();
        let mut succeeded = 0;
        for run in runs.as_array().context("no list of runs")? {
            let name = run["name"].as_str().context("a run without a name")?;
            assert!(name.starts_with("external-"), "{run:#}");
            let account = self.sandbox.json(&["runs", "verify", name])?;
            assert_eq!(account["balanced"], true, "{account:#}");
            for bad in ["failed", "skipped", "cancelled"] {
                assert_eq!(account[bad], 0, "{account:#}");
            }
            succeeded += account["succeeded"].as_u64().context("no count")?;
        }
        Ok(succeeded)
    }

    fn letters(&self) -> Result<Vec<Value>> {
        let listed = self.sandbox.json(&["dead", "list"])?["letters"].take();
        Ok(serde_json::from_value(listed)?)
    }

    /// Waits for this many dead letters. Returns the reason of each, by its message id.
    fn dead_letters(&self, number: usize) -> Result<BTreeMap<String, String>> {
        let letters = eventually("the dead letters are there", SOON, || {
            Ok(Some(self.letters()?).filter(|letters| letters.len() == number))
        })?;
        let text = |letter: &Value, what: &str| -> Result<String> {
            Ok(letter[what].as_str().context("no text")?.to_owned())
        };
        letters.iter().map(|letter| Ok((text(letter, "message_id")?, text(letter, "reason")?))).collect()
    }

    fn letter(&self, message_id: &str) -> Result<Option<Value>> {
        Ok(self.letters()?.into_iter().find(|letter| letter["message_id"] == message_id))
    }

    /// Checks that a dead letter shows its body, and that it becomes a dead letter again when it is replayed.
    fn show_and_replay(&self, message_id: &str) -> Result {
        let listed = self.letter(message_id)?.context("the letter is not listed")?;
        let id = listed["id"].as_str().context("no id")?;
        let shown = self.sandbox.json(&["dead", "show", id])?["letter"].take();
        assert_eq!((&shown["reason"], &shown["kind"]), (&listed["reason"], &listed["kind"]), "{shown:#}");
        assert_eq!(shown["body"], r#"{"organization_id": 1}"#);
        assert_eq!(self.sandbox.json(&["dead", "replay", id])?["replayed"], 1);
        let again = eventually("the letter is dead again", SOON, || self.letter(message_id))?;
        assert!(again["died_at"].as_str() > listed["died_at"].as_str(), "{again:#} {listed:#}");
        Ok(())
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        // If this fails, the server has stopped, and its data is removed anyway.
        drop(self.shared.drop_database(&self.name));
    }
}

/// Returns the hour of jobs that name none.
#[expect(clippy::disallowed_methods, reason = "the worker under test uses the real clock too")]
fn this_hour() -> Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs() / 3_600)?)
}

#[expect(clippy::disallowed_methods, reason = "CI is set where no test may be skipped")]
fn without_pika() -> Result {
    if std::env::var("CI").is_ok_and(|set| !set.is_empty()) {
        bail!("{PYTHON} has no pika, and CI is set: install the Debian package python3-pika");
    }
    eprintln!("SKIPPED: {PYTHON} has no pika; install the Debian package python3-pika");
    Ok(())
}

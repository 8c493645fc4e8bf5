//! A client in another language, by the contract of `docs/messages.md` alone: its messages are jobs that are accounted
//! for, and what nobody can handle lies where an operator finds it, with its reason.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::program::{Ended, Place};
use support::servers::{self, Shared};
use support::wait::eventually;
use support::{Context, Result, bail};

use crate::organizations;

/// Debian's, which has Debian's pika.
const PYTHON: &str = "/usr/bin/python3";
const GOOD: u64 = 980;
const HOSTILE: usize = 20;
const SOON: Duration = Duration::from_secs(60);

#[test]
fn messages_of_a_foreign_client_are_jobs_or_dead_letters_with_their_reasons() -> Result {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    organizations::import(&scene.place, u32::try_from(GOOD)?, this_hour()?)?;
    let mut worker = scene.place.start(&["work", "--concurrency", "32"])?;
    // By then the worker's queues are there: a message that no queue takes is an error.
    let sent = eventually("the worker has declared its queue", SOON, || {
        Ok(Some(scene.send(&["hostile"])?).filter(|sent| sent.code == Some(0)))
    })?;
    let reasons: BTreeMap<String, String> = serde_json::from_value(sent.json()?)?;
    assert_eq!(reasons.len(), HOSTILE);
    scene.send(&["good", &GOOD.to_string()])?.succeeded()?;
    eventually("every good message is a job that has succeeded", SOON * 2, || {
        Ok((scene.succeeded()? == GOOD).then_some(()))
    })?;
    assert_eq!(scene.buried(HOSTILE)?, reasons);
    scene.show_and_replay("another-kind")?;
    assert_eq!(scene.buried(HOSTILE)?, reasons, "it is as dead as before");
    let dropped = scene.place.json(&["dead", "drop", "--all", "--yes"])?;
    assert_eq!(dropped["dropped"], HOSTILE);
    assert_eq!(scene.letters()?.len(), 0);
    assert_eq!(scene.succeeded()?, GOOD, "neither a replay nor an end is a job");
    worker.signal(rustix::process::Signal::TERM)?;
    assert_eq!(worker.wait(SOON)?.code(), Some(0));
    Ok(())
}

/// A namespace of its own on the shared servers.
struct Scene {
    place: Place,
    shared: &'static Shared,
    name: String,
}

impl Scene {
    /// `None`, said aloud: something that it needs is not on this machine.
    fn new() -> Result<Option<Self>> {
        let Some(shared) = servers::shared()? else { return Ok(None) };
        if !Command::new(PYTHON).args(["-c", "import pika"]).output().is_ok_and(|out| out.status.success()) {
            return without_pika().map(|()| None);
        }
        let name = format!("foreign_{:016x}", fastrand::u64(..));
        let place = Place::new()?;
        let scene = Self { place, shared, name };
        scene.place.write("lockgate.toml", &shared.engine(&scene.name)?)?;
        Ok(Some(scene))
    }

    fn send(&self, what: &[&str]) -> Result<Ended> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/foreign.py");
        let mut command = Command::new(PYTHON);
        command.args([script, self.shared.amqp_url(), &format!("{}.spikes", self.name)]).args(what);
        Ended::of(&mut command, what)
    }

    /// How many jobs of clients have succeeded; none may end otherwise. An external_run is for a day: around midnight there are two.
    fn succeeded(&self) -> Result<u64> {
        let runs = self.place.json(&["runs", "list"])?["runs"].take();
        let mut succeeded = 0;
        for run in runs.as_array().context("no list of runs")? {
            let name = run["name"].as_str().context("a run without a name")?;
            assert!(name.starts_with("external-"), "{run:#}");
            let account = self.place.json(&["runs", "verify", name])?;
            assert_eq!(account["balanced"], true, "{account:#}");
            for bad in ["failed", "skipped", "cancelled"] {
                assert_eq!(account[bad], 0, "{account:#}");
            }
            succeeded += account["succeeded"].as_u64().context("no count")?;
        }
        Ok(succeeded)
    }

    fn letters(&self) -> Result<Vec<Value>> {
        let listed = self.place.json(&["dead", "list"])?["letters"].take();
        Ok(serde_json::from_value(listed)?)
    }

    /// Waits for so many dead letters: the reason of each, by the id that its sender gave it.
    fn buried(&self, number: usize) -> Result<BTreeMap<String, String>> {
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

    /// A letter has its body; put back, it dies again, of the same.
    fn show_and_replay(&self, message_id: &str) -> Result {
        let listed = self.letter(message_id)?.context("it is not listed")?;
        let id = listed["id"].as_str().context("no id")?;
        let shown = self.place.json(&["dead", "show", id])?["letter"].take();
        assert_eq!((&shown["reason"], &shown["kind"]), (&listed["reason"], &listed["kind"]), "{shown:#}");
        assert_eq!(shown["body"], r#"{"organization_id": 1}"#);
        assert_eq!(self.place.json(&["dead", "replay", id])?["replayed"], 1);
        let again = eventually("it has died again", SOON, || self.letter(message_id))?;
        assert!(again["died_at"].as_str() > listed["died_at"].as_str(), "{again:#} {listed:#}");
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // When this fails, the server is gone, and the database with it.
        drop(self.shared.drop_database(&self.name));
    }
}

/// The hour of the jobs that name none.
#[expect(clippy::disallowed_methods, reason = "the worker under test goes by the real clock too")]
fn this_hour() -> Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs() / 3_600)?)
}

#[expect(clippy::disallowed_methods, reason = "how CI says that nothing may be passed over")]
fn without_pika() -> Result {
    if std::env::var("CI").is_ok_and(|set| !set.is_empty()) {
        bail!("{PYTHON} has no pika, and CI is set: install the Debian package python3-pika");
    }
    eprintln!("SKIPPED: {PYTHON} has no pika; install the Debian package python3-pika");
    Ok(())
}

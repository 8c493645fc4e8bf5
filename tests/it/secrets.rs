//! A secret in any setting appears in no output, log, error or metric. The settings are read from the schema, so that
//! a new one is tested as soon as it exists.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Map, Value};
use support::program::Place;
use support::wait::eventually;
use support::{Context, Result, ensure};

/// The secret: in no other text.
const MARKER: &str = "hush4711";

/// A setting, by its key, and whether its schema declares it to be secret.
struct Setting {
    key: String,
    is_secret: bool,
}

/// All settings that may be a text.
fn settings(place: &Place) -> Result<Vec<Setting>> {
    let schema: Value = place.run(&["config", "schema"])?.succeeded()?.json()?;
    let mut found = Vec::new();
    collect("", &schema, &mut found);
    ensure!(found.len() > 40, "only {} settings are in the schema", found.len());
    Ok(found)
}

fn collect(place: &str, schema: &Value, found: &mut Vec<Setting>) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (name, property) in properties {
        collect(&below(name), property, found);
    }
    if let Some(each) = schema.get("additionalProperties").filter(|each| each.is_object()) {
        collect(&below("some"), each, found);
    } else if properties.is_empty() && !place.is_empty() {
        let is_secret = schema.to_string().contains("\"writeOnly\":true");
        found.push(Setting { key: place.to_owned(), is_secret });
    }
}

#[test]
fn setting_that_is_named_for_a_secret_is_declared_secret() -> Result {
    for Setting { key, is_secret } in settings(&Place::new()?)? {
        let name = key.rsplit('.').next().unwrap_or_default();
        let is_named = ["url", "password", "token", "secret"].iter().any(|word| name.ends_with(word));
        ensure!(is_secret || !is_named, "{key} may hold a secret: give it the type Secret or SecretUrl");
    }
    Ok(())
}

#[test]
fn secret_in_any_setting_is_printed_by_no_command() -> Result {
    let place = Place::new()?;
    let address = &*format!("https://{MARKER}:{MARKER}@127.0.0.1:9/x?token={MARKER}&{MARKER}#{MARKER}");
    let token = &*format!("https://{MARKER}@127.0.0.1:9");
    let broken = &*format!("http://{MARKER}:{MARKER}@[/");
    for Setting { key, is_secret } in settings(&place)? {
        // A text without an address is a secret only where the schema says so.
        let server = &*format!("redis://me:{MARKER}@127.0.0.1:9");
        let values = if is_secret { &[address, token, broken, server, MARKER][..] } else { &[address] };
        // The addresses of the distributed engine are read only when it is chosen.
        let engine = if key.starts_with("distributed.") { "distributed" } else { "embedded" };
        for value in values {
            let set = [format!("engine={engine}"), format!("{key}={value}")];
            for command in [&["config", "show"][..], &["config", "check"], &["orgs", "list"]] {
                let ended = place.run(&[&["--set", &set[0], "--set", &set[1]], command].concat())?;
                let said = ended.stdout + &ended.stderr;
                ensure!(!said.contains(MARKER), "{key} = {value}, {command:?}: {said}");
                ensure!(!said.contains("panicked"), "{key} = {value}, {command:?}: {said}");
            }
        }
    }
    Ok(())
}

#[test]
fn passwords_of_servers_that_are_away_are_in_no_log_or_error() -> Result {
    let place = Place::new()?;
    let set = [("postgres", "jobs"), ("amqp", "v"), ("redis", "0")]
        .map(|(name, path)| format!("distributed.{name}.url={name}://me:{MARKER}@127.0.0.1:1/{path}"));
    let mut flags = vec!["--engine", "distributed", "--log", "trace"];
    flags.extend(set.iter().flat_map(|set| ["--set", set]));
    for command in [&["runs", "list"][..], &["slots", "show"], &["dead", "list"], &["migrate", "status"]] {
        let ended = place.run(&[&flags, command].concat())?;
        ensure!(ended.code == Some(69), "{command:?}: {ended:?}");
        ensure!(!(ended.stdout + &ended.stderr).contains(MARKER), "{command:?} prints a password");
    }
    Ok(())
}

#[test]
fn secrets_in_use_are_in_no_log_error_or_metric() -> Result {
    let url = format!("http://{MARKER}:{MARKER}@127.0.0.1:1");
    for (source, url) in [("http", format!("{url}/?token={MARKER}")), ("clickhouse", format!("{url}/db"))] {
        let place = Place::new()?;
        place.write("orgs.csv", "organization_id,project\n1,p\n")?;
        place.run(&["orgs", "import", "orgs.csv"])?.succeeded()?;
        place.run(&["enqueue", "--run", "r"])?.succeeded()?;
        let set =
            [format!("spike_projection.source={source}"), format!("spike_projection.{source}.url={url}")];
        let flags = ["--set", &set[0], "--set", &set[1], "--log", "trace"];
        let mut worker = place.start(&[&flags[..], &["work", "--listen", "127.0.0.1:0"]].concat())?;
        let log = || std::fs::read_to_string(place.path("processes.log"));
        let address = eventually("the worker listens", Duration::from_secs(30), || {
            let log = log()?;
            let line = log.lines().find_map(|line| line.strip_prefix("listening on http://"));
            Ok(line.and_then(|line| Some(line.split_once(": ")?.0.to_owned())))
        })?;
        eventually("the backend is not reached", Duration::from_secs(30), || {
            let jobs = place.json(&["jobs", "list"])?;
            Ok(jobs.to_string().contains("\"deferrals\":1").then_some(()))
        })?;
        let mut said = String::new();
        for path in ["/metrics", "/readyz"] {
            let mut stream = TcpStream::connect(&address)?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut said).with_context(|| path)?;
        }
        ensure!(said.contains("lockgate_jobs_settled_total"), "{said}");
        for command in [&["jobs", "list"][..], &["runs", "show", "r"]] {
            said += &place.run(&[&flags[..4], command].concat())?.stdout;
        }
        worker.signal(Signal::TERM)?;
        worker.wait(Duration::from_secs(60))?;
        said += &log()?;
        ensure!(said.contains("TRACE"), "nothing was logged");
        let line = said.lines().find(|line| line.contains(MARKER));
        ensure!(line.is_none(), "{source}: {line:?}");
    }
    Ok(())
}

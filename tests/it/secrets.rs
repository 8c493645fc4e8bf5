//! A secret in any setting appears in no output, log, error or metric. The settings are read from the schema,
//! so new ones are covered automatically.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Map, Value};
use support::program::Sandbox;
use support::wait::eventually;
use support::{Context, Result, ensure};

/// The secret, which occurs in no other text.
const MARKER: &str = "hush4711";

/// A setting, and whether its schema declares it secret.
struct Setting {
    key: String,
    is_secret: bool,
}

/// Returns all settings that may be a text.
fn settings(sandbox: &Sandbox) -> Result<Vec<Setting>> {
    let schema: Value = sandbox.run(&["config", "schema"])?.succeeded()?.json()?;
    let mut found = Vec::new();
    collect("", &schema, &mut found);
    ensure!(found.len() > 40, "only {} settings are in the schema", found.len());
    Ok(found)
}

fn collect(prefix: &str, schema: &Value, found: &mut Vec<Setting>) {
    let below = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (name, property) in properties {
        collect(&below(name), property, found);
    }
    if let Some(each) = schema.get("additionalProperties").filter(|each| each.is_object()) {
        collect(&below("some"), each, found);
    } else if properties.is_empty() && !prefix.is_empty() {
        let is_secret = schema.to_string().contains("\"writeOnly\":true");
        found.push(Setting { key: prefix.to_owned(), is_secret });
    }
}

#[test]
fn setting_named_like_a_secret_is_declared_secret() -> Result {
    for Setting { key, is_secret } in settings(&Sandbox::new()?)? {
        let name = key.rsplit('.').next().unwrap_or_default();
        let is_named = ["url", "password", "token", "secret"].iter().any(|word| name.ends_with(word));
        ensure!(is_secret || !is_named, "{key} may hold a secret: give it the type Secret or SecretUrl");
    }
    Ok(())
}

#[test]
fn secret_in_any_setting_is_printed_by_no_command() -> Result {
    let sandbox = Sandbox::new()?;
    let address = &*format!("https://{MARKER}:{MARKER}@127.0.0.1:9/x?token={MARKER}&{MARKER}#{MARKER}");
    let token = &*format!("https://{MARKER}@127.0.0.1:9");
    let broken = &*format!("http://{MARKER}:{MARKER}@[/");
    for Setting { key, is_secret } in settings(&sandbox)? {
        // A text that is not an address is a secret only where the schema says so.
        let server = &*format!("redis://me:{MARKER}@127.0.0.1:9");
        let values = if is_secret { &[address, token, broken, server, MARKER][..] } else { &[address] };
        // The addresses of the distributed engine are read only if it is selected.
        let engine = if key.starts_with("distributed.") { "distributed" } else { "embedded" };
        for value in values {
            let set = [format!("engine={engine}"), format!("{key}={value}")];
            for command in [&["config", "show"][..], &["config", "check"], &["orgs", "list"]] {
                let ended = sandbox.run(&[&["--set", &set[0], "--set", &set[1]], command].concat())?;
                let text = ended.stdout + &ended.stderr;
                ensure!(!text.contains(MARKER), "{key} = {value}, {command:?}: {text}");
                ensure!(!text.contains("panicked"), "{key} = {value}, {command:?}: {text}");
            }
        }
    }
    Ok(())
}

#[test]
fn passwords_of_unreachable_servers_are_in_no_log_or_error() -> Result {
    let sandbox = Sandbox::new()?;
    let set = [("postgres", "jobs"), ("amqp", "v"), ("redis", "0")]
        .map(|(name, path)| format!("distributed.{name}.url={name}://me:{MARKER}@127.0.0.1:1/{path}"));
    let mut flags = vec!["--engine", "distributed", "--log", "trace"];
    flags.extend(set.iter().flat_map(|set| ["--set", set]));
    for command in [&["runs", "list"][..], &["slots", "show"], &["dead", "list"], &["migrate", "status"]] {
        let ended = sandbox.run(&[&flags, command].concat())?;
        ensure!(ended.code == Some(69), "{command:?}: {ended:?}");
        ensure!(!(ended.stdout + &ended.stderr).contains(MARKER), "{command:?} prints a password");
    }
    Ok(())
}

#[test]
fn secrets_in_use_are_in_no_log_error_or_metric() -> Result {
    let url = format!("http://{MARKER}:{MARKER}@127.0.0.1:1");
    for (source, url) in [("http", format!("{url}/?token={MARKER}")), ("clickhouse", format!("{url}/db"))] {
        let sandbox = Sandbox::new()?;
        sandbox.write("orgs.csv", "organization_id,project\n1,p\n")?;
        sandbox.run(&["orgs", "import", "orgs.csv"])?.succeeded()?;
        sandbox.run(&["enqueue", "--run", "r"])?.succeeded()?;
        let set =
            [format!("spike_projection.source={source}"), format!("spike_projection.{source}.url={url}")];
        let flags = ["--set", &set[0], "--set", &set[1], "--log", "trace"];
        let mut worker = sandbox.start(&[&flags[..], &["work", "--listen", "127.0.0.1:0"]].concat())?;
        let log = || std::fs::read_to_string(sandbox.path("processes.log"));
        let address = eventually("the worker listens", Duration::from_secs(30), || {
            let log = log()?;
            let line = log.lines().find_map(|line| line.strip_prefix("listening on http://"));
            Ok(line.and_then(|line| Some(line.split_once(": ")?.0.to_owned())))
        })?;
        eventually("the backend is not reached", Duration::from_secs(30), || {
            let jobs = sandbox.json(&["jobs", "list"])?;
            Ok(jobs.to_string().contains("\"deferrals\":1").then_some(()))
        })?;
        let mut text = String::new();
        for path in ["/metrics", "/readyz"] {
            let mut stream = TcpStream::connect(&address)?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut text).with_context(|| path)?;
        }
        ensure!(text.contains("lockgate_jobs_settled_total"), "{text}");
        for command in [&["jobs", "list"][..], &["runs", "show", "r"]] {
            text += &sandbox.run(&[&flags[..4], command].concat())?.stdout;
        }
        worker.signal(Signal::TERM)?;
        worker.wait(Duration::from_secs(60))?;
        text += &log()?;
        ensure!(text.contains("TRACE"), "nothing was logged");
        let line = text.lines().find(|line| line.contains(MARKER));
        ensure!(line.is_none(), "{source}: {line:?}");
    }
    Ok(())
}

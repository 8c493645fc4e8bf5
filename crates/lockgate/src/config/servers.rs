//! The addresses of the distributed engine's servers: from the config or from files, each fit to be used.
//!
//! No address appears in a message: a fault names the key, and what is wrong with it.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::merge::{PREFIX, Tree};
use super::{Fault, SecretUrl, mask_addresses};
use crate::settings::{EngineName, ServerSettings, Settings};

/// The longest address in a file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// What PostgreSQL's `sslmode` may be; only the last one looks whose certificate it is.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// The addresses of the three servers, with their secrets.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The ledger's.
    pub postgres: SecretString,
    /// The broker's.
    pub amqp: SecretString,
    /// The slots'.
    pub redis: SecretString,
}

impl Servers {
    /// The ledger's address as it may be shown.
    #[must_use]
    pub fn ledger(&self) -> String {
        SecretUrl::from(self.postgres.expose_secret().to_owned()).masked()
    }
}

/// The servers, when the engine is one that needs them.
pub(super) fn find(settings: &Settings, tree: &Tree, faults: &mut Vec<Fault>) -> Option<Servers> {
    if settings.engine != EngineName::Distributed {
        return None;
    }
    let distributed = &settings.distributed;
    let postgres = server("postgres", &distributed.postgres, tree, faults);
    let amqp = server("amqp", &distributed.amqp, tree, faults);
    let redis = server("redis", &distributed.redis, tree, faults);
    Some(Servers { postgres: postgres?, amqp: amqp?, redis: redis? })
}

/// What is wrong with a key of a server's table, and the remedy.
type Wrong = (&'static str, String);

fn server(
    name: &str,
    settings: &ServerSettings,
    tree: &Tree,
    faults: &mut Vec<Fault>,
) -> Option<SecretString> {
    let place = format!("distributed.{name}");
    // One wrong key of this table was named already; what is left of it would be misread.
    if faults.iter().any(|fault| fault.key.starts_with(&format!("{place}."))) {
        return None;
    }
    let address = address(name, settings).and_then(|(key, text)| {
        let fit = fit(name, &text, settings.allow_plaintext);
        fit.map_err(|problem| (key, problem))
    });
    match address {
        Ok(address) => Some(address.into()),
        Err((key, problem)) => {
            let key = format!("{place}.{key}");
            let origin = tree.origin(&key).map(|origin| origin.name.clone());
            faults.push(Fault { key, value: None, origin, problem });
            None
        }
    }
}

/// The address, and the key that it comes from.
fn address(name: &str, settings: &ServerSettings) -> Result<(&'static str, String), Wrong> {
    match (&settings.url, &settings.url_file) {
        (Some(_), Some(_)) => {
            Err(("url_file", String::from("`url` is given as well; leave one of them out")))
        }
        (Some(url), None) => Ok(("url", url.expose().to_owned())),
        (None, Some(path)) => {
            read(path).map(|text| ("url_file", text)).map_err(|problem| ("url_file", problem))
        }
        (None, None) => Err(("url", missing(name))),
    }
}

fn missing(name: &str) -> String {
    let variable = format!("{PREFIX}__DISTRIBUTED__{}__URL", name.to_uppercase());
    format!(
        "is needed by engine = \"distributed\"; give it, or a file with it as distributed.{name}.url_file, or set \
         {variable} in the environment"
    )
}

fn read(path: &Path) -> Result<String, String> {
    let shown = path.display().to_string();
    let named = |problem: &str| format!("{}: {problem}", mask_addresses(&shown));
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    if let Err(error) = file {
        return Err(named(&format!("cannot read it: {error}; name a text file that this user may read")));
    }
    match text.trim() {
        "" => Err(named("the file is empty; write the server's address into it")),
        text => Ok(text.to_owned()),
    }
}

/// The address as it is to be used, or what is wrong with it.
fn fit(name: &str, text: &str, allow_plaintext: bool) -> Result<String, String> {
    let (plain, safe) = match name {
        "postgres" => ("postgres", "postgresql"),
        "amqp" => ("amqp", "amqps"),
        _ => ("redis", "rediss"),
    };
    let example = format!("write it as \"{safe}://USER:PASSWORD@HOST/..\"");
    let mut url = Url::parse(text).map_err(|error| format!("is no address: {error}; {example}"))?;
    if ![plain, safe].contains(&url.scheme()) {
        return Err(format!("must begin with {plain}:// or {safe}://; {example}"));
    }
    let host = host(&url);
    if host.is_empty() {
        return Err(format!("names no host; {example}"));
    }
    let near = is_near(&host);
    let mode = parameter(&url, &["sslmode", "ssl-mode"]);
    if name == "postgres" && mode.as_deref().is_some_and(|mode| !SSL_MODES.contains(&mode)) {
        return Err(format!("has an unknown sslmode; one of {}", SSL_MODES.join(", ")));
    }
    if name == "postgres" && mode.is_none() && !near && !allow_plaintext {
        url.query_pairs_mut().append_pair("sslmode", "verify-full");
        return Ok(url.into());
    }
    let way_out = match name {
        "postgres" if mode.as_deref() == Some("verify-full") => return Ok(text.to_owned()),
        "postgres" => "leave `sslmode` out, or write sslmode=verify-full".to_owned(),
        // An address that asks for TLS without looking at the server's certificate.
        "redis" if url.scheme() == safe && url.fragment() != Some("insecure") => return Ok(text.to_owned()),
        "amqp" if url.scheme() == safe => return Ok(text.to_owned()),
        _ => format!("write {safe}://"),
    };
    if near || allow_plaintext || !has_password(&url) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "would send its password to {host} without TLS that checks the server; {way_out}, or set \
         distributed.{name}.allow_plaintext = true where the network itself is trusted"
    ))
}

/// The host, or the folder of the socket.
fn host(url: &Url) -> String {
    let named = parameter(url, &["host", "hostaddr"]);
    let host = named.or_else(|| url.host_str().map(ToOwned::to_owned)).unwrap_or_default();
    host.replace("%2F", "/").replace("%2f", "/")
}

/// Whether nobody can listen on the way to it.
fn is_near(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.starts_with('/') || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn has_password(url: &Url) -> bool {
    url.password().is_some() || parameter(url, &["password"]).is_some()
}

/// A part of the query; of several the last, as the driver reads them.
fn parameter(url: &Url, names: &[&str]) -> Option<String> {
    let named = url.query_pairs().filter(|(key, _)| names.contains(&key.as_ref()));
    named.last().map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests;

//! The section `[spike_projection.clickhouse]`: its keys, their defaults and bounds.
//!
//! It must never let a query outlive the patience of its caller: the three times are checked against each other.

use std::net::IpAddr;
use std::time::Duration;

use garde::Validate;
use lockgate::config::SecretUrl;
use lockgate::settings::bounds::{between, within};
use lockgate::settings::durations;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::DEADLINE;
use crate::usage::clickhouse::Name;

/// How far a query may overrun its time limit: the server looks at it between two blocks of rows.
const OVERRUN: Duration = Duration::from_secs(5);

/// `[spike_projection.clickhouse]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct ClickHouseSettings {
    /// Where the server answers over HTTP, with user, password and database: "https://USER:PASSWORD@HOST:8443/DATABASE".
    /// It must be one server, not several behind one address: a query is ended where it runs.
    #[garde(skip)]
    pub url: SecretUrl,
    /// Sends a password without TLS to another host. Only where the network itself is trusted.
    #[garde(skip)]
    pub allow_plaintext: bool,
    /// The table of hourly usage; `usage import --to clickhouse` makes it.
    #[garde(skip)]
    pub table: Name,
    /// How long a connection may take.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(1), Duration::from_secs(300))))]
    pub connect_timeout: Duration,
    /// How long the server may work on a query, whole seconds: its max_execution_time. Slots of a query whose end could
    /// not be seen stay taken for so long, and 5s more.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_secs(1), DEADLINE)))]
    pub query_timeout: Duration,
    /// How long an answer may take, from the first byte sent to the last received. More than query_timeout.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_secs(1), DEADLINE)))]
    pub timeout: Duration,
    /// How many organizations share a query, and its slot, when their jobs are at hand together. 1: none do.
    #[garde(custom(between(1, 1_000)))]
    pub orgs_per_query: u32,
    /// The largest answer, in bytes.
    #[garde(range(min = 1_024, max = 1_073_741_824))]
    pub max_answer_bytes: usize,
    /// Has the server write each query into its system.query_log, to count afterwards what it refused.
    #[garde(skip)]
    pub log_queries: bool,
}

impl ClickHouseSettings {
    /// Where statements are sent: the path of `url` is the database.
    ///
    /// # Errors
    /// When it is no address of a database.
    pub fn address(&self) -> Result<Url, String> {
        address(self.url.expose())
    }

    /// How long the server may go on working for an attempt that is gone.
    #[must_use]
    pub fn backend_time(&self) -> Duration {
        self.query_timeout + OVERRUN
    }
}

impl Default for ClickHouseSettings {
    fn default() -> Self {
        Self {
            url: SecretUrl::from(String::from("http://127.0.0.1:8123/default")),
            allow_plaintext: false,
            table: Name::usage_hourly(),
            connect_timeout: Duration::from_secs(2),
            query_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(25),
            orgs_per_query: 1,
            max_answer_bytes: 16 * 1024 * 1024,
            log_queries: false,
        }
    }
}

/// That the times fit together, and that a password is sent to nobody in between.
pub(super) fn fits(settings: &ClickHouseSettings, (): &()) -> garde::Result {
    let ClickHouseSettings { query_timeout, timeout, .. } = *settings;
    let bad = |why: &str| Err(garde::Error::new(why));
    if query_timeout.subsec_nanos() != 0 {
        return bad(
            "query_timeout must be whole seconds, such as \"20s\": the server takes half a second for no limit",
        );
    }
    if timeout <= query_timeout {
        return bad(
            "timeout must be longer than query_timeout, such as \"25s\" and \"20s\": the server is to give up first",
        );
    }
    if timeout >= DEADLINE {
        return bad("timeout must be shorter than 90s, the deadline of a job");
    }
    // Not at `url` itself: what is wrong with a secret is shown nowhere.
    let url = settings.address().map_err(|problem| garde::Error::new(format!("url {problem}")))?;
    let exposed = is_exposed(&url, settings.url.expose());
    if exposed && !settings.allow_plaintext {
        return bad(
            "url would send its password to another host without TLS; write https://, or set allow_plaintext = true where the \
             network itself is trusted",
        );
    }
    Ok(())
}

/// With the database as a parameter, where the server looks for it.
fn address(text: &str) -> Result<Url, String> {
    let bad = |why: &str| format!("{why}; write it as \"http://127.0.0.1:8123/default\"");
    let mut url = Url::parse(text).map_err(|error| bad(&format!("is no address: {error}")))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(bad("must begin with http:// or https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must end with the database: what is sent with a query is not part of it"));
    }
    let database = url.path().trim_matches('/').to_owned();
    if !database.is_empty() {
        let name: Name = database.parse().map_err(|_| bad("its path must be the name of a database"))?;
        url.query_pairs_mut().append_pair("database", &name.to_string());
    }
    url.set_path("/");
    Ok(url)
}

fn is_exposed(url: &Url, text: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let near = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let has_password = Url::parse(text).is_ok_and(|url| url.password().is_some());
    url.scheme() == "http" && has_password && !near
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(settings: &ClickHouseSettings) -> String {
        fits(settings, &()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn of(url: &str) -> ClickHouseSettings {
        ClickHouseSettings { url: SecretUrl::from(url.to_owned()), ..ClickHouseSettings::default() }
    }

    #[test]
    fn the_path_of_an_address_is_its_database() {
        let sent = |url: &str| of(url).address().map(String::from);
        assert_eq!(sent("http://h:8123/usage"), Ok("http://h:8123/?database=usage".to_owned()));
        assert_eq!(sent("http://h:8123"), Ok("http://h:8123/".to_owned()));
        assert_eq!(sent("https://me:x@h/u_1/"), Ok("https://me:x@h/?database=u_1".to_owned()));
        for bad in
            ["", "localhost", "ftp://h/x", "http://h/a/b", "http://h/a'b", "http://h/x?y=1", "http://h/#x"]
        {
            assert!(sent(bad).unwrap_err().contains("write it as"), "{bad}");
        }
    }

    #[test]
    fn the_server_gives_up_before_its_caller_and_its_caller_before_the_job() {
        assert_eq!(problem(&ClickHouseSettings::default()), "");
        let times = |query: u64, timeout: u64| ClickHouseSettings {
            query_timeout: Duration::from_millis(query),
            timeout: Duration::from_millis(timeout),
            ..ClickHouseSettings::default()
        };
        for (query, timeout, said) in [
            (20_500, 30_000, "whole seconds"),
            (20_000, 20_000, "longer than"),
            (20_000, 90_000, "shorter than 90s"),
        ] {
            let problem = problem(&times(query, timeout));
            assert!(problem.contains(said), "{query} {timeout}: {problem}");
        }
    }

    #[test]
    fn a_password_leaves_the_host_only_with_tls() {
        for good in ["http://me:x@127.0.0.1:1/d", "http://me:x@[::1]/d", "https://me:x@h/d", "http://h/d"] {
            assert_eq!(problem(&of(good)), "", "{good}");
        }
        assert!(problem(&of("http://me:x@h/d")).contains("without TLS"));
        assert_eq!(problem(&ClickHouseSettings { allow_plaintext: true, ..of("http://me:x@h/d") }), "");
    }
}

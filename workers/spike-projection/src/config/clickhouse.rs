//! The section `[spike_projection.clickhouse]`: its keys, defaults and bounds.
//!
//! The three timeouts are checked against each other, so that the server gives up on a query before its
//! caller does.

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

/// How far a query may exceed its time limit, because the server checks the limit between two blocks of rows.
const OVERRUN: Duration = Duration::from_secs(5);

/// The section `[spike_projection.clickhouse]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct ClickHouseSettings {
    /// Address of the server's HTTP interface, with user, password and database:
    /// "https://USER:PASSWORD@HOST:8443/DATABASE". It must be a single server, not a load balancer, because a
    /// query can only be cancelled on the server where it runs. Default: `http://127.0.0.1:8123/default`.
    #[garde(skip)]
    pub url: SecretUrl,
    /// Whether a password may be sent to another host without TLS. Only for trusted networks. Default: false.
    #[garde(skip)]
    pub allow_plaintext: bool,
    /// The table of hourly usage, created by `usage import --to clickhouse`. Default: `usage_hourly`.
    #[garde(skip)]
    pub table: Name,
    /// Timeout of connecting. Default: 2s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(1), Duration::from_secs(300))))]
    pub connect_timeout: Duration,
    /// Server-side time limit of a query (`max_execution_time`), in whole seconds. If the end of a query
    /// cannot be confirmed, its slots stay draining for this time plus 5s. Default: 20s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_secs(1), DEADLINE)))]
    pub query_timeout: Duration,
    /// Timeout of a whole request, from the first byte sent to the last byte received. Must be longer than
    /// `query_timeout`. Default: 25s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_secs(1), DEADLINE)))]
    pub timeout: Duration,
    /// How many organizations share a query, and its slot, when their jobs are in flight together. Default:
    /// 1, no sharing.
    #[garde(custom(between(1, 1_000)))]
    pub orgs_per_query: u32,
    /// The largest accepted response, in bytes. Default: 16777216 (16 MiB).
    #[garde(range(min = 1_024, max = 1_073_741_824))]
    pub max_answer_bytes: usize,
    /// Whether the server logs each query in `system.query_log`, so that rejected queries can be counted
    /// afterwards. Default: false.
    #[garde(skip)]
    pub log_queries: bool,
}

impl ClickHouseSettings {
    /// Returns the address for statements. The path of `url` becomes the parameter `database`.
    ///
    /// # Errors
    /// When `url` is not the address of a database.
    pub fn address(&self) -> Result<Url, String> {
        address(self.url.expose())
    }

    /// Returns how long the server may continue to work for an attempt that has ended.
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

/// Checks that the timeouts fit together and that no password is sent in plain text.
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
            "timeout must be longer than query_timeout, such as \"25s\" and \"20s\": the server must give up first",
        );
    }
    if timeout >= DEADLINE {
        return bad("timeout must be shorter than 90s, the deadline of a job");
    }
    // Checked here and not at the field `url`: garde shows the value of a faulty field, and this one may
    // contain a secret.
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

/// Moves the database from the path to a parameter, where the server expects it.
fn address(text: &str) -> Result<Url, String> {
    let bad = |why: &str| format!("{why}; write it as \"http://127.0.0.1:8123/default\"");
    let mut url = Url::parse(text).map_err(|error| bad(&format!("is no address: {error}")))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(bad("must begin with http:// or https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must end with the database; it must not have a query or a fragment"));
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
    fn path_of_an_address_becomes_the_database() {
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
    fn server_gives_up_before_its_caller_and_the_caller_before_the_job() {
        assert_eq!(problem(&ClickHouseSettings::default()), "");
        let times = |query: u64, timeout: u64| ClickHouseSettings {
            query_timeout: Duration::from_millis(query),
            timeout: Duration::from_millis(timeout),
            ..ClickHouseSettings::default()
        };
        for (query, timeout, expected) in [
            (20_500, 30_000, "whole seconds"),
            (20_000, 20_000, "longer than"),
            (20_000, 90_000, "shorter than 90s"),
        ] {
            let problem = problem(&times(query, timeout));
            assert!(problem.contains(expected), "{query} {timeout}: {problem}");
        }
    }

    #[test]
    fn password_is_sent_to_other_hosts_only_with_tls() {
        for good in ["http://me:x@127.0.0.1:1/d", "http://me:x@[::1]/d", "https://me:x@h/d", "http://h/d"] {
            assert_eq!(problem(&of(good)), "", "{good}");
        }
        assert!(problem(&of("http://me:x@h/d")).contains("without TLS"));
        assert_eq!(problem(&ClickHouseSettings { allow_plaintext: true, ..of("http://me:x@h/d") }), "");
    }
}

//! The config section `[spike_projection]`: its keys, defaults and bounds. This module reads neither files
//! nor the environment.

mod clickhouse;

use std::time::Duration;

use garde::Validate;
use lockgate::config::SecretUrl;
use lockgate::settings::bounds::{between, within};
use lockgate::settings::durations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::projection::{Method, PlanMinimum, Rules};

pub use clickhouse::ClickHouseSettings;

/// Name of the config section.
pub const SECTION: &str = "spike_projection";

/// The section `[spike_projection]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct SpikeSettings {
    /// How expected usage is computed from the past: `kernel` (a weighted mean of the last week) or `median`
    /// (of each hour of the week). Default: `kernel`.
    #[garde(skip)]
    pub method: Method,
    /// How much of the past is used: `168h` or `672h`. Default: what the method is designed for, 168h for
    /// `kernel` and 672h for `median`.
    #[garde(skip)]
    pub look_back: Option<LookBack>,
    /// The lowest floor of an hourly limit, by category. Attachments are in bytes. Default: 500 errors, 1000
    /// transactions, 1000000 bytes of attachments.
    #[garde(skip)]
    pub plan_minimum: PlanMinimum,
    /// A quota is divided among at most this many projects to compute the floor of each. Default: 5.
    #[garde(custom(between(1, 1_000)))]
    pub sharing_projects: u32,
    /// The pool whose slots the queries hold. Default: `clickhouse`.
    #[garde(length(min = 1, max = 200))]
    pub pool: String,
    /// The source of usage: `sql` (the table `hourly_usage`), `http` or `clickhouse`. Default: `sql`.
    #[garde(skip)]
    pub source: SourceName,
    /// Settings of the source `http`.
    #[garde(dive, custom(has_web_address))]
    pub http: HttpSettings,
    /// Settings of the source `clickhouse`.
    #[garde(dive, custom(clickhouse::fits))]
    pub clickhouse: ClickHouseSettings,
}

/// The section `[spike_projection.http]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct HttpSettings {
    /// Address of the backend, with user, password or token if it needs them. Queries are sent to its path
    /// `/usage`. The address is shown without its secrets. Default: `http://127.0.0.1:8123`.
    #[garde(skip)]
    pub url: SecretUrl,
    /// Timeout of connecting. Default: 2s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(1), Duration::from_secs(300))))]
    pub connect_timeout: Duration,
    /// Timeout of a whole request, up to the last byte of the response. Default: 30s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(1), Duration::from_secs(300))))]
    pub timeout: Duration,
    /// The longest time that the backend works on a query whose caller has disconnected. The slots of such a
    /// query stay draining for this long. Default: 30s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::ZERO, Duration::from_secs(3_600))))]
    pub query_timeout: Duration,
    /// The largest accepted response, in bytes. Default: 16777216 (16 MiB).
    #[garde(range(min = 1_024, max = 1_073_741_824))]
    pub max_answer_bytes: usize,
}

/// How much of the past a projection uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LookBack {
    /// One week.
    #[serde(rename = "168h")]
    Week,
    /// Four weeks.
    #[serde(rename = "672h")]
    FourWeeks,
}

/// The source of usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceName {
    /// The table `hourly_usage` of the engine's database.
    #[default]
    Sql,
    /// A backend with an HTTP interface, see `usage/wire.rs`.
    Http,
    /// A ClickHouse server.
    ClickHouse,
}

impl SpikeSettings {
    /// Returns the rules by which usage is projected.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let look_back = self.look_back.map_or(self.method.look_back(), |look_back| match look_back {
            LookBack::Week => 168,
            LookBack::FourWeeks => 672,
        });
        Rules {
            method: self.method,
            look_back,
            plan_minimum: self.plan_minimum,
            sharing_projects: u64::from(self.sharing_projects),
        }
    }

    /// Returns how many jobs may share an execution: the source sends one query for all of them, or one for
    /// each.
    #[must_use]
    pub fn group(&self) -> u32 {
        match self.source {
            SourceName::ClickHouse => self.clickhouse.orgs_per_query,
            SourceName::Sql | SourceName::Http => 1,
        }
    }

    /// Returns how long the backend may continue to work for an attempt that has ended.
    #[must_use]
    pub fn backend_time(&self) -> Duration {
        match self.source {
            SourceName::Sql => Duration::ZERO,
            SourceName::Http => self.http.query_timeout,
            SourceName::ClickHouse => self.clickhouse.backend_time(),
        }
    }
}

impl Default for SpikeSettings {
    fn default() -> Self {
        Self {
            method: Method::Kernel,
            look_back: None,
            plan_minimum: PlanMinimum::default(),
            sharing_projects: 5,
            pool: String::from("clickhouse"),
            source: SourceName::Sql,
            http: HttpSettings::default(),
            clickhouse: ClickHouseSettings::default(),
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            url: SecretUrl::from(String::from("http://127.0.0.1:8123")),
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
            query_timeout: Duration::from_secs(30),
            max_answer_bytes: 16 * 1024 * 1024,
        }
    }
}

// Checked here and not at the field `url`: garde shows the value of a faulty field, and this one may contain
// a secret.
fn has_web_address(settings: &HttpSettings, (): &()) -> garde::Result {
    let bad = |why: String| garde::Error::new(format!("url: {why}; give it as \"http://127.0.0.1:8123\""));
    let url = reqwest::Url::parse(settings.url.expose()).map_err(|error| bad(error.to_string()))?;
    if ["http", "https"].contains(&url.scheme()) {
        Ok(())
    } else {
        Err(bad("must be http or https".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_bounds() {
        SpikeSettings::default().validate().unwrap();
        assert_eq!(SpikeSettings::default().rules(), Rules::of(Method::Kernel));
    }

    #[test]
    fn median_looks_back_four_weeks_by_default() {
        let median = SpikeSettings { method: Method::Median, ..SpikeSettings::default() };
        assert_eq!(median.rules().look_back, 672);
        let short = SpikeSettings { look_back: Some(LookBack::Week), ..median };
        assert_eq!(short.rules().look_back, 168);
    }

    #[test]
    fn only_a_remote_backend_can_work_longer_than_an_attempt() {
        let mut settings = SpikeSettings::default();
        assert_eq!(settings.backend_time(), Duration::ZERO);
        settings.source = SourceName::Http;
        assert_eq!(settings.backend_time(), Duration::from_secs(30));
        settings.source = SourceName::ClickHouse;
        assert_eq!(settings.backend_time(), Duration::from_secs(25));
    }

    #[test]
    fn invalid_address_is_rejected_with_a_hint() {
        for bad in ["", "localhost", "ftp://x", "127.0.0.1:80"] {
            let url = SecretUrl::from(bad.to_owned());
            let error = has_web_address(&HttpSettings { url, ..HttpSettings::default() }, &()).unwrap_err();
            assert!(error.to_string().contains("give it as"), "{bad}: {error}");
        }
    }
}

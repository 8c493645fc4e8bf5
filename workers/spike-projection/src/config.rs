//! The section `[spike_projection]`: its keys, their defaults and bounds. It reads neither file nor environment.

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

/// The name of the section.
pub const SECTION: &str = "spike_projection";

/// `[spike_projection]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct SpikeSettings {
    /// How the expected usage is made from the past: `kernel` (the weighted mean of the last week) or `median` (of
    /// each hour of the week).
    #[garde(skip)]
    pub method: Method,
    /// How far it looks back: `168h` or `672h`. Not set: what the method is made for, 168h for `kernel`, 672h for
    /// `median`.
    #[garde(skip)]
    pub look_back: Option<LookBack>,
    /// The lowest floor of an hour's limit, by category; attachments in bytes.
    #[garde(skip)]
    pub plan_minimum: PlanMinimum,
    /// Among at most so many projects a quota is thought to be shared.
    #[garde(custom(between(1, 1_000)))]
    pub sharing_projects: u32,
    /// The pool whose slots the queries take.
    #[garde(length(min = 1, max = 200))]
    pub pool: String,
    /// Where usage comes from: `sql` (the table `hourly_usage`), `http` or `clickhouse`.
    #[garde(skip)]
    pub source: SourceName,
    /// The source `http`.
    #[garde(dive, custom(has_web_address))]
    pub http: HttpSettings,
    /// The source `clickhouse`.
    #[garde(dive, custom(clickhouse::fits))]
    pub clickhouse: ClickHouseSettings,
}

/// `[spike_projection.http]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct HttpSettings {
    /// The backend's address, with user, password or token where it needs them; queries go to its path `/usage`. It is
    /// shown without its secrets.
    #[garde(skip)]
    pub url: SecretUrl,
    /// How long a connection may take.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(1), Duration::from_secs(300))))]
    pub connect_timeout: Duration,
    /// How long an answer may take, from its first to its last byte.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(1), Duration::from_secs(300))))]
    pub timeout: Duration,
    /// The longest time that the backend works on a query whose caller is gone; its slots stay taken for as long.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::ZERO, Duration::from_secs(3_600))))]
    pub query_timeout: Duration,
    /// The largest answer, in bytes.
    #[garde(range(min = 1_024, max = 1_073_741_824))]
    pub max_answer_bytes: usize,
}

/// How far a projection looks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LookBack {
    /// One week.
    #[serde(rename = "168h")]
    Week,
    /// Four weeks.
    #[serde(rename = "672h")]
    FourWeeks,
}

/// Where usage comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceName {
    /// The table `hourly_usage` of this database.
    #[default]
    Sql,
    /// A backend that answers over HTTP.
    Http,
    /// A ClickHouse server.
    ClickHouse,
}

impl SpikeSettings {
    /// How usage is projected.
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

    /// How many jobs may share an execution: a query for each, or one for all.
    #[must_use]
    pub fn group(&self) -> u32 {
        match self.source {
            SourceName::ClickHouse => self.clickhouse.orgs_per_query,
            SourceName::Sql | SourceName::Http => 1,
        }
    }

    /// How long the backend may go on working for an attempt that is gone.
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

// Not at `url` itself: what is wrong with a secret is shown nowhere.
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
    fn the_defaults_keep_their_own_bounds() {
        SpikeSettings::default().validate().unwrap();
        assert_eq!(SpikeSettings::default().rules(), Rules::of(Method::Kernel));
    }

    #[test]
    fn the_median_looks_back_four_weeks_unless_told_otherwise() {
        let median = SpikeSettings { method: Method::Median, ..SpikeSettings::default() };
        assert_eq!(median.rules().look_back, 672);
        let short = SpikeSettings { look_back: Some(LookBack::Week), ..median };
        assert_eq!(short.rules().look_back, 168);
    }

    #[test]
    fn only_a_backend_elsewhere_can_outlive_an_attempt() {
        let mut settings = SpikeSettings::default();
        assert_eq!(settings.backend_time(), Duration::ZERO);
        settings.source = SourceName::Http;
        assert_eq!(settings.backend_time(), Duration::from_secs(30));
        settings.source = SourceName::ClickHouse;
        assert_eq!(settings.backend_time(), Duration::from_secs(25));
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_way_out() {
        for bad in ["", "localhost", "ftp://x", "127.0.0.1:80"] {
            let url = SecretUrl::from(bad.to_owned());
            let error = has_web_address(&HttpSettings { url, ..HttpSettings::default() }, &()).unwrap_err();
            assert!(error.to_string().contains("give it as"), "{bad}: {error}");
        }
    }
}

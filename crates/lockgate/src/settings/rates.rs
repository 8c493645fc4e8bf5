//! Rates of the config, of pools and of kinds of jobs.
//!
//! The rates in force are in the token store and may differ; see `limits show`.

use std::collections::BTreeMap;
use std::fmt;

use garde::{Path, Report};
use lockgate_limits::{Quota, QuotaError, Rate};
use lockgate_runtime::rates::{limit_of_kind, limit_of_pool};
use serde::{Deserializer, Serializer, de};

use super::Settings;

/// A rate and its burst; nothing where there is no rate.
///
/// # Errors
/// When they do not fit together.
pub fn quota(rate: Option<Rate>, burst: Option<u32>) -> Result<Option<Quota>, QuotaError> {
    rate.map(|rate| Quota::new(rate, burst.unwrap_or_else(|| rate.in_a_second()))).transpose()
}

/// The quotas of pools and kinds that have one, by the names of their limits.
#[must_use]
pub fn quotas(settings: &Settings) -> BTreeMap<String, Quota> {
    let pools = settings.pools.iter().map(|(name, pool)| (limit_of_pool(name), pool.rate, pool.burst));
    let kinds = settings.kinds.iter().map(|(name, kind)| (limit_of_kind(name), kind.rate, kind.burst));
    let quotas = pools.chain(kinds).filter_map(|(name, rate, burst)| Some((name, quota(rate, burst).ok()??)));
    quotas.collect()
}

/// Reports what is wrong with a rate and its burst.
pub(super) fn validate(
    rate: Option<Rate>,
    burst: Option<u32>,
    parent: &mut dyn FnMut() -> Path,
    report: &mut Report,
) {
    let problem = match quota(rate, burst) {
        Err(QuotaError::NoBurst) => {
            String::from("must be at least 1; leave it out for what the rate brings in a second")
        }
        Err(error) => format!("{error}; make it smaller, or the rate faster"),
        Ok(None) if burst.is_some() => {
            String::from("is of no use without a rate; also set a rate, such as rate = \"10/s\"")
        }
        Ok(_) => return,
    };
    report.append(parent().join("burst"), garde::Error::new(problem));
}

/// Reads and writes `10/s`. For `#[serde(with = "..")]`.
pub(super) mod text {
    use super::{Deserializer, Rate, Serializer, Text};

    pub(crate) fn serialize<S: Serializer>(rate: &Option<Rate>, format: S) -> Result<S::Ok, S::Error> {
        match rate {
            Some(rate) => format.collect_str(rate),
            None => format.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(format: D) -> Result<Option<Rate>, D::Error> {
        format.deserialize_any(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Option<Rate>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate such as \"10/s\", \"600/min\" or \"3/10s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Rate>, E> {
        text.parse().map(Some).map_err(|error| E::custom(format!("{text:?} is not a rate: {error}")))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<Rate>, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<Rate>, E> {
        Ok(None)
    }
}

//! A text that is never shown: not in logs, not by `config show`, not in a fault.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

const HIDDEN: &str = "***";

/// A password, a key, a URL that holds one.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// The text, for the one who sends it on.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, format: S) -> Result<S::Ok, S::Error> {
        format.serialize_str(if self.expose().is_empty() { "" } else { HIDDEN })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    // `writeOnly` is what keeps the value out of faults.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// The address of a server. It is shown, without what may be secret in it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(Secret);

/// Parts of an address's query that are shown as they are.
const OPEN: [&str; 4] = ["sslmode", "sslrootcert", "heartbeat", "connection_timeout"];

impl SecretUrl {
    /// The whole address, for the one who connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The address without its password. What is no address is not shown at all.
    #[must_use]
    pub fn masked(&self) -> String {
        let Ok(mut url) = Url::parse(self.expose()) else { return String::from(HIDDEN) };
        // An address that takes no password has none to hide.
        if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
            return String::from(HIDDEN);
        }
        let shown = |(key, value): (Cow<'_, str>, Cow<'_, str>)| {
            let value = if OPEN.contains(&key.as_ref()) { value } else { HIDDEN.into() };
            format!("{key}={value}")
        };
        let query: Vec<String> = url.query_pairs().map(shown).collect();
        url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        url.into()
    }
}

impl From<String> for SecretUrl {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq for SecretUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, format: S) -> Result<S::Ok, S::Error> {
        format.serialize_str(&self.masked())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl JsonSchema for SecretUrl {
    fn schema_name() -> Cow<'static, str> {
        "SecretUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_is_secret_in_it() {
        for (url, shown) in [
            ("postgres://me:hush@db:5432/jobs", "postgres://me:***@db:5432/jobs"),
            (
                "postgres://db/jobs?sslmode=require&password=hush",
                "postgres://db/jobs?sslmode=require&password=***",
            ),
            ("amqps://broker/v", "amqps://broker/v"),
            ("hush", "***"),
        ] {
            let url = SecretUrl::from(String::from(url));
            assert_eq!(url.masked(), shown);
            assert!(!format!("{url:?}").contains("hush"));
        }
    }
}

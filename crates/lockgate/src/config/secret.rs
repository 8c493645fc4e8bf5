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

/// The fragment that disables the certificate check of the Redis driver. It is not secret, so it is shown.
const INSECURE: &str = "insecure";

/// Parts of an address's query that are shown as they are.
const OPEN: [&str; 4] = ["sslmode", "sslrootcert", "heartbeat", "connection_timeout"];

impl SecretUrl {
    /// The whole address, for the one who connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Returns the address with every part masked that may be a secret: the password, the user of a web
    /// address (which may be a token), unknown parameters and the fragment. A text that is no address is
    /// masked as a whole.
    #[must_use]
    pub fn masked(&self) -> String {
        mask(self.expose()).unwrap_or_else(|| String::from(HIDDEN))
    }
}

/// Masks the secrets of every address in a text that is printed although it was not declared to be secret:
/// somebody may have given an address with a password for any setting. Other texts are returned unchanged.
#[must_use]
pub fn mask_addresses(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    Cow::Owned(mask(text.trim_matches('"')).unwrap_or_else(|| String::from(HIDDEN)))
}

/// `None`: the text is no address, or it has a secret that cannot be taken out.
fn mask(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    let is_web = ["http", "https"].contains(&url.scheme());
    if url.password().is_some() {
        url.set_password(Some(HIDDEN)).ok()?;
    }
    if is_web && !url.username().is_empty() {
        url.set_username(HIDDEN).ok()?;
    }
    let shown = |(key, value): (Cow<'_, str>, Cow<'_, str>)| {
        match OPEN.contains(&key.as_ref()) {
            true => format!("{key}={value}"),
            // A parameter without a value may be a token by itself.
            false if value.is_empty() => String::from(HIDDEN),
            false => format!("{key}={HIDDEN}"),
        }
    };
    let query: Vec<String> = url.query_pairs().map(shown).collect();
    url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
    if url.fragment().is_some_and(|fragment| fragment != INSECURE) {
        url.set_fragment(Some(HIDDEN));
    }
    Some(url.into())
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
            ("https://hush@backend/usage", "https://***@backend/usage"),
            ("https://backend/usage?hush#hush", "https://backend/usage?***#***"),
            ("rediss://me@store/#insecure", "rediss://me@store/#insecure"),
            ("hush", "***"),
        ] {
            let url = SecretUrl::from(String::from(url));
            assert_eq!(url.masked(), shown);
            assert!(!format!("{url:?}").contains("hush"));
        }
    }

    #[test]
    fn an_address_with_a_password_is_masked_in_any_text() {
        assert_eq!(mask_addresses("clickhouse"), "clickhouse");
        assert_eq!(mask_addresses("\"http://me:hush@db/x\""), "http://***:***@db/x");
        assert_eq!(mask_addresses("see http://me:hush@db/x"), "***");
    }
}

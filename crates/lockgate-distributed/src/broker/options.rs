//! Where the broker is, and what this process is called there.
//!
//! It must never show the password of the URL, not in an error either.

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

/// The longest prefix, in bytes: a queue's name has up to 200, its dead-letter queue's 5 more, AMQP's limit
/// is 255.
pub const MAX_PREFIX_BYTES: usize = 50;

/// Seconds between heartbeats. A peer that is gone without a word is noticed after two of them; one that is
/// merely deaf is noticed earlier, by our own deadlines.
const HEARTBEAT: u16 = 10;

/// How to reach RabbitMQ.
///
/// ```
/// use lockgate_distributed::BrokerOptions;
///
/// let options = BrokerOptions {
///     prefix: "staging.".to_owned(),
///     ..BrokerOptions::new("amqp://lockgate:secret@rabbit.internal:5672/%2f", "worker-3")
/// };
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. The vhost `/` is written `%2f`.
    pub url: SecretString,
    /// What the names of all queues begin with, at most [`MAX_PREFIX_BYTES`]. Default `lockgate.`. Two
    /// installations may share a virtual host when their prefixes differ.
    pub prefix: String,
    /// What RabbitMQ's management shows as the name of our connections: which process they belong to.
    pub process: String,
}

impl BrokerOptions {
    /// The server at `url`, with the default prefix.
    pub fn new(url: impl Into<String>, process: impl Into<String>) -> Self {
        let url = SecretString::from(url.into());
        Self { url, prefix: "lockgate.".to_owned(), process: process.into() }
    }

    /// The URL as the driver reads it, with our heartbeat.
    pub(super) fn uri(&self) -> Result<AMQPUri, BrokerOpenError> {
        // The driver's error may repeat the text, and with it the password.
        let mut uri: AMQPUri = self.url.expose_secret().parse().map_err(|_| BrokerOpenError::Url)?;
        uri.query.heartbeat = Some(HEARTBEAT);
        Ok(uri)
    }

    pub(super) fn check_prefix(&self) -> Result<(), BrokerOpenError> {
        let prefix = &self.prefix;
        let odd = prefix.starts_with("amq.") || prefix.chars().any(|c| c.is_control() || c.is_whitespace());
        if odd || prefix.len() > MAX_PREFIX_BYTES {
            return Err(BrokerOpenError::Prefix { prefix: prefix.clone() });
        }
        Ok(())
    }
}

/// Why there is no broker. A server that cannot be reached is no reason: it is tried again for ever.
#[derive(Debug, thiserror::Error)]
pub enum BrokerOpenError {
    /// The URL is none.
    #[error(
        "the broker's url cannot be read; write amqp://user:password@host:port/vhost, or amqps:// for TLS, with the \
         vhost / as %2f and odd characters of the password percent-encoded"
    )]
    Url,
    /// The prefix is none.
    #[error(
        "{prefix:?} cannot begin the names of queues; take at most {MAX_PREFIX_BYTES} bytes, without blanks and not \
         \"amq.\""
    )]
    Prefix {
        /// The prefix.
        prefix: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_a_bad_one_is_not_repeated() {
        let uri = BrokerOptions::new("amqps://u:p%40ss@host/v", "p").uri().unwrap();
        assert_eq!(
            (uri.authority.userinfo.password.as_str(), uri.query.heartbeat),
            ("p@ss", Some(HEARTBEAT))
        );
        for bad in ["http://u:geheim@host", "amqp:geheim", "geheim", ""] {
            let error = BrokerOptions::new(bad, "p").uri().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("geheim"));
        }
    }

    #[test]
    fn a_prefix_that_could_not_begin_a_name_is_refused() {
        let with = |prefix: &str| {
            BrokerOptions { prefix: prefix.to_owned(), ..BrokerOptions::new("", "") }.check_prefix()
        };
        assert!(with("").is_ok() && with("lockgate.").is_ok() && with(&"x".repeat(50)).is_ok());
        assert!(with("amq.x").is_err() && with("a b").is_err() && with(&"x".repeat(51)).is_err());
    }
}

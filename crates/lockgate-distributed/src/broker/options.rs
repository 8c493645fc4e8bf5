//! Options of the broker. Neither logs nor errors show the password in the URL.

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

/// The longest prefix, in bytes. A queue name has up to 200 bytes, its dead-letter queue 5 more, and AMQP
/// allows 255.
pub const MAX_PREFIX_BYTES: usize = 50;

/// Seconds between heartbeats. A dead peer is noticed after two of them. A frozen server is noticed earlier,
/// by the pings of the supervisor.
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
    /// Prefix of the names of all queues, at most [`MAX_PREFIX_BYTES`]. Default `lockgate.`. Two
    /// installations may share a virtual host when their prefixes differ.
    pub prefix: String,
    /// Name of this process. RabbitMQ's management shows it as the name of the connections.
    pub process: String,
}

impl BrokerOptions {
    /// Creates options for the server at `url`, with the default prefix.
    pub fn new(url: impl Into<String>, process: impl Into<String>) -> Self {
        let url = SecretString::from(url.into());
        Self { url, prefix: "lockgate.".to_owned(), process: process.into() }
    }

    /// Parses the URL, and sets the heartbeat.
    pub(super) fn uri(&self) -> Result<AMQPUri, BrokerOpenError> {
        // The driver's error is dropped, because it may repeat the text and with it the password.
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

/// Why the broker's options are invalid. An unreachable server is no such error: the broker reconnects
/// forever.
#[derive(Debug, thiserror::Error)]
pub enum BrokerOpenError {
    /// The URL is invalid.
    #[error(
        "cannot parse the broker's url; write amqp://user:password@host:port/vhost, or amqps:// for TLS, with the \
         vhost / as %2f and special characters of the password percent-encoded"
    )]
    Url,
    /// The prefix is invalid.
    #[error(
        "queue names cannot begin with {prefix:?}; use at most {MAX_PREFIX_BYTES} bytes, without whitespace, and not \
         beginning with \"amq.\""
    )]
    Prefix {
        /// The rejected prefix.
        prefix: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_parsed_and_errors_do_not_repeat_it() {
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
    fn invalid_prefix_is_rejected() {
        let with = |prefix: &str| {
            BrokerOptions { prefix: prefix.to_owned(), ..BrokerOptions::new("", "") }.check_prefix()
        };
        assert!(with("").is_ok() && with("lockgate.").is_ok() && with(&"x".repeat(50)).is_ok());
        assert!(with("amq.x").is_err() && with("a b").is_err() && with(&"x".repeat(51)).is_err());
    }
}

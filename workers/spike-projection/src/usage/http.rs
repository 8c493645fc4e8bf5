//! Usage over HTTP, from a Snuba-like backend. It never retries by itself: the ledger counts attempts, and a second
//! query would run beside the first without a slot.

use std::fmt;
use std::ops::Range;
use std::sync::Once;

use async_trait::async_trait;
use lockgate::core::error::Source as Cause;
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::wire::{Answer, Query, RATE_LIMITED, Refusal};
use super::{QueryId, UsageError, UsageSource};
use crate::config::HttpSettings;
use crate::hour::Hour;
use crate::projection::Usage;

/// The source `http`.
#[derive(Clone)]
pub struct HttpSource {
    client: Client,
    url: Url,
    max_answer_bytes: usize,
}

/// Why there is no HTTP source.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the HTTP source for {url:?}; check [{section}]")]
pub struct NoHttpSource {
    url: String,
    section: &'static str,
    source: Cause,
}

impl NoHttpSource {
    /// For this address, as it may be shown, of this section of the config.
    pub(super) fn of(url: String, section: &'static str, source: Cause) -> Self {
        Self { url, section, source }
    }
}

impl HttpSource {
    /// A source with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address is none, or TLS cannot be set up.
    pub fn new(settings: &HttpSettings) -> Result<Self, NoHttpSource> {
        one_tls_provider();
        let refused = |source| NoHttpSource::of(settings.url.masked(), "spike_projection.http", source);
        let base = Url::parse(settings.url.expose()).map_err(|error| refused(error.into()))?;
        let mut url = base.join("usage").map_err(|error| refused(error.into()))?;
        // A token may be a parameter of the address.
        url.set_query(base.query());
        let client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .redirect(redirect::Policy::none())
            // The limit counts what this process sends: nothing in between may send it twice.
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| refused(error.into()))?;
        Ok(Self { client, url, max_answer_bytes: settings.max_answer_bytes })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, UsageError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broke)? {
            if body.len().saturating_add(chunk.len()) > self.max_answer_bytes {
                return Err(UsageError::TooLarge { most: self.max_answer_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

// By hand: the address may hold a secret.
impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSource").finish_non_exhaustive()
    }
}

#[async_trait]
impl UsageSource for HttpSource {
    async fn hourly(
        &self,
        organization_id: &str,
        hours: Range<Hour>,
        _: &QueryId,
    ) -> Result<Usage, UsageError> {
        let query = Query { organization_id: organization_id.to_owned(), from: hours.start, to: hours.end };
        let response = self.client.get(self.url.clone()).query(&query).send().await.map_err(broke)?;
        let status = response.status();
        let body = self.body(response).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &body));
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| UsageError::Broken(error.to_string()))?;
        answer.usage(&hours)
    }
}

/// What a status other than 200 means. Only the backend's own word for it is an overload: anything else that answers
/// 429 is no reason to come back for ever without using an attempt.
fn refused(status: StatusCode, body: &[u8]) -> UsageError {
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    let said = refusal.as_ref().map(|refusal| refusal.error.message.clone()).filter(|said| !said.is_empty());
    let message = said.unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(200).collect());
    let rate_limited = refusal.as_ref().is_some_and(|refusal| refusal.error.kind == RATE_LIMITED);
    let unreadable = status == StatusCode::TOO_MANY_REQUESTS && refusal.is_none();
    let (code, overloaded) = (status.as_u16(), status == StatusCode::TOO_MANY_REQUESTS && rate_limited);
    if overloaded {
        UsageError::Overloaded { message }
    } else if !status.is_server_error() && !unreadable && status != StatusCode::REQUEST_TIMEOUT {
        UsageError::Refused { status: code, message }
    } else {
        UsageError::Failed { status: code, message }
    }
}

fn broke(error: reqwest::Error) -> UsageError {
    let (no_query, error) = (error.is_connect() || error.is_builder(), error.without_url());
    if no_query { UsageError::Unreachable(error.into()) } else { UsageError::NoAnswer(error.into()) }
}

/// One TLS implementation for the whole process; whoever comes first installs it.
pub(crate) fn one_tls_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

#[cfg(test)]
mod tests;

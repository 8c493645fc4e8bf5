//! Usage over HTTP from a Snuba-like backend. The source does not retry by itself: the ledger counts
//! attempts, and a second query would run alongside the first without a slot.

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

/// The source cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot create the HTTP source for {url:?}; check [{section}]")]
pub struct HttpSourceError {
    url: String,
    section: &'static str,
    source: Cause,
}

impl HttpSourceError {
    /// Creates the error for a masked address of this config section.
    pub(super) fn of(url: String, section: &'static str, source: Cause) -> Self {
        Self { url, section, source }
    }
}

impl HttpSource {
    /// Creates a source with these settings. Sends nothing yet.
    ///
    /// # Errors
    /// When the address is invalid, or TLS cannot be set up.
    pub fn new(settings: &HttpSettings) -> Result<Self, HttpSourceError> {
        one_tls_provider();
        let refused = |source| HttpSourceError::of(settings.url.masked(), "spike_projection.http", source);
        let base = Url::parse(settings.url.expose()).map_err(|error| refused(error.into()))?;
        let mut url = base.join("usage").map_err(|error| refused(error.into()))?;
        // The address may contain a token as a parameter.
        url.set_query(base.query());
        let client = Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .redirect(redirect::Policy::none())
            // The pool limits what this process sends, so no proxy and no retry may send a query twice.
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| refused(error.into()))?;
        Ok(Self { client, url, max_answer_bytes: settings.max_answer_bytes })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, UsageError> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(transport_error)? {
            if body.len().saturating_add(part.len()) > self.max_answer_bytes {
                return Err(UsageError::TooLarge { most: self.max_answer_bytes });
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }
}

// Not derived, because the address may contain a secret.
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
        let response =
            self.client.get(self.url.clone()).query(&query).send().await.map_err(transport_error)?;
        let status = response.status();
        let body = self.body(response).await?;
        if status != StatusCode::OK {
            return Err(status_error(status, &body));
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| UsageError::InvalidResponse(error.to_string()))?;
        answer.usage(&hours)
    }
}

/// Converts a status other than 200 to an error. Only the backend's own error type means overload. Any other
/// 429 must consume an attempt, or the job would be deferred forever.
fn status_error(status: StatusCode, body: &[u8]) -> UsageError {
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    let message =
        refusal.as_ref().map(|refusal| refusal.error.message.clone()).filter(|text| !text.is_empty());
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(200).collect());
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

fn transport_error(error: reqwest::Error) -> UsageError {
    let (no_query, error) = (error.is_connect() || error.is_builder(), error.without_url());
    if no_query { UsageError::Unreachable(error.into()) } else { UsageError::NoResponse(error.into()) }
}

/// Installs the TLS implementation of the process, once.
pub(crate) fn one_tls_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

#[cfg(test)]
mod tests;

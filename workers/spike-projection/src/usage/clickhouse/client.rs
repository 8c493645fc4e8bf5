//! A client of ClickHouse's HTTP interface: adds the parameters of each statement and classifies responses.
//!
//! It sends nothing twice and returns no partial response.

use std::fmt;
use std::time::Duration;

use reqwest::{Client as Http, RequestBuilder, Response, StatusCode, Url, redirect, retry};
use tower::limit::ConcurrencyLimitLayer;

use super::code::{code_in_the_middle, code_of};
use super::error::ClickHouseError;
use super::statement::Statement;
use crate::config::ClickHouseSettings;
use crate::usage::QueryId;
use crate::usage::http::{HttpSourceError, one_tls_provider};
use crate::usage::wire::{RATE_LIMITED, Refusal};

/// The server closes connections after 3 s without traffic. A statement sent at that moment gets no response,
/// and the client cannot know whether it runs. So the client closes its connections earlier.
const IDLE: Duration = Duration::from_secs(2);

/// Connections that are opened at once. The server's accept queue has 64 entries for all clients, and a
/// client that finds it full waits for a second.
const CONNECTS: usize = 16;

/// Timeout of statements about other queries. `KILL .. SYNC` responds when the query has ended.
const CONTROL: Duration = Duration::from_secs(10);

/// Timeout of writing the rows of an import.
const WRITE: Duration = Duration::from_secs(300);

const CODE: &str = "x-clickhouse-exception-code";

/// Settings that turn a partial result into an error, whatever the server's profiles allow.
const WHOLE: [(&str, &str); 9] = [
    ("read_overflow_mode", "throw"),
    ("group_by_overflow_mode", "throw"),
    ("sort_overflow_mode", "throw"),
    ("result_overflow_mode", "throw"),
    ("timeout_overflow_mode", "throw"),
    ("set_overflow_mode", "throw"),
    ("distinct_overflow_mode", "throw"),
    // The server sends nothing before the result is complete, so an error after the first rows becomes an
    // error response.
    ("wait_end_of_query", "1"),
    // Rejected at once, not after five seconds in the server's queue. This works only as a parameter, not in
    // SETTINGS.
    ("queue_max_wait_ms", "0"),
];

/// A client with a connection pool of its own. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    http: Http,
    url: Url,
    timeout: Duration,
    /// In whole seconds, because the server reads half a second as zero, which means no limit.
    query_seconds: u64,
    log_queries: bool,
    max_answer_bytes: usize,
}

// Not derived, because the address may contain a password.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Creates a client with these settings. Sends nothing yet.
    pub(super) fn new(settings: &ClickHouseSettings) -> Result<Self, HttpSourceError> {
        one_tls_provider();
        let url = settings.address();
        let refused =
            |source| HttpSourceError::of(settings.url.masked(), "spike_projection.clickhouse", source);
        let url = url.map_err(|problem| refused(problem.into()))?;
        let http = Http::builder()
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE)
            .http1_only()
            .redirect(redirect::Policy::none())
            // The pool limits what this process sends, so no proxy and no retry may send a query twice.
            .no_proxy()
            .retry(retry::never())
            .connector_layer(ConcurrencyLimitLayer::new(CONNECTS))
            .build()
            .map_err(|error| refused(error.into()))?;
        Ok(Self {
            http,
            url,
            timeout: settings.timeout,
            query_seconds: settings.query_timeout.as_secs(),
            log_queries: settings.log_queries,
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Queries rows under this id, within the time limits of the settings.
    pub(super) async fn read(&self, statement: &Statement, id: &QueryId) -> Result<Vec<u8>, ClickHouseError> {
        let seconds = self.query_seconds.to_string();
        let request = self.request(statement.text().to_owned(), self.timeout).query(&WHOLE).query(&[
            ("query_id", id.as_str()),
            ("max_execution_time", seconds.as_str()),
            ("max_query_size", "1048576"),
        ]);
        let request = if self.log_queries { request.query(&[("log_queries", "1")]) } else { request };
        self.answer(request).await
    }

    /// Runs a statement about other queries. It has no query id and works on a full server.
    pub(super) async fn control(&self, statement: &Statement) -> Result<Vec<u8>, ClickHouseError> {
        self.answer(self.request(statement.text().to_owned(), CONTROL)).await
    }

    /// Writes rows, or creates a table.
    pub(super) async fn write(&self, statement: &Statement, rows: &str) -> Result<(), ClickHouseError> {
        let body = format!("{}\n{rows}", statement.text().trim_end());
        self.answer(self.request(body, WRITE).query(&[("wait_end_of_query", "1")])).await.map(drop)
    }

    fn request(&self, body: String, timeout: Duration) -> RequestBuilder {
        self.http.post(self.url.clone()).timeout(timeout).body(body)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Vec<u8>, ClickHouseError> {
        let response = request.send().await.map_err(transport_error)?;
        let status = response.status();
        let header =
            response.headers().get(CODE).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let body = self.body(response).await?;
        if status == StatusCode::OK && header.is_none() {
            return Ok(body);
        }
        Err(server_error(status, header.as_deref(), &String::from_utf8_lossy(&body)))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClickHouseError> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(transport_error)? {
            if body.len().saturating_add(part.len()) > self.max_answer_bytes {
                return Err(ClickHouseError::TooLarge { most: self.max_answer_bytes });
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }
}

/// Converts an unsuccessful response to an error: by ClickHouse's error code, or by the HTTP status if the
/// response is not from ClickHouse.
fn server_error(status: StatusCode, header: Option<&str>, body: &str) -> ClickHouseError {
    let message = body.chars().take(300).collect::<String>().trim().to_owned();
    if let Some(code) = code_of(header, body).or_else(|| code_in_the_middle(body)) {
        return ClickHouseError::Server { code, message };
    }
    let refusal: Option<Refusal> = serde_json::from_str(body).ok();
    match refusal {
        Some(Refusal { error }) if status == StatusCode::TOO_MANY_REQUESTS && error.kind == RATE_LIMITED => {
            ClickHouseError::RateLimited { message: error.message }
        }
        _ => ClickHouseError::NotClickHouse { status: status.as_u16(), message },
    }
}

fn transport_error(error: reqwest::Error) -> ClickHouseError {
    let (no_query, error) = (error.is_connect() || error.is_builder(), error.without_url());
    if no_query {
        ClickHouseError::Unreachable(error.into())
    } else {
        ClickHouseError::NoResponse { ended: false, source: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use lockgate::config::SecretUrl;
    use lockgate::{ErrorClass, JobError};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const BUSY: &str =
        "Code: 202, e.displayText() = DB::Exception: Too many simultaneous queries. Maximum: 100";

    #[test]
    fn error_is_classified_by_its_code_whatever_the_status() {
        for status in [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE] {
            let error = server_error(status, None, BUSY);
            assert_eq!(error.class(), ErrorClass::Overloaded { retry_after: None }, "{status}: {error}");
            let error = server_error(status, Some("62"), BUSY);
            assert_eq!(error.class(), ErrorClass::Permanent, "{status}: {error}");
        }
    }

    #[tokio::test]
    async fn query_is_sent_with_its_id_and_limits_and_without_server_side_queueing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = SecretUrl::from(format!("http://me:hush@{}/usage", listener.local_addr().unwrap()));
        let client = Client::new(&ClickHouseSettings { url, ..ClickHouseSettings::default() }).unwrap();
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let read = socket.read(&mut request).await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        };
        let id = "a-1-7".parse().unwrap();
        let statement = Statement::new("SELECT 1");
        let (request, answer) = tokio::join!(server, client.read(&statement, &id));
        assert_eq!(answer.unwrap(), b"{}");
        let line = request.lines().next().unwrap();
        assert!(line.starts_with("POST /?database=usage&"), "{line}");
        for sent in ["query_id=a-1-7", "max_execution_time=20", "queue_max_wait_ms=0", "wait_end_of_query=1"]
        {
            assert!(line.contains(sent), "{sent}: {line}");
        }
        assert!(!line.contains("hush") && request.contains("authorization: Basic"), "{request}");
    }

    #[test]
    fn too_many_requests_is_overload_only_with_the_backends_own_error_type() {
        let class = |body| server_error(StatusCode::TOO_MANY_REQUESTS, None, body).class();
        let overloaded = ErrorClass::Overloaded { retry_after: None };
        assert_eq!(class(r#"{"error":{"type":"rate-limited","message":"too many"}}"#), overloaded);
        assert_eq!(class(r#"{"error":{"type":"quota"}}"#), ErrorClass::Retry);
        assert_eq!(class("<html>"), ErrorClass::Retry);
    }
}

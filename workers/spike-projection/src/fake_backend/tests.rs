//! The fake backend over HTTP.

use std::time::Duration;

use lockgate::{ErrorClass, JobError};

use super::*;
use crate::category::Category;
use crate::config::HttpSettings;
use crate::hour::Hour;
use crate::projection::Count;
use crate::store::UsageRow;
use crate::store::tests::{Fixture, imported};
use crate::usage::{HttpSource, QueryId, UsageSource};

fn query() -> QueryId {
    "any".parse().unwrap()
}

const NOW: Hour = Hour(480_000);

struct Running {
    _fixture: Fixture,
    url: String,
    counts: CountsReader,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    async fn new(limit: u32, query_time: Duration) -> Self {
        let fixture = Fixture::sqlite().await;
        let store = fixture.store.clone();
        store.organizations.import(&[imported("o")]).await.unwrap();
        let count = Count { hour: NOW.plus(-1), accepted: 9, dropped: 2 };
        let row = UsageRow { project: "o".to_owned(), category: Category::Errors, count };
        store.usage.import(&[row]).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake_backend =
            FakeBackend::new(listener, FakeBackendOptions { limit, query_time }, SqlSource(store.usage));
        let (counts, tasks, stop) = (fake_backend.counts(), TaskTracker::new(), CancellationToken::new());
        tasks.spawn(fake_backend.serve(stop.clone()));
        Self { _fixture: fixture, url, counts, tasks, stop }
    }

    fn source(&self, timeout: Duration) -> HttpSource {
        let settings = HttpSettings { url: self.url.clone().into(), timeout, ..HttpSettings::default() };
        HttpSource::new(&settings).unwrap()
    }

    async fn eventually(&self, what: &str, holds: impl Fn(QueryCounts) -> bool) {
        let wait = async {
            let mut poll = tokio::time::interval(Duration::from_millis(2));
            while !holds(self.counts.read()) {
                poll.tick().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.counts.read());
    }
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn fake_backend_serves_the_usage_of_the_database() {
    let running = Running::new(1, Duration::ZERO).await;
    let usage = running.source(LONG).hourly("o", NOW.plus(-168)..NOW, &query()).await.unwrap();
    assert_eq!(usage.known, [NOW.plus(-1)].into());
    let counts = &usage.series[&("o".to_owned(), Category::Errors)];
    assert_eq!(counts[..], [Count { hour: NOW.plus(-1), accepted: 9, dropped: 2 }]);
}

#[tokio::test]
async fn query_above_the_limit_is_rejected_as_overload() {
    let running = Running::new(2, LONG).await;
    let source = running.source(LONG);
    let tasks = TaskTracker::new();
    for _ in 0..2 {
        let source = source.clone();
        tasks.spawn(async move { source.hourly("o", NOW.plus(-1)..NOW, &query()).await });
    }
    running.eventually("two queries run", |counts| counts.running == 2).await;
    let error = source.hourly("o", NOW.plus(-1)..NOW, &query()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Overloaded { retry_after: None });
    assert_eq!(running.counts.read(), QueryCounts { running: 2, peak: 2, refused: 1, served: 0 });
}

#[tokio::test]
async fn query_of_a_disconnected_caller_is_counted_until_its_time_has_passed() {
    let running = Running::new(1, Duration::from_secs(2)).await;
    let error =
        running.source(Duration::from_millis(50)).hourly("o", NOW.plus(-1)..NOW, &query()).await.unwrap_err();
    assert!(error.backend_may_run());
    assert_eq!(running.counts.read().running, 1);
    running.eventually("the query ends", |counts| counts.running == 0 && counts.served == 1).await;
}

#[tokio::test]
async fn every_response_says_that_the_backend_is_fake() {
    let running = Running::new(1, Duration::ZERO).await;
    crate::usage::http::one_tls_provider();
    let client = reqwest::Client::new();
    let usage = "/usage?organization_id=o&from=2024-10-01T00:00:00Z&to=2024-10-02T00:00:00Z";
    for path in [usage, "/status", "/usage?from=x", "/elsewhere"] {
        let answer = client.get(format!("{}{path}", running.url)).send().await.unwrap();
        assert_eq!(answer.headers()["x-lockgate-fake-backend"], "true");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!((&body["fake_backend"], body["notice"].as_str()), (&true.into(), Some(NOTICE)), "{path}");
    }
    let reset = client.post(format!("{}/reset", running.url)).send().await.unwrap();
    let body: serde_json::Value = reset.json().await.unwrap();
    assert_eq!((&body["served"], &body["refused"], &body["running"]), (&0.into(), &0.into(), &0.into()));
    running.stop.cancel();
    running.tasks.close();
    running.tasks.wait().await;
}

#[tokio::test]
async fn reset_from_a_web_page_or_for_another_host_is_rejected() {
    let running = Running::new(1, Duration::ZERO).await;
    crate::usage::http::one_tls_provider();
    let client = reqwest::Client::new();
    let reset = || client.post(format!("{}/reset", running.url));
    for (name, value, status) in [("host", "evil.example", 421), ("origin", "https://evil.example", 403)] {
        let answer = reset().header(name, value).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}: {value}");
    }
    assert_eq!(reset().send().await.unwrap().status().as_u16(), 200);
}

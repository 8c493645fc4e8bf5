//! Runs the job in a worker on an embedded engine.

use std::collections::BTreeSet;

use lockgate::config::{Section, Sources};
use lockgate::core::job::JobRow;
use lockgate::core::ledger::{JobQuery, PlannedJob};
use lockgate::{JobState, Lockgate};
use lockgate_cli::{Manifest, Program, fanout};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::config::{SECTION, SpikeSettings};
use crate::hour::Hour;
use crate::job::ProjectSpikes;
use crate::program::{self, SpikeProjection};
use crate::projection::Count;
use crate::store::tests::imported;
use crate::store::{ImportedProject, ImportedRow, Store, UsageRow};

const NOW: Hour = Hour(480_000);

struct Fixture {
    _folder: TempDir,
    lockgate: Lockgate,
    store: Store,
}

struct Jobs(Vec<PlannedJob>);

#[async_trait::async_trait]
impl Manifest for Jobs {
    fn kind(&self) -> lockgate::Kind {
        program::kind().unwrap()
    }

    async fn next(&mut self, _: usize) -> anyhow::Result<Vec<PlannedJob>> {
        Ok(std::mem::take(&mut self.0))
    }
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db").display().to_string();
        let sources = Sources {
            overrides: vec![("embedded.path".to_owned(), path)],
            sections: vec![Section::of::<SpikeSettings>(SECTION)],
            ..Sources::default()
        };
        let loaded = lockgate::config::load(&sources).unwrap();
        let lockgate = lockgate::connect(&loaded, SpikeProjection.tables()).await.unwrap();
        let store = program::store(&lockgate);
        Self { _folder: folder, lockgate, store }
    }

    async fn with_a_week_of_usage() -> Self {
        let fixture = Self::new().await;
        fixture.store.organizations.import(&[imported("o")]).await.unwrap();
        let count = |hour| Count { hour, accepted: 100, dropped: 0 };
        let row =
            |hour| UsageRow { project: "o".to_owned(), category: Default::default(), count: count(hour) };
        let rows: Vec<_> = NOW.plus(-168).until(NOW).map(row).collect();
        fixture.store.usage.import(&rows).await.unwrap();
        fixture
    }

    /// Executes the job of each organization for this hour and returns the finished jobs.
    async fn run(&self, organizations: &[&'static str], as_of: Hour) -> Vec<JobRow> {
        let of = |id: &&str| fanout::job(id, &ProjectSpikes::new(*id, as_of.start())).unwrap();
        self.work_off(organizations.iter().map(of).collect(), as_of).await
    }

    /// Executes these jobs and returns them in their final state.
    async fn work_off(&self, jobs: Vec<PlannedJob>, as_of: Hour) -> Vec<JobRow> {
        let mut manifest = Jobs(jobs);
        let app = program::app(&self.lockgate).unwrap();
        let spec = fanout::spec(&self.lockgate, &app, &manifest, as_of.start()).unwrap();
        let bar = lockgate_cli::Terminal::new(lockgate_cli::Output::Json).progress("", None);
        let run = fanout::plan(&self.lockgate, spec, &mut manifest, &bar).await.unwrap().run.id;
        let options = self.lockgate.worker_options("test".to_owned());
        let options = lockgate::runtime::WorkerOptions { until_idle: true, ..options };
        let worker = self.lockgate.worker(program::app(&self.lockgate).unwrap(), options).await.unwrap();
        let worked =
            tokio::time::timeout(std::time::Duration::from_secs(60), worker.run(CancellationToken::new()));
        worked.await.expect("the worker ends").unwrap();
        let query = JobQuery { run: Some(run), ..JobQuery::default() };
        self.lockgate.engine.ledger.jobs(query).await.unwrap()
    }
}

#[test]
fn message_names_its_organization_by_text_or_number_and_may_omit_the_hour() {
    let read = |text: &str| serde_json::from_str::<ProjectSpikes>(text).map_err(|error| error.to_string());
    for (text, id) in [(r#"{"organization_id": 7}"#, "7"), (r#"{"organization_id": "a-7"}"#, "a-7")] {
        assert_eq!(
            read(text),
            Ok(ProjectSpikes { organization_id: id.to_owned(), project_list: None, as_of: None }),
            "{text}"
        );
    }
    // As the earlier system sends it.
    let listed = read(r#"{"org_id": 26, "project_list": [261, "p-2"]}"#).unwrap();
    assert_eq!(
        (listed.organization_id.as_str(), listed.project_list.clone().unwrap()),
        ("26", vec!["261".to_owned(), "p-2".to_owned()])
    );
    assert_eq!(read(&serde_json::to_string(&listed).unwrap()), Ok(listed), "a planned payload parses back");
    assert_eq!(read(r#"{"organization_id": 26, "project_list": null}"#).unwrap().project_list, None);
    for (bad, expected) in [
        (
            r#"{"organization_id": 26, "projects": [261]}"#,
            "unknown field `projects`, expected one of `org_id`, `organization_id`, `project_list`, `as_of`",
        ),
        (
            r#"{"organization_id": 26, "project_list": []}"#,
            "the project_list is empty; leave it out for all projects",
        ),
        (r#"{"organization_id": 26, "project_list": [1.5]}"#, "an id, as a text or a whole number"),
        (r#"{"organization_id": 26, "project_list": 261}"#, "expected a sequence"),
        (r#"{"organization_id": 26, "org_id": 27}"#, "duplicate field `organization_id`"),
    ] {
        assert!(read(bad).unwrap_err().contains(expected), "{bad}: {}", read(bad).unwrap_err());
    }
    let at = read(r#"{"organization_id": "7", "as_of": "2026-11-22T09:00:00Z"}"#).unwrap();
    assert_eq!(at.as_of, "2026-11-22T09".parse().ok());
    assert_eq!(read(&serde_json::to_string(&at).unwrap()), Ok(at), "a planned payload parses back");
    for bad in ["7.5", "true", "[7]", "null"] {
        let error = read(&format!(r#"{{"organization_id": {bad}}}"#)).unwrap_err();
        assert!(error.contains("an id, as a text or a whole number"), "{bad}: {error}");
    }
    assert!(read("{}").unwrap_err().contains("organization_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn message_without_an_hour_is_projected_from_the_current_hour() {
    let fixture = Fixture::new().await;
    fixture.store.organizations.import(&[imported("7")]).await.unwrap();
    let now = Hour::of(fixture.lockgate.now());
    let count = |hour| Count { hour, accepted: 100, dropped: 0 };
    let row = |hour| UsageRow { project: "7".to_owned(), category: Default::default(), count: count(hour) };
    // One hour more, in case the next hour begins during the test.
    let rows: Vec<_> = now.plus(-168).until(now.plus(1)).map(row).collect();
    fixture.store.usage.import(&rows).await.unwrap();
    let message = fanout::job("7", &serde_json::json!({"organization_id": 7})).unwrap();
    let jobs = fixture.work_off(vec![message], now).await;
    assert_eq!(jobs[0].state, JobState::Succeeded, "{:?}", jobs[0].reason);
    let rows = fixture.store.projections.of("7", None).await.unwrap();
    assert_eq!(rows.len(), 168);
    assert!([now, now.plus(1)].contains(&rows[0].generation), "{:?}", rows[0].generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn job_with_a_project_list_stores_only_these_projects() {
    let fixture = Fixture::new().await;
    let second = |id: &str| {
        let project = ImportedProject { id: id.to_owned(), active: true, created: None };
        ImportedRow { project: Some(project), ..imported("o") }
    };
    fixture.store.organizations.import(&[imported("o"), second("261"), second("262")]).await.unwrap();
    let count = |hour| Count { hour, accepted: 100, dropped: 0 };
    let rows: Vec<_> = NOW
        .plus(-168)
        .until(NOW.plus(1))
        .map(|hour| UsageRow { project: "261".to_owned(), category: Default::default(), count: count(hour) })
        .collect();
    fixture.store.usage.import(&rows).await.unwrap();
    let job = |list: serde_json::Value, as_of: Hour| {
        let payload = serde_json::json!({"organization_id": "o", "project_list": list, "as_of": as_of});
        fanout::job("o", &payload).unwrap()
    };
    let projects = async || {
        let rows = fixture.store.projections.of("o", None).await.unwrap();
        rows.into_iter().map(|row| row.project).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let jobs = fixture.work_off(vec![job(serde_json::json!([261]), NOW)], NOW).await;
    assert_eq!(jobs[0].state, JobState::Succeeded, "{:?}", jobs[0].reason);
    assert_eq!(projects().await, ["261"]);
    let whole = fanout::job("o", &ProjectSpikes::new("o", NOW.plus(1).start())).unwrap();
    fixture.work_off(vec![whole], NOW.plus(1)).await;
    assert_eq!(projects().await, ["261", "262", "o"]);
    let jobs = fixture.work_off(vec![job(serde_json::json!(["261", "999"]), NOW.plus(2))], NOW.plus(2)).await;
    assert_eq!(jobs[0].state, JobState::Failed);
    assert!(
        format!("{:?}", jobs[0].reason).contains("organization o has no project 999"),
        "{:?}",
        jobs[0].reason
    );
    assert_eq!(projects().await, ["261", "262", "o"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_stores_a_projection_for_each_hour_of_the_next_week() {
    let fixture = Fixture::with_a_week_of_usage().await;
    let jobs = fixture.run(&["o"], NOW).await;
    assert_eq!(jobs[0].state, JobState::Succeeded, "{:?}", jobs[0].reason);
    let rows = fixture.store.projections.of("o", None).await.unwrap();
    assert_eq!((rows.len(), rows[0].generation, rows[0].expected), (168, NOW, 100.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn job_is_skipped_and_the_old_projection_kept_when_too_little_usage_is_known() {
    let fixture = Fixture::with_a_week_of_usage().await;
    fixture.run(&["o"], NOW).await;
    let jobs = fixture.run(&["o"], NOW.plus(100)).await;
    assert_eq!(jobs[0].state, JobState::Skipped);
    assert!(jobs[0].reason.as_deref().unwrap().contains("only 68 of the 168 hours"), "{:?}", jobs[0].reason);
    let kept = fixture.store.projections.of("o", None).await.unwrap();
    assert_eq!((kept.len(), kept[0].generation, kept[0].stale.is_some()), (168, NOW, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn job_of_an_unknown_organization_fails_at_its_first_attempt() {
    let fixture = Fixture::with_a_week_of_usage().await;
    let jobs = fixture.run(&["nobody"], NOW).await;
    assert_eq!((jobs[0].state, jobs[0].attempt), (JobState::Failed, 1));
    assert!(jobs[0].reason.as_deref().unwrap().contains("there is no organization nobody"));
}

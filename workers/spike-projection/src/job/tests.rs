//! The job as a worker runs it, on an engine of its own.

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

struct Stage {
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

impl Stage {
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
        let stage = Self::new().await;
        stage.store.organizations.import(&[imported("o")]).await.unwrap();
        let count = |hour| Count { hour, accepted: 100, dropped: 0 };
        let row =
            |hour| UsageRow { project: "o".to_owned(), category: Default::default(), count: count(hour) };
        let rows: Vec<_> = NOW.plus(-168).until(NOW).map(row).collect();
        stage.store.usage.import(&rows).await.unwrap();
        stage
    }

    /// Runs the job of each organization for this hour, to its end.
    async fn run(&self, organizations: &[&'static str], as_of: Hour) -> Vec<JobRow> {
        let of = |id: &&str| fanout::job(id, &ProjectSpikes::new(*id, as_of.start())).unwrap();
        self.work_off(organizations.iter().map(of).collect(), as_of).await
    }

    /// Runs these jobs to their end.
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
fn a_message_names_its_organization_as_a_text_or_a_number_and_need_not_name_an_hour() {
    let read = |text: &str| serde_json::from_str::<ProjectSpikes>(text).map_err(|error| error.to_string());
    for (text, id) in [(r#"{"organization_id": 7}"#, "7"), (r#"{"organization_id": "a-7"}"#, "a-7")] {
        assert_eq!(
            read(text),
            Ok(ProjectSpikes { organization_id: id.to_owned(), project_list: None, as_of: None }),
            "{text}"
        );
    }
    // As the system before sends it.
    let listed = read(r#"{"org_id": 26, "project_list": [261, "p-2"]}"#).unwrap();
    assert_eq!(
        (listed.organization_id.as_str(), listed.project_list.clone().unwrap()),
        ("26", vec!["261".to_owned(), "p-2".to_owned()])
    );
    assert_eq!(read(&serde_json::to_string(&listed).unwrap()), Ok(listed), "what is planned reads back");
    assert_eq!(read(r#"{"organization_id": 26, "project_list": null}"#).unwrap().project_list, None);
    for (bad, said) in [
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
        assert!(read(bad).unwrap_err().contains(said), "{bad}: {}", read(bad).unwrap_err());
    }
    let at = read(r#"{"organization_id": "7", "as_of": "2026-11-22T09:00:00Z"}"#).unwrap();
    assert_eq!(at.as_of, "2026-11-22T09".parse().ok());
    assert_eq!(read(&serde_json::to_string(&at).unwrap()), Ok(at), "what is planned reads back");
    for bad in ["7.5", "true", "[7]", "null"] {
        let error = read(&format!(r#"{{"organization_id": {bad}}}"#)).unwrap_err();
        assert!(error.contains("an id, as a text or a whole number"), "{bad}: {error}");
    }
    assert!(read("{}").unwrap_err().contains("organization_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_client_is_projected_from_the_hour_in_which_it_runs() {
    let stage = Stage::new().await;
    stage.store.organizations.import(&[imported("7")]).await.unwrap();
    let now = Hour::of(stage.lockgate.now());
    let count = |hour| Count { hour, accepted: 100, dropped: 0 };
    let row = |hour| UsageRow { project: "7".to_owned(), category: Default::default(), count: count(hour) };
    // One hour more, should the next one begin meanwhile.
    let rows: Vec<_> = now.plus(-168).until(now.plus(1)).map(row).collect();
    stage.store.usage.import(&rows).await.unwrap();
    let message = fanout::job("7", &serde_json::json!({"organization_id": 7})).unwrap();
    let jobs = stage.work_off(vec![message], now).await;
    assert_eq!(jobs[0].state, JobState::Succeeded, "{:?}", jobs[0].reason);
    let rows = stage.store.projections.of("7", None).await.unwrap();
    assert_eq!(rows.len(), 168);
    assert!([now, now.plus(1)].contains(&rows[0].generation), "{:?}", rows[0].generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_project_list_projects_these_projects_alone() {
    let stage = Stage::new().await;
    let second = |id: &str| {
        let project = ImportedProject { id: id.to_owned(), active: true, created: None };
        ImportedRow { project: Some(project), ..imported("o") }
    };
    stage.store.organizations.import(&[imported("o"), second("261"), second("262")]).await.unwrap();
    let count = |hour| Count { hour, accepted: 100, dropped: 0 };
    let rows: Vec<_> = NOW
        .plus(-168)
        .until(NOW.plus(1))
        .map(|hour| UsageRow { project: "261".to_owned(), category: Default::default(), count: count(hour) })
        .collect();
    stage.store.usage.import(&rows).await.unwrap();
    let job = |list: serde_json::Value, as_of: Hour| {
        let payload = serde_json::json!({"organization_id": "o", "project_list": list, "as_of": as_of});
        fanout::job("o", &payload).unwrap()
    };
    let projects = async || {
        let rows = stage.store.projections.of("o", None).await.unwrap();
        rows.into_iter().map(|row| row.project).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let jobs = stage.work_off(vec![job(serde_json::json!([261]), NOW)], NOW).await;
    assert_eq!(jobs[0].state, JobState::Succeeded, "{:?}", jobs[0].reason);
    assert_eq!(projects().await, ["261"]);
    let whole = fanout::job("o", &ProjectSpikes::new("o", NOW.plus(1).start())).unwrap();
    stage.work_off(vec![whole], NOW.plus(1)).await;
    assert_eq!(projects().await, ["261", "262", "o"]);
    let jobs = stage.work_off(vec![job(serde_json::json!(["261", "999"]), NOW.plus(2))], NOW.plus(2)).await;
    assert_eq!(jobs[0].state, JobState::Failed);
    assert!(
        format!("{:?}", jobs[0].reason).contains("organization o has no project 999"),
        "{:?}",
        jobs[0].reason
    );
    assert_eq!(projects().await, ["261", "262", "o"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_a_projection_for_each_hour_of_the_week_to_come() {
    let stage = Stage::with_a_week_of_usage().await;
    let jobs = stage.run(&["o"], NOW).await;
    assert_eq!(jobs[0].state, JobState::Succeeded, "{:?}", jobs[0].reason);
    let rows = stage.store.projections.of("o", None).await.unwrap();
    assert_eq!((rows.len(), rows[0].generation, rows[0].expected), (168, NOW, 100.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_known_is_skipped_with_its_reason_and_the_projection_before_is_kept() {
    let stage = Stage::with_a_week_of_usage().await;
    stage.run(&["o"], NOW).await;
    let jobs = stage.run(&["o"], NOW.plus(100)).await;
    assert_eq!(jobs[0].state, JobState::Skipped);
    assert!(jobs[0].reason.as_deref().unwrap().contains("only 68 of the 168 hours"), "{:?}", jobs[0].reason);
    let kept = stage.store.projections.of("o", None).await.unwrap();
    assert_eq!((kept.len(), kept[0].generation, kept[0].stale.is_some()), (168, NOW, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_is_not_there_fails_at_its_first_attempt() {
    let stage = Stage::with_a_week_of_usage().await;
    let jobs = stage.run(&["nobody"], NOW).await;
    assert_eq!((jobs[0].state, jobs[0].attempt), (JobState::Failed, 1));
    assert!(jobs[0].reason.as_deref().unwrap().contains("there is no organization nobody"));
}

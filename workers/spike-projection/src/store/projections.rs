//! Projections as they are stored: the same written twice is once, and nothing older replaces what is newer.
//!
//! An organization's projection is replaced as a whole, in one transaction: there is never a part of one.

use std::time::Duration;

use async_trait::async_trait;
use lockgate::embedded::{Database, Doing, Write};
use lockgate::{EngineError, Fence, Timestamp};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::{count, integer, sql, to_json, word};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{ALGORITHM_VERSION, Expectation, Projection, Reason, Rules};

/// The tables `projected`, `projected_series` and `projected_hours`, and the view `projections` over them.
#[derive(Debug, Clone)]
pub struct Projections {
    database: Database,
}

/// Where a projection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// The hour that it was projected from.
    pub generation: Hour,
    /// The fence of the job that made it: of one generation the larger wins.
    pub fence: Fence,
    /// How it was made.
    pub rules: &'a Rules,
}

/// What became of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It is the organization's projection now.
    Yes,
    /// A newer one is stored, or the organization is gone: nothing was changed.
    Superseded,
}

/// One stored row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredProjection {
    /// The project's id.
    pub project: String,
    /// The category.
    pub category: Category,
    /// The hour it is for.
    pub hour: Hour,
    /// The usage to be expected.
    pub expected: f64,
    /// Above this it is a spike.
    pub limit: u64,
    /// Below this no limit is set.
    pub floor: u64,
    /// By how much usage may exceed what is expected.
    pub multiplier: f64,
    /// What the limit comes from.
    pub reason: String,
    /// The hour that it was projected from.
    pub generation: Hour,
    /// How the expected usage was made.
    pub method: String,
    /// Hours looked back.
    pub window: u32,
    /// Version of the algorithm.
    pub version: u32,
    /// Hours of the window of which something was known.
    pub samples: u32,
    /// When it was computed, milliseconds since 1970.
    pub computed_at: Timestamp,
    /// Why a later run could not replace it.
    pub stale: Option<String>,
}

/// How well the active organizations are covered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// The hour that was asked for.
    pub hour: Hour,
    /// Active organizations with an active subscription.
    pub active: u64,
    /// Those whose projection is of this hour.
    pub covered: u64,
    /// Those that keep an older one because a run could not replace it.
    pub stale: u64,
    /// Those that have none.
    pub missing: u64,
    /// Covered by active; 1 when nobody is active.
    pub coverage: f64,
    /// Age of the oldest stored projection, in seconds.
    pub freshness_seconds: Option<u64>,
}

impl Projections {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Makes these the projections of the organization, and removes what it had besides, unless a newer one is there.
    ///
    /// # Errors
    /// When the database cannot be written: nothing was changed.
    pub async fn replace(
        &self,
        organization: &str,
        from: Provenance<'_>,
        projections: &[Projection],
    ) -> Result<Replaced, EngineError> {
        let series: Vec<_> = projections.iter().map(series).collect();
        let replace = Replace {
            organization: organization.to_owned(),
            generation: from.generation,
            fence: integer(from.fence.0),
            rules: from.rules.clone(),
            now: self.database.now(),
            series: to_json(&series).doing(REPLACING)?,
        };
        self.database.write(REPLACING, replace).await
    }

    /// Says that the run for this hour could not replace what the organization has, and why.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn mark_stale(&self, organization: &str, hour: Hour, why: &str) -> Result<(), EngineError> {
        let mark = MarkStale { organization: organization.to_owned(), hour, why: why.to_owned() };
        self.database.write(MARKING, mark).await
    }

    /// The stored rows of an organization, of one project alone when it is named.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(
        &self,
        organization: &str,
        project: Option<&str>,
    ) -> Result<Vec<StoredProjection>, EngineError> {
        let query = sqlx::query(sql!("projections/show")).bind(organization).bind(project);
        let rows = query.fetch_all(self.database.reader()).await.doing(READING)?;
        rows.iter().map(stored).collect::<sqlx::Result<_>>().doing(READING)
    }

    /// How well the active organizations are covered in this hour.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn coverage(&self, hour: Hour) -> Result<Coverage, EngineError> {
        let query = sqlx::query(sql!("projections/coverage")).bind(hour.0);
        let row = query.fetch_one(self.database.reader()).await.doing(READING)?;
        let (active, covered) =
            (count(&row, "active").doing(READING)?, count(&row, "covered").doing(READING)?);
        let oldest: Option<i64> = row.try_get("oldest").doing(READING)?;
        Ok(Coverage {
            hour,
            active,
            covered,
            stale: count(&row, "stale").doing(READING)?,
            missing: count(&row, "missing").doing(READING)?,
            coverage: share(covered, active),
            freshness_seconds: oldest
                .map(|at| self.database.now().since(Timestamp(at)))
                .map(|age: Duration| age.as_secs()),
        })
    }
}

const REPLACING: &str = "storing projections";
const MARKING: &str = "marking a projection stale";
const READING: &str = "reading projections";

struct Replace {
    organization: String,
    generation: Hour,
    fence: i64,
    rules: Rules,
    now: Timestamp,
    series: String,
}

#[async_trait]
impl Write for Replace {
    type Output = Replaced;

    async fn run(&self, transaction: &mut SqliteConnection) -> Result<Replaced, EngineError> {
        let Some(organization) = self.claim(transaction).await.doing(REPLACING)? else {
            return Ok(Replaced::Superseded);
        };
        self.write(transaction, organization).await.doing(REPLACING)?;
        Ok(Replaced::Yes)
    }
}

impl Replace {
    async fn claim(&self, transaction: &mut SqliteConnection) -> sqlx::Result<Option<i64>> {
        sqlx::query_scalar(sql!("projections/claim"))
            .bind(&self.organization)
            .bind(self.generation.0)
            .bind(self.fence)
            .bind(self.rules.method.as_str())
            .bind(self.rules.look_back)
            .bind(ALGORITHM_VERSION)
            .bind(self.now.0)
            .fetch_optional(transaction)
            .await
    }

    async fn write(&self, transaction: &mut SqliteConnection, organization: i64) -> sqlx::Result<()> {
        let drop_series = sqlx::query(sql!("projections/drop_series"));
        drop_series.bind(organization).bind(&self.series).execute(&mut *transaction).await?;
        let put_series = sqlx::query(sql!("projections/put_series"));
        put_series.bind(organization).bind(&self.series).execute(&mut *transaction).await?;
        let put_hours = sqlx::query(sql!("projections/put_hours")).bind(organization).bind(&self.series);
        put_hours.bind(self.generation.0).execute(&mut *transaction).await?;
        let drop_past = sqlx::query(sql!("projections/drop_past"));
        drop_past.bind(organization).bind(self.generation.0).execute(&mut *transaction).await?;
        Ok(())
    }
}

struct MarkStale {
    organization: String,
    hour: Hour,
    why: String,
}

#[async_trait]
impl Write for MarkStale {
    type Output = ();

    async fn run(&self, transaction: &mut SqliteConnection) -> Result<(), EngineError> {
        let mark = sqlx::query(sql!("projections/mark_stale")).bind(&self.organization).bind(self.hour.0);
        mark.bind(&self.why).execute(transaction).await.doing(MARKING)?;
        Ok(())
    }
}

/// Project, category, floor, multiplier, samples, and for each hour: expected usage, limit, reason.
type SeriesColumns<'a> = (&'a str, i64, i64, f64, u32, Vec<(f64, i64, i64)>);

fn series(projection: &Projection) -> SeriesColumns<'_> {
    let hour = |hour: &Expectation| {
        let reason = match hour.reason {
            Reason::Floor => 1,
            Reason::Usage => 2,
        };
        (thousandths(hour.expected), integer(hour.limit), reason)
    };
    (
        &projection.project,
        projection.category.number(),
        integer(projection.floor),
        projection.multiplier,
        projection.samples,
        projection.hours.iter().map(hour).collect(),
    )
}

/// Stored to a thousandth: shorter, and more than anybody reads.
fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn share(part: u64, whole: u64) -> f64 {
    use crate::projection::number::float;
    if whole == 0 { 1.0 } else { float(part) / float(whole) }
}

fn stored(row: &SqliteRow) -> sqlx::Result<StoredProjection> {
    Ok(StoredProjection {
        project: row.try_get("project")?,
        category: word(row, "category")?,
        hour: Hour(row.try_get("hour")?),
        expected: row.try_get("expected")?,
        limit: count(row, "spike_limit")?,
        floor: count(row, "floor")?,
        multiplier: row.try_get("multiplier")?,
        reason: row.try_get("reason")?,
        generation: Hour(row.try_get("generation")?),
        method: row.try_get("method")?,
        window: row.try_get("look_back")?,
        version: row.try_get("version")?,
        samples: row.try_get("samples")?,
        computed_at: Timestamp(row.try_get("computed_at")?),
        stale: row.try_get("stale")?,
    })
}

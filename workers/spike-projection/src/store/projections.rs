//! Stored projections. Writing the same projection twice changes nothing, and an older projection does not
//! replace a newer one.
//!
//! The projection of an organization is replaced in one transaction, so readers see the old or the new one.

use lockgate::{EngineError, Fence, Timestamp};
use serde::Serialize;

use super::columns::{Columns, count, integer, word};
use super::{postgres, sqlite};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Expectation, Projection, Reason, Rules};

/// The tables `projected`, `projected_series` and `projected_hours`, and the view `projections` over them.
#[derive(Debug, Clone)]
pub struct Projections {
    tables: Tables,
}

#[derive(Debug, Clone)]
enum Tables {
    Sqlite(sqlite::projections::Tables),
    Postgres(postgres::projections::Tables),
}

/// The origin of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// First projected hour. A newer generation replaces an older one.
    pub generation: Hour,
    /// Fence of the execution that computed it. Within a generation the larger fence wins.
    pub fence: Fence,
    /// Rules by which it was computed.
    pub rules: &'a Rules,
}

/// Some projects of an organization, and their projections.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProjectSubset<'a> {
    pub(super) projects: &'a [String],
    pub(super) projections: &'a [Projection],
}

/// The result of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The projection was stored.
    Yes,
    /// Nothing was changed: a newer projection is stored, or the organization does not exist.
    Superseded,
}

/// One stored row: the projection of one hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredProjection {
    /// Id of the project.
    pub project: String,
    /// Category of the projection.
    pub category: Category,
    /// Projected hour.
    pub hour: Hour,
    /// Expected usage.
    pub expected: f64,
    /// Usage above this limit is a spike.
    pub limit: u64,
    /// Lower bound of the limit.
    pub floor: u64,
    /// Factor between expected usage and limit.
    pub multiplier: f64,
    /// What determined the limit: `floor` or `usage`.
    pub reason: String,
    /// First projected hour of the run that stored it.
    pub generation: Hour,
    /// Method by which expected usage was computed.
    pub method: String,
    /// Hours of the look-back.
    pub window: u32,
    /// Version of the algorithm.
    pub version: u32,
    /// Hours of the look-back whose usage was known.
    pub samples: u32,
    /// Time of the computation, in milliseconds since 1970.
    pub computed_at: Timestamp,
    /// Reason why a later run could not replace it; `None` if it is current.
    pub stale: Option<String>,
}

/// How many active organizations have a current projection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// The hour in question.
    pub hour: Hour,
    /// Active organizations with an active subscription.
    pub active: u64,
    /// Organizations whose projection is of this hour.
    pub covered: u64,
    /// Organizations that keep an older projection because a run could not replace it.
    pub stale: u64,
    /// Organizations without any projection.
    pub missing: u64,
    /// Share of covered organizations; 1 if there are no active ones.
    pub coverage: f64,
    /// Age of the oldest stored projection, in seconds; `None` if there is none.
    pub freshness_seconds: Option<u64>,
}

impl Projections {
    /// Replaces all projections of the organization, unless a newer one is stored.
    ///
    /// # Errors
    /// When the database cannot be written: nothing was changed.
    pub async fn replace(
        &self,
        organization: &str,
        from: Provenance<'_>,
        projections: &[Projection],
    ) -> Result<Replaced, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.replace(organization, from, projections).await,
            Tables::Postgres(tables) => tables.replace(organization, from, projections).await,
        }
    }

    /// Replaces the projections of these projects alone, unless a newer one of the organization is stored.
    /// The organization keeps its generation, so that a run for the same hour still replaces all projects.
    ///
    /// # Errors
    /// When the database cannot be written: nothing was changed.
    pub async fn replace_projects(
        &self,
        organization: &str,
        from: Provenance<'_>,
        projects: &[String],
        projections: &[Projection],
    ) -> Result<Replaced, EngineError> {
        let of_projects = |projection: &&Projection| projects.contains(&projection.project);
        let projections: Vec<Projection> = projections.iter().filter(of_projects).cloned().collect();
        let subset = ProjectSubset { projects, projections: &projections };
        match &self.tables {
            Tables::Sqlite(tables) => tables.replace_projects(organization, from, subset).await,
            Tables::Postgres(tables) => tables.replace_projects(organization, from, subset).await,
        }
    }

    /// Records that the stored projection is stale: the run for this hour could not replace it, for this
    /// reason.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn mark_stale(&self, organization: &str, hour: Hour, why: &str) -> Result<(), EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.mark_stale(organization, hour, why).await,
            Tables::Postgres(tables) => tables.mark_stale(organization, hour, why).await,
        }
    }

    /// Returns the stored rows of an organization, or of one of its projects.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(
        &self,
        organization: &str,
        project: Option<&str>,
    ) -> Result<Vec<StoredProjection>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.of(organization, project).await,
            Tables::Postgres(tables) => tables.of(organization, project).await,
        }
    }

    /// Returns how many active organizations have a projection of this hour.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn coverage(&self, hour: Hour) -> Result<Coverage, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.coverage(hour).await,
            Tables::Postgres(tables) => tables.coverage(hour).await,
        }
    }
}

impl From<sqlite::projections::Tables> for Projections {
    fn from(tables: sqlite::projections::Tables) -> Self {
        Self { tables: Tables::Sqlite(tables) }
    }
}

impl From<postgres::projections::Tables> for Projections {
    fn from(tables: postgres::projections::Tables) -> Self {
        Self { tables: Tables::Postgres(tables) }
    }
}

pub(super) const REPLACING: &str = "storing projections";
pub(super) const MARKING: &str = "marking a projection stale";
pub(super) const READING: &str = "reading projections";

/// The columns of a series: project, category, floor, multiplier, samples, and for each hour expected usage,
/// limit and reason.
pub(super) type SeriesColumns<'a> = (&'a str, i64, i64, f64, u32, Vec<(f64, i64, i64)>);

pub(super) fn series(projection: &Projection) -> SeriesColumns<'_> {
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

/// Rounds to a thousandth, which is shorter and precise enough.
fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// Converts the row of `projections/coverage`. The databases return ages in different ways.
pub(super) fn coverage(row: &dyn Columns, hour: Hour, age: Option<u64>) -> sqlx::Result<Coverage> {
    let (active, covered) = (count(row, "active")?, count(row, "covered")?);
    Ok(Coverage {
        hour,
        active,
        covered,
        stale: count(row, "stale")?,
        missing: count(row, "missing")?,
        coverage: share(covered, active),
        freshness_seconds: age,
    })
}

fn share(part: u64, whole: u64) -> f64 {
    use crate::projection::number::float;
    if whole == 0 { 1.0 } else { float(part) / float(whole) }
}

/// Converts a row of `projections/show`.
pub(super) fn stored(row: &dyn Columns) -> sqlx::Result<StoredProjection> {
    Ok(StoredProjection {
        project: row.text("project")?,
        category: word(row, "category")?,
        hour: Hour(row.number("hour")?),
        expected: row.real("expected")?,
        limit: count(row, "spike_limit")?,
        floor: count(row, "floor")?,
        multiplier: row.real("multiplier")?,
        reason: row.text("reason")?,
        generation: Hour(row.number("generation")?),
        method: row.text("method")?,
        window: count(row, "look_back")?,
        version: count(row, "version")?,
        samples: count(row, "samples")?,
        computed_at: Timestamp(row.number("computed_at")?),
        stale: row.maybe_text("stale")?,
    })
}

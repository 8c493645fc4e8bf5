//! Projections as they are stored: the same written twice is once, and nothing older replaces what is newer.
//!
//! An organization's projection is replaced as a whole, in one transaction: there is never a part of one.

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

/// Some projects of an organization, and what is projected for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) projects: &'a [String],
    pub(super) projections: &'a [Projection],
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
        match &self.tables {
            Tables::Sqlite(tables) => tables.replace(organization, from, projections).await,
            Tables::Postgres(tables) => tables.replace(organization, from, projections).await,
        }
    }

    /// Replaces the projections of these projects alone, unless a newer one of the organization is there. The organization keeps
    /// its generation, so that a run for the same hour still replaces all of it.
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
        let part = Part { projects, projections: &projections };
        match &self.tables {
            Tables::Sqlite(tables) => tables.replace_projects(organization, from, part).await,
            Tables::Postgres(tables) => tables.replace_projects(organization, from, part).await,
        }
    }

    /// Says that the run for this hour could not replace what the organization has, and why.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn mark_stale(&self, organization: &str, hour: Hour, why: &str) -> Result<(), EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.mark_stale(organization, hour, why).await,
            Tables::Postgres(tables) => tables.mark_stale(organization, hour, why).await,
        }
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
        match &self.tables {
            Tables::Sqlite(tables) => tables.of(organization, project).await,
            Tables::Postgres(tables) => tables.of(organization, project).await,
        }
    }

    /// How well the active organizations are covered in this hour.
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

/// Project, category, floor, multiplier, samples, and for each hour: expected usage, limit, reason.
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

/// Stored to a thousandth: shorter, and more than anybody reads.
fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// From the row of `projections/coverage`, whose ages each database gives in its own way.
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

/// From a row of `projections/show`.
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

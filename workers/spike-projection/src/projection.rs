//! Computes the usage to expect of each project, and the limit above which usage is a spike.
//!
//! This is a pure function of one organization and its usage. It reads no clock and no store, so the same
//! input yields the same rows everywhere. All hours are in UTC; the width of the kernel absorbs a change to
//! daylight saving time.

pub mod expected;
pub(crate) mod number;
pub mod window;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::category::Category;
use crate::hour::Hour;
use number::{ceil, float};
use window::Window;

/// Version of the algorithm. Increment it when the same input would yield other rows. Stored with each
/// projection.
pub const ALGORITHM_VERSION: i64 = 1;

/// Number of projected hours, starting with the current one: one week.
pub const HORIZON: i64 = 168;

/// Quotas cover 30 days.
const HOURS_PER_QUOTA: u64 = 720;

/// The properties of an organization that its projections depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organization {
    /// Id of the organization.
    pub id: String,
    /// Whether the organization is on trial. Trials have no projections.
    pub trial: bool,
    /// All projects, including disabled ones.
    pub projects: Vec<Project>,
    /// Allowed usage in 30 days, by category. A category without a quota is unlimited and has no projection.
    pub quotas: BTreeMap<Category, u64>,
}

/// A project of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Id of the project, unique among all organizations.
    pub id: String,
    /// Whether the project is enabled. Disabled projects have no projections.
    pub active: bool,
    /// Hour in which the project was created, if known. Earlier usage is unknown, not zero.
    pub created: Option<Hour>,
}

/// The usage of one organization in a range of hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Hours in which the pipeline recorded data of any organization. In these hours a missing count means
    /// zero.
    pub known: BTreeSet<Hour>,
    /// Counts by project and category.
    pub series: BTreeMap<(String, Category), Vec<Count>>,
}

/// The usage of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Hour of the count.
    pub hour: Hour,
    /// Accepted usage.
    pub accepted: u64,
    /// Dropped usage, for example above an earlier limit. The older it is, the less it counts.
    pub dropped: u64,
}

/// The parameters of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How expected usage is computed from the past.
    pub method: Method,
    /// Hours of the past that are used, in whole weeks.
    pub look_back: i64,
    /// Lowest floor of a limit, by category.
    pub plan_minimum: PlanMinimum,
    /// A quota is divided among at most this many projects.
    pub sharing_projects: u64,
}

/// The lowest floor of an hourly limit, by category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PlanMinimum {
    /// Error events per hour.
    pub errors: u64,
    /// Transactions per hour.
    pub transactions: u64,
    /// Bytes of attachments per hour.
    pub attachments: u64,
}

/// How the expected usage of an hour is computed from the past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Weighted mean of the last week. Near hours of the day and the same weekday weigh more.
    #[default]
    Kernel,
    /// Median of the same hour of the week over the last four weeks.
    Median,
}

impl Method {
    /// Returns the hours of the past that the method is designed for.
    #[must_use]
    pub fn look_back(self) -> i64 {
        match self {
            Self::Kernel => 168,
            Self::Median => 672,
        }
    }

    /// Returns the name in the config and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Median => "median",
        }
    }
}

impl PlanMinimum {
    /// Returns the minimum of this category.
    #[must_use]
    pub fn of(&self, category: Category) -> u64 {
        match category {
            Category::Errors => self.errors,
            Category::Transactions => self.transactions,
            Category::Attachments => self.attachments,
        }
    }
}

impl Default for PlanMinimum {
    fn default() -> Self {
        Self { errors: 500, transactions: 1_000, attachments: 1_000_000 }
    }
}

impl Rules {
    /// Returns the rules of this method with defaults for everything else.
    #[must_use]
    pub fn of(method: Method) -> Self {
        let look_back = method.look_back();
        Self { method, look_back, plan_minimum: PlanMinimum::default(), sharing_projects: 5 }
    }
}

/// The projection of one category of one project.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Id of the project.
    pub project: String,
    /// Projected category.
    pub category: Category,
    /// Lower bound of all limits.
    pub floor: u64,
    /// Factor between expected usage and limit, 3 to 6.
    pub multiplier: f64,
    /// Hours of the look-back whose usage is known.
    pub samples: u32,
    /// Projected hours, consecutive.
    pub hours: Vec<Expectation>,
}

/// The projection of one hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// Projected hour.
    pub hour: Hour,
    /// Expected usage.
    pub expected: f64,
    /// Usage above this limit is a spike.
    pub limit: u64,
    /// What determined the limit.
    pub reason: Reason,
}

/// What determined a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The floor, because it is higher than the tolerated usage.
    Floor,
    /// The expected usage times the multiplier.
    Usage,
}

/// Too little of the look-back is known for a projection. An earlier projection is better than a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("usage is known for only {known} of the {look_back} hours before {now}")]
pub struct TooLittleKnown {
    /// Hours of the look-back whose usage is known.
    pub known: i64,
    /// Hours of the look-back.
    pub look_back: i64,
    /// First projected hour.
    pub now: Hour,
}

/// Projects the usage of an organization for the hours from `now`, ordered by project and category.
///
/// Trials, disabled projects and unlimited categories are not in the result: they have no projection.
///
/// # Errors
/// When more than half of the look-back is unknown.
pub fn project(
    organization: &Organization,
    usage: &Usage,
    now: Hour,
    rules: &Rules,
) -> Result<Vec<Projection>, TooLittleKnown> {
    let mut projects: Vec<&Project> = organization.projects.iter().filter(|p| p.active).collect();
    if organization.trial || projects.is_empty() || organization.quotas.is_empty() {
        return Ok(Vec::new());
    }
    check_known_hours(usage, now, rules)?;
    projects.sort_by(|a, b| a.id.cmp(&b.id));
    let count = u64::try_from(projects.len()).unwrap_or(u64::MAX);
    let of_project = |project: &Project| {
        let of_category = |(&category, &quota): (&Category, &u64)| {
            let window = Window::of(project, category, usage, now, rules.look_back);
            let floor = floor(rules, category, quota, count);
            project_series((project, category), &window, floor, now, rules.method)
        };
        organization.quotas.iter().map(of_category).collect::<Vec<_>>()
    };
    Ok(projects.into_iter().flat_map(of_project).collect())
}

/// Rejects usage of which the pipeline missed too much. Hours before a project existed do not count as
/// missed.
fn check_known_hours(usage: &Usage, now: Hour, rules: &Rules) -> Result<(), TooLittleKnown> {
    let look_back = rules.look_back;
    let known = usage.known.range(now.plus(-look_back)..now).count();
    let known = i64::try_from(known).unwrap_or(i64::MAX);
    if known.saturating_mul(2) < look_back {
        return Err(TooLittleKnown { known, look_back, now });
    }
    Ok(())
}

/// Returns three times the even hourly share of the quota, but at least the plan's minimum.
fn floor(rules: &Rules, category: Category, quota: u64, projects: u64) -> u64 {
    let minimum = rules.plan_minimum.of(category);
    let sharing = projects.clamp(1, rules.sharing_projects.max(1));
    let share = u128::from(quota) * 3 / u128::from(HOURS_PER_QUOTA * sharing);
    minimum.max(u64::try_from(share).unwrap_or(u64::MAX))
}

fn project_series(
    (project, category): (&Project, Category),
    window: &Window,
    floor: u64,
    now: Hour,
    method: Method,
) -> Projection {
    let multiplier = window.multiplier();
    let expected = expected::of(method, window);
    let hours = now.until(now.plus(HORIZON)).map(|hour| {
        let expected = expected.at(hour);
        let (limit, reason) = limit(floor, expected * multiplier);
        Expectation { hour, expected, limit, reason }
    });
    Projection {
        project: project.id.clone(),
        category,
        floor,
        multiplier,
        samples: window.samples(),
        hours: hours.collect(),
    }
}

fn limit(floor: u64, tolerated: f64) -> (u64, Reason) {
    if tolerated > float(floor) {
        (ceil(tolerated).max(1), Reason::Usage)
    } else {
        (floor.max(1), Reason::Floor)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

//! What usage is to be expected of each project, and above which limit it is a spike.
//!
//! A pure function of one organization and its usage: it reads no clock and no store, and the same input gives the
//! same rows wherever it runs. Everything is in UTC; the width of the kernel absorbs a change to summer time.

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

/// Grows when the same input would give other rows. Stored with each projection.
pub const ALGORITHM_VERSION: i64 = 1;

/// How many hours are projected, the current one first: one week.
pub const HORIZON: i64 = 168;

/// Quotas are for 30 days.
const HOURS_OF_A_QUOTA: u64 = 720;

/// An organization as far as its projections depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: String,
    /// Whether it is on trial: nothing is projected for it.
    pub trial: bool,
    /// Its projects.
    pub projects: Vec<Project>,
    /// What it may use in 30 days, by category. A category without a quota is unlimited: nothing is projected.
    pub quotas: BTreeMap<Category, u64>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Whether it is enabled: nothing is projected for one that is not.
    pub active: bool,
    /// The hour in which it was made, when that is known. What came before it is unknown, not zero.
    pub created: Option<Hour>,
}

/// The usage of one organization over a stretch of hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The hours in which the pipeline had data of any organization. In these an absent row means zero.
    pub known: BTreeSet<Hour>,
    /// What was counted, by project and category.
    pub series: BTreeMap<(String, Category), Vec<Count>>,
}

/// What was counted in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Which hour.
    pub hour: Hour,
    /// Taken in.
    pub accepted: u64,
    /// Turned away, for example by an earlier limit: it counts less the older it is.
    pub dropped: u64,
}

/// How usage is projected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How the expected usage is made from the past.
    pub method: Method,
    /// How many hours it looks back, whole weeks.
    pub look_back: i64,
    /// The lowest floor of a limit, by category.
    pub plan_minimum: PlanMinimum,
    /// Among at most so many projects a quota is thought to be shared.
    pub sharing_projects: u64,
}

/// The lowest floor of a limit, in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PlanMinimum {
    /// Error events.
    pub errors: u64,
    /// Transactions.
    pub transactions: u64,
    /// Bytes of attachments.
    pub attachments: u64,
}

/// How the expected usage of an hour is made from the past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The weighted mean of the last week, near hours of the day and the same weekday first.
    #[default]
    Kernel,
    /// The median of the same hour of the week over the last four weeks.
    Median,
}

impl Method {
    /// How many hours it is made to look back.
    #[must_use]
    pub fn look_back(self) -> i64 {
        match self {
            Self::Kernel => 168,
            Self::Median => 672,
        }
    }

    /// Its name in the config and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Median => "median",
        }
    }
}

impl PlanMinimum {
    /// The minimum of this category.
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
    /// The rules of this method, with the defaults of all else.
    #[must_use]
    pub fn of(method: Method) -> Self {
        let look_back = method.look_back();
        Self { method, look_back, plan_minimum: PlanMinimum::default(), sharing_projects: 5 }
    }
}

/// What is projected for one category of one project.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The project's id.
    pub project: String,
    /// The category.
    pub category: Category,
    /// Below this no limit is ever set.
    pub floor: u64,
    /// By how much usage may exceed what is expected, 3 to 6.
    pub multiplier: f64,
    /// Hours of the look-back of which something was known.
    pub samples: u32,
    /// The hours to come, without a gap.
    pub hours: Vec<Expectation>,
}

/// What is projected for one hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// Which hour.
    pub hour: Hour,
    /// The usage that is to be expected.
    pub expected: f64,
    /// Above this it is a spike.
    pub limit: u64,
    /// What the limit comes from.
    pub reason: Reason,
}

/// What a limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The floor.
    Floor,
    /// The expected usage.
    Usage,
}

/// Too much of the look-back is unknown to say anything: an earlier projection is better than a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("usage is known for only {known} of the {look_back} hours before {now}")]
pub struct TooLittleKnown {
    /// Hours of which something is known.
    pub known: i64,
    /// Hours looked back.
    pub look_back: i64,
    /// The hour that was projected from.
    pub now: Hour,
}

/// Projects the usage of an organization for the hours from `now`, by project and category, in the order of both.
///
/// What is not in the answer is to have no projection: of trials, of disabled projects, of unlimited categories.
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
    enough_is_known(usage, now, rules)?;
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

/// What is unknown here is the pipeline's fault. Hours before a project existed are no reason to keep its old rows.
fn enough_is_known(usage: &Usage, now: Hour, rules: &Rules) -> Result<(), TooLittleKnown> {
    let look_back = rules.look_back;
    let known = usage.known.range(now.plus(-look_back)..now).count();
    let known = i64::try_from(known).unwrap_or(i64::MAX);
    if known.saturating_mul(2) < look_back {
        return Err(TooLittleKnown { known, look_back, now });
    }
    Ok(())
}

/// Three times the even share of an hour in the quota, never below the plan's minimum.
fn floor(rules: &Rules, category: Category, quota: u64, projects: u64) -> u64 {
    let minimum = rules.plan_minimum.of(category);
    let sharing = projects.clamp(1, rules.sharing_projects.max(1));
    let share = u128::from(quota) * 3 / u128::from(HOURS_OF_A_QUOTA * sharing);
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

//! `projections`: show stored projections and how many organizations have a current one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::Timestamp;
use lockgate_cli::{Command, CommandContext, Exit, Problem, Style, times};
use serde::Serialize;

use super::plot;
use crate::category::Category;
use crate::hour::Hour;
use crate::program;
use crate::projection::Usage;
use crate::store::{Coverage, Store, StoredProjection};

/// The command `projections`.
pub struct Projections;

#[derive(Debug, Subcommand)]
enum ProjectionsCommand {
    /// Show the projections of an organization
    Show(Show),
    /// Show how many active organizations have a projection of this hour; exit 1 if not all have one
    Coverage(CoverageArgs),
}

#[derive(Debug, Args)]
struct Show {
    /// Id of the organization
    organization: String,

    /// Show only this project
    #[arg(long, value_name = "ID")]
    project: Option<String>,

    /// Draw usage, expected usage and limit
    #[arg(long)]
    plot: bool,
}

#[derive(Debug, Args)]
struct CoverageArgs {
    /// The hour: 2026-11-22T09, RFC 3339 on the hour, or now
    #[arg(long, value_name = "HOUR", default_value = "now", value_parser = times::parse_hour)]
    as_of: Timestamp,
}

#[derive(Debug, Serialize)]
struct Shown {
    organization_id: String,
    projections: Vec<StoredProjection>,
}

type SeriesKey<'a> = (&'a str, Category);

#[async_trait]
impl Command for Projections {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("projections").about("Show projections and their coverage");
        ProjectionsCommand::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(
                "Examples:\n  {bin} projections show demo-00001 --plot\n      usage, expected usage and limit\n  {bin} \
                projections coverage\n      active organizations with a projection of this hour\n",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &CommandContext) -> anyhow::Result<Exit> {
        match ProjectionsCommand::from_arg_matches(matches)? {
            ProjectionsCommand::Show(arguments) => show(arguments, session).await,
            ProjectionsCommand::Coverage(CoverageArgs { as_of }) => coverage(Hour::of(as_of), session).await,
        }
    }
}

async fn show(arguments: Show, session: &CommandContext) -> anyhow::Result<Exit> {
    let Show { organization, project, plot } = arguments;
    let store = program::store(session.lockgate().await?);
    let projections = store.projections.of(&organization, project.as_deref()).await?;
    if projections.is_empty() {
        return Err(explain_empty(&store, &organization, project.as_deref()).await?.into());
    }
    let past = if plot { Some(past(&store, &organization, &projections).await?) } else { None };
    let shown = Shown { organization_id: organization, projections };
    session.terminal().show(&shown, |look| shown.text(look, past.as_ref()))?;
    Ok(Exit::Ok)
}

/// Explains why there is no projection, with a hint what to do.
async fn explain_empty(store: &Store, id: &str, project: Option<&str>) -> anyhow::Result<Problem> {
    let Some(organization) = store.organizations.find(id).await? else {
        return Ok(Problem::not_found(format!("there is no organization {id:?}; `orgs list` shows all")));
    };
    if let Some(project) = project.filter(|project| !organization.projects.iter().any(|p| p.id == *project)) {
        let text = format!("organization {id:?} has no project {project:?}; omit --project to see all");
        return Ok(Problem::not_found(text));
    }
    let text = format!(
        "organization {id:?} has no projection; create it with `enqueue` and `work`. It needs a quota and an \
        active project, and must not be on trial"
    );
    Ok(Problem::not_found(text))
}

async fn past(store: &Store, organization: &str, projections: &[StoredProjection]) -> anyhow::Result<Usage> {
    let now = projections.first().map_or(Hour(0), |first| first.generation);
    Ok(store.usage.of(organization, now.plus(-plot::PAST)..now).await?)
}

async fn coverage(hour: Hour, session: &CommandContext) -> anyhow::Result<Exit> {
    let coverage = program::store(session.lockgate().await?).projections.coverage(hour).await?;
    session.terminal().show(&coverage, |look| coverage_text(&coverage, look))?;
    Ok(if coverage.covered == coverage.active { Exit::Ok } else { Exit::Negative })
}

fn coverage_text(coverage: &Coverage, look: &Style) -> String {
    let freshness = coverage.freshness_seconds.map(std::time::Duration::from_secs).map(times::human);
    look.pairs(&[
        ("hour", coverage.hour.to_string()),
        ("active organizations", coverage.active.to_string()),
        ("covered", format!("{} ({:.1} %)", coverage.covered, coverage.coverage * 100.0)),
        ("stale", coverage.stale.to_string()),
        ("no projection", coverage.missing.to_string()),
        ("oldest computed", freshness.map_or_else(|| String::from("-"), |age| format!("{age} ago"))),
    ])
}

impl Shown {
    fn text(&self, look: &Style, past: Option<&Usage>) -> String {
        let mut series: BTreeMap<SeriesKey<'_>, Vec<&StoredProjection>> = BTreeMap::new();
        for row in &self.projections {
            series.entry((row.project.as_str(), row.category)).or_default().push(row);
        }
        let section = |(key, rows): (&SeriesKey<'_>, &Vec<&StoredProjection>)| {
            let body = match past {
                Some(usage) => plot::draw(&usage_of(usage, *key), rows, look),
                None => table(rows, look),
            };
            format!("{}\n\n{body}", title(*key, rows))
        };
        series.iter().map(section).collect::<Vec<_>>().join("\n\n")
    }
}

fn usage_of(usage: &Usage, (project, category): SeriesKey<'_>) -> BTreeMap<Hour, u64> {
    let counts = usage.series.get(&(project.to_owned(), category)).into_iter().flatten();
    let counted: BTreeMap<Hour, u64> = counts.map(|count| (count.hour, count.accepted)).collect();
    usage.known.iter().map(|hour| (*hour, counted.get(hour).copied().unwrap_or(0))).collect()
}

fn title((project, category): SeriesKey<'_>, rows: &[&StoredProjection]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let stale = first.stale.as_ref().map(|why| format!("\nstale: {why}")).unwrap_or_default();
    format!(
        "{project}, {category}: from {} by {} {}h, {} samples, floor {}, multiplier {:.2}{stale}",
        first.generation, first.method, first.window, first.samples, first.floor, first.multiplier
    )
}

fn table(rows: &[&StoredProjection], look: &Style) -> String {
    let row = |row: &&StoredProjection| {
        [row.hour.to_string(), format!("{:.1}", row.expected), row.limit.to_string(), row.reason.clone()]
    };
    look.table(["hour", "expected", "limit", "reason"], rows.iter().map(row))
}

//! Cuts organizations out of real series. Each organization is a window of a series, moved in time, with its
//! counts unchanged. Its slug names the series and the window. The result depends only on the number of
//! organizations.

use super::ids::Ids;
use crate::bundled::Series;

/// An organization of the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DemoOrganization {
    /// Id of the organization.
    pub(super) id: String,
    /// The series and the first hour of each window.
    pub(super) slug: String,
    /// One window for each project.
    pub(super) windows: Vec<Window>,
}

/// A window of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Id of the project.
    pub(super) project: String,
    /// Count of each hour, in order.
    pub(super) counts: Vec<u64>,
}

/// Cuts this many organizations, taking the series in turn and spreading the windows of a series evenly. When
/// a series has no unused window, its windows are used again, each time with one more project: a window of
/// the next series.
pub(super) fn cut(series: &[Series], organizations: u32, hours: i64, ids: Ids) -> Vec<DemoOrganization> {
    let hours = usize::try_from(hours).unwrap_or(0);
    let usable: Vec<&Series> = series.iter().filter(|series| series.len() >= hours).collect();
    let count = usize::try_from(organizations).unwrap_or(usize::MAX);
    let each = count.div_ceil(usable.len().max(1));
    let nth = |n: usize| {
        let (turn, index) = (n % usable.len(), n / usable.len());
        let rounds = usable.get(turn).map_or(0, |series| index / windows_of(series, hours));
        let id = ids.organization(n);
        let parts = (0..=rounds).filter_map(|round| {
            let series = usable.get((turn + round) % usable.len())?;
            window_at(series, (index, each), hours)
        });
        let parts: Vec<_> = parts.collect();
        let slug = parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("+");
        let window = |(index, (_, counts)): (usize, (String, Vec<u64>))| {
            let project = ids.project(&id, index);
            Window { project, counts }
        };
        DemoOrganization {
            slug,
            windows: parts.into_iter().enumerate().map(window).collect(),
            id: id.clone(),
        }
    };
    (0..count).map(nth).collect()
}

fn windows_of(series: &Series, hours: usize) -> usize {
    series.len() - hours + 1
}

/// Returns the window with this index of `of` windows, with the name of its series and its first hour.
fn window_at(series: &Series, (index, of): (usize, usize), hours: usize) -> Option<(String, Vec<u64>)> {
    let windows = windows_of(series, hours);
    let offset = if of <= windows { index * windows / of } else { index % windows };
    let counts = series.counts.get(offset..offset + hours)?.to_vec();
    let first = series.hour(offset).to_string();
    Some((format!("{}@{}", series.name, first.trim_end_matches(":00Z")), counts))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bundled;

    #[test]
    fn every_organization_is_a_real_window_named_by_its_slug() {
        let series = bundled::series().unwrap();
        for cut in cut(&series, 1_000, 168, Ids::Texts) {
            assert_eq!(cut.windows.len(), 1);
            let (name, first) = cut.slug.split_once('@').unwrap();
            let series = series.iter().find(|series| series.name == name).unwrap();
            let offset =
                usize::try_from(first.parse::<crate::hour::Hour>().unwrap().since(series.first)).unwrap();
            assert_eq!(cut.windows[0].counts, series.counts[offset..offset + 168]);
        }
    }

    #[test]
    fn a_thousand_organizations_have_distinct_windows() {
        let all = cut(&bundled::series().unwrap(), 1_000, 168, Ids::Texts);
        let slugs: BTreeSet<_> = all.iter().map(|cut| &cut.slug).collect();
        assert_eq!((all.len(), slugs.len()), (1_000, 1_000));
    }

    #[test]
    fn organizations_beyond_the_number_of_windows_have_more_projects() {
        let all = cut(&bundled::series().unwrap(), 20_000, 168, Ids::Texts);
        let slugs: BTreeSet<_> = all.iter().map(|cut| &cut.slug).collect();
        let ids: BTreeSet<_> =
            all.iter().flat_map(|cut| &cut.windows).map(|window| &window.project).collect();
        assert_eq!(slugs.len(), 20_000);
        assert_eq!(ids.len(), all.iter().map(|cut| cut.windows.len()).sum::<usize>());
        assert!(all.iter().any(|cut| cut.windows.len() == 2));
    }

    #[test]
    fn windows_of_four_weeks_can_be_cut() {
        assert!(
            cut(&bundled::series().unwrap(), 100, 672, Ids::Texts)
                .iter()
                .all(|cut| cut.windows[0].counts.len() == 672)
        );
    }
}

//! Organizations out of real series: each is a window of one of them, moved in time, its counts unchanged. Which series
//! and which window, the slug says. The same number of organizations is always cut in the same way.

use super::ids::Ids;
use crate::bundled::Series;

/// An organization of the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Its id.
    pub(super) id: String,
    /// The series and the first hour of the window.
    pub(super) slug: String,
    /// One window for each project.
    pub(super) windows: Vec<Window>,
}

/// A window of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// The id of the project.
    pub(super) project: String,
    /// What was counted, hour by hour.
    pub(super) counts: Vec<u64>,
}

/// Cuts so many organizations, in turn from each series, their windows spread evenly over it. When a series has no other
/// window left, they come again, each time with one more project: a window of the next series.
pub(super) fn cut(series: &[Series], organizations: u32, hours: i64, ids: Ids) -> Vec<Cut> {
    let hours = usize::try_from(hours).unwrap_or(0);
    let usable: Vec<&Series> = series.iter().filter(|series| series.len() >= hours).collect();
    let count = usize::try_from(organizations).unwrap_or(usize::MAX);
    let each = count.div_ceil(usable.len().max(1));
    let nth = |n: usize| {
        let (turn, place) = (n % usable.len(), n / usable.len());
        let rounds = usable.get(turn).map_or(0, |series| place / windows_of(series, hours));
        let id = ids.organization(n);
        let parts = (0..=rounds).filter_map(|round| {
            let series = usable.get((turn + round) % usable.len())?;
            part(series, (place, each), hours)
        });
        let parts: Vec<_> = parts.collect();
        let slug = parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("+");
        let window = |(place, (_, counts)): (usize, (String, Vec<u64>))| {
            let project = ids.project(&id, place);
            Window { project, counts }
        };
        Cut { slug, windows: parts.into_iter().enumerate().map(window).collect(), id: id.clone() }
    };
    (0..count).map(nth).collect()
}

fn windows_of(series: &Series, hours: usize) -> usize {
    series.len() - hours + 1
}

/// The window at this place of so many, with the name of its series and its first hour.
fn part(series: &Series, (place, of): (usize, usize), hours: usize) -> Option<(String, Vec<u64>)> {
    let windows = windows_of(series, hours);
    let offset = if of <= windows { place * windows / of } else { place % windows };
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
    fn every_organization_is_a_real_window_and_its_slug_says_which() {
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
    fn a_thousand_organizations_are_a_thousand_windows() {
        let all = cut(&bundled::series().unwrap(), 1_000, 168, Ids::Texts);
        let slugs: BTreeSet<_> = all.iter().map(|cut| &cut.slug).collect();
        assert_eq!((all.len(), slugs.len()), (1_000, 1_000));
    }

    #[test]
    fn more_organizations_than_windows_are_other_combinations_of_them() {
        let all = cut(&bundled::series().unwrap(), 20_000, 168, Ids::Texts);
        let slugs: BTreeSet<_> = all.iter().map(|cut| &cut.slug).collect();
        let ids: BTreeSet<_> =
            all.iter().flat_map(|cut| &cut.windows).map(|window| &window.project).collect();
        assert_eq!(slugs.len(), 20_000);
        assert_eq!(ids.len(), all.iter().map(|cut| cut.windows.len()).sum::<usize>());
        assert!(all.iter().any(|cut| cut.windows.len() == 2));
    }

    #[test]
    fn four_weeks_are_cut_as_well() {
        assert!(
            cut(&bundled::series().unwrap(), 100, 672, Ids::Texts)
                .iter()
                .all(|cut| cut.windows[0].counts.len() == 672)
        );
    }
}

//! Properties that hold for every organization and every usage.

use proptest::prelude::*;

use super::tests::{organization, usage};
use super::*;

const NOW: Hour = Hour(480_000);

fn rules() -> impl Strategy<Value = Rules> {
    let method = prop_oneof![Just(Method::Kernel), Just(Method::Median)];
    (method, 0..5_000u64).prop_map(|(method, errors)| {
        let plan_minimum = PlanMinimum { errors, ..PlanMinimum::default() };
        Rules { plan_minimum, ..Rules::of(method) }
    })
}

/// One to four weeks; quiet hours are as likely as busy ones.
fn values() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![Just(0), 1..2_000u64, 0..50_000_000u64], 0..700)
}

fn rows(organization: &Organization, usage: &Usage, rules: &Rules) -> Vec<Projection> {
    project(organization, usage, NOW, rules).unwrap()
}

proptest! {
    #[test]
    fn limit_is_at_least_its_floor_and_at_least_one(values in values(), quota in 0..u64::MAX, rules in rules()) {
        for row in &rows(&organization(quota), &usage(&values), &rules) {
            prop_assert!((3.0..=6.0).contains(&row.multiplier));
            for hour in &row.hours {
                prop_assert!(hour.limit >= row.floor.max(1));
                prop_assert!(hour.expected.is_finite() && hour.expected >= 0.0);
            }
        }
    }

    #[test]
    fn scaled_usage_scales_the_expected_usage_and_keeps_the_multiplier(
        values in values(), by in 2..50u64, rules in rules(),
    ) {
        let scaled: Vec<u64> = values.iter().map(|value| value * by).collect();
        let before = rows(&organization(0), &usage(&values), &rules);
        let after = rows(&organization(0), &usage(&scaled), &rules);
        for (a, b) in before.iter().zip(&after) {
            prop_assert!((a.multiplier - b.multiplier).abs() < 1e-9);
            for (x, y) in a.hours.iter().zip(&b.hours) {
                prop_assert!((x.expected * float(by) - y.expected).abs() <= 1e-9 * y.expected.max(1.0));
            }
        }
    }

    #[test]
    fn usage_moved_by_a_week_gives_the_same_projection(values in values(), rules in rules()) {
        let mut later = usage(&values);
        later.known = later.known.into_iter().map(|hour| hour.plus(168)).collect();
        let counts = later.series.values_mut().flatten();
        counts.for_each(|count| count.hour = count.hour.plus(168));
        let before = rows(&organization(7), &usage(&values), &rules);
        let mut after = project(&organization(7), &later, NOW.plus(168), &rules).unwrap();
        after.iter_mut().flat_map(|row| &mut row.hours).for_each(|hour| hour.hour = hour.hour.plus(-168));
        prop_assert_eq!(before, after);
    }

    #[test]
    fn order_of_projects_and_counts_does_not_matter(values in values(), rules in rules()) {
        let mut several = organization(700_000);
        several.projects.extend(["a", "z"].map(|id| Project { id: id.to_owned(), active: true, created: None }));
        let mut usage = usage(&values);
        let before = rows(&several, &usage, &rules);
        several.projects.reverse();
        usage.series.values_mut().for_each(|counts| counts.reverse());
        prop_assert_eq!(before, rows(&several, &usage, &rules));
    }

    #[test]
    fn limits_grow_with_the_quota(values in values(), quota in 0..u64::MAX / 2, more in 0..u64::MAX / 2, rules in rules()) {
        let usage = usage(&values);
        let (small, large) = (organization(quota), organization(quota + more));
        for (a, b) in rows(&small, &usage, &rules).iter().zip(&rows(&large, &usage, &rules)) {
            prop_assert!(a.hours.iter().zip(&b.hours).all(|(x, y)| x.limit <= y.limit));
        }
    }
}

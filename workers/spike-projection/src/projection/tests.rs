//! The edge cases of the projection and its test vectors.

use super::*;

const NOW: Hour = Hour(480_000);

/// An organization with one project that has a quota of errors.
pub(super) fn organization(quota: u64) -> Organization {
    let project = Project { id: "p".to_owned(), active: true, created: None };
    Organization {
        id: "o".to_owned(),
        trial: false,
        projects: vec![project],
        quotas: [(Category::Errors, quota)].into(),
    }
}

/// Usage of project `p` in the hours before `NOW`; the last value is that of the last hour. All hours of four
/// weeks are known.
pub(super) fn usage(values: &[u64]) -> Usage {
    let first = NOW.plus(-i64::try_from(values.len()).unwrap());
    let count = |(hour, &accepted)| Count { hour, accepted, dropped: 0 };
    Usage {
        known: NOW.plus(-672).until(NOW).collect(),
        series: [(("p".to_owned(), Category::Errors), first.until(NOW).zip(values).map(count).collect())]
            .into(),
    }
}

fn without_minimum(method: Method) -> Rules {
    let plan_minimum = PlanMinimum { errors: 0, transactions: 0, attachments: 0 };
    Rules { plan_minimum, ..Rules::of(method) }
}

fn one(organization: &Organization, usage: &Usage, rules: &Rules) -> Projection {
    let mut all = project(organization, usage, NOW, rules).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn floors_of(organization: &Organization) -> Vec<u64> {
    let all = project(organization, &usage(&[]), NOW, &Rules::of(Method::Kernel)).unwrap();
    all.into_iter().map(|projection| projection.floor).collect()
}

#[test]
fn quota_of_500_000_gives_a_floor_of_2083_and_a_fifth_of_it_from_five_projects_on() {
    let mut organization = organization(500_000);
    assert_eq!(floors_of(&organization), [2_083]);
    let more = (1..9).map(|n| Project { id: n.to_string(), active: true, created: None });
    organization.quotas.insert(Category::Errors, 5_000_000);
    organization.projects.extend(more);
    assert_eq!(floors_of(&organization), [3 * 5_000_000 / 3_600; 9]);
}

#[test]
fn disabled_projects_have_no_share_of_a_quota() {
    let mut organization = organization(500_000);
    organization.projects.push(Project { id: "off".to_owned(), active: false, created: None });
    assert_eq!(floors_of(&organization), [2_083]);
}

#[test]
fn limit_is_the_floor_without_usage() {
    let rules = Rules::of(Method::Kernel);
    let projection = one(&organization(500_000), &usage(&[]), &rules);
    assert_eq!(projection.hours.len(), 168);
    assert_eq!(projection.hours[0].hour, NOW);
    for hour in &projection.hours {
        assert_eq!((hour.expected, hour.limit, hour.reason), (0.0, 2_083, Reason::Floor));
    }
}

#[test]
fn hours_before_a_project_existed_are_unknown_not_zero() {
    let mut young = organization(0);
    young.projects[0].created = Some(NOW.plus(-24));
    let projection = one(&young, &usage(&[100; 24]), &without_minimum(Method::Kernel));
    assert_eq!(projection.samples, 24);
    assert!(projection.hours.iter().all(|hour| (hour.expected - 100.0).abs() < 1e-9));
    young.projects[0].created = Some(NOW);
    let unborn = one(&young, &usage(&[]), &Rules::of(Method::Kernel));
    assert_eq!((unborn.samples, unborn.hours[0].limit), (0, 500));
}

#[test]
fn usage_of_zero_causes_no_division_by_zero() {
    let projection = one(&organization(0), &usage(&[0; 168]), &without_minimum(Method::Kernel));
    assert_eq!((projection.multiplier, projection.samples), (3.0, 168));
    assert!(projection.hours.iter().all(|hour| hour.limit == 1 && hour.reason == Reason::Floor));
}

#[test]
fn hour_without_a_count_is_zero_only_if_the_pipeline_had_data() {
    let mut usage = usage(&[]);
    usage.series.insert(
        ("p".to_owned(), Category::Errors),
        NOW.plus(-84).until(NOW).map(|hour| Count { hour, accepted: 10, dropped: 0 }).collect(),
    );
    let rules = without_minimum(Method::Kernel);
    let half_zero = one(&organization(0), &usage, &rules);
    assert_eq!(half_zero.samples, 168);
    usage.known = NOW.plus(-84).until(NOW).collect();
    let half_unknown = one(&organization(0), &usage, &rules);
    assert_eq!(half_unknown.samples, 84);
    assert!((half_unknown.hours[0].expected - 10.0).abs() < 1e-9);
    assert!(half_zero.hours[0].expected < 9.0);
}

#[test]
fn projection_fails_when_more_than_half_of_the_look_back_is_unknown() {
    for (method, half) in [(Method::Kernel, 84), (Method::Median, 336)] {
        let rules = Rules::of(method);
        let mut usage = usage(&[1; 168]);
        usage.known = NOW.plus(-half).until(NOW).collect();
        assert!(project(&organization(1), &usage, NOW, &rules).is_ok());
        usage.known.remove(&NOW.plus(-1));
        let error = project(&organization(1), &usage, NOW, &rules).unwrap_err();
        assert_eq!((error.known, error.look_back), (half - 1, 2 * half));
    }
}

#[test]
fn dropped_usage_counts_less_the_older_it_is() {
    let expected = |age: i64| {
        let mut usage = usage(&[0; 168]);
        let counts = usage.series.get_mut(&("p".to_owned(), Category::Errors)).unwrap();
        counts
            .iter_mut()
            .filter(|count| count.hour == NOW.plus(-age))
            .for_each(|count| count.dropped = 1_000_000);
        let projection = one(&organization(0), &usage, &without_minimum(Method::Kernel));
        projection.hours.iter().map(|hour| hour.expected).sum::<f64>()
    };
    assert!((expected(48) / expected(24) - 0.1).abs() < 1e-3);
    assert!((expected(25) / expected(1) - 0.1).abs() < 1e-3);
}

#[test]
fn current_hour_and_hours_before_the_look_back_are_ignored() {
    let mut usage = usage(&[7; 168]);
    let counts = usage.series.get_mut(&("p".to_owned(), Category::Errors)).unwrap();
    counts.push(Count { hour: NOW, accepted: 1_000_000, dropped: 0 });
    counts.push(Count { hour: NOW.plus(-169), accepted: 1_000_000, dropped: 0 });
    usage.known.insert(NOW);
    let projection = one(&organization(0), &usage, &without_minimum(Method::Kernel));
    assert!(projection.hours.iter().all(|hour| (hour.expected - 7.0).abs() < 1e-9));
}

#[test]
fn unlimited_category_has_no_projection_and_a_quota_of_zero_has_the_plan_minimum() {
    let mut unlimited = organization(0);
    assert_eq!(floors_of(&unlimited), [500]);
    unlimited.quotas.clear();
    assert_eq!(project(&unlimited, &usage(&[1; 168]), NOW, &Rules::of(Method::Kernel)), Ok(vec![]));
}

#[test]
fn disabled_projects_and_trials_have_no_projection() {
    let mut disabled = organization(1);
    disabled.projects[0].active = false;
    assert_eq!(project(&disabled, &usage(&[1; 168]), NOW, &Rules::of(Method::Kernel)), Ok(vec![]));
    let trial = Organization { trial: true, ..organization(1) };
    assert_eq!(project(&trial, &usage(&[1; 168]), NOW, &Rules::of(Method::Kernel)), Ok(vec![]));
}

#[test]
fn each_category_has_its_own_quota_usage_and_minimum() {
    let mut both = organization(0);
    both.quotas.insert(Category::Attachments, 0);
    let rows = project(&both, &usage(&[9; 168]), NOW, &Rules::of(Method::Kernel)).unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row.category, row.floor, row.hours[0].expected > 0.0)).collect();
    assert_eq!(seen, [(Category::Errors, 500, true), (Category::Attachments, 1_000_000, false)]);
}

#[test]
fn change_to_summer_time_moves_the_expected_peak_by_at_most_the_width_of_the_kernel() {
    // The peak is at 12:00 in the first half of the week, and at 11:00 after the clock change.
    let peak = |back: i64| if back > 84 { 12 } else { 11 };
    let values: Vec<u64> =
        (1..=168).rev().map(|back| if NOW.plus(-back).of_day() == peak(back) { 1_000 } else { 0 }).collect();
    let projection = one(&organization(0), &usage(&values), &without_minimum(Method::Kernel));
    let best = projection.hours.iter().max_by(|a, b| a.expected.total_cmp(&b.expected)).unwrap();
    assert!([11, 12].contains(&best.hour.of_day()));
}

#[test]
fn median_ignores_one_unusual_week() {
    let mut values = vec![100; 672];
    values[600..].fill(100_000);
    let rules = without_minimum(Method::Median);
    let projection = one(&organization(0), &usage(&values), &rules);
    assert!(projection.hours.iter().all(|hour| (hour.expected - 100.0).abs() < 1e-9));
}

#[test]
fn median_uses_the_kernel_for_hours_without_data() {
    let mut young = organization(0);
    young.projects[0].created = Some(NOW.plus(-48));
    let projection = one(&young, &usage(&[50; 48]), &without_minimum(Method::Median));
    assert!(projection.hours.iter().all(|hour| (hour.expected - 50.0).abs() < 1e-9));
}

#[test]
fn kernel_equals_the_weighted_mean_of_its_definition() {
    let values: Vec<u64> = (0..168).map(|n| n * n % 101).collect();
    let projection = one(&organization(0), &usage(&values), &without_minimum(Method::Kernel));
    for row in &projection.hours {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (hour, &value) in NOW.plus(-168).until(NOW).zip(&values) {
            let apart = hour.of_day().abs_diff(row.hour.of_day());
            let distance = f64::from(u8::try_from(apart.min(24 - apart)).unwrap());
            let same = if hour.of_week() / 24 == row.hour.of_week() / 24 { 1.0 } else { 0.25 };
            let weight = (-distance * distance / (2.0 * 1.5 * 1.5)).exp() * same;
            sum += weight * float(value);
            weights += weight;
        }
        assert!((row.expected - sum / weights).abs() < 1e-9, "{}", row.hour);
    }
}

#[test]
fn largest_counts_give_finite_results() {
    let projection = one(&organization(u64::MAX), &usage(&[u64::MAX; 168]), &Rules::of(Method::Kernel));
    assert!(projection.hours.iter().all(|hour| hour.expected.is_finite() && hour.limit == u64::MAX));
}

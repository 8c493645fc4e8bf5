//! The adaptive limit, case by case, and against a backend that queues, in virtual time.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn limit(min: u32, configured: u32) -> (AdaptiveLimit, Instant) {
    let options = AdaptiveOptions { mode: AdaptiveMode::Enforce, min, configured };
    (AdaptiveLimit::new(options), Instant::now())
}

fn call(signal: Signal, latency: Duration, in_use: u32) -> Observation<'static> {
    Observation { kind: "k", signal, latency, in_use }
}

/// Observes enough calls of this latency for an evaluation, and returns the recommendation.
fn answers(limit: &mut AdaptiveLimit, latency: Duration, in_use: u32, now: Instant) -> Recommendation {
    (0..MIN_CALLS).for_each(|_| limit.observe(&call(Signal::Responded, latency, in_use)));
    limit.decide(now)
}

fn throttled(limit: &mut AdaptiveLimit, now: Instant) -> Recommendation {
    limit.observe(&call(Signal::Throttled, MS, 1));
    limit.decide(now)
}

#[test]
fn rejection_above_an_unenforced_recommendation_does_not_lower_it() {
    let options = AdaptiveOptions { mode: AdaptiveMode::Observe, min: 1, configured: 100 };
    let (mut limit, now) = (AdaptiveLimit::new(options), Instant::now());
    answers(&mut limit, 10 * MS, 100, now);
    for second in 1..30 {
        limit.observe(&call(Signal::Throttled, MS, 100));
        let recommendation = limit.decide(now + second * 1_000 * MS);
        assert_eq!((recommendation.recommended, recommendation.in_force), (70, 100), "{second}");
    }
}

#[test]
fn limit_is_lowered_once_per_p90_of_the_service_time() {
    let (mut limit, now) = limit(5, 100);
    answers(&mut limit, 200 * MS, 100, now);
    assert_eq!(throttled(&mut limit, now).recommended, 70);
    let again = throttled(&mut limit, now + 199 * MS);
    assert_eq!((again.recommended, again.reason), (70, RecommendationReason::JustLowered));
    assert_eq!(
        limit.decide(now + 200 * MS).reason,
        RecommendationReason::TooFewCalls,
        "what ended before has no say later"
    );
    assert_eq!(throttled(&mut limit, now + 200 * MS).recommended, 49);
}

#[test]
fn limit_stays_within_its_range() {
    let (mut limit, mut now) = limit(5, 100);
    for _ in 0..50 {
        now += 10 * MS;
        assert!(throttled(&mut limit, now).recommended >= 5);
    }
    assert_eq!(limit.decide(now).recommended, 5);
    for _ in 0..1_000 {
        now += 10 * MS;
        answers(&mut limit, MS, 100, now);
    }
    let recommendation = answers(&mut limit, MS, 100, now + 10 * MS);
    assert_eq!(
        (recommendation.recommended, recommendation.reason),
        (100, RecommendationReason::AtConfigured)
    );
}

#[test]
fn limit_grows_by_its_logarithm_only_while_in_use_and_fast() {
    let (mut limit, mut now) = limit(1, 1_000);
    answers(&mut limit, 10 * MS, 1_000, now);
    throttled(&mut limit, now);
    let mut next = |limit: &mut AdaptiveLimit, latency, in_use| {
        now += 100 * MS;
        let recommendation = answers(limit, latency, in_use, now);
        (recommendation.recommended, recommendation.reason)
    };
    assert_eq!(next(&mut limit, 10 * MS, 700), (702, RecommendationReason::Grown));
    assert_eq!(next(&mut limit, 10 * MS, 350), (702, RecommendationReason::Unused));
    assert_eq!(next(&mut limit, 10 * MS, 351), (704, RecommendationReason::Grown));
}

#[test]
fn growths_in_a_row_that_do_no_harm_become_longer_up_to_a_sixteenth() {
    let (mut limit, now) = limit(1, 50);
    answers(&mut limit, 10 * MS, 50, now);
    throttled(&mut limit, now);
    let mut evaluations = (1..).map(|n| now + n * 100 * MS);
    let mut next = |limit: &mut AdaptiveLimit, latency| {
        answers(limit, latency, 50, evaluations.next().unwrap()).recommended
    };
    assert_eq!([(); 5].map(|()| next(&mut limit, 10 * MS)), [36, 38, 41, 44, 47]);
    // After a limit was taken back, the steps start small again.
    assert_eq!(next(&mut limit, 13 * MS), 44);
    for _ in 0..149 {
        assert_eq!(next(&mut limit, 10 * MS), 44);
    }
    assert_eq!([(); 5].map(|()| next(&mut limit, 10 * MS)), [45, 47, 50, 50, 50]);
}

#[test]
fn growth_that_makes_calls_slower_is_taken_back_and_not_tried_for_a_while() {
    let (mut limit, mut now) = limit(1, 100);
    answers(&mut limit, 10 * MS, 100, now);
    throttled(&mut limit, now);
    let mut next = |limit: &mut AdaptiveLimit, latency| {
        now += 100 * MS;
        let recommendation = answers(limit, latency, 100, now);
        (recommendation.recommended, recommendation.reason)
    };
    assert_eq!(next(&mut limit, 10 * MS), (71, RecommendationReason::Grown));
    assert_eq!(next(&mut limit, 13 * MS), (70, RecommendationReason::BackedOff));
    for _ in 0..149 {
        assert_eq!(next(&mut limit, 10 * MS), (70, RecommendationReason::BackedOff));
    }
    assert_eq!(next(&mut limit, 10 * MS), (71, RecommendationReason::Grown));
    assert_eq!(next(&mut limit, 10 * MS).1, RecommendationReason::Grown);
    assert_eq!(next(&mut limit, 20 * MS).1, RecommendationReason::BackedOff);
    assert_eq!(next(&mut limit, 20 * MS).1, RecommendationReason::Slow);
}

#[test]
fn growth_without_enforcement_is_not_blamed_for_slower_calls() {
    let options = AdaptiveOptions { mode: AdaptiveMode::Observe, min: 1, configured: 100 };
    let (mut limit, now) = (AdaptiveLimit::new(options), Instant::now());
    answers(&mut limit, 10 * MS, 70, now);
    throttled(&mut limit, now);
    assert_eq!(answers(&mut limit, 10 * MS, 100, now + 100 * MS).recommended, 71);
    assert_eq!(answers(&mut limit, 13 * MS, 100, now + 200 * MS).recommended, 73);
}

#[test]
fn changed_mix_of_kinds_is_not_mistaken_for_load() {
    let (mut limit, now) = limit(1, 100);
    let kind = |kind, latency| Observation { kind, ..call(Signal::Responded, latency, 100) };
    for _ in 0..MIN_CALLS {
        limit.observe(&kind("short", 10 * MS));
        limit.observe(&kind("long", 1_000 * MS));
    }
    limit.decide(now);
    throttled(&mut limit, now);
    (0..MIN_CALLS).for_each(|_| limit.observe(&kind("long", 1_000 * MS)));
    assert_eq!(limit.decide(now + 2_000 * MS).reason, RecommendationReason::Grown);
}

#[test]
fn mode_decides_whether_the_recommendation_is_enforced() {
    for (mode, recommended, in_force) in
        [(AdaptiveMode::Off, 100, 100), (AdaptiveMode::Observe, 70, 100), (AdaptiveMode::Enforce, 70, 70)]
    {
        let mut limit = AdaptiveLimit::new(AdaptiveOptions { mode, min: 1, configured: 100 });
        let recommendation = throttled(&mut limit, Instant::now());
        assert_eq!(
            (recommendation.recommended, recommendation.in_force),
            (recommended, in_force),
            "{mode:?}"
        );
    }
}

#[test]
fn decision_of_another_process_counts_as_its_own() {
    let (mut limit, now) = limit(1, 100);
    answers(&mut limit, 200 * MS, 100, now);
    limit.apply_external(70, now);
    assert_eq!(throttled(&mut limit, now + 100 * MS).reason, RecommendationReason::JustLowered);
    limit.apply_external(500, now);
    assert_eq!(limit.decide(now).recommended, 100);
}

#[test]
fn growth_taken_back_by_another_process_is_not_repeated_for_a_while() {
    let seen = |decided: &[u32]| {
        let (mut limit, now) = limit(1, 100);
        answers(&mut limit, 10 * MS, 100, now);
        limit.apply_external(70, now);
        decided.iter().for_each(|decided| limit.apply_external(*decided, now));
        let before = answers(&mut limit, 10 * MS, 100, now + GROWTH_PAUSE - MS).reason;
        (before, answers(&mut limit, 10 * MS, 100, now + GROWTH_PAUSE + 10 * MS).reason)
    };
    assert_eq!(
        seen(&[71, 70]),
        (RecommendationReason::BackedOff, RecommendationReason::Grown),
        "seen when it had grown"
    );
    assert_eq!(
        seen(&[70]),
        (RecommendationReason::BackedOff, RecommendationReason::Grown),
        "seen when it was back again"
    );
    assert_eq!(
        seen(&[]),
        (RecommendationReason::Grown, RecommendationReason::Grown),
        "lowered, and never grown"
    );
}

#[test]
fn limit_converges_to_the_capacity_of_a_rejecting_backend() {
    // A backend with 40 places that rejects the 41st call; calls take 50 ms.
    let (mut limit, mut now) = limit(1, 100);
    let mut seen = Vec::new();
    for round in 0..2_000 {
        now += 60 * MS;
        let in_use = limit.decide(now).in_force;
        for n in 1..=in_use {
            let signal = if n > 40 { Signal::Throttled } else { Signal::Responded };
            limit.observe(&call(signal, 50 * MS, in_use));
        }
        if round > 200 {
            seen.push(in_use);
        }
    }
    let mean = seen.iter().sum::<u32>() / u32::try_from(seen.len()).unwrap();
    assert!(seen.iter().all(|n| (34..=41).contains(n)) && mean >= 38, "{mean}");
}

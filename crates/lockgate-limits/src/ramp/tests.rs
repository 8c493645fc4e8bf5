//! A step puts a share of the configured limit in force, and the samples of all processes move the limit
//! between steps.

use super::*;

const SOAK: Duration = Duration::from_secs(600);

fn quota(rate: &str, burst: u32) -> Quota {
    Quota::new(rate.parse().unwrap(), burst).unwrap()
}

/// The ramp of a webhook sender, as documented in docs/tuning.md.
fn webhooks() -> Ramp {
    let step = |share, rate: &str, burst, slots| RampStep {
        share,
        rate: Some(rate.parse().unwrap()),
        burst: Some(burst),
        slots: Some(slots),
    };
    let steps = vec![step(5, "10/s", 20, 100), step(25, "25/s", 50, 250), step(100, "100/s", 150, 500)];
    Ramp { steps, ..Ramp::default() }
}

#[test]
fn step_is_a_share_of_what_is_configured() {
    let ramp = Ramp::default();
    let seen: Vec<_> =
        ramp.steps.iter().map(|step| (step.quota(Some(quota("100/s", 150))), step.slots(50))).collect();
    let expected =
        [(Some(quota("5/s", 7)), 2), (Some(quota("25/s", 37)), 12), (Some(quota("100/s", 150)), 50)];
    assert_eq!(seen, expected);
}

#[test]
fn values_of_a_step_replace_its_shares_and_never_exceed_the_configured_ones() {
    let ramp = webhooks();
    let of = |configured, slots| -> Vec<_> {
        ramp.steps.iter().map(|step| (step.quota(configured), step.slots(slots))).collect()
    };
    let planned =
        [(Some(quota("10/s", 20)), 100), (Some(quota("25/s", 50)), 250), (Some(quota("100/s", 150)), 500)];
    assert_eq!(of(Some(quota("100/s", 150)), 500), planned);
    assert_eq!(of(None, 500), planned, "a step may limit what has no rate");
    let small = (Some(quota("2/s", 4)), 50);
    assert_eq!(of(Some(quota("2/s", 4)), 50), [small; 3]);
}

#[test]
fn ramp_of_the_smallest_limits_keeps_at_least_one_token() {
    let step = RampStep::of_share(5);
    assert_eq!(step.quota(Some(quota("1/d", 1))), Some(quota("1/d", 1)), "no rate is slower than one a day");
    assert_eq!(step.quota(Some(quota("10/s", 1))), Some(quota("30/min", 1)));
    assert_eq!(step.quota(None), None);
    assert_eq!([step.slots(1), step.slots(0)], [1, 0], "a closed pool stays closed");
    assert_eq!(RampStep { slots: Some(0), ..step }.slots(9), 1);
}

#[test]
fn next_step_needs_both_time_and_samples() {
    let ramp = Ramp::default();
    let good = |ended| Samples { ended, failed: 0, slow: 0 };
    let early = SOAK - Duration::from_nanos(1);
    assert_eq!(ramp.decide(0, good(99), SOAK), RampDecision::Stay(StayReason::Samples));
    assert_eq!(ramp.decide(0, good(100), early), RampDecision::Stay(StayReason::Soak));
    assert_eq!(ramp.decide(0, good(100), SOAK), RampDecision::Advance);
    assert_eq!(ramp.decide(2, good(100), SOAK), RampDecision::Stay(StayReason::Last));
    assert_eq!(
        ramp.decide(7, good(100), SOAK),
        RampDecision::Stay(StayReason::Last),
        "there are fewer ramp than before"
    );
    let none = Ramp { min_samples: 0, ..ramp };
    assert_eq!(
        none.decide(0, good(0), SOAK),
        RampDecision::Stay(StayReason::Samples),
        "nothing says that it went well"
    );
}

#[test]
fn exceeding_a_threshold_steps_back_at_once_and_reaching_it_does_not() {
    let ramp = Ramp::default();
    for (failed, slow, expected) in [
        (1, 0, RampDecision::Stay(StayReason::Soak)),
        (2, 0, RampDecision::StepBack(ExceededThreshold::ErrorRate)),
        (0, 5, RampDecision::Stay(StayReason::Soak)),
        (0, 6, RampDecision::StepBack(ExceededThreshold::P95)),
    ] {
        let samples = Samples { ended: 100, failed, slow };
        assert_eq!(ramp.decide(1, samples, Duration::ZERO), expected, "{samples:?}");
        let few = Samples { ended: 99, ..samples };
        assert_eq!(
            ramp.decide(1, few, Duration::ZERO),
            RampDecision::Stay(StayReason::Soak),
            "too few to tell"
        );
    }
}

#[test]
fn three_processes_that_see_a_part_each_decide_as_one_that_sees_everything() {
    let ramp = Ramp::default();
    let part = Samples { ended: 70, failed: 23, slow: 0 };
    assert_eq!(ramp.decide(1, part, SOAK), RampDecision::Stay(StayReason::Samples));
    let mut all = Samples::default();
    (0..3).for_each(|_| all.add(part, ramp.window()));
    assert_eq!(all, Samples { ended: 210, failed: 69, slow: 0 });
    assert_eq!(ramp.decide(1, all, Duration::ZERO), RampDecision::StepBack(ExceededThreshold::ErrorRate));
}

#[test]
fn step_that_lasts_for_days_reacts_to_recent_calls() {
    let ramp = Ramp::default();
    let mut samples = Samples::default();
    samples.add(Samples { ended: 10_000_000, failed: 0, slow: 0 }, ramp.window());
    assert!(samples.ended <= 2 * ramp.window() && samples.ended >= ramp.window(), "{samples:?}");
    samples.add(Samples { ended: 30, failed: 30, slow: 0 }, ramp.window());
    assert_eq!(ramp.decide(2, samples, SOAK), RampDecision::StepBack(ExceededThreshold::ErrorRate));
}

#[test]
fn items_of_a_share_stay_in_it_and_its_size_is_about_right() {
    let [small, large] = [5, 25].map(RampStep::of_share);
    let first: Vec<u64> = (0..10_000).filter(|id| small.includes(*id)).collect();
    assert!((400..600).contains(&first.len()), "{}", first.len());
    assert!(first.iter().all(|id| large.includes(*id)));
    let second = (0..10_000).filter(|id| large.includes(*id)).count();
    assert!((2_300..2_700).contains(&second), "{second}");
}

#[test]
fn note_of_a_limit_without_a_rate_is_read_back_and_other_texts_are_no_ramp_state() {
    let note = RampState { step: 0, configured: None, reason: String::from("started by\nan operator") };
    let text = note.to_string();
    assert_eq!(text, "step 0 none 0 started byan operator");
    assert_eq!(text.parse::<RampState>().map(|note| note.configured), Ok(None));
    for text in ["", "step", "step 1", "step x none 0 why", "step 1 10/x 5 why", "step 1 10/s 0 why", "wider"]
    {
        assert_eq!(text.parse::<RampState>(), Err(ParseRampStateError), "{text}");
    }
}

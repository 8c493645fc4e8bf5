//! The circuit breaker, case by case, at given moments.

use super::*;

fn breaker() -> (CircuitBreaker, Instant) {
    let options = BreakerOptions { min_calls: 4, ..BreakerOptions::default() };
    (CircuitBreaker::new(options), Instant::now())
}

fn opened() -> (CircuitBreaker, Instant) {
    let (breaker, now) = breaker();
    for _ in 0..4 {
        breaker.permit_at(now).unwrap().failed_at(now);
    }
    (breaker, now)
}

#[test]
fn breaker_opens_at_the_failure_rate_only_after_min_calls() {
    let (breaker, now) = breaker();
    for _ in 0..3 {
        breaker.permit_at(now).unwrap().failed_at(now);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
    breaker.permit_at(now).unwrap().failed_at(now);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn failures_of_an_earlier_window_do_not_count() {
    let (breaker, now) = breaker();
    for _ in 0..3 {
        breaker.permit_at(now).unwrap().failed_at(now);
    }
    let later = now + Duration::from_secs(10);
    breaker.permit_at(later).unwrap().failed_at(later);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn breaker_closes_after_one_two_and_four_successful_probes() {
    let (breaker, now) = opened();
    let early = now + Duration::from_secs(30) - Duration::from_nanos(1);
    assert!(breaker.permit_at(early).is_err());
    let later = now + Duration::from_secs(30);
    for step in [1, 2, 4] {
        let probes: Vec<CallPermit> = (0..step).map(|_| breaker.permit_at(later).unwrap()).collect();
        assert_eq!(breaker.permit_at(later).unwrap_err().retry_at(), None, "step of {step}");
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probes.into_iter().for_each(|probe| probe.succeeded_at(later));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn failed_probe_reopens_and_other_probes_of_its_step_are_ignored() {
    let (breaker, now) = opened();
    let later = now + Duration::from_secs(30);
    breaker.permit_at(later).unwrap().succeeded_at(later);
    let (first, second) = (breaker.permit_at(later).unwrap(), breaker.permit_at(later).unwrap());
    first.failed_at(later);
    second.succeeded_at(later);
    assert_eq!(breaker.permit_at(later).unwrap_err().retry_at(), Some(later + Duration::from_secs(30)));
}

#[test]
fn cancelled_probe_makes_room_for_another() {
    let (breaker, now) = opened();
    let later = now + Duration::from_secs(30);
    drop(breaker.permit_at(later).unwrap());
    assert!(breaker.permit_at(later).is_ok());
}

#[test]
fn call_that_began_before_the_breaker_opened_is_ignored() {
    let (breaker, now) = breaker();
    let old = breaker.permit_at(now).unwrap();
    for _ in 0..4 {
        breaker.permit_at(now).unwrap().failed_at(now);
    }
    let later = now + Duration::from_secs(30);
    let probe = breaker.permit_at(later).unwrap();
    old.failed_at(later);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    probe.succeeded_at(later);
}

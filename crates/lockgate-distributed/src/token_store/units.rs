//! Converts a quota to the whole numbers that the scripts count with. Lua's numbers are exact below 2^53.
//!
//! Rounding makes a rate slower, never faster.

use lockgate_limits::Quota;

/// The largest full bucket, in units, so that a debt of several bursts is still exact.
const MOST: u128 = 1 << 51;

/// The units that a microsecond restores, and the units that a token costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) per_micro: u64,
    pub(super) per_token: u64,
}

impl Units {
    pub(super) fn of(quota: Quota) -> Self {
        let (tokens, nanos) = quota.rate().ratio();
        let (restored, cost) = (u128::from(tokens) * 1_000, u128::from(nanos));
        let common = gcd(restored, cost);
        let (restored, cost) = (restored / common, cost / common);
        let scale = (cost * u128::from(quota.burst())).div_ceil(MOST).max(restored.div_ceil(MOST)).max(1);
        let narrow = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        Self { per_micro: narrow((restored / scale).max(1)), per_token: narrow(cost.div_ceil(scale)) }
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_limits::Rate;

    fn units(rate: &str, burst: u32) -> (u64, u64) {
        let Units { per_micro, per_token } = Units::of(Quota::new(rate.parse().unwrap(), burst).unwrap());
        (per_micro, per_token)
    }

    #[test]
    fn common_rates_are_exact() {
        assert_eq!(units("10/s", 20), (1, 100_000));
        assert_eq!(units("1000/s", 100), (1, 1_000));
        assert_eq!(units("1000000000/s", u32::MAX), (1_000, 1));
        assert_eq!(units("1/d", 200), (1, 86_400_000_000));
        assert_eq!(units("3/7s", 5), (3, 7_000_000));
    }

    #[test]
    fn odd_rates_never_become_faster_and_at_most_one_percent_slower() {
        for rate in ["65537/d", "999999937/d", "999999937/h", "429496729/1000003us", "1/999999937ns", "1/d"] {
            let rate: Rate = rate.parse().unwrap();
            let bursts = [1, 7, 200, 1_000_003, u32::MAX];
            for quota in bursts.into_iter().filter_map(|burst| Quota::new(rate, burst).ok()) {
                let Units { per_micro, per_token } = Units::of(quota);
                let (tokens, nanos) = rate.ratio();
                let (actual, wanted) = (
                    u128::from(per_micro) * u128::from(nanos),
                    u128::from(tokens) * 1_000 * u128::from(per_token),
                );
                assert!(actual <= wanted, "{rate} became faster");
                assert!(actual * 100 >= wanted * 99, "{rate} with {} became slower than 99 %", quota.burst());
                assert!(
                    u128::from(per_token) * u128::from(quota.burst()) <= MOST + u128::from(quota.burst())
                );
            }
        }
    }
}

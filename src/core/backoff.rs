//! All retry delays. Pure; the random generator is passed in.

use super::rng::Rng;
use std::time::Duration;

/// Before join retry `attempt` (1 = first retry): exponential from 0.5 s, ±25 %, at most 5 s.
pub fn join(attempt: u32, rng: &mut Rng) -> Duration {
    let base = 500u64.saturating_mul(1 << attempt.saturating_sub(1).min(4)).min(5_000);
    Duration::from_millis(rng.between(base * 3 / 4, base * 5 / 4).min(5_000))
}

/// After failed reconnect attempt number `failed` (1 = first): random between 0.25 s, growing by 2 s per attempt to 5
/// s, and 2.5 s, growing likewise to 5 s.
pub fn reconnect(failed: u32, rng: &mut Rng) -> Duration {
    let n = u64::from(failed.clamp(1, 10));
    Duration::from_millis(rng.between((2_000 * (n - 1)).clamp(250, 5_000), (500 + 2_000 * n).min(5_000)))
}

/// Before RPC try `attempt` (1 = first retry): exponential from 100 ms, ±25 %, at most 2 s.
pub fn rpc(attempt: u32, rng: &mut Rng) -> Duration {
    let base = 100u64.saturating_mul(1 << attempt.saturating_sub(1).min(5)).min(2_000);
    Duration::from_millis(rng.between(base * 3 / 4, base * 5 / 4).min(2_000))
}

/// Before try `attempt` (1 = first retry) of the coordinator's event socket: exponential from 0.5 s, ±50 % so that the
/// clients of a restarting service do not all return at once, at most 30 s.
pub fn events(attempt: u32, rng: &mut Rng) -> Duration {
    let base = 500u64.saturating_mul(1 << attempt.saturating_sub(1).min(6)).min(30_000);
    Duration::from_millis(rng.between(base / 2, base * 3 / 2).min(30_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut rng = Rng::new(7);
        for attempt in 1..64 {
            let wait = join(attempt, &mut rng);
            assert!(wait >= Duration::from_millis(375) && wait <= Duration::from_secs(5), "{attempt}: {wait:?}");
            let wait = reconnect(attempt, &mut rng);
            assert!(wait >= Duration::from_millis(250) && wait <= Duration::from_secs(5), "{attempt}: {wait:?}");
            let wait = rpc(attempt, &mut rng);
            assert!(wait >= Duration::from_millis(75) && wait <= Duration::from_secs(2), "{attempt}: {wait:?}");
            let wait = events(attempt, &mut rng);
            assert!(wait >= Duration::from_millis(250) && wait <= Duration::from_secs(30), "{attempt}: {wait:?}");
        }
        assert!(join(4, &mut Rng::new(1)) > join(1, &mut Rng::new(1)));
    }
}

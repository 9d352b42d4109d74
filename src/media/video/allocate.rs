//! Divides an estimated bandwidth among the layers of a track, or of several: from small to large, without flapping.
//!
//! Must not know: who estimates, what a layer is.

use std::time::Duration;

/// A layer is switched on only if its minimum, and this share of it in 256ths more, has been available for so long.
const HEADROOM: u64 = 51;
const PATIENCE: Duration = Duration::from_millis(1_000);

/// A layer that is on stays on while this share of its minimum, in 256ths, is available.
const KEEP: u64 = 218;

/// The lowest layer is not switched off for lack of bandwidth; it gets at least this, in bit/s.
pub const FLOOR: u64 = 30_000;

/// Limits of one layer, in bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerRate {
    /// Below this the layer is not worth sending.
    pub min: u64,
    pub max: u64,
}

impl LayerRate {
    /// The usual minimum for a maximum.
    pub fn up_to(max: u64) -> Self {
        Self { min: (max / 3).max(FLOOR), max: max.max(FLOOR) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    rate: LayerRate,
    /// What it was given last; 0: off.
    given: u64,
    /// Since when there has been enough for it, while it is off.
    enough_since: Option<Duration>,
}

/// Divides a bandwidth among layers.
#[derive(Clone, Debug)]
pub struct Allocator {
    layers: Vec<State>,
}

impl Allocator {
    /// `layers`: smallest first. Of several tracks: the lowest of each first, then the next of each.
    pub fn new(layers: impl IntoIterator<Item = LayerRate>) -> Self {
        let state = |rate: LayerRate| {
            let max = rate.max.max(1);
            State { rate: LayerRate { min: rate.min.min(max), max }, ..State::default() }
        };
        Self { layers: layers.into_iter().take(64).map(state).collect() }
    }

    /// What each layer was given last, in bit/s; 0: do not send it.
    pub fn given(&self) -> impl Iterator<Item = u64> + '_ {
        self.layers.iter().map(|layer| layer.given)
    }

    /// Divides `available` bit/s among the layers of the set `active`. A layer gets something only if all active ones
    /// before it got their maximum or as much as there is for them. Returns the layers that were switched on, as bits:
    /// they begin with a key frame.
    pub fn allocate(&mut self, available: u64, active: u64, now: Duration) -> u64 {
        let (mut left, mut started, mut open, mut first) = (available, 0, true, true);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let LayerRate { min, max } = layer.rate;
            if active >> index & 1 == 0 {
                (layer.given, layer.enough_since) = (0, None);
                continue;
            }
            let was_on = layer.given > 0;
            let enough = match () {
                _ if first => true,
                _ if was_on => left >= part(min, KEEP),
                _ => left >= min.saturating_add(part(min, HEADROOM)).min(max),
            };
            let since = *layer.enough_since.get_or_insert(now);
            if !(open && enough) {
                (layer.given, layer.enough_since, open) = (0, None, false);
                continue;
            }
            let is_on = first || was_on || now.saturating_sub(since) >= PATIENCE;
            // The layers above wait, too, but their time runs.
            if is_on {
                started |= u64::from(!was_on) << index;
                layer.given = if first { left.min(max).max(FLOOR.min(max)) } else { left.min(max) };
            }
            left = left.saturating_sub(max);
            first = false;
        }
        started
    }

    /// When [`Allocator::allocate`] may switch on a layer without a change of its arguments.
    pub fn deadline(&self) -> Option<Duration> {
        let waiting = self.layers.iter().filter(|layer| layer.given == 0);
        waiting.filter_map(|layer| layer.enough_since.map(|since| since.saturating_add(PATIENCE))).min()
    }
}

/// A share of a rate in 256ths.
fn part(rate: u64, share: u64) -> u64 {
    (u128::from(rate) * u128::from(share) / 256) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u64; 3] = [160_000, 450_000, 1_700_000];

    fn allocator() -> Allocator {
        Allocator::new(RATES.map(LayerRate::up_to))
    }

    fn given(allocator: &mut Allocator, available: u64, active: u64, at_ms: u64) -> Vec<u64> {
        allocator.allocate(available, active, Duration::from_millis(at_ms));
        allocator.given().collect()
    }

    #[test]
    fn from_small_to_large() {
        let mut allocator = allocator();
        assert_eq!(given(&mut allocator, 5_000_000, 7, 0), [160_000, 0, 0]);
        assert_eq!(allocator.deadline(), Some(Duration::from_millis(1_000)));
        assert_eq!(given(&mut allocator, 5_000_000, 7, 1_000), RATES);
        assert_eq!(given(&mut allocator, 1_500_000, 7, 1_001), [160_000, 450_000, 890_000]);
        assert_eq!(given(&mut allocator, 1_000_000, 7, 1_002), [160_000, 450_000, 0]);
        assert_eq!(given(&mut allocator, 200_000, 7, 1_003), [160_000, 0, 0]);
        assert_eq!(given(&mut allocator, 0, 7, 1_004), [FLOOR, 0, 0]);
        assert_eq!(given(&mut allocator, 5_000_000, 0, 1_005), [0, 0, 0]);
        // Nobody needs the lowest: the next is the first.
        assert_eq!(allocator.allocate(5_000_000, 6, Duration::from_millis(1_006)), 2);
        assert_eq!(allocator.given().collect::<Vec<_>>(), [0, 450_000, 0]);
    }

    #[test]
    fn an_estimate_that_wavers_does_not_switch_layers() {
        let mut allocator = allocator();
        let edge = 160_000 + 450_000 + 1_700_000 / 3;
        let (mut switches, mut was_on) = (0, false);
        for step in 0..600u64 {
            let wavering = edge + [0, 40_000, 90_000, 0][step as usize % 4] - 45_000;
            let on = given(&mut allocator, wavering, 7, step * 100)[2] > 0;
            switches += u32::from(on != was_on);
            was_on = on;
        }
        assert_eq!(switches, 0, "never enough for a second");
        given(&mut allocator, edge + 200_000, 7, 70_000);
        assert!(given(&mut allocator, edge + 200_000, 7, 71_000)[2] > 0);
        for step in 0..600u64 {
            let wavering = edge + [0, 40_000, 90_000, 0][step as usize % 4] - 45_000;
            assert!(given(&mut allocator, wavering, 7, 72_000 + step * 100)[2] > 0, "it stays");
        }
    }

    #[test]
    fn absurd_values() {
        let rates = [LayerRate { min: u64::MAX, max: u64::MAX }, LayerRate::default(), LayerRate { min: 9, max: 3 }];
        let mut allocator = Allocator::new(rates);
        for available in [0, 1, u64::MAX] {
            for active in [0, 1, 2, u64::MAX] {
                for now in [Duration::ZERO, Duration::MAX, Duration::ZERO] {
                    allocator.allocate(available, active, now);
                    assert!(allocator.given().zip(rates).all(|(given, rate)| given <= rate.max.max(1)));
                }
            }
        }
        assert_eq!(Allocator::new([]).allocate(1, 1, Duration::ZERO), 0);
    }
}

//! Audio levels: from the RFC 6464 header extension if present, else estimated from packet sizes.
//!
//! One meter belongs to one audio track. Must not know: participants.

use std::time::{Duration, Instant};

/// Levels below this are not speech (dBov).
const SPEECH_DBOV: i8 = -50;
/// Speech continues through pauses of up to this length.
const HANGOVER: Duration = Duration::from_millis(500);
/// A track without packets for this long is silent.
const STALE: Duration = Duration::from_millis(300);

/// Reported level of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// Linear amplitude, 0 to 1.
    pub level: f32,
    pub is_speaking: bool,
}

/// Collects one track's packets between two reports.
#[derive(Debug, Default)]
pub struct Meter {
    loudest: Option<f32>,
    last_packet: Option<Instant>,
    last_speech: Option<Instant>,
    largest: usize,
    from_extension: bool,
}

impl Meter {
    /// One audio packet. `dbov` is 0 (loudest) to -127 from the header extension, if the packet had it.
    pub fn packet(&mut self, now: Instant, payload: usize, dbov: Option<i8>, voice: Option<bool>) {
        let (level, speech) = match dbov {
            Some(db) => {
                self.from_extension = true;
                let db = db.clamp(-127, 0);
                let level = if db <= -127 { 0.0 } else { 10f32.powf(f32::from(db) / 20.0) };
                // The voice activity bit is unreliable: many senders always leave it at 0 or 1.
                (level, db > SPEECH_DBOV && (voice != Some(false) || db > -40))
            }
            None => {
                // VBR Opus packets grow with the signal. Up to 3 bytes is silence (DTX).
                self.largest = self.largest.max(payload).max(40);
                let share = payload.saturating_sub(3) as f32 / self.largest as f32;
                (0.25 * share * share, payload > 3 && share > 0.4)
            }
        };
        self.loudest = Some(self.loudest.unwrap_or(0.0).max(level));
        self.last_packet = Some(now);
        if speech {
            self.last_speech = Some(now);
        }
    }

    /// Returns the level to report now and starts a new interval.
    pub fn take(&mut self, now: Instant) -> Level {
        let fresh = self.last_packet.is_some_and(|t| now.duration_since(t) < STALE);
        let level = self.loudest.take().unwrap_or(0.0);
        // Decay, so that the estimate follows a sender that changes its bitrate.
        self.largest -= self.largest / 64;
        let is_speaking = fresh && self.last_speech.is_some_and(|t| now.duration_since(t) < HANGOVER);
        Level { level: if fresh { level } else { 0.0 }, is_speaking }
    }

    /// True if the levels come from the sender, not from the estimate.
    pub fn is_measured(&self) -> bool {
        self.from_extension
    }
}

/// The dominant speaker of a room. Changes only if another is clearly louder or the current one is silent.
#[derive(Debug, Default)]
pub struct Dominant {
    smoothed: Vec<(String, f32)>,
    current: Option<String>,
}

impl Dominant {
    /// Processes one interval's levels. Returns the new dominant speaker if it changed.
    pub fn update(&mut self, levels: &[(String, Level)]) -> Option<String> {
        self.smoothed.retain(|(id, _)| levels.iter().any(|(l, _)| l == id));
        for (id, level) in levels {
            let value = if level.is_speaking { level.level.max(0.001) } else { 0.0 };
            match self.smoothed.iter_mut().find(|(s, _)| s == id) {
                Some((_, smooth)) => *smooth += 0.4 * (value - *smooth),
                None => self.smoothed.push((id.clone(), 0.4 * value)),
            }
        }
        let (best, loud) = self.smoothed.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        if *loud < 0.0004 || self.current.as_ref() == Some(best) {
            return None;
        }
        let now = self.current.as_ref().and_then(|c| self.smoothed.iter().find(|(id, _)| id == c));
        if now.is_none_or(|(_, current)| *loud > 1.5 * current) {
            self.current = Some(best.clone());
            return self.current.clone();
        }
        None
    }

    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_levels() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        meter.packet(now, 80, Some(-20), Some(true));
        let level = meter.take(now);
        assert!((level.level - 0.1).abs() < 0.001 && level.is_speaking);
        meter.packet(now + HANGOVER, 80, Some(-127), Some(false));
        assert_eq!(meter.take(now + HANGOVER), Level::default());
    }

    #[test]
    fn estimated_levels() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        meter.packet(now, 120, None, None);
        assert!(meter.take(now).is_speaking);
        let later = now + Duration::from_secs(1);
        meter.packet(later, 1, None, None);
        assert_eq!(meter.take(later), Level::default());
    }

    #[test]
    fn dominance_is_sticky() {
        let mut dominant = Dominant::default();
        let at = |a: f32, b: f32| {
            let level = |level| Level { level, is_speaking: level > 0.0 };
            [("a".to_owned(), level(a)), ("b".to_owned(), level(b))]
        };
        assert_eq!(dominant.update(&at(0.3, 0.0)).as_deref(), Some("a"));
        for _ in 0..10 {
            assert_eq!(dominant.update(&at(0.3, 0.31)), None);
        }
        let changed = (0..10).find_map(|_| dominant.update(&at(0.0, 0.3)));
        assert_eq!(changed.as_deref(), Some("b"));
    }
}

//! The common clock of a participant's tracks: maps RTP timestamps to the sender's wall clock, by its sender reports
//! (RFC 3550 section 6.4.1).
//!
//! Must not know: tracks, who receives, this machine's clock.

use std::time::Duration;

/// Seconds from 1900-01-01 to 1970-01-01.
const SECONDS_UNTIL_1970: u64 = 2_208_988_800;

/// A time of the sender's wall clock in NTP format: seconds since 1900 in the upper 32 bits, fractions (1/2^32 s) in
/// the lower 32 (RFC 5905 section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Microseconds from `earlier` to this; negative if `earlier` is later. Both must lie within 34 years.
    pub fn micros_since(self, earlier: NtpTime) -> i64 {
        let difference = i128::from(self.0.wrapping_sub(earlier.0) as i64);
        // 64 bits plus 20 fit in 128, and so does the result in 64.
        ((difference * 1_000_000) >> 32) as i64
    }

    /// The time `since` after the Unix epoch, 1970.
    pub fn since_1970(since: Duration) -> NtpTime {
        NtpTime(SECONDS_UNTIL_1970 << 32).after(since)
    }

    /// The time `passed` later. The seconds wrap in 2036; all times in use lie within 34 years.
    #[must_use]
    pub fn after(self, passed: Duration) -> NtpTime {
        let parts = (u64::from(passed.subsec_nanos()) << 32) / 1_000_000_000;
        NtpTime(self.0.wrapping_add(passed.as_secs() << 32).wrapping_add(parts))
    }

    fn offset(self, ticks: i64, rate: u32) -> NtpTime {
        let parts = (i128::from(ticks) << 32) / i128::from(rate.max(1));
        NtpTime(self.0.wrapping_add(parts as u64))
    }
}

/// The pair of NTP time and RTP timestamp in a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    pub ntp: NtpTime,
    pub rtp_time: u32,
}

/// The wall clock of one stream.
#[derive(Clone, Debug)]
pub struct SenderClock {
    rate: u32,
    last: Option<SenderReport>,
}

impl SenderClock {
    /// `rate`: RTP clock rate in Hz.
    pub fn new(rate: u32) -> Self {
        Self { rate, last: None }
    }

    /// Handles a sender report. One older than the last is ignored.
    pub fn report(&mut self, report: SenderReport) {
        // Some senders have no wall clock and send 0.
        if report.ntp == NtpTime(0) || self.last.is_some_and(|last| report.ntp.micros_since(last.ntp) < 0) {
            return;
        }
        self.last = Some(report);
    }

    /// When the sample with this RTP timestamp was taken, by the sender's clock; `None` before the first report. Valid
    /// within half a wrap of the RTP clock around the last report.
    pub fn at(&self, rtp_time: u32) -> Option<NtpTime> {
        let last = self.last?;
        let ticks = i64::from(rtp_time.wrapping_sub(last.rtp_time) as i32);
        Some(last.ntp.offset(ticks, self.rate))
    }

    /// The stream restarted with new timestamps.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 32;

    fn at(seconds: u64) -> NtpTime {
        NtpTime(seconds.wrapping_mul(SECOND))
    }

    #[test]
    fn tracks_of_one_sender_meet_on_its_clock() {
        let (mut audio, mut video) = (SenderClock::new(48_000), SenderClock::new(90_000));
        assert_eq!(audio.at(5), None);
        audio.report(SenderReport { ntp: at(4_000_000_000), rtp_time: u32::MAX - 10 });
        video.report(SenderReport { ntp: at(4_000_000_003), rtp_time: 70_000 });
        // One second after its report, across the wrap; two seconds before the other's.
        let audio_time = audio.at(48_000 - 11).expect("a report was received");
        let video_time = video.at(70_000u32.wrapping_sub(180_000)).expect("a report was received");
        assert_eq!(audio_time, at(4_000_000_001));
        assert_eq!(video_time.micros_since(audio_time), 0);
        assert_eq!(video.at(160_000).unwrap().micros_since(at(4_000_000_003)), 1_000_000);
        assert_eq!(at(7).micros_since(at(9)), -2_000_000);
    }

    #[test]
    fn times_of_this_machine_are_those_of_1900_also_after_2036() {
        assert_eq!(NtpTime::since_1970(Duration::ZERO), at(2_208_988_800));
        let (before, half) = (NtpTime::since_1970(Duration::from_secs(2_085_978_495)), Duration::from_millis(1_500));
        assert_eq!((before.0 >> 32, before.after(half)), (u64::from(u32::MAX), NtpTime(1 << 31)));
        assert_eq!(before.after(half).micros_since(before), 1_500_000);
    }

    #[test]
    fn reports_may_come_late_twice_and_with_nonsense() {
        let mut clock = SenderClock::new(48_000);
        clock.report(SenderReport { ntp: NtpTime(0), rtp_time: 1 });
        assert_eq!(clock.at(1), None, "a sender without a clock");
        clock.report(SenderReport { ntp: at(20), rtp_time: 960_000 });
        for old in [SenderReport { ntp: at(15), rtp_time: 7 }, SenderReport { ntp: at(20), rtp_time: 960_000 }] {
            clock.report(old);
            assert_eq!(clock.at(960_000), Some(at(20)));
        }
        // The sender's clock is set to another time: the last report counts.
        clock.report(SenderReport { ntp: at(90), rtp_time: 1_008_000 });
        assert_eq!(clock.at(1_008_000 + 48_000), Some(at(91)));
        clock.reset();
        assert_eq!(clock.at(0), None);
        for rate in [0, 1, u32::MAX] {
            let mut clock = SenderClock::new(rate);
            for ntp in [1, u64::MAX / 2, u64::MAX] {
                clock.report(SenderReport { ntp: NtpTime(ntp), rtp_time: ntp as u32 });
                for rtp_time in [0, 1 << 31, u32::MAX] {
                    let _ = clock.at(rtp_time);
                }
            }
        }
        assert_eq!(NtpTime(u64::MAX / 2).micros_since(NtpTime(0)), 2_147_483_647_999_999);
    }
}

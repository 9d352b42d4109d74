//! What becomes of what was written, by whether there is a connection that carries it.

use super::*;
use crate::rtc::engine::EngineResult;
use async_trait::async_trait;

struct Wire;

#[async_trait]
impl RtpWriter for Wire {
    async fn write(&self, _: u16, _: u32, _: bool, _: Option<u8>, _: Bytes) -> EngineResult<()> {
        Ok(())
    }
}

const FRAME: usize = 960;

fn track() -> (Arc<Outgoing>, Arc<AudioTotals>) {
    let options = TrackOptions {
        input: AudioInput::Pcm { rate: 48_000, channels: 1 },
        encoder: EncoderConfig::default(),
        buffer_ms: 1_000,
        live: false,
        music: false,
        red: 0,
        muted: false,
    };
    let totals = Arc::<AudioTotals>::default();
    let track = Outgoing::new(1, options, 1, totals.clone()).expect("a track");
    track.add_writer(Generation(1), Arc::new(Wire));
    assert!(track.set_on_air(true), "it is to be paced");
    (Arc::new(track), totals)
}

/// Takes what is due in so many ticks; how many packets.
fn take(track: &Outgoing, ticks: usize) -> usize {
    let taken = (0..ticks).filter_map(|_| track.next(0).flatten()).count();
    track.handed_over();
    taken
}

#[test]
fn what_is_left_waits_for_a_connection_once_nothing_more_is_written() {
    let (track, totals) = track();
    let sound: Vec<i16> = (0..20 * FRAME).map(|n| ((n as f64 * 0.06).sin() * 8_000.0) as i16).collect();
    track.write_s16(&sound).expect("room");
    assert_eq!(take(&track, 5), 5);
    // Without a connection what is said is gone, as long as more may follow.
    track.remove_writer(Generation(1));
    assert_eq!(take(&track, 5), 5);
    // The rest has been promised.
    track.finish();
    let left = track.buffered_ms();
    assert_eq!((take(&track, 50), track.buffered_ms(), track.is_heard()), (0, left, false));
    // A connection that is not negotiated yet carries nothing.
    track.add_writer(Generation(2), Arc::new(Wire));
    assert_eq!((take(&track, 50), track.buffered_ms()), (0, left));
    assert!(!track.set_on_air(true), "it is paced already");
    assert!(take(&track, 5) == 5 && track.buffered_ms() < left);
    // It is lost as well: what is unsent is counted.
    track.remove_writer(Generation(2));
    let left = track.buffered_ms();
    assert_eq!(take(&track, 50), 0);
    track.stop();
    assert_eq!(totals.unsent_ms.load(Ordering::Relaxed), u64::from(left));
    assert!(left >= 80, "{left}");
}

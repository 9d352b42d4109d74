//! Packets as real senders and SFUs send them, with their wrong sequence numbers and timestamps. Each schedule says
//! which packet arrives when, and what must be played and counted.

mod media_support;

use std::time::Duration;

use bytes::Bytes;
use media_support::{Chance, Play};
use offhook::media::{
    audio::{
        opus::Encoder,
        payload::{PayloadTypes, Taken},
        receive::{AudioReceiveConfig, AudioReceiver, ReceiveStats},
    },
    rtp::RtpPacket,
    transform::Identity,
};

const OPUS: u8 = 111;
const COMFORT_NOISE: u8 = 13;
const TELEPHONE_EVENT: u8 = 101;

/// A loud tone as packets of 20 ms: every frame that is not played shows.
fn tone(packets: usize) -> Vec<Bytes> {
    let mut encoder = Encoder::new(&Default::default()).unwrap();
    let frame = |n: usize| -> Vec<f32> {
        let at = |i: usize| ((n * 960 + i) as f32 * 0.0576).sin() * 0.4;
        (0..960).map(at).collect()
    };
    (0..packets).map(|n| encoder.encode_f32(&frame(n)).unwrap()).collect()
}

/// One packet, and its arrival time.
#[derive(Clone, Debug)]
struct Entry {
    at_ms: u64,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    payload: Bytes,
}

/// A steady stream of a tone; tests modify it.
fn steady(packets: usize) -> Vec<Entry> {
    let entry = |(i, payload): (usize, Bytes)| Entry {
        at_ms: i as u64 * 20,
        ssrc: 7,
        payload_type: OPUS,
        sequence: 65_500u16.wrapping_add(i as u16),
        timestamp: (u32::MAX - 50_000).wrapping_add(i as u32 * 960),
        payload,
    };
    tone(packets).into_iter().enumerate().map(entry).collect()
}

#[derive(Debug, Default)]
struct Played {
    stats: ReceiveStats,
    /// Per pull: time, loudness, whether it was marked as concealed, RTP timestamp.
    pulls: Vec<(u64, f32, bool, u32)>,
}

impl Played {
    /// Frames between two times that are quieter than the tone.
    fn quiet(&self, from_ms: u64, until_ms: u64) -> usize {
        let quiet: Vec<_> = self.within(from_ms, until_ms).filter(|(_, level, _, _)| *level < 0.15).collect();
        if !quiet.is_empty() {
            println!("quiet: {quiet:?}");
        }
        quiet.len()
    }

    fn loud(&self) -> usize {
        self.pulls.iter().filter(|(_, level, _, _)| *level >= 0.15).count()
    }

    fn within(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = &(u64, f32, bool, u32)> {
        self.pulls.iter().filter(move |(at, ..)| (from_ms..until_ms).contains(at))
    }

    /// lost, late, duplicates, discarded, concealed.
    fn damage(&self) -> [u64; 5] {
        let s = &self.stats;
        [s.lost, s.late, s.duplicates, s.discarded, s.concealed_frames]
    }
}

/// Plays a schedule; the player's grid is 7 ms off the sender's.
fn play(schedule: &[Entry]) -> Played {
    let mut receiver = AudioReceiver::new(AudioReceiveConfig::default()).unwrap();
    receiver.accept(PayloadTypes::of([OPUS, 109]));
    let mut played = Played::default();
    let mut entries = schedule.iter().peekable();
    let end = schedule.iter().map(|e| e.at_ms).max().unwrap_or(0) + 400;
    // Whole seconds without packets are skipped: the track is idle then.
    let mut ms = 0;
    while ms < end {
        while let Some(entry) = entries.next_if(|entry| entry.at_ms <= ms) {
            let Entry { ssrc, payload_type, sequence, timestamp, payload, .. } = entry.clone();
            let arrival = Duration::from_millis(ms);
            let packet = RtpPacket { ssrc, payload_type, sequence, timestamp, payload, arrival, ..Default::default() };
            let taken = receiver.take(packet, &mut Identity);
            let expected = match (entry.payload.is_empty(), [OPUS, 109].contains(&payload_type)) {
                (true, _) => Taken::Padding,
                (false, opus) => {
                    if opus {
                        Taken::Audio
                    } else {
                        Taken::Unplayable
                    }
                }
            };
            assert_eq!(taken, expected);
        }
        if ms % 20 == 7 {
            let now = Duration::from_millis(ms);
            if let Some(pulled) = receiver.play(now) {
                played.pulls.push((ms, pulled.level, pulled.concealed, pulled.timestamp));
            }
            let next = entries.peek().map_or(ms, |entry| entry.at_ms);
            if receiver.idle(now) && next > ms + 1_000 {
                ms = next / 20 * 20 - 20;
            }
        }
        ms += 1;
    }
    played.stats = receiver.stats();
    played
}

#[test]
fn a_clock_that_stands_still_in_a_pause_costs_nothing() {
    for pause in [60, 100, 150, 300, 700, 5_000, 20_000, 3_600_000] {
        let mut schedule = steady(200);
        for entry in &mut schedule[100..] {
            entry.at_ms += pause;
        }
        let played = play(&schedule);
        assert_eq!(played.damage(), [0; 5], "{pause} ms: {:?}", played.stats);
        assert_eq!(played.stats.restarts, 0);
        // From shortly after the pause there is no break, and no frame is missing.
        let again = 2_000 + pause;
        assert_eq!(played.quiet(again + 80, again + 2_000), 0, "{pause} ms is quiet");
        assert!(played.loud() >= 198, "{pause} ms: {} frames played", played.loud());
        assert!(played.stats.delay_ms < 70.0, "{pause} ms: {:?}", played.stats);
        // The reported time is the sender's, pause or not.
        let last = played.within(again + 1_000, again + 1_001 + 20).next().unwrap();
        let media = last.3.wrapping_sub(schedule[0].timestamp) / 48;
        assert!((2_900..3_060).contains(&media), "{pause} ms: {media}");
    }
}

#[test]
fn many_short_pauses_without_a_clock_do_not_add_up() {
    for pause in [50, 90, 150, 400] {
        let mut schedule = steady(600);
        for (i, entry) in schedule.iter_mut().enumerate() {
            entry.at_ms += (i / 30) as u64 * pause;
        }
        let played = play(&schedule);
        assert_eq!(played.damage()[..4], [0; 4], "{pause} ms: {:?}", played.stats);
        assert_eq!(played.damage()[4], 0, "{pause} ms: {:?}", played.stats);
        assert!(played.loud() >= 590, "{pause} ms: {} frames played", played.loud());
        assert!(played.stats.delay_ms < 90.0, "{pause} ms: {:?}", played.stats);
    }
}

#[test]
fn a_lost_packet_beside_such_a_pause_is_one_lost_packet() {
    let mut schedule = steady(200);
    for entry in &mut schedule[100..] {
        entry.at_ms += 3_000;
    }
    schedule.remove(100);
    let played = play(&schedule);
    assert_eq!(played.damage()[..4], [1, 0, 0, 0], "{:?}", played.stats);
    assert_eq!(played.quiet(5_120, 7_000), 0, "quiet");
}

#[test]
fn timestamps_a_little_off_are_not_pauses() {
    let mut chance = Chance::new(4);
    for kind in 0..3 {
        let mut schedule = steady(500);
        for (i, entry) in schedule.iter_mut().enumerate() {
            let off = match kind {
                0 => [240i32, -240][i % 2],
                1 => chance.below(481) as i32 - 240,
                _ => [0, 240, 0, -240, -240, 120][i % 6],
            };
            entry.timestamp = entry.timestamp.wrapping_add_signed(off);
        }
        let played = play(&schedule);
        assert_eq!(played.damage(), [0; 5], "{kind}: {:?}", played.stats);
        assert_eq!(played.quiet(100, 9_900), 0, "{kind} is quiet");
        assert!(played.within(0, 9_990).all(|(_, _, concealed, _)| !concealed), "{kind}");
        assert!(played.stats.delay_ms < 70.0, "{kind}: {:?}", played.stats);
        // Real losses among them are counted once each, and concealed or recovered.
        let kept: Vec<_> = schedule.iter().enumerate().filter(|(i, _)| i % 25 != 20).map(|(_, e)| e.clone()).collect();
        let played = play(&kept);
        assert_eq!(played.damage()[..4], [20, 0, 0, 0], "{kind}: {:?}", played.stats);
        assert!(played.stats.concealed_frames + played.stats.fec_frames >= 20, "{kind}: {:?}", played.stats);
        assert!(played.stats.concealed_frames <= 40, "{kind}: {:?}", played.stats);
    }
}

#[test]
fn a_clock_that_is_wrong_is_outvoted_by_number_and_arrival() {
    type Clock = fn(usize) -> i64;
    let clocks: [(&str, Clock); 6] = [
        ("stands still", |i| if (100..160).contains(&i) { 100 * 960 } else { i as i64 * 960 }),
        ("never moves", |_| 5),
        ("jumps back", |i| i as i64 * 960 - if i >= 100 { 700_000 } else { 0 }),
        ("jumps ahead by 5 s", |i| i as i64 * 960 + if i >= 100 { 240_000 } else { 0 }),
        ("jumps ahead by 200 ms", |i| i as i64 * 960 + if i >= 100 { 9_600 } else { 0 }),
        ("jumps ahead by hours", |i| i as i64 * 960 + if i >= 100 { 2_000_000_000 } else { 0 }),
    ];
    for (name, clock) in clocks {
        let mut schedule = steady(300);
        for (i, entry) in schedule.iter_mut().enumerate() {
            entry.timestamp = (clock(i) as u32).wrapping_add(4_000);
        }
        let played = play(&schedule);
        assert_eq!(played.damage(), [0; 5], "{name}: {:?}", played.stats);
        assert_eq!(played.stats.restarts, 0, "{name}");
        assert_eq!(played.quiet(100, 5_900), 0, "{name} is quiet");
        assert!(played.stats.delay_ms < 70.0, "{name}: {:?}", played.stats);
    }
}

#[test]
fn numbers_that_are_wrong_are_outvoted_by_clock_and_arrival() {
    for (name, shift, lost) in [("ahead", 40u16, 0), ("far ahead", 5_000, 0), ("back", 0u16.wrapping_sub(60), 0)] {
        let mut schedule = steady(300);
        for entry in &mut schedule[150..] {
            entry.sequence = entry.sequence.wrapping_add(shift);
        }
        let played = play(&schedule);
        assert_eq!(played.damage()[..4], [lost, 0, 0, 0], "{name}: {:?}", played.stats);
        // One packet waits for the next before either is accepted.
        assert!(played.stats.concealed_frames <= 1, "{name}: {:?}", played.stats);
        assert!(played.quiet(100, 5_900) == 0 && played.loud() >= 297, "{name} is quiet");
    }
}

#[test]
fn a_new_ssrc_or_payload_type_goes_on_without_a_break() {
    // (SSRC, payload type, sequence, timestamp) of the packets that follow, all without a new offer.
    let new_streams =
        [(8, OPUS, 3, 77), (7, 109, 20_000, 1_000_000), (9, 109, 65_510, 5), (7, 109, 65_530, 2_000_000_000)];
    for (ssrc, payload_type, sequence, timestamp) in new_streams {
        let mut schedule = steady(300);
        for (i, entry) in schedule[150..].iter_mut().enumerate() {
            (entry.ssrc, entry.payload_type) = (ssrc, payload_type);
            entry.sequence = (sequence as u16).wrapping_add(i as u16);
            entry.timestamp = (timestamp as u32).wrapping_add(i as u32 * 960);
        }
        let played = play(&schedule);
        assert_eq!(played.damage()[..4], [0; 4], "{ssrc} {payload_type}: {:?}", played.stats);
        assert!(played.stats.concealed_frames <= 1, "{ssrc} {payload_type}: {:?}", played.stats);
        assert_eq!(played.stats.restarts, 1, "{ssrc} {payload_type}");
        assert!(played.quiet(100, 5_900) == 0 && played.loud() >= 297, "{ssrc} {payload_type} is quiet");
    }
    // Another payload type alone is no restart.
    let mut schedule = steady(300);
    schedule[150..].iter_mut().for_each(|entry| entry.payload_type = 109);
    let played = play(&schedule);
    assert_eq!((played.damage(), played.stats.restarts), ([0; 5], 0));
}

#[test]
fn last_packets_of_an_old_ssrc_do_not_bring_it_back() {
    let (old, new) = (steady(170), steady(300));
    let mut schedule = old;
    schedule.extend(new.into_iter().skip(150).enumerate().map(|(i, entry)| Entry {
        at_ms: entry.at_ms + 1,
        ssrc: 8,
        sequence: 9_000 + i as u16,
        timestamp: i as u32 * 960,
        ..entry
    }));
    schedule.sort_by_key(|entry| entry.at_ms);
    let played = play(&schedule);
    assert_eq!(played.stats.restarts, 1, "{:?}", played.stats);
    assert_eq!((played.stats.lost, played.stats.discarded), (0, 0), "{:?}", played.stats);
    assert!((15..=20).contains(&played.stats.late), "{:?}", played.stats);
    assert_eq!(played.quiet(100, 5_900), 0, "quiet");
}

#[test]
fn what_is_not_opus_is_counted_and_never_decoded() {
    // Comfort noise in a pause of two seconds, telephone events among the audio.
    let mut schedule = Vec::new();
    let mut sequence = 100u16;
    let mut add = |at_ms: u64, payload_type: u8, payload: Bytes| {
        let timestamp = at_ms as u32 * 48;
        schedule.push(Entry { at_ms, ssrc: 7, payload_type, sequence, timestamp, payload });
        sequence += 1;
    };
    let opus_audio = tone(200);
    for (i, payload) in opus_audio[..100].iter().enumerate() {
        add(i as u64 * 20, OPUS, payload.clone());
        if i % 10 == 9 {
            add(i as u64 * 20 + 1, TELEPHONE_EVENT, Bytes::from_static(&[5, 0x0a, 0, 160]));
        }
    }
    for i in 0..10 {
        // By its first byte it would be an Opus packet.
        add(2_000 + i * 200, COMFORT_NOISE, Bytes::from_static(&[0xf8, 0xff, 0xfe, 1, 2, 3]));
    }
    for (i, payload) in opus_audio[100..].iter().enumerate() {
        add(4_000 + i as u64 * 20, OPUS, payload.clone());
    }
    let played = play(&schedule);
    assert_eq!(played.damage(), [0; 5], "{:?}", played.stats);
    assert_eq!(
        (played.stats.unplayable, played.stats.padding, played.stats.received),
        (20, 0, 220),
        "{:?}",
        played.stats
    );
    assert!(played.quiet(100, 1_990) == 0 && played.quiet(4_080, 6_000) == 0, "quiet");
    assert!(played.within(2_200, 4_000).all(|(_, level, _, _)| *level < 0.001), "quiet");
    // A stream without Opus packets plays nothing.
    schedule.retain(|entry| entry.payload_type != OPUS);
    let played = play(&schedule);
    assert!(played.pulls.is_empty() && played.stats.unplayable == 20, "{:?}", played.stats);
}

#[test]
fn padding_is_neither_audio_nor_loss() {
    // As an SFU sends it to probe the bandwidth: bursts between packets, more of it in pauses, with the timestamp of
    // the last packet, and consecutive sequence numbers.
    let (mut schedule, mut padding, mut lost) = (Vec::new(), 0, 0);
    let mut sequence = 65_000u16;
    for (i, payload) in tone(400).into_iter().enumerate() {
        let at_ms = i as u64 * 20 + if i >= 200 { 3_000 } else { 0 };
        let timestamp = at_ms as u32 * 48;
        let opus_audio = Entry { at_ms, ssrc: 7, payload_type: OPUS, sequence, timestamp, payload };
        sequence = sequence.wrapping_add(1);
        if i % 50 == 30 {
            lost += 1;
        } else {
            schedule.push(opus_audio.clone());
        }
        let burst = if i == 199 { 400 } else { [0, 0, 3, 0, 1][i % 5] };
        for n in 0..burst {
            let at_ms = at_ms + 1 + if i == 199 { n * 7 } else { 0 };
            schedule.push(Entry { at_ms, sequence, payload: Bytes::new(), ..opus_audio.clone() });
            sequence = sequence.wrapping_add(1);
            padding += 1;
        }
    }
    let played = play(&schedule);
    assert_eq!(played.stats.padding, padding, "{:?}", played.stats);
    assert_eq!(played.damage()[..4], [lost, 0, 0, 0], "{:?}", played.stats);
    let bridged = played.stats.concealed_frames + played.stats.fec_frames;
    assert!((lost..=2 * lost).contains(&bridged), "{lost}: {:?}", played.stats);
    // Frames rebuilt from FEC may be quieter.
    assert!(played.quiet(100, 3_990) as u64 + played.quiet(7_080, 10_980) as u64 <= lost, "quiet");
    // Padding that is itself lost is no missing audio.
    let beside = |e: &&Entry| !e.payload.is_empty() || (3_980..7_000).contains(&e.at_ms);
    let kept: Vec<_> = schedule.iter().filter(beside).cloned().collect();
    let played = play(&kept);
    assert_eq!(played.damage()[..4], [lost, 0, 0, 0], "{:?}", played.stats);
    assert!(played.stats.concealed_frames + played.stats.fec_frames <= 2 * lost, "{:?}", played.stats);
}

#[test]
fn a_network_that_held_packets_up_is_not_a_pause() {
    // 400 ms are held back and arrive at once, again and again: the delay comes back down.
    let mut schedule = steady(2_950);
    for entry in &mut schedule {
        let within = entry.at_ms % 15_000;
        if (2_000..2_400).contains(&within) {
            entry.at_ms += 2_400 - within;
        }
    }
    let played = play(&schedule);
    assert_eq!((played.stats.lost, played.stats.restarts), (0, 0), "{:?}", played.stats);
    assert!(played.stats.delay_ms < 110.0, "{:?}", played.stats);
    assert!(played.loud() >= 2_860, "{} {:?}", played.loud(), played.stats);
}

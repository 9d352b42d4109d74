//! A call between one sender and one receiver over a network made of numbers, in virtual time.
#![allow(dead_code, unused_imports)] // each test file uses its part

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use offhook::media::{
    self,
    audio::{
        opus::Encoder,
        payload::{PayloadTypes, Red},
        receive::{AudioReceiveConfig, AudioReceiver, ReceiveStats},
        red,
        send::{AudioFormat, AudioSendConfig},
    },
    rtp::RtpPacket,
    transform::Identity,
};

mod receiver;
mod sender;

pub use receiver::Play;
pub use sender::{AudioPacket, AudioSender};

/// Deterministic chance (xorshift64*).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit.max(1)
    }
}

/// Mono speech and its rate.
pub struct Speech {
    pub rate: u32,
    pub samples: Vec<i16>,
}

/// A recording of `examples/speech`.
pub fn wav(name: &str) -> Speech {
    let path = format!("{}/examples/speech/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let mut reader = hound::WavReader::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(reader.spec().channels, 1);
    let samples = reader.samples::<i16>().map(Result::unwrap).collect();
    Speech { rate: reader.spec().sample_rate, samples }
}

/// The speech at another rate, by linear interpolation (good enough to compare and to feed with), the
/// same in each channel.
pub fn resampled(speech: &Speech, rate: u32, channels: u8) -> Vec<i16> {
    let frames = speech.samples.len() as u64 * u64::from(rate) / u64::from(speech.rate);
    let mut out = Vec::new();
    for i in 0..frames {
        let at = i as f64 * f64::from(speech.rate) / f64::from(rate);
        let (index, part) = (at as usize, at.fract());
        let a = f64::from(speech.samples[index]);
        let b = f64::from(*speech.samples.get(index + 1).unwrap_or(&0));
        out.extend(std::iter::repeat_n((a + (b - a) * part) as i16, usize::from(channels)));
    }
    out
}

/// The speech as Opus packets of 20 ms.
pub fn packets(speech: &Speech) -> Vec<Bytes> {
    let mut encoder = Encoder::new(&Default::default()).unwrap();
    resampled(speech, 48_000, 1).chunks_exact(960).map(|frame| encoder.encode_s16(frame).unwrap()).collect()
}

/// Several packets of one frame as one packet (RFC 6716 section 3.2.5, code 3 VBR), if their
/// configurations agree.
pub fn joined(packets: &[Bytes]) -> Option<Bytes> {
    if packets.len() == 1 {
        return Some(packets[0].clone());
    }
    let toc = packets[0][0];
    let mut out = vec![toc | 3, 0x80 | packets.len() as u8];
    for packet in packets {
        if packet[0] != toc || toc & 3 != 0 {
            return None;
        }
    }
    for packet in &packets[..packets.len() - 1] {
        let size = packet.len() - 1;
        if size < 252 {
            out.push(size as u8);
        } else {
            let first = 252 + (size & 3);
            out.push(first as u8);
            out.push(((size - first) / 4) as u8);
        }
    }
    for packet in packets {
        out.extend_from_slice(&packet[1..]);
    }
    Some(Bytes::from(out))
}

/// What the network does with a packet; times in ms.
pub enum Path {
    After(u64),
    Twice(u64, u64),
    Lost,
}

/// One direction of a call.
pub struct Call {
    /// The receiving application's.
    pub rate: u32,
    pub channels: u8,
    /// How often the speech is said.
    pub repeat: usize,
    pub sequence_shift: Option<u16>,
    pub timestamp_shift: Option<u32>,
    /// Earlier frames sent along with each packet.
    pub red: usize,
    /// Least delay of the jitter buffer.
    pub min_delay_ms: u64,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            rate: 48_000,
            channels: 1,
            repeat: 1,
            sequence_shift: None,
            timestamp_shift: None,
            red: 0,
            min_delay_ms: 20,
        }
    }
}

/// What arrived.
pub struct Played {
    pub rate: u32,
    /// First channel.
    pub samples: Vec<i16>,
    pub stats: ReceiveStats,
    /// Packets the network lost before the last one that arrived.
    pub dropped: u64,
    pub first_pcm_ms: u64,
    pub flagged_concealed: u64,
    /// Of the 100 ms windows, those of which a part was concealed or rebuilt from FEC.
    pub damaged_windows: u64,
    repeat: usize,
}

impl Call {
    /// Says `speech`; `network` is asked for each packet (number, ms when sent).
    pub fn run(&self, speech: &Speech, mut network: impl FnMut(u64, u64) -> Path) -> Played {
        let input = AudioFormat::Pcm { rate: speech.rate, channels: 1 };
        let mut sender = AudioSender::new(AudioSendConfig { input, seed: 42, ..Default::default() }).unwrap();
        let min_delay = Duration::from_millis(self.min_delay_ms);
        let (rate, channels) = (self.rate, self.channels);
        let max_delay = min_delay.max(Duration::from_millis(200));
        let config = AudioReceiveConfig { rate, channels, min_delay, max_delay, ..Default::default() };
        let mut receiver = AudioReceiver::new(config).unwrap();
        receiver.accept(PayloadTypes::of([111]).with_red(Some(Red { outer: 63, inner: 111 })));
        let mut original = speech.samples.repeat(self.repeat.max(1));
        original.resize(original.len() + speech.rate as usize / 2, 0);
        let mut pieces = original.chunks(speech.rate as usize / 50);
        let mut played = Played {
            rate: self.rate,
            samples: Vec::new(),
            stats: ReceiveStats::default(),
            dropped: 0,
            first_pcm_ms: 0,
            flagged_concealed: 0,
            damaged_windows: 0,
            repeat: self.repeat.max(1),
        };
        let mut wire: BTreeMap<(u64, u64), AudioPacket> = BTreeMap::new();
        let (mut sent, mut copies, mut lost_in_a_row) = (0u64, 0u64, 0u64);
        let mut offsets = None;
        let mut first_arrival = None;
        let mut redundant = red::Encoder::new(self.red);
        let (mut pulls, mut damaged) = (0, false);
        for ms in 0..(original.len() as u64 * 1_000 / u64::from(speech.rate) + 500) {
            // The sender ticks at 0, 20, ..., the receiver 7 ms later: their grids never agree.
            if ms % 20 == 0 {
                if let Some(piece) = pieces.next() {
                    sender.write_s16(piece).unwrap();
                }
                if let Some(mut packet) = sender.next_packet(false) {
                    let (sequence, timestamp) = *offsets.get_or_insert((packet.sequence, packet.timestamp));
                    if let Some(shift) = self.sequence_shift {
                        packet.sequence = packet.sequence.wrapping_sub(sequence).wrapping_add(shift);
                    }
                    if let Some(shift) = self.timestamp_shift {
                        packet.timestamp = packet.timestamp.wrapping_sub(timestamp).wrapping_add(shift);
                    }
                    if self.red > 0 {
                        packet.payload = redundant.packet(packet.timestamp, &packet.payload, 111);
                    }
                    let mut arrive = |after: u64| {
                        copies += 1;
                        wire.insert((ms + after, copies), packet.clone());
                    };
                    match network(sent, ms) {
                        Path::After(after) => arrive(after),
                        Path::Twice(a, b) => {
                            arrive(a);
                            arrive(b);
                        }
                        Path::Lost => lost_in_a_row += 1,
                    }
                    if !wire.is_empty() {
                        played.dropped += std::mem::take(&mut lost_in_a_row);
                    }
                    sent += 1;
                }
            }
            let now = Duration::from_millis(ms);
            while let Some(entry) = wire.first_entry().filter(|entry| entry.key().0 <= ms) {
                let packet = entry.remove();
                first_arrival.get_or_insert(ms);
                if self.red == 0 {
                    receiver.push(packet.sequence, packet.timestamp, packet.payload, now);
                    continue;
                }
                let AudioPacket { sequence, timestamp, payload, .. } = packet;
                let (ssrc, payload_type) = (1, 63);
                let arrived =
                    RtpPacket { ssrc, payload_type, sequence, timestamp, payload, arrival: now, ..Default::default() };
                receiver.take(arrived, &mut Identity);
            }
            if ms % 20 == 7 {
                match receiver.play(now) {
                    Some(pulled) => {
                        if played.samples.is_empty() {
                            played.first_pcm_ms = ms - first_arrival.unwrap();
                            // What was not heard yet counts as delay.
                            played.samples.resize(ms as usize * self.rate as usize / 1_000, 0);
                        }
                        assert_eq!(pulled.samples.len(), pulled.frames * usize::from(self.channels));
                        assert_eq!(pulled.samples_f32.len(), pulled.samples.len());
                        played.flagged_concealed += u64::from(pulled.concealed);
                        damaged |= pulled.concealed || pulled.fec;
                        pulls += 1;
                        if pulls % 5 == 0 {
                            played.damaged_windows += u64::from(std::mem::take(&mut damaged));
                        }
                        played.samples.extend(pulled.samples.iter().step_by(usize::from(self.channels)));
                    }
                    None if played.samples.is_empty() => {}
                    None => played.samples.resize(played.samples.len() + self.rate as usize / 50, 0),
                }
            }
        }
        played.stats = receiver.stats();
        played
    }
}

impl Played {
    /// Best normalised correlation with the speech below 3 kHz, and the delay in ms at which it is.
    /// (Above, half a sample of delay would already count as a difference.)
    pub fn correlation(&self, speech: &Speech) -> (f64, f64) {
        let original = Speech { rate: speech.rate, samples: speech.samples.repeat(self.repeat) };
        best_lag(&narrow(&original), &self.narrow(), 0, COMPARED / 2)
    }

    /// As `correlation`, of the last four seconds of the speech alone.
    pub fn tail_correlation(&self, speech: &Speech) -> f64 {
        let original = Speech { rate: speech.rate, samples: speech.samples.repeat(self.repeat) };
        let original = narrow(&original);
        let start = original.len() - 4 * COMPARED;
        best_lag(&original[start..], &self.narrow(), start, COMPARED).0
    }

    fn narrow(&self) -> Vec<f32> {
        narrow(&Speech { rate: self.rate, samples: self.samples.clone() })
    }
}

/// Rate in Hz at which sounds are compared.
const COMPARED: usize = 16_000;

/// The speech at `COMPARED` without anything above 3 kHz, by a Hann-windowed sinc.
fn narrow(speech: &Speech) -> Vec<f32> {
    let rate = f64::from(speech.rate);
    let reach = (rate / 3_000.0 * 4.0) as i64;
    // Tabulated: the sinc is evaluated a hundred times per sample.
    let table: Vec<f32> = (0..=2_000)
        .map(|i| {
            let x = f64::from(i) / 2_000.0;
            let phase = x * 4.0 * 2.0 * std::f64::consts::PI;
            let sinc = if i == 0 { 1.0 } else { phase.sin() / phase };
            (sinc * (0.5 + 0.5 * (x * std::f64::consts::PI).cos()) * 6_000.0 / rate) as f32
        })
        .collect();
    (0..speech.samples.len() * COMPARED / speech.rate as usize)
        .map(|i| {
            let at = i as f64 * rate / COMPARED as f64;
            let centre = at as i64;
            (centre - reach + 1..centre + reach)
                .filter_map(|k| {
                    let sample = speech.samples.get(usize::try_from(k).ok()?)?;
                    let x = ((k as f64 - at).abs() / reach as f64 * 2_000.0) as usize;
                    Some(f32::from(*sample) * table.get(x)?)
                })
                .sum()
        })
        .collect()
}

fn best_lag(original: &[f32], played: &[f32], start: usize, most: usize) -> (f64, f64) {
    let correlate = |lag: usize, step: usize| -> f64 {
        let played = &played[(start + lag).min(played.len())..];
        let (mut xy, mut xx, mut yy) = (0f64, 0f64, 0f64);
        for (x, y) in original.iter().zip(played).step_by(step) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            xy += x * y;
            xx += x * x;
            yy += y * y;
        }
        xy / (xx * yy).sqrt().max(1.0)
    };
    // A sparse look for the place, then the exact value.
    let near = (0..most).max_by(|a, b| correlate(*a, 37).total_cmp(&correlate(*b, 37))).unwrap();
    (near.saturating_sub(5)..near + 5)
        .map(|lag| (correlate(lag, 1), lag as f64 * 1_000.0 / COMPARED as f64))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

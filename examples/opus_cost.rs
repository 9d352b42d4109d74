//! Measures what 20 ms of speech cost to encode at each complexity, to decode, and to send and
//! receive in full: `cargo run --release --example opus_cost`. The default complexity rests on it.

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use offhook::media::{
    audio::{
        opus::{Decoder, Encoder, EncoderConfig, MAX_FRAMES},
        receive::{AudioReceiveConfig, AudioReceiver},
        send::{AudioCoder, AudioFormat, AudioInput, AudioSendConfig, Reach},
    },
    frame::FrameSource,
};

struct Input(RefCell<AudioInput>);

impl Reach for Input {
    fn reach<T>(&self, look: impl FnOnce(&mut AudioInput) -> T) -> T {
        look(&mut self.0.borrow_mut())
    }
}

/// Mono 16-bit PCM of a WAV file with the plain 44-byte header that `examples/speech` has.
fn speech(name: &str) -> Vec<i16> {
    let path = format!("{}/examples/speech/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// CPU time of this thread in microseconds; wall time would count whoever else is running.
fn cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("a number") / 1e3
}

fn per_frame(frames: usize, mut work: impl FnMut()) -> f64 {
    // The best of several runs: what disturbs only ever adds.
    let runs = (0..5).map(|_| {
        let start = cpu_us();
        work();
        (cpu_us() - start) / frames as f64
    });
    runs.fold(f64::INFINITY, f64::min)
}

fn encode(config: &EncoderConfig, frames: &[&[i16]]) -> Vec<Bytes> {
    let mut encoder = Encoder::new(config).unwrap();
    frames.iter().map(|frame| encoder.encode_s16(frame).unwrap()).collect()
}

fn decode(packets: &[Bytes]) {
    let mut decoder = Decoder::new(48_000, 1).unwrap();
    let mut out = vec![0.0; MAX_FRAMES];
    for packet in packets {
        decoder.decode(packet, &mut out).unwrap();
    }
}

fn main() {
    let bob = speech("bob");
    let frames: Vec<&[i16]> = bob.chunks_exact(960).collect();
    for (bitrate, fec) in [(32_000, true), (32_000, false), (64_000, true), (64_000, false)] {
        for complexity in [0, 2, 4, 5, 6, 7, 8, 10] {
            let config = EncoderConfig { complexity, bitrate, fec, ..EncoderConfig::default() };
            let mut packets = Vec::new();
            let encoding = per_frame(frames.len(), || packets = encode(&config, &frames));
            let decoding = per_frame(frames.len(), || decode(&packets));
            let celt = packets.iter().filter(|packet| packet[0] & 0x80 != 0).count();
            let bytes: usize = packets.iter().map(Bytes::len).sum();
            println!(
                "{bitrate} bit/s fec {fec} complexity {complexity:2}: encode {encoding:4.0} us, \
                 decode {decoding:3.0} us, {:.1} kbit/s, {celt} of {} frames in CELT mode",
                bytes as f64 * 8.0 / (frames.len() as f64 * 20.0),
                packets.len()
            );
        }
    }
    for (name, rate) in [("bob", 48_000u32), ("alice", 16_000)] {
        let speech = speech(name);
        let frames: Vec<&[i16]> = speech.chunks_exact(rate as usize / 50).collect();
        let mut packets = Vec::new();
        let send = per_frame(frames.len(), || {
            let config = AudioSendConfig { input: AudioFormat::Pcm { rate, channels: 1 }, ..Default::default() };
            let input = Input(RefCell::new(AudioInput::new(&config).unwrap()));
            let mut source = AudioCoder::new(&config).unwrap().with(input);
            packets.clear();
            for (tick, frame) in (0..).zip(&frames) {
                source.input().reach(|input| input.write_s16(frame)).unwrap();
                packets.extend(source.poll(Duration::from_millis(tick * 20)));
            }
        });
        for rate in [rate, 44_100] {
            let receive = per_frame(packets.len(), || {
                let config = AudioReceiveConfig { rate, ..Default::default() };
                let mut receiver = AudioReceiver::new(config).unwrap();
                let mut samples: Vec<i16> = Vec::new();
                for (i, frame) in packets.iter().enumerate() {
                    let now = Duration::from_millis(i as u64 * 20);
                    receiver.push(i as u16, frame.rtp_time, frame.payload.clone(), now);
                    receiver.pull(now, &mut samples);
                }
            });
            println!("{name}: send {send:.0} us, receive at {rate} Hz {receive:.0} us per 20 ms");
        }
    }
}

//! A sender of sound in virtual time: input, source and packets in one object, a tick of 20 ms at a time.
#![allow(dead_code, unreachable_pub, missing_debug_implementations)] // each test uses its part

use super::media::audio::send::{AudioCoder, AudioInput, AudioSendConfig, AudioSource, Full, Reach, SendStats};
use super::media::frame::{EncodedFrame, FrameSource};
use super::media::rtp::{
    first_numbers,
    packetize::{OnePacketEach, Packetizer},
    RtpOut,
};
use bytes::Bytes;
use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

const TICK: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub struct AudioPacket {
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub has_level: bool,
    pub duration: u32,
    pub payload: Bytes,
}

#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<AudioInput>>);

impl Reach for Shared {
    fn reach<T>(&self, look: impl FnOnce(&mut AudioInput) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

#[derive(Debug)]
pub struct AudioSender {
    source: AudioSource<Shared>,
    packets: OnePacketEach,
    /// When the next tick begins.
    next: Duration,
}

/// Figures of both halves.
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    pub source: SendStats,
    pub dropped_ms: u64,
}

impl Deref for Stats {
    type Target = SendStats;

    fn deref(&self) -> &SendStats {
        &self.source
    }
}

impl AudioSender {
    pub fn new(config: AudioSendConfig) -> Result<Self, Box<dyn std::error::Error>> {
        let input = Shared(Arc::new(Mutex::new(AudioInput::new(&config).map_err(|e| e.message.to_string())?)));
        let source = AudioCoder::new(&config).map_err(|e| e.message.to_string())?.with(input);
        let packets = OnePacketEach::new(first_numbers(config.seed).0);
        Ok(Self { source, packets, next: Duration::ZERO })
    }

    fn input<T>(&self, look: impl FnOnce(&mut AudioInput) -> T) -> T {
        self.source.input().reach(look)
    }

    pub fn write_s16(&mut self, samples: &[i16]) -> Result<(), Full> {
        self.input(|input| input.write_s16(samples))
    }

    pub fn write_f32(&mut self, samples: &[f32]) -> Result<(), Full> {
        self.input(|input| input.write_f32(samples))
    }

    pub fn write_opus(&mut self, payload: Bytes, duration: u32) -> Result<(), String> {
        self.input(|input| input.write_opus(payload, duration)).map_err(|e| e.message.to_string())
    }

    pub fn room_frames(&self) -> usize {
        self.input(|input| input.room_frames())
    }

    pub fn capacity_frames(&self) -> usize {
        self.input(|input| input.capacity_frames())
    }

    pub fn buffered_ms(&self) -> u32 {
        self.input(|input| input.buffered_ms())
    }

    pub fn sent_ms(&self) -> u64 {
        self.input(|input| input.sent_ms())
    }

    pub fn is_drained(&self) -> bool {
        self.input(|input| input.is_drained())
    }

    pub fn clear(&mut self) -> u32 {
        self.input(|input| input.clear())
    }

    pub fn finish(&mut self) {
        self.input(|input| input.finish());
    }

    pub fn set_muted(&mut self, muted: bool) {
        self.input(|input| input.set_muted(muted));
    }

    pub fn set_dtx(&mut self, dtx: bool) {
        self.input(|input| input.set_dtx(dtx));
    }

    pub fn stats(&self) -> Stats {
        Stats { source: self.source.stats(), dropped_ms: self.input(|input| input.dropped_ms()) }
    }

    /// So many ticks were missed.
    pub fn skip(&mut self, ticks: u32) {
        self.source.pass(self.next + TICK * (ticks - 1));
        self.next += TICK * ticks;
    }

    /// The first packet of the tick that begins now.
    pub fn next_packet(&mut self, muted: bool) -> Option<AudioPacket> {
        self.set_muted(muted);
        let now = self.next;
        self.next += TICK;
        match self.source.poll(now) {
            Some(frame) => Some(self.packet(frame)),
            None => self.extra_packet(),
        }
    }

    /// Further packets until the next tick begins.
    pub fn extra_packet(&mut self) -> Option<AudioPacket> {
        let now = self.source.deadline().filter(|deadline| *deadline < self.next)?;
        let frame = self.source.poll(now.max(self.next - TICK))?;
        Some(self.packet(frame))
    }

    fn packet(&mut self, frame: EncodedFrame) -> AudioPacket {
        let (duration, has_level) = (frame.duration, frame.level_dbov.is_some());
        let mut packet = None;
        self.packets.packetize(frame, &mut |out| packet = Some(out));
        let RtpOut { sequence, timestamp, marker, payload, .. } = packet.expect("one packet each");
        AudioPacket { sequence, timestamp, marker, has_level, duration, payload }
    }
}

//! Opus (RFC 6716) for 20 ms frames at 48 kHz, and packet inspection without decoding.
//!
//! Must not know: RTP, queues, the application's sample rate. The only file of `media` that names
//! the codec crate.

use bytes::{Bytes, BytesMut};

use crate::error::{Code, Error, Result};

/// Samples per channel of one 20 ms frame at 48 kHz.
pub const FRAME: usize = 960;

/// Samples per channel of the longest packet, 120 ms, at 48 kHz (RFC 6716 section 3.2.5).
pub const MAX_FRAMES: usize = 5_760;

/// Largest packet the encoder may make, in bytes (RFC 6716 section 3.2.1: the largest frame).
const MAX_ENCODED: usize = 1_275;

/// Packets are cut from blocks of this size, so that most packets need no allocation.
const BLOCK: usize = 4_096;

/// Optimisation target of the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Application {
    /// Speech intelligibility.
    #[default]
    Voip,
    /// Faithful reproduction, e.g. of music.
    Audio,
}

/// Encoder settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderConfig {
    /// Channels to encode, 1 or 2.
    pub channels: u8,
    /// Target rate in bit/s, 6 000..=510 000.
    pub bitrate: u32,
    /// CPU effort, 0..=10. `examples/opus_cost.rs` shows what it costs; the default takes about 0.2 ms of a core per 20 ms
    /// of speech with FEC, a third of that in the CELT mode.
    pub complexity: u8,
    /// Send (almost) nothing while the input is silent.
    pub dtx: bool,
    /// Repeat a coarse copy of each voiced frame in the packet after it (RFC 6716 section 2.1.7).
    pub fec: bool,
    /// Expected packet loss, percent, 0..=100; FEC is only sent when this is > 0.
    pub expected_loss: u8,
    pub application: Application,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            channels: 1,
            bitrate: 64_000,
            complexity: 5,
            dtx: false,
            fec: true,
            expected_loss: 5,
            application: Application::Voip,
        }
    }
}

/// Bit rate per channel from which speech is encoded in the CELT mode. libopus changes over at this rate by itself, with
/// its VoIP setting at 8 kbit/s more.
const CELT: u32 = 64_000;

/// What the encoder cannot know about the next frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Each frame is sent twice (RED): FEC adds nothing.
    pub repeated: bool,
    /// A pause, of which DTX leaves out most.
    pub pause: bool,
}

impl EncoderConfig {
    fn uses_fec(&self, hints: Hints) -> bool {
        self.fec && self.expected_loss > 0 && !hints.repeated
    }

    /// Whether to encode speech as if it were music, in the CELT mode: it costs a third. FEC and the detection of speech
    /// for DTX exist in the other modes only.
    fn prefers_celt(&self, hints: Hints) -> bool {
        let is_fast_enough = self.bitrate >= CELT * u32::from(self.channels);
        is_fast_enough && self.application == Application::Voip && !self.uses_fec(hints) && !hints.pause
    }
}

fn failed(what: &'static str, error: ::opus::Error) -> Error {
    Error::new(Code::Media, format!("{what}: {}", error.code().description()))
}

fn layout(channels: u8) -> Result<::opus::Channels> {
    match channels {
        1 => Ok(::opus::Channels::Mono),
        2 => Ok(::opus::Channels::Stereo),
        _ => Err(Error::new(Code::Argument, "Opus takes 1 or 2 channels")),
    }
}

/// Encodes packets of 20 ms.
#[derive(Debug)]
pub struct Encoder {
    inner: ::opus::Encoder,
    config: EncoderConfig,
    hints: Hints,
    channels: usize,
    block: BytesMut,
}

impl Encoder {
    /// # Errors
    /// [`Code::Argument`] when a value is out of range, [`Code::Media`] when the codec fails.
    pub fn new(config: &EncoderConfig) -> Result<Self> {
        if !(6_000..=510_000).contains(&config.bitrate) {
            return Err(Error::new(Code::Argument, "the Opus bitrate must be 6000..=510000 bit/s"));
        }
        if config.complexity > 10 {
            return Err(Error::new(Code::Argument, "the Opus complexity must be 0..=10"));
        }
        if config.expected_loss > 100 {
            return Err(Error::new(Code::Argument, "the expected loss must be 0..=100 percent"));
        }
        let mode = match config.application {
            Application::Voip => ::opus::Application::Voip,
            Application::Audio => ::opus::Application::Audio,
        };
        let open = |error| failed("cannot make an Opus encoder", error);
        let mut inner = ::opus::Encoder::new(super::RTP_RATE, layout(config.channels)?, mode).map_err(open)?;
        inner.set_bitrate(::opus::Bitrate::Bits(config.bitrate as i32)).map_err(open)?;
        inner.set_dtx(config.dtx).map_err(open)?;
        inner.set_complexity(i32::from(config.complexity)).map_err(open)?;
        inner.set_packet_loss_perc(i32::from(config.expected_loss)).map_err(open)?;
        let channels = usize::from(config.channels);
        let mut encoder = Self { inner, config: *config, hints: Hints::default(), channels, block: BytesMut::new() };
        encoder.apply().map_err(open)?;
        Ok(encoder)
    }

    fn apply(&mut self) -> std::result::Result<(), ::opus::Error> {
        self.inner.set_inband_fec(self.config.uses_fec(self.hints))?;
        self.inner.set_signal(match self.config.prefers_celt(self.hints) {
            true => ::opus::Signal::Music,
            false => ::opus::Signal::Auto,
        })
    }

    /// Sets the hints from the next frame on.
    ///
    /// # Errors
    /// [`Code::Media`] when the codec fails.
    pub fn set_hints(&mut self, hints: Hints) -> Result<()> {
        if std::mem::replace(&mut self.hints, hints) == hints {
            return Ok(());
        }
        self.apply().map_err(|error| failed("cannot set the signal of the Opus encoder", error))
    }

    /// Encodes exactly 20 ms of interleaved f32, -1..1. An empty or tiny result (<= 2 bytes) is DTX and need not be
    /// sent.
    ///
    /// # Errors
    /// [`Code::Argument`] when `frame` is not 20 ms long, [`Code::Media`] when the codec fails.
    pub fn encode_f32(&mut self, frame: &[f32]) -> Result<Bytes> {
        self.check(frame.len())?;
        self.room();
        let length = self
            .inner
            .encode_float(frame, &mut self.block[..MAX_ENCODED])
            .map_err(|error| failed("Opus encoding failed", error))?;
        Ok(self.cut(length))
    }

    /// As [`Encoder::encode_f32`], for i16.
    ///
    /// # Errors
    /// As [`Encoder::encode_f32`].
    pub fn encode_s16(&mut self, frame: &[i16]) -> Result<Bytes> {
        self.check(frame.len())?;
        self.room();
        let length = self
            .inner
            .encode(frame, &mut self.block[..MAX_ENCODED])
            .map_err(|error| failed("Opus encoding failed", error))?;
        Ok(self.cut(length))
    }

    /// Enables or disables discontinuous transmission from the next frame on.
    ///
    /// # Errors
    /// [`Code::Media`] when the codec fails.
    pub fn set_dtx(&mut self, dtx: bool) -> Result<()> {
        self.inner.set_dtx(dtx).map_err(|error| failed("cannot switch DTX", error))
    }

    /// Resets the encoder state; the settings stay.
    ///
    /// # Errors
    /// [`Code::Media`] when the codec fails.
    pub fn reset(&mut self) -> Result<()> {
        self.inner.reset_state().map_err(|error| failed("cannot reset the Opus encoder", error))
    }

    fn check(&self, samples: usize) -> Result<()> {
        if samples == FRAME * self.channels {
            Ok(())
        } else {
            Err(Error::new(Code::Argument, "an Opus frame must be 20 ms at 48 kHz"))
        }
    }

    /// Ensures space for at least one packet; a block whose packets were all dropped is reused.
    fn room(&mut self) {
        if self.block.len() < MAX_ENCODED {
            self.block.clear();
            self.block.reserve(BLOCK);
            let size = self.block.capacity();
            self.block.resize(size, 0);
        }
    }

    fn cut(&mut self, length: usize) -> Bytes {
        self.block.split_to(length.min(MAX_ENCODED)).freeze()
    }
}

/// Decodes packets to PCM.
#[derive(Debug)]
pub struct Decoder {
    inner: ::opus::Decoder,
    rate: u32,
    channels: usize,
}

impl Decoder {
    /// `rate` is one of [`Decoder::RATES`], `channels` 1 or 2; packets of either channel count are converted to it.
    ///
    /// # Errors
    /// [`Code::Argument`] when a value is out of range, [`Code::Media`] when the codec fails.
    pub fn new(rate: u32, channels: u8) -> Result<Self> {
        if !Self::RATES.contains(&rate) {
            return Err(Error::new(Code::Argument, "Opus decodes to 8, 12, 16, 24 or 48 kHz"));
        }
        let inner = ::opus::Decoder::new(rate, layout(channels)?)
            .map_err(|error| failed("cannot make an Opus decoder", error))?;
        Ok(Self { inner, rate, channels: usize::from(channels) })
    }

    /// Output rates in Hz that the decoder supports.
    pub const RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

    /// Output rate in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Decodes a packet of any duration into `out` (interleaved; space for 120 ms is always enough); returns the frames
    /// written.
    ///
    /// # Errors
    /// [`Code::Media`] when the packet is not Opus or `out` is too small for it.
    pub fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        if packet.is_empty() {
            // To the codec an empty packet means packet loss.
            return Err(Error::new(Code::Media, "an empty packet is not Opus"));
        }
        self.run(packet, out, false)
    }

    /// Fills `out` (a multiple of 2.5 ms) with the lost packet, rebuilt from the FEC in the packet after it; without
    /// FEC in `next` it is concealment.
    ///
    /// # Errors
    /// [`Code::Media`] when the packet is not Opus or the length is not valid.
    pub fn decode_fec(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize> {
        self.run(next, out, true)
    }

    /// Fills `out` (a multiple of 2.5 ms, at most 120 ms) by packet-loss concealment.
    ///
    /// # Errors
    /// [`Code::Media`] when the length is not valid.
    pub fn conceal(&mut self, out: &mut [f32]) -> Result<usize> {
        self.run(&[], out, false)
    }

    /// Resets the decoder state.
    ///
    /// # Errors
    /// [`Code::Media`] when the codec fails.
    pub fn reset(&mut self) -> Result<()> {
        self.inner.reset_state().map_err(|error| failed("cannot reset the Opus decoder", error))
    }

    fn run(&mut self, packet: &[u8], out: &mut [f32], fec: bool) -> Result<usize> {
        let frames =
            self.inner.decode_float(packet, out, fec).map_err(|error| failed("Opus decoding failed", error))?;
        // A damaged packet can decode to infinities, which would corrupt every later filter.
        let written = &mut out[..frames * self.channels];
        for sample in written {
            if !sample.is_finite() {
                *sample = 0.0;
            }
        }
        Ok(frames)
    }
}

/// Duration of a packet in 48 kHz samples, 120..=5760; `None` if it is not Opus.
pub fn duration(packet: &[u8]) -> Option<u32> {
    let samples = ::opus::packet::get_nb_samples(packet, super::RTP_RATE).ok()?;
    let samples = u32::try_from(samples).ok()?;
    (120..=MAX_FRAMES as u32).contains(&samples).then_some(samples)
}

/// Whether a packet is DTX and carries no audio: a TOC byte and at most one more byte.
pub fn is_dtx(packet: &[u8]) -> bool {
    packet.len() <= 2
}

/// Whether a packet carries FEC for the one before it (RFC 6716 section 4.2.4: the LBRR flags, one per channel, are at
/// fixed bits of the first frame). `false` if it cannot be determined.
pub fn has_fec(packet: &[u8]) -> bool {
    let [toc, rest @ ..] = packet else { return false };
    if toc & 0x80 != 0 {
        return false; // CELT-only packets have none.
    }
    // Start of the first frame, by the frame count code (RFC 6716 section 3.2).
    let first = match toc & 3 {
        0 | 1 => rest.first(),
        2 => match rest {
            [size, ..] if *size >= 252 => rest.get(2),
            _ => rest.get(1),
        },
        _ => None,
    };
    let Some(first) = first else { return false };
    // SILK frames per Opus frame: configurations 0..=11 are 10, 20, 40, 60 ms, hybrid ones 10, 20 ms.
    let config = toc >> 3;
    let frames = if config < 12 { [1, 1, 2, 3][usize::from(config & 3)] } else { 1 };
    let mono = first >> (7 - frames) & 1 == 1;
    let stereo = toc & 4 != 0 && first >> (6 - 2 * frames) & 1 == 1;
    mono || stereo
}

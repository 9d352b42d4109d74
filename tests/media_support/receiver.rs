//! Receiver operations that only tests need.

use offhook::media::{
    audio::{mix, receive::AudioReceiver},
    frame::{EncodedFrame, FrameReceiver},
};
use std::time::Duration;

/// 20 ms of audio in both sample formats.
#[derive(Clone, Debug)]
pub struct Audio {
    pub samples: Vec<i16>,
    pub samples_f32: Vec<f32>,
    pub frames: usize,
    pub concealed: bool,
    pub fec: bool,
    pub silence: bool,
    pub level: f32,
    pub timestamp: u32,
}

pub trait Play {
    fn play(&mut self, now: Duration) -> Option<Audio>;
    fn pull_opus(&mut self, now: Duration) -> Option<EncodedFrame>;
}

impl Play for AudioReceiver {
    fn play(&mut self, now: Duration) -> Option<Audio> {
        let mut samples_f32 = Vec::new();
        let pulled = self.pull::<f32>(now, &mut samples_f32)?;
        Some(Audio {
            samples: samples_f32.iter().map(|sample| mix::to_s16(*sample)).collect(),
            samples_f32,
            frames: pulled.frames,
            concealed: pulled.concealed,
            fec: pulled.fec,
            silence: pulled.silence,
            level: pulled.level,
            timestamp: pulled.timestamp,
        })
    }

    fn pull_opus(&mut self, now: Duration) -> Option<EncodedFrame> {
        self.poll(now)
    }
}

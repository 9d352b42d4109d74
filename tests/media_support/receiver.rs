//! What tests want of a receiver beside what applications do.

use offhook::media::{
    audio::{mix, receive::AudioReceiver},
    frame::{EncodedFrame, FrameReceiver},
};
use std::time::Duration;

/// 20 ms of sound in both forms.
#[derive(Clone, Debug)]
pub struct Sound {
    pub samples: Vec<i16>,
    pub samples_f32: Vec<f32>,
    pub frames: usize,
    pub concealed: bool,
    pub fec: bool,
    pub silence: bool,
    pub level: f32,
    pub timestamp: u32,
}

pub trait Hear {
    fn hear(&mut self, now: Duration) -> Option<Sound>;
    fn pull_opus(&mut self, now: Duration) -> Option<EncodedFrame>;
}

impl Hear for AudioReceiver {
    fn hear(&mut self, now: Duration) -> Option<Sound> {
        let mut samples_f32 = Vec::new();
        let pulled = self.pull::<f32>(now, &mut samples_f32)?;
        Some(Sound {
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

//! A track of ours as the server knows it: its name there, and what it was told of its mute. Must not know: when
//! something is said.

use super::outgoing;
use crate::core::model::*;
use offhook_proto::livekit as pb;
use pb::signal_request::Message;

/// A track of ours that was announced on the present session.
#[derive(Debug)]
pub(super) struct Own {
    pub cid: String,
    pub kind: TrackKind,
    pub mid: String,
    /// Whether it is to be muted, and what the server believes of that; `None`: nobody knows.
    pub wanted: bool,
    pub told: Option<bool>,
    /// Once the server has published it.
    pub info: Option<pb::TrackInfo>,
    /// The server knew it already, and does not say under which name: its confirmation was lost.
    pub queued: bool,
}

impl Own {
    pub fn announced(track: &TrackInfo) -> Self {
        Self {
            cid: track.track_id.clone(),
            kind: track.kind,
            mid: track.mid.clone(),
            wanted: track.muted,
            told: Some(track.muted),
            info: None,
            queued: false,
        }
    }

    pub fn sid(&self) -> Option<&str> {
        self.info.as_ref().map(|info| info.sid.as_str())
    }

    /// The server has named it; what it believes of mutes may be of before.
    pub fn confirmed(&mut self, info: pb::TrackInfo) -> Option<pb::SignalRequest> {
        self.told = Some(info.muted);
        self.info = Some(info);
        self.tell_mute()
    }

    /// What the server does not know yet of its mute.
    pub fn tell_mute(&mut self) -> Option<pb::SignalRequest> {
        let sid = self.info.as_ref().filter(|_| self.told != Some(self.wanted))?.sid.clone();
        self.told = Some(self.wanted);
        Some(outgoing::request(Message::Mute(pb::MuteTrackRequest { sid, muted: self.wanted })))
    }
}

//! A local track as the server knows it: its name there, and the mute state sent to the server. Must not know: when
//! something is sent.

use super::outgoing;
use crate::core::model::*;
use offhook_proto::livekit as pb;
use pb::signal_request::Message;

/// A local track that was announced in the current session.
#[derive(Debug)]
pub(super) struct LocalTrack {
    pub cid: String,
    pub kind: TrackKind,
    pub mid: String,
    /// The requested mute state, and the one that the server has; `None`: unknown.
    pub requested_mute: bool,
    pub sent_mute: Option<bool>,
    /// Set once the server has published it.
    pub info: Option<pb::TrackInfo>,
    /// The server has the track, but its name there is unknown: the confirmation was lost.
    pub queued: bool,
}

impl LocalTrack {
    pub fn announced(track: &TrackInfo) -> Self {
        Self {
            cid: track.track_id.clone(),
            kind: track.kind,
            mid: track.mid.clone(),
            requested_mute: track.muted,
            sent_mute: Some(track.muted),
            info: None,
            queued: false,
        }
    }

    pub fn sid(&self) -> Option<&str> {
        self.info.as_ref().map(|info| info.sid.as_str())
    }

    /// The server has named the track. The mute state in `info` may be outdated.
    pub fn confirmed(&mut self, info: pb::TrackInfo) -> Option<pb::SignalRequest> {
        self.sent_mute = Some(info.muted);
        self.info = Some(info);
        self.mute_request()
    }

    /// The mute request that updates the server, if its state differs.
    pub fn mute_request(&mut self) -> Option<pb::SignalRequest> {
        let sid = self.info.as_ref().filter(|_| self.sent_mute != Some(self.requested_mute))?.sid.clone();
        self.sent_mute = Some(self.requested_mute);
        Some(outgoing::request(Message::Mute(pb::MuteTrackRequest { sid, muted: self.requested_mute })))
    }
}

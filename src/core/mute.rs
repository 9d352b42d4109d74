//! Mute: media follows the application at once, the SFU is told with only the changed tracks, one
//! request at a time, the last intent wins. Must not know: sockets, the engine.

use super::publisher::Step;
use super::track::{Told, Track};
use super::{model::*, Core, Event, Output, Phase, TrackId};
use crate::error::{Code, Error};
use std::time::Duration;

impl Core {
    pub(super) fn on_mute(&mut self, now: Duration, track: TrackId, muted: bool) {
        if let Some(t) = self.publisher.track(track) {
            t.muted = muted;
            if !muted && std::mem::take(&mut t.moderated) {
                self.out(Output::Moderated { track, muted: false });
            }
            self.tell_mute();
        }
        let _ = now;
    }

    /// A moderator has muted what is sent: media stops, the application hears of it and may unmute (which
    /// the SFU may refuse).
    pub(super) fn on_moderated(&mut self, kind: TrackKind) {
        let heard = |t: &&mut Track| kind == TrackKind::Audio && !t.muted;
        let mut muted = Vec::new();
        for track in self.publisher.tracks.iter_mut().filter(heard) {
            (track.muted, track.moderated) = (true, true);
            muted.push(track.id);
        }
        if muted.is_empty() {
            return;
        }
        for track in muted {
            self.out(Output::Moderated { track, muted: true });
        }
        let (user_id, session_id) = (self.config.user_id.clone(), self.session_id.clone());
        let (track, cause) = (kind.into(), UnpublishCause::Moderation);
        self.event(Event::TrackUnpublished { user_id, session_id, track, cause });
        self.tell_mute();
    }

    /// The same where the SFU names the track; it may also be unmuted again from outside.
    pub(super) fn on_local_muted(&mut self, name: &str, muted: bool) {
        let Some(track) = self.publisher.tracks.iter_mut().find(|t| t.name == name) else { return self.late() };
        // It says what it has done; what it was told before may have arrived after that, and undone it.
        track.told = track.told.or_nothing(Told::Unsure);
        let track_id = track.id;
        if muted && !track.muted {
            (track.muted, track.moderated) = (true, true);
            self.out(Output::Moderated { track: track_id, muted: true });
            let (user_id, session_id) = (self.config.user_id.clone(), self.session_id.clone());
            let (track, cause) = (TrackKind::Audio.into(), UnpublishCause::Moderation);
            self.event(Event::TrackUnpublished { user_id, session_id, track, cause });
        } else if !muted && track.muted && std::mem::take(&mut track.moderated) {
            track.muted = false;
            self.out(Output::Moderated { track: track_id, muted: false });
        }
        // Also where the application wants it otherwise.
        self.tell_mute();
    }

    /// The SFU has taken it off the air: it is over, as if the right to it had been taken away.
    pub(super) fn on_local_unpublished(&mut self, now: Duration, name: &str) {
        let Some(track) = self.publisher.tracks.iter().find(|t| t.name == name).map(|t| t.id) else {
            return self.late();
        };
        self.on_unpublish(now, track);
        let error = Error::new(Code::Refused, "publish: the SFU took the track off the air");
        self.event(Event::LocalFailed { track, error });
    }

    /// Tells the SFU of the tracks whose mute state it does not know yet; one request at a time.
    pub(super) fn tell_mute(&mut self) {
        // SetPublisher tells of mutes as well, and may be slower than what is said after it.
        let asking = matches!(self.publisher.step, Step::Asking(_));
        if self.publisher.mute_rpc.is_some() || asking || !self.publisher_alive() {
            return;
        }
        let news: Vec<_> = self
            .publisher
            .tracks
            .iter()
            .filter(|t| t.told != Told::Nothing && t.told != Told::Muted(t.muted))
            .map(|t| (t.id, t.muted))
            .collect();
        if !news.is_empty() {
            let session_id = self.session_id.clone();
            let name = |id: &TrackId| self.publisher.tracks.iter().find(|t| t.id == *id).map(|t| t.name.clone());
            let state = |(id, muted): &(TrackId, bool)| MuteState {
                track_id: name(id).unwrap_or_default(),
                kind: TrackKind::Audio,
                muted: *muted,
            };
            let states = news.iter().map(state).collect();
            let id = self.rpc(RpcCall::UpdateMuteStates { session_id, states });
            self.publisher.mute_rpc = Some((id, news));
            self.publisher.mute_overtaken = false;
        }
    }

    pub(super) fn on_mute_told(&mut self, id: u64, ok: bool) {
        let Some((_, told)) = self.publisher.mute_rpc.take_if(|(i, _)| *i == id) else { return self.late() };
        if !self.publisher_alive() {
            // Closed meanwhile: nobody is told of what failed.
            if std::mem::take(&mut self.publisher.mute_at_last) && self.phase == Phase::Joined {
                let session_id = self.session_id.clone();
                let states = vec![MuteState { track_id: String::new(), kind: TrackKind::Audio, muted: true }];
                let id = self.rpc(RpcCall::UpdateMuteStates { session_id, states });
                self.publisher.mute_rpc = Some((id, Vec::new()));
            }
            return;
        }
        if told.iter().any(|(id, _)| self.publisher.track(*id).is_none()) {
            // It speaks of a kind, not of a track: what was freed meanwhile may have muted what followed it.
            for track in &mut self.publisher.tracks {
                track.told = track.told.or_nothing(Told::Unsure);
            }
        }
        if !ok && !told.iter().any(|(id, _)| self.publisher.tracks.iter().any(|t| t.id == *id)) {
            // Freed meanwhile: the SFU refuses a track that is gone, which is no news.
            self.late();
            return self.tell_mute();
        }
        if !ok {
            for (id, _) in told {
                if let Some(track) = self.publisher.track(id) {
                    track.told = track.told.or_nothing(Told::Unsure);
                }
            }
            // Media already follows the application; only the others' display may lag.
            return self.event(Event::Error(Error::new(
                Code::Network,
                "mute: the SFU could not be told; others may see the old state until the next change",
            )));
        }
        let overtaken = self.publisher.mute_overtaken;
        for (id, muted) in told {
            if let Some(track) = self.publisher.track(id) {
                track.told = if overtaken { Told::Unsure } else { Told::Muted(muted) };
            }
        }
        self.tell_mute();
    }
}

//! Local tracks, and their state as known to the SFU.
//!
//! Mute: media follows the application at once. The SFU gets only the changed tracks, one request at a time; the last
//! state wins. Must not know: the engine, when a negotiation runs.

use crate::core::context::Context;
use crate::core::{model::*, AudioOffer, Event, Output, TrackId, WantedSender};
use crate::error::{Code, Error};

/// A track's mute state as known to the SFU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum SfuMute {
    /// The SFU has not acknowledged the track.
    Unknown,
    /// The state was sent, but may not have arrived.
    Unconfirmed,
    Muted(bool),
}

impl SfuMute {
    pub fn unless_unknown(self, next: SfuMute) -> SfuMute {
        if self == SfuMute::Unknown {
            self
        } else {
            next
        }
    }
}

#[derive(Debug)]
pub(in crate::core) struct Track {
    pub id: TrackId,
    pub offer: AudioOffer,
    /// Name in msid and TrackInfo.
    pub name: String,
    /// The SFU's name of the track in the current session; empty if unknown.
    pub sfu_name: String,
    pub muted: bool,
    /// Muted by a moderator, and not unmuted by the application since.
    pub moderated: bool,
    pub sfu_mute: SfuMute,
    /// Its publication was reported to the application.
    pub announced: bool,
}

/// One sender of the engine.
#[derive(Debug)]
pub(super) struct Sender {
    pub wanted: WantedSender,
    /// Its mid in the last successful offer.
    pub mid: String,
    /// It was part of a successful offer.
    pub added: bool,
}

/// Live tracks, in the order in which they were published.
#[derive(Debug, Default)]
pub(in crate::core) struct LocalTracks {
    pub all: Vec<Track>,
    /// The pending mute request, and the state it sends for each track.
    request: Option<(u64, Vec<(TrackId, bool)>)>,
    /// SetPublisher was sent while it was pending: the order in which the SFU received the two is unknown.
    overtaken: bool,
    /// Mute states to send after a pending request, set on close.
    on_close: Vec<MuteState>,
}

impl LocalTracks {
    /// Resets for a new connection: nothing is negotiated, the tracks keep their order.
    pub fn restart(&mut self) {
        *self = Self { all: std::mem::take(&mut self.all), ..Self::default() };
        for track in &mut self.all {
            track.sfu_mute = SfuMute::Unknown;
            track.sfu_name.clear();
        }
    }

    /// The socket is closed: a pending request gets no reply.
    pub fn interrupt(&mut self) {
        (self.request, self.on_close) = (None, Vec::new());
    }

    pub fn get_mut(&mut self, id: TrackId) -> Option<&mut Track> {
        self.all.iter_mut().find(|t| t.id == id)
    }

    pub fn has(&self, id: TrackId) -> bool {
        self.all.iter().any(|t| t.id == id)
    }

    pub fn ids(&self) -> Vec<TrackId> {
        self.all.iter().map(|t| t.id).collect()
    }

    pub fn named(&self, name: &str) -> Option<TrackId> {
        self.all.iter().find(|t| t.name == name).map(|t| t.id)
    }

    /// Neither acknowledged by the SFU nor ever published.
    fn new_ones(&self) -> impl Iterator<Item = TrackId> + '_ {
        self.all.iter().filter(|t| t.sfu_mute == SfuMute::Unknown && !t.announced).map(|t| t.id)
    }

    pub fn is_new(&self, id: TrackId) -> bool {
        self.new_ones().any(|new| new == id)
    }

    pub fn first_new(&self) -> Option<TrackId> {
        self.new_ones().next()
    }

    /// True if some published tracks are not restored yet.
    pub fn are_restored(&self) -> bool {
        self.all.iter().any(|t| t.sfu_mute == SfuMute::Unknown && t.announced)
    }

    pub fn several_new(&self) -> bool {
        self.new_ones().nth(1).is_some()
    }

    /// Removes a track; true if it existed.
    pub fn remove(&mut self, id: TrackId) -> bool {
        let before = self.all.len();
        self.all.retain(|t| t.id != id);
        self.all.len() < before
    }

    /// Removes the tracks that the SFU never acknowledged.
    pub fn give_up(&mut self) -> Vec<TrackId> {
        let given_up = self.all.iter().filter(|t| t.sfu_mute == SfuMute::Unknown).map(|t| t.id).collect();
        self.all.retain(|t| t.sfu_mute != SfuMute::Unknown);
        given_up
    }

    /// The states sent to the SFU may not have arrived, or may not be in effect.
    pub fn doubt(&mut self) {
        for track in &mut self.all {
            track.sfu_mute = track.sfu_mute.unless_unknown(SfuMute::Unconfirmed);
        }
    }

    /// SetPublisher also carries the mute states of these tracks.
    pub fn set_publisher_sent(&mut self, offered: &[TrackId]) {
        self.overtaken = self.request.is_some();
        for track in self.all.iter_mut().filter(|t| offered.contains(&t.id)) {
            track.sfu_mute = track.sfu_mute.unless_unknown(SfuMute::Muted(track.muted));
        }
    }

    /// Mutes all tracks on close; the SFU gets this state with the last request.
    pub fn mute_on_close(&mut self, cx: &Context) {
        for track in &mut self.all {
            track.muted = true;
        }
        // Queued behind a pending request that may send the opposite; this is the last state.
        if self.request.is_some() {
            self.on_close = self.states(cx, |t| t.sfu_mute != SfuMute::Unknown).1;
        }
    }

    /// The application muted or unmuted a track; true if the track exists.
    pub fn set_muted(&mut self, cx: &mut Context, id: TrackId, muted: bool) -> bool {
        let Some(track) = self.get_mut(id) else { return false };
        track.muted = muted;
        // The application's mute state replaces the moderator's from here on.
        if std::mem::take(&mut track.moderated) {
            cx.out(Output::Moderated { track: id, muted: false });
        }
        true
    }

    /// A moderator muted local tracks: media stops. The application gets an event and may unmute (the SFU may refuse
    /// that). `known`: the track as described by the SFU. True if any track was muted.
    pub fn moderate(&mut self, cx: &mut Context, kind: TrackKind, known: Option<&RemoteTrack>) -> bool {
        let mut muted = Vec::new();
        for track in self.all.iter_mut().filter(|t| t.offer.source == kind && !t.muted) {
            (track.muted, track.moderated) = (true, true);
            muted.push(track.id);
        }
        if muted.is_empty() {
            return false;
        }
        for track in muted {
            cx.out(Output::Moderated { track, muted: true });
        }
        moderation_event(cx, kind, known, true, false);
        true
    }

    /// The same in protocols where the SFU names the track; the track may also be unmuted remotely.
    pub fn moderate_one(&mut self, cx: &mut Context, id: TrackId, known: Option<&RemoteTrack>, muted: bool) {
        let Some(track) = self.get_mut(id) else { return };
        let kind = track.offer.source;
        // The SFU reports its own change; a state sent earlier may arrive after it and undo it.
        track.sfu_mute = track.sfu_mute.unless_unknown(SfuMute::Unconfirmed);
        if muted && !track.muted {
            (track.muted, track.moderated) = (true, true);
            cx.out(Output::Moderated { track: id, muted: true });
            moderation_event(cx, kind, known, true, false);
        } else if !muted && track.muted {
            // A track that the application muted is not unmuted remotely.
            let held = cx.config.hold_unmute || !track.moderated;
            if !held {
                (track.muted, track.moderated) = (false, false);
            }
            moderation_event(cx, kind, known, false, held);
            if !held {
                cx.out(Output::Lifted { track: id });
            }
        }
    }

    /// Sends the SFU the mute states that it does not have yet; one request at a time.
    pub fn send_mutes(&mut self, cx: &mut Context) {
        if self.request.is_some() {
            return;
        }
        let named = cx.config.dialect.tracks_have_names;
        let (sent, states) = self.states(cx, |t| {
            let muted = if named { t.muted } else { self.is_kind_muted(t.offer.source) };
            t.sfu_mute != SfuMute::Unknown && t.sfu_mute != SfuMute::Muted(muted)
        });
        if !sent.is_empty() {
            self.request(cx, sent, states);
            self.overtaken = false;
        }
    }

    /// In protocols without track names a kind is muted if all its tracks known to the SFU are.
    fn is_kind_muted(&self, kind: TrackKind) -> bool {
        self.all.iter().filter(|t| t.offer.source == kind && t.sfu_mute != SfuMute::Unknown).all(|t| t.muted)
    }

    /// The states to send for the tracks selected by `meant`, and what the SFU then knows.
    fn states(&self, cx: &Context, meant: impl Fn(&Track) -> bool) -> (Vec<(TrackId, bool)>, Vec<MuteState>) {
        let (mut sent, mut states) = (Vec::new(), Vec::<MuteState>::new());
        for track in self.all.iter().filter(|t| meant(t)) {
            let (track_id, kind) = (track.name.clone(), track.offer.source);
            if cx.config.dialect.tracks_have_names {
                sent.push((track.id, track.muted));
                states.push(MuteState { track_id, kind, muted: track.muted });
            } else if !states.iter().any(|state| state.kind == kind) {
                // The state applies to all tracks of the kind.
                let muted = self.is_kind_muted(kind);
                let known = self.all.iter().filter(|t| t.offer.source == kind && t.sfu_mute != SfuMute::Unknown);
                sent.extend(known.map(|t| (t.id, muted)));
                states.push(MuteState { track_id, kind, muted });
            }
        }
        (sent, states)
    }

    fn request(&mut self, cx: &mut Context, sent: Vec<(TrackId, bool)>, states: Vec<MuteState>) {
        let session_id = cx.session_id.clone();
        self.request = Some((cx.request(RpcCall::UpdateMuteStates { session_id, states }), sent));
    }

    /// The reply to a mute request; `alive`: the publisher still exists. True if more states may be sent now.
    pub fn on_mute_reply(&mut self, cx: &mut Context, id: u64, ok: bool, alive: bool) -> bool {
        let Some((_, sent)) = self.request.take_if(|(i, _)| *i == id) else {
            cx.late();
            return false;
        };
        if !alive {
            // Closed in the meantime: the failure is not reported.
            let on_close = std::mem::take(&mut self.on_close);
            if !on_close.is_empty() && cx.is_joined() {
                self.request(cx, Vec::new(), on_close);
            }
            return false;
        }
        if sent.iter().any(|(id, _)| !self.has(*id)) {
            // The state applied to a kind: a track freed in the meantime may have muted its successor.
            self.doubt();
        }
        if !ok && !sent.iter().any(|(id, _)| self.has(*id)) {
            // Freed in the meantime: the SFU refuses a track that has ended. Not an error.
            cx.late();
            return true;
        }
        let overtaken = self.overtaken;
        for (id, muted) in sent {
            if let Some(track) = self.get_mut(id) {
                track.sfu_mute = match (ok, overtaken) {
                    (true, false) => SfuMute::Muted(muted),
                    (true, true) => SfuMute::Unconfirmed,
                    (false, _) => track.sfu_mute.unless_unknown(SfuMute::Unconfirmed),
                };
            }
        }
        if !ok && !cx.is_draining() {
            // Media already follows the application; only remote displays may be outdated.
            cx.event(Event::Error(Error::new(
                Code::Network,
                "mute: the state could not be sent to the SFU; other participants may see the old state until the \
                 next change",
            )));
        }
        ok
    }
}

/// Reports a moderator's mute or unmute of a local track. `held`: it stays muted despite the unmute.
fn moderation_event(cx: &mut Context, kind: TrackKind, known: Option<&RemoteTrack>, muted: bool, held: bool) {
    let (user_id, session_id) = (cx.config.user_id.clone(), cx.session_id.clone());
    let track = RemoteTrack { muted: muted || held, local: true, held, ..known.cloned().unwrap_or(kind.into()) };
    let cause = UnpublishCause::Moderation;
    cx.event(match muted {
        true => Event::TrackUnpublished { user_id, session_id, track, cause },
        false => Event::TrackPublished { user_id, session_id, track },
    });
}

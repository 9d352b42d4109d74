//! The tracks that this participant sends, and what the SFU believes of them.
//!
//! Mute: media follows the application at once; the SFU gets the changed tracks only, one request at a time,
//! the last intent wins. Must not know: the engine, when a negotiation runs.

use crate::core::context::Context;
use crate::core::{model::*, AudioOffer, Event, Output, TrackId, WantedSender};
use crate::error::{Code, Error};

/// What the SFU believes of a track's mute state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Told {
    /// It has not acknowledged the track.
    Nothing,
    /// It was told, and may not have received it.
    Unsure,
    Muted(bool),
}

impl Told {
    pub fn or_nothing(self, next: Told) -> Told {
        if self == Told::Nothing {
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
    /// The SFU's name of it in the present session; empty: not known.
    pub sfu_name: String,
    pub muted: bool,
    /// By a moderator, and not unmuted by the application since.
    pub moderated: bool,
    pub told: Told,
    /// The application knows that it is published.
    pub announced: bool,
}

/// One sender of the engine.
#[derive(Debug)]
pub(super) struct Sender {
    pub wanted: WantedSender,
    /// Its m-line, by the last offer that could be made.
    pub mid: String,
    /// An offer with it could be made.
    pub added: bool,
}

/// Live tracks, in the order in which they were published.
#[derive(Debug, Default)]
pub(in crate::core) struct LocalTracks {
    pub all: Vec<Track>,
    /// The mute request under way, and what it tells of which tracks.
    request: Option<(u64, Vec<(TrackId, bool)>)>,
    /// SetPublisher was sent while it was under way: which of the two the SFU received last nobody knows.
    overtaken: bool,
    /// Closed while a request was under way: mutes after it.
    at_last: Vec<MuteState>,
}

impl LocalTracks {
    /// For a new connection: nothing is negotiated, the tracks stay in their order.
    pub fn restart(&mut self) {
        *self = Self { all: std::mem::take(&mut self.all), ..Self::default() };
        for track in &mut self.all {
            track.told = Told::Nothing;
            track.sfu_name.clear();
        }
    }

    /// The socket is gone: a request has no answer any more.
    pub fn interrupt(&mut self) {
        (self.request, self.at_last) = (None, Vec::new());
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
        self.all.iter().filter(|t| t.told == Told::Nothing && !t.announced).map(|t| t.id)
    }

    pub fn is_new(&self, id: TrackId) -> bool {
        self.new_ones().any(|new| new == id)
    }

    pub fn first_new(&self) -> Option<TrackId> {
        self.new_ones().next()
    }

    /// Some that were published are not yet again.
    pub fn are_restored(&self) -> bool {
        self.all.iter().any(|t| t.told == Told::Nothing && t.announced)
    }

    pub fn several_new(&self) -> bool {
        self.new_ones().nth(1).is_some()
    }

    /// Removes a track; whether it was there.
    pub fn remove(&mut self, id: TrackId) -> bool {
        let before = self.all.len();
        self.all.retain(|t| t.id != id);
        self.all.len() < before
    }

    /// Removes those that the SFU never acknowledged.
    pub fn give_up(&mut self) -> Vec<TrackId> {
        let given_up = self.all.iter().filter(|t| t.told == Told::Nothing).map(|t| t.id).collect();
        self.all.retain(|t| t.told != Told::Nothing);
        given_up
    }

    /// What the SFU was told may not have arrived, or not be in force.
    pub fn doubt(&mut self) {
        for track in &mut self.all {
            track.told = track.told.or_nothing(Told::Unsure);
        }
    }

    /// SetPublisher tells of the mute states of these tracks, too.
    pub fn set_publisher_sent(&mut self, offered: &[TrackId]) {
        self.overtaken = self.request.is_some();
        for track in self.all.iter_mut().filter(|t| offered.contains(&t.id)) {
            track.told = track.told.or_nothing(Told::Muted(track.muted));
        }
    }

    /// Media stops, and the SFU is to be told with the last request.
    pub fn mute_at_last(&mut self, cx: &Context) {
        for track in &mut self.all {
            track.muted = true;
        }
        // Behind an older request, which may tell the opposite; it is the last word all the same.
        if self.request.is_some() {
            self.at_last = self.states(cx, |t| t.told != Told::Nothing).1;
        }
    }

    /// The application has muted or unmuted a track; whether there is such a track.
    pub fn set_muted(&mut self, cx: &mut Context, id: TrackId, muted: bool) -> bool {
        let Some(track) = self.get_mut(id) else { return false };
        track.muted = muted;
        // The application has decided, one way or the other: its own mute is all that counts from here on.
        if std::mem::take(&mut track.moderated) {
            cx.out(Output::Moderated { track: id, muted: false });
        }
        true
    }

    /// A moderator has muted what is sent: media stops; the application gets an event and may unmute (which
    /// the SFU may refuse). `known`: the track as the SFU describes it. Whether anything was muted.
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

    /// The same where the SFU names the track; it may also be unmuted again from outside.
    pub fn moderate_one(&mut self, cx: &mut Context, id: TrackId, known: Option<&RemoteTrack>, muted: bool) {
        let Some(track) = self.get_mut(id) else { return };
        let kind = track.offer.source;
        // It says what it has done; what it was told before may have arrived after that, and undone it.
        track.told = track.told.or_nothing(Told::Unsure);
        if muted && !track.muted {
            (track.muted, track.moderated) = (true, true);
            cx.out(Output::Moderated { track: id, muted: true });
            moderation_event(cx, kind, known, true, false);
        } else if !muted && track.muted {
            // What the application has muted nobody else unmutes.
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

    /// Tells the SFU of the tracks whose mute state it does not know yet; one request at a time.
    pub fn tell_mutes(&mut self, cx: &mut Context) {
        if self.request.is_some() {
            return;
        }
        let named = cx.config.dialect.tracks_have_names;
        let (told, states) = self.states(cx, |t| {
            let muted = if named { t.muted } else { self.is_kind_muted(t.offer.source) };
            t.told != Told::Nothing && t.told != Told::Muted(muted)
        });
        if !told.is_empty() {
            self.request(cx, told, states);
            self.overtaken = false;
        }
    }

    /// Where tracks have no names: a kind is muted when all its tracks are that the SFU knows.
    fn is_kind_muted(&self, kind: TrackKind) -> bool {
        self.all.iter().filter(|t| t.offer.source == kind && t.told != Told::Nothing).all(|t| t.muted)
    }

    /// What a request says of the tracks that are `meant`, and what the SFU knows by it.
    fn states(&self, cx: &Context, meant: impl Fn(&Track) -> bool) -> (Vec<(TrackId, bool)>, Vec<MuteState>) {
        let (mut told, mut states) = (Vec::new(), Vec::<MuteState>::new());
        for track in self.all.iter().filter(|t| meant(t)) {
            let (track_id, kind) = (track.name.clone(), track.offer.source);
            if cx.config.dialect.tracks_have_names {
                told.push((track.id, track.muted));
                states.push(MuteState { track_id, kind, muted: track.muted });
            } else if !states.iter().any(|state| state.kind == kind) {
                // It speaks of all of them.
                let muted = self.is_kind_muted(kind);
                let known = self.all.iter().filter(|t| t.offer.source == kind && t.told != Told::Nothing);
                told.extend(known.map(|t| (t.id, muted)));
                states.push(MuteState { track_id, kind, muted });
            }
        }
        (told, states)
    }

    fn request(&mut self, cx: &mut Context, told: Vec<(TrackId, bool)>, states: Vec<MuteState>) {
        let session_id = cx.session_id.clone();
        self.request = Some((cx.request(RpcCall::UpdateMuteStates { session_id, states }), told));
    }

    /// The reply to a mute request; `alive`: there still is a publisher. True when more may be told now.
    pub fn on_mute_reply(&mut self, cx: &mut Context, id: u64, ok: bool, alive: bool) -> bool {
        let Some((_, told)) = self.request.take_if(|(i, _)| *i == id) else {
            cx.late();
            return false;
        };
        if !alive {
            // Closed meanwhile: the failure is not reported.
            let at_last = std::mem::take(&mut self.at_last);
            if !at_last.is_empty() && cx.is_joined() {
                self.request(cx, Vec::new(), at_last);
            }
            return false;
        }
        if told.iter().any(|(id, _)| !self.has(*id)) {
            // It speaks of a kind, not of a track: what was freed meanwhile may have muted what followed it.
            self.doubt();
        }
        if !ok && !told.iter().any(|(id, _)| self.has(*id)) {
            // Freed meanwhile: the SFU refuses a track that is gone, which is no news.
            cx.late();
            return true;
        }
        let overtaken = self.overtaken;
        for (id, muted) in told {
            if let Some(track) = self.get_mut(id) {
                track.told = match (ok, overtaken) {
                    (true, false) => Told::Muted(muted),
                    (true, true) => Told::Unsure,
                    (false, _) => track.told.or_nothing(Told::Unsure),
                };
            }
        }
        if !ok {
            // Media already follows the application; only the others' display may lag.
            cx.event(Event::Error(Error::new(
                Code::Network,
                "mute: the SFU could not be told; others may see the old state until the next change",
            )));
        }
        ok
    }
}

/// What a moderator did to the local track: muted it, or unmuted it (held: it stays muted all the same).
fn moderation_event(cx: &mut Context, kind: TrackKind, known: Option<&RemoteTrack>, muted: bool, held: bool) {
    let (user_id, session_id) = (cx.config.user_id.clone(), cx.session_id.clone());
    let track = RemoteTrack { muted: muted || held, local: true, held, ..known.cloned().unwrap_or(kind.into()) };
    let cause = UnpublishCause::Moderation;
    cx.event(match muted {
        true => Event::TrackUnpublished { user_id, session_id, track, cause },
        false => Event::TrackPublished { user_id, session_id, track },
    });
}

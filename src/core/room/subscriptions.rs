//! Subscription settings of remote tracks. The complete set is sent, one request at a time; the last setting wins. It
//! is sent again after every reconnect. Must not know: how a protocol sends it.

use super::roster::Roster;
use crate::core::context::Context;
use crate::core::{limits, model::*, Event};
use crate::error::{Code, Error};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// By the SFU's name of the track.
    all: BTreeMap<String, SubscriptionSettings>,
    /// Remote sessions whose screen audio is requested: without track names an SFU sends it only on request.
    screens: Vec<String>,
    under_way: Option<u64>,
    /// Settings have changed since the pending request.
    dirty: bool,
}

impl Subscriptions {
    /// Returns true if the setting changed.
    pub fn set(&mut self, cx: &mut Context, roster: &Roster, track_id: &str, settings: SubscriptionSettings) -> bool {
        if cx.grants.is_some_and(|g| !g.subscribe) {
            let text = "subscribe: this participant has no right to receive tracks in this call";
            cx.event(Event::Error(Error::new(Code::Refused, text)));
            return false;
        }
        if self.all.len() >= limits::SUBSCRIPTIONS && !self.all.contains_key(track_id) {
            let text = "subscribe: settings of 1024 tracks are in use; release some of them first";
            cx.event(Event::Error(Error::new(Code::Limit, text)));
            return false;
        }
        let changed = self.all.insert(track_id.to_owned(), settings) != Some(settings);
        if changed {
            self.dirty = true;
            self.send(cx, roster);
        }
        changed
    }

    /// True if the application wants to receive a track; the default for tracks without a setting.
    pub fn is_wanted(&self, track_id: &str) -> bool {
        self.all.get(track_id).is_none_or(|settings| settings.subscribed)
    }

    /// A track has ended: removes its setting. The next request sends the complete set without it, so that a later
    /// setting for the track counts as a change and gets a reply.
    pub fn forget(&mut self, cx: &mut Context, roster: &Roster, track_id: &str) {
        if self.all.remove(track_id).is_some() {
            self.dirty = true;
            self.send(cx, roster);
        }
    }

    /// Updates the requested screen audio when remote participants start or stop sharing it, or leave.
    pub fn follow_screens(&mut self, cx: &mut Context, roster: &Roster) {
        if cx.config.dialect.tracks_have_names || cx.receive_disabled {
            return;
        }
        let shares = |p: &&Participant| p.published.iter().any(|t| t.kind == TrackKind::ScreenShareAudio);
        let remote = roster.iter().filter(|p| p.session_id != cx.session_id);
        let screens: Vec<String> = remote.filter(shares).map(|p| p.session_id.clone()).collect();
        if screens != self.screens {
            self.screens = screens;
            self.dirty = true;
            self.send(cx, roster);
        }
    }

    /// Receiving is disabled: unsubscribes all tracks, whatever their settings.
    pub fn want_nothing(&mut self, cx: &mut Context, roster: &Roster) {
        if cx.config.dialect.subscriber_stays && cx.receive_disabled {
            self.dirty = true;
            self.send(cx, roster);
        }
    }

    /// Sends all settings again on a new socket.
    pub fn resume(&mut self, cx: &mut Context, roster: &Roster) {
        (self.under_way, self.dirty) = (None, !self.all.is_empty() || !self.screens.is_empty());
        self.want_nothing(cx, roster);
        self.send(cx, roster);
    }

    fn send(&mut self, cx: &mut Context, roster: &Roster) {
        if !self.dirty || self.under_way.is_some() || !cx.subscriber_alive() {
            return;
        }
        self.dirty = false;
        let session_id = cx.session_id.clone();
        let nothing = SubscriptionSettings { subscribed: false, ..SubscriptionSettings::default() };
        let subscriptions = match cx.receive_disabled {
            true => remote_tracks(cx, roster).map(|id| subscription(roster, id, nothing)).collect(),
            false => {
                let screens = self.screens.iter().map(|session_id| screen(roster, session_id));
                self.all.iter().map(|(id, settings)| subscription(roster, id, *settings)).chain(screens).collect()
            }
        };
        self.under_way = Some(cx.request(RpcCall::UpdateSubscriptions { session_id, subscriptions }));
    }

    pub fn on_reply(&mut self, cx: &mut Context, roster: &Roster, id: u64, result: Result<(), Failure>) {
        if self.under_way.take_if(|i| *i == id).is_none() {
            return cx.late();
        }
        if let Err(failure) = result {
            let text = format!("subscribe: the settings could not be sent to the SFU: {}", failure.message);
            cx.event(Event::Error(Error::new(Code::Network, text).with_server_code(failure.code)));
        }
        self.send(cx, roster);
    }
}

fn remote_tracks<'a>(cx: &'a Context, roster: &'a Roster) -> impl Iterator<Item = &'a str> {
    let remote = roster.iter().filter(|p| p.session_id != cx.session_id);
    remote.flat_map(|p| &p.published).map(|t| t.id.as_str()).filter(|id| !id.is_empty())
}

fn screen(roster: &Roster, session_id: &str) -> Subscription {
    Subscription {
        user_id: roster.get(session_id).map(|p| p.user_id.clone()).unwrap_or_default(),
        session_id: session_id.to_owned(),
        kind: TrackKind::ScreenShareAudio,
        width: 0,
        height: 0,
        track_id: String::new(),
        settings: SubscriptionSettings::default(),
    }
}

fn subscription(roster: &Roster, track_id: &str, settings: SubscriptionSettings) -> Subscription {
    let owner = roster.iter().find(|p| p.published.iter().any(|t| t.id == track_id));
    let kind = owner.and_then(|p| p.published.iter().find(|t| t.id == track_id)).map(|t| t.kind);
    Subscription {
        user_id: owner.map(|p| p.user_id.clone()).unwrap_or_default(),
        session_id: owner.map(|p| p.session_id.clone()).unwrap_or_default(),
        kind: kind.unwrap_or(TrackKind::Audio),
        width: settings.width,
        height: settings.height,
        track_id: track_id.to_owned(),
        settings,
    }
}

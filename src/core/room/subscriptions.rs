//! Which remote tracks are wanted, and how: the whole set is told, one request at a time, the last setting
//! wins, and again after every reconnect. Must not know: how a protocol tells it.

use super::roster::Roster;
use crate::core::context::Context;
use crate::core::{limits, model::*, Event};
use crate::error::{Code, Error};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// By the SFU's name of the track.
    all: BTreeMap<String, Wish>,
    /// Sessions of others whose screen audio is asked for: where tracks have no names an SFU sends it to nobody unasked.
    screens: Vec<String>,
    under_way: Option<u64>,
    /// There is news since the request under way.
    dirty: bool,
}

impl Subscriptions {
    /// True when that is news.
    pub fn set(&mut self, cx: &mut Context, roster: &Roster, track_id: &str, wish: Wish) -> bool {
        if cx.grants.is_some_and(|g| !g.subscribe) {
            let text = "subscribe: this participant has no right to receive tracks in this call";
            cx.event(Event::Error(Error::new(Code::Refused, text)));
            return false;
        }
        if self.all.len() >= limits::WISHES && !self.all.contains_key(track_id) {
            let text = "subscribe: wishes about 1024 tracks are kept; release some of them first";
            cx.event(Event::Error(Error::new(Code::Limit, text)));
            return false;
        }
        let news = self.all.insert(track_id.to_owned(), wish) != Some(wish);
        if news {
            self.dirty = true;
            self.tell(cx, roster);
        }
        news
    }

    /// Whether the application wants to receive a track; all of which it has said nothing.
    pub fn is_wanted(&self, track_id: &str) -> bool {
        self.all.get(track_id).is_none_or(|wish| wish.subscribed)
    }

    /// A track is gone: nothing is wanted of it any more. What is told next is the whole set without it, so
    /// that a setting for it that comes too late is news, and is answered.
    pub fn forget(&mut self, cx: &mut Context, roster: &Roster, track_id: &str) {
        if self.all.remove(track_id).is_some() {
            self.dirty = true;
            self.tell(cx, roster);
        }
    }

    /// Others have begun or ended to share the audio of their screens, or have left.
    pub fn follow_screens(&mut self, cx: &mut Context, roster: &Roster) {
        if cx.config.dialect.tracks_have_names || cx.receive_disabled {
            return;
        }
        let shares = |p: &&Participant| p.published.iter().any(|t| t.kind == TrackKind::ScreenShareAudio);
        let others = roster.iter().filter(|p| p.session_id != cx.session_id);
        let screens: Vec<String> = others.filter(shares).map(|p| p.session_id.clone()).collect();
        if screens != self.screens {
            self.screens = screens;
            self.dirty = true;
            self.tell(cx, roster);
        }
    }

    /// Nothing is received any more: no track is wanted, whatever was set.
    pub fn want_nothing(&mut self, cx: &mut Context, roster: &Roster) {
        if cx.config.dialect.subscriber_stays && cx.receive_disabled {
            self.dirty = true;
            self.tell(cx, roster);
        }
    }

    /// On a new socket everything is told anew.
    pub fn resume(&mut self, cx: &mut Context, roster: &Roster) {
        (self.under_way, self.dirty) = (None, !self.all.is_empty() || !self.screens.is_empty());
        self.want_nothing(cx, roster);
        self.tell(cx, roster);
    }

    fn tell(&mut self, cx: &mut Context, roster: &Roster) {
        if !self.dirty || self.under_way.is_some() || !cx.subscriber_alive() {
            return;
        }
        self.dirty = false;
        let session_id = cx.session_id.clone();
        let nothing = Wish { subscribed: false, ..Wish::default() };
        let subscriptions = match cx.receive_disabled {
            true => tracks_of_others(cx, roster).map(|id| subscription(roster, id, nothing)).collect(),
            false => {
                let screens = self.screens.iter().map(|session_id| screen(roster, session_id));
                self.all.iter().map(|(id, wish)| subscription(roster, id, *wish)).chain(screens).collect()
            }
        };
        self.under_way = Some(cx.request(RpcCall::UpdateSubscriptions { session_id, subscriptions }));
    }

    pub fn on_reply(&mut self, cx: &mut Context, roster: &Roster, id: u64, result: Result<(), Failure>) {
        if self.under_way.take_if(|i| *i == id).is_none() {
            return cx.late();
        }
        if let Err(failure) = result {
            let text = format!("subscribe: the SFU could not be told: {}", failure.message);
            cx.event(Event::Error(Error::new(Code::Network, text).with_server_code(failure.code)));
        }
        self.tell(cx, roster);
    }
}

fn tracks_of_others<'a>(cx: &'a Context, roster: &'a Roster) -> impl Iterator<Item = &'a str> {
    let others = roster.iter().filter(|p| p.session_id != cx.session_id);
    others.flat_map(|p| &p.published).map(|t| t.id.as_str()).filter(|id| !id.is_empty())
}

fn screen(roster: &Roster, session_id: &str) -> Subscription {
    Subscription {
        user_id: roster.get(session_id).map(|p| p.user_id.clone()).unwrap_or_default(),
        session_id: session_id.to_owned(),
        kind: TrackKind::ScreenShareAudio,
        width: 0,
        height: 0,
        track_id: String::new(),
        wish: Wish::default(),
    }
}

fn subscription(roster: &Roster, track_id: &str, wish: Wish) -> Subscription {
    let owner = roster.iter().find(|p| p.published.iter().any(|t| t.id == track_id));
    let kind = owner.and_then(|p| p.published.iter().find(|t| t.id == track_id)).map(|t| t.kind);
    Subscription {
        user_id: owner.map(|p| p.user_id.clone()).unwrap_or_default(),
        session_id: owner.map(|p| p.session_id.clone()).unwrap_or_default(),
        kind: kind.unwrap_or(TrackKind::Audio),
        width: wish.width,
        height: wish.height,
        track_id: track_id.to_owned(),
        wish,
    }
}

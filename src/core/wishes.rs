//! Which remote tracks are wanted, and how: the whole set is told, one request at a time, the last wish
//! wins, and again after every reconnect. Must not know: how a protocol tells it.

use super::{limits, model::*, Core, Event};
use crate::error::{Code, Error};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// By the SFU's name of the track.
    all: BTreeMap<String, Wish>,
    under_way: Option<u64>,
    /// There is news since the request under way.
    dirty: bool,
}

impl Core {
    pub(super) fn on_wish(&mut self, track_id: String, wish: Wish) {
        let wishes = &mut self.wishes.all;
        if wishes.len() >= limits::WISHES && !wishes.contains_key(&track_id) {
            let text = "subscribe: wishes about 1024 tracks are kept; release some of them first";
            return self.event(Event::Error(Error::new(Code::Limit, text)));
        }
        if wishes.insert(track_id, wish) != Some(wish) {
            self.wishes.dirty = true;
            self.tell_wishes();
        }
    }

    /// A track is gone: nothing is wanted of it any more. What is told next is the whole set without it, so
    /// that a wish for it that comes too late is news, and is answered.
    pub(super) fn forget_wish(&mut self, track_id: &str) {
        if self.wishes.all.remove(track_id).is_some() {
            self.wishes.dirty = true;
            self.tell_wishes();
        }
    }

    /// Nothing is received any more: of no track is anything wanted, whatever was wished.
    pub(super) fn want_nothing(&mut self) {
        if self.config.dialect.subscriber_stays && self.subscriber.deaf {
            self.wishes.dirty = true;
            self.tell_wishes();
        }
    }

    /// On a new socket everything is told anew.
    pub(super) fn resume_wishes(&mut self) {
        (self.wishes.under_way, self.wishes.dirty) = (None, !self.wishes.all.is_empty());
        self.want_nothing();
        self.tell_wishes();
    }

    fn tell_wishes(&mut self) {
        if !self.wishes.dirty || self.wishes.under_way.is_some() || !self.subscriber_alive() {
            return;
        }
        self.wishes.dirty = false;
        let session_id = self.session_id.clone();
        let nothing = Wish { subscribed: false, ..Wish::default() };
        let subscriptions = match self.subscriber.deaf {
            true => self.tracks_of_others().map(|id| self.subscription(id, nothing)).collect(),
            false => self.wishes.all.iter().map(|(id, wish)| self.subscription(id, *wish)).collect(),
        };
        self.wishes.under_way = Some(self.rpc(RpcCall::UpdateSubscriptions { session_id, subscriptions }));
    }

    fn tracks_of_others(&self) -> impl Iterator<Item = &str> {
        let others = self.roster.iter().filter(|p| p.session_id != self.session_id);
        others.flat_map(|p| &p.published).map(|t| t.id.as_str()).filter(|id| !id.is_empty())
    }

    fn subscription(&self, track_id: &str, wish: Wish) -> Subscription {
        let owner = self.roster.iter().find(|p| p.published.iter().any(|t| t.id == track_id));
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

    pub(super) fn on_wishes_told(&mut self, id: u64, result: Result<(), Failure>) {
        if self.wishes.under_way.take_if(|i| *i == id).is_none() {
            return self.late();
        }
        if let Err(failure) = result {
            let text = format!("subscribe: the SFU could not be told: {}", failure.message);
            self.event(Event::Error(Error::new(Code::Network, text).with_server_code(failure.code)));
        }
        self.tell_wishes();
    }
}

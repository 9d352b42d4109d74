//! What is wanted of the others' tracks, as far as this session of the server was told, and what it said of
//! tracks that cannot be had. Must not know: who wants it, when it is said.

use super::{incoming, outgoing};
use crate::core::model::{SfuMessage, Subscription, Wish};
use offhook_proto::livekit as pb;
use pb::signal_request::Message as Ask;
use std::collections::{BTreeMap, BTreeSet};

/// Tracks remembered as video, at most.
const MAX_VIDEO: usize = 4096;
/// Tracks remembered as not to be had, at most.
const MAX_DENIED: usize = 1024;

#[derive(Debug)]
pub struct Wishes {
    auto_subscribe: bool,
    told: BTreeMap<String, Wish>,
    /// Of these, what was told before the link was lost: it may not have arrived.
    unsure: BTreeSet<String>,
    /// Tracks that cannot be had, as far as was said.
    denied: BTreeSet<String>,
    /// Tracks of video: nobody here plays them, so none is wanted whatever else is said.
    video: BTreeSet<String>,
}

impl Wishes {
    pub fn new(auto_subscribe: bool) -> Self {
        Self {
            auto_subscribe,
            told: BTreeMap::new(),
            unsure: BTreeSet::new(),
            denied: BTreeSet::new(),
            video: BTreeSet::new(),
        }
    }

    pub fn begin_link(&mut self, resume: bool) {
        if !resume {
            self.told.clear();
            self.video.clear();
        }
        // What a resume says of wishes takes nothing back.
        self.unsure = self.told.keys().cloned().collect();
    }

    /// Says only what this session of the server does not know.
    pub fn tell(&mut self, wanted: &[Subscription]) -> Vec<pb::SignalRequest> {
        let mut frames = Vec::new();
        let usual = Wish { subscribed: self.auto_subscribe, ..Wish::default() };
        for subscription in wanted {
            let id = &subscription.track_id;
            if self.video.contains(id) {
                continue;
            }
            let wish = subscription.wish;
            let known = self.told.insert(id.clone(), wish).unwrap_or(usual);
            let unsure = self.unsure.remove(id);
            if unsure || known.subscribed != wish.subscribed {
                let update = outgoing::subscribe(id, &subscription.session_id, wish.subscribed);
                frames.push(outgoing::request(Ask::Subscription(update)));
            }
            if unsure || (Wish { subscribed: true, ..known }) != (Wish { subscribed: true, ..wish }) {
                frames.push(outgoing::request(Ask::TrackSetting(outgoing::track_settings(id, &wish))));
            }
        }
        self.told.retain(|id, _| wanted.iter().any(|s| s.track_id == *id));
        frames
    }

    /// Declines the video of others: who comes up with `auto_subscribe` is sent all of it. One frame for all.
    pub fn without_video<'a>(
        &mut self,
        others: impl Iterator<Item = &'a pb::ParticipantInfo>,
    ) -> Option<pb::SignalRequest> {
        let mut update = pb::UpdateSubscription { subscribe: false, ..Default::default() };
        for p in others {
            let is_video = |t: &&pb::TrackInfo| t.r#type() == pb::TrackType::Video;
            let mut track_sids = Vec::new();
            for sid in p.tracks.iter().filter(is_video).filter_map(|t| incoming::id(t.sid.clone())) {
                if self.video.len() >= MAX_VIDEO {
                    // Declined once more, should they be told of again.
                    self.video.clear();
                }
                if self.video.insert(sid.clone()) {
                    track_sids.push(sid);
                }
            }
            if !track_sids.is_empty() {
                update.track_sids.extend(track_sids.iter().cloned());
                update.participant_tracks.push(pb::ParticipantTracks { participant_sid: p.sid.clone(), track_sids });
            }
        }
        let news = self.auto_subscribe && !update.track_sids.is_empty();
        news.then(|| outgoing::request(Ask::Subscription(update)))
    }

    /// For a resume: the tracks for which the server's own choice is not wanted.
    pub fn against_the_usual(&self) -> pb::UpdateSubscription {
        let differs = self.told.iter().filter(|(_, wish)| wish.subscribed != self.auto_subscribe).map(|(id, _)| id);
        let video = self.video.iter().filter(|_| self.auto_subscribe);
        pb::UpdateSubscription {
            track_sids: differs.chain(video).cloned().collect(),
            subscribe: !self.auto_subscribe,
            participant_tracks: Vec::new(),
        }
    }

    /// For a resume: the tracks that are subscribed and paused.
    pub fn disabled(&self) -> Vec<String> {
        self.told.iter().filter(|(_, wish)| !wish.enabled).map(|(id, _)| id.clone()).collect()
    }

    /// Every subscription begins with the word that it is allowed, which is no news. It tells of those that
    /// are not wanted: who comes up is subscribed to everything, whatever was said before that.
    pub fn allowed(
        &mut self,
        session_id: String,
        track_id: String,
        allowed: bool,
    ) -> (SfuMessage, Vec<pb::SignalRequest>) {
        let unwanted = allowed
            && (self.video.contains(&track_id) || self.told.get(&track_id).is_some_and(|wish| !wish.subscribed));
        let frames = match unwanted {
            true => vec![outgoing::request(Ask::Subscription(outgoing::subscribe(&track_id, &session_id, false)))],
            false => Vec::new(),
        };
        let news = match allowed {
            true => self.denied.remove(&track_id),
            false if self.denied.len() >= MAX_DENIED => true,
            false => self.denied.insert(track_id.clone()),
        };
        let message = match news {
            true => SfuMessage::Subscribable { track_id, session_id, allowed },
            false => SfuMessage::Alive,
        };
        (message, frames)
    }
}

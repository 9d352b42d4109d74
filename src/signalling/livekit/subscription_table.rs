//! The subscription settings of remote tracks, as sent in the current server session, and the tracks that the server
//! has denied. Must not know: who requests a track, when a setting is sent.

use super::{incoming, outgoing};
use crate::core::model::{SfuMessage, Subscription, SubscriptionSettings};
use offhook_proto::livekit as pb;
use pb::signal_request::Message as ClientMessage;
use std::collections::{BTreeMap, BTreeSet};

/// Most tracks remembered as video.
const MAX_VIDEO: usize = 4096;
/// Most tracks remembered as denied.
const MAX_DENIED: usize = 1024;

#[derive(Debug)]
pub struct SubscriptionTable {
    auto_subscribe: bool,
    sent: BTreeMap<String, SubscriptionSettings>,
    /// Settings sent before the link was lost: they may not have arrived.
    unconfirmed: BTreeSet<String>,
    /// Tracks that the server has denied.
    denied: BTreeSet<String>,
    /// Video tracks. This library does not play video, so they are never requested, whatever the settings say.
    video: BTreeSet<String>,
}

impl SubscriptionTable {
    pub fn new(auto_subscribe: bool) -> Self {
        Self {
            auto_subscribe,
            sent: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            denied: BTreeSet::new(),
            video: BTreeSet::new(),
        }
    }

    pub fn begin_link(&mut self, resume: bool) {
        if !resume {
            self.sent.clear();
            self.video.clear();
        }
        // The subscriptions in a resume do not revert an earlier setting.
        self.unconfirmed = self.sent.keys().cloned().collect();
    }

    /// Returns frames for the settings that the current server session does not have.
    pub fn update(&mut self, requested: &[Subscription]) -> Vec<pb::SignalRequest> {
        let mut frames = Vec::new();
        let default_settings =
            SubscriptionSettings { subscribed: self.auto_subscribe, ..SubscriptionSettings::default() };
        for subscription in requested {
            let id = &subscription.track_id;
            if self.video.contains(id) {
                continue;
            }
            let settings = subscription.settings;
            let known = self.sent.insert(id.clone(), settings).unwrap_or(default_settings);
            let unconfirmed = self.unconfirmed.remove(id);
            if unconfirmed || known.subscribed != settings.subscribed {
                let update = outgoing::subscribe(id, &subscription.session_id, settings.subscribed);
                frames.push(outgoing::request(ClientMessage::Subscription(update)));
            }
            if unconfirmed
                || (SubscriptionSettings { subscribed: true, ..known })
                    != (SubscriptionSettings { subscribed: true, ..settings })
            {
                frames.push(outgoing::request(ClientMessage::TrackSetting(outgoing::track_settings(id, &settings))));
            }
        }
        self.sent.retain(|id, _| requested.iter().any(|s| s.track_id == *id));
        frames
    }

    /// Declines remote video: with `auto_subscribe` the server subscribes a new participant to all of it. One frame for
    /// all.
    pub fn without_video<'a>(
        &mut self,
        remote: impl Iterator<Item = &'a pb::ParticipantInfo>,
    ) -> Option<pb::SignalRequest> {
        let mut update = pb::UpdateSubscription { subscribe: false, ..Default::default() };
        for p in remote {
            let is_video = |t: &&pb::TrackInfo| t.r#type() == pb::TrackType::Video;
            let mut track_sids = Vec::new();
            for sid in p.tracks.iter().filter(is_video).filter_map(|t| incoming::id(t.sid.clone())) {
                if self.video.len() >= MAX_VIDEO {
                    // Tracks that are announced again are declined again.
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
        let changed = self.auto_subscribe && !update.track_sids.is_empty();
        changed.then(|| outgoing::request(ClientMessage::Subscription(update)))
    }

    /// For a resume: the tracks whose setting differs from the server's default.
    pub fn non_default(&self) -> pb::UpdateSubscription {
        let differs =
            self.sent.iter().filter(|(_, settings)| settings.subscribed != self.auto_subscribe).map(|(id, _)| id);
        let video = self.video.iter().filter(|_| self.auto_subscribe);
        pb::UpdateSubscription {
            track_sids: differs.chain(video).cloned().collect(),
            subscribe: !self.auto_subscribe,
            participant_tracks: Vec::new(),
        }
    }

    /// For a resume: the tracks that are paused.
    pub fn disabled(&self) -> Vec<String> {
        self.sent.iter().filter(|(_, settings)| !settings.enabled).map(|(id, _)| id.clone()).collect()
    }

    /// Handles a permission update. Every subscription starts with "allowed", which is not reported. It also reveals
    /// unwanted subscriptions, which are declined again: the server subscribes a new participant to everything,
    /// whatever it requested before.
    pub fn allowed(
        &mut self,
        session_id: String,
        track_id: String,
        allowed: bool,
    ) -> (SfuMessage, Vec<pb::SignalRequest>) {
        let unwanted = allowed
            && (self.video.contains(&track_id)
                || self.sent.get(&track_id).is_some_and(|settings| !settings.subscribed));
        let frames = match unwanted {
            true => {
                vec![outgoing::request(ClientMessage::Subscription(outgoing::subscribe(&track_id, &session_id, false)))]
            }
            false => Vec::new(),
        };
        let changed = match allowed {
            true => self.denied.remove(&track_id),
            false if self.denied.len() >= MAX_DENIED => true,
            false => self.denied.insert(track_id.clone()),
        };
        let message = match changed {
            true => SfuMessage::Subscribable { track_id, session_id, allowed },
            false => SfuMessage::Alive,
        };
        (message, frames)
    }
}

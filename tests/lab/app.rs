//! The application of one session: its actions, and what it may expect.

use super::{
    vocabulary,
    world::{Act, Ms, World},
};
use offhook::core::{
    model::{SelfUpdate, SubscriptionSettings, UnpublishCause},
    End, EndReason, Event, Input, State, TrackId,
};
use offhook::error::{Code, Secret};
use std::collections::BTreeMap;

/// A track that the application published and has not freed.
#[derive(Clone, Debug)]
pub struct Live {
    pub id: TrackId,
    pub muted: bool,
    pub publish_acknowledged: bool,
    /// The application cannot know its mute state at the SFU.
    pub in_doubt: bool,
}

#[derive(Default)]
pub struct App {
    next: TrackId,
    /// In the order in which they were published.
    pub tracks: Vec<Live>,
    pub publisher_closed: bool,
    pub subscriber_closed: bool,
    pub left_at: Option<Ms>,
    pub aborted: bool,
    pub joined: bool,
    pub ended: Option<End>,
    /// It was still in the call after the calm phase.
    pub survived: bool,
    /// An error about its publishing was reported to it.
    pub publish_in_doubt: bool,
    /// A moderator has muted or unmuted its tracks.
    pub moderated: bool,
    /// Subscription settings by track name.
    pub subscription_settings: BTreeMap<String, SubscriptionSettings>,
}

impl App {
    /// The mute state of all current tracks at the SFU is unknown until the application sets it again.
    pub fn doubt_mutes(&mut self) {
        self.tracks.iter_mut().for_each(|track| track.in_doubt = true);
    }
}

impl World {
    pub fn act(&mut self, client: usize, act: Act) {
        self.note(|| format!("s{client} = the application: {act:?}"));
        let now = self.now;
        let app = &mut self.clients[client].app;
        if app.ended.is_some() {
            // The actor has ended: nothing reaches the core any more.
            return;
        }
        let input = match act {
            Act::Publish { muted } => {
                app.next += 1;
                let track = app.next;
                app.tracks.push(Live { id: track, muted, publish_acknowledged: false, in_doubt: false });
                Input::Publish { track, offer: vocabulary::audio(muted) }
            }
            Act::Unpublish => {
                let Some(track) = app.tracks.pop() else { return };
                Input::Unpublish { track: track.id }
            }
            Act::Mute(muted) => {
                let Some(track) = app.tracks.last_mut() else { return };
                if track.muted != muted {
                    track.in_doubt = false;
                }
                track.muted = muted;
                Input::Mute { track: track.id, muted }
            }
            Act::MuteStranger => Input::Mute { track: app.next + 7, muted: true },
            Act::ClosePeer(peer) => {
                match peer {
                    offhook::core::model::PeerKind::Publisher => {
                        app.publisher_closed = true;
                        app.tracks.clear();
                    }
                    offhook::core::model::PeerKind::Subscriber => app.subscriber_closed = true,
                }
                Input::ClosePeer(peer)
            }
            Act::Leave => {
                app.left_at.get_or_insert(now);
                Input::Leave { reason: "enough".into() }
            }
            Act::Abort => {
                app.aborted = true;
                let text = "shut down".to_owned();
                Input::Abort(End { reason: EndReason::Shutdown, error: None, text })
            }
            Act::Subscribe { which, subscribed, enabled } => {
                let this = &mut self.clients[client];
                let others = this.core.participants().filter(|p| !this.local_ids.contains(&p.session_id));
                let mut known: Vec<String> = others.flat_map(|p| p.published.iter().map(|t| t.id.clone())).collect();
                known.sort_unstable();
                let Some(track_id) = (!known.is_empty()).then(|| known.swap_remove(which % known.len())) else {
                    return;
                };
                let settings = SubscriptionSettings { subscribed, enabled, ..SubscriptionSettings::default() };
                this.app.subscription_settings.insert(track_id.clone(), settings);
                Input::Subscribe { track_id, settings }
            }
            Act::Rename(n) => {
                Input::UpdateSelf(SelfUpdate { name: Some(format!("name {n}")), ..SelfUpdate::default() })
            }
            Act::Data(act) => return self.act_data(client, act),
            Act::Token => {
                let token = self.clients[client].tokens.fresh();
                Input::Token(Some(Secret::new(token)))
            }
        };
        self.input(client, input);
    }
}

impl super::client::Client {
    pub fn app_receives(&mut self, _now: Ms, event: &Event) {
        let app = &mut self.app;
        match event {
            Event::State { state: State::Joined, .. } => app.joined = true,
            Event::Ended(end) => app.ended = Some(end.clone()),
            Event::LocalPublished { track } => {
                if let Some(live) = app.tracks.iter_mut().find(|t| t.id == *track) {
                    live.publish_acknowledged = true;
                }
                app.publish_in_doubt = false;
            }
            Event::LocalFailed { track, error } => {
                app.tracks.retain(|t| t.id != *track);
                // A track that a rule refuses never reached the SFU; one that was given up may have.
                let rule = matches!(error.code, Code::State | Code::Closed | Code::Limit);
                app.publish_in_doubt |= !rule;
            }
            // It may have crossed with a mute of the application.
            Event::TrackUnpublished { cause: UnpublishCause::Moderation, .. } => app.doubt_mutes(),
            Event::Error(error) if error.message.starts_with("mute:") => app.doubt_mutes(),
            Event::Error(error) if error.message.starts_with("publish:") => app.publish_in_doubt = true,
            _ => {}
        }
    }
}

//! Removes the secrets of one call from server texts before they are shown.
//!
//! Every event and every failure of a call passes here, and what is logged of them. If a server repeats a token or a
//! TURN password, as an edge's name, a participant's field, an error text or a custom event, it is removed.
//! Participants' data (packets, texts, RPC calls) is left unchanged. Costs one search per text and secret; nothing is
//! copied unless a secret is found. Must not know: protocols, C.

use crate::core::model::*;
use crate::core::{Event, Present};
use crate::error::{Error, Secret};
use memchr::memmem::Finder;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Shorter secrets are common words: development tokens, passwords of a test server.
const LEAST: usize = 16;
/// Most secrets kept; a call that lasts for days gets many tokens, and the old ones expire.
const MOST: usize = 64;
const INSTEAD: &str = "<secret>";

/// See the module.
#[derive(Default)]
pub(super) struct Secrets(RwLock<Vec<Finder<'static>>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("count", &self.0.read().len()).finish()
    }
}

impl Secrets {
    /// Adds a token or password. Of a token also the signature alone, without which the rest is of no use.
    pub fn learn(&self, secret: &Secret) {
        let whole = secret.reveal();
        let signature = whole.rsplit_once('.').map_or("", |(_, signature)| signature);
        for text in [signature, whole] {
            let known = |known: &Finder<'_>| known.needle() == text.as_bytes();
            if text.len() < LEAST || self.0.read().iter().any(known) {
                continue;
            }
            let mut all = self.0.write();
            if all.len() >= MOST {
                all.remove(0);
            }
            all.push(Finder::new(text).into_owned());
        }
    }

    /// Adds the secrets of an admission.
    pub fn learn_admission(&self, admission: &Admission) {
        self.learn(&admission.token);
        self.learn_servers(&admission.ice_servers);
    }

    pub fn learn_servers(&self, servers: &[IceServer]) {
        for server in servers {
            self.learn(&server.password);
        }
    }

    /// The text without secrets.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        if text.len() < LEAST {
            return clean;
        }
        // The newest first: a whole token before its signature alone.
        for finder in self.0.read().iter().rev() {
            if finder.find(clean.as_bytes()).is_some() {
                if let Ok(needle) = std::str::from_utf8(finder.needle()) {
                    clean = Cow::Owned(clean.replace(needle, INSTEAD));
                }
            }
        }
        clean
    }

    fn string(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.text(text) {
            *text = clean;
        }
    }

    pub fn failure(&self, failure: &mut Failure) {
        self.string(&mut failure.message);
    }

    pub fn error(&self, error: &mut Error) {
        if let Cow::Owned(clean) = self.text(&error.message) {
            error.message = clean.into();
        }
    }

    /// Removes the secrets from all server texts in an event.
    pub fn event(&self, event: &mut Event) {
        if self.0.read().is_empty() {
            return;
        }
        match event {
            Event::State { .. } | Event::TokenNeeded | Event::Counts(_) | Event::Grants(_) => {}
            Event::LocalPublished { .. } | Event::Unsent(_) => {}
            Event::Joined { session_id, .. } | Event::Reconnected { session_id, .. } => self.string(session_id),
            Event::ParticipantJoined(p) | Event::ParticipantUpdated(p) | Event::ParticipantLeft(p) => {
                self.participant(p);
            }
            Event::TrackPublished { user_id, session_id, track }
            | Event::TrackUnpublished { user_id, session_id, track, .. } => {
                [user_id, session_id, &mut track.id, &mut track.name].into_iter().for_each(|text| self.string(text));
            }
            Event::AudioLevel { user_id, session_id, .. }
            | Event::DominantSpeaker { user_id, session_id }
            | Event::Quality { user_id, session_id, .. } => {
                [user_id, session_id].into_iter().for_each(|text| self.string(text));
            }
            Event::Pins(pins) => {
                for pin in pins {
                    [&mut pin.user_id, &mut pin.session_id].into_iter().for_each(|text| self.string(text));
                }
            }
            Event::Custom { user_id, custom_type, json } => {
                [user_id, custom_type, json].into_iter().for_each(|text| self.string(text));
            }
            Event::Room(room) => {
                [&mut room.id, &mut room.name, &mut room.metadata].into_iter().for_each(|text| self.string(text));
            }
            // Participants' data.
            Event::Data(_) | Event::DataLost(_) | Event::RpcRequest { .. } | Event::RpcResponse { .. } => {}
            Event::DataEncrypted { user_id, session_id } => {
                [user_id, session_id].into_iter().for_each(|text| self.string(text));
            }
            Event::Subscribable { user_id, session_id, track_id, .. } => {
                [user_id, session_id, track_id].into_iter().for_each(|text| self.string(text));
            }
            Event::Unplayable(what) => {
                [&mut what.user_id, &mut what.session_id, &mut what.track_id]
                    .into_iter()
                    .for_each(|text| self.string(text));
            }
            Event::Media { text, .. } => self.string(text),
            Event::IceServer(failure) => {
                [&mut failure.url, &mut failure.text].into_iter().for_each(|text| self.string(text));
            }
            Event::LocalFailed { error, .. } | Event::Error(error) => self.error(error),
            Event::Ended(end) => {
                self.string(&mut end.text);
                if let Some(error) = &mut end.error {
                    self.error(error);
                }
            }
        }
    }

    /// The same for a participant in a snapshot.
    pub fn present(&self, present: &mut Present) {
        if self.0.read().is_empty() {
            return;
        }
        self.participant(&mut present.participant);
        for track in &mut present.tracks {
            [&mut track.id, &mut track.name].into_iter().for_each(|text| self.string(text));
        }
    }

    /// Copied only when there is a secret to remove.
    fn participant(&self, shared: &mut Arc<Participant>) {
        let p = &**shared;
        let ids = [p.user_id.as_str(), p.session_id.as_str()];
        let texts = [&p.name, &p.image, &p.custom_json, &p.metadata, &p.attributes_json];
        let clean = |text: &str| matches!(self.text(text), Cow::Borrowed(_));
        if ids.iter().all(|text| clean(text)) && texts.iter().all(|text| clean(text)) {
            return;
        }
        let p = Arc::make_mut(shared);
        [&mut p.user_id, &mut p.session_id].into_iter().for_each(|text| self.string(text));
        for text in [&mut p.name, &mut p.image, &mut p.custom_json, &mut p.metadata, &mut p.attributes_json] {
            if let Cow::Owned(clean) = self.text(text) {
                *text = clean.into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const TOKEN: &str = "head5ecretHead.pay5ecretLoad.sig5ecretNature0123";

    fn secrets() -> Secrets {
        let secrets = Secrets::default();
        secrets.learn(&Secret::new(TOKEN));
        let password = Secret::new("turn5ecretPassword");
        secrets.learn_servers(&[IceServer { password, ..IceServer::default() }]);
        secrets
    }

    #[test]
    fn secrets_are_taken_out_of_texts() {
        let secrets = secrets();
        assert_eq!(secrets.text(&format!("a {TOKEN} b {TOKEN}")), "a <secret> b <secret>");
        assert_eq!(secrets.text("x sig5ecretNature0123"), "x <secret>");
        assert_eq!(secrets.text("turn5ecretPassword"), "<secret>");
        assert!(matches!(secrets.text("nothing of the kind is in here"), Cow::Borrowed(_)));
        // Common words stay.
        secrets.learn(&Secret::new("development"));
        assert_eq!(secrets.text("all about development"), "all about development");
    }

    #[test]
    fn they_are_bounded() {
        let secrets = secrets();
        for n in 0..1_000 {
            secrets.learn(&Secret::new(format!("password-number-{n:05}")));
        }
        assert!(secrets.0.read().len() <= MOST);
        assert_eq!(secrets.text("password-number-00999"), "<secret>");
    }

    #[test]
    fn every_event_of_a_server_is_searched() {
        let secrets = secrets();
        let t = || TOKEN.to_owned();
        let track = || RemoteTrack { id: t(), name: t(), ..RemoteTrack::from(TrackKind::Audio) };
        let person = || {
            let (metadata, attributes_json, custom_json) = (t(), t(), format!("{{\"a\":\"{TOKEN}\"}}"));
            let (user_id, session_id, name, image) = (t(), t(), t().into(), t().into());
            let known = Participant { user_id, session_id, name, image, ..Participant::default() };
            let (metadata, attributes_json) = (metadata.into(), attributes_json.into());
            Arc::new(Participant { metadata, attributes_json, custom_json: custom_json.into(), ..known })
        };
        let (user_id, session_id) = (t(), t());
        let room = Room { id: t(), name: t(), metadata: t(), recording: false };
        let end = crate::core::End {
            reason: crate::core::EndReason::JoinFailed,
            error: Some(Error::new(Code::Refused, t())),
            text: t(),
        };
        let events = [
            Event::Joined { counts: Counts::default(), session_id: t() },
            Event::ParticipantJoined(person()),
            Event::ParticipantUpdated(person()),
            Event::ParticipantLeft(person()),
            Event::TrackPublished { user_id: t(), session_id: t(), track: track() },
            Event::TrackUnpublished { user_id: t(), session_id: t(), track: track(), cause: UnpublishCause::default() },
            Event::AudioLevel { user_id: t(), session_id: t(), level: 0.0, speaking: false },
            Event::DominantSpeaker { user_id: t(), session_id: t() },
            Event::Quality { user_id: t(), session_id: t(), quality: Quality::Good },
            Event::Pins(vec![Pin { user_id, session_id }]),
            Event::Custom { user_id: t(), custom_type: t(), json: t() },
            Event::Room(Box::new(room)),
            Event::Subscribable { user_id: t(), session_id: t(), track_id: t(), allowed: true },
            Event::Media { direction: PeerKind::Publisher, connected: false, text: t() },
            Event::IceServer(IceServerFailure { url: format!("turn:{TOKEN}:3478"), code: 401, text: t() }),
            Event::LocalFailed { track: 1, error: Error::new(Code::Refused, t()) },
            Event::Error(Error::new(Code::Refused, format!("no: {TOKEN}"))),
            Event::Ended(end),
        ];
        for mut event in events {
            secrets.event(&mut event);
            let shown = format!("{event:?}");
            // The prefix of stream ids and the roles are never shown.
            assert!(!shown.contains("5ecret") && shown.contains(INSTEAD), "{shown}");
        }
    }
}

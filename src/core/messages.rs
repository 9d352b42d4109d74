//! Dispatches the messages that the SFU sends on its socket to the parts of the call.
//!
//! The generation of every message is checked first. Unknown messages are counted and ignored. Messages received before
//! JoinResponse are kept (bounded) and handled after it.

use super::context::{Need, Phase, Settled};
use super::room::News;
use super::{limits, model::*, Core, End, EndReason, Event, Output, Timer};
use crate::error::{Code, Error};

impl Core {
    pub(super) fn on_message(&mut self, generation: Generation, message: SfuMessage) -> Settled {
        let current = self.cx.is_current(generation);
        match message {
            SfuMessage::SubscriberOffer { ref sdp, negotiation_id, .. }
                if current && self.subscriber.is_repeated(&self.cx, sdp, negotiation_id) =>
            {
                self.reset_silence_timer();
                self.cx.drop_offer("late offer dropped: it is a repetition", generation);
            }
            SfuMessage::SubscriberOffer { .. } if current && self.cx.phase == Phase::Joining => {
                self.held.push(&mut self.cx, message);
            }
            SfuMessage::SubscriberOffer { sdp, negotiation_id, .. } => {
                if current {
                    self.reset_silence_timer();
                }
                return self.subscriber.on_offer(&mut self.cx, generation, sdp, negotiation_id);
            }
            message if self.migration.is_leg(generation) && self.cx.is_open() => self.on_old_message(message),
            _ if !current || !self.cx.is_open() => self.cx.late(),
            message => {
                self.reset_silence_timer();
                match self.cx.phase {
                    Phase::Joining => self.on_message_while_joining(message),
                    Phase::Joined => return self.dispatch(message),
                    _ => self.cx.late(),
                }
            }
        }
        Ok(())
    }

    fn on_message_while_joining(&mut self, message: SfuMessage) {
        match message {
            SfuMessage::Joined(joined) => self.on_joined(*joined),
            SfuMessage::Error { error, .. } => {
                let failure = Failure {
                    code: error.code,
                    should_retry: error.should_retry,
                    ..Failure::new(FailureKind::Sfu, error.message)
                };
                self.join_attempt_failed("the SFU", failure, true);
            }
            // It may have been the JoinResponse.
            SfuMessage::TooLarge(what) => {
                self.join_attempt_failed("the SFU", Failure::new(FailureKind::TooLarge, what), true)
            }
            SfuMessage::CallEnded(reason) => self.on_call_ended(reason),
            SfuMessage::Advice { strategy, why, leave_edge } => self.on_advice_while_joining(strategy, why, leave_edge),
            SfuMessage::Token(token) => self.tokens.refreshed(&mut self.cx, token),
            message => self.held.push(&mut self.cx, message),
        }
    }

    /// Restarts the silence timeout: the SFU is alive.
    pub(super) fn reset_silence_timer(&mut self) {
        if self.cx.is_joined() {
            self.cx.timers.set(Timer::HealthSilent, self.cx.now + self.health.silent);
        }
    }

    pub(super) fn ping(&mut self) {
        if self.cx.is_joined() {
            let generation = self.cx.generation;
            self.cx.out(Output::Send { generation, request: SfuRequest::Health });
            self.cx.timers.set(Timer::HealthPing, self.cx.now + self.health.ping);
        }
    }

    pub(super) fn on_silence(&mut self) -> Settled {
        if !self.cx.is_joined() {
            return Ok(());
        }
        self.forget_socket(limits::CLOSE_UNHEALTHY, "health timeout");
        Err(Need::fast(format!("nothing was received from the SFU for {} s", self.health.silent.as_secs())))
    }

    /// A message of the current generation in a joined call.
    pub(super) fn dispatch(&mut self, message: SfuMessage) -> Settled {
        let (cx, room, messaging) = (&mut self.cx, &mut self.room, &mut self.messaging);
        if !cx.is_joined() {
            match message {
                SfuMessage::SubscriberOffer { .. } => {
                    cx.drop_offer("late offer dropped: the call is leaving", cx.generation)
                }
                _ => cx.late(),
            }
            return Ok(());
        }
        match message {
            SfuMessage::Joined(_) | SfuMessage::MigrationComplete => cx.late(),
            SfuMessage::SubscriberOffer { sdp, negotiation_id, .. } => {
                let generation = cx.generation;
                return self.subscriber.on_offer(cx, generation, sdp, negotiation_id);
            }
            SfuMessage::IceTrickle { peer: PeerKind::Publisher, candidate } => {
                self.publisher.on_remote_candidate(cx, candidate)
            }
            SfuMessage::LinesNeeded { audio } => self.publisher.on_lines_needed(cx, audio),
            SfuMessage::IceTrickle { peer: PeerKind::Subscriber, .. } if cx.one_connection => cx.late(),
            SfuMessage::IceTrickle { peer: PeerKind::Subscriber, candidate } => {
                self.subscriber.on_remote_candidate(cx, candidate)
            }
            SfuMessage::IceRestart { peer: PeerKind::Publisher } => self.publisher.restart_ice(cx),
            // The SFU sends an offer by itself.
            SfuMessage::IceRestart { peer: PeerKind::Subscriber } => {}
            // Audio has one layer: nothing to switch.
            SfuMessage::ChangePublishQuality(_) => {}
            SfuMessage::ChangePublishOptions(options) => self.publisher.options = options,
            SfuMessage::ConnectionQuality(list) => room.on_quality(cx, list),
            SfuMessage::AudioLevels(list) => room.on_levels(cx, list),
            SfuMessage::DominantSpeaker { session_id } => room.on_dominant(cx, session_id),
            SfuMessage::ParticipantJoined(p) => room.on_participant(cx, messaging, *p, News::Joined),
            SfuMessage::ParticipantUpdated(p) => room.on_participant(cx, messaging, *p, News::Updated),
            SfuMessage::ParticipantState(p) => room.on_participant(cx, messaging, *p, News::Whole),
            SfuMessage::ParticipantLeft { session_id, reason, .. } => {
                room.on_participant_left(cx, messaging, &session_id, reason)
            }
            SfuMessage::Present(sessions) => room.on_present(cx, messaging, &sessions),
            SfuMessage::TrackPublished { session_id, kind, participant, .. } => {
                if let Some(p) = participant {
                    room.on_participant(cx, messaging, *p, News::Updated);
                }
                room.on_track_published(cx, &session_id, kind.into());
            }
            SfuMessage::TrackUnpublished { session_id, kind, cause, participant, .. } => {
                // First: a new participant comes with its tracks as they were before.
                if let Some(p) = participant {
                    room.on_participant(cx, messaging, *p, News::Updated);
                }
                if session_id == cx.session_id && cause == UnpublishCause::Moderation {
                    let known = room.local_track(&cx.session_id, kind);
                    self.publisher.on_moderated(cx, kind, known);
                }
                room.on_track_unpublished(cx, &session_id, &kind.into(), cause);
            }
            SfuMessage::Health(counts) => room.on_counts(cx, counts),
            SfuMessage::InboundState(_) => {}
            SfuMessage::Grants(grants) => self.on_grants(grants),
            SfuMessage::Pins(pins) => cx.event(Event::Pins(pins)),
            SfuMessage::GoAway { .. } => {
                return Err(Need::Reconnect(Strategy::Migrate, "the SFU asked its clients to leave".into()))
            }
            SfuMessage::Alive => {}
            SfuMessage::Token(token) => self.tokens.refreshed(cx, token),
            SfuMessage::Room(room) => cx.event(Event::Room(room)),
            SfuMessage::LocalMuted { track_id, muted } => {
                let known = room.local_track(&cx.session_id, self.publisher.source_of(&track_id));
                self.publisher.on_muted(cx, &track_id, known, muted);
            }
            SfuMessage::LocalNamed { track_id, sfu_name } => self.publisher.on_named(&track_id, sfu_name),
            SfuMessage::LocalUnpublished { track_id } => self.publisher.on_unpublished(cx, &track_id),
            SfuMessage::Subscribable { track_id, session_id, allowed } => {
                room.on_subscribable(cx, session_id, track_id, allowed)
            }
            SfuMessage::Advice { strategy, why, leave_edge } => {
                if leave_edge {
                    self.edges.leave(cx);
                }
                return Err(Need::Reconnect(strategy, why.into()));
            }
            SfuMessage::CallEnded(reason) => self.on_call_ended(reason),
            SfuMessage::Error { error, strategy } => return self.on_sfu_error(error, strategy),
            SfuMessage::TooLarge(what) => {
                cx.counters.malformed += 1;
                cx.event(Event::Error(Error::new(Code::Limit, what)));
            }
            // The publisher's answer is in the reply to SetPublisher.
            SfuMessage::PublisherAnswer | SfuMessage::Unknown => cx.counters.unknown += 1,
        }
        Ok(())
    }

    fn on_sfu_error(&mut self, error: SfuError, strategy: Strategy) -> Settled {
        let reported = Error::new(Code::Refused, format!("the SFU reports error {}: {}", error.code, error.message))
            .with_server_code(error.code);
        let text = reported.message.to_string();
        match strategy {
            Strategy::Unspecified => self.cx.event(Event::Error(reported)),
            Strategy::Disconnect => {
                let end = End { reason: EndReason::Disconnected, error: Some(reported), text };
                self.leave(end, Some("disconnected by the SFU".into()));
            }
            Strategy::Fast | Strategy::Rejoin | Strategy::Migrate => {
                self.cx.event(Event::Error(reported));
                return Err(Need::Reconnect(strategy, text.into()));
            }
        }
        Ok(())
    }

    pub(super) fn on_call_ended(&mut self, reason: CallEndedReason) {
        let (reason, text) = match reason {
            CallEndedReason::Kicked => (EndReason::Kicked, "removed from the call"),
            CallEndedReason::LiveEnded => (EndReason::SessionEnded, "the livestream ended"),
            CallEndedReason::SessionEnded => (EndReason::SessionEnded, "the session ended"),
            CallEndedReason::Replaced => (EndReason::Replaced, "another client joined as this participant"),
            CallEndedReason::Disconnected => (EndReason::Disconnected, "disconnected by the SFU"),
            CallEndedReason::Ended | CallEndedReason::Unspecified => (EndReason::CallEnded, "the call ended"),
        };
        self.leave(End { reason, error: None, text: text.into() }, None);
    }

    pub(super) fn on_grants(&mut self, grants: Grants) {
        if self.cx.grants.replace(grants) == Some(grants) {
            return;
        }
        self.cx.event(Event::Grants(grants));
        self.publisher.revoke(&mut self.cx, grants);
    }
}

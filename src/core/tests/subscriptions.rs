//! Subscription settings of remote tracks, and the subscriber that stays open when nothing is subscribed.

use super::sim::*;
use crate::core::{model::*, *};

/// A protocol that treats the subscriber's connection as the participant's.
fn staying(subscribe: bool) -> Sim {
    let mut config = config();
    config.dialect.subscriber_stays = true;
    config.subscribe = subscribe;
    let mut sim = Sim::joined_with(config);
    sim.message(SfuMessage::ParticipantState(Box::new(speaker("ann", &["TR_1"]))));
    sim.offer();
    sim.run(ms(100));
    sim
}

fn speaker(name: &str, tracks: &[&str]) -> Participant {
    let track = |id: &&str| RemoteTrack { id: (*id).to_owned(), ..TrackKind::Audio.into() };
    Participant { published: tracks.iter().map(track).collect(), ..person(name) }
}

fn media(sim: &mut Sim, id: RemoteId) {
    let generation = sim.core.generation();
    sim.input(Input::RemoteTrack {
        generation,
        id,
        owner: owner("ann-prefix:TRACK_TYPE_AUDIO:1"),
        mid: String::new(),
        again: false,
    });
}

/// The tracks in each request since the mark, and whether they are subscribed.
fn sent(sim: &Sim) -> Vec<Vec<(String, bool)>> {
    let requested = |call: RpcCall| match call {
        RpcCall::UpdateSubscriptions { subscriptions, .. } => {
            Some(subscriptions.into_iter().map(|s| (s.track_id, s.settings.subscribed)).collect())
        }
        _ => None,
    };
    sim.rpcs().into_iter().filter_map(requested).collect()
}

fn bound(sim: &Sim) -> (usize, usize) {
    let binds = sim.count(|o| matches!(o, Output::Bind { .. }));
    (binds, sim.count(|o| matches!(o, Output::Unbind { .. })))
}

fn one(id: &str, wanted: bool) -> Vec<(String, bool)> {
    vec![(id.to_owned(), wanted)]
}

#[test]
fn after_a_close_offers_of_the_remaining_connection_only_are_answered() {
    let offer = |sim: &mut Sim, session: u32, negotiation_id| {
        let sdp = format!(
            "v=0\r\no=- {session} 2 IN IP4 0.0.0.0\r\na=ice-ufrag:u{session}\r\na=ice-pwd:p{negotiation_id}\r\n"
        );
        sim.message(SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id });
        sim.run(ms(100));
    };
    let mut sim = staying(true);
    offer(&mut sim, 7, 20);
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    sim.mark();
    let late = sim.core.counters().late_offers;
    offer(&mut sim, 8, 21);
    assert_eq!((sim.answers(), sim.core.counters().late_offers, sim.errors()), (vec![], late + 1, 0));
    offer(&mut sim, 7, 22);
    assert_eq!(sim.answers(), [22]);
}

#[test]
fn after_a_close_failed_offers_are_not_reported() {
    let mut sim = staying(true);
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    let mut once = true;
    sim.on(move |o| match o {
        Output::Engine { action: Action::Answer { .. }, .. } if std::mem::take(&mut once) => {
            op_failed(o, failed(false))
        }
        _ => Reply::Good,
    });
    sim.offer();
    sim.run(ms(100));
    assert_eq!((sim.core.counters().offers_failed, sim.errors()), (1, 0));
}

#[test]
fn a_receive_disabled_subscriber_still_answers_offers() {
    let mut sim = staying(false);
    assert_eq!(sim.answers(), [1]);
    sim.mark();
    media(&mut sim, 1);
    sim.message(SfuMessage::ParticipantState(Box::new(speaker("ann", &["TR_1", "TR_2"]))));
    sim.offer();
    sim.run(ms(100));
    assert_eq!((sim.answers(), bound(&sim), sim.errors()), (vec![2], (0, 1), 0));
    assert!(sent(&sim).iter().flatten().all(|(_, wanted)| !wanted));
}

#[test]
fn a_closed_subscriber_receives_nothing_more_and_stays() {
    let mut sim = staying(true);
    sim.mark();
    media(&mut sim, 1);
    sim.run(ms(50));
    assert_eq!(bound(&sim), (1, 0));
    sim.mark();
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    sim.run(ms(50));
    assert_eq!((bound(&sim), sent(&sim)), ((0, 1), vec![one("TR_1", false)]));
    sim.mark();
    media(&mut sim, 2);
    sim.message(SfuMessage::ParticipantState(Box::new(speaker("ann", &["TR_1", "TR_2"]))));
    sim.input(Input::Subscribe { track_id: "TR_1".into(), settings: SubscriptionSettings::default() });
    sim.offer();
    sim.run(ms(100));
    assert_eq!((sim.answers(), bound(&sim), sim.errors()), (vec![2], (0, 1), 0));
    assert!(
        sent(&sim).iter().flatten().all(|(_, wanted)| !wanted),
        "a subscription setting after the close is ignored"
    );
    assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { .. })), 0);
}

#[test]
fn a_setting_is_sent_again_after_its_track_ended() {
    let mut sim = staying(true);
    let set_subscribed = |sim: &mut Sim| {
        sim.input(Input::Subscribe { track_id: "TR_1".into(), settings: SubscriptionSettings::default() });
        sim.run(ms(50));
    };
    sim.mark();
    set_subscribed(&mut sim);
    set_subscribed(&mut sim);
    assert_eq!(sent(&sim), [one("TR_1", true)], "an unchanged setting is not sent");
    sim.mark();
    sim.message(SfuMessage::ParticipantState(Box::new(speaker("ann", &[]))));
    sim.run(ms(50));
    set_subscribed(&mut sim);
    assert_eq!(sent(&sim), [vec![], one("TR_1", true)]);
}

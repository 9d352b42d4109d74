//! The fault list, part one: offers, candidates and media that arrive at the wrong time.

use super::{
    faults::Fault,
    script::{refuse, step, Lab},
    sockets::Cut,
    text::Tag,
    world::{Act, Verdict},
};
use offhook::core::{model::*, Input, State};

#[test]
fn h01_an_offer_for_a_closed_subscriber_is_dropped() {
    let mut lab = Lab::joined(&[0, 0, 1], 2);
    lab.act(0, Act::ClosePeer(PeerKind::Subscriber));
    let before = lab.counters(0);
    lab.offer(0, false);
    lab.offer(0, true);
    lab.run(1_000);
    assert_eq!(lab.counters(0).late_offers, before.late_offers + 2);
    assert_eq!((lab.errors(0), lab.count_outputs(0, "Rpc"), lab.count_outputs(0, "Engine")), (0, 0, 0));
    assert_eq!(lab.state(0), State::Joined);
    for other in [1, 2] {
        assert_eq!(lab.count_outputs(other, "Event"), 0, "session {other} received an event");
    }
}

#[test]
fn h01_an_offer_queued_behind_another_while_the_application_leaves_is_dropped() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.on(|client, output| match client {
        0 if step(output, PeerKind::Subscriber, "answer") => Verdict::Later(500),
        _ => Verdict::Normal,
    });
    let before = lab.counters(0);
    for _ in 0..3 {
        lab.offer(0, false);
    }
    lab.run(100);
    lab.act(0, Act::Leave);
    lab.offer(0, false);
    lab.run(3_000);
    let after = lab.counters(0);
    assert_eq!(after.late_offers, before.late_offers + 4, "{after:?}");
    assert_eq!(lab.count_outputs(0, "SendAnswer") + lab.errors(0), 0);
    assert!(lab.ended(0).is_some());
    // After the end as well.
    let generation = lab.generation(0);
    let message = SfuMessage::SubscriberOffer { ice_restart: false, sdp: "v=0".into(), negotiation_id: 9 };
    lab.input(0, Input::Message { generation, message });
    assert_eq!(lab.counters(0).late_offers, before.late_offers + 5);
}

#[test]
fn h02_an_offer_that_fails_leaves_nothing_behind_and_the_next_one_works() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(1, false);
    let mut failed = false;
    lab.on(move |client, output| {
        if client == 0 && !failed && step(output, PeerKind::Subscriber, "answer") {
            failed = true;
            return refuse(output);
        }
        Verdict::Normal
    });
    lab.offer(0, false);
    lab.run(2_000);
    assert_eq!((lab.errors(0), lab.count_outputs(0, "IceRestart")), (1, 1));
    assert_eq!(lab.counters(0).offers_failed, 1);
    lab.calm();
}

#[test]
fn h03_candidates_of_an_old_ice_generation_are_never_added() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(1, false);
    let (owner, peer_generation) = (lab.member(0), 1);
    let old = Tag { sfu: true, owner, peer_generation, kind: PeerKind::Subscriber, ice: 0 };
    lab.offer(0, true);
    lab.run(1_000);
    lab.mark();
    let before = lab.counters(0).candidates_dropped;
    for number in 0..5 {
        lab.message(0, SfuMessage::IceTrickle { peer: PeerKind::Subscriber, candidate: old.candidate(number, true) });
    }
    assert_eq!(lab.count_outputs(0, "AddCandidate"), 0);
    assert_eq!(lab.counters(0).candidates_dropped, before + 5);
    // A candidate that arrives while the restart is being set is checked against the description being set.
    lab.on(|_, output| match step(output, PeerKind::Subscriber, "answer") {
        true => Verdict::Later(200),
        false => Verdict::Normal,
    });
    lab.offer(0, true);
    lab.run(100);
    let former = Tag { ice: 1, ..old };
    lab.message(0, SfuMessage::IceTrickle { peer: PeerKind::Subscriber, candidate: former.candidate(9, true) });
    lab.run(1_000);
    assert_eq!(lab.counters(0).candidates_dropped, before + 6);
    lab.calm();
}

#[test]
fn h09_the_old_socket_of_a_migration_never_reaches_the_new_peer_connections() {
    let mut lab = Lab::joined(&[0, 0], 2);
    lab.publish(0, false);
    lab.publish(1, false);
    let old = lab.generation(0);
    // The new edge is slow, so that both sockets are open for a while.
    lab.on(|client, output| match client {
        0 if step(output, PeerKind::Publisher, "offer") => Verdict::Later(1_500),
        _ => Verdict::Normal,
    });
    lab.strike(0, Fault::GoAway);
    lab.run(1_000);
    assert_eq!(lab.state(0), State::Migrating);
    assert_ne!(lab.generation(0), old);
    let before = lab.counters(0).late_offers;
    let owner = lab.member(0);
    let tag = Tag { sfu: true, owner, peer_generation: 1, kind: PeerKind::Subscriber, ice: 0 };
    let sdp = super::text::Desc { tag: tag.clone(), serial: 77, lines: Vec::new() }.text();
    lab.mark();
    for message in [
        SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id: 77 },
        SfuMessage::IceTrickle { peer: PeerKind::Subscriber, candidate: tag.candidate(5, false) },
        SfuMessage::IceRestart { peer: PeerKind::Publisher },
        SfuMessage::GoAway { reason: 1 },
    ] {
        lab.input(0, Input::Message { generation: old, message });
    }
    assert_eq!((lab.count_outputs(0, "Engine"), lab.count_outputs(0, "SendAnswer")), (0, 0));
    assert_eq!(lab.counters(0).late_offers, before + 1);
    lab.calm();
    assert_eq!(lab.counters(0).reconnects_migrate, 1);
}

#[test]
fn h09_after_fast_the_surviving_peer_connections_still_get_offers() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(1, false);
    lab.cut(0, Cut::Reset);
    lab.run(2_000);
    assert_eq!((lab.counters(0).reconnects_fast, lab.count_outputs(0, "Create {")), (1, 0), "kept, not created again");
    let before = lab.counters(0).offers_answered;
    lab.act(1, Act::Unpublish);
    lab.run(2_000);
    assert!(lab.counters(0).offers_answered > before);
    lab.calm();
}

#[test]
fn h20_what_was_begun_for_a_session_is_not_finished_for_the_next() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.on(|client, output| match client {
        0 if step(output, PeerKind::Subscriber, "answer") => Verdict::Later(800),
        _ => Verdict::Normal,
    });
    lab.offer(0, false);
    lab.run(100);
    lab.strike(0, Fault::Error(Strategy::Rejoin));
    lab.run(300);
    assert_eq!(lab.state(0), State::Joined);
    assert_eq!(lab.counters(0).reconnects_rejoin, 1);
    // The engine's answer to the old session's offer arrives now: every RPC is checked against its session.
    lab.calm();
}

#[test]
fn h29_media_that_comes_before_its_participant_is_held_and_matched() {
    let mut lab = Lab::joined(&[0], 1);
    let generation = lab.generation(0);
    let stream_id = "early:TRACK_TYPE_AUDIO:1".to_owned();
    let owner = offhook::signalling::stream::media_owner(&stream_id, &stream_id);
    lab.input(0, Input::RemoteTrack { generation, id: 5, owner, mid: String::new(), again: false });
    lab.run(100);
    assert_eq!(lab.count_outputs(0, "Bind"), 0);
    let late = Participant {
        user_id: "late".into(),
        session_id: "late".into(),
        track_prefix: "early".into(),
        ..Participant::default()
    };
    lab.message(0, SfuMessage::ParticipantJoined(Box::new(late)));
    assert_eq!(lab.count_outputs(0, "< Bind { id: 5, user_id: \"late\""), 1);
    lab.input(0, Input::RemoteTrackGone { id: 5 });
}

#[test]
fn h30_what_was_muted_during_an_outage_is_seen_as_muted_after_it() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(1, false);
    assert!(lab.world.clients[0].check.view.people.values().all(|(_, tracks)| tracks.len() == 1));
    lab.on(|client, output| match (client, output) {
        (0, offhook::core::Output::OpenSocket { .. }) => Verdict::Later(1_000),
        _ => Verdict::Normal,
    });
    lab.cut(0, Cut::Reset);
    lab.act(1, Act::Mute(true));
    lab.run(500);
    assert_ne!(lab.state(0), State::Joined);
    lab.run(3_000);
    assert_eq!(lab.count_outputs(0, "TrackUnpublished"), 1);
    // A rejoin of the muted participant does not announce the track either.
    lab.strike(1, Fault::Error(Strategy::Rejoin));
    lab.run(3_000);
    assert_eq!(lab.counters(1).reconnects_rejoin, 1);
    assert_eq!(lab.count_outputs(0, "Event(TrackPublished"), 0);
    lab.calm();
}

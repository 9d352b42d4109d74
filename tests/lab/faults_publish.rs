//! The fault list, part two: publishing, and RPCs that fail.

use super::{
    faults::Fault,
    script::{fail, refuse, rpc, step, Lab},
    sockets::Cut,
    world::{Act, Verdict},
};
use offhook::core::{model::*, Event, Output, State};

fn refused() -> Failure {
    Failure { code: 500, ..Failure::new(FailureKind::Sfu, "not now") }
}

#[test]
fn h04_setpublisher_is_never_reordered_whatever_the_application_does() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.on(|client, output| match client {
        0 if rpc(output, "SetPublisher") => Verdict::Later(400),
        _ => Verdict::Normal,
    });
    for _ in 0..4 {
        lab.act(0, Act::Publish { muted: false });
        lab.act(0, Act::Mute(true));
        lab.strike(0, Fault::IceRestart(PeerKind::Publisher));
        lab.run(150);
        lab.act(0, Act::Unpublish);
        lab.act(0, Act::Publish { muted: true });
        lab.act(0, Act::Mute(false));
        lab.run(150);
        lab.act(0, Act::Unpublish);
    }
    lab.act(0, Act::Publish { muted: false });
    // The SFU model and the checker verify order and overlap at every step.
    lab.calm();
}

#[test]
fn sixteen_tracks_are_received_by_another_client_and_return_in_order() {
    let mut lab = Lab::joined(&[0, 0], 1);
    for track in 0..16 {
        lab.act(0, Act::Publish { muted: track == 3 });
    }
    lab.run(3_000);
    assert_eq!((lab.count_outputs(0, "LocalPublished"), lab.errors(0)), (16, 0));
    lab.calm();
    // Each plays as a separate track; a mute applies to the kind.
    assert_eq!(lab.world.clients[1].check.bound.len(), 16);
    for (round, fault) in [Fault::Error(Strategy::Rejoin), Fault::Error(Strategy::Fast)].into_iter().enumerate() {
        lab.mark();
        lab.strike(0, fault);
        lab.run(15_000);
        let counters = lab.counters(0);
        assert_eq!(counters.reconnects_rejoin + counters.reconnects_fast, round as u64 + 1);
        let peer = lab.world.clients[0].peers.iter().rev().find(|p| p.kind == PeerKind::Publisher);
        assert_eq!(peer.map(|p| p.senders.clone()), Some((1..=16).collect()), "in the order in which they came");
        // The SFU's error is reported, and no track is reported as failed.
        assert_eq!(lab.count_outputs(0, "Event(LocalFailed"), 0);
        lab.calm();
        assert_eq!(lab.world.clients[1].check.bound.len(), 16);
    }
    // One is removed and another added; the others stay.
    lab.act(0, Act::Unpublish);
    lab.act(0, Act::Publish { muted: false });
    lab.run(3_000);
    lab.calm();
    assert_eq!(lab.world.clients[1].check.bound.len(), 16);
}

#[test]
fn h05_a_track_has_one_sender_however_often_the_session_comes_back() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    for round in 1..=4 {
        lab.mark();
        lab.strike(0, Fault::Error(Strategy::Rejoin));
        lab.run(15_000);
        assert_eq!(lab.counters(0).reconnects_rejoin, round);
        assert_eq!(lab.count_outputs(0, "senders: [WantedSender {"), 1);
        let peer = lab.world.clients[0].peers.iter().rev().find(|p| p.kind == PeerKind::Publisher);
        assert_eq!(peer.map(|p| p.senders.clone()), Some(vec![1]));
    }
    lab.calm();
}

#[test]
fn h06_after_a_rollback_the_mids_are_those_of_the_new_offer() {
    let mut lab = Lab::joined(&[0, 0], 1);
    let mut failed = false;
    lab.on(move |client, output| {
        if client == 0 && !failed && rpc(output, "SetPublisher") {
            failed = true;
            return fail(output, refused());
        }
        Verdict::Normal
    });
    lab.act(0, Act::Publish { muted: false });
    lab.run(5);
    // Removed before it was acknowledged; the next one has another m-line.
    lab.act(0, Act::Unpublish);
    lab.act(0, Act::Publish { muted: false });
    lab.calm();
    let member = lab.member(0);
    assert_eq!(lab.world.sfu.members[member].tracks.len(), 1);
}

#[test]
fn h07_a_publish_after_a_failed_negotiation_negotiates_anew() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.on(|client, output| match client {
        0 if rpc(output, "SetPublisher") => fail(output, refused()),
        _ => Verdict::Normal,
    });
    lab.act(0, Act::Publish { muted: false });
    lab.run(10_000);
    let failed = |e: &Event| matches!(e, Event::LocalFailed { error, .. } if error.message.contains("not now"));
    assert_eq!(lab.log(0).iter().filter(|(_, e)| failed(e)).count(), 1, "the first error is kept");
    lab.on(|_, _| Verdict::Normal);
    lab.act(0, Act::Publish { muted: false });
    lab.run(3_000);
    assert_eq!(lab.count_outputs(0, "LocalPublished"), 1);
    lab.calm();
}

#[test]
fn h02_a_publish_that_fails_midway_is_rolled_back_and_works_the_next_time() {
    for name in ["create", "offer", "set answer"] {
        let mut lab = Lab::joined(&[0, 0], 1);
        let mut failed = false;
        lab.on(move |client, output| {
            if client == 0 && !failed && step(output, PeerKind::Publisher, name) {
                failed = true;
                return refuse(output);
            }
            Verdict::Normal
        });
        lab.act(0, Act::Publish { muted: false });
        lab.run(3_000);
        assert_eq!((lab.count_outputs(0, "LocalPublished"), lab.errors(0)), (1, 0), "{name}");
        lab.calm();
    }
}

#[test]
fn h17_answers_that_request_a_retry_do_not_spin() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.on(|client, output| match output {
        Output::Rpc { .. } if client == 0 => fail(output, Failure { should_retry: true, ..refused() }),
        _ => Verdict::Normal,
    });
    lab.act(0, Act::Publish { muted: false });
    lab.run(20_000);
    // Each RPC at most three times, with waits in between; the publish itself at most three times.
    assert!(lab.count_outputs(0, "call: SetPublisher") <= 9, "{}", lab.count_outputs(0, "call: SetPublisher"));
    assert!(lab.count_outputs(0, "Rpc") < 60, "{} requests in 20 s", lab.count_outputs(0, "Rpc"));
    lab.calm();
}

#[test]
fn h18_a_request_without_a_reply_does_not_hold_the_session() {
    let mut lab = Lab::joined(&[0, 0], 1);
    let mut lost = 0;
    lab.on(move |client, output| {
        if client == 0 && lost < 2 && rpc(output, "SetPublisher") {
            lost += 1;
            return fail(output, Failure::new(FailureKind::Timeout, "no answer within 5 s"));
        }
        Verdict::Normal
    });
    lab.act(0, Act::Publish { muted: false });
    lab.run(10_000);
    assert_eq!(lab.count_outputs(0, "LocalPublished"), 1);
    lab.calm();
}

#[test]
fn h19_of_racing_changes_the_last_one_wins() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.on(|client, output| match client {
        0 if rpc(output, "UpdateMuteStates") => Verdict::Later(700),
        _ => Verdict::Normal,
    });
    for n in 0..21 {
        lab.act(0, Act::Mute(n % 2 == 0));
        lab.run(50);
    }
    lab.run(5_000);
    assert!(lab.count_outputs(0, "UpdateMuteStates") <= 6, "one at a time");
    let member = lab.member(0);
    assert!(lab.world.sfu.members[member].tracks[0].muted);
    // During a slow SetPublisher, which carries mute states as well.
    lab.on(|client, output| match client {
        0 if rpc(output, "SetPublisher") => Verdict::Later(900),
        _ => Verdict::Normal,
    });
    lab.strike(0, Fault::IceRestart(PeerKind::Publisher));
    lab.run(100);
    lab.act(0, Act::Mute(false));
    lab.calm();
    let member = lab.member(0);
    assert!(!lab.world.sfu.members[member].tracks[0].muted);
}

#[test]
fn h24_fast_restarts_the_publishers_ice() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, true);
    lab.cut(0, Cut::Reset);
    lab.run(3_000);
    assert_eq!(lab.counters(0).reconnects_fast, 1);
    assert_eq!(lab.count_outputs(0, "Offer(Wanted { ice_restart: true"), 1);
    assert_eq!(lab.state(0), State::Joined);
    let member = lab.member(0);
    let ice = lab.world.sfu.members[member].current().and_then(|p| p.publisher.as_ref().map(|(_, _, ice)| *ice));
    assert_eq!(ice, Some(1));
    assert!(lab.world.sfu.members[member].tracks[0].muted, "mute survives");
    lab.calm();
}

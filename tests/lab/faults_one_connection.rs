//! LiveKit with one peer connection for both directions: what is different from two.

use super::{
    faults::Fault,
    livekit_server::leave,
    script::{rpc, step, Lab},
    sockets::Cut,
    world::{Act, Verdict},
};
use offhook::core::{model::*, Event, PeerChange, State};
use offhook_proto::livekit as pb;
use pb::{leave_request::Action, signal_response::Message as ServerMessage, DisconnectReason as Why};

fn needed(num_audios: u32) -> ServerMessage {
    ServerMessage::MediaSectionsRequirement(pb::MediaSectionsRequirement { num_audios, num_videos: 0 })
}

/// Remote tracks that play.
fn playing(lab: &Lab, client: usize) -> usize {
    lab.world.clients[client].check.bound.len()
}

fn back(lab: &Lab, client: usize) -> Vec<Strategy> {
    let strategy = |e: &Event| if let Event::Reconnected { strategy, .. } = e { Some(*strategy) } else { None };
    lab.log(client).iter().filter_map(|(_, e)| strategy(e)).collect()
}

#[test]
fn everyone_receives_everyone_and_m_lines_are_used_again() {
    let mut lab = Lab::one_connection_joined(&[0, 0, 0], 1);
    for _ in 0..4 {
        for client in 0..3 {
            lab.act(client, Act::Publish { muted: false });
        }
        lab.run(3_000);
        assert_eq!([0, 1, 2].map(|client| playing(&lab, client)), [2, 2, 2]);
        for client in 0..3 {
            lab.act(client, Act::Unpublish);
        }
        lab.run(3_000);
        assert_eq!([0, 1, 2].map(|client| playing(&lab, client)), [0, 0, 0]);
    }
    for client in 0..3 {
        assert!(lab.count_outputs(client, "receive: 5") == 0, "two tracks at a time need no more m-lines");
        assert_eq!(lab.errors(client), 0);
    }
    lab.calm();
}

#[test]
fn a_participant_who_joins_later_gets_all_tracks_with_its_first_offer() {
    let mut lab = Lab::one_connection(&[0, 0, 0], 1);
    lab.world.setup.clients[2].start = 9_000;
    lab.start();
    lab.run(3_000);
    lab.publish(0, false);
    lab.publish(1, false);
    lab.run(10_000);
    let offers = lab.count_outputs(2, "Offer(Wanted");
    assert_eq!(
        (playing(&lab, 2), lab.count_outputs(2, "receive: 2")),
        (2, offers),
        "no offer has fewer or more m-lines"
    );
    lab.calm();
}

#[test]
fn closing_either_direction_leaves_the_other() {
    let mut lab = Lab::one_connection_joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.publish(1, false);
    lab.act(0, Act::ClosePeer(PeerKind::Subscriber));
    lab.act(1, Act::ClosePeer(PeerKind::Publisher));
    lab.run(3_000);
    assert_eq!((playing(&lab, 0), playing(&lab, 1)), (0, 1));
    lab.frame(0, needed(3));
    lab.cut(0, Cut::Reset);
    lab.cut(1, Cut::Reset);
    lab.run(10_000);
    for client in [0, 1] {
        lab.frame(client, leave(Action::Reconnect, Why::MediaFailure));
    }
    lab.run(10_000);
    assert_eq!((playing(&lab, 0), playing(&lab, 1)), (0, 1));
    assert_eq!((lab.errors(0), lab.errors(1)), (0, 0));
    lab.calm();
}

#[test]
fn requests_for_m_lines_at_any_moment_of_an_offer_are_answered_by_enough_of_them() {
    for wait in [0, 1, 2, 5, 20, 60] {
        let mut lab = Lab::one_connection_joined(&[0, 0, 0], 1);
        lab.on(move |client, output| match client {
            2 if step(output, PeerKind::Publisher, "set answer") || rpc(output, "SetPublisher") => Verdict::Later(wait),
            _ => Verdict::Normal,
        });
        for _ in 0..3 {
            lab.act(0, Act::Publish { muted: false });
            lab.run(wait / 2 + 1);
            lab.act(1, Act::Publish { muted: false });
            lab.run(wait + 1);
        }
        lab.run(5_000);
        assert_eq!(playing(&lab, 2), 6, "{wait} ms");
        lab.calm();
    }
}

#[test]
fn a_server_that_asks_for_more_and_more_gets_a_bounded_number() {
    let mut lab = Lab::one_connection_joined(&[0, 0], 1);
    for count in [1_000_000_000, u32::MAX, 1, 0] {
        lab.frame(0, needed(count));
        lab.run(1_000);
    }
    assert_eq!(
        (lab.errors(0), lab.count_outputs(0, "receive: 400")),
        (1, 2),
        "one error; the last one asks only for an offer"
    );
    lab.calm();
}

#[test]
fn a_lost_connection_is_restored_by_a_resume_with_an_offer_that_restarts_ice() {
    let mut lab = Lab::one_connection_joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.publish(1, false);
    lab.strike(0, Fault::Peer(PeerKind::Publisher, PeerChange::Disconnected));
    lab.run(10_000);
    assert_eq!((lab.state(0), lab.count_outputs(0, "Offer(Wanted { ice_restart: true") > 0), (State::Joined, true));
    assert!(back(&lab, 0).iter().all(|strategy| *strategy == Strategy::Fast), "{:?}", back(&lab, 0));
    lab.calm();
}

#[test]
fn a_late_offer_and_an_answer_to_an_older_one_have_no_effect() {
    let mut lab = Lab::one_connection_joined(&[0, 0], 1);
    lab.publish(1, false);
    let before = lab.counters(0);
    lab.mark();
    let description = |kind: &str, id| pb::SessionDescription { r#type: kind.into(), sdp: "v=0".into(), id };
    lab.frame(0, ServerMessage::Offer(description("offer", 7)));
    lab.frame(0, ServerMessage::Answer(description("answer", 1)));
    lab.run(1_000);
    let after = lab.counters(0);
    assert_eq!((after.late_offers - before.late_offers, after.unknown - before.unknown), (1, 1));
    assert_eq!((lab.errors(0), lab.count_outputs(0, "Engine"), playing(&lab, 0)), (0, 0, 1));
    lab.calm();
}

//! One peer connection for both directions: only this side offers, and the SFU requests m-lines on which it sends.

use super::sim::*;
use crate::core::{limits, model::*, *};
use crate::error::Code;

const ONE: Dialect = Dialect {
    subscriber_restart: false,
    subscriber_stays: true,
    data_channels: true,
    tracks_end_in_sdp: true,
    tracks_have_names: true,
    ..DIALECT
};

fn with_track(name: &str) -> Participant {
    let track = RemoteTrack { id: format!("TR_{name}"), ..TrackKind::Audio.into() };
    Participant { published: vec![track], ..person(name) }
}

fn not_joined(others: Vec<Participant>) -> Sim {
    let mut sim = Sim::new(Config { dialect: ONE, ..config() });
    sim.joined.one_connection = true;
    sim.joined.participants = others;
    sim
}

fn joined() -> Sim {
    let mut sim = not_joined(Vec::new());
    sim.input(Input::Start);
    sim.run(ms(50));
    assert_eq!(sim.core.state(), State::Joined);
    sim
}

/// The answer to an offer, in which the SFU sends on these m-lines.
fn answer(mids: &[&str]) -> String {
    let mut sdp = "v=0\r\na=ice-ufrag:sfu\r\nm=application 9 X 1\r\na=mid:0\r\n".to_owned();
    for mid in mids {
        sdp += &format!("m=audio 9 X 111\r\na=mid:{mid}\r\na=sendonly\r\n");
    }
    sdp
}

fn answering(o: &Output, mids: &[&str]) -> Reply {
    match o {
        Output::Rpc { generation, id, call: RpcCall::SetPublisher { .. } } => {
            let reply = RpcReply::Publisher { sdp: answer(mids), ice_restart: false };
            Reply::With(Input::Rpc { generation: *generation, id: *id, result: Ok(reply) })
        }
        _ => Reply::Good,
    }
}

fn arrives(sim: &mut Sim, id: RemoteId, whose: &str, mid: &str) {
    let generation = sim.core.cx.transport.expect("a peer connection");
    let owner = MediaOwner {
        prefix: format!("{whose}-prefix"),
        kind: None,
        track_id: format!("TR_{whose}"),
        stream: String::new(),
    };
    sim.input(Input::RemoteTrack { generation, id, owner: Some(owner), mid: mid.into(), again: false });
}

fn receive(sim: &Sim) -> Vec<u32> {
    sim.wanted().iter().map(|wanted| wanted.receive).collect()
}

fn needed(sim: &mut Sim, audio: u32) {
    sim.message(SfuMessage::LinesNeeded { audio });
}

#[test]
fn the_first_offer_has_channels_and_m_lines_for_the_tracks_that_are_there() {
    let mut sim = not_joined(vec![with_track("ann"), with_track("bob"), person("eve")]);
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.input(Input::Start);
    sim.run(ms(50));
    let wanted = sim.wanted();
    assert!(wanted[0].channels && wanted[0].receive == 2 && wanted[0].senders.is_empty(), "{wanted:?}");
    assert!(wanted[1].receive == 2 && wanted[1].senders.len() == 1, "local tracks follow: {wanted:?}");
    assert!(sim.actions(PeerKind::Subscriber).is_empty());
    let media: Vec<_> = sim
        .events()
        .into_iter()
        .filter_map(|e| if let Event::Media { direction, .. } = e { Some(direction) } else { None })
        .collect();
    assert_eq!(media, [PeerKind::Publisher, PeerKind::Subscriber], "one connection, two directions");
}

#[test]
fn the_sfu_requests_m_lines_and_offers() {
    let mut sim = joined();
    sim.mark();
    needed(&mut sim, 3);
    sim.run(ms(50));
    needed(&mut sim, 0);
    sim.run(ms(50));
    assert_eq!(receive(&sim), [4, 4]);
    // Also during an offer.
    sim.mark();
    sim.on(|o| if is_rpc(o, "SetPublisher") { Reply::Hold } else { Reply::Good });
    needed(&mut sim, 1);
    sim.run(ms(10));
    needed(&mut sim, 2);
    sim.good();
    sim.release();
    sim.run(ms(50));
    assert_eq!(receive(&sim), [5, 7]);
}

#[test]
fn a_request_during_an_offer_that_fails_is_part_of_the_next_one() {
    let mut sim = joined();
    sim.mark();
    sim.on(|o| if is_rpc(o, "SetPublisher") { Reply::Hold } else { Reply::Good });
    needed(&mut sim, 1);
    sim.run(ms(10));
    needed(&mut sim, 2);
    let id = sim.held.pop();
    sim.good();
    let Some(Output::Rpc { generation, id, .. }) = id else { panic!("an offer is under way") };
    sim.input(Input::Rpc { generation, id, result: Err(Failure::new(FailureKind::Timeout, "lost")) });
    sim.run(ms(5_000));
    assert_eq!(receive(&sim), [2, 4]);
}

#[test]
fn requests_are_bounded_and_an_excess_is_reported_once() {
    let mut sim = joined();
    sim.mark();
    for audio in [1_000_000_000, u32::MAX, 1] {
        needed(&mut sim, audio);
        sim.run(ms(50));
    }
    assert_eq!(receive(&sim), [limits::RECEIVE_LINES], "no offer without anything new");
    let limit = |e: &Event| matches!(e, Event::Error(error) if error.code == Code::Limit);
    assert_eq!(sim.events().iter().filter(|e| limit(e)).count(), 1);
}

#[test]
fn a_track_is_played_from_its_m_line_until_an_answer_ends_it() {
    let mut sim = joined();
    sim.on(|o| answering(o, &["r0"]));
    sim.message(SfuMessage::ParticipantState(Box::new(with_track("ann"))));
    needed(&mut sim, 1);
    sim.run(ms(50));
    arrives(&mut sim, 7, "ann", "r0");
    assert_eq!(sim.count(|o| matches!(o, Output::Bind { id: 7, .. })), 1);
    sim.mark();
    sim.on(|o| answering(o, &[]));
    needed(&mut sim, 0);
    sim.run(ms(50));
    assert_eq!(sim.count(|o| matches!(o, Output::Forget { id: 7 })), 1);
}

#[test]
fn an_offer_of_the_sfu_and_candidates_for_a_subscriber_are_late() {
    let mut sim = joined();
    sim.mark();
    sim.offer();
    sim.message(trickle(PeerKind::Subscriber, "sfu"));
    sim.run(ms(50));
    let counters = sim.core.counters();
    assert_eq!((counters.late_offers, counters.late_other), (1, 1));
    assert!(sim.actions(PeerKind::Subscriber).is_empty() && sim.errors() == 0);
}

#[test]
fn with_two_connections_a_request_for_m_lines_is_late() {
    let mut sim = Sim::joined_with(Config { dialect: ONE, ..config() });
    needed(&mut sim, 2);
    sim.run(ms(50));
    assert!(sim.wanted().is_empty() && sim.core.counters().late_other == 1);
}

#[test]
fn closing_the_subscriber_ends_receiving_and_publishing_goes_on() {
    let mut sim = joined();
    sim.on(|o| answering(o, &["r0"]));
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.message(SfuMessage::ParticipantState(Box::new(with_track("ann"))));
    sim.run(ms(50));
    arrives(&mut sim, 7, "ann", "r0");
    sim.mark();
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    assert_eq!(sim.count(|o| matches!(o, Output::Unbind { id: 7 })), 1, "at once");
    sim.run(ms(50));
    let wanted = sim.wanted();
    assert!(wanted.iter().all(|w| w.receive == 0 && w.senders.len() == 1) && !wanted.is_empty(), "{wanted:?}");
    assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { .. })), 0);
    // What arrives from now on is late, and requests get no m-lines.
    sim.mark();
    arrives(&mut sim, 8, "ann", "r1");
    needed(&mut sim, 1);
    sim.run(ms(50));
    assert!(sim.wanted().is_empty() && sim.count(|o| matches!(o, Output::Bind { .. })) == 0);
    sim.input(Input::Publish { track: 2, offer: audio() });
    sim.run(ms(50));
    assert!(sim.events().contains(&Event::LocalPublished { track: 2 }));
}

#[test]
fn closing_the_publisher_ends_sending_and_receiving_goes_on() {
    let mut sim = joined();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    sim.mark();
    sim.input(Input::ClosePeer(PeerKind::Publisher));
    assert_eq!(sim.count(|o| matches!(o, Output::Sending { track: 1, on: false })), 1);
    sim.run(ms(50));
    assert!(sim.wanted().last().is_some_and(|w| w.senders.is_empty() && w.receive > 0));
    assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { .. })), 0);
    sim.mark();
    needed(&mut sim, 1);
    sim.input(Input::Publish { track: 2, offer: audio() });
    sim.run(ms(50));
    assert_eq!(receive(&sim), [2]);
    let refused = |e: &Event| matches!(e, Event::LocalFailed { track: 2, error } if error.code == Code::Closed);
    assert!(sim.events().iter().any(refused));
    // Also in the next session.
    sim.mark();
    sim.input(Input::Network(NetworkChange::Changed));
    sim.run(ms(3_000));
    assert!(sim.core.state() == State::Joined && sim.wanted().iter().all(|w| w.senders.is_empty() && w.receive > 0));
    let sends = |e: &Event| matches!(e, Event::Media { direction: PeerKind::Publisher, connected: true, .. });
    assert!(!sim.events().iter().any(sends));
}

#[test]
fn a_lost_socket_is_resumed_with_an_ice_restart_by_this_side() {
    let mut sim = joined();
    needed(&mut sim, 2);
    sim.run(ms(50));
    sim.mark();
    sim.lose_socket();
    sim.run(ms(3_000));
    assert_eq!(sim.core.counters().reconnects_fast, 1);
    let wanted = sim.wanted();
    assert!(wanted[0].ice_restart && wanted[0].receive == 3, "{wanted:?}");
    assert!(sim.actions(PeerKind::Publisher).iter().all(|name| *name != "Create"));
}

#[test]
fn the_next_session_may_have_two_connections_and_the_one_after_it_one() {
    let mut sim = joined();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    for one in [false, true, false] {
        sim.mark();
        sim.joined.one_connection = one;
        sim.input(Input::Network(NetworkChange::Changed));
        sim.run(ms(11_000));
        assert_eq!(sim.core.state(), State::Joined);
        assert!(sim.wanted().iter().all(|w| (w.receive > 0) == one), "{:?}", sim.wanted());
        assert!(sim.wanted().iter().any(|w| w.senders.len() == 1));
        sim.offer();
        sim.run(ms(50));
        assert_eq!(sim.actions(PeerKind::Subscriber).contains(&"Create"), !one);
    }
}

#[test]
fn a_first_offer_that_is_never_answered_leads_to_a_new_session() {
    let mut sim = not_joined(Vec::new());
    sim.connects = false;
    sim.on(|o| {
        if is_rpc(o, "SetPublisher") {
            rpc_failed(o, Failure::new(FailureKind::Timeout, "no answer"))
        } else {
            Reply::Good
        }
    });
    sim.input(Input::Start);
    sim.run(ms(10_000));
    assert!(sim.core.counters().reconnect_attempts > 0, "{:?}", sim.core.counters());
}

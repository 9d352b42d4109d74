//! The fault list over LiveKit, part one: joining, reconnecting, and every way in which a server disconnects a client.

use super::{
    faults::Fault,
    livekit_server::leave,
    script::Lab,
    sockets::{Cut, Up},
    world::{Act, Verdict},
};
use offhook::core::{model::*, EndReason, Event, Input, NetworkChange, Output, PeerChange, State};
use offhook::error::{Code, Secret};
use offhook_proto::livekit as pb;
use pb::{leave_request::Action, signal_response::Message as ServerMessage, DisconnectReason as Why};

fn back(lab: &Lab, client: usize) -> Vec<Strategy> {
    let strategy = |e: &Event| if let Event::Reconnected { strategy, .. } = e { Some(*strategy) } else { None };
    lab.log(client).iter().filter_map(|(_, e)| strategy(e)).collect()
}

/// The edge of the socket in use.
fn edge(lab: &Lab, client: usize) -> usize {
    lab.world.socks[lab.sock(client)].edge
}

#[test]
fn h10_watchdog_and_late_close_of_a_wedged_socket_are_one_reconnect() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    let old = lab.generation(0);
    lab.cut(0, Cut::Silent);
    lab.run(22_000);
    assert_eq!((back(&lab, 0).len(), lab.count_outputs(0, "State { state: Reconnecting")), (1, 1));
    lab.mark();
    lab.input(0, Input::SocketClosed { generation: old, code: Some(1006), failure: None });
    lab.run(1_000);
    assert_eq!(lab.count_outputs(0, "Event") + lab.count_outputs(0, "OpenSocket"), 0);
    lab.calm();
    assert_eq!(back(&lab, 0).len(), 1);
}

#[test]
fn h11_a_socket_that_opens_after_the_teardown_is_let_go() {
    let mut lab = Lab::livekit(&[0, 0], 1);
    lab.start();
    lab.run(1);
    assert_eq!(lab.count_outputs(0, "OpenSocket"), 1);
    lab.act(0, Act::Leave);
    lab.run(15_000);
    assert!(lab.ended(0).is_some());
    assert_eq!((lab.count_outputs(0, "Send"), lab.framed(0, "Some")), (0, 0));
    // The attempt has ended with the session.
    assert!(lab.world.sfu.members.iter().all(|m| m.client != 0 || m.left));
}

#[test]
fn a_replaced_attempt_never_reaches_the_signalling_session() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    let mut late = true;
    lab.on(move |client, output| match output {
        Output::OpenSocket { .. } if client == 0 && std::mem::take(&mut late) => Verdict::Later(3_000),
        _ => Verdict::Normal,
    });
    lab.cut(0, Cut::Reset);
    lab.run(100);
    lab.strike(0, Fault::Network(NetworkChange::Offline));
    lab.strike(0, Fault::Network(NetworkChange::Online));
    lab.run(2_000);
    assert_eq!(lab.state(0), State::Joined);
    lab.mark();
    // Now the first attempt opens: the call goes on, on its own link.
    lab.run(20_000);
    assert_eq!((lab.state(0), lab.count_outputs(0, "Event(State")), (State::Joined, 0));
    lab.calm();
}

#[test]
fn h12_leaving_while_the_join_is_pending_settles_it_with_cancelled() {
    for wait in [0, 1, 3, 10, 30] {
        let mut lab = Lab::livekit(&[0], 1);
        lab.on(|_, output| match output {
            Output::OpenSocket { .. } => Verdict::Later(500),
            _ => Verdict::Normal,
        });
        lab.start();
        lab.run(wait);
        lab.act(0, Act::Leave);
        lab.run(2_000);
        let end = lab.ended(0).unwrap_or_else(|| panic!("not ended after leaving at {wait}"));
        assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::Left, Some(Code::Cancelled)));
    }
}

#[test]
fn h13_leaving_at_any_moment_of_a_join_or_a_reconnect_is_the_end() {
    for wait in 0..200 {
        let mut lab = Lab::livekit(&[0, 0], 1);
        lab.start();
        lab.act(0, Act::Publish { muted: false });
        lab.run(wait);
        lab.act(0, Act::Leave);
        lab.run(2_000);
        assert_eq!(lab.ended(0).map(|e| e.reason), Some(EndReason::Left), "{wait}");
    }
    for (name, fault) in [
        ("resume", Fault::Cut(Cut::Reset)),
        ("sent away", Fault::Error(Strategy::Rejoin)),
        ("shut down", Fault::GoAway),
        ("offline", Fault::Network(NetworkChange::Offline)),
    ] {
        for wait in 0..100 {
            let mut lab = Lab::livekit_joined(&[0, 0], 2);
            lab.publish(0, false);
            lab.strike(0, fault.clone());
            lab.run(wait * 4);
            lab.act(0, Act::Leave);
            if let Fault::Network(_) = fault {
                lab.strike(0, Fault::Network(NetworkChange::Online));
            }
            lab.run(2_000);
            let end = lab.ended(0).unwrap_or_else(|| panic!("{name}: not ended 2 s after leaving at {wait}"));
            assert_eq!(end.reason, EndReason::Left, "{name} {wait}");
        }
    }
}

#[test]
fn h14_leaving_and_closing_twice_is_leaving_and_closing_once() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    for _ in 0..3 {
        lab.act(0, Act::ClosePeer(PeerKind::Publisher));
        lab.act(0, Act::ClosePeer(PeerKind::Subscriber));
    }
    assert_eq!(lab.count_outputs(0, "ClosePeer"), 1, "the subscriber's stays, and receives nothing");
    for _ in 0..3 {
        lab.act(0, Act::Leave);
        lab.run(1);
    }
    lab.run(2_000);
    assert_eq!(
        (lab.framed(0, "Leave("), lab.count_outputs(0, "CloseSocket"), lab.count_outputs(0, "Event(Ended")),
        (1, 1, 1)
    );
}

#[test]
fn h15_a_peer_connection_that_is_let_go_reconnects_nothing() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    let old = lab.generation(0);
    lab.strike(0, Fault::Error(Strategy::Rejoin));
    lab.run(3_000);
    assert_eq!(back(&lab, 0), [Strategy::Rejoin]);
    lab.mark();
    for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
        for change in [PeerChange::Failed, PeerChange::Closed, PeerChange::Disconnected] {
            lab.input(0, Input::Peer { generation: old, peer, change });
        }
    }
    lab.run(20_000);
    assert_eq!((lab.count_outputs(0, "Event(State"), back(&lab, 0).len()), (0, 1));
}

#[test]
fn h16_a_storm_of_reasons_is_one_reconnect() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    let generation = lab.generation(0);
    for _ in 0..5 {
        for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
            lab.input(0, Input::Peer { generation, peer, change: PeerChange::Failed });
        }
        lab.input(0, Input::Network(NetworkChange::Changed));
        lab.frame_on(0, leave(Action::Reconnect, Why::MediaFailure));
    }
    lab.input(0, Input::SocketClosed { generation, code: None, failure: None });
    lab.run(5_000);
    assert_eq!((back(&lab, 0).len(), lab.counters(0).reconnect_attempts), (1, 1));
    lab.calm();
}

#[test]
fn h16_sessions_that_never_last_end_by_a_typed_reason() {
    let mut lab = Lab::livekit_joined(&[0, 0], 2);
    let mut seconds = 0;
    while lab.ended(0).is_none() && seconds < 600 {
        if lab.state(0) == State::Joined {
            lab.strike(0, Fault::Error(Strategy::Rejoin));
        }
        lab.run(1_000);
        seconds += 1;
    }
    assert_eq!(lab.ended(0).map(|e| e.reason), Some(EndReason::ReconnectLimit));
    assert_eq!(lab.count_outputs(1, "Event(Error") + lab.count_outputs(1, "Event(State"), 0);
}

#[test]
fn h23_after_a_resume_the_old_socket_is_gone() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    let old = lab.generation(0);
    lab.strike(0, Fault::Error(Strategy::Fast));
    lab.run(3_000);
    assert_eq!(back(&lab, 0), [Strategy::Fast]);
    assert_eq!(lab.count_outputs(0, &format!("DropSocket {{ generation: {old:?}")), 1);
    assert_eq!(lab.world.clients[0].check.open_sockets(), 1);
    assert_eq!(lab.world.socks.iter().filter(|s| s.client == 0 && s.client_end).count(), 1);
    lab.calm();
}

#[test]
fn h26_a_node_that_refuses_is_not_tried_again() {
    let mut lab = Lab::livekit(&[0], 3);
    for edge in 0..2 {
        lab.world.sfu.edges[(7 + edge) % 3].alive = false;
    }
    lab.start();
    lab.run(3_000);
    assert_eq!(lab.state(0), State::Joined);
    let edges: Vec<usize> = lab.world.clients[0].edges.iter().map(|(_, e)| *e).collect();
    assert_eq!(edges, [1, 2, 0], "one after the other, each once, without waiting");
}

#[test]
fn h28_a_call_that_has_ended_does_not_reconnect_when_its_socket_closes() {
    for (why, expected) in [
        (Why::DuplicateIdentity, EndReason::Replaced),
        (Why::ParticipantRemoved, EndReason::Kicked),
        (Why::RoomDeleted, EndReason::CallEnded),
        (Why::RoomClosed, EndReason::CallEnded),
        (Why::UserRejected, EndReason::Disconnected),
        (Why::UnknownReason, EndReason::Disconnected),
    ] {
        let mut lab = Lab::livekit_joined(&[0, 0], 2);
        lab.publish(0, false);
        let member = lab.member(0);
        lab.world.clients[0].check.caused_end = true;
        lab.world.dismiss(member, leave(Action::Disconnect, why));
        lab.run(3_000);
        assert_eq!(lab.ended(0).map(|e| e.reason), Some(expected), "{why:?}");
        assert_eq!(lab.count_outputs(0, "Reconnecting") + lab.count_outputs(0, "OpenSocket"), 0);
        assert_eq!(lab.state(1), State::Joined);
    }
}

#[test]
fn h31_the_counts_are_those_of_the_server() {
    let mut lab = Lab::livekit_joined(&[0], 1);
    let room = pb::Room { name: "room0".into(), num_participants: 4_321, ..Default::default() };
    lab.frame(0, ServerMessage::RoomUpdate(pb::RoomUpdate { room: Some(room) }));
    assert_eq!(lab.world.clients[0].core.counts().total, 4_321);
    // A resume keeps them until the server reports otherwise; a new session begins with its own.
    lab.strike(0, Fault::Error(Strategy::Rejoin));
    lab.run(3_000);
    assert_eq!(lab.world.clients[0].core.counts(), Counts { total: 1, anonymous: 0 });
}

#[test]
fn h34_nothing_is_made_anew_while_leaving() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.on(|client, output| match output {
        Output::ClosePeer { .. } if client == 0 => Verdict::Lose,
        _ => Verdict::Normal,
    });
    let sock = lab.sock(0);
    lab.act(0, Act::Leave);
    let generation = lab.generation(0);
    for n in 0..5 {
        let offer = pb::SessionDescription { r#type: "offer".into(), sdp: "v=0".into(), id: 50 + n };
        lab.frame_on(sock, ServerMessage::Offer(offer));
        lab.act(0, Act::Publish { muted: false });
        lab.frame_on(sock, leave(Action::Reconnect, Why::StateMismatch));
        let change = PeerChange::Failed;
        lab.input(0, Input::Peer { generation, peer: PeerKind::Publisher, change });
        lab.run(50);
    }
    lab.run(2_000);
    assert_eq!(
        (
            lab.count_outputs(0, "Create {"),
            lab.count_outputs(0, "action: Answer"),
            lab.count_outputs(0, "Rpc"),
            lab.count_outputs(0, "OpenSocket")
        ),
        (0, 0, 0, 0)
    );
    assert!(lab.ended(0).is_some());
}

#[test]
fn h35_frames_that_cannot_be_read_are_dropped_and_a_later_loss_still_counts() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    let sock = lab.sock(0);
    for frame in [&b"\x0a\x05"[..], b"\x80", b"\x03", &[0xff; 64], b"\x12\xff\xff\xff\xff\x0f"] {
        lab.world.client_receives(sock, frame);
    }
    lab.run(1_000);
    assert_eq!((lab.counters(0).malformed, lab.state(0), lab.count_outputs(0, "Socket")), (5, State::Joined, 0));
    lab.cut(0, Cut::Reset);
    lab.run(3_000);
    assert_eq!(back(&lab, 0), [Strategy::Fast]);
    lab.calm();
}

#[test]
fn every_reconnect_advice_is_followed() {
    for (action, why, strategy) in [
        (Action::Resume, Why::SignalClose, Strategy::Fast),
        (Action::Reconnect, Why::MediaFailure, Strategy::Rejoin),
        (Action::Disconnect, Why::StateMismatch, Strategy::Rejoin),
        (Action::Disconnect, Why::ServerShutdown, Strategy::Rejoin),
        (Action::Disconnect, Why::Migration, Strategy::Rejoin),
    ] {
        let mut lab = Lab::livekit_joined(&[0, 0], 2);
        lab.publish(0, false);
        let sock = lab.sock(0);
        lab.frame(0, leave(action, why));
        lab.world.up(sock, Up::Close(None));
        lab.run(3_000);
        assert_eq!((back(&lab, 0), lab.errors(0)), (vec![strategy], 0), "{action:?} {why:?}");
        lab.calm();
    }
}

#[test]
fn a_node_that_shuts_down_is_left_for_another() {
    let mut lab = Lab::livekit_joined(&[0, 0], 2);
    lab.publish(0, false);
    let before = edge(&lab, 0);
    lab.strike(0, Fault::GoAway);
    lab.world.edge_dies(before, 60_000, false);
    let at = lab.world.now;
    while lab.state(0) != State::Joined || back(&lab, 0).is_empty() {
        lab.run(10);
        assert!(lab.world.now < at + 1_000, "a second is enough where another node answers");
    }
    assert_ne!(edge(&lab, 0), before);
    lab.calm();
}

#[test]
fn a_resume_that_finds_no_session_joins_anew_at_once() {
    let mut lab = Lab::livekit_joined(&[0, 0], 2);
    lab.publish(0, false);
    let member = lab.member(0);
    lab.world.member_leaves(member);
    lab.cut(0, Cut::Reset);
    lab.run(1_000);
    assert_eq!((lab.state(0), back(&lab, 0)), (State::Joined, vec![Strategy::Rejoin]));
    assert_eq!(lab.counters(0).reconnect_attempts, 2, "the resume, and the join right after it");
    lab.calm();
}

#[test]
fn a_fresh_token_is_the_one_of_the_next_socket() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.frame(0, ServerMessage::RefreshToken("user-token-77".into()));
    // Earlier tokens are no longer accepted.
    lab.world.clients[0].tokens.oldest = 77;
    for fault in [Fault::Cut(Cut::Reset), Fault::Error(Strategy::Rejoin)] {
        lab.strike(0, fault);
        lab.run(1);
        let token = |lab: &Lab| lab.world.clients[0].asked.last().map(|(_, a)| a.token.clone());
        lab.run(20);
        assert_eq!(token(&lab), Some(Secret::new("user-token-77")));
        lab.run(3_000);
        assert_eq!(lab.state(0), State::Joined);
        // The server sends the token again each time.
        lab.frame(0, ServerMessage::RefreshToken("user-token-77".into()));
    }
    assert_eq!(lab.count_outputs(0, "NeedToken"), 0);
    assert_eq!(back(&lab, 0), [Strategy::Fast, Strategy::Rejoin]);
}

#[test]
fn an_endpoint_that_refuses_reports_its_status() {
    for (status, code) in [(401, Code::Auth), (403, Code::Refused), (404, Code::Refused), (503, Code::Refused)] {
        let mut lab = Lab::livekit(&[0], 2);
        lab.on(move |_, output| match output {
            Output::OpenSocket { generation, .. } => {
                let failure = Failure::new(FailureKind::Http { status }, "no");
                Verdict::With(Input::SocketOpened { generation: *generation, result: Err(failure) })
            }
            _ => Verdict::Normal,
        });
        lab.start();
        lab.run(60_000);
        let end = lab.ended(0).unwrap_or_else(|| panic!("{status}: it still tries"));
        assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::JoinFailed, Some(code)), "{status}");
        // Only a server error is retried, also at the other server; 401 is tried once more.
        let tries = if status >= 500 { 4 } else { 1 + usize::from(status == 401) };
        assert_eq!(lab.count_outputs(0, "OpenSocket"), tries, "{status}");
    }
}

#[test]
fn a_server_that_is_full_names_another() {
    let mut lab = Lab::livekit(&[0], 3);
    lab.world.setup.lazy = true;
    lab.start();
    lab.run(1);
    let first = lab.world.clients[0].edges[0].1;
    let other = (first + 1) % 3;
    while lab.world.socks.is_empty() {
        lab.run(1);
    }
    // In place of the pending JoinResponse.
    let alternative_url = format!("ws://127.0.0.1:{}/", other + 1);
    lab.frame(0, ServerMessage::Join(pb::JoinResponse { alternative_url, ..Default::default() }));
    lab.run(6_000);
    assert_eq!((lab.state(0), edge(&lab, 0)), (State::Joined, other));
}

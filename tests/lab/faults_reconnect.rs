//! The fault list, part three: losing the connection and reconnecting.

use super::{
    faults::Fault,
    script::{rpc, Lab},
    sockets::Cut,
    world::{Act, Verdict},
};
use offhook::core::{model::*, EndReason, Event, Input, NetworkChange, Output, PeerChange, State};

fn reconnected(lab: &Lab, client: usize) -> usize {
    lab.log(client).iter().filter(|(_, e)| matches!(e, Event::Reconnected { .. })).count()
}

#[test]
fn h10_watchdog_and_late_close_of_a_wedged_socket_are_one_reconnect() {
    let mut lab = Lab::joined(&[0, 0], 1);
    let old = lab.generation(0);
    lab.cut(0, Cut::Silent);
    lab.run(20_000);
    assert_eq!((reconnected(&lab, 0), lab.count_outputs(0, "State { state: Reconnecting")), (1, 1));
    lab.mark();
    lab.input(0, Input::SocketClosed { generation: old, code: Some(1006), failure: None });
    lab.run(1_000);
    assert_eq!(lab.count_outputs(0, "Event") + lab.count_outputs(0, "OpenSocket"), 0);
    lab.calm();
    assert_eq!(reconnected(&lab, 0), 1);
}

#[test]
fn h13_leaving_at_any_moment_of_a_reconnect_is_the_end() {
    for (name, fault) in [
        ("fast", Fault::Cut(Cut::Reset)),
        ("rejoin", Fault::Error(Strategy::Rejoin)),
        ("migrate", Fault::GoAway),
        ("offline", Fault::Network(NetworkChange::Offline)),
    ] {
        for wait in 0..120 {
            let mut lab = Lab::joined(&[0, 0], 2);
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
fn h15_a_peer_connection_that_is_let_go_reconnects_nothing() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    let old = lab.generation(0);
    lab.strike(0, Fault::Error(Strategy::Rejoin));
    lab.run(3_000);
    assert_eq!(reconnected(&lab, 0), 1);
    lab.mark();
    for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
        for change in [PeerChange::Failed, PeerChange::Closed, PeerChange::Disconnected] {
            lab.input(0, Input::Peer { generation: old, peer, change });
        }
    }
    lab.run(20_000);
    assert_eq!(lab.count_outputs(0, "Event(State"), 0);
    assert_eq!(reconnected(&lab, 0), 1);
}

#[test]
fn h16_a_storm_of_reasons_is_one_reconnect() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    let generation = lab.generation(0);
    for _ in 0..5 {
        for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
            lab.input(0, Input::Peer { generation, peer, change: PeerChange::Failed });
        }
        lab.input(0, Input::Network(NetworkChange::Changed));
        let message = SfuMessage::Error { error: SfuError::default(), strategy: Strategy::Rejoin };
        lab.input(0, Input::Message { generation, message });
    }
    lab.input(0, Input::SocketClosed { generation, code: None, failure: None });
    lab.run(5_000);
    assert_eq!(reconnected(&lab, 0), 1);
    assert_eq!(lab.counters(0).reconnect_attempts, 1);
    assert!(lab.counters(0).triggers_merged >= 5, "{:?}", lab.counters(0));
    lab.calm();
}

#[test]
fn h21_online_without_offline_is_ignored() {
    let mut lab = Lab::joined(&[0, 0], 1);
    for _ in 0..3 {
        lab.strike(0, Fault::Network(NetworkChange::Online));
    }
    lab.run(3_000);
    assert_eq!((lab.count_outputs(0, "Event(State"), reconnected(&lab, 0)), (0, 0));
}

#[test]
fn h22_offline_and_online_again_reconnects_once() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.strike(0, Fault::Network(NetworkChange::Offline));
    lab.strike(0, Fault::Network(NetworkChange::Offline));
    lab.run(4_000);
    assert_eq!(lab.state(0), State::Offline);
    assert_eq!(lab.count_outputs(0, "OpenSocket") + lab.count_outputs(0, "Admit"), 0, "nothing is tried while offline");
    lab.strike(0, Fault::Network(NetworkChange::Online));
    lab.strike(0, Fault::Network(NetworkChange::Online));
    lab.run(5_000);
    assert_eq!((lab.state(0), reconnected(&lab, 0)), (State::Joined, 1));
    lab.calm();
    assert_eq!(reconnected(&lab, 0), 1);
}

#[test]
fn h23_a_finished_fast_lets_the_old_socket_go() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    let old = lab.generation(0);
    lab.strike(0, Fault::Error(Strategy::Fast));
    lab.run(3_000);
    assert_eq!(lab.counters(0).reconnects_fast, 1);
    assert_eq!(lab.count_outputs(0, &format!("CloseSocket {{ generation: {old:?}, code: 4100")), 1);
    assert_eq!(lab.count_outputs(0, &format!("DropSocket {{ generation: {old:?}")), 1);
    assert_eq!(lab.world.clients[0].check.open_sockets(), 1);
    let live = lab.world.socks.iter().filter(|s| s.client == 0 && s.client_end).count();
    assert_eq!(live, 1);
    // Messages of the old socket are ignored.
    lab.mark();
    lab.input(0, Input::Message { generation: old, message: SfuMessage::CallEnded(CallEndedReason::Ended) });
    assert_eq!((lab.count_outputs(0, "Event"), lab.state(0)), (0, State::Joined));
    lab.calm();
}

#[test]
fn h25_before_the_first_connection_failed_is_final_and_disconnected_is_ignored() {
    let mut lab = Lab::new(&[0], 1);
    lab.start();
    // Joined, the first offer answered, but not connected yet.
    while lab.counters(0).offers_answered == 0 {
        lab.run(1);
    }
    lab.mark();
    let generation = lab.generation(0);
    let peer = PeerKind::Subscriber;
    lab.input(0, Input::Peer { generation, peer, change: PeerChange::Disconnected });
    assert_eq!(lab.count_outputs(0, "Event") + lab.count_outputs(0, "Rpc"), 0);
    lab.input(0, Input::Peer { generation, peer, change: PeerChange::Failed });
    assert_eq!(lab.count_outputs(0, "State { state: Reconnecting"), 1);
    lab.run(2_000);
    assert_eq!(lab.counters(0).reconnects_rejoin, 1);
    lab.calm();
}

#[test]
fn h25_two_that_never_connected_in_a_row_end_the_call_with_a_typed_reason() {
    let mut lab = Lab::new(&[0], 1);
    lab.start();
    for _ in 0..2 {
        let before = lab.counters(0).offers_answered;
        while lab.counters(0).offers_answered == before && lab.ended(0).is_none() {
            lab.run(1);
        }
        let generation = lab.generation(0);
        let peer = PeerKind::Subscriber;
        lab.input(0, Input::Peer { generation, peer, change: PeerChange::Failed });
    }
    assert_eq!(lab.ended(0).map(|e| e.reason), Some(EndReason::NetworkUnsupported));
}

#[test]
fn h16_reconnects_that_never_last_end_by_a_typed_reason() {
    let mut lab = Lab::joined(&[0, 0], 2);
    let mut seconds = 0;
    while lab.ended(0).is_none() && seconds < 600 {
        if lab.state(0) == State::Joined {
            lab.strike(0, Fault::Error(Strategy::Rejoin));
        }
        lab.run(1_000);
        seconds += 1;
    }
    assert_eq!(lab.ended(0).map(|e| e.reason), Some(EndReason::ReconnectLimit));
    assert_eq!(
        lab.count_outputs(1, "Event(Error") + lab.count_outputs(1, "Event(State"),
        0,
        "the other session receives no events"
    );
}

#[test]
fn an_edge_that_never_comes_back_ends_the_call_in_time() {
    let mut lab = Lab::joined(&[0], 1);
    lab.world.edge_dies(0, 10_000_000, true);
    let lost = lab.world.now;
    while lab.ended(0).is_none() {
        lab.run(100);
        assert!(lab.world.now < lost + 60_000, "still looking for its edge after a minute");
    }
    assert_eq!(lab.ended(0).map(|e| e.reason), Some(EndReason::ConnectionLost));
}

#[test]
fn everything_is_restored_when_the_session_was_forgotten() {
    // FAST is finally refused: the SFU has dropped the session meanwhile.
    let mut lab = Lab::joined(&[0, 0], 2);
    lab.publish(0, true);
    lab.publish(1, false);
    lab.on(|client, output| match output {
        Output::OpenSocket { .. } if client == 0 => Verdict::Later(900),
        _ => Verdict::Normal,
    });
    lab.cut(0, Cut::Reset);
    let member = lab.member(0);
    lab.world.member_leaves(member);
    lab.run(8_000);
    assert_eq!(lab.counters(0).reconnects_rejoin, 1);
    assert!(lab.count_outputs(0, "Leave {") >= 1, "the session that was created by mistake is left");
    assert!(lab.count_outputs(1, "Event(ParticipantLeft") >= 1);
    lab.calm();
}

#[test]
fn session_fatal_codes_reconnect_instead_of_retrying() {
    for (code, fast) in [(206, true), (200, false), (204, false), (205, false), (300, false)] {
        let mut lab = Lab::joined(&[0, 0], 1);
        let mut failed_once = false;
        lab.on(move |client, output| {
            if client == 0 && !failed_once && rpc(output, "SetPublisher") {
                failed_once = true;
                let failure = Failure { code, ..Failure::new(FailureKind::Sfu, "gone") };
                return super::script::fail(output, failure);
            }
            Verdict::Normal
        });
        lab.act(0, Act::Publish { muted: false });
        lab.run(5_000);
        let counters = lab.counters(0);
        let (by_fast, by_rejoin) = (counters.reconnects_fast, counters.reconnects_rejoin);
        assert_eq!((by_fast, by_rejoin), if fast { (1, 0) } else { (0, 1) }, "{code}");
        lab.calm();
    }
}

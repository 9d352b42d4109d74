//! The fault list, part four: joining, leaving, the end, and isolation from other sessions.

use super::{
    faults::Fault,
    script::Lab,
    sockets::Cut,
    world::{Act, Ev, Verdict},
};
use offhook::core::{model::*, EndReason, Event, Input, Output, State};
use offhook::error::Code;

#[test]
fn h08_a_session_whose_environment_hangs_does_not_block_another() {
    let mut calm = Lab::new(&[0, 1], 1);
    let mut hung = Lab::new(&[0, 1], 1);
    hung.on(|client, _| if client == 0 { Verdict::Lose } else { Verdict::Normal });
    for lab in [&mut calm, &mut hung] {
        lab.start();
        lab.world.at(500, Ev::App(1, Act::Publish { muted: false }));
        lab.run(20_000);
        lab.act(1, Act::Leave);
        lab.run(2_000);
    }
    assert_eq!(calm.log(1), hung.log(1));
    assert!(hung.ended(1).is_some() && hung.ended(0).is_none());
}

#[test]
fn h11_a_socket_that_opens_after_the_teardown_is_let_go() {
    let mut lab = Lab::new(&[0], 1);
    lab.on(|_, output| match output {
        Output::OpenSocket { .. } => Verdict::Later(3_000),
        _ => Verdict::Normal,
    });
    lab.start();
    lab.run(1_000);
    assert_eq!(lab.count_outputs(0, "OpenSocket"), 1);
    lab.act(0, Act::Leave);
    lab.run(10_000);
    assert!(lab.ended(0).is_some());
    assert_eq!((lab.count_outputs(0, "DropSocket"), lab.count_outputs(0, "Send")), (1, 0));
}

#[test]
fn h12_leaving_while_the_join_is_pending_settles_it_with_cancelled() {
    for wait in [0, 3, 10, 30, 60, 100] {
        let mut lab = Lab::new(&[0], 1);
        lab.on(|_, output| match output {
            Output::Send { .. } => Verdict::Lose,
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
fn h13_leaving_at_any_moment_of_a_join_is_the_end() {
    for wait in 0..300 {
        let mut lab = Lab::new(&[0, 0], 1);
        lab.start();
        lab.act(0, Act::Publish { muted: false });
        lab.run(wait);
        lab.act(0, Act::Leave);
        lab.run(2_000);
        assert_eq!(lab.ended(0).map(|e| e.reason), Some(EndReason::Left), "{wait}");
        assert!(!lab.log(0).iter().rev().take(1).any(|(_, e)| !matches!(e, Event::Ended(_))));
    }
}

#[test]
fn h14_leaving_and_closing_twice_is_leaving_and_closing_once() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    for _ in 0..3 {
        lab.act(0, Act::ClosePeer(PeerKind::Publisher));
        lab.act(0, Act::ClosePeer(PeerKind::Subscriber));
    }
    assert_eq!(lab.count_outputs(0, "ClosePeer"), 2);
    for _ in 0..3 {
        lab.act(0, Act::Leave);
        lab.run(1);
    }
    lab.run(2_000);
    assert_eq!(
        (lab.count_outputs(0, "Leave {"), lab.count_outputs(0, "CloseSocket"), lab.count_outputs(0, "Event(Ended")),
        (1, 1, 1)
    );
}

#[test]
fn h26_an_edge_that_refuses_is_not_taken_again() {
    let mut lab = Lab::new(&[0], 3);
    lab.on(move |_, output| match output {
        Output::Send { generation, request: SfuRequest::Join(_) } if generation.0 <= 2 => {
            let error = SfuError { code: 700, message: "full".into(), should_retry: false };
            let message = SfuMessage::Error { error, strategy: Strategy::Unspecified };
            Verdict::With(Input::Message { generation: *generation, message })
        }
        _ => Verdict::Normal,
    });
    lab.start();
    lab.run(10_000);
    assert_eq!(lab.state(0), State::Joined);
    let edges: Vec<usize> = lab.world.clients[0].edges.iter().map(|(_, e)| *e).collect();
    assert_eq!(edges.len(), 3);
    assert!(edges[0] != edges[1] && edges[1] != edges[2] && edges[0] != edges[2], "{edges:?}");
}

#[test]
fn h27_silence_at_every_stage_of_the_handshake_is_a_typed_timeout() {
    for stage in 0..3 {
        let mut lab = Lab::without_retries();
        lab.on(move |_, output| {
            let failure = || Failure::new(FailureKind::Timeout, "no answer within 5 s");
            match output {
                Output::Admit { generation, .. } if stage == 0 => {
                    Verdict::With(Input::Admitted { generation: *generation, result: Err(failure()) })
                }
                Output::OpenSocket { generation, .. } if stage == 1 => {
                    Verdict::With(Input::SocketOpened { generation: *generation, result: Err(failure()) })
                }
                Output::Send { .. } if stage == 2 => Verdict::Lose,
                _ => Verdict::Normal,
            }
        });
        lab.start();
        lab.run(6_000);
        let end = lab.ended(0).unwrap_or_else(|| panic!("stage {stage}: still waiting"));
        assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::JoinFailed, Some(Code::Timeout)));
    }
}

#[test]
fn h28_a_call_that_has_ended_does_not_reconnect_when_its_socket_closes() {
    for reason in [CallEndedReason::Ended, CallEndedReason::Kicked, CallEndedReason::SessionEnded] {
        let mut lab = Lab::joined(&[0, 0], 1);
        lab.publish(0, false);
        lab.strike(0, Fault::End(reason));
        lab.run(3_000);
        let expected = match reason {
            CallEndedReason::Kicked => EndReason::Kicked,
            CallEndedReason::SessionEnded => EndReason::SessionEnded,
            _ => EndReason::CallEnded,
        };
        assert_eq!(lab.ended(0).map(|e| e.reason), Some(expected));
        assert_eq!(lab.count_outputs(0, "Reconnecting") + lab.count_outputs(0, "OpenSocket"), 0);
        assert_eq!(lab.state(1), State::Joined);
    }
}

#[test]
fn h31_the_counts_are_those_of_the_sfu() {
    let mut lab = Lab::joined(&[0], 1);
    let counts = Counts { total: 4_321, anonymous: 17 };
    lab.message(0, SfuMessage::Health(counts));
    assert_eq!(lab.world.clients[0].core.counts(), counts);
    // A new admission does not change the counts, whatever the coordinator assumes; a report of the next SFU does.
    lab.strike(0, Fault::Error(Strategy::Rejoin));
    lab.run(3_000);
    assert_eq!(lab.world.clients[0].core.counts(), Counts { total: 1, anonymous: 0 });
}

#[test]
fn h34_nothing_is_made_anew_while_leaving() {
    let mut lab = Lab::joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.on(|client, output| match output {
        Output::ClosePeer { .. } if client == 0 => Verdict::Lose,
        _ => Verdict::Normal,
    });
    lab.act(0, Act::Leave);
    let generation = lab.generation(0);
    for n in 0..5 {
        let sdp = String::from("v=0");
        let message = SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id: 50 + n };
        lab.input(0, Input::Message { generation, message });
        lab.act(0, Act::Publish { muted: false });
        lab.input(0, Input::Peer { generation, peer: PeerKind::Publisher, change: offhook::core::PeerChange::Failed });
        lab.run(50);
    }
    lab.run(2_000);
    assert_eq!(
        (lab.count_outputs(0, "Create {"), lab.count_outputs(0, "action: Answer"), lab.count_outputs(0, "Rpc")),
        (0, 0, 0)
    );
    assert!(lab.ended(0).is_some(), "peer connections that never close do not hold the end");
}

#[test]
fn h35_what_cannot_be_read_is_dropped_and_a_later_loss_still_counts() {
    let mut lab = Lab::joined(&[0, 0], 1);
    let generation = lab.generation(0);
    for _ in 0..7 {
        lab.input(0, Input::Malformed { generation });
    }
    lab.run(1_000);
    assert_eq!((lab.counters(0).malformed, lab.state(0), lab.count_outputs(0, "Socket")), (7, State::Joined, 0));
    lab.cut(0, Cut::Reset);
    lab.run(3_000);
    assert_eq!(lab.counters(0).reconnects_fast, 1);
    lab.calm();
}

#[test]
fn h38_leaving_stalls_no_other_session() {
    let leave = |leaves: bool| {
        let mut lab = Lab::joined(&[0, 1, 1], 1);
        lab.publish(1, false);
        // Its peer connections never finish closing.
        lab.on(|client, output| match output {
            Output::ClosePeer { .. } if client == 0 => Verdict::Lose,
            _ => Verdict::Normal,
        });
        if leaves {
            let now = lab.world.now;
            lab.act(0, Act::Leave);
            lab.run(2_000);
            assert!(lab.ended(0).is_some() && lab.world.now <= now + 2_000);
            lab.run(8_000);
        } else {
            lab.run(10_000);
        }
        (lab.log(1).to_vec(), lab.log(2).to_vec())
    };
    assert_eq!(leave(true), leave(false));
}

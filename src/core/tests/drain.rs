//! Leaving after all accepted data has been sent. Nothing is received meanwhile and the time is bounded. Whatever
//! happens in between, the call ends once, as left.

use super::sim::*;
use crate::core::{model::*, *};
use std::time::Duration;

const WITHIN: Duration = ms(1_000);

/// Joined, publishing and subscribed.
fn busy(dialect: Dialect) -> Sim {
    let mut sim = Sim::new(Config { dialect, ..config() });
    sim.joined.participants = vec![person("ann")];
    sim.input(Input::Start);
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    sim.offer();
    sim.run(ms(100));
    assert_eq!(sim.core.state(), State::Joined);
    sim.mark();
    sim
}

fn drain(sim: &mut Sim) {
    sim.input(Input::Drain { reason: "bye".into(), within: WITHIN });
}

fn leave_messages(sim: &Sim) -> usize {
    sim.requests().iter().filter(|r| matches!(r, SfuRequest::Leave { .. })).count()
}

fn drains(sim: &Sim) -> usize {
    sim.count(|o| matches!(o, Output::Drain))
}

fn closed(sim: &Sim, which: PeerKind) -> usize {
    sim.count(|o| matches!(o, Output::ClosePeer { peer, .. } if *peer == which))
}

fn sends_stopped(sim: &Sim) -> usize {
    sim.count(|o| matches!(o, Output::Sending { on: false, .. }))
}

#[test]
fn accepted_data_is_sent_before_the_leave_message() {
    let mut sim = busy(DIALECT);
    drain(&mut sim);
    drain(&mut sim);
    sim.run(ms(400));
    assert_eq!((drains(&sim), leave_messages(&sim), sends_stopped(&sim)), (1, 0, 0), "it continues sending");
    assert_eq!((closed(&sim, PeerKind::Subscriber), closed(&sim, PeerKind::Publisher)), (1, 0));
    assert_eq!(sim.core.state(), State::Joined);
    sim.input(Input::Drained);
    assert_eq!((leave_messages(&sim), sends_stopped(&sim), closed(&sim, PeerKind::Publisher)), (1, 1, 1));
    sim.run(ms(10));
    assert_eq!(sim.ended().map(|e| (e.reason, e.error)), Some((EndReason::Left, None)));
    let count = sim.log.len();
    sim.input(Input::Drained);
    sim.run(ms(60_000));
    assert_eq!(sim.log.len(), count, "repeated or late: no effect");
}

#[test]
fn the_time_to_send_is_bounded_and_so_is_the_whole() {
    let mut sim = busy(DIALECT);
    sim.on(|_| Reply::Never);
    drain(&mut sim);
    sim.run(WITHIN - MS);
    assert_eq!(leave_messages(&sim), 0);
    sim.run(MS);
    assert_eq!(leave_messages(&sim), 1);
    sim.run(limits::LEAVE);
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::Left), "two seconds at most");
}

#[test]
fn offers_are_late_while_the_rest_is_sent() {
    for subscriber_stays in [false, true] {
        let mut sim = busy(Dialect { subscriber_stays, ..DIALECT });
        sim.on(|o| if is_action(o, "Answer") { Reply::Hold } else { Reply::Good });
        // One offer is being answered, one is queued, one arrives later.
        sim.offer();
        sim.offer();
        let answered = sim.answers().len();
        drain(&mut sim);
        sim.offer();
        sim.release();
        sim.run(ms(500));
        assert_eq!(sim.answers().len(), answered, "stays: {subscriber_stays}");
        assert_eq!(sim.core.counters().late_offers, 3);
        assert!(sim.core.counters().offers_while_leaving >= 1);
        assert_eq!(closed(&sim, PeerKind::Subscriber), usize::from(!subscriber_stays));
        sim.input(Input::Drained);
        sim.run(limits::LEAVE);
        assert_eq!(closed(&sim, PeerKind::Subscriber), 1);
        assert!(sim.core.is_over());
    }
}

#[test]
fn a_subscriber_that_is_being_made_is_put_away() {
    for subscriber_stays in [false, true] {
        let mut sim = Sim::joined_with(Config { dialect: Dialect { subscriber_stays, ..DIALECT }, ..config() });
        sim.on(|o| if is_action(o, "Create") { Reply::Hold } else { Reply::Good });
        sim.offer();
        drain(&mut sim);
        sim.release();
        sim.run(ms(50));
        sim.input(Input::Drained);
        sim.run(limits::LEAVE);
        assert!(sim.core.is_over());
        assert_eq!(closed(&sim, PeerKind::Subscriber), 1, "stays: {subscriber_stays}");
    }
}

#[test]
fn a_pending_publication_still_completes() {
    let mut sim = Sim::joined();
    sim.on(|o| if is_rpc(o, "SetPublisher") { Reply::Hold } else { Reply::Good });
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    drain(&mut sim);
    sim.run(ms(100));
    assert_eq!(sim.count(|o| matches!(o, Output::Sending { on: true, .. })), 0);
    sim.release();
    sim.run(ms(100));
    assert_eq!(sim.count(|o| matches!(o, Output::Sending { on: true, .. })), 1);
    assert_eq!(leave_messages(&sim), 0);
}

#[test]
fn a_connection_lost_meanwhile_is_retried_until_the_deadline() {
    type Lose = fn(&mut Sim);
    let lost: [(Lose, bool); 4] = [
        (|sim| sim.lose_socket(), true),
        (|sim| sim.peer(PeerKind::Publisher, PeerChange::Failed), true),
        (|sim| sim.input(Input::Network(NetworkChange::Changed)), true),
        // Going offline ends the wait.
        (|sim| sim.input(Input::Network(NetworkChange::Offline)), false),
    ];
    for (case, (lose, retried)) in lost.into_iter().enumerate() {
        let mut sim = busy(DIALECT);
        sim.on(|o| match o {
            Output::ClosePeer { .. } | Output::CloseSocket { .. } | Output::OpenSocket { .. } => Reply::Never,
            _ => Reply::Good,
        });
        drain(&mut sim);
        sim.mark();
        lose(&mut sim);
        if retried {
            sim.run(WITHIN - MS);
            assert_eq!(sim.ended(), None, "case {case}");
            sim.run(MS);
        }
        sim.run(limits::LEAVE);
        assert_eq!(sim.ended().map(|e| (e.reason, e.error)), Some((EndReason::Left, None)), "case {case}");
        assert_eq!(sim.count(|o| matches!(o, Output::OpenSocket { .. })), usize::from(retried), "case {case}");
        assert_eq!(sim.errors(), 0, "case {case}");
    }
}

/// Whether the track is currently being sent.
fn is_sending(sim: &Sim) -> bool {
    let sending = |o: &Output| if let Output::Sending { on, .. } = o { Some(*on) } else { None };
    sim.log.iter().filter_map(sending).next_back() == Some(true)
}

#[test]
fn in_a_fast_reconnect_the_peer_connections_go_on_sending() {
    for back in [true, false] {
        let mut sim = busy(DIALECT);
        sim.on(|o| if matches!(o, Output::OpenSocket { .. }) { Reply::Hold } else { Reply::Good });
        sim.lose_socket();
        assert_eq!(sim.core.state(), State::Reconnecting);
        drain(&mut sim);
        drain(&mut sim);
        sim.run(ms(300));
        assert_eq!((drains(&sim), sim.core.is_over(), is_sending(&sim)), (1, false, true), "back: {back}");
        assert_eq!((closed(&sim, PeerKind::Subscriber), closed(&sim, PeerKind::Publisher)), (1, 0));
        if back {
            sim.good();
            sim.release();
            sim.run(ms(50));
            assert_eq!(sim.core.state(), State::Joined);
            sim.input(Input::Drained);
        }
        sim.run(WITHIN + limits::LEAVE);
        assert_eq!(sim.ended().map(|e| (e.reason, e.error)), Some((EndReason::Left, None)));
        assert_eq!((leave_messages(&sim), closed(&sim, PeerKind::Publisher)), (usize::from(back), 1));
    }
}

#[test]
fn in_a_fast_reconnect_all_is_over_as_soon_as_all_is_sent() {
    let mut sim = busy(DIALECT);
    sim.on(|o| if matches!(o, Output::OpenSocket { .. }) { Reply::Never } else { Reply::Good });
    sim.lose_socket();
    drain(&mut sim);
    sim.run(ms(100));
    sim.input(Input::Drained);
    sim.run(ms(10));
    assert!(sim.core.is_over());
}

#[test]
fn in_a_rejoin_what_comes_up_in_time_sends_the_rest() {
    let mut sim = busy(DIALECT);
    sim.on(|o| if matches!(o, Output::Admit { .. }) { Reply::Hold } else { Reply::Good });
    sim.peer(PeerKind::Publisher, PeerChange::Failed);
    drain(&mut sim);
    sim.run(ms(300));
    assert_eq!((drains(&sim), sim.core.is_over()), (1, false));
    sim.mark();
    sim.good();
    sim.release();
    sim.run(ms(100));
    assert_eq!(sim.count(|o| matches!(o, Output::Sending { on: true, .. })), 1, "the track is published again");
    sim.offer();
    sim.run(ms(50));
    assert!(sim.actions(PeerKind::Subscriber).is_empty(), "nothing is received any more");
    sim.input(Input::Drained);
    sim.run(ms(10));
    assert_eq!((leave_messages(&sim), sim.ended().map(|e| e.reason)), (1, Some(EndReason::Left)));
}

#[test]
fn a_rejoin_that_must_not_come_back_ends_at_once() {
    let mut sim = busy(DIALECT);
    assert!(!sim.core.is_rejoining());
    sim.lose_socket();
    assert!(!sim.core.is_rejoining(), "FAST keeps the session");
    sim.run(ms(50));
    sim.on(|o| if matches!(o, Output::Admit { .. }) { Reply::Hold } else { Reply::Good });
    sim.peer(PeerKind::Publisher, PeerChange::Failed);
    drain(&mut sim);
    sim.run(ms(100));
    assert!(sim.core.is_rejoining() && !sim.core.is_over());
    sim.input(Input::Drained);
    sim.run(ms(10));
    assert!(sim.core.is_over());
    sim.good();
    sim.mark();
    sim.release();
    sim.run(ms(100));
    assert_eq!(sim.count(|o| matches!(o, Output::OpenSocket { .. })), 0);
}

#[test]
fn in_a_rejoin_an_attempt_that_comes_too_late_is_not_awaited() {
    // Leave before the admission fails, and after it.
    for first in [true, false] {
        let mut sim = busy(DIALECT);
        sim.on(|o| match o {
            Output::Admit { generation, .. } => {
                let failure = Failure { retry_after_ms: Some(9_000), ..http(503) };
                Reply::At(ms(5), Input::Admitted { generation: *generation, result: Err(failure) })
            }
            _ => Reply::Good,
        });
        sim.peer(PeerKind::Publisher, PeerChange::Failed);
        if first {
            drain(&mut sim);
        }
        sim.run(ms(20));
        if !first {
            drain(&mut sim);
        }
        assert!(sim.core.is_over(), "{first}");
        assert_eq!((sim.ended().map(|e| e.reason), sim.errors()), (Some(EndReason::Left), 0));
    }
}

#[test]
fn in_a_rejoin_no_token_is_requested_and_no_refusal_is_reported() {
    let refuse: [fn(Generation) -> Input; 2] = [
        |generation| Input::Admitted { generation, result: Err(http(401)) },
        |generation| Input::Admitted { generation, result: Err(http(403)) },
    ];
    for refused in refuse {
        let mut sim = Sim::joined_with(Config { renew_token: true, ..config() });
        sim.input(Input::Publish { track: 1, offer: audio() });
        sim.run(ms(50));
        sim.on(|o| if matches!(o, Output::Admit { .. }) { Reply::Never } else { Reply::Good });
        sim.peer(PeerKind::Publisher, PeerChange::Failed);
        drain(&mut sim);
        sim.mark();
        let generation = sim.core.generation();
        sim.input(refused(generation));
        sim.run(limits::LEAVE);
        assert_eq!(sim.count(|o| matches!(o, Output::NeedToken)), 0);
        assert_eq!(sim.ended().map(|e| (e.reason, e.error)), Some((EndReason::Left, None)));
    }
}

/// Migrating after a GoAway of the SFU; the admission of the new edge is held back.
fn migrating() -> Sim {
    let mut sim = busy(DIALECT);
    sim.on(|o| if matches!(o, Output::Admit { .. }) { Reply::Hold } else { Reply::Good });
    sim.message(SfuMessage::GoAway { reason: 1 });
    assert_eq!(sim.core.state(), State::Migrating);
    sim
}

#[test]
fn in_a_migration_the_old_edge_goes_on_sending() {
    let mut sim = migrating();
    drain(&mut sim);
    sim.run(ms(300));
    assert_eq!((drains(&sim), closed(&sim, PeerKind::Publisher), is_sending(&sim)), (1, 0, true));
    sim.input(Input::Drained);
    sim.run(ms(10));
    let leave_sent =
        |o: &Output| matches!(o, Output::Send { generation: Generation(1), request: SfuRequest::Leave { .. } });
    assert_eq!((sim.count(leave_sent), leave_messages(&sim), closed(&sim, PeerKind::Publisher)), (1, 1, 1));
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::Left));
}

#[test]
fn a_migration_that_fails_while_the_rest_is_sent_leaves_the_old_edge_alone() {
    let fails: [fn(&mut Sim); 3] = [
        // The coordinator refuses.
        |sim| {
            let generation = sim.core.generation();
            sim.input(Input::Admitted { generation, result: Err(http(503)) });
        },
        // The new edge refuses the connection.
        |sim| {
            sim.release();
            sim.run(ms(1));
            let generation = sim.core.generation();
            let failure = Failure::new(FailureKind::Connect, "refused");
            sim.input(Input::SocketOpened { generation, result: Err(failure) });
        },
        // The new edge is joined, and its peer connection fails.
        |sim| {
            sim.good();
            sim.release();
            sim.run(ms(50));
            assert!(sim.core.cx.is_joined());
            sim.peer(PeerKind::Publisher, PeerChange::Failed);
        },
    ];
    for (case, fail) in fails.into_iter().enumerate() {
        let mut sim = migrating();
        if case == 1 {
            sim.on(|o| if matches!(o, Output::OpenSocket { .. }) { Reply::Never } else { Reply::Good });
        }
        drain(&mut sim);
        sim.run(ms(100));
        fail(&mut sim);
        let old = |o: &Output| matches!(o, Output::ClosePeer { generation: Generation(1), peer: PeerKind::Publisher });
        sim.run(ms(300));
        assert_eq!((sim.count(old), sim.core.is_over()), (0, false), "case {case}");
        assert_eq!(sim.count(|o| matches!(o, Output::Admit { .. })), 1, "case {case}: nothing else is tried");
        sim.input(Input::Drained);
        sim.run(limits::LEAVE);
        assert_eq!(sim.count(old), 1, "case {case}");
        assert_eq!(sim.ended().map(|e| (e.reason, e.error)), Some((EndReason::Left, None)), "case {case}");
    }
}

#[test]
fn a_leaving_call_does_not_migrate() {
    let mut sim = busy(DIALECT);
    drain(&mut sim);
    sim.mark();
    sim.message(SfuMessage::GoAway { reason: 1 });
    sim.run(ms(300));
    assert_eq!((sim.core.state(), sim.count(|o| matches!(o, Output::Admit { .. }))), (State::Joined, 0));
    sim.input(Input::Drained);
    sim.run(limits::LEAVE);
    assert_eq!((leave_messages(&sim), sim.ended().map(|e| e.reason)), (1, Some(EndReason::Left)));
}

#[test]
fn a_leaving_call_ends_as_left_whatever_ends_it_first() {
    let text = "shut down".to_owned();
    let ends = [
        Input::Abort(End { reason: EndReason::Shutdown, error: None, text }),
        Input::Message { generation: Generation(1), message: SfuMessage::CallEnded(CallEndedReason::Kicked) },
        Input::Leave { reason: "at once".into() },
    ];
    for end in ends {
        let mut sim = busy(DIALECT);
        drain(&mut sim);
        sim.input(end);
        sim.run(limits::LEAVE);
        assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::Left));
    }
}

#[test]
fn without_a_connection_there_is_nothing_to_wait_for() {
    let mut sim = Sim::new(config());
    sim.on(|o| if matches!(o, Output::OpenSocket { .. }) { Reply::Hold } else { Reply::Good });
    sim.input(Input::Start);
    sim.run(ms(50));
    drain(&mut sim);
    assert_eq!((sim.core.is_over(), drains(&sim)), (true, 0), "joining");
    let mut sim = busy(DIALECT);
    sim.input(Input::Network(NetworkChange::Offline));
    assert_eq!(sim.core.state(), State::Offline);
    drain(&mut sim);
    assert_eq!((sim.core.is_over(), drains(&sim)), (false, 0), "offline");
    sim.run(ms(50));
    assert!(sim.core.is_over());
}

#[test]
fn a_refused_track_is_over_for_its_writer() {
    let mut sim = busy(DIALECT);
    sim.message(SfuMessage::Grants(Grants { audio: false, ..Grants::ALL }));
    sim.input(Input::Publish { track: 2, offer: audio() });
    assert_eq!(sim.count(|o| matches!(o, Output::Sending { track: 2, on: false })), 1);
    assert_eq!(sim.count(|o| matches!(event(o), Some(Event::LocalFailed { track: 2, .. }))), 1);
}

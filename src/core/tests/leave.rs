//! All ways to end a call: one terminal event, as the last event, within the time limit, whether or not anything
//! answers.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::{Code, Secret};

/// Calls in every phase, each in an environment that stops answering at that point.
fn phases() -> Vec<(&'static str, Sim)> {
    let stuck = |what: &'static str| {
        let token = if what == "token" { Secret::default() } else { Secret::new("t") };
        let mut sim = Sim::new(Config { token, ..config() });
        sim.on(move |o| match (what, o) {
            ("token", Output::NeedToken)
            | ("admission", Output::Admit { .. })
            | ("socket", Output::OpenSocket { .. })
            | ("join response", Output::Send { .. }) => Reply::Hold,
            ("retry", Output::Admit { generation, .. }) => {
                Reply::With(Input::Admitted { generation: *generation, result: Err(http(503)) })
            }
            _ => Reply::Good,
        });
        sim.input(Input::Start);
        sim.run(ms(100));
        (what, sim)
    };
    let mut all: Vec<_> = ["token", "admission", "socket", "join response", "retry"].map(stuck).into();
    all.push(("before start", Sim::new(config())));
    all.push(("joined", Sim::joined()));
    let mut sim = Sim::joined();
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(100));
    all.push(("in full swing", sim));
    let mut sim = Sim::joined();
    sim.on(|o| if is_action(o, "Create") { Reply::Hold } else { Reply::Good });
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(100));
    all.push(("creating", sim));
    all
}

fn terminal(sim: &Sim) -> (usize, bool) {
    let ended = |o: &Output| matches!(event(o), Some(Event::Ended(_)));
    let last = matches!(sim.log.last(), Some(Output::Finished)) && sim.log.iter().rev().nth(1).is_some_and(ended);
    (sim.log.iter().filter(|o| ended(o)).count(), last)
}

#[test]
fn leaving_ends_every_phase_once_within_a_second() {
    for answers in [true, false] {
        for (phase, mut sim) in phases() {
            let held = std::mem::take(&mut sim.held);
            if answers {
                sim.good();
            } else {
                sim.on(|_| Reply::Never);
            }
            let joining = sim.core.state() == State::Joining;
            sim.leave();
            sim.leave();
            sim.run(limits::LEAVE);
            assert!(sim.core.is_over(), "{phase}, answers: {answers}");
            assert_eq!(terminal(&sim), (1, true), "{phase}, answers: {answers}");
            let end = sim.ended().expect("ended");
            assert_eq!(end.reason, EndReason::Left, "{phase}");
            let settled = end.error.map(|e| e.code);
            assert_eq!(settled, joining.then_some(Code::Cancelled), "{phase}: a pending join is settled");
            // Pending requests are answered now: too late to have any effect.
            let count = sim.log.len();
            sim.held = held;
            sim.release();
            sim.run(ms(60_000));
            assert_eq!((sim.log.len(), sim.core.state()), (count, State::Left), "{phase}");
        }
    }
}

#[test]
fn aborting_ends_every_phase_at_once() {
    for leaving in [false, true] {
        for (phase, mut sim) in phases() {
            sim.on(|_| Reply::Never);
            if leaving {
                sim.leave();
            }
            let end = End { reason: EndReason::Shutdown, error: None, text: "shutting down".into() };
            sim.input(Input::Abort(end));
            assert!(sim.core.is_over(), "{phase}");
            assert_eq!(terminal(&sim), (1, true), "{phase}");
            let reason = sim.ended().map(|e| e.reason);
            let expected = if leaving { EndReason::Left } else { EndReason::Shutdown };
            assert_eq!(reason, Some(expected), "{phase}: the first reason stays");
        }
    }
}

#[test]
fn the_leave_message_precedes_the_close() {
    let mut sim = Sim::joined();
    sim.input(Input::Leave { reason: "tired".into() });
    let session_id = sim.core.cx.session_id.clone();
    assert_eq!(sim.requests(), [SfuRequest::Leave { session_id, reason: "tired".into() }]);
    let place = |what: fn(&Output) -> bool| sim.since().iter().position(what).expect("there");
    assert!(
        place(|o| matches!(o, Output::Send { .. })) < place(|o| matches!(o, Output::CloseSocket { code: 1000, .. }))
    );
    sim.run(ms(10));
    assert!(sim.core.is_over(), "as soon as the server has closed too");
}

#[test]
fn nothing_is_sent_on_a_socket_that_never_opened() {
    for (phase, mut sim) in phases() {
        if ["token", "admission", "socket", "retry", "before start"].contains(&phase) {
            sim.mark();
            sim.leave();
            assert_eq!(sim.requests(), [], "{phase}");
            assert!(sim.core.is_over(), "{phase}: there is nothing to wait for");
        }
    }
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    for (reason, length) in [
        ("x".repeat(115), 115),
        ("x".repeat(116), 115),
        ("é".repeat(100), 114),
        ("😀".repeat(50), 112),
        (format!("{}é", "x".repeat(114)), 114),
        (String::new(), 0),
    ] {
        let mut sim = Sim::joined();
        sim.input(Input::Leave { reason: reason.clone() });
        match &sim.requests()[..] {
            [SfuRequest::Leave { reason: sent_reason, .. }] => {
                assert_eq!(sent_reason.len(), length);
                assert!(reason.starts_with(sent_reason.as_str()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_end_waits_for_peer_connections_but_not_for_ever() {
    let mut sim = Sim::joined();
    sim.offer();
    sim.run(ms(50));
    sim.on(|o| if matches!(o, Output::ClosePeer { .. }) { Reply::Hold } else { Reply::Good });
    sim.leave();
    sim.run(ms(900));
    assert!(!sim.core.is_over());
    sim.release();
    assert!(sim.core.is_over());
}

#[test]
fn a_socket_that_does_not_close_is_dropped() {
    let mut sim = Sim::joined();
    sim.on(|_| Reply::Never);
    sim.leave();
    assert_eq!(sim.count(|o| matches!(o, Output::DropSocket { .. })), 0);
    sim.run(limits::LEAVE);
    assert_eq!(sim.count(|o| matches!(o, Output::DropSocket { .. })), 1);
}

#[test]
fn the_end_of_the_call_is_not_a_lost_connection() {
    for (ended_by, reason) in [
        (CallEndedReason::Ended, EndReason::CallEnded),
        (CallEndedReason::Unspecified, EndReason::CallEnded),
        (CallEndedReason::Kicked, EndReason::Kicked),
        (CallEndedReason::LiveEnded, EndReason::SessionEnded),
        (CallEndedReason::SessionEnded, EndReason::SessionEnded),
    ] {
        for joining in [false, true] {
            let mut sim = Sim::new(config());
            sim.on(move |o| match o {
                Output::Send { request: SfuRequest::Join(_), .. } if joining => Reply::Never,
                // Whatever close code the SFU uses.
                Output::CloseSocket { generation, .. } => {
                    Reply::With(Input::SocketClosed { generation: *generation, code: Some(1011), failure: None })
                }
                _ => Reply::Good,
            });
            sim.input(Input::Start);
            sim.run(ms(50));
            sim.message(SfuMessage::CallEnded(ended_by));
            sim.run(ms(2_000));
            let end = sim.ended().expect("ended");
            assert_eq!((end.reason, end.error), (reason, None));
            assert_eq!((sim.errors(), terminal(&sim)), (0, (1, true)));
            let leave_messages = sim.requests().iter().filter(|r| matches!(r, SfuRequest::Leave { .. })).count();
            assert_eq!(leave_messages, 0, "there is no session to leave");
        }
    }
}

#[test]
fn an_error_of_the_sfu_follows_its_strategy() {
    let after = |strategy| {
        let mut sim = Sim::joined();
        let error = SfuError { code: 206, message: "signal lost".into(), should_retry: false };
        sim.message(SfuMessage::Error { error, strategy });
        sim.run(ms(100));
        sim
    };
    let sim = after(Strategy::Unspecified);
    assert_eq!((sim.core.state(), sim.errors()), (State::Joined, 1));
    assert!(
        matches!(&sim.events()[..], [Event::Error(e)] if e.server_code == 206 && e.message.contains("signal lost"))
    );
    let sim = after(Strategy::Disconnect);
    let end = sim.ended().expect("ended");
    assert_eq!((end.reason, end.error.map(|e| e.server_code)), (EndReason::Disconnected, Some(206)));
    assert!(matches!(sim.requests()[..], [SfuRequest::Leave { .. }]));
    for strategy in [Strategy::Fast, Strategy::Rejoin, Strategy::Migrate] {
        let sim = after(strategy);
        let c = sim.core.counters();
        let migrating = u64::from(sim.core.state() == State::Migrating);
        let done = (c.reconnects_fast, c.reconnects_rejoin, migrating);
        let expected = match strategy {
            Strategy::Fast => (1, 0, 0),
            Strategy::Rejoin => (0, 1, 0),
            _ => (0, 0, 1),
        };
        assert_eq!((done, sim.errors()), (expected, 1), "{strategy:?}");
    }
}

#[test]
fn an_unused_socket_is_dropped_a_live_one_stays() {
    let mut sim = Sim::joined();
    let dropped = |sim: &Sim| {
        let generation = |o: &Output| if let Output::DropSocket { generation } = o { Some(generation.0) } else { None };
        sim.since().iter().filter_map(generation).collect::<Vec<_>>()
    };
    let current = sim.core.generation();
    sim.input(Input::SocketOpened { generation: current, result: Ok(()) });
    assert_eq!(dropped(&sim), [0; 0], "reported twice: it is the one in use");
    sim.input(Input::SocketOpened { generation: Generation(0), result: Ok(()) });
    sim.input(Input::SocketOpened { generation: Generation(7), result: Err(http(500)) });
    assert_eq!(dropped(&sim), [0]);
    sim.offer();
    sim.run(ms(20));
    sim.on(|o| if matches!(o, Output::ClosePeer { .. }) { Reply::Never } else { Reply::Good });
    sim.leave();
    sim.run(ms(100));
    sim.mark();
    for generation in [current, Generation(0)] {
        sim.input(Input::SocketOpened { generation, result: Ok(()) });
    }
    assert_eq!(dropped(&sim), [current.0, 0], "opened after leave");
}

#[test]
fn leaving_stops_tracks_and_unbinds_media() {
    let mut sim = Sim::new(config());
    sim.joined.participants = vec![person("ann")];
    sim.input(Input::Start);
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    sim.offer();
    sim.run(ms(50));
    let generation = sim.core.generation();
    let stream_id = "ann-prefix:TRACK_TYPE_AUDIO:0".to_owned();
    sim.input(Input::RemoteTrack { generation, id: 3, owner: owner(&stream_id), mid: String::new(), again: false });
    sim.mark();
    sim.leave();
    assert_eq!(sim.count(|o| matches!(o, Output::Sending { track: 1, on: false })), 1);
    assert_eq!(sim.count(|o| matches!(o, Output::Unbind { id: 3 })), 1);
    assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { .. })), 2);
}

#[test]
fn an_unrequested_close_is_ignored() {
    let mut sim = Sim::joined();
    sim.offer();
    sim.run(ms(50));
    let generation = sim.core.generation();
    sim.input(Input::PeerClosed { generation, peer: PeerKind::Subscriber });
    let id = sim.offer();
    sim.run(ms(50));
    assert_eq!(sim.answers().last(), Some(&id));
    sim.leave();
    assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { .. })), 1);
}

//! Reconnecting: FAST, REJOIN, MIGRATE, and the network going offline and online.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::{Code, Secret};

pub(super) const PUB: PeerKind = PeerKind::Publisher;
pub(super) const SUB: PeerKind = PeerKind::Subscriber;

/// Receives ann's audio and publishes one track.
pub(super) fn joined_with_media() -> Sim {
    joined_with_media_and(config())
}

pub(super) fn joined_with_media_and(config: Config) -> Sim {
    let mut sim = Sim::new(config);
    sim.joined.participants = vec![Participant { published: vec![TrackKind::Audio.into()], ..person("ann") }];
    sim.input(Input::Start);
    sim.run(ms(50));
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(100));
    let generation = sim.core.cx.transport.expect("in use");
    let stream_id = "ann-prefix:TRACK_TYPE_AUDIO:0".to_owned();
    sim.input(Input::RemoteTrack { generation, id: 7, owner: owner(&stream_id), mid: String::new(), again: false });
    sim.mark();
    sim
}

pub(super) fn joins(sim: &Sim) -> Vec<JoinRequest> {
    let join = |r: SfuRequest| if let SfuRequest::Join(join) = r { Some(*join) } else { None };
    sim.requests().into_iter().filter_map(join).collect()
}

pub(super) fn states(sim: &Sim) -> Vec<State> {
    let state = |e: &Event| if let Event::State { state, .. } = e { Some(*state) } else { None };
    sim.events().iter().filter_map(state).collect()
}

pub(super) fn back(sim: &Sim) -> Vec<Strategy> {
    let how = |e: &Event| if let Event::Reconnected { strategy, .. } = e { Some(*strategy) } else { None };
    sim.events().iter().filter_map(how).collect()
}

pub(super) fn restarts(sim: &Sim) -> usize {
    sim.count(|o| matches!(o, Output::Engine { action: Action::Offer(Wanted { ice_restart: true, .. }), .. }))
}

pub(super) fn closed_peers(sim: &Sim) -> Vec<(u32, PeerKind)> {
    let closed = |o: &Output| match o {
        Output::ClosePeer { generation, peer } => Some((generation.0, *peer)),
        _ => None,
    };
    sim.since().iter().filter_map(closed).collect()
}

/// Generation and close code of each closed socket.
pub(super) fn closes(sim: &Sim) -> Vec<(u32, u16)> {
    let close = |o: &Output| match o {
        Output::CloseSocket { generation, code, .. } => Some((generation.0, *code)),
        _ => None,
    };
    sim.since().iter().filter_map(close).collect()
}

#[test]
fn fast_keeps_session_and_peer_connections_and_restarts_publisher_ice() {
    let mut sim = joined_with_media();
    let session = sim.core.cx.session_id.clone();
    sim.lose_socket();
    sim.run(ms(100));
    assert_eq!(states(&sim), [State::Reconnecting, State::Joined]);
    assert_eq!(back(&sim), [Strategy::Fast]);
    assert_eq!(sim.count(|o| matches!(o, Output::Admit { .. })), 0, "no admission is requested");
    assert_eq!((closed_peers(&sim), restarts(&sim)), (vec![], 1));
    assert_eq!(sim.count(|o| matches!(o, Output::Unbind { .. })), 0, "playback continues");
    let join = joins(&sim).remove(0);
    let details = join.reconnect.expect("details");
    assert_eq!((join.session_id, details.strategy, details.attempt), (session, Strategy::Fast, 0));
    assert_eq!((details.announced_tracks.len(), details.announced_tracks[0].mid.as_str()), (1, "0"));
    assert_eq!((details.previous_session_id.as_str(), details.from_sfu_id.as_str()), ("", ""));
    // The surviving subscriber accepts offers of the new socket, not of the old one.
    let late = sim.core.counters().late_offers;
    sim.input(Input::Message { generation: Generation(1), message: offer(90, "old") });
    let id = sim.offer();
    sim.run(ms(50));
    assert_eq!((sim.answers(), sim.core.counters().late_offers), (vec![id], late + 1));
    assert_eq!(sim.events().iter().filter(|e| matches!(e, Event::LocalPublished { .. })).count(), 0);
}

#[test]
fn a_session_that_the_sfu_has_not_kept_is_left_and_joined_anew_at_once() {
    let mut sim = joined_with_media();
    let session = sim.core.cx.session_id.clone();
    sim.joined.reconnected = false;
    sim.lose_socket();
    sim.run(ms(100));
    assert_eq!((states(&sim), back(&sim)), (vec![State::Reconnecting, State::Joined], vec![Strategy::Rejoin]));
    let joins = joins(&sim);
    assert_eq!(joins.len(), 2);
    let details = joins[1].reconnect.clone().expect("details");
    assert_eq!(
        (details.strategy, details.previous_session_id, details.attempt),
        (Strategy::Rejoin, session.clone(), 1)
    );
    assert!(joins[1].session_id != session && joins[1].unified_session_id == joins[0].unified_session_id);
    let left = |r: &SfuRequest| matches!(r, SfuRequest::Leave { session_id, .. } if *session_id == session);
    assert_eq!(sim.requests().iter().filter(|r| left(r)).count(), 1);
}

#[test]
fn a_resume_with_another_session_does_not_list_the_former_one() {
    let mut sim = Sim::new(config());
    let me = |session_id: &str| Participant { session_id: session_id.into(), ..person("me") };
    let state = move |session_id: &str| JoinState {
        session_id: session_id.into(),
        participants: vec![person("ann"), me(session_id)],
        fast_reconnect_deadline_s: 10,
        ..JoinState::default()
    };
    let mut joins = 0;
    sim.on(move |o| match o {
        Output::Send { generation, request: SfuRequest::Join(_) } => {
            joins += 1;
            let message = SfuMessage::Joined(Box::new(state(&format!("PA_{joins}"))));
            Reply::With(Input::Message { generation: *generation, message })
        }
        _ => Reply::Good,
    });
    sim.input(Input::Start);
    sim.run(ms(50));
    sim.offer();
    sim.run(ms(50));
    sim.mark();
    sim.lose_socket();
    sim.run(ms(100));
    // The resume is answered with a new session; then a join follows.
    assert_eq!((joins_of(&sim), sim.core.cx.session_id.as_str()), (2, "PA_3"));
    let shown = |e: &Event| matches!(e, Event::ParticipantLeft(p) | Event::ParticipantJoined(p) if p.user_id == "me");
    assert!(!sim.events().iter().any(shown), "{:?}", sim.events());
    assert_eq!(sim.core.participants().count(), 2);
}

fn joins_of(sim: &Sim) -> usize {
    joins(sim).len()
}

#[test]
fn rejoin_makes_everything_anew_and_the_application_keeps_its_tracks() {
    let mut sim = joined_with_media();
    let session = sim.core.cx.session_id.clone();
    sim.input(Input::Mute { track: 1, muted: true });
    sim.run(ms(50));
    sim.mark();
    // The SFU still lists the old session.
    sim.joined.participants.push(Participant { session_id: session.clone(), ..person("me") });
    sim.peer(SUB, PeerChange::Failed);
    sim.run(ms(200));
    assert_eq!((states(&sim), back(&sim)), (vec![State::Reconnecting, State::Joined], vec![Strategy::Rejoin]));
    assert_eq!(closed_peers(&sim), [(1, PUB), (1, SUB)]);
    assert_eq!(closes(&sim), [(1, limits::CLOSE_NORMAL)]);
    assert!(matches!(&sim.requests()[0], SfuRequest::Leave { session_id, .. } if *session_id == session));
    assert_eq!(sim.actions(PUB), ["Create", "Offer", "SetAnswer"]);
    let RpcCall::SetPublisher { tracks, session_id, .. } = &sim.rpcs()[0] else { panic!("{:?}", sim.rpcs()) };
    assert_eq!((tracks.len(), tracks[0].muted, session_id == &sim.core.cx.session_id), (1, true, true));
    assert_eq!(sim.count(|o| matches!(o, Output::Sending { track: 1, on: true })), 1);
    assert_eq!(sim.count(|o| matches!(o, Output::Unbind { id: 7 })), 1);
    // No participant joined or left, and nothing was published a second time.
    let known = |e: &Event| matches!(e, Event::State { .. } | Event::Reconnected { .. } | Event::Media { .. });
    let is_local_update = |e: &Event| matches!(e, Event::ParticipantUpdated(p) if p.local);
    let others: Vec<_> = sim.events().into_iter().filter(|e| !known(e) && !is_local_update(e)).collect();
    assert_eq!(others, [], "the former local session is not listed");
    assert!(sim.core.participants().all(|p| p.session_id != session));
}

#[test]
fn tracks_come_back_in_their_order_published_meanwhile_too() {
    let mut sim = joined_with_media();
    sim.on(|o| if matches!(o, Output::Admit { .. }) { Reply::Hold } else { Reply::Good });
    sim.peer(PUB, PeerChange::Failed);
    sim.input(Input::Unpublish { track: 1 });
    sim.input(Input::Publish { track: 2, offer: audio() });
    sim.input(Input::Mute { track: 2, muted: true });
    sim.release();
    sim.run(ms(200));
    let published = |e: &Event| if let Event::LocalPublished { track } = e { Some(*track) } else { None };
    assert_eq!(sim.events().iter().filter_map(published).collect::<Vec<_>>(), [2]);
    assert_eq!(sim.core.state(), State::Joined);
}

#[test]
fn offline_waits_and_online_reconnects_once() {
    let mut sim = joined_with_media();
    sim.input(Input::Network(NetworkChange::Online));
    assert_eq!(sim.since().len(), 0, "online without offline is no news");
    for _ in 0..3 {
        sim.input(Input::Network(NetworkChange::Offline));
    }
    sim.run(ms(5_000));
    assert_eq!((states(&sim), joins(&sim).len()), (vec![State::Offline], 0), "nothing is tried");
    for _ in 0..3 {
        sim.input(Input::Network(NetworkChange::Online));
    }
    sim.run(ms(100));
    assert_eq!((joins(&sim).len(), back(&sim)), (1, vec![Strategy::Fast]));

    // Longer than the SFU keeps a session: a new session.
    let mut sim = joined_with_media();
    sim.input(Input::Network(NetworkChange::Offline));
    sim.run(ms(15_000));
    sim.input(Input::Network(NetworkChange::Online));
    sim.run(ms(100));
    assert_eq!(back(&sim), [Strategy::Rejoin]);

    // Offline without limit: the call ends.
    let mut sim = joined_with_media();
    sim.input(Input::Network(NetworkChange::Offline));
    sim.run(ms(30_000));
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::ConnectionLost));
    assert_eq!(states(&sim), [State::Offline, State::ReconnectingFailed, State::Left]);
}

#[test]
fn another_network_means_new_sockets() {
    let mut sim = joined_with_media();
    sim.input(Input::Network(NetworkChange::Changed));
    sim.run(ms(100));
    assert_eq!((back(&sim), closed_peers(&sim).len()), (vec![Strategy::Rejoin], 2));
    // Addresses that come and go may be unused: working connections are kept.
    let mut sim = joined_with_media();
    sim.input(Input::Network(NetworkChange::Unsettled));
    sim.run(ms(100));
    assert_eq!((back(&sim), closed_peers(&sim).len(), restarts(&sim)), (vec![Strategy::Fast], 0, 1));
}

#[test]
fn failed_attempts_are_spaced_and_fast_gives_way_to_rejoin() {
    let mut sim = joined_with_media();
    let began = sim.now;
    sim.on(|o| match o {
        Output::OpenSocket { generation, .. } => {
            let result = Err(Failure::new(FailureKind::Connect, "refused"));
            Reply::With(Input::SocketOpened { generation: *generation, result })
        }
        _ => Reply::Good,
    });
    sim.lose_socket();
    let mut seen = Vec::new();
    while !sim.core.is_over() && sim.now < began + ms(60_000) {
        let before = sim.since().len();
        sim.run(ms(1));
        for output in &sim.since()[before..] {
            match output {
                Output::OpenSocket { .. } => seen.push((sim.now - began, "open")),
                Output::Admit { .. } => seen.push((sim.now - began, "admit")),
                _ => {}
            }
        }
    }
    // The first attempt started at once, before the clock moved.
    assert_eq!(sim.count(|o| matches!(o, Output::Admit { .. })) + 3, sim.core.counters().reconnect_attempts as usize);
    let opens: Vec<_> = seen.iter().filter(|(_, what)| *what == "open").map(|(at, _)| *at).collect();
    for pair in opens.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= ms(250) && gap <= ms(5_100), "{opens:?}");
    }
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::ConnectionLost));
    assert!(sim.now - began <= ms(30_010));
}

#[test]
fn storms_of_triggers_are_one_reconnect() {
    let mut sim = joined_with_media();
    sim.on(|o| if matches!(o, Output::OpenSocket { .. }) { Reply::Hold } else { Reply::Good });
    let generation = sim.core.generation();
    sim.lose_socket();
    for _ in 0..5 {
        sim.input(Input::SocketClosed { generation, code: Some(1006), failure: None });
        sim.input(Input::Message { generation, message: SfuMessage::GoAway { reason: 1 } });
        sim.peer(SUB, PeerChange::Disconnected);
    }
    sim.release();
    sim.run(ms(100));
    assert_eq!((sim.core.counters().reconnect_attempts, back(&sim)), (1, vec![Strategy::Fast]));
    assert_eq!(sim.core.state(), State::Joined);
}

#[test]
fn what_fast_would_keep_fails_meanwhile() {
    let mut sim = joined_with_media();
    sim.on(|o| if matches!(o, Output::OpenSocket { .. }) { Reply::Hold } else { Reply::Good });
    sim.lose_socket();
    sim.good();
    sim.peer(PUB, PeerChange::Failed);
    sim.run(ms(100));
    assert_eq!(back(&sim), [Strategy::Rejoin]);
    // The socket of the abandoned attempt opens late.
    sim.mark();
    sim.release();
    assert_eq!(sim.count(|o| matches!(o, Output::DropSocket { generation } if generation.0 == 2)), 1);
    assert_eq!(sim.core.state(), State::Joined);
}

#[test]
fn a_connection_that_never_lasts_is_slowed_down_and_given_up() {
    let mut sim = joined_with_media();
    let mut losses = 0;
    while !sim.core.is_over() && losses < 200 {
        if sim.core.state() == State::Joined {
            losses += 1;
            sim.lose_socket();
        }
        sim.run(ms(100));
    }
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::ReconnectLimit));
    assert!(losses < 20, "{losses}");
}

#[test]
fn ice_that_is_lost_gets_patience_a_restart_and_then_a_new_session() {
    let mut sim = joined_with_media();
    sim.peer(SUB, PeerChange::Disconnected);
    sim.run(DIALECT.ice_grace - ms(1));
    sim.peer(SUB, PeerChange::Connected);
    sim.run(ms(30_000));
    assert_eq!((sim.rpc_names().len(), restarts(&sim)), (0, 0), "it came back by itself");
    sim.peer(SUB, PeerChange::Disconnected);
    sim.peer(PUB, PeerChange::Disconnected);
    sim.connects = false;
    sim.run(DIALECT.ice_grace);
    assert_eq!((sim.rpc_names().iter().filter(|n| **n == "IceRestart").count(), restarts(&sim)), (1, 1));
    sim.peer(PUB, PeerChange::Connected);
    sim.run(limits::ICE_RESTART + ms(200));
    assert_eq!(back(&sim), [Strategy::Rejoin], "the subscriber's did not help");
}

#[test]
fn before_the_first_connection_disconnected_is_ignored_and_failed_is_final() {
    let mut sim = Sim::joined();
    sim.connects = false;
    sim.offer();
    sim.run(ms(100));
    sim.peer(SUB, PeerChange::Disconnected);
    sim.run(ms(3_000));
    assert_eq!((sim.core.state(), sim.rpc_names()), (State::Joined, vec!["SendAnswer"]));
    sim.peer(SUB, PeerChange::Failed);
    sim.run(ms(50));
    assert_eq!(back(&sim), [Strategy::Rejoin]);
    sim.offer();
    sim.run(ms(50));
    sim.peer(SUB, PeerChange::Failed);
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::NetworkUnsupported));
}

#[test]
fn replies_that_end_the_session_are_not_retried() {
    for (code, how) in [
        (200, Strategy::Rejoin),
        (204, Strategy::Rejoin),
        (205, Strategy::Rejoin),
        (206, Strategy::Fast),
        (300, Strategy::Rejoin),
    ] {
        let mut sim = joined_with_media();
        let mut once = true;
        sim.on(move |o| match is_rpc(o, "UpdateMuteStates") && std::mem::take(&mut once) {
            true => rpc_failed(o, sfu(code, "gone")),
            false => Reply::Good,
        });
        sim.input(Input::Mute { track: 1, muted: true });
        sim.run(limits::CALL_ENDED_GRACE + ms(200));
        assert_eq!((back(&sim), sim.core.counters().rpc_retries), (vec![how], 0), "{code}");
        assert!(
            sim.rpcs().iter().any(|c| matches!(c, RpcCall::UpdateMuteStates { states, .. } if states[0].muted)
                || matches!(c, RpcCall::SetPublisher { tracks, .. } if tracks.iter().all(|t| t.muted))),
            "{code}: sent again"
        );
    }
}

#[test]
fn a_reconnect_in_the_middle_of_every_negotiation_step_answers_the_next_offer() {
    for at in ["Create", "Answer", "SendAnswer"] {
        let mut sim = Sim::joined();
        sim.on(move |o| match is_rpc(o, at) || matches!(o, Output::Engine { peer: SUB, .. }) && is_action(o, at) {
            true => Reply::Hold,
            false => Reply::Good,
        });
        sim.offer();
        sim.offer();
        sim.run(ms(50));
        sim.lose_socket();
        sim.good();
        sim.run(ms(50));
        assert_eq!(back(&sim), [Strategy::Fast], "{at}");
        let id = sim.offer();
        sim.release();
        sim.run(ms(100));
        assert_eq!(sim.answers().last(), Some(&id), "{at}");
        assert_eq!((sim.errors(), sim.core.state()), (0, State::Joined), "{at}");
    }
    for at in ["Create", "Offer", "SetPublisher", "SetAnswer"] {
        let mut sim = Sim::joined();
        sim.on(move |o| match is_rpc(o, at) || matches!(o, Output::Engine { peer: PUB, .. }) && is_action(o, at) {
            true => Reply::Hold,
            false => Reply::Good,
        });
        sim.input(Input::Publish { track: 1, offer: audio() });
        sim.run(ms(50));
        sim.lose_socket();
        sim.good();
        sim.run(ms(50));
        sim.release();
        sim.run(ms(1_000));
        let reported = sim.events().iter().filter(|e| matches!(e, Event::LocalPublished { track: 1 })).count();
        assert_eq!((reported, sim.errors(), sim.core.state()), (1, 0, State::Joined), "{at}");
        assert!(sim.core.publisher.is_settled(&sim.core.cx), "{at}");
    }
}

#[test]
fn leaving_in_every_phase_of_a_reconnect_never_comes_back() {
    for at in ["Admit", "OpenSocket", "Join", "wait", "offline", "migrating"] {
        for rejoin in [false, true] {
            if at == "Admit" && !rejoin {
                continue; // FAST needs no admission
            }
            let mut sim = joined_with_media();
            sim.on(move |o| match o {
                Output::Admit { .. } if at == "Admit" => Reply::Hold,
                Output::OpenSocket { .. } if at == "OpenSocket" => Reply::Hold,
                Output::Send { request: SfuRequest::Join(_), .. } if at == "Join" => Reply::Hold,
                Output::OpenSocket { generation, .. } if at == "wait" => {
                    let result = Err(Failure::new(FailureKind::Connect, "refused"));
                    Reply::With(Input::SocketOpened { generation: *generation, result })
                }
                _ => Reply::Good,
            });
            match at {
                "offline" => sim.input(Input::Network(NetworkChange::Offline)),
                "migrating" => sim.message(SfuMessage::GoAway { reason: 2 }),
                _ if rejoin => sim.peer(SUB, PeerChange::Failed),
                _ => sim.lose_socket(),
            }
            sim.run(ms(20));
            sim.leave();
            sim.leave();
            sim.release();
            sim.good();
            sim.run(limits::LEAVE);
            assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::Left), "{at} {rejoin}");
            assert!(sim.core.is_over(), "{at} {rejoin}");
            assert!(!states(&sim).contains(&State::Joined), "{at} {rejoin}");
            assert_eq!(closed_peers(&sim).len(), 2 + usize::from(at == "migrating"), "{at} {rejoin}");
        }
    }
}

#[test]
fn call_ended_in_a_reconnect_ends_it() {
    let mut sim = joined_with_media();
    sim.message(SfuMessage::GoAway { reason: 1 });
    sim.run(ms(1));
    sim.input(Input::Message { generation: Generation(1), message: SfuMessage::CallEnded(CallEndedReason::Ended) });
    sim.run(ms(2_000));
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::CallEnded));

    // The media may end before the SFU reports why.
    let mut sim = joined_with_media();
    sim.peer(SUB, PeerChange::Closed);
    sim.peer(PUB, PeerChange::Closed);
    sim.run(ms(100));
    sim.message(SfuMessage::CallEnded(CallEndedReason::Kicked));
    sim.run(ms(2_000));
    assert_eq!((sim.ended().map(|e| e.reason), joins(&sim).len()), (Some(EndReason::Kicked), 0));
    // Without a reason it is a lost connection.
    let mut sim = joined_with_media();
    sim.peer(SUB, PeerChange::Closed);
    sim.run(limits::CALL_ENDED_GRACE + ms(100));
    assert_eq!(back(&sim), [Strategy::Rejoin]);

    let mut sim = joined_with_media();
    let generation = sim.core.generation();
    sim.message(SfuMessage::CallEnded(CallEndedReason::Ended));
    sim.input(Input::SocketClosed { generation, code: Some(1000), failure: None });
    sim.run(ms(30_000));
    assert_eq!((sim.ended().map(|e| e.reason), joins(&sim).len()), (Some(EndReason::CallEnded), 0));
}

#[test]
fn an_expired_token_is_renewed_once_per_attempt() {
    let expired = |o: &Output| match o {
        Output::Admit { generation, token, .. } if token.reveal() != "asked-for" => {
            Reply::With(Input::Admitted { generation: *generation, result: Err(http(401)) })
        }
        _ => Reply::Good,
    };
    let mut sim = joined_with_media_and(Config { renew_token: true, ..config() });
    sim.on(expired);
    sim.peer(SUB, PeerChange::Failed);
    sim.run(ms(200));
    assert_eq!((back(&sim), sim.count(|o| matches!(o, Output::NeedToken))), (vec![Strategy::Rejoin], 1));

    // At the first join as well; the second refusal is final.
    let mut sim = Sim::new(Config { renew_token: true, ..config() });
    sim.on(expired);
    sim.input(Input::Start);
    sim.run(ms(100));
    assert_eq!(sim.core.state(), State::Joined);
    let mut sim = Sim::new(Config { renew_token: true, token: Secret::default(), ..config() });
    sim.on(|o| match o {
        Output::Admit { generation, .. } => {
            Reply::With(Input::Admitted { generation: *generation, result: Err(http(401)) })
        }
        _ => Reply::Good,
    });
    sim.input(Input::Start);
    sim.run(ms(100));
    assert_eq!(sim.ended().and_then(|e| e.error).map(|e| e.code), Some(Code::Auth));
    assert_eq!(sim.count(|o| matches!(o, Output::NeedToken)), 2);

    // No other token is available.
    let mut sim = joined_with_media();
    sim.on(expired);
    sim.peer(SUB, PeerChange::Failed);
    sim.run(ms(200));
    let end = sim.ended().expect("ended");
    assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::ReconnectRefused, Some(Code::Auth)));
}

#[test]
fn the_differences_between_two_snapshots_are_reported() {
    let mut sim = joined_with_media();
    sim.joined.participants =
        vec![Participant { published: vec![TrackKind::Video.into()], ..person("ann") }, person("bob")];
    sim.lose_socket();
    sim.run(ms(100));
    let reported: Vec<_> = sim
        .events()
        .iter()
        .filter_map(|e| match e {
            Event::TrackUnpublished { user_id, track, .. } => Some(format!("-{user_id} {:?}", track.kind)),
            Event::TrackPublished { user_id, track, .. } => Some(format!("+{user_id} {:?}", track.kind)),
            Event::ParticipantJoined(p) => Some(format!("+{}", p.user_id)),
            Event::ParticipantLeft(p) => Some(format!("-{}", p.user_id)),
            _ => None,
        })
        .collect();
    assert_eq!(reported, ["-ann Audio", "+ann Video", "+bob"]);
    sim.mark();
    sim.joined.participants = vec![person("bob")];
    sim.lose_socket();
    sim.run(ms(3_000));
    let gone = sim.events().iter().filter(|e| matches!(e, Event::ParticipantLeft(p) if p.user_id == "ann")).count();
    assert_eq!(gone, 1);
}

#[test]
fn what_the_application_closed_stays_closed() {
    for peer in [PUB, SUB] {
        let mut sim = joined_with_media();
        sim.on(|o| if matches!(o, Output::ClosePeer { .. }) { Reply::Never } else { Reply::Good });
        sim.input(Input::ClosePeer(peer));
        sim.mark();
        let other = if peer == PUB { SUB } else { PUB };
        sim.peer(other, PeerChange::Failed);
        sim.run(ms(200));
        assert_eq!(back(&sim), [Strategy::Rejoin]);
        let late = sim.core.counters().late_offers;
        sim.offer();
        sim.run(ms(100));
        assert_eq!(sim.actions(peer), [""; 0], "{peer:?}");
        assert_eq!(sim.core.counters().late_offers - late, u64::from(peer == SUB));
    }
}

#[test]
fn another_dtls_identity_is_another_peer_connection() {
    let identified = |id: u32, fingerprint: &str| SfuMessage::SubscriberOffer {
        ice_restart: true,
        sdp: format!("v=0\r\na=ice-ufrag:u{id}\r\na=fingerprint:sha-256 {fingerprint}\r\n"),
        negotiation_id: id,
    };
    let mut sim = Sim::joined();
    for id in 1..4 {
        sim.message(identified(id, "AA:BB"));
        sim.run(ms(50));
    }
    assert_eq!((sim.answers(), sim.core.counters().reconnect_attempts), (vec![1, 2, 3], 0));
    sim.message(identified(4, "CC:DD"));
    sim.run(ms(200));
    assert_eq!((back(&sim), sim.errors()), (vec![Strategy::Rejoin], 0));
    assert_eq!(sim.answers(), [1, 2, 3], "not answered with an incompatible description");
    sim.message(identified(1, "CC:DD"));
    sim.run(ms(50));
    assert_eq!(sim.answers(), [1, 2, 3, 1], "the new one has its own");
}

//! MIGRATE: the old connection plays until the new one is up.

use super::reconnect::*;
use super::sim::*;
use crate::core::{model::*, *};

#[test]
fn a_migration_keeps_the_old_connection_until_the_old_socket_confirms() {
    let mut sim = joined_with_media();
    let session = sim.core.cx.session_id.clone();
    sim.message(SfuMessage::GoAway { reason: 1 });
    sim.run(ms(200));
    let admission = |o: &Output| if let Output::Admit { request, .. } = o { Some(request.clone()) } else { None };
    let request = sim.since().iter().find_map(admission).expect("another edge was requested");
    assert_eq!((request.migrating_from.as_str(), request.migrating_from_list.len()), ("edge-1", 1));
    let join = joins(&sim).remove(0);
    let details = join.reconnect.expect("details");
    assert_eq!((join.session_id, details.strategy), (session, Strategy::Migrate));
    assert_eq!((details.from_sfu_id.as_str(), details.announced_tracks.len()), ("edge-1", 1));
    assert_eq!((states(&sim), closed_peers(&sim), closes(&sim)), (vec![State::Migrating], vec![], vec![]));
    assert_eq!(sim.actions(PUB), ["Create", "Offer", "SetAnswer"]);
    // Offers of the old socket are late; MigrationComplete on it ends the migration.
    let late = sim.core.counters().late_offers;
    sim.input(Input::Message { generation: Generation(1), message: offer(50, "old") });
    assert_eq!(sim.core.counters().late_offers, late + 1);
    // ann's audio arrives over the new edge; the old stream is no longer played.
    let stream_id = "ann-prefix:TRACK_TYPE_AUDIO:1".to_owned();
    sim.input(Input::RemoteTrack {
        generation: Generation(2),
        id: 8,
        owner: owner(&stream_id),
        mid: String::new(),
        again: false,
    });
    let bindings: Vec<_> = sim
        .since()
        .iter()
        .filter_map(|o| match o {
            Output::Bind { id, .. } => Some((*id, true)),
            Output::Unbind { id } => Some((*id, false)),
            _ => None,
        })
        .collect();
    assert_eq!(bindings, [(7, false), (8, true)]);
    sim.input(Input::Message { generation: Generation(1), message: SfuMessage::MigrationComplete });
    assert_eq!((states(&sim), back(&sim)), (vec![State::Migrating, State::Joined], vec![Strategy::Migrate]));
    assert_eq!((closed_peers(&sim), closes(&sim)), (vec![(1, PUB), (1, SUB)], vec![(1, limits::CLOSE_NORMAL)]));
    assert_eq!(sim.requests().iter().filter(|r| matches!(r, SfuRequest::Leave { .. })).count(), 0);
    sim.input(Input::SocketClosed { generation: Generation(1), code: Some(1000), failure: None });
    sim.run(ms(60_000));
    assert_eq!((sim.core.state(), sim.core.counters().reconnect_attempts), (State::Joined, 1));
}

#[test]
fn a_migration_ends_after_seven_seconds_or_with_the_old_socket() {
    let mut sim = joined_with_media();
    sim.message(SfuMessage::GoAway { reason: 1 });
    sim.run(limits::MIGRATION - ms(10));
    assert_eq!(sim.core.state(), State::Migrating);
    sim.run(ms(20));
    assert_eq!((sim.core.state(), back(&sim)), (State::Joined, vec![Strategy::Migrate]));

    let mut sim = joined_with_media();
    sim.message(SfuMessage::GoAway { reason: 1 });
    sim.input(Input::SocketClosed { generation: Generation(1), code: Some(1006), failure: None });
    assert_eq!(sim.core.state(), State::Migrating, "the new edge is not there yet");
    sim.run(ms(200));
    assert_eq!((sim.core.state(), back(&sim)), (State::Joined, vec![Strategy::Migrate]));
}

#[test]
fn a_migration_that_fails_becomes_a_rejoin() {
    for at in ["admission", "socket", "join", "stuck"] {
        let mut sim = joined_with_media();
        let mut once = true;
        sim.on(move |o| match (o, at) {
            (Output::Admit { generation, .. }, "admission") if std::mem::take(&mut once) => {
                Reply::With(Input::Admitted { generation: *generation, result: Err(http(503)) })
            }
            (Output::OpenSocket { .. }, "stuck") if std::mem::take(&mut once) => Reply::Never,
            (Output::OpenSocket { generation, .. }, "socket") if std::mem::take(&mut once) => {
                let result = Err(Failure::new(FailureKind::Connect, "refused"));
                Reply::With(Input::SocketOpened { generation: *generation, result })
            }
            (Output::Send { generation, request: SfuRequest::Join(_) }, "join") if std::mem::take(&mut once) => {
                let error = SfuError { code: 600, ..SfuError::default() };
                let message = SfuMessage::Error { error, strategy: Strategy::Unspecified };
                Reply::With(Input::Message { generation: *generation, message })
            }
            _ => Reply::Good,
        });
        sim.message(SfuMessage::GoAway { reason: 1 });
        sim.run(ms(12_000));
        assert_eq!((sim.core.state(), back(&sim)), (State::Joined, vec![Strategy::Rejoin]), "{at}");
        assert_eq!(closed_peers(&sim), [(1, PUB), (1, SUB)], "{at}");
    }
}

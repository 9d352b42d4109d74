//! Decisions of others about a local track: a moderator's mute, the call's audio settings.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::Code;

fn publishing() -> Sim {
    let mut sim = Sim::joined();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    assert!(sim.events().contains(&Event::LocalPublished { track: 1 }));
    sim.mark();
    sim
}

fn unpublished(sim: &Sim, session_id: &str, kind: TrackKind, cause: UnpublishCause) -> SfuMessage {
    let user_id = sim.core.cx.config.user_id.clone();
    SfuMessage::TrackUnpublished { user_id, session_id: session_id.to_owned(), kind, cause, participant: None }
}

fn moderate(sim: &mut Sim) {
    let local_id = sim.core.cx.session_id.clone();
    let message = unpublished(sim, &local_id, TrackKind::Audio, UnpublishCause::Moderation);
    sim.message(message);
    sim.run(ms(50));
}

/// Mute states set on the track, and mute states sent to the SFU.
fn muted(sim: &Sim) -> (Vec<bool>, Vec<bool>) {
    let order = |o: &Output| if let Output::Moderated { track: 1, muted } = o { Some(*muted) } else { None };
    let sent = |call: RpcCall| if let RpcCall::UpdateMuteStates { states, .. } = call { Some(states) } else { None };
    let sent = sim.rpcs().into_iter().filter_map(sent).flatten().map(|state| state.muted).collect();
    (sim.since().iter().filter_map(order).collect(), sent)
}

fn local_unpublished(sim: &Sim) -> usize {
    let local_id = &sim.core.cx.session_id;
    let is_local = |e: &&Event| {
        matches!(e, Event::TrackUnpublished { session_id, track, cause: UnpublishCause::Moderation, .. }
            if session_id == local_id && track.kind == TrackKind::Audio)
    };
    sim.events().iter().filter(is_local).count()
}

#[test]
fn a_moderators_mute_stops_the_local_track_once() {
    let mut sim = publishing();
    moderate(&mut sim);
    moderate(&mut sim);
    assert_eq!(muted(&sim), (vec![true], vec![true]));
    assert_eq!((local_unpublished(&sim), sim.errors()), (1, 0));
    sim.mark();
    sim.input(Input::Mute { track: 1, muted: true });
    sim.run(ms(50));
    assert_eq!(muted(&sim), (vec![false], vec![]), "it is muted already, from now on by the application");
    sim.input(Input::Mute { track: 1, muted: false });
    sim.run(ms(50));
    assert_eq!(muted(&sim), (vec![false], vec![false]));
    sim.mark();
    moderate(&mut sim);
    assert_eq!(muted(&sim), (vec![true], vec![true]));
}

#[test]
fn other_causes_tracks_and_participants_mute_nothing() {
    let mut sim = publishing();
    let local_id = sim.core.cx.session_id.clone();
    for (session_id, kind, cause) in [
        (local_id.as_str(), TrackKind::Audio, UnpublishCause::UserMuted),
        (&local_id, TrackKind::Audio, UnpublishCause::PermissionRevoked),
        (&local_id, TrackKind::Audio, UnpublishCause::Unspecified),
        (&local_id, TrackKind::Video, UnpublishCause::Moderation),
        ("another-participant", TrackKind::Audio, UnpublishCause::Moderation),
    ] {
        let message = unpublished(&sim, session_id, kind, cause);
        sim.message(message);
    }
    sim.run(ms(50));
    assert_eq!((muted(&sim), local_unpublished(&sim)), ((vec![], vec![]), 0));
}

#[test]
fn what_is_muted_already_is_not_muted_by_a_moderator() {
    let mut sim = publishing();
    sim.input(Input::Mute { track: 1, muted: true });
    sim.run(ms(50));
    sim.mark();
    moderate(&mut sim);
    assert_eq!((muted(&sim), local_unpublished(&sim)), ((vec![], vec![]), 0));
}

#[test]
fn a_moderated_track_is_offered_muted_after_a_rejoin() {
    let mut sim = publishing();
    moderate(&mut sim);
    sim.mark();
    sim.message(SfuMessage::Error { error: SfuError::default(), strategy: Strategy::Rejoin });
    sim.run(ms(10_000));
    assert_eq!((sim.core.state(), sim.core.counters().reconnects_rejoin), (State::Joined, 1));
    let offers = |call: RpcCall| if let RpcCall::SetPublisher { tracks, .. } = call { Some(tracks) } else { None };
    let tracks: Vec<_> = sim.rpcs().into_iter().filter_map(offers).flatten().map(|t| t.muted).collect();
    assert!(!tracks.is_empty() && tracks.iter().all(|muted| *muted), "{tracks:?}");
    assert!(!muted(&sim).1.contains(&false));
}

/// Joined with call settings that differ from the defaults of the tests.
fn admitted(differs: impl Fn(&mut Admission) + 'static) -> Sim {
    let mut sim = Sim::new(config());
    sim.on(move |o| match o {
        Output::Admit { generation, .. } => {
            let mut admission = admission(1);
            differs(&mut admission);
            Reply::With(Input::Admitted { generation: *generation, result: Ok(Box::new(admission)) })
        }
        _ => Reply::Good,
    });
    sim.input(Input::Start);
    sim.run(ms(50));
    sim.mark();
    sim
}

#[test]
fn the_calls_settings_decide_about_dtx_unless_the_application_has() {
    for (allowed, wanted) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut sim = admitted(move |admission| admission.opus_dtx = allowed);
        sim.input(Input::Publish { track: 1, offer: AudioOffer { dtx: wanted, ..audio() } });
        sim.run(ms(50));
        let added = sim.wanted().first().map(|wanted| wanted.senders[0].offer.dtx);
        let offers = |call: RpcCall| if let RpcCall::SetPublisher { tracks, .. } = call { Some(tracks) } else { None };
        let sent = sim.rpcs().into_iter().find_map(offers).map(|tracks| tracks[0].dtx);
        assert_eq!((added, sent), (Some(allowed && wanted), Some(allowed && wanted)), "{allowed} {wanted}");
    }
}

#[test]
fn the_calls_settings_decide_about_redundant_audio_too() {
    for (allowed, wanted, expected) in [(true, 2, 2), (true, 0, 0), (false, 2, 0)] {
        let mut sim = admitted(move |admission| admission.opus_red = allowed);
        sim.input(Input::Publish { track: 1, offer: AudioOffer { red: wanted, ..audio() } });
        sim.run(ms(50));
        let added = sim.wanted().first().map(|wanted| wanted.senders[0].offer.red);
        let offers = |call: RpcCall| if let RpcCall::SetPublisher { tracks, .. } = call { Some(tracks) } else { None };
        let sent = sim.rpcs().into_iter().find_map(offers).map(|tracks| tracks[0].red);
        assert_eq!((added, sent), (Some(expected), Some(expected > 0)), "{allowed} {wanted}");
    }
}

#[test]
fn rights_that_the_admission_names_count_from_the_join_on_and_once() {
    let mut sim = Sim::new(config());
    let silent = Grants { audio: false, ..Grants::ALL };
    sim.grants = Some(silent);
    sim.input(Input::Start);
    sim.run(ms(50));
    assert_eq!((sim.core.state(), sim.core.grants()), (State::Joined, Some(silent)));
    assert!(sim.events().contains(&Event::Grants(silent)));
    sim.mark();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    let refused = |e: &Event| matches!(e, Event::LocalFailed { error, .. } if error.code == Code::Refused);
    assert!(sim.events().iter().any(refused), "{:?}", sim.events());
    // A later message of the SFU takes precedence, also after the socket was lost.
    sim.message(SfuMessage::Grants(Grants::ALL));
    let generation = sim.core.generation();
    sim.input(Input::SocketClosed { generation, code: Some(1006), failure: None });
    sim.run(ms(5_000));
    assert_eq!((sim.core.state(), sim.core.grants()), (State::Joined, Some(Grants::ALL)));
    // An admission that grants everything causes no event.
    let mut sim = Sim::new(config());
    sim.grants = Some(Grants::ALL);
    sim.input(Input::Start);
    sim.run(ms(50));
    assert!(!sim.events().iter().any(|e| matches!(e, Event::Grants(_))));
}

/// Events and outputs about the local track, in order.
fn lifted(sim: &Sim) -> Vec<&'static str> {
    let one = |o: &Output| match o {
        Output::Event(Event::TrackPublished { track, .. }) if track.local && track.held => Some("held"),
        Output::Event(Event::TrackPublished { track, .. }) if track.local => Some("published"),
        Output::Lifted { track: 1 } => Some("lifted"),
        Output::Moderated { muted: true, .. } => Some("muted"),
        Output::Moderated { muted: false, .. } => Some("unmuted"),
        _ => None,
    };
    sim.since().iter().filter_map(one).collect()
}

fn outside(sim: &mut Sim, muted: bool) {
    let track_id = sim.core.publisher.tracks.all[0].name.clone();
    sim.message(SfuMessage::LocalMuted { track_id, muted });
    sim.run(ms(50));
}

#[test]
fn an_unmute_from_outside_is_reported_before_it_takes_effect() {
    let mut sim = publishing();
    outside(&mut sim, true);
    outside(&mut sim, false);
    outside(&mut sim, false);
    assert_eq!(lifted(&sim), ["muted", "published", "lifted"], "once each");
    let last = sim.rpcs().pop();
    let unmuted = matches!(&last, Some(RpcCall::UpdateMuteStates { states, .. }) if !states[0].muted);
    assert!(last.is_none() || unmuted, "{last:?}");
}

#[test]
fn with_hold_the_microphone_stays_muted_until_the_application_agrees() {
    let mut sim = Sim::joined_with(Config { hold_unmute: true, ..config() });
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    sim.mark();
    outside(&mut sim, true);
    outside(&mut sim, false);
    assert_eq!(lifted(&sim), ["muted", "held"]);
    assert!(muted(&sim).1.iter().all(|m| *m), "the SFU knows that it is muted");
    sim.input(Input::Mute { track: 1, muted: false });
    sim.run(ms(50));
    assert_eq!((lifted(&sim), muted(&sim).1.last()), (vec!["muted", "held", "unmuted"], Some(&false)));
}

#[test]
fn a_mute_of_the_application_is_held_against_any_unmute() {
    let mut sim = publishing();
    sim.input(Input::Mute { track: 1, muted: true });
    sim.run(ms(50));
    sim.mark();
    outside(&mut sim, false);
    assert_eq!((lifted(&sim), muted(&sim).1), (vec!["held"], vec![true]));
    // Muted by both: the application's mute remains after the moderator lifts the other one.
    let mut sim = publishing();
    outside(&mut sim, true);
    sim.input(Input::Mute { track: 1, muted: true });
    outside(&mut sim, false);
    assert_eq!(lifted(&sim), ["muted", "unmuted", "held"]);
    assert!(sim.core.publisher.tracks.all[0].muted);
}

//! What others decide about a track of mine: a moderator's mute, the call's audio settings.

use super::sim::*;
use crate::core::{model::*, *};

fn publishing() -> Sim {
    let mut sim = Sim::joined();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    assert!(sim.events().contains(&Event::LocalPublished { track: 1 }));
    sim.mark();
    sim
}

fn unpublished(sim: &Sim, session_id: &str, kind: TrackKind, cause: UnpublishCause) -> SfuMessage {
    let user_id = sim.core.config.user_id.clone();
    SfuMessage::TrackUnpublished { user_id, session_id: session_id.to_owned(), kind, cause, participant: None }
}

fn moderate(sim: &mut Sim) {
    let own = sim.core.session_id.clone();
    let message = unpublished(sim, &own, TrackKind::Audio, UnpublishCause::Moderation);
    sim.message(message);
    sim.run(ms(50));
}

/// What the track was told, and what the SFU was.
fn muted(sim: &Sim) -> (Vec<bool>, Vec<bool>) {
    let order = |o: &Output| if let Output::Moderated { track: 1, muted } = o { Some(*muted) } else { None };
    let told = |call: RpcCall| if let RpcCall::UpdateMuteStates { states, .. } = call { Some(states) } else { None };
    let told = sim.rpcs().into_iter().filter_map(told).flatten().map(|state| state.muted).collect();
    (sim.since().iter().filter_map(order).collect(), told)
}

fn own_unpublished(sim: &Sim) -> usize {
    let own = &sim.core.session_id;
    let is_own = |e: &&Event| {
        matches!(e, Event::TrackUnpublished { session_id, track, cause: UnpublishCause::Moderation, .. }
            if session_id == own && track.kind == TrackKind::Audio)
    };
    sim.events().iter().filter(is_own).count()
}

#[test]
fn a_moderators_mute_stops_the_own_track_once() {
    let mut sim = publishing();
    moderate(&mut sim);
    moderate(&mut sim);
    assert_eq!(muted(&sim), (vec![true], vec![true]));
    assert_eq!((own_unpublished(&sim), sim.errors()), (1, 0));
    sim.mark();
    sim.input(Input::Mute { track: 1, muted: true });
    sim.run(ms(50));
    assert_eq!(muted(&sim), (vec![], vec![]), "it is muted already");
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
    let own = sim.core.session_id.clone();
    for (session_id, kind, cause) in [
        (own.as_str(), TrackKind::Audio, UnpublishCause::UserMuted),
        (&own, TrackKind::Audio, UnpublishCause::PermissionRevoked),
        (&own, TrackKind::Audio, UnpublishCause::Unspecified),
        (&own, TrackKind::Video, UnpublishCause::Moderation),
        ("somebody-else", TrackKind::Audio, UnpublishCause::Moderation),
    ] {
        let message = unpublished(&sim, session_id, kind, cause);
        sim.message(message);
    }
    sim.run(ms(50));
    assert_eq!((muted(&sim), own_unpublished(&sim)), ((vec![], vec![]), 0));
}

#[test]
fn what_is_muted_already_is_not_muted_by_a_moderator() {
    let mut sim = publishing();
    sim.input(Input::Mute { track: 1, muted: true });
    sim.run(ms(50));
    sim.mark();
    moderate(&mut sim);
    assert_eq!((muted(&sim), own_unpublished(&sim)), ((vec![], vec![]), 0));
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

#[test]
fn the_calls_settings_decide_about_dtx_unless_the_application_has() {
    for (allowed, wanted) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut sim = Sim::joined();
        sim.core.admission.as_mut().unwrap().opus_dtx = allowed;
        sim.input(Input::Publish { track: 1, offer: AudioOffer { dtx: wanted, ..audio() } });
        sim.run(ms(50));
        let added = sim.since().iter().find_map(|o| match o {
            Output::Engine { action: Action::AddAudio { offer, .. }, .. } => Some(offer.dtx),
            _ => None,
        });
        let offers = |call: RpcCall| if let RpcCall::SetPublisher { tracks, .. } = call { Some(tracks) } else { None };
        let told = sim.rpcs().into_iter().find_map(offers).map(|tracks| tracks[0].dtx);
        assert_eq!((added, told), (Some(allowed && wanted), Some(allowed && wanted)), "{allowed} {wanted}");
    }
}

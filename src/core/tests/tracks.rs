//! Several local tracks at a time: order, m-lines, refusal of one of them, mutes, grants, and the snapshot.

use super::reconnect::{back, PUB, SUB};
use super::sim::*;
use crate::core::rng::Rng;
use crate::core::{model::*, *};
use crate::error::Code;

/// Tracks have names and end in the offer; in the other protocol they have no names.
const NAMED: Dialect = Dialect { tracks_end_in_sdp: true, tracks_have_names: true, ..DIALECT };

const BOTH: [Dialect; 2] = [DIALECT, NAMED];

fn screen() -> AudioOffer {
    AudioOffer { source: TrackKind::ScreenShareAudio, ..audio() }
}

fn publish(sim: &mut Sim, track: TrackId) {
    sim.input(Input::Publish { track, offer: audio() });
}

/// A call with `tracks` published tracks, numbered from 1.
fn sending(dialect: Dialect, tracks: u64) -> Sim {
    let mut sim = Sim::new(Config { dialect, ..config() });
    sim.joined.participants = vec![person("ann")];
    sim.input(Input::Start);
    sim.run(ms(50));
    (1..=tracks).for_each(|track| publish(&mut sim, track));
    sim.run(ms(200));
    assert_eq!(published(&sim), (1..=tracks).collect::<Vec<_>>());
    sim.mark();
    sim
}

fn published(sim: &Sim) -> Vec<TrackId> {
    let track = |e| if let Event::LocalPublished { track } = e { Some(track) } else { None };
    sim.events().into_iter().filter_map(track).collect()
}

fn failures(sim: &Sim) -> Vec<(TrackId, Code)> {
    let failure = |e| if let Event::LocalFailed { track, error } = e { Some((track, error.code)) } else { None };
    sim.events().into_iter().filter_map(failure).collect()
}

/// The tracks of each SetPublisher.
fn offered(sim: &Sim) -> Vec<Vec<TrackInfo>> {
    let tracks = |c| if let RpcCall::SetPublisher { tracks, .. } = c { Some(tracks) } else { None };
    sim.rpcs().into_iter().filter_map(tracks).collect()
}

/// The name under which a track was last offered.
fn name_of(sim: &Sim, track: TrackId) -> String {
    let all = sim.core.publisher.tracks.all.iter().find(|t| t.id == track);
    all.expect("published").name.clone()
}

/// The kinds and mute states in each mute request.
fn sent_mutes(sim: &Sim) -> Vec<Vec<(TrackKind, bool)>> {
    let states = |c| if let RpcCall::UpdateMuteStates { states, .. } = c { Some(states) } else { None };
    let states = sim.rpcs().into_iter().filter_map(states);
    states.map(|all| all.into_iter().map(|s| (s.kind, s.muted)).collect()).collect()
}

fn alive(sim: &Sim) -> Vec<TrackId> {
    sim.core.publisher.tracks.ids()
}

#[test]
fn sixteen_tracks_are_published_together_each_on_an_m_line_of_its_own() {
    for dialect in BOTH {
        let mut sim = sending(dialect, 16);
        assert_eq!(sim.lines.len(), 16);
        // Adding one and removing one does not affect the others.
        publish(&mut sim, 17);
        sim.input(Input::Unpublish { track: 3 });
        sim.input(Input::Unpublish { track: 3 });
        sim.run(ms(200));
        let last = offered(&sim).pop().expect("offered");
        let mut mids: Vec<_> = last.iter().map(|t| t.mid.clone()).collect();
        let names: Vec<_> = last.iter().map(|t| t.track_id.clone()).collect();
        let order: Vec<_> = (1..=17).filter(|t| *t != 3).map(|track| name_of(&sim, track)).collect();
        assert_eq!(names, order, "in the order in which they were published");
        mids.sort();
        mids.dedup();
        assert_eq!((mids.len(), published(&sim), failures(&sim)), (16, vec![17], vec![]));
    }
}

#[test]
fn the_same_track_is_published_once_and_more_than_may_be_are_refused() {
    let mut sim = sending(NAMED, 1);
    publish(&mut sim, 1);
    sim.run(ms(50));
    assert_eq!((offered(&sim).len(), failures(&sim)), (0, vec![]));
    let most = limits::TRACKS as u64;
    (2..=most + 3).for_each(|track| publish(&mut sim, track));
    sim.run(ms(200));
    assert_eq!(failures(&sim), [(most + 1, Code::Limit), (most + 2, Code::Limit), (most + 3, Code::Limit)]);
    assert_eq!(alive(&sim), (1..=most).collect::<Vec<_>>());
    // A freed slot can be used again.
    sim.input(Input::Unpublish { track: 5 });
    publish(&mut sim, most + 4);
    sim.run(ms(200));
    assert_eq!((failures(&sim).len(), published(&sim).last()), (3, Some(&(most + 4))));
}

#[test]
fn thousands_of_publications_use_few_m_lines() {
    for (dialect, seed) in BOTH.into_iter().flat_map(|dialect| (1..4).map(move |seed| (dialect, seed))) {
        let mut sim = Sim::untraced(Config { dialect, ..config() });
        sim.input(Input::Start);
        sim.run(ms(50));
        let mut rng = Rng::new(seed);
        let mut live: Vec<TrackId> = Vec::new();
        let most = [1, 2, 16][seed as usize - 1];
        for track in 1..=3_000 {
            while live.len() >= most || !live.is_empty() && rng.between(0, 2) == 0 {
                let gone = live.remove(rng.between(0, live.len() as u64 - 1) as usize);
                sim.input(Input::Unpublish { track: gone });
            }
            publish(&mut sim, track);
            live.push(track);
            if rng.between(0, 1) == 0 {
                sim.run(ms(rng.between(0, 30)));
            }
            sim.log.clear();
            sim.mark();
        }
        sim.run(ms(500));
        assert!(sim.lines.len() <= 2 * most, "{} m-lines, {most} tracks at a time", sim.lines.len());
        assert_eq!(alive(&sim), live);
        let all = sim.core.publisher.tracks.all.iter();
        assert!(all.clone().all(|t| t.announced) && sim.core.publisher.is_settled(&sim.core.cx));
        assert_eq!(sim.core.counters().error_events, 0);
    }
}

#[test]
fn all_of_them_come_back_in_order_after_every_kind_of_reconnect() {
    for dialect in BOTH {
        let mut sim = sending(dialect, 16);
        sim.input(Input::Unpublish { track: 2 });
        sim.input(Input::Mute { track: 9, muted: true });
        sim.input(Input::Publish { track: 17, offer: screen() });
        sim.run(ms(200));
        let order: Vec<_> = alive(&sim).into_iter().map(|track| name_of(&sim, track)).collect();
        type Cause = fn(&mut Sim);
        let ways: [(Strategy, Cause); 3] = [
            (Strategy::Fast, |sim| sim.lose_socket()),
            (Strategy::Rejoin, |sim| sim.peer(PUB, PeerChange::Failed)),
            (Strategy::Migrate, |sim| sim.message(SfuMessage::GoAway { reason: 1 })),
        ];
        for (strategy, lose) in ways {
            sim.mark();
            let before = sim.core.generation();
            lose(&mut sim);
            // During the reconnect a mute changes.
            sim.input(Input::Mute { track: 4, muted: strategy != Strategy::Rejoin });
            sim.run(ms(500));
            if strategy == Strategy::Migrate {
                sim.input(Input::Message { generation: before, message: SfuMessage::MigrationComplete });
            }
            sim.run(ms(8_000));
            assert_eq!(back(&sim), [strategy]);
            let last = offered(&sim).pop().expect("offered again");
            assert_eq!(last.iter().map(|t| t.track_id.clone()).collect::<Vec<_>>(), order, "{strategy:?}");
            let muted: Vec<_> = last.iter().filter(|t| t.muted).map(|t| t.track_id.clone()).collect();
            let meant = if strategy == Strategy::Rejoin { vec![9] } else { vec![4, 9] };
            assert_eq!(muted, meant.into_iter().map(|t| name_of(&sim, t)).collect::<Vec<_>>(), "{strategy:?}");
            assert_eq!((failures(&sim), published(&sim)), (vec![], vec![]), "the application knows them");
            assert!(sim.core.publisher.is_settled(&sim.core.cx));
        }
    }
}

#[test]
fn the_one_that_the_sfu_names_is_refused_and_the_others_are_published() {
    let mut sim = sending(NAMED, 2);
    for track in 3..=6 {
        publish(&mut sim, track);
    }
    let bad = [name_of(&sim, 4), name_of(&sim, 6)];
    sim.on(move |o| match o {
        Output::Rpc { call: RpcCall::SetPublisher { tracks, .. }, .. } => {
            match bad.iter().find(|bad| tracks.iter().any(|t| t.track_id == **bad)) {
                Some(bad) => rpc_failed(o, Failure { track_id: bad.clone(), ..sfu(403, "not you") }),
                None => Reply::Good,
            }
        }
        _ => Reply::Good,
    });
    sim.run(ms(30_000));
    assert_eq!(failures(&sim), [(4, Code::Refused), (6, Code::Refused)]);
    // The offer with track 3 began before the rule was set.
    assert_eq!(published(&sim), [3, 5]);
    assert_eq!((alive(&sim), sim.core.state()), (vec![1, 2, 3, 5], State::Joined));
    assert!(sim.core.publisher.is_settled(&sim.core.cx));
}

#[test]
fn of_several_that_are_refused_together_those_are_published_that_the_sfu_takes_alone() {
    for dialect in BOTH {
        let mut sim = sending(dialect, 1);
        sim.on(|o| if is_action(o, "Offer") { Reply::Hold } else { Reply::Good });
        (2..=9).for_each(|track| publish(&mut sim, track));
        let bad = [name_of(&sim, 3), name_of(&sim, 8)];
        sim.on(move |o| match o {
            Output::Rpc { call: RpcCall::SetPublisher { tracks, .. }, .. }
                if tracks.iter().any(|t| bad.contains(&t.track_id)) =>
            {
                rpc_failed(o, sfu(400, "no"))
            }
            _ => Reply::Good,
        });
        sim.release();
        sim.run(ms(60_000));
        assert_eq!(failures(&sim), [(3, Code::Refused), (8, Code::Refused)]);
        assert_eq!(published(&sim), [2, 4, 5, 6, 7, 9]);
        assert_eq!(alive(&sim), [1, 2, 4, 5, 6, 7, 9]);
        assert!(sim.core.publisher.is_settled(&sim.core.cx));
        // Later tracks are offered together again.
        sim.mark();
        publish(&mut sim, 20);
        publish(&mut sim, 21);
        sim.run(ms(500));
        assert_eq!(published(&sim), [20, 21]);
    }
}

#[test]
fn freeing_the_one_whose_turn_it_is_costs_no_other_its_turn() {
    let mut sim = sending(DIALECT, 1);
    let mut refusals = 3;
    sim.on(move |o| match is_rpc(o, "SetPublisher") && refusals > 0 {
        true => {
            refusals -= 1;
            rpc_failed(o, sfu(400, "no"))
        }
        false if is_rpc(o, "SetPublisher") => Reply::Hold,
        false => Reply::Good,
    });
    (2..=5).for_each(|track| publish(&mut sim, track));
    while sim.held.is_empty() && sim.now < ms(60_000) {
        sim.run(ms(10));
    }
    // Track 2 is offered alone.
    sim.input(Input::Unpublish { track: 2 });
    for order in std::mem::take(&mut sim.held) {
        let Output::Rpc { generation, id, .. } = order else { panic!("a request") };
        sim.good();
        sim.input(Input::Rpc { generation, id, result: Err(sfu(400, "no")) });
    }
    sim.run(ms(60_000));
    assert_eq!((failures(&sim), published(&sim)), (vec![], vec![3, 4, 5]));
}

#[test]
fn a_new_track_that_is_refused_keeps_none_from_coming_back() {
    let mut sim = sending(DIALECT, 3);
    publish(&mut sim, 4);
    let bad = name_of(&sim, 4);
    sim.on(move |o| match o {
        Output::Rpc { call: RpcCall::SetPublisher { tracks, .. }, .. } if tracks.iter().any(|t| t.track_id == bad) => {
            rpc_failed(o, sfu(400, "no"))
        }
        _ => Reply::Good,
    });
    sim.run(ms(1));
    sim.peer(PUB, PeerChange::Failed);
    sim.run(ms(60_000));
    assert_eq!((sim.core.state(), back(&sim)), (State::Joined, vec![Strategy::Rejoin]));
    assert_eq!(alive(&sim)[..3], [1, 2, 3]);
    assert!(failures(&sim).iter().all(|(track, _)| *track == 4), "{:?}", failures(&sim));
}

#[test]
fn a_kind_is_muted_when_all_its_tracks_are() {
    let mut sim = sending(DIALECT, 3);
    sim.input(Input::Publish { track: 4, offer: screen() });
    sim.run(ms(200));
    sim.mark();
    let (voice, screen) = (TrackKind::Audio, TrackKind::ScreenShareAudio);
    let mute = |sim: &mut Sim, track, muted| {
        sim.input(Input::Mute { track, muted });
        sim.run(ms(50));
    };
    mute(&mut sim, 1, true);
    mute(&mut sim, 3, true);
    assert_eq!(sent_mutes(&sim), [[]; 0], "another track of the kind is unmuted");
    mute(&mut sim, 2, true);
    mute(&mut sim, 4, true);
    assert_eq!(sent_mutes(&sim), [[(voice, true)], [(screen, true)]]);
    mute(&mut sim, 3, false);
    mute(&mut sim, 1, false);
    assert_eq!(sent_mutes(&sim)[2..], [[(voice, false)]]);
    // The last unmuted track is unpublished: the offer reports it to the SFU, and the remaining tracks are muted.
    mute(&mut sim, 3, true);
    sim.mark();
    sim.input(Input::Unpublish { track: 1 });
    sim.run(ms(200));
    let last = offered(&sim).pop().expect("offered");
    assert!(last.len() == 3 && last.iter().all(|track| track.muted), "{last:?}");
    assert_eq!(sent_mutes(&sim), [[]; 0], "the offer carries the mute state");
    mute(&mut sim, 2, false);
    assert_eq!(sent_mutes(&sim), [[(voice, false)]]);
    // Where tracks have names, each mute is sent separately.
    let mut sim = sending(NAMED, 3);
    mute(&mut sim, 2, true);
    mute(&mut sim, 3, true);
    mute(&mut sim, 2, false);
    assert_eq!(sent_mutes(&sim), [[(voice, true)], [(voice, true)], [(voice, false)]]);
}

#[test]
fn closing_the_publisher_mutes_every_kind_with_its_last_request() {
    for (dialect, states) in [(DIALECT, 2), (NAMED, 4)] {
        let mut sim = sending(dialect, 3);
        sim.input(Input::Publish { track: 4, offer: screen() });
        sim.run(ms(200));
        (1..=3).for_each(|track| sim.input(Input::Mute { track, muted: true }));
        sim.run(ms(50));
        sim.on(|o| if is_rpc(o, "UpdateMuteStates") { Reply::Hold } else { Reply::Good });
        (1..=3).for_each(|track| sim.input(Input::Mute { track, muted: false }));
        sim.input(Input::ClosePeer(PUB));
        sim.good();
        sim.release();
        let last = sent_mutes(&sim).pop().expect("the last mute request");
        assert!(last.len() == states && last.iter().all(|(_, muted)| *muted), "{last:?}");
    }
}

#[test]
fn rights_and_moderation_are_of_one_source() {
    let mut sim = sending(DIALECT, 2);
    sim.input(Input::Publish { track: 3, offer: screen() });
    sim.run(ms(200));
    assert_eq!(offered(&sim).pop().expect("offered")[2].kind, TrackKind::ScreenShareAudio);
    let session_id = sim.core.cx.session_id.clone();
    let moderated = |kind| SfuMessage::TrackUnpublished {
        session_id: session_id.clone(),
        user_id: "me".into(),
        kind,
        cause: UnpublishCause::Moderation,
        participant: None,
    };
    sim.message(moderated(TrackKind::ScreenShareAudio));
    let muted = |sim: &Sim| -> Vec<TrackId> {
        sim.core.publisher.tracks.all.iter().filter(|t| t.moderated).map(|t| t.id).collect()
    };
    assert_eq!(muted(&sim), [3]);
    sim.message(moderated(TrackKind::Audio));
    assert_eq!(muted(&sim), [1, 2, 3]);
    let grants = |audio, screen_share| SfuMessage::Grants(Grants { audio, screen_share, ..Grants::ALL });
    sim.message(grants(true, false));
    assert_eq!((failures(&sim), alive(&sim)), (vec![(3, Code::Refused)], vec![1, 2]));
    sim.input(Input::Publish { track: 4, offer: screen() });
    publish(&mut sim, 5);
    sim.message(grants(false, true));
    let refused = [3, 4, 1, 2, 5].map(|track| (track, Code::Refused));
    assert_eq!((failures(&sim), alive(&sim)), (refused.to_vec(), vec![]));
}

#[test]
fn each_source_has_the_servers_publish_option_of_its_own() {
    let mut sim = Sim::new(config());
    let option = |id, kind| PublishOption {
        id,
        kind,
        codec: CodecSpec { name: "opus".into(), payload_type: id as u32, ..CodecSpec::default() },
        bitrate: 0,
        fps: 0,
        max_spatial_layers: 0,
        max_temporal_layers: 0,
        width: 0,
        height: 0,
        use_single_layer: false,
        audio_bitrates: Vec::new(),
    };
    sim.joined.publish_options = vec![option(7, TrackKind::ScreenShareAudio), option(8, TrackKind::Audio)];
    sim.input(Input::Start);
    publish(&mut sim, 1);
    sim.input(Input::Publish { track: 2, offer: screen() });
    sim.run(ms(100));
    let last = offered(&sim).pop().expect("offered");
    let options: Vec<_> = last.iter().map(|t| (t.kind, t.publish_option_id, t.codec.payload_type)).collect();
    assert_eq!(options, [(TrackKind::Audio, 8, 8), (TrackKind::ScreenShareAudio, 7, 7)]);
}

// The snapshot.

fn present(sim: &Sim) -> Vec<Present> {
    sim.core.look().present()
}

#[test]
fn the_snapshot_matches_the_events() {
    let mut sim = Sim::new(Config { dialect: NAMED, ..config() });
    // Before the join only the local participant is listed.
    let before = present(&sim);
    assert_eq!((before.len(), before[0].participant.session_id.as_str(), before[0].participant.local), (1, "", true));
    let track = |id: &str, muted| RemoteTrack { id: id.into(), muted, ..TrackKind::Audio.into() };
    let published = vec![track("A", false), track("B", true), RemoteTrack { encrypted: true, ..track("C", false) }];
    sim.joined.participants = vec![Participant { published, ..person("ann") }, person("bob")];
    sim.joined.grants = Some(Grants { video: false, ..Grants::ALL });
    sim.input(Input::Start);
    sim.run(ms(50));
    sim.offer();
    publish(&mut sim, 1);
    sim.input(Input::Publish { track: 2, offer: AudioOffer { muted: true, ..screen() } });
    sim.run(ms(200));
    sim.message(SfuMessage::LocalNamed { track_id: name_of(&sim, 2), sfu_name: "TR_2".into() });
    let generation = sim.core.cx.transport.expect("in use");
    for (id, name) in [(1, "A"), (2, "B"), (3, "C")] {
        let owner =
            MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: name.into(), stream: String::new() };
        sim.input(Input::RemoteTrack { generation, id, owner: Some(owner), mid: String::new(), again: false });
    }
    let all = present(&sim);
    let who: Vec<_> = all.iter().map(|p| (p.participant.user_id.as_str(), p.participant.local)).collect();
    assert_eq!(who, [("me", true), ("ann", false), ("bob", false)]);
    assert_eq!(all[0].participant.grants, Some(Grants { video: false, ..Grants::ALL }));
    let local: Vec<_> = all[0].tracks.iter().map(|t| (t.id.as_str(), t.kind, t.muted, t.local)).collect();
    let of = |track| Some(PresentLocal { track, published: true, moderated: false });
    let expected = [("", TrackKind::Audio, false, of(1)), ("TR_2", TrackKind::ScreenShareAudio, true, of(2))];
    assert_eq!(local, expected);
    let remote: Vec<_> = all[1].tracks.iter().map(|t| (t.id.as_str(), t.muted, t.received, t.unplayable)).collect();
    let encrypted = Some(Unplayable::Encrypted);
    assert_eq!(remote, [("A", false, true, None), ("B", true, false, None), ("C", false, false, encrypted)]);
    assert!(all[2].tracks.is_empty());
    // A track that cannot be decoded, one that is not subscribed, one that ended, and a participant that left.
    sim.input(Input::RemoteUnplayable { id: 1, why: Unplayable::Codec });
    let first = |sim: &Sim| present(sim)[1].tracks[0].clone();
    assert_eq!((first(&sim).received, first(&sim).unplayable), (false, Some(Unplayable::Codec)));
    sim.input(Input::Subscribe {
        track_id: "A".into(),
        settings: SubscriptionSettings { subscribed: false, ..SubscriptionSettings::default() },
    });
    assert_eq!((first(&sim).received, first(&sim).unplayable), (false, None));
    let left = |who: &str| SfuMessage::ParticipantLeft {
        session_id: format!("{who}-session"),
        user_id: who.into(),
        reason: LeaveReason::UNKNOWN,
    };
    sim.message(left("ann"));
    sim.input(Input::Unpublish { track: 1 });
    let all = present(&sim);
    assert_eq!((all.len(), all[0].tracks.len(), all[1].participant.user_id.as_str()), (2, 1, "bob"));
    // During a reconnect every participant is still listed, and no local track is published.
    sim.peer(PUB, PeerChange::Failed);
    let all = present(&sim);
    assert_eq!((all.len(), all[0].tracks[0].local.map(|l| l.published)), (2, Some(false)));
    assert_eq!(all[0].tracks[0].id, "", "another session assigns a new name");
    sim.leave();
    sim.run(ms(3_000));
    assert!(sim.core.is_over() && present(&sim).is_empty());
}

/// The state that an application derives from events: session ids, each with its published tracks.
#[derive(Default)]
struct EventView(std::collections::BTreeMap<String, Vec<(String, TrackKind)>>);

impl EventView {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::ParticipantJoined(p) => drop(self.0.entry(p.session_id.clone()).or_default()),
            Event::ParticipantLeft(p) => drop(self.0.remove(&p.session_id)),
            Event::TrackPublished { session_id, track, .. } if !track.local => {
                let tracks = self.0.entry(session_id.clone()).or_default();
                // A track that is muted from the beginning is present but not audible.
                tracks.extend((!track.muted).then(|| (track.id.clone(), track.kind)));
            }
            Event::TrackUnpublished { session_id, track, .. } if !track.local => {
                let tracks = self.0.entry(session_id.clone()).or_default();
                tracks.retain(|known| *known != (track.id.clone(), track.kind));
            }
            _ => {}
        }
    }
}

#[test]
fn the_snapshot_matches_the_events_at_any_time() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut sim = Sim::untraced(Config { dialect: NAMED, ..config() });
        sim.joined.participants = vec![person("ann")];
        sim.input(Input::Start);
        sim.run(ms(50));
        let (mut view, mut read) = (EventView::default(), 0);
        for _ in 0..100 {
            let name = ["ann", "bob", "cyd"][rng.between(0, 2) as usize];
            let tracks = (0..rng.between(0, 3)).map(|n| RemoteTrack {
                id: format!("{name}-{n}"),
                muted: rng.between(0, 2) == 0,
                ..TrackKind::Audio.into()
            });
            let whole = Participant { published: tracks.collect(), ..person(name) };
            match rng.between(0, 9) {
                0 => sim.message(SfuMessage::ParticipantLeft {
                    session_id: whole.session_id,
                    user_id: name.into(),
                    reason: LeaveReason::UNKNOWN,
                }),
                1 if rng.between(0, 3) == 0 => sim.lose_socket(),
                2 if rng.between(0, 5) == 0 && sim.core.cx.transport.is_some() => sim.peer(PUB, PeerChange::Failed),
                3..=5 => sim.run(ms(rng.between(0, 300))),
                6 => sim.message(SfuMessage::Present(vec![sim.core.cx.session_id.clone(), "bob-session".into()])),
                _ => sim.message(SfuMessage::ParticipantState(Box::new(whole))),
            }
            for output in &sim.log[read..] {
                if let Some(event_seen) = event(output) {
                    view.apply(event_seen);
                }
            }
            read = sim.log.len();
            let published_tracks = |p: &Present| {
                let tracks = p.tracks.iter().filter(|t| !t.muted);
                let mut tracks: Vec<_> = tracks.map(|t| (t.id.clone(), t.kind)).collect();
                tracks.sort();
                (p.participant.session_id.clone(), tracks)
            };
            let seen: Vec<_> = present(&sim).iter().filter(|p| !p.participant.local).map(published_tracks).collect();
            let mut known: Vec<_> = view.0.clone().into_iter().collect();
            known.iter_mut().for_each(|(_, tracks)| {
                tracks.sort();
                tracks.dedup();
            });
            let muted_first = |(id, tracks): &(String, Vec<(String, TrackKind)>)| (id.clone(), tracks.clone());
            assert_eq!(seen, known.iter().map(muted_first).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

// Several streams of one participant, where tracks have no names.

fn stream(n: u32) -> Option<MediaOwner> {
    let kind = Some(TrackKind::Audio);
    Some(MediaOwner { prefix: "ann-prefix".into(), kind, track_id: String::new(), stream: n.to_string() })
}

fn came(sim: &mut Sim, generation: u32, id: RemoteId, n: u32, mid: &str) {
    let generation = Generation(generation);
    sim.input(Input::RemoteTrack { generation, id, owner: stream(n), mid: mid.into(), again: false });
}

fn playing(sim: &Sim) -> Vec<RemoteId> {
    let mut playing = Vec::new();
    for output in &sim.log {
        match output {
            Output::Bind { id, .. } => playing.push(*id),
            Output::Unbind { id } => playing.retain(|known| known != id),
            _ => {}
        }
    }
    playing
}

#[test]
fn sixteen_tracks_of_one_participant_are_played_together() {
    let mut sim = Sim::new(config());
    sim.joined.participants = vec![Participant { published: vec![TrackKind::Audio.into()], ..person("ann") }];
    sim.input(Input::Start);
    sim.run(ms(50));
    for n in 0..16 {
        came(&mut sim, 1, u64::from(n) + 1, n, &n.to_string());
    }
    assert_eq!(playing(&sim), (1..=16).collect::<Vec<_>>());
    // The same stream again, and another one on a reused m-line.
    came(&mut sim, 1, 17, 3, "20");
    came(&mut sim, 1, 18, 30, "7");
    assert_eq!(playing(&sim).len(), 16);
    assert!(!playing(&sim).contains(&4) && !playing(&sim).contains(&8), "{:?}", playing(&sim));
    let tracks = &present(&sim)[1].tracks;
    assert!(tracks.len() == 1 && tracks[0].received);
    // Over another connection the streams have other names: none is played twice.
    sim.message(SfuMessage::GoAway { reason: 1 });
    sim.run(ms(200));
    for n in 0..16 {
        came(&mut sim, 2, 100 + u64::from(n), 50 + n, &n.to_string());
    }
    assert_eq!(playing(&sim), (100..116).collect::<Vec<_>>());
    // Streams that the old connection still delivers are too late.
    came(&mut sim, 1, 200, 99, "33");
    assert_eq!(playing(&sim), (100..116).collect::<Vec<_>>());
    // A mute applies to all of them.
    let (session_id, user_id) = ("ann-session".into(), "ann".into());
    let cause = UnpublishCause::UserMuted;
    let kind = TrackKind::Audio;
    sim.message(SfuMessage::TrackUnpublished { session_id, user_id, kind, cause, participant: None });
    assert_eq!(playing(&sim), [0; 0]);
}

#[test]
fn screen_audio_is_requested_where_tracks_have_no_names() {
    let screen = |cause: Option<UnpublishCause>, who: &str| {
        let (session_id, user_id, kind) = (format!("{who}-session"), who.to_owned(), TrackKind::ScreenShareAudio);
        match cause {
            None => SfuMessage::TrackPublished { session_id, user_id, kind, participant: None },
            Some(cause) => SfuMessage::TrackUnpublished { session_id, user_id, kind, cause, participant: None },
        }
    };
    let requested = |sim: &Sim| -> Vec<Vec<String>> {
        let all =
            |c| if let RpcCall::UpdateSubscriptions { subscriptions, .. } = c { Some(subscriptions) } else { None };
        let all = sim.rpcs().into_iter().filter_map(all);
        all.map(|all| all.into_iter().map(|s| s.user_id).collect()).collect()
    };
    let mut sim = Sim::new(config());
    sim.joined.participants = vec![person("ann"), person("bob")];
    sim.input(Input::Start);
    sim.run(ms(50));
    sim.mark();
    for who in ["ann", "ann", "bob"] {
        sim.message(screen(None, who));
        sim.run(ms(10));
    }
    assert_eq!(requested(&sim), [vec!["ann"], vec!["ann", "bob"]]);
    sim.message(screen(Some(UnpublishCause::UserMuted), "ann"));
    sim.run(ms(10));
    assert_eq!(requested(&sim).last(), Some(&vec!["bob".to_owned()]));
    // Requested again on a new socket.
    sim.mark();
    let bob = Participant { published: vec![TrackKind::ScreenShareAudio.into()], ..person("bob") };
    sim.joined.participants = vec![person("ann"), bob];
    sim.lose_socket();
    sim.run(ms(3_000));
    assert_eq!(requested(&sim), [["bob"]]);
    sim.input(Input::ClosePeer(SUB));
    sim.mark();
    sim.message(screen(None, "ann"));
    sim.run(ms(100));
    assert_eq!(requested(&sim).len(), 0, "nothing is received any more");
}

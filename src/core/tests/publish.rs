//! The publisher: one negotiation at a time, order, failures, mute, grants, close.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::{Code, Error};

const PUB: PeerKind = PeerKind::Publisher;

fn publish(sim: &mut Sim, track: TrackId) {
    sim.input(Input::Publish { track, offer: audio() });
}

fn mute(sim: &mut Sim, track: TrackId, muted: bool) {
    sim.input(Input::Mute { track, muted });
}

/// A call in which track 1 is published and nothing is in progress.
fn publishing() -> Sim {
    let mut sim = Sim::joined();
    publish(&mut sim, 1);
    sim.run(ms(50));
    assert!(sim.events().contains(&Event::LocalPublished { track: 1 }));
    sim.mark();
    sim
}

/// The `muted` value of each mute request.
fn sent_mutes(sim: &Sim) -> Vec<bool> {
    sim.rpcs()
        .into_iter()
        .filter_map(|c| if let RpcCall::UpdateMuteStates { states, .. } = c { Some(states) } else { None })
        .flatten()
        .map(|state| {
            assert_eq!(state.kind, TrackKind::Audio);
            state.muted
        })
        .collect()
}

/// The tracks of each SetPublisher: (mid, muted).
fn offered(sim: &Sim) -> Vec<Vec<(String, bool)>> {
    sim.rpcs()
        .into_iter()
        .filter_map(|c| if let RpcCall::SetPublisher { tracks, .. } = c { Some(tracks) } else { None })
        .map(|tracks| tracks.into_iter().map(|t| (t.mid, t.muted)).collect())
        .collect()
}

fn failures(sim: &Sim) -> Vec<(TrackId, Error)> {
    let failure = |e| if let Event::LocalFailed { track, error } = e { Some((track, error)) } else { None };
    sim.events().into_iter().filter_map(failure).collect()
}

fn sending_changes(sim: &Sim) -> Vec<(TrackId, bool)> {
    let sending = |o: &Output| if let Output::Sending { track, on } = o { Some((*track, *on)) } else { None };
    sim.since().iter().filter_map(sending).collect()
}

#[test]
fn the_steps_of_a_publication() {
    let mut sim = Sim::joined();
    publish(&mut sim, 1);
    sim.run(ms(50));
    assert_eq!(sim.actions(PUB), ["Create", "Offer", "SetAnswer"]);
    assert_eq!(sim.rpc_names(), ["SetPublisher", "UpdateMuteStates"]);
    assert_eq!(offered(&sim), [[("0".to_owned(), false)]]);
    assert_eq!((sent_mutes(&sim), sending_changes(&sim)), (vec![false], vec![(1, true)]));
    let sending_at = sim.since().iter().position(|o| matches!(o, Output::Sending { .. }));
    let answer = sim.since().iter().position(|o| is_action(o, "SetAnswer"));
    assert!(answer < sending_at, "no packet before the answer is in force");
}

#[test]
fn the_servers_publish_option_is_used() {
    let mut sim = Sim::new(config());
    let codec = CodecSpec { name: "opus".into(), payload_type: 111, clock_rate: 48_000, ..CodecSpec::default() };
    sim.joined.publish_options = vec![PublishOption {
        id: 42,
        kind: TrackKind::Audio,
        codec: codec.clone(),
        bitrate: 0,
        fps: 0,
        max_spatial_layers: 0,
        max_temporal_layers: 0,
        width: 0,
        height: 0,
        use_single_layer: false,
        audio_bitrates: Vec::new(),
    }];
    sim.input(Input::Start);
    // Before the join the track waits.
    publish(&mut sim, 1);
    assert_eq!(sim.actions(PUB), [""; 0]);
    sim.run(ms(50));
    let infos =
        sim.rpcs().into_iter().find_map(
            |c| {
                if let RpcCall::SetPublisher { tracks, .. } = c {
                    Some(tracks)
                } else {
                    None
                }
            },
        );
    let infos = infos.expect("published");
    assert_eq!((infos[0].publish_option_id, &infos[0].codec, infos[0].dtx), (42, &codec, true));
}

#[test]
fn negotiations_never_overlap_and_changes_meanwhile_come_after() {
    for at in ["Create", "Offer", "SetPublisher", "SetAnswer"] {
        let mut sim = Sim::joined();
        sim.on(move |o| if is_action(o, at) || is_rpc(o, at) { Reply::Hold } else { Reply::Good });
        publish(&mut sim, 1);
        sim.run(ms(20));
        assert_eq!(sim.held.len(), 1, "{at}");
        let before = sim.since().len();
        // The track is replaced while it waits.
        sim.input(Input::Unpublish { track: 1 });
        publish(&mut sim, 2);
        mute(&mut sim, 2, true);
        let more =
            sim.since()[before..].iter().filter(|o| matches!(o, Output::Engine { .. } | Output::Rpc { .. })).count();
        assert_eq!(more, 0, "{at}: {:?}", &sim.since()[before..]);
        sim.good();
        sim.release();
        sim.run(ms(100));
        assert!(sim.events().contains(&Event::LocalPublished { track: 2 }), "{at}");
        assert!(!sim.events().contains(&Event::LocalPublished { track: 1 }), "{at}");
        let mid = if at == "Create" { "0" } else { "1" };
        assert_eq!(offered(&sim).last(), Some(&vec![(mid.to_owned(), true)]), "{at}");
        assert_eq!(sending_changes(&sim), [(1, false), (2, true)], "{at}");
        assert_eq!(sent_mutes(&sim), [true], "{at}");
        assert!(sim.core.publisher.is_settled(&sim.core.cx));
    }
}

#[test]
fn a_track_freed_before_it_was_added_is_never_offered() {
    let mut sim = Sim::joined();
    sim.on(|o| if is_action(o, "Create") { Reply::Hold } else { Reply::Good });
    publish(&mut sim, 1);
    sim.input(Input::Unpublish { track: 1 });
    sim.release();
    sim.run(ms(100));
    assert_eq!((sim.actions(PUB), sim.rpcs().len()), (vec!["Create"], 0));
    publish(&mut sim, 2);
    sim.run(ms(100));
    assert!(sim.events().contains(&Event::LocalPublished { track: 2 }));
}

#[test]
fn a_track_freed_while_it_is_offered_is_taken_out_again() {
    let dialect = Dialect { tracks_end_in_sdp: true, ..DIALECT };
    let mut sim = Sim::joined_with(Config { dialect, ..config() });
    sim.on(|o| if is_action(o, "Offer") { Reply::Hold } else { Reply::Good });
    publish(&mut sim, 1);
    sim.run(ms(10));
    sim.input(Input::Unpublish { track: 1 });
    sim.good();
    sim.release();
    sim.run(ms(100));
    let senders: Vec<_> = sim.wanted().into_iter().map(|wanted| wanted.senders.len()).collect();
    assert_eq!(senders, [1, 0]);
}

#[test]
fn unpublishing_sends_the_sfu_the_remaining_tracks() {
    let mut sim = publishing();
    sim.input(Input::Unpublish { track: 1 });
    sim.input(Input::Unpublish { track: 1 });
    sim.input(Input::Unpublish { track: 77 });
    sim.run(ms(50));
    assert_eq!((offered(&sim), sending_changes(&sim)), (vec![vec![]], vec![(1, false)]));
}

#[test]
fn a_failed_negotiation_is_rolled_back_and_tried_again() {
    for at in ["Create", "Offer", "SetPublisher", "SetAnswer"] {
        let mut sim = Sim::joined();
        let mut left = 2;
        sim.on(move |o| match o {
            _ if left == 0 || !(is_action(o, at) || is_rpc(o, at)) => Reply::Good,
            Output::Rpc { .. } => {
                left -= 1;
                rpc_failed(o, Failure::new(FailureKind::Timeout, "no answer"))
            }
            _ => {
                left -= 1;
                op_failed(o, failed(false))
            }
        });
        publish(&mut sim, 1);
        sim.run(ms(5_000));
        let reported: Vec<_> = sim.events().into_iter().filter(|e| !matches!(e, Event::Media { .. })).collect();
        assert_eq!(reported, [Event::LocalPublished { track: 1 }], "{at}");
        let offers = sim.wanted();
        assert_eq!(offers.len(), if at == "Create" { 1 } else { 3 }, "{at}");
        assert!(offers.iter().all(|wanted| *wanted == offers[0]), "{at}: the same sender each time");
        assert_eq!(offered(&sim).last(), Some(&vec![("0".to_owned(), false)]), "{at}: mids of the last offer");
    }
}

#[test]
fn three_failures_give_the_track_up_with_the_first_error() {
    let mut sim = Sim::joined();
    let mut n = 0;
    sim.on(move |o| match is_rpc(o, "SetPublisher") {
        true => {
            n += 1;
            rpc_failed(o, sfu(100 + n, "refused"))
        }
        false => Reply::Good,
    });
    publish(&mut sim, 1);
    sim.run(ms(10_000));
    let local_failures = failures(&sim);
    assert_eq!(local_failures.len(), 1);
    assert_eq!(
        (local_failures[0].0, local_failures[0].1.code, local_failures[0].1.server_code),
        (1, Code::Refused, 101)
    );
    assert_eq!(offered(&sim).len() as u32, limits::NEGOTIATION_TRIES);
    assert_eq!(sim.actions(PUB).last(), Some(&"Offer"), "the engine rolls it back at the next offer");
    assert_eq!(sim.core.state(), State::Joined);
    // A later track works.
    sim.good();
    publish(&mut sim, 2);
    sim.run(ms(100));
    assert!(sim.events().contains(&Event::LocalPublished { track: 2 }));
}

#[test]
fn what_comes_while_a_failed_offer_waits_for_its_next_try_is_not_forgotten() {
    for tries in [1, limits::NEGOTIATION_TRIES] {
        let mut sim = Sim::joined();
        let mut left = tries;
        sim.on(move |o| match o {
            _ if is_rpc(o, "SetPublisher") && left > 0 => {
                left -= 1;
                rpc_failed(o, sfu(500, "refused"))
            }
            _ => Reply::Good,
        });
        publish(&mut sim, 1);
        if tries == 1 {
            sim.run(ms(4));
            assert_eq!(sim.wanted().len(), 1);
            sim.input(Input::Unpublish { track: 1 });
            publish(&mut sim, 2);
        } else {
            while failures(&sim).is_empty() && sim.now < ms(60_000) {
                sim.run(ms(10));
            }
            publish(&mut sim, 2);
        }
        sim.run(ms(15_000));
        assert!(sim.events().contains(&Event::LocalPublished { track: 2 }), "after {tries} failures");
    }
}

#[test]
fn a_renegotiation_that_fails_permanently_is_reported_and_leaves_the_rest_as_it_was() {
    let mut sim = publishing();
    sim.on(|o| if is_rpc(o, "SetPublisher") { rpc_failed(o, sfu(500, "refused")) } else { Reply::Good });
    sim.input(Input::Unpublish { track: 1 });
    sim.run(ms(10_000));
    assert_eq!((failures(&sim).len(), sim.errors(), offered(&sim).len()), (0, 1, 3));
    assert_eq!(sim.core.state(), State::Joined);
}

#[test]
fn an_ice_restart_that_cannot_be_negotiated_is_a_reason_to_rejoin() {
    let mut sim = publishing();
    let mut refusals = 3;
    sim.on(move |o| {
        if refusals > 0 && is_rpc(o, "SetPublisher") {
            refusals -= 1;
            return rpc_failed(o, sfu(500, "refused"));
        }
        Reply::Good
    });
    sim.message(SfuMessage::IceRestart { peer: PUB });
    sim.run(ms(10_000));
    assert_eq!((sim.core.counters().reconnects_rejoin, sim.core.state()), (1, State::Joined));
    assert_eq!((failures(&sim).len(), sending_changes(&sim).len()), (0, 1), "the track is back without an event");
}

#[test]
fn an_ice_restart_survives_a_failed_negotiation() {
    let mut sim = publishing();
    let mut once = true;
    sim.on(move |o| match is_rpc(o, "SetPublisher") && std::mem::take(&mut once) {
        true => rpc_failed(o, sfu(500, "refused")),
        false => Reply::Good,
    });
    sim.message(SfuMessage::IceRestart { peer: PUB });
    sim.message(SfuMessage::IceRestart { peer: PeerKind::Subscriber });
    sim.run(ms(5_000));
    let restarts: Vec<_> = sim
        .since()
        .iter()
        .filter_map(|o| match o {
            Output::Engine { action: Action::Offer(wanted), .. } => Some(wanted.ice_restart),
            _ => None,
        })
        .collect();
    assert_eq!(restarts, [true, true]);
    assert_eq!(sim.actions(PeerKind::Subscriber), [""; 0], "the SFU offers by itself");
}

#[test]
fn a_reply_without_an_answer_is_a_failure() {
    let mut sim = Sim::joined();
    sim.on(|o| match o {
        Output::Rpc { generation, id, call: RpcCall::SetPublisher { .. } } => {
            let reply = RpcReply::Publisher { sdp: String::new(), ice_restart: false };
            Reply::With(Input::Rpc { generation: *generation, id: *id, result: Ok(reply) })
        }
        _ => Reply::Good,
    });
    publish(&mut sim, 1);
    sim.run(ms(10_000));
    assert_eq!(failures(&sim).into_iter().map(|(t, e)| (t, e.code)).collect::<Vec<_>>(), [(1, Code::Protocol)]);
}

#[test]
fn mute_is_one_request_at_a_time_and_the_last_intent_wins() {
    let mut sim = publishing();
    sim.on(|o| if is_rpc(o, "UpdateMuteStates") { Reply::Hold } else { Reply::Good });
    for muted in [true, false, true, false, true, false] {
        mute(&mut sim, 1, muted);
    }
    assert_eq!(sent_mutes(&sim), [true], "the others wait");
    sim.release();
    assert_eq!(sent_mutes(&sim), [true, false], "only the last of them");
    sim.release();
    assert_eq!(sent_mutes(&sim), [true, false]);
    mute(&mut sim, 1, false);
    mute(&mut sim, 99, true);
    assert_eq!(sent_mutes(&sim), [true, false], "nothing changed");
    assert_eq!(sim.actions(PUB), [""; 0], "no negotiation");
}

#[test]
fn a_mute_before_the_track_is_negotiated_is_part_of_it() {
    let mut sim = Sim::joined();
    publish(&mut sim, 1);
    mute(&mut sim, 1, true);
    assert_eq!(sent_mutes(&sim), [false; 0]);
    sim.run(ms(50));
    assert_eq!((offered(&sim), sent_mutes(&sim)), (vec![vec![("0".to_owned(), true)]], vec![true]));
}

#[test]
fn a_mute_that_cannot_be_sent_is_an_error_and_the_next_change_is_sent() {
    let mut sim = publishing();
    sim.on(|o| if is_rpc(o, "UpdateMuteStates") { rpc_failed(o, sfu(500, "no")) } else { Reply::Good });
    mute(&mut sim, 1, true);
    sim.run(ms(50));
    assert_eq!((sim.errors(), failures(&sim).len()), (1, 0));
    sim.good();
    mute(&mut sim, 1, true);
    sim.run(ms(50));
    assert_eq!(sent_mutes(&sim), [true, true]);
}

#[test]
fn a_mute_reply_for_a_freed_track_does_not_affect_its_successor() {
    let mut sim = publishing();
    sim.on(|o| if is_rpc(o, "UpdateMuteStates") { Reply::Hold } else { Reply::Good });
    mute(&mut sim, 1, true);
    sim.input(Input::Unpublish { track: 1 });
    sim.input(Input::Publish { track: 2, offer: AudioOffer { muted: true, ..audio() } });
    sim.run(ms(100));
    assert_eq!(sent_mutes(&sim), [true]);
    sim.good();
    sim.release();
    assert_eq!(sent_mutes(&sim), [true, true], "the successor has its own mute request");
}

#[test]
fn a_second_track_is_published_beside_the_first_and_a_track_after_the_close_is_refused() {
    let mut sim = publishing();
    publish(&mut sim, 2);
    sim.run(ms(50));
    assert_eq!((sim.events(), sending_changes(&sim)), (vec![Event::LocalPublished { track: 2 }], vec![(2, true)]));
    sim.input(Input::ClosePeer(PUB));
    publish(&mut sim, 3);
    assert_eq!(failures(&sim).last().map(|(t, e)| (*t, e.code)), Some((3, Code::Closed)));
    sim.on(|_| Reply::Never);
    sim.leave();
    publish(&mut sim, 4);
    assert_eq!(failures(&sim).last().map(|(t, e)| (*t, e.code)), Some((4, Code::State)));
}

#[test]
fn the_number_of_senders_is_bounded() {
    let mut sim = Sim::joined();
    for track in 0..limits::TRACKS as u64 + 1 {
        publish(&mut sim, track);
        sim.run(ms(50));
        sim.input(Input::Unpublish { track });
        sim.run(ms(50));
    }
    assert_eq!((failures(&sim).len(), sim.lines.len()), (0, 2), "one at a time, any number is allowed");
    for track in 100..100 + limits::TRACKS as u64 + 1 {
        publish(&mut sim, track);
        sim.run(ms(50));
    }
    assert_eq!(failures(&sim).into_iter().map(|(t, e)| (t, e.code)).collect::<Vec<_>>(), [(132, Code::Limit)]);
    assert_eq!(sim.wanted().last().map(|wanted| wanted.senders.len()), Some(limits::TRACKS));
}

#[test]
fn closing_the_publisher_mutes_and_stops_and_the_call_goes_on() {
    let mut sim = publishing();
    sim.input(Input::ClosePeer(PUB));
    sim.input(Input::ClosePeer(PUB));
    assert_eq!((sent_mutes(&sim), sending_changes(&sim)), (vec![true], vec![(1, false)]));
    assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { peer: PUB, .. })), 1);
    let id = sim.offer();
    sim.run(ms(50));
    assert_eq!(sim.answers(), [id]);
    assert_eq!((sim.core.state(), sim.errors()), (State::Joined, 0));
}

#[test]
fn closing_the_publisher_while_an_unmute_is_under_way_ends_muted() {
    let mut sim = publishing();
    mute(&mut sim, 1, true);
    sim.run(ms(10));
    sim.on(|o| if is_rpc(o, "UpdateMuteStates") { Reply::Hold } else { Reply::Good });
    mute(&mut sim, 1, false);
    sim.input(Input::ClosePeer(PUB));
    assert_eq!(sent_mutes(&sim), [true, false]);
    sim.release();
    assert_eq!(sent_mutes(&sim), [true, false, true]);
    sim.on(|o| if is_rpc(o, "UpdateMuteStates") { rpc_failed(o, sfu(500, "gone")) } else { Reply::Good });
    sim.release();
    sim.run(ms(3_000));
    assert_eq!(sim.errors(), 0);
}

#[test]
fn closing_the_publisher_is_noticed_after_every_await() {
    for at in ["Create", "Offer", "SetPublisher", "SetAnswer"] {
        let mut sim = Sim::joined();
        sim.on(move |o| if is_action(o, at) || is_rpc(o, at) { Reply::Hold } else { Reply::Good });
        publish(&mut sim, 1);
        sim.run(ms(20));
        assert_eq!(sim.held.len(), 1, "{at}");
        sim.mark();
        sim.input(Input::ClosePeer(PUB));
        sim.release();
        sim.run(ms(5_000));
        assert_eq!((sim.actions(PUB), sim.rpcs(), sim.errors()), (vec![], vec![], 0), "{at}");
        assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { peer: PUB, .. })), 1, "{at}");
    }
}

#[test]
fn set_publisher_is_not_tried_again_for_a_publisher_closed_meanwhile() {
    let mut sim = Sim::joined();
    sim.on(|o| {
        if is_rpc(o, "SetPublisher") {
            rpc_failed(o, Failure::new(FailureKind::Connect, "gone"))
        } else {
            Reply::Good
        }
    });
    publish(&mut sim, 1);
    sim.run(ms(8));
    assert_eq!(offered(&sim).len(), 1);
    sim.input(Input::ClosePeer(PUB));
    sim.run(ms(5_000));
    assert_eq!((offered(&sim).len(), sim.errors()), (1, 0));
}

#[test]
fn revoked_grants_stop_the_track_and_granted_ones_allow_the_next() {
    let mut sim = publishing();
    let grants = |audio| SfuMessage::Grants(Grants { audio, video: false, screen_share: false, ..Grants::ALL });
    sim.message(grants(false));
    assert_eq!(sending_changes(&sim), [(1, false)]);
    assert_eq!(failures(&sim).into_iter().map(|(t, e)| (t, e.code)).collect::<Vec<_>>(), [(1, Code::Refused)]);
    sim.run(ms(50));
    assert_eq!(offered(&sim), [vec![]]);
    publish(&mut sim, 2);
    assert_eq!(failures(&sim).last().map(|(t, e)| (*t, e.code)), Some((2, Code::Refused)));
    sim.message(grants(true));
    publish(&mut sim, 3);
    sim.run(ms(50));
    assert!(sim.events().contains(&Event::LocalPublished { track: 3 }));
}

#[test]
fn a_success_starts_the_count_of_failures_anew() {
    let mut sim = Sim::joined();
    let mut n = 0;
    sim.on(move |o| {
        n += u32::from(is_rpc(o, "SetPublisher"));
        if is_rpc(o, "SetPublisher") && n % 3 != 0 {
            rpc_failed(o, sfu(500, "refused"))
        } else {
            Reply::Good
        }
    });
    for track in 1..4 {
        publish(&mut sim, track);
        sim.run(ms(1_500));
        assert!(sim.events().contains(&Event::LocalPublished { track }), "{track}");
        let failed = sim.core.counters().error_events;
        // Removing the track needs its three tries, too.
        sim.input(Input::Unpublish { track });
        sim.run(ms(1_500));
        assert_eq!(sim.core.counters().error_events, failed);
    }
}

#[test]
fn an_ice_restart_that_was_done_is_not_done_again() {
    let mut sim = publishing();
    sim.message(SfuMessage::IceRestart { peer: PUB });
    sim.run(ms(50));
    let mut once = true;
    sim.on(move |o| match is_rpc(o, "SetPublisher") && std::mem::take(&mut once) {
        true => rpc_failed(o, sfu(500, "refused")),
        false => Reply::Good,
    });
    sim.input(Input::Unpublish { track: 1 });
    sim.run(ms(5_000));
    let restart =
        |o: &Output| matches!(o, Output::Engine { action: Action::Offer(Wanted { ice_restart: true, .. }), .. });
    assert_eq!((sim.count(restart), offered(&sim).len()), (1, 3));
}

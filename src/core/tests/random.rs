//! Random schedules: thousands of calls in an environment that is slow, lossy, refuses requests, repeats itself and
//! sends garbage, with an application that does anything at any time.
//!
//! A failing seed prints itself and its schedule. `OFFHOOK_SEED=n cargo test` builds a test that runs that seed alone
//! (neither the core nor its tests read the environment).

use super::sim::{admission, audio, candidate, config, failed, http, ms, owner, person, sfu, Reply, Sim};
use super::{check::Checker, sim};
use crate::core::{model::*, rng::Rng, *};
use crate::error::Secret;
use std::panic::{catch_unwind, AssertUnwindSafe};

const SEEDS: u64 = 20_000;

/// How the simulated environment behaves.
#[derive(Clone, Copy)]
struct Mood {
    /// Percentage of outputs that fail, and of outputs that are never answered.
    fails: u64,
    lost: u64,
    /// Percentage of inputs that match no request.
    nonsense: u64,
}

fn chance(rng: &mut Rng, percent: u64) -> bool {
    rng.between(0, 99) < percent
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.between(0, from.len() as u64 - 1) as usize]
}

fn peer(rng: &mut Rng) -> PeerKind {
    pick(rng, &[PeerKind::Publisher, PeerKind::Subscriber])
}

fn kind(rng: &mut Rng) -> TrackKind {
    pick(rng, &[TrackKind::Audio, TrackKind::Video, TrackKind::ScreenShare, TrackKind::ScreenShareAudio])
}

fn failure(rng: &mut Rng) -> Failure {
    let mut failure = match rng.between(0, 6) {
        0 => Failure::new(FailureKind::Timeout, "no answer"),
        1 | 2 => Failure::new(FailureKind::Connect, "no connection"),
        3 => http(pick(rng, &[401, 404, 429, 500, 503])),
        4 => Failure::new(FailureKind::Malformed, "nonsense"),
        _ => sfu(pick(rng, &[100, 200, 206, 300, 301, 500, 600, 700]), "the SFU refused"),
    };
    failure.should_retry = chance(rng, 20);
    failure.unrecoverable = chance(rng, 5);
    failure.retry_after_ms = chance(rng, 10).then(|| rng.between(0, 3_000));
    failure
}

/// The environment's answer to one output.
fn reply(rng: &mut Rng, mood: Mood, output: &Output) -> Reply {
    if chance(rng, mood.lost) {
        return match output {
            // The code that performs an RPC gives up after its deadline.
            Output::Rpc { generation, id, .. } => {
                let result = Err(Failure::new(FailureKind::Timeout, "no answer within 5 s"));
                Reply::At(ms(5_000), Input::Rpc { generation: *generation, id: *id, result })
            }
            _ => Reply::Never,
        };
    }
    if !chance(rng, mood.fails) {
        return Reply::Good;
    }
    match output {
        Output::NeedToken => Reply::With(Input::Token(None)),
        Output::Admit { generation, .. } => {
            Reply::With(Input::Admitted { generation: *generation, result: Err(failure(rng)) })
        }
        Output::OpenSocket { generation, .. } => {
            Reply::With(Input::SocketOpened { generation: *generation, result: Err(failure(rng)) })
        }
        Output::Send { generation, request: SfuRequest::Join(_) } => {
            let error = SfuError { code: pick(rng, &[700, 600, 301, 500]), ..SfuError::default() };
            let message = SfuMessage::Error { error, strategy: Strategy::Unspecified };
            Reply::With(Input::Message { generation: *generation, message })
        }
        Output::Rpc { call, .. } => {
            let mut failure = failure(rng);
            if let RpcCall::SetPublisher { tracks, .. } = call {
                // The failure names one of the tracks, or none.
                let meant = tracks.get(rng.between(0, 8) as usize);
                failure.track_id = meant.map(|t| t.track_id.clone()).unwrap_or_default();
            }
            sim::rpc_failed(output, failure)
        }
        Output::Engine { .. } => sim::op_failed(output, failed(chance(rng, 30))),
        _ => Reply::Good,
    }
}

fn someone(rng: &mut Rng, sim: &Sim) -> Participant {
    let mut p = person(pick(rng, &["ann", "bob", "cyd", "dan", "eve"]));
    p.name = format!("name {}", rng.between(0, 3)).into();
    if chance(rng, 10) {
        // The local participant, as other participants see it.
        p.session_id = sim.core.cx.session_id.clone();
    }
    for _ in 0..rng.between(0, 3) {
        p.published.push(kind(rng).into());
    }
    p
}

fn garbage(rng: &mut Rng) -> String {
    let sizes = [0usize, 1, 5_000];
    match rng.between(0, 4) {
        0 => "{".repeat(pick(rng, &sizes)),
        1 => r#"{"candidate":7}"#.into(),
        2 => r#"{"candidate":"","usernameFragment":null}"#.into(),
        3 => "[[]]".into(),
        _ => "\u{0}\u{fffd}x".into(),
    }
}

fn message(rng: &mut Rng, sim: &Sim, next_offer: &mut u32) -> SfuMessage {
    let ufrag = pick(rng, &["", "one", "two", "three"]);
    let who = someone(rng, sim);
    let (session_id, user_id) = (who.session_id.clone(), who.user_id.clone());
    let many = if chance(rng, 5) { 300 } else { rng.between(0, 3) };
    if sim.joined.one_connection && chance(rng, 20) {
        return SfuMessage::LinesNeeded { audio: pick(rng, &[0, 1, 2, 40, u32::MAX]) };
    }
    match rng.between(0, 99) {
        0..=29 => {
            *next_offer += 1;
            sim::offer(*next_offer, ufrag)
        }
        30..=44 => {
            let peer = peer(rng);
            let bad = chance(rng, 20);
            SfuMessage::IceTrickle { peer, candidate: if bad { garbage(rng) } else { candidate(peer, ufrag) } }
        }
        45..=50 => SfuMessage::ParticipantJoined(Box::new(who)),
        51..=54 => SfuMessage::ParticipantUpdated(Box::new(who)),
        55..=58 => SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason::UNKNOWN },
        59..=64 => {
            let participant = chance(rng, 50).then(|| Box::new(who));
            SfuMessage::TrackPublished { session_id, user_id, kind: kind(rng), participant }
        }
        65..=68 => {
            let participant = chance(rng, 50).then(|| Box::new(who));
            let cause = pick(rng, &[UnpublishCause::Moderation, UnpublishCause::UserMuted]);
            SfuMessage::TrackUnpublished { session_id, user_id, kind: kind(rng), cause, participant }
        }
        69..=71 => SfuMessage::AudioLevels(
            (0..many).map(|n| (session_id.clone(), [f32::NAN, 0.5, -3.0, 9.0][n as usize % 4], true)).collect(),
        ),
        72..=73 => SfuMessage::ConnectionQuality((0..many).map(|_| (session_id.clone(), Quality::Good)).collect()),
        74..=75 => SfuMessage::DominantSpeaker { session_id },
        76..=79 => SfuMessage::Health(Counts { total: rng.between(0, 4) as u32, anonymous: 0 }),
        80..=82 => SfuMessage::Grants(Grants { audio: chance(rng, 60), ..Grants::ALL }),
        83 => SfuMessage::Pins(vec![Pin { user_id, session_id }; many as usize]),
        84..=85 => SfuMessage::IceRestart { peer: peer(rng) },
        86 => SfuMessage::ChangePublishOptions(Vec::new()),
        87 => SfuMessage::MigrationComplete,
        88 => SfuMessage::PublisherAnswer,
        89..=91 => SfuMessage::Unknown,
        92 => SfuMessage::InboundState(vec![(session_id, kind(rng), true); many as usize]),
        93..=94 => SfuMessage::Joined(Box::new(JoinState { participants: vec![who], ..JoinState::default() })),
        95..=97 => {
            let error = SfuError { code: 500, message: "oops".into(), should_retry: false };
            SfuMessage::Error { error, strategy: Strategy::Unspecified }
        }
        98 if chance(rng, 20) => {
            let strategy = pick(rng, &[Strategy::Disconnect, Strategy::Fast, Strategy::Rejoin, Strategy::Migrate]);
            SfuMessage::Error { error: SfuError::default(), strategy }
        }
        99 if chance(rng, 20) => match rng.between(0, 2) {
            0 => SfuMessage::GoAway { reason: 1 },
            1 => SfuMessage::CallEnded(CallEndedReason::Kicked),
            _ => SfuMessage::CallEnded(CallEndedReason::Ended),
        },
        _ => SfuMessage::Unknown,
    }
}

fn application(rng: &mut Rng, tracks: &mut u64) -> Input {
    let some = rng.between(0, *tracks);
    match rng.between(0, 99) {
        0..=29 => {
            *tracks += 1;
            let source = pick(rng, &[TrackKind::Audio, TrackKind::Audio, TrackKind::ScreenShareAudio]);
            Input::Publish { track: *tracks, offer: AudioOffer { source, muted: chance(rng, 30), ..audio() } }
        }
        30..=49 => Input::Unpublish { track: if chance(rng, 40) { *tracks } else { some } },
        50..=89 => Input::Mute { track: *tracks, muted: chance(rng, 50) },
        90 => Input::ClosePeer(PeerKind::Publisher),
        91 => Input::ClosePeer(PeerKind::Subscriber),
        92..=96 => Input::Token(chance(rng, 50).then(|| Secret::new("again"))),
        97 if chance(rng, 20) => Input::Drain { reason: "later".into(), within: ms(rng.between(1, 1_000)) },
        97 if chance(rng, 20) => Input::Leave { reason: "ü".repeat(rng.between(0, 80) as usize) },
        98 => Input::Start,
        _ if chance(rng, 10) => {
            Input::Abort(End { reason: EndReason::Shutdown, error: None, text: "shut down".into() })
        }
        _ => Input::Mute { track: some, muted: true },
    }
}

/// Answers to requests that were never made, of any generation, and unsolicited events of engines and sockets.
fn nonsense(rng: &mut Rng, sim: &Sim) -> Input {
    let current = sim.core.generation();
    let generation = match rng.between(0, 3) {
        0 => Generation(current.0.wrapping_sub(1)),
        1 => Generation(current.0 + 1),
        2 => Generation(rng.next_u64() as u32),
        _ => current,
    };
    let foreign = generation != current;
    let (peer, id) = (peer(rng), rng.between(0, sim.core.cx.next_op + 3));
    match rng.between(0, 12) {
        0 => Input::Op { generation, peer, op: id, result: Ok(OpDone::Done) },
        1 => Input::Op { generation, peer, op: id, result: Err(failed(chance(rng, 50))) },
        2 => Input::Op { generation, peer, op: id, result: Ok(OpDone::Answer { sdp: "x".into(), refused: 1 }) },
        3 => Input::Rpc { generation, id: rng.between(0, 60), result: Ok(RpcReply::Done) },
        4 => Input::Rpc { generation, id: rng.between(0, 60), result: Err(failure(rng)) },
        5 if foreign => Input::SocketClosed { generation, code: Some(1006), failure: None },
        6 => Input::SocketOpened { generation, result: Ok(()) },
        7 => Input::Admitted { generation, result: Ok(Box::new(admission(99))) },
        8 => Input::PeerClosed { generation, peer },
        9 if foreign => Input::Peer { generation, peer, change: PeerChange::Failed },
        10 => Input::RemoteTrackGone { id },
        11 => Input::SocketOpened { generation, result: Err(failure(rng)) },
        _ => Input::Malformed { generation },
    }
}

fn outside(rng: &mut Rng, sim: &Sim) -> Input {
    let current = sim.core.generation();
    let generation = sim.core.cx.transport.unwrap_or(current);
    let peer = peer(rng);
    match rng.between(0, 99) {
        66 if chance(rng, 30) => Input::Network(pick(
            rng,
            &[NetworkChange::Offline, NetworkChange::Online, NetworkChange::Changed, NetworkChange::Unsettled],
        )),
        67 => Input::Network(NetworkChange::Online),
        68..=70 => {
            let late = chance(rng, 20);
            let generation = if late { Generation(generation.0.wrapping_sub(1)) } else { generation };
            let url = pick(rng, &["stun:127.0.0.1:1", "turn:127.0.0.1:1", "turn:127.0.0.1:1?transport=tcp"]).to_owned();
            let failure = IceServerFailure { url, code: pick(rng, &[401, 486, 701]), text: "no address".into() };
            Input::IceServer { generation, peer, failure }
        }
        0..=39 => Input::LocalCandidate { generation, peer, json: candidate(peer, "mine") },
        40..=59 => Input::Peer { generation, peer, change: PeerChange::Connected },
        60..=64 => Input::Peer { generation, peer, change: PeerChange::Disconnected },
        65 if chance(rng, 50) => match rng.between(0, 3) {
            0 => Input::Peer { generation, peer, change: PeerChange::Failed },
            1 => Input::Peer { generation, peer, change: PeerChange::Closed },
            2 => Input::SocketClosed { generation: current, code: Some(1011), failure: None },
            _ => Input::SocketClosed { generation: current, code: None, failure: Some(failure(rng)) },
        },
        _ => {
            let name = pick(rng, &["ann", "bob", "cyd", "nobody"]);
            let stream_id = format!("{name}-prefix:TRACK_TYPE_AUDIO:{}", rng.between(0, 2));
            let (id, stream) = (rng.next_u64(), rng.between(0, 3));
            let owner = owner(&stream_id).map(|owner| MediaOwner { stream: stream.to_string(), ..owner });
            let mid = if chance(rng, 50) { String::new() } else { rng.between(0, 5).to_string() };
            Input::RemoteTrack { generation, id, owner, mid, again: false }
        }
    }
}

fn new_sim(seed: u64) -> (Sim, Rng, Mood) {
    let mut rng = Rng::new(seed.wrapping_mul(0x9e37_79b9) ^ 0x0ff4_00c5);
    let mood = Mood {
        fails: pick(&mut rng, &[0, 3, 10, 40]),
        lost: pick(&mut rng, &[0, 0, 2, 15]),
        nonsense: pick(&mut rng, &[0, 5, 30]),
    };
    let mut config = config();
    config.seed = seed;
    config.dialect.tracks_have_names = chance(&mut rng, 50);
    config.dialect.tracks_end_in_sdp = chance(&mut rng, 50);
    let one_connection = seed % 4 == 3;
    config.dialect.data_channels = one_connection;
    config.join_retries = rng.between(0, 4) as u32;
    config.subscribe = !chance(&mut rng, 10);
    config.renew_token = chance(&mut rng, 50);
    config.disconnect_timeout = ms(pick(&mut rng, &[30_000, 5_000, 60_000]));
    if chance(&mut rng, 20) {
        config.token = Secret::default();
    }
    // For some seeds the whole run is replayed from its trace.
    let mut sim = if seed.is_multiple_of(50) { Sim::new(config) } else { Sim::untraced(config) };
    sim.check = Checker::default();
    sim.joined.one_connection = one_connection;
    sim.delays = Some((Rng::new(seed), pick(&mut rng, &[0, 2, 5, 60, 800, 6_000])));
    let mut answers = Rng::new(!seed);
    let joins = chance(&mut rng, 60);
    sim.on(move |output| match output {
        Output::Admit { .. } | Output::OpenSocket { .. } | Output::Send { .. } | Output::NeedToken if joins => {
            Reply::Good
        }
        _ => reply(&mut answers, mood, output),
    });
    (sim, rng, mood)
}

fn drive(sim: &mut Sim, rng: &mut Rng, mood: Mood) {
    let (mut tracks, mut next_offer) = (0, 0);
    let patience = pick(rng, &[1, 20, 300, 3_000]);
    sim.joined.reconnected = chance(rng, 70);
    sim.joined.participants = (0..rng.between(0, 4)).map(|_| someone(rng, sim)).collect();
    sim.input(Input::Start);
    if chance(rng, 60) {
        // Go straight to the phase where most rules apply.
        sim.run(ms(20));
    }
    for _ in 0..rng.between(10, 300) {
        let input = match rng.between(0, 99) {
            n if n < mood.nonsense => nonsense(rng, sim),
            0..=34 => {
                let wait = ms(rng.between(0, patience));
                sim.run(wait);
                continue;
            }
            35..=79 => {
                let current = sim.core.generation();
                let late = chance(rng, 10);
                let generation = if late { Generation(current.0.wrapping_sub(1)) } else { current };
                Input::Message { generation, message: message(rng, sim, &mut next_offer) }
            }
            80..=89 => application(rng, &mut tracks),
            _ => outside(rng, sim),
        };
        sim.input(input);
        if sim.core.is_over() && chance(rng, 40) {
            break;
        }
    }
    if mood.lost == 0 && chance(rng, 50) {
        // Once the environment answers everything, nothing may stay queued.
        sim.good();
        sim.delays = None;
        sim.run(ms(20_000));
        assert_eq!(sim.core.offers_waiting(), 0, "offers wait though nothing is under way");
        assert!(sim.core.publisher.is_settled(&sim.core.cx), "a track waits though nothing is under way");
    }
    assert!(sim.lines.len() <= 2 * MAX_LOCAL_TRACKS, "{} m-lines of the publisher", sim.lines.len());
    let left = sim.now;
    sim.leave();
    for _ in 0..rng.between(0, 10) {
        let message = message(rng, sim, &mut next_offer);
        sim.message(message);
        sim.run(ms(rng.between(0, 100)));
    }
    sim.run((left + limits::LEAVE).saturating_sub(sim.now));
    assert!(sim.core.is_over() && sim.check.is_finished(), "not ended {:?} after leave", limits::LEAVE);
    // Later inputs are at most counted.
    let before = sim.log.len();
    for _ in 0..5 {
        let input = nonsense(rng, sim);
        sim.input(input);
        let message = message(rng, sim, &mut next_offer);
        sim.message(message);
    }
    sim.run(ms(60_000));
    assert_eq!(sim.log.len(), before, "something was ordered after the end");
}

/// Runs a seed. Returns its violation with the schedule.
fn run(seed: u64) -> Result<Sim, String> {
    let attempt = |trace: bool| {
        let (mut sim, mut rng, mood) = new_sim(seed);
        if trace {
            sim.check = Checker::traced();
        }
        let result = catch_unwind(AssertUnwindSafe(|| drive(&mut sim, &mut rng, mood)));
        (sim, result.is_ok())
    };
    let (sim, passed) = attempt(false);
    if passed {
        return Ok(sim);
    }
    let (mut sim, _) = attempt(true);
    let fault = sim.check.fault.take().unwrap_or_else(|| "see the panic above".into());
    Err(format!("{}\nseed {seed}: {fault}", sim.check.trace.take().unwrap_or_default().join("\n")))
}

#[test]
fn any_schedule_keeps_the_rules() {
    if let Some(seed) = option_env!("OFFHOOK_SEED").and_then(|s| s.parse().ok()) {
        if let Err(report) = run(seed) {
            panic!("{report}");
        }
        return;
    }
    // Totals over all schedules: a test of rules that are never exercised proves nothing.
    let mut sum = Counters::default();
    let (mut joined, mut offers) = (0, 0);
    for seed in 0..SEEDS {
        match run(seed) {
            Ok(sim) => {
                let c = sim.core.counters();
                joined += u64::from(sim.log.iter().any(|o| matches!(sim::event(o), Some(Event::Joined { .. }))));
                offers += sim.check.offers_in();
                sum.offers_answered += c.offers_answered;
                sum.offers_failed += c.offers_failed;
                sum.late_offers += c.late_offers;
                sum.rpc_retries += c.rpc_retries;
                sum.candidates_dropped += c.candidates_dropped;
                sum.reconnects_fast += c.reconnects_fast;
                sum.reconnects_rejoin += c.reconnects_rejoin;
                sum.reconnects_migrate += c.reconnects_migrate;
                sum.triggers_merged += c.triggers_merged;
            }
            Err(report) => panic!("{report}"),
        }
    }
    assert_eq!(offers, sum.offers_answered + sum.offers_failed + sum.late_offers);
    assert!(joined > SEEDS / 2, "{joined}");
    assert!(sum.offers_answered > SEEDS && sum.late_offers > SEEDS && sum.offers_failed > SEEDS / 10, "{sum:?}");
    let reconnects = [sum.reconnects_fast, sum.reconnects_rejoin, sum.reconnects_migrate, sum.triggers_merged];
    assert!(reconnects.iter().all(|n| *n > SEEDS / 500), "{reconnects:?}");
    assert!(sum.rpc_retries > SEEDS / 20 && sum.candidates_dropped > SEEDS / 2, "{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    for seed in [3, 77] {
        let text = |sim: Sim| format!("{:?}", sim.log);
        // Not assert_eq: it would print the whole log.
        assert!(run(seed).map(text) == run(seed).map(text), "seed {seed}");
    }
}

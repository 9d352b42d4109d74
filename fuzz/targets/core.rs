//! Arbitrary sequences of inputs to the core of a call, in virtual time: replies that match, are late or match no
//! request, everything an SFU can send, everything an application can request.

use super::Reader;
use offhook::core::{
    model::*, Action, AudioOffer, Config, Core, End, EndReason, Event, Input, NetworkChange, OpDone, OpFailed, Output,
    PeerChange,
};
use offhook::error::{Code, Secret};
use offhook::signalling::stream::untrusted;
use std::time::Duration;

/// Most outputs of one step.
const MOST: usize = 6_000;

fn config(input: &mut Reader<'_>) -> Config {
    let flags = input.u8();
    Config {
        dialect: *offhook::signalling::stream::StreamService::dialect(),
        call_type: "default".into(),
        call_id: "fuzz".into(),
        user_id: "me".into(),
        create: true,
        ring: flags & 1 != 0,
        notify: false,
        data_json: String::new(),
        location: "auto".into(),
        join_retries: u32::from(flags >> 1 & 3),
        subscribe: flags & 8 == 0,
        subscriber_sdp: "v=0".into(),
        publisher_sdp: "v=0".into(),
        token: Secret::new(if flags & 16 == 0 { "token" } else { "" }),
        hold_unmute: flags & 64 != 0,
        renew_token: flags & 32 != 0,
        disconnect_timeout: Duration::from_secs(u64::from(flags >> 6) * 15),
        partial_texts: flags & 32 != 0,
        seed: u64::from(input.u8()),
    }
}

/// Requests of the core that are not answered yet.
#[derive(Default)]
struct World {
    admits: Vec<Generation>,
    sockets: Vec<Generation>,
    rpcs: Vec<(Generation, u64, bool)>,
    ops: Vec<(Generation, PeerKind, u64, bool)>,
    closing: Vec<(Generation, PeerKind)>,
    ended: usize,
    finished: bool,
}

impl World {
    fn take(&mut self, core: &mut Core) {
        let mut count = 0;
        while let Some(output) = core.poll_output() {
            count += 1;
            assert!(count <= MOST, "endless outputs");
            assert!(!self.finished, "output after Finished: {output:?}");
            match output {
                Output::Admit { generation, .. } => self.admits.push(generation),
                Output::OpenSocket { generation, .. } => self.sockets.push(generation),
                Output::Rpc { generation, id, call } => {
                    self.rpcs.push((generation, id, matches!(call, RpcCall::SetPublisher { .. })));
                }
                Output::Engine { generation, peer, op, action } => {
                    self.ops.push((generation, peer, op, matches!(action, Action::Offer(_))));
                }
                Output::ClosePeer { generation, peer } => self.closing.push((generation, peer)),
                Output::Event(event) => {
                    assert_eq!(self.ended, 0, "an event after the terminal one: {event:?}");
                    self.ended += usize::from(matches!(event, Event::Ended(_)));
                }
                Output::Finished => self.finished = true,
                _ => {}
            }
        }
        for len in [self.admits.len(), self.sockets.len(), self.rpcs.len(), self.ops.len(), self.closing.len()] {
            assert!(len <= 100_000, "endless requests");
        }
    }
}

fn text(input: &mut Reader<'_>) -> String {
    let pool = ["", "a", "b", "me", "s1", "s2", "prefix", "prefix:TRACK_TYPE_AUDIO:x", "0", "{\"candidate\":\"\"}"];
    pool[input.below(pool.len())].to_owned()
}

fn participant(input: &mut Reader<'_>) -> Participant {
    Participant {
        user_id: text(input),
        session_id: text(input),
        track_prefix: text(input),
        published: if input.u8() & 1 == 0 { vec![TrackKind::Audio.into()] } else { Vec::new() },
        ..Participant::default()
    }
}

fn peer(input: &mut Reader<'_>) -> PeerKind {
    if input.u8() & 1 == 0 {
        PeerKind::Publisher
    } else {
        PeerKind::Subscriber
    }
}

fn failure(input: &mut Reader<'_>) -> Failure {
    let kinds =
        [FailureKind::Timeout, FailureKind::Connect, FailureKind::Sfu, FailureKind::Malformed, FailureKind::Tls];
    let kind = match input.below(8) {
        n @ 0..=4 => kinds[n].clone(),
        _ => FailureKind::Http { status: [400, 401, 404, 429, 500][input.below(5)] },
    };
    let mut failure = Failure::new(kind, "fuzz");
    failure.code = [0, 200, 204, 205, 206, 300, 301, 600, 700, -1, i32::MAX][input.below(11)];
    failure.should_retry = input.u8() & 1 == 1;
    failure.unrecoverable = input.u8() & 3 == 3;
    failure.retry_after_ms = (input.u8() & 3 == 3).then(|| u64::from(input.u32()));
    failure
}

fn message(input: &mut Reader<'_>) -> Option<SfuMessage> {
    Some(match input.u8() % 20 {
        0..=2 => SfuMessage::Joined(Box::new(JoinState {
            participants: (0..input.below(4)).map(|_| participant(input)).collect(),
            reconnected: input.u8() & 1 == 1,
            fast_reconnect_deadline_s: i32::from(input.u8()) - 8,
            ..JoinState::default()
        })),
        3..=5 => SfuMessage::SubscriberOffer {
            ice_restart: input.u8() & 1 == 1,
            sdp: text(input),
            negotiation_id: u32::from(input.u8()),
        },
        6 => SfuMessage::IceTrickle { peer: peer(input), candidate: text(input) },
        7 => SfuMessage::IceRestart { peer: peer(input) },
        8 => SfuMessage::ParticipantJoined(Box::new(participant(input))),
        9 => SfuMessage::ParticipantLeft {
            session_id: text(input),
            user_id: text(input),
            reason: LeaveReason(i32::from(input.u8())),
        },
        10 => SfuMessage::TrackPublished {
            session_id: text(input),
            user_id: text(input),
            kind: TrackKind::Audio,
            participant: (input.u8() & 1 == 1).then(|| Box::new(participant(input))),
        },
        11 => SfuMessage::TrackUnpublished {
            session_id: text(input),
            user_id: text(input),
            kind: TrackKind::Audio,
            cause: UnpublishCause::Moderation,
            participant: None,
        },
        12 => SfuMessage::Health(Counts::default()),
        13 => SfuMessage::GoAway { reason: i32::from(input.u8()) },
        14 => SfuMessage::MigrationComplete,
        15 => SfuMessage::CallEnded(CallEndedReason::Kicked),
        16 => SfuMessage::Grants(Grants { audio: input.u8() & 1 == 1, ..Grants::ALL }),
        17 => SfuMessage::Error {
            error: SfuError { code: i32::from(input.u16()), message: "fuzz".into(), should_retry: input.u8() & 1 == 1 },
            strategy: [
                Strategy::Unspecified,
                Strategy::Fast,
                Strategy::Rejoin,
                Strategy::Migrate,
                Strategy::Disconnect,
            ][input.below(5)],
        },
        _ => {
            let length = usize::from(input.u8());
            return untrusted::event(false, input.bytes(length));
        }
    })
}

/// Picks a pending request. Usually removes it; sometimes keeps it, so that it is answered again.
fn pick<T: Copy>(pending: &mut Vec<T>, input: &mut Reader<'_>) -> Option<T> {
    if pending.is_empty() {
        return None;
    }
    let at = input.below(pending.len());
    let item = pending[at];
    if input.u8() & 7 != 0 {
        pending.remove(at);
    }
    Some(item)
}

fn input_of(input: &mut Reader<'_>, world: &mut World, current: Generation) -> Option<Input> {
    let generation = match input.u8() & 15 {
        0 => Generation(u32::from(input.u8())),
        1 => Generation(current.0.wrapping_sub(1)),
        _ => current,
    };
    Some(match input.u8() % 24 {
        0 => Input::Token((input.u8() & 1 == 0).then(|| Secret::new("token"))),
        1..=3 => {
            let generation = pick(&mut world.admits, input).unwrap_or(generation);
            let admission = Admission {
                edge_name: text(input),
                url: "http://127.0.0.1:1/twirp".into(),
                ws_endpoint: "ws://127.0.0.1:1".into(),
                token: Secret::new("sfu"),
                ..Admission::default()
            };
            let result = if input.u8() & 3 != 3 { Ok(Box::new(admission)) } else { Err(failure(input)) };
            Input::Admitted { generation, result }
        }
        4 | 5 => {
            let generation = pick(&mut world.sockets, input).unwrap_or(generation);
            let result = if input.u8() & 3 != 3 { Ok(()) } else { Err(failure(input)) };
            Input::SocketOpened { generation, result }
        }
        6..=10 => Input::Message { generation, message: message(input)? },
        11 => Input::Malformed { generation },
        12 => Input::SocketClosed {
            generation,
            code: (input.u8() & 1 == 1).then(|| input.u16()),
            failure: (input.u8() & 1 == 1).then(|| failure(input)),
        },
        13 | 14 => {
            let (generation, id, publisher) =
                pick(&mut world.rpcs, input).unwrap_or((generation, u64::from(input.u8()), false));
            let fitting = || {
                if publisher {
                    RpcReply::Publisher { sdp: "v=0".into(), ice_restart: false }
                } else {
                    RpcReply::Done
                }
            };
            let result = match input.u8() & 7 {
                0..=4 => Ok(fitting()),
                5 => Ok(RpcReply::Done),
                _ => Err(failure(input)),
            };
            Input::Rpc { generation, id, result }
        }
        15..=17 => {
            let (generation, peer, op, offer) =
                pick(&mut world.ops, input).unwrap_or((generation, peer(input), u64::from(input.u8()), false));
            let result = match input.u8() & 7 {
                0..=3 if offer => Ok(OpDone::Offer { sdp: "v=0".into(), mids: vec!["0".into(); input.below(3)] }),
                0..=3 => Ok(OpDone::Done),
                4 | 5 => Ok(OpDone::Answer { sdp: "v=0".into(), refused: input.below(2) }),
                n => Err(OpFailed { code: Code::Media, closed: n == 6, message: "fuzz".into() }),
            };
            Input::Op { generation, peer, op, result }
        }
        18 => {
            let change = [PeerChange::Connected, PeerChange::Disconnected, PeerChange::Failed, PeerChange::Closed];
            Input::Peer { generation, peer: peer(input), change: change[input.below(4)] }
        }
        19 => match input.u8() & 3 {
            0 if input.u8() & 1 == 0 => Input::RemoteTrackGone { id: u64::from(input.u8() & 7) },
            0 => {
                let path = Path { text: text(input), silent: input.u8() & 1 == 0 };
                Input::Path { generation, peer: peer(input), path }
            }
            1 => Input::LocalCandidate { generation, peer: peer(input), json: text(input) },
            _ => {
                let id = u64::from(input.u8() & 7);
                let owner = offhook::signalling::stream::media_owner(&text(input), &text(input));
                Input::RemoteTrack { generation, id, owner, mid: String::new(), again: false }
            }
        },
        20 => {
            let (generation, peer) = pick(&mut world.closing, input).unwrap_or((generation, peer(input)));
            Input::PeerClosed { generation, peer }
        }
        21 => {
            let offer = AudioOffer {
                source: offhook::core::model::TrackKind::Audio,
                stereo: false,
                dtx: true,
                red: 1,
                music: false,
                muted: input.u8() & 1 == 1,
            };
            Input::Publish { track: u64::from(input.u8() & 63), offer }
        }
        22 => match input.u8() & 1 {
            0 => Input::Unpublish { track: u64::from(input.u8() & 63) },
            _ => Input::Mute { track: u64::from(input.u8() & 63), muted: input.u8() & 1 == 1 },
        },
        _ => match input.u8() & 15 {
            0 => Input::Leave { reason: text(input) },
            1 => Input::Abort(End { reason: EndReason::Shutdown, error: None, text: "fuzz".into() }),
            2 | 3 => Input::ClosePeer(peer(input)),
            4 => Input::Start,
            10 => Input::Drain { reason: text(input), within: Duration::from_millis(u64::from(input.u8())) },
            11 => Input::Drained,
            5..=9 => {
                let changes = [NetworkChange::Offline, NetworkChange::Online, NetworkChange::Changed];
                Input::Network(changes[input.below(3)])
            }
            _ => return None,
        },
    })
}

pub fn core(data: &[u8]) {
    let mut input = Reader(data);
    let mut core = Core::new(config(&mut input));
    let mut world = World::default();
    let mut now = Duration::ZERO;
    core.handle(now, Input::Start);
    world.take(&mut core);
    for _ in 0..2_000 {
        if input.is_empty() {
            break;
        }
        match input.u8() {
            0..=199 => {
                if let Some(next) = input_of(&mut input, &mut world, core.generation()) {
                    core.handle(now, next);
                }
            }
            200..=239 => now += Duration::from_millis(u64::from(input.u16())),
            _ => now = core.deadline().map_or(now, |deadline| deadline.max(now)),
        }
        world.take(&mut core);
        core.tick(now);
        world.take(&mut core);
        if let Some(deadline) = core.deadline() {
            assert!(deadline > now || core.is_over(), "a deadline in the past: {deadline:?}, now {now:?}");
        }
    }
    // After any input a leave ends the call in bounded time.
    core.handle(now, Input::Leave { reason: "the end".into() });
    world.take(&mut core);
    for _ in 0..64 {
        if core.is_over() {
            break;
        }
        now = core.deadline().map_or(now + Duration::from_secs(1), |deadline| deadline.max(now));
        core.tick(now);
        world.take(&mut core);
    }
    assert!(core.is_over() && world.ended == 1 && world.finished, "the call did not end after a leave");
}

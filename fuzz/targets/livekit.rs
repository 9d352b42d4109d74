//! The LiveKit protocol: frames of its socket through the whole signalling session, packets of its data channels.
//! Must not know: the fuzzer.

use super::Reader;
use bytes::Bytes;
use offhook::core::model::*;
use offhook::signalling::livekit::{
    data,
    signal_session::{Outcome, SignalSession},
    wire,
};

/// Most messages from one frame.
const MAX_MESSAGES: usize = 20_000;

fn call(input: &mut Reader<'_>) -> RpcCall {
    let session_id = String::new();
    let cid = || ["a", "b", "c"][usize::from(input.0.first().copied().unwrap_or(0)) % 3].to_owned();
    match input.u8() % 6 {
        0 => {
            let track = TrackInfo {
                track_id: cid(),
                kind: TrackKind::Audio,
                mid: "0".into(),
                muted: false,
                dtx: true,
                stereo: false,
                red: false,
                codec: CodecSpec::default(),
                publish_option_id: 0,
                layers: Vec::new(),
            };
            RpcCall::SetPublisher { session_id, sdp: "v=0".into(), tracks: vec![track] }
        }
        1 => RpcCall::SendAnswer { session_id, sdp: "v=0".into(), negotiation_id: input.u32() },
        2 => {
            let state = MuteState { track_id: cid(), kind: TrackKind::Audio, muted: input.u8() & 1 == 0 };
            RpcCall::UpdateMuteStates { session_id, states: vec![state] }
        }
        3 => RpcCall::UpdateSelf { session_id, update: SelfUpdate::default() },
        4 => {
            let settings = SubscriptionSettings { subscribed: input.u8() & 1 == 0, ..SubscriptionSettings::default() };
            let (user_id, track_id) = (String::new(), format!("TR_{}", input.u8() & 3));
            let kind = TrackKind::Audio;
            let one =
                Subscription { user_id, session_id: String::new(), kind, width: 0, height: 0, track_id, settings };
            RpcCall::UpdateSubscriptions { session_id, subscriptions: vec![one] }
        }
        _ => RpcCall::IceRestart { session_id, peer: PeerKind::Subscriber },
    }
}

pub fn livekit_frames(data: &[u8]) {
    let mut input = Reader(data);
    let mut session = SignalSession::new(input.u8() & 1 == 0);
    session.begin_link(false, false);
    let (mut waiting, mut steps) = (Vec::new(), 0);
    while !input.is_empty() && steps < 200 {
        steps += 1;
        match input.u8() & 7 {
            0 => {
                let shape = input.u8();
                session.begin_link(shape & 1 == 0, shape & 2 != 0);
                waiting.clear();
            }
            1 => {
                if let (_, Outcome::Later(ticket)) = session.call(&call(&mut input)) {
                    waiting.push(ticket);
                }
            }
            2 => {
                if let Some(ticket) = waiting.pop() {
                    session.give_up(ticket);
                }
            }
            _ => {
                let length = usize::from(input.u16());
                let Some(response) = wire::response(input.bytes(length)) else { continue };
                let effects = session.handle_frame(response, 1);
                assert!(effects.messages.len() <= MAX_MESSAGES, "{} messages", effects.messages.len());
                assert!(effects.frames.len() <= 64 && effects.regions.len() <= 64);
                for (ticket, result) in effects.settled {
                    let index = waiting.iter().position(|w| *w == ticket);
                    assert!(index.is_some(), "a reply without a pending request: {result:?}");
                    waiting.swap_remove(index.unwrap_or(0));
                }
            }
        }
    }
}

pub fn livekit_data(data: &[u8]) {
    let Some((kind, packet)) = data.split_first() else { return };
    let label = ["_reliable", "_lossy", "_data_track", ""][usize::from(kind & 3)];
    let Some(decoded) = data::decode(label, &Bytes::copy_from_slice(packet)) else { return };
    assert!(decoded.from.len() <= 1_024 && kind & 2 == 0, "packet of an unknown channel");
    if let DataBody::Text { .. } | DataBody::Packet { .. } = decoded.body {
        let again = data::encode(&DataOut { to: Vec::new(), delivery: decoded.delivery, body: decoded.body }, 1);
        assert!(!again.is_empty());
    }
}

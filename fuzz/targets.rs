//! Fuzz targets: one function per target, each taking arbitrary bytes. The fuzzer and the replay of the committed
//! corpus (`tests/fuzz_replay.rs`) run the same functions.
//!
//! A target fails by a panic, of the library or of an assertion here that must hold for any input. Must not know: the
//! fuzzer.

#[path = "targets/c_calls.rs"]
mod c_calls;
#[path = "targets/core.rs"]
mod core;
#[path = "targets/livekit.rs"]
mod livekit;
#[path = "targets/video.rs"]
mod video;

pub use c_calls::c_calls;
pub use core::core;
pub use livekit::{livekit_data, livekit_frames};
pub use video::{video_payload, video_track};

use offhook::core::model::{PeerKind, RpcCall, RpcReply, SfuMessage};
use offhook::media::audio::receive::{AudioReceiveConfig, AudioReceiver};
use offhook::media::frame::FrameReceiver;
use offhook::net::understand_proxy;
use offhook::netwatch;
use offhook::rtc::stun as messages;
use offhook::rtc::{candidate, sdp};
use offhook::signalling::{
    stream::untrusted,
    ws::{self, WsLimits},
};
use std::time::Duration;

pub type Target = fn(&[u8]);

/// Every target by name; the corpus of each is in `fuzz/corpus/<name>`.
pub const ALL: &[(&str, Target)] = &[
    ("ws_frames", ws_frames),
    ("sfu_event", sfu_event),
    ("twirp_reply", twirp_reply),
    ("coordinator_json", coordinator_json),
    ("proxy_answer", proxy_answer),
    ("sdp", sdp),
    ("stun", stun),
    ("netlink", netlink),
    ("candidate", candidate),
    ("rtp", rtp),
    ("core", core),
    ("c_calls", c_calls),
    ("livekit_frames", livekit_frames),
    ("livekit_data", livekit_data),
    ("video_payload", video_payload),
    ("video_track", video_track),
];

/// Reads values from an input; at its end every value is zero.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.u8()) % n.max(1)
    }
}

pub fn ws_frames(data: &[u8]) {
    let Some((chunk, data)) = data.split_first() else { return };
    let limits = WsLimits { max_message: 4096, max_fragments: 16, ..WsLimits::default() };
    // The result does not depend on the chunk size.
    let whole = ws::understand(data, data.len(), &limits);
    assert_eq!(whole, ws::understand(data, usize::from(*chunk), &limits));
    assert!(whole.0 <= data.len());
}

pub fn sfu_event(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let message = untrusted::event(kind & 1 == 1, data);
    if let Some(SfuMessage::Joined(state)) = message {
        assert!(state.participants.len() <= 5_000, "more participants than a call can hold");
    }
}

pub fn twirp_reply(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let session_id = || "session".to_owned();
    let call = match kind >> 1 & 3 {
        0 => RpcCall::SetPublisher { session_id: session_id(), sdp: String::new(), tracks: Vec::new() },
        1 => RpcCall::SendAnswer { session_id: session_id(), sdp: String::new(), negotiation_id: 1 },
        2 => RpcCall::IceRestart { session_id: session_id(), peer: PeerKind::Subscriber },
        _ => RpcCall::UpdateSubscriptions { session_id: session_id(), subscriptions: Vec::new() },
    };
    match untrusted::reply(&call, kind & 1 == 1, body) {
        Ok(RpcReply::Publisher { sdp, .. }) => assert!(!sdp.is_empty(), "an empty answer"),
        Ok(RpcReply::Done) => assert!(!matches!(call, RpcCall::SetPublisher { .. })),
        Err(failure) => assert!(failure.message.len() < 4096 && !failure.message.contains('\0')),
    }
}

pub fn coordinator_json(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let status = [200, 201, 400, 401, 403, 404, 429, 500, 503][usize::from(*kind) % 9];
    match untrusted::admission(status, body) {
        Ok(admission) => {
            assert!(!admission.url.is_empty() && !admission.ws_endpoint.is_empty() && !admission.token.is_empty());
            assert!(admission.ice_servers.len() <= 64, "{} ICE servers", admission.ice_servers.len());
        }
        Err(failure) => assert!(!failure.message.is_empty() && failure.message.len() < 4096),
    }
}

pub fn proxy_answer(data: &[u8]) {
    let Some((kind, answer)) = data.split_first() else { return };
    let (socks, authenticated) = (kind & 1 == 1, kind & 2 == 2);
    match understand_proxy(socks, authenticated, answer) {
        Ok(read) => {
            assert!(read <= answer.len().min(8 << 10), "{read} bytes of an answer");
            // What follows an answer has no influence on it.
            assert_eq!(understand_proxy(socks, authenticated, &answer[..read]), Ok(read));
            let shorter = understand_proxy(socks, authenticated, &answer[..read - 1]);
            assert!(shorter.is_err(), "an answer ends early");
        }
        Err(why) => assert!(why.starts_with("the proxy ") && why.len() < 512 && !why.contains("hunter2"), "{why}"),
    }
}

pub fn sdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(prepared) = sdp::prepare_remote(&text) {
        assert!(prepared.len() <= 2 * text.len() + 1024, "{} bytes became {}", text.len(), prepared.len());
        // An accepted description is accepted again after preparation.
        let again = sdp::prepare_remote(&prepared);
        assert!(again.is_ok(), "prepared twice: {again:?}");
    }
    let mids = sdp::mids(&text);
    assert!(mids.len() <= text.len());
    let _ = sdp::ice_ufrag(&text);
    let _ = sdp::offer_passive(&text);
    let (offer, answer) = text.split_at(text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at));
    let _ = sdp::mirror_stereo(offer, answer);
    let senders: Vec<_> = mids.iter().take(4).map(|mid| ((*mid).to_owned(), true, false)).collect();
    let _ = sdp::describe_senders(&text, &senders);
}

/// Messages of STUN and TURN servers and of the remote peer: one datagram, and the same bytes as a stream.
pub fn stun(data: &[u8]) {
    let _ = (messages::message_type(data), messages::transaction(data), messages::mapped(data));
    assert!(messages::error_code(data) < 1_000);
    let named = messages::attributes(data).map(|(_, value)| value.len() + 4).sum::<usize>();
    assert!(named <= data.len(), "attributes are longer than their message");
    assert!(!messages::nominates(data, ""));
    let mut rest = data;
    while let Ok(Some((whole, datagram))) = messages::framed(rest) {
        assert!(datagram <= whole && whole % 4 == 0 && datagram >= 4);
        // More bytes behind a frame do not change it.
        if rest.len() > whole {
            assert_eq!(messages::framed(&rest[..whole]), Ok(Some((whole, datagram))));
        }
        rest = rest.get(whole..).unwrap_or_default();
    }
}

/// Messages of the system about links, addresses and routes.
pub fn netlink(data: &[u8]) {
    let read = netwatch::message::read(data);
    assert!(read.len() <= data.len() / 16);
}

pub fn candidate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = sdp::is_udp_candidate(text);
    let (kept, tcp) = match candidate::parse(text) {
        Ok(candidate::Remote::Udp { candidate, .. }) => (candidate, false),
        Ok(candidate::Remote::Tcp { candidate, .. }) => (candidate, true),
        _ => return,
    };
    assert!(tcp || sdp::is_udp_candidate(&kept), "let through: {kept}");
    let json = candidate::to_json(&kept, "0", 0, "abcd");
    let is_same = |again: Result<candidate::Remote, _>| match again {
        Ok(candidate::Remote::Udp { .. }) => !tcp,
        Ok(candidate::Remote::Tcp { .. }) => tcp,
        _ => json.len() > offhook::core::model::candidate::MAX_CANDIDATE_BYTES,
    };
    assert!(is_same(candidate::parse(&json)));
}

pub fn rtp(data: &[u8]) {
    let mut input = Reader(data);
    let shape = input.u8();
    let deliver_opus = shape & 1 == 1;
    let rate = [48_000, 8_000, 16_000, 44_100, 192_000][usize::from(shape >> 1) % 5];
    let channels = 1 + (shape >> 7);
    let config = AudioReceiveConfig { rate, channels, deliver_opus, ..AudioReceiveConfig::default() };
    let Ok(mut receiver) = AudioReceiver::new(config) else { return };
    let mut samples = Vec::new();
    let (mut now, mut sequence, mut timestamp) = (Duration::from_secs(1), 65_530u16, 0xffff_f000u32);
    let mut steps = 0;
    while !input.is_empty() && steps < 300 {
        steps += 1;
        match input.u8() % 8 {
            0..=2 => {
                sequence = sequence.wrapping_add(1);
                timestamp = timestamp.wrapping_add(960);
            }
            3 => {
                sequence = sequence.wrapping_add(u16::from(input.u8()));
                timestamp = timestamp.wrapping_add(u32::from(input.u16()));
            }
            4 => (sequence, timestamp) = (input.u16(), input.u32()),
            5 => sequence = sequence.wrapping_sub(u16::from(input.u8())),
            6 => receiver.reset(),
            _ => now += Duration::from_millis(u64::from(input.u16())),
        }
        if input.u8() & 3 != 0 {
            let length = usize::from(input.u8());
            let payload = bytes::Bytes::copy_from_slice(input.bytes(length));
            receiver.push(sequence, timestamp, payload, now);
        }
        now += Duration::from_millis(20);
        if deliver_opus {
            for n in 0.. {
                assert!(n <= 200, "endless packets");
                let Some(packet) = receiver.poll(now) else { break };
                assert!(packet.payload.len() <= offhook::media::MAX_PAYLOAD);
            }
        } else if receiver.pull::<f32>(now, &mut samples).is_some() {
            let wanted = rate as usize / 50 * usize::from(channels);
            assert!(samples.len() == wanted || samples.is_empty(), "{} samples", samples.len());
            assert!(samples.iter().all(|s| s.is_finite()), "not a number");
        }
        let _ = receiver.idle(now);
    }
}

//! The SFU's socket and its RPCs.

use crate::server::{frame, http, net, read_frame, reply, serve, silent, upgrade, within, ws, BINARY, TEXT};
use offhook::{
    core::model::{
        CodecSpec, FailureKind, JoinRequest, MuteState, PeerKind, ReconnectDetails, RpcCall, RpcReply, SfuMessage,
        SfuRequest, Strategy, Subscription, TrackInfo, TrackKind,
    },
    error::Secret,
    signalling::{
        stream::{
            socket::{self, SfuReceiver, SfuSender},
            Rpc, SfuSocketOptions, SocketIn,
        },
        ws::WsLimits,
    },
};
use offhook_proto::{
    event::{self as e, sfu_event::EventPayload as P, sfu_request::RequestPayload as R},
    models as m, signal as s,
};
use prost::Message;
use std::{net::SocketAddr, time::Duration};
use tokio::sync::mpsc;

const TOKEN: &str = "planted-sfu-token-0123456789";
const WAIT: Duration = Duration::from_secs(5);

fn options(address: SocketAddr) -> SfuSocketOptions {
    SfuSocketOptions {
        endpoint: format!("ws://{address}/sfu-a/ws?region=x"),
        token: Secret::new(TOKEN),
        attempt: 2,
        user_id: "ann smith".into(),
        api_key: "key".into(),
        session_id: "s-1".into(),
        cid: "default:demo".into(),
    }
}

async fn connect(address: SocketAddr) -> (SfuSender, SfuReceiver) {
    let deadline = tokio::time::Instant::now() + WAIT;
    within(socket::open(&net(), &options(address), WsLimits::default(), deadline)).await.unwrap()
}

fn event(payload: P) -> Vec<u8> {
    e::SfuEvent { event_payload: Some(payload) }.encode_to_vec()
}

fn track() -> TrackInfo {
    TrackInfo {
        track_id: "t-1".into(),
        kind: TrackKind::Audio,
        mid: "0".into(),
        muted: true,
        dtx: true,
        stereo: true,
        red: true,
        codec: CodecSpec { name: "opus".into(), payload_type: 111, clock_rate: 48_000, ..Default::default() },
        publish_option_id: 3,
        layers: Vec::new(),
    }
}

fn wanted() -> Subscription {
    Subscription {
        user_id: "bob".into(),
        session_id: "s-2".into(),
        kind: TrackKind::ScreenShare,
        width: 640,
        height: 360,
        track_id: String::new(),
        settings: Default::default(),
    }
}

#[tokio::test]
async fn the_socket_joins_and_receives_in_every_form() {
    let (report, mut seen) = mpsc::channel(16);
    let (address, _) = serve(move |mut stream| {
        let report = report.clone();
        async move {
            let end = event(P::CallEnded(e::CallEnded { reason: 1 }));
            let level = e::AudioLevel { session_id: "s".into(), level: 0.75, is_speaking: true, ..Default::default() };
            let levels = event(P::AudioLevelChanged(e::AudioLevelChanged { audio_levels: vec![level] }));
            let offer = event(P::SubscriberOffer(e::SubscriberOffer { sdp: "é".repeat(200), ..Default::default() }));
            let (first, second) = offer.split_at(201);
            let bytes = [
                frame(BINARY, &end),
                frame(TEXT, &[&levels[..], b"\xfa\x06\x01\xff"].concat()),
                frame(BINARY, b"\xff\xff\xff"),
                frame(TEXT, b"{\"goAway\":"),
                frame(TEXT, br#"{"goAway":{"reason":"GO_AWAY_REASON_REBALANCE"},"later":1}"#),
                frame(0x01, first),
                frame(0x80, second),
            ];
            let head = upgrade(&mut stream, &bytes.concat()).await.unwrap();
            let _ = report.send((head, Vec::new())).await;
            while let Some((_, payload)) = read_frame(&mut stream).await {
                let _ = report.send((String::new(), payload)).await;
            }
        }
    })
    .await;
    let (sender, mut receiver) = connect(address).await;
    let head = within(seen.recv()).await.unwrap().0;
    assert!(
        head.starts_with(
            "GET /sfu-a/ws?region=x&attempt=2&user_id=ann+smith&api_key=key&user_session_id=s-1&cid=default%3Ademo HTTP/1.1"
        ),
        "{head}"
    );
    assert!(!head.contains(TOKEN));
    let mut received = Vec::new();
    for _ in 0..6 {
        received.push(within(receiver.next()).await);
    }
    assert!(matches!(received[0], SocketIn::Message(SfuMessage::CallEnded(_))));
    assert!(matches!(received[1], SocketIn::Message(SfuMessage::AudioLevels(_))), "an unknown field is skipped");
    assert_eq!(received[2], SocketIn::Malformed);
    assert_eq!(received[3], SocketIn::Malformed);
    assert_eq!(received[4], SocketIn::Message(SfuMessage::GoAway { reason: 2 }));
    let SocketIn::Message(SfuMessage::SubscriberOffer { sdp, .. }) = &received[5] else { panic!("{received:?}") };
    assert_eq!(sdp.len(), 400);

    // Malformed frames did not cost the socket: it still writes.
    let reconnect = ReconnectDetails {
        strategy: Strategy::Fast,
        announced_tracks: vec![track()],
        subscriptions: vec![wanted()],
        attempt: 4,
        from_sfu_id: "sfu-b".into(),
        previous_session_id: "s-0".into(),
        reason: "lost".into(),
    };
    let join = JoinRequest {
        session_id: "s-1".into(),
        unified_session_id: "u-1".into(),
        subscriber_sdp: "sub".into(),
        publisher_sdp: "pub".into(),
        reconnect: Some(reconnect),
    };
    sender.send(&SfuRequest::Join(Box::new(join))).unwrap();
    sender.send(&SfuRequest::Health).unwrap();
    sender.send(&SfuRequest::Leave { session_id: "s-1".into(), reason: "é".repeat(500) }).unwrap();
    let mut next = async || {
        let payload = within(seen.recv()).await.unwrap().1;
        e::SfuRequest::decode(&payload[..]).unwrap().request_payload.unwrap()
    };
    let R::JoinRequest(join) = next().await else { panic!("not a join") };
    assert_eq!(
        (join.token.as_str(), join.session_id.as_str(), join.unified_session_id.as_str()),
        (TOKEN, "s-1", "u-1")
    );
    assert_eq!((join.subscriber_sdp.as_str(), join.publisher_sdp.as_str()), ("sub", "pub"));
    assert!(join.capabilities.is_empty(), "video is not received, and cannot be paused");
    assert!(join.client_details.as_ref().is_some_and(|details| details.sdk.is_some() && details.os.is_some()));
    #[allow(deprecated)]
    let fast = join.fast_reconnect;
    assert!(fast);
    let details = join.reconnect_details.unwrap();
    assert_eq!((details.strategy, details.reconnect_attempt), (2, 4));
    assert_eq!((details.from_sfu_id.as_str(), details.previous_session_id.as_str()), ("sfu-b", "s-0"));
    let announced = &details.announced_tracks[0];
    assert_eq!((announced.track_type, announced.mid.as_str(), announced.publish_option_id), (1, "0", 3));
    assert!(announced.muted && announced.dtx && announced.stereo && announced.red);
    assert_eq!(announced.codec.as_ref().unwrap().payload_type, 111);
    assert_eq!(details.subscriptions[0].dimension, Some(m::VideoDimension { width: 640, height: 360 }));
    assert!(matches!(next().await, R::HealthCheckRequest(_)));
    let R::LeaveCallRequest(leave) = next().await else { panic!("not a leave") };
    assert_eq!((leave.session_id.as_str(), leave.reason.len()), ("s-1", 114));
}

#[tokio::test]
async fn text_that_is_not_utf8_is_protobuf() {
    let level = e::AudioLevel { session_id: "s".into(), level: -1.5, is_speaking: true, ..Default::default() };
    let levels = event(P::AudioLevelChanged(e::AudioLevelChanged { audio_levels: vec![level] }));
    let counts = event(P::HealthCheckResponse(e::HealthCheckResponse {
        participant_count: Some(m::ParticipantCount { total: 200, anonymous: 0 }),
    }));
    assert!(std::str::from_utf8(&levels).is_err(), "the sample must not be UTF-8");
    let address = ws([frame(TEXT, &levels), frame(TEXT, &counts)].concat(), |mut stream| async move {
        while read_frame(&mut stream).await.is_some() {}
    })
    .await;
    let (_sender, mut receiver) = connect(address).await;
    let SocketIn::Message(SfuMessage::AudioLevels(received)) = within(receiver.next()).await else { panic!("unread") };
    assert_eq!(received, [("s".to_owned(), 0.0, true)]);
    let SocketIn::Message(SfuMessage::Health(counts)) = within(receiver.next()).await else { panic!("unread") };
    assert_eq!(counts.total, 200);
}

#[tokio::test]
async fn inflated_events_are_too_large_and_the_socket_stays() {
    let participants = vec![m::Participant::default(); 300_000];
    let state = m::CallState { participants, ..Default::default() };
    let joined = event(P::JoinResponse(e::JoinResponse { call_state: Some(state), ..Default::default() }));
    assert!(joined.len() < 1 << 20, "it fits a frame, which is the point");
    let ended = event(P::CallEnded(e::CallEnded { reason: 1 }));
    let address = ws([frame(BINARY, &joined), frame(BINARY, &ended)].concat(), |mut stream| async move {
        while read_frame(&mut stream).await.is_some() {}
    })
    .await;
    let (_sender, mut receiver) = connect(address).await;
    assert!(matches!(within(receiver.next()).await, SocketIn::Message(SfuMessage::TooLarge(_))));
    assert!(matches!(within(receiver.next()).await, SocketIn::Message(SfuMessage::CallEnded(_))));
}

#[tokio::test]
async fn the_end_of_the_socket_is_reported_and_no_token_with_it() {
    let error = m::Error { code: 401, message: format!("token {TOKEN} expired"), should_retry: false };
    let error = event(P::Error(e::Error { error: Some(error), reconnect_strategy: 1 }));
    let address = ws([frame(BINARY, &error), frame(0x88, b"\x10\x05")].concat(), |_stream| async {}).await;
    let (sender, mut receiver) = connect(address).await;
    let first = within(receiver.next()).await;
    let SocketIn::Message(SfuMessage::Error { error, strategy }) = &first else { panic!("{first:?}") };
    assert_eq!((error.code, error.message.as_str()), (401, "token <secret> expired"));
    assert_eq!(*strategy, Strategy::Disconnect);
    assert_eq!(within(receiver.next()).await, SocketIn::Closed { code: 4101 });
    within(sender.done()).await;
    let shown = format!("{sender:?} {receiver:?} {first:?} {:?}", options(address));
    assert!(!shown.contains(TOKEN), "{shown}");

    let deadline = tokio::time::Instant::now() + Duration::from_millis(200);
    let quiet = options(silent().await);
    let failure = within(socket::open(&net(), &quiet, WsLimits::default(), deadline)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    let remote = SfuSocketOptions { endpoint: format!("ws://192.0.2.1/?t={TOKEN}"), ..quiet };
    let failure = within(socket::open(&net(), &remote, WsLimits::default(), deadline)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Insecure);
    assert!(!format!("{failure:?} {remote:?}").contains(TOKEN));
}

fn rpc(address: SocketAddr) -> Rpc {
    Rpc::new(net(), &format!("http://{address}/sfu-a/twirp"), Secret::new(TOKEN)).unwrap()
}

fn protobuf(message: impl Message) -> Vec<u8> {
    reply("200 OK", "content-type: application/protobuf\r\n", message.encode_to_vec())
}

/// Makes `call`, returns the path that was asked for and the decoded request.
async fn asked<T: Message + Default>(call: RpcCall) -> (String, T) {
    let (address, mut seen, _) = http(protobuf(s::SendAnswerResponse::default())).await;
    assert_eq!(within(rpc(address).call(&call, WAIT)).await, Ok(RpcReply::Done));
    let seen = within(seen.recv()).await.unwrap();
    let head = seen.head.to_ascii_lowercase();
    assert!(head.contains(&format!("\r\nauthorization: {TOKEN}\r\n")), "{head}");
    assert!(head.contains("\r\ncontent-type: application/protobuf\r\n"), "{head}");
    let path = seen.head.split(' ').nth(1).unwrap().to_owned();
    (path, T::decode(&seen.body[..]).unwrap())
}

#[tokio::test]
async fn every_rpc_asks_at_its_path_with_its_fields() {
    let base = "/sfu-a/twirp/stream.video.sfu.signal.SignalServer";
    let session_id = || "s-1".to_owned();
    let (path, answer) = asked::<s::SendAnswerRequest>(RpcCall::SendAnswer {
        session_id: session_id(),
        sdp: "sdp".into(),
        negotiation_id: 9,
    })
    .await;
    assert_eq!(path, format!("{base}/SendAnswer"));
    assert_eq!((answer.peer_type, answer.negotiation_id, answer.sdp.as_str()), (1, 9, "sdp"));
    let (path, trickle) = asked::<m::IceTrickle>(RpcCall::IceTrickle {
        session_id: session_id(),
        peer: PeerKind::Subscriber,
        candidate: "{}".into(),
    })
    .await;
    assert_eq!(path, format!("{base}/IceTrickle"));
    assert_eq!((trickle.peer_type, trickle.ice_candidate.as_str(), trickle.session_id.as_str()), (1, "{}", "s-1"));
    let restart = RpcCall::IceRestart { session_id: session_id(), peer: PeerKind::Subscriber };
    let (path, restart) = asked::<s::IceRestartRequest>(restart).await;
    assert_eq!((path, restart.peer_type), (format!("{base}/IceRestart"), 1));
    let audio = Subscription { kind: TrackKind::ScreenShareAudio, width: 0, height: 0, ..wanted() };
    let (path, update) = asked::<s::UpdateSubscriptionsRequest>(RpcCall::UpdateSubscriptions {
        session_id: session_id(),
        subscriptions: vec![wanted(), audio],
    })
    .await;
    assert_eq!((path, update.tracks.len()), (format!("{base}/UpdateSubscriptions"), 2));
    assert_eq!((update.tracks[0].track_type, update.tracks[1].dimension), (3, None));
    let state = |kind, muted| MuteState { track_id: "t-1".into(), kind, muted };
    let states = vec![state(TrackKind::Audio, true), state(TrackKind::Video, false)];
    let (path, mute) =
        asked::<s::UpdateMuteStatesRequest>(RpcCall::UpdateMuteStates { session_id: session_id(), states }).await;
    assert_eq!(path, format!("{base}/UpdateMuteStates"));
    assert_eq!((mute.mute_states[0].track_type, mute.mute_states[0].muted), (1, true));
    let (path, stats) = asked::<s::SendStatsRequest>(RpcCall::SendStats {
        session_id: session_id(),
        unified_session_id: "u".into(),
        subscriber_stats: "[]".into(),
        publisher_stats: "[1]".into(),
    })
    .await;
    assert_eq!((path, stats.publisher_stats.as_str()), (format!("{base}/SendStats"), "[1]"));
}

fn set_publisher() -> RpcCall {
    RpcCall::SetPublisher { session_id: "s-1".into(), sdp: "offer".into(), tracks: vec![track()] }
}

async fn refused(bytes: Vec<u8>) -> offhook::core::model::Failure {
    let (address, _seen, _) = http(bytes).await;
    within(rpc(address).call(&set_publisher(), WAIT)).await.unwrap_err()
}

#[tokio::test]
async fn set_publisher_brings_the_answer() {
    let answer = s::SetPublisherResponse { sdp: "answer".into(), ice_restart: true, ..Default::default() };
    let expected = RpcReply::Publisher { sdp: "answer".into(), ice_restart: true };
    let (address, mut seen, _) = http(protobuf(answer)).await;
    assert_eq!(within(rpc(address).call(&set_publisher(), WAIT)).await, Ok(expected.clone()));
    let request = s::SetPublisherRequest::decode(&within(seen.recv()).await.unwrap().body[..]).unwrap();
    assert_eq!((request.sdp.as_str(), request.tracks.len()), ("offer", 1));
    // A server that answers in JSON all the same.
    let json = reply("200 OK", "content-type: application/json\r\n", r#"{"sdp":"answer","iceRestart":true}"#);
    let (address, _seen, _) = http(json).await;
    assert_eq!(within(rpc(address).call(&set_publisher(), WAIT)).await, Ok(expected));
    assert_eq!(refused(protobuf(s::SetPublisherResponse::default())).await.kind, FailureKind::Malformed);
}

#[tokio::test]
async fn both_kinds_of_error_are_seen() {
    let error = Some(m::Error { code: 205, message: format!("gone, {TOKEN}"), should_retry: true });
    let failure = refused(protobuf(s::SetPublisherResponse { sdp: "x".into(), error, ..Default::default() })).await;
    assert_eq!((failure.kind, failure.code, failure.should_retry), (FailureKind::Sfu, 205, true));
    assert_eq!(failure.message, "gone, <secret>");
    // An error that says nothing is none.
    let error = Some(m::Error::default());
    let (address, _seen, _) =
        http(protobuf(s::SetPublisherResponse { sdp: "x".into(), error, ..Default::default() })).await;
    assert!(within(rpc(address).call(&set_publisher(), WAIT)).await.is_ok());

    let twirp = format!(r#"{{"code":"unauthenticated","msg":"{TOKEN} is over"}}"#);
    let failure = refused(reply("401 Unauthorized", "content-type: application/json\r\n", twirp)).await;
    assert_eq!(failure.kind, FailureKind::Http { status: 401 });
    assert_eq!(failure.message, "unauthenticated: <secret> is over");
    let failure = refused(reply("503 Service Unavailable", "retry-after: 2\r\n", "down")).await;
    assert_eq!(failure.retry_after_ms, Some(2000));
    assert!(failure.message.contains("SetPublisher"), "{}", failure.message);
}

#[tokio::test]
async fn rpc_replies_are_bounded_in_size_and_time() {
    assert_eq!(refused(reply("200 OK", "", vec![0xff; 100])).await.kind, FailureKind::Malformed);
    let large = s::SetPublisherResponse { sdp: "x".repeat(2 << 20), ..Default::default() };
    assert_eq!(refused(protobuf(large)).await.kind, FailureKind::TooLarge);
    let failure = within(rpc(silent().await).call(&set_publisher(), Duration::from_millis(200))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(!format!("{failure:?} {:?}", rpc(silent().await)).contains(TOKEN));
    assert_eq!(Rpc::new(net(), "http://192.0.2.1/twirp", Secret::new(TOKEN)).unwrap_err().kind, FailureKind::Insecure);
}

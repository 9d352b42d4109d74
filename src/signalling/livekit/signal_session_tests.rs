//! The signalling session, frame by frame.

use super::*;
use pb::participant_info::State;

fn receive(d: &mut SignalSession, message: ServerMessage) -> FrameEffects {
    d.handle_frame(pb::SignalResponse { message: Some(message) }, 1_000)
}

fn client_messages(frames: Vec<pb::SignalRequest>) -> Vec<ClientMessage> {
    frames.into_iter().filter_map(|f| f.message).collect()
}

fn person(sid: &str, version: u32) -> pb::ParticipantInfo {
    pb::ParticipantInfo {
        sid: sid.into(),
        identity: sid.to_lowercase(),
        state: State::Active as i32,
        version,
        ..Default::default()
    }
}

fn joined() -> SignalSession {
    joined_with(false)
}

fn joined_with(one_connection: bool) -> SignalSession {
    let mut d = SignalSession::new(true);
    d.begin_link(false, one_connection);
    let join = pb::JoinResponse {
        room: Some(pb::Room { name: "room".into(), ..Default::default() }),
        participant: Some(person("ME", 1)),
        other_participants: vec![person("ANN", 3)],
        ping_interval: 5,
        ping_timeout: 15,
        ..Default::default()
    };
    let effects = receive(&mut d, ServerMessage::Join(join));
    let [SfuMessage::Joined(state)] = &effects.messages[..] else { panic!("{effects:?}") };
    assert_eq!((state.session_id.as_str(), state.participants.len(), state.counts.total), ("ME", 2, 2));
    assert_eq!((state.one_connection, state.publisher_first, state.offers_at_once), (one_connection, true, false));
    assert_eq!(state.health, Some(Health { ping: Duration::from_secs(5), silent: Duration::from_secs(15) }));
    d
}

fn track(cid: &str) -> TrackInfo {
    TrackInfo {
        track_id: cid.into(),
        kind: TrackKind::Audio,
        mid: "0".into(),
        muted: false,
        dtx: true,
        stereo: false,
        red: false,
        codec: CodecSpec::default(),
        publish_option_id: 0,
        layers: Vec::new(),
    }
}

fn publish(sdp: &str, tracks: Vec<TrackInfo>) -> RpcCall {
    RpcCall::SetPublisher { session_id: String::new(), sdp: sdp.into(), tracks }
}

fn later(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Later(ticket) => ticket,
        Outcome::Now(result) => panic!("settled at once: {result:?}"),
    }
}

fn published(d: &mut SignalSession, cid: &str, sid: &str) -> FrameEffects {
    let track = pb::TrackInfo { sid: sid.into(), ..Default::default() };
    receive(d, ServerMessage::TrackPublished(pb::TrackPublishedResponse { cid: cid.into(), track: Some(track) }))
}

fn answer(d: &mut SignalSession, id: u32) -> FrameEffects {
    receive(d, ServerMessage::Answer(outgoing::description("answer", "v=0 answer", id)))
}

fn join_again() -> SfuRequest {
    SfuRequest::Join(Box::new(JoinRequest {
        session_id: "ME".into(),
        unified_session_id: String::new(),
        subscriber_sdp: String::new(),
        publisher_sdp: String::new(),
        reconnect: None,
    }))
}

/// A session with the track "c" published as TR_1.
fn with_published_track() -> SignalSession {
    let mut d = joined();
    let (_, outcome) = d.call(&publish("v=0", vec![track("c")]));
    later(outcome);
    published(&mut d, "c", "TR_1");
    assert_eq!(answer(&mut d, 1).settled.len(), 1);
    d
}

#[test]
fn a_track_is_announced_then_offered_then_answered() {
    let mut d = joined();
    let (frames, outcome) = d.call(&publish("v=0 offer", vec![track("a"), track("b")]));
    let ticket = later(outcome);
    let cids: Vec<_> = client_messages(frames)
        .into_iter()
        .map(|a| if let ClientMessage::AddTrack(a) = a { a.cid } else { panic!() })
        .collect();
    assert_eq!(cids, ["a", "b"]);
    assert!(published(&mut d, "a", "TR_a").frames.is_empty(), "one confirmation is missing");
    assert!(answer(&mut d, 1).settled.is_empty(), "nothing was offered yet");
    let frames = published(&mut d, "b", "TR_b").frames;
    let [ClientMessage::Offer(offer)] = &client_messages(frames)[..] else { panic!("no offer") };
    assert_eq!((offer.sdp.as_str(), offer.r#type.as_str()), ("v=0 offer", "offer"));
    assert!(answer(&mut d, offer.id + 7).settled.is_empty(), "the answer to another offer");
    let settled = answer(&mut d, offer.id).settled;
    assert!(matches!(&settled[..], [(t, Ok(RpcReply::Publisher { sdp, .. }))] if *t == ticket && sdp == "v=0 answer"));
    assert!(answer(&mut d, offer.id).settled.is_empty(), "once");
    // Known tracks are not announced again; older servers do not number their answers.
    let (frames, outcome) = d.call(&publish("v=0", vec![track("a"), track("b")]));
    let ticket = later(outcome);
    assert!(matches!(&client_messages(frames)[..], [ClientMessage::Offer(_)]));
    assert_eq!(answer(&mut d, 0).settled[0].0, ticket);
}

#[test]
fn replies_to_abandoned_requests_are_ignored() {
    let mut d = joined();
    let (_, outcome) = d.call(&publish("v=0", vec![track("a")]));
    d.give_up(later(outcome));
    assert!(published(&mut d, "a", "TR_a").frames.is_empty());
    assert!(answer(&mut d, 1).settled.is_empty());
    // At the next attempt the track is already announced.
    let (frames, outcome) = d.call(&publish("v=0", vec![track("a")]));
    let ticket = later(outcome);
    let [ClientMessage::Offer(offer)] = &client_messages(frames)[..] else { panic!("no offer") };
    assert!(answer(&mut d, 1).settled.is_empty(), "answer to the previous attempt");
    assert_eq!(answer(&mut d, offer.id).settled[0].0, ticket);
}

#[test]
fn a_refused_track_is_an_error_with_the_servers_text() {
    let mut d = joined();
    let (frames, outcome) = d.call(&publish("v=0", vec![track("a")]));
    let ticket = later(outcome);
    let [ClientMessage::AddTrack(add)] = &client_messages(frames)[..] else { panic!() };
    let response = pb::RequestResponse {
        reason: pb::request_response::Reason::NotAllowed as i32,
        message: "no right".into(),
        request: Some(pb::request_response::Request::AddTrack(add.clone())),
        ..Default::default()
    };
    let settled = receive(&mut d, ServerMessage::RequestResponse(response.clone())).settled;
    assert!(matches!(&settled[..], [(t, Err(f))] if *t == ticket && f.code == 403 && f.message == "no right"));
    assert!(receive(&mut d, ServerMessage::RequestResponse(response)).settled.is_empty(), "once");
}

#[test]
fn mutes_use_the_servers_track_names() {
    let mut d = with_published_track();
    let state = |id: &str| MuteState { track_id: id.into(), kind: TrackKind::Audio, muted: true };
    let mute = |d: &mut SignalSession, id| {
        d.call(&RpcCall::UpdateMuteStates { session_id: String::new(), states: vec![state(id)] })
    };
    for id in ["c", ""] {
        let (frames, outcome) = mute(&mut d, id);
        assert!(
            matches!(&client_messages(frames)[..], [ClientMessage::Mute(m)] if m.sid == "TR_1" && m.muted),
            "'{id}'"
        );
        assert!(matches!(outcome, Outcome::Now(Ok(_))));
    }
    assert!(mute(&mut d, "gone").0.is_empty());
    let effects = receive(&mut d, ServerMessage::Mute(pb::MuteTrackRequest { sid: "TR_1".into(), muted: true }));
    assert_eq!(effects.messages, [SfuMessage::LocalMuted { track_id: "c".into(), muted: true }]);
    let effects =
        receive(&mut d, ServerMessage::TrackUnpublished(pb::TrackUnpublishedResponse { track_sid: "TR_1".into() }));
    assert_eq!(effects.messages, [SfuMessage::LocalUnpublished { track_id: "c".into() }]);
    let unknown = receive(&mut d, ServerMessage::Mute(pb::MuteTrackRequest { sid: "TR_9".into(), muted: true }));
    assert_eq!(unknown.messages, [SfuMessage::Alive]);
}

#[test]
fn a_resume_sends_the_client_state_and_a_new_session_does_not() {
    let mut d = with_published_track();
    receive(&mut d, ServerMessage::Offer(outgoing::description("offer", "v=0 sub", 36)));
    let call = RpcCall::SendAnswer { session_id: String::new(), sdp: "v=0 mine".into(), negotiation_id: 36 };
    let (frames, _) = d.call(&call);
    assert!(matches!(&client_messages(frames)[..], [ClientMessage::Answer(a)] if a.id == 36 && a.sdp == "v=0 mine"));
    d.has_data_channels();
    d.begin_link(true, false);
    let frames = client_messages(d.request(&join_again(), 1));
    let [ClientMessage::SyncState(state)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(state.offer.as_ref().map(|o| o.id), Some(36));
    assert_eq!(state.answer.as_ref().map(|a| a.sdp.as_str()), Some("v=0 mine"));
    assert_eq!((state.publish_tracks[0].cid.as_str(), state.data_channels.len()), ("c", 2));
    let effects = receive(&mut d, ServerMessage::Reconnect(pb::ReconnectResponse::default()));
    assert!(
        matches!(&effects.messages[..], [SfuMessage::Joined(s)] if s.reconnected && s.session_id == "ME" && s.counts.total == 2)
    );
    // The track is known to the server: it is offered, not announced.
    let (frames, _) = d.call(&publish("v=0", vec![track("c")]));
    assert!(matches!(&client_messages(frames)[..], [ClientMessage::Offer(_)]));
    d.begin_link(false, false);
    assert!(d.request(&join_again(), 1).is_empty() && d.sid().is_empty());
    let (frames, _) = d.call(&publish("v=0", vec![track("c")]));
    assert!(matches!(&client_messages(frames)[..], [ClientMessage::AddTrack(_)]));
}

#[test]
fn updates_are_complete_and_outdated_ones_are_ignored() {
    let mut d = joined();
    let update = |d: &mut SignalSession, p: pb::ParticipantInfo| {
        receive(d, ServerMessage::Update(pb::ParticipantUpdate { participants: vec![p] })).messages
    };
    let mut ann = person("ANN", 4);
    ann.tracks = vec![pb::TrackInfo { sid: "TR_a".into(), name: "n".into(), muted: true, ..Default::default() }];
    let messages = update(&mut d, ann.clone());
    let [SfuMessage::ParticipantState(p)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((p.track_prefix.as_str(), p.published[0].id.as_str(), p.published[0].muted), ("ANN", "TR_a", true));
    assert!(update(&mut d, person("ANN", 3)).is_empty(), "older");
    let gone = pb::ParticipantInfo { state: State::Disconnected as i32, ..person("ANN", 5) };
    assert!(
        matches!(&update(&mut d, gone.clone())[..], [SfuMessage::ParticipantLeft { session_id, .. }] if session_id == "ANN")
    );
    assert!(update(&mut d, ann).is_empty(), "a session id is not reused after a leave");
    assert!(update(&mut d, gone).is_empty(), "twice");
    assert!(update(&mut d, pb::ParticipantInfo { state: State::Disconnected as i32, ..person("ME", 9) }).is_empty());
    let mut me = person("ME", 10);
    me.permission = Some(pb::ParticipantPermission { can_publish: false, ..Default::default() });
    let messages = update(&mut d, me.clone());
    assert!(matches!(&messages[..], [SfuMessage::Grants(g), SfuMessage::ParticipantState(_)] if !g.audio));
    me.version = 11;
    assert!(matches!(&update(&mut d, me)[..], [SfuMessage::ParticipantState(_)]), "grants once");
}

#[test]
fn only_changed_settings_are_sent() {
    let mut d = joined();
    let subscription = |id: &str, settings| Subscription {
        user_id: String::new(),
        session_id: "ANN".into(),
        kind: TrackKind::Video,
        width: 0,
        height: 0,
        track_id: id.into(),
        settings,
    };
    let mut update = |subscriptions: Vec<Subscription>| {
        let call = RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions };
        client_messages(d.call(&call).0)
    };
    let off = SubscriptionSettings { subscribed: false, ..SubscriptionSettings::default() };
    let paused = SubscriptionSettings { enabled: false, ..SubscriptionSettings::default() };
    let requests = update(vec![
        subscription("a", off),
        subscription("b", paused),
        subscription("c", SubscriptionSettings::default()),
    ]);
    assert!(matches!(&requests[..], [ClientMessage::Subscription(s), ClientMessage::TrackSetting(t)]
        if s.track_sids == ["a"] && !s.subscribe && t.track_sids == ["b"] && t.disabled));
    assert!(update(vec![subscription("a", off), subscription("b", paused)]).is_empty());
    let small = SubscriptionSettings { width: 320, height: 180, ..SubscriptionSettings::default() };
    let requests = update(vec![subscription("a", SubscriptionSettings::default()), subscription("b", small)]);
    assert!(
        matches!(&requests[..], [ClientMessage::Subscription(s), ClientMessage::TrackSetting(t)] if s.subscribe && (t.width, t.disabled) == (320, false))
    );
}

#[test]
fn after_a_resume_every_setting_is_sent_again() {
    let mut d = joined();
    let subscription = |subscribed| Subscription {
        user_id: String::new(),
        session_id: "ANN".into(),
        kind: TrackKind::Audio,
        width: 0,
        height: 0,
        track_id: "a".into(),
        settings: SubscriptionSettings { subscribed, ..SubscriptionSettings::default() },
    };
    let update = |d: &mut SignalSession, subscription| {
        let call = RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions: vec![subscription] };
        client_messages(d.call(&call).0)
    };
    update(&mut d, subscription(false));
    // Sent on a dead socket: the server still has the opposite setting, and a resume lists only unwanted tracks.
    update(&mut d, subscription(true));
    d.begin_link(true, false);
    let requests = update(&mut d, subscription(true));
    assert!(
        matches!(&requests[..], [ClientMessage::Subscription(s), ClientMessage::TrackSetting(t)] if s.subscribe && !t.disabled)
    );
    assert!(update(&mut d, subscription(true)).is_empty(), "once");
}

#[test]
fn video_is_declined_as_soon_as_it_is_announced() {
    let video =
        |sid: &str| pb::TrackInfo { sid: sid.into(), r#type: pb::TrackType::Video as i32, ..Default::default() };
    let with = |version, tracks: Vec<pb::TrackInfo>| pb::ParticipantInfo { tracks, ..person("ANN", version) };
    let microphone = pb::TrackInfo { sid: "TR_mic".into(), ..Default::default() };
    let update = |d: &mut SignalSession, version, tracks| {
        let participants = vec![with(version, tracks)];
        client_messages(receive(d, ServerMessage::Update(pb::ParticipantUpdate { participants })).frames)
    };
    let mut d = joined();
    let requests = update(&mut d, 4, vec![microphone.clone(), video("TR_cam")]);
    assert!(
        matches!(&requests[..], [ClientMessage::Subscription(s)] if s.track_sids == ["TR_cam"] && !s.subscribe),
        "{requests:?}"
    );
    let requests = update(&mut d, 5, vec![microphone.clone(), video("TR_cam"), video("TR_screen")]);
    assert!(
        matches!(&requests[..], [ClientMessage::Subscription(s)] if s.track_sids == ["TR_screen"] && !s.subscribe),
        "once each"
    );
    // Video cannot be requested, and a server that subscribes anyway gets another unsubscribe.
    let subscription = Subscription {
        user_id: "ann".into(),
        session_id: "ANN".into(),
        kind: TrackKind::Video,
        width: 640,
        height: 480,
        track_id: "TR_cam".into(),
        settings: SubscriptionSettings::default(),
    };
    let call = RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions: vec![subscription] };
    assert!(d.call(&call).0.is_empty());
    let update_permission =
        pb::SubscriptionPermissionUpdate { participant_sid: "ANN".into(), track_sid: "TR_cam".into(), allowed: true };
    let requests =
        client_messages(receive(&mut d, ServerMessage::SubscriptionPermissionUpdate(update_permission)).frames);
    assert!(matches!(&requests[..], [ClientMessage::Subscription(s)] if s.track_sids == ["TR_cam"] && !s.subscribe));
    // A resume lists it; a new session starts with it.
    d.begin_link(true, false);
    let [ClientMessage::SyncState(state)] = &client_messages(d.request(&join_again(), 0))[..] else { panic!() };
    assert_eq!(state.subscription.as_ref().map(|s| s.track_sids.len()), Some(2));
    d.begin_link(false, false);
    let join = pb::JoinResponse {
        room: Some(pb::Room::default()),
        participant: Some(person("ME", 1)),
        other_participants: vec![with(6, vec![video("TR_cam"), microphone])],
        ..Default::default()
    };
    let requests = client_messages(receive(&mut d, ServerMessage::Join(join)).frames);
    assert!(matches!(&requests[..], [ClientMessage::Subscription(s)] if s.track_sids == ["TR_cam"] && !s.subscribe));
}

#[test]
fn unwanted_tracks_are_declined_again_when_the_server_subscribes() {
    let mut d = joined();
    let off = Subscription {
        user_id: "ann".into(),
        session_id: "ANN".into(),
        kind: TrackKind::Audio,
        width: 0,
        height: 0,
        track_id: "a".into(),
        settings: SubscriptionSettings { subscribed: false, ..SubscriptionSettings::default() },
    };
    d.call(&RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions: vec![off] });
    let may = |track_sid: &str, allowed| {
        let (participant_sid, track_sid) = ("ANN".into(), track_sid.into());
        ServerMessage::SubscriptionPermissionUpdate(pb::SubscriptionPermissionUpdate {
            participant_sid,
            track_sid,
            allowed,
        })
    };
    let effects = receive(&mut d, may("a", true));
    assert_eq!(effects.messages, [SfuMessage::Alive]);
    assert!(
        matches!(&client_messages(effects.frames)[..], [ClientMessage::Subscription(s)] if s.track_sids == ["a"] && !s.subscribe)
    );
    let effects = receive(&mut d, may("b", true));
    assert!(effects.frames.is_empty() && effects.messages == [SfuMessage::Alive], "it was not unsubscribed");
    let reported = |effects: FrameEffects| matches!(effects.messages[..], [SfuMessage::Subscribable { .. }]);
    assert!(reported(receive(&mut d, may("b", false))) && !reported(receive(&mut d, may("b", false))));
    assert!(reported(receive(&mut d, may("b", true))) && !reported(receive(&mut d, may("b", true))));
}

#[test]
fn attribute_updates_wait_for_the_servers_reply() {
    let mut d = joined();
    let update = SelfUpdate { name: Some("N".into()), metadata: None, attributes: vec![("k".into(), "v".into())] };
    let call = RpcCall::UpdateSelf { session_id: String::new(), update };
    let (frames, outcome) = d.call(&call);
    let [ClientMessage::UpdateMetadata(request)] = &client_messages(frames)[..] else { panic!() };
    assert_eq!((request.name.as_str(), request.attributes["k"].as_str()), ("N", "v"));
    let reply = |id, reason: pb::request_response::Reason| {
        ServerMessage::RequestResponse(pb::RequestResponse {
            request_id: id,
            reason: reason as i32,
            ..Default::default()
        })
    };
    let ticket = later(outcome);
    assert!(receive(&mut d, reply(request.request_id + 1, pb::request_response::Reason::Ok)).settled.is_empty());
    let settled = receive(&mut d, reply(request.request_id, pb::request_response::Reason::NotAllowed)).settled;
    assert!(matches!(&settled[..], [(t, Err(f))] if *t == ticket && f.code == 403));
    for _ in 0..MAX_WAITING {
        later(d.call(&call).1);
    }
    assert!(matches!(d.call(&call).1, Outcome::Now(Err(_))), "bounded");
}

#[test]
fn a_server_that_cannot_admit_names_another() {
    let mut d = SignalSession::new(true);
    d.begin_link(false, false);
    let join = pb::JoinResponse { alternative_url: "wss://b.example.com".into(), ..Default::default() };
    let effects = receive(&mut d, ServerMessage::Join(join));
    assert!(matches!(&effects.messages[..], [SfuMessage::Advice { strategy: Strategy::Rejoin, leave_edge: true, .. }]));
    assert_eq!(effects.regions, ["wss://b.example.com"]);
    let moved = pb::RoomMovedResponse { token: "fresh-token".into(), ..Default::default() };
    let effects = receive(&mut d, ServerMessage::RoomMoved(moved));
    assert!(matches!(&effects.messages[..], [SfuMessage::Token(_), SfuMessage::Advice { .. }]));
    assert_eq!(receive(&mut d, ServerMessage::Join(pb::JoinResponse::default())).messages, [SfuMessage::Unknown]);
}

#[test]
fn pings_measure_rtt_and_pongs_keep_alive() {
    let mut d = joined();
    let frames = client_messages(d.request(&SfuRequest::Health, 900));
    assert!(matches!(&frames[..], [ClientMessage::PingReq(p)] if p.timestamp == 900 && p.rtt == 0));
    let pong = pb::Pong { last_ping_timestamp: 900, timestamp: 950 };
    assert_eq!(receive(&mut d, ServerMessage::PongResp(pong)).messages, [SfuMessage::Alive]);
    assert!(
        matches!(&client_messages(d.request(&SfuRequest::Health, 2_000))[..], [ClientMessage::PingReq(p)] if p.rtt == 100)
    );
    let leave = SfuRequest::Leave { session_id: String::new(), reason: "bye".into() };
    let frames = client_messages(d.request(&leave, 1));
    assert!(matches!(&frames[..], [ClientMessage::Leave(l)] if l.reason() == pb::DisconnectReason::ClientInitiated));
}

#[test]
fn a_mute_state_in_set_publisher_is_sent_separately() {
    let mut d = with_published_track();
    let muted = |muted| TrackInfo { muted, ..track("c") };
    let (frames, _) = d.call(&publish("v=0", vec![muted(true)]));
    assert!(
        matches!(&client_messages(frames)[..], [ClientMessage::Mute(m), ClientMessage::Offer(_)] if m.sid == "TR_1" && m.muted)
    );
    let (frames, _) = d.call(&publish("v=0", vec![muted(true)]));
    assert!(matches!(&client_messages(frames)[..], [ClientMessage::Offer(_)]), "once");
    // The confirmation carries the mute state that was announced first.
    let mut d = joined();
    later(d.call(&publish("v=0", vec![muted(true)])).1);
    later(d.call(&publish("v=0", vec![muted(true)])).1);
    let frames = published(&mut d, "c", "TR_1").frames;
    assert!(matches!(&client_messages(frames)[..], [ClientMessage::Mute(m), ClientMessage::Offer(_)] if m.muted));
}

#[test]
fn a_track_whose_confirmation_was_lost_is_offered_and_matched_by_its_m_line() {
    let mut d = joined();
    let (frames, _) = d.call(&publish("v=0", vec![track("c")]));
    let [ClientMessage::AddTrack(add)] = &client_messages(frames)[..] else { panic!() };
    d.begin_link(true, false);
    receive(&mut d, ServerMessage::Reconnect(pb::ReconnectResponse::default()));
    let (_, outcome) = d.call(&publish("v=0", vec![track("c")]));
    let ticket = later(outcome);
    let queued = pb::RequestResponse {
        reason: pb::request_response::Reason::Queued as i32,
        request: Some(pb::request_response::Request::AddTrack(add.clone())),
        ..Default::default()
    };
    let frames = receive(&mut d, ServerMessage::RequestResponse(queued)).frames;
    let [ClientMessage::Offer(offer)] = &client_messages(frames)[..] else { panic!("no offer") };
    assert_eq!(answer(&mut d, offer.id).settled[0].0, ticket);
    let state = MuteState { track_id: "c".into(), kind: TrackKind::Audio, muted: true };
    let mute = RpcCall::UpdateMuteStates { session_id: String::new(), states: vec![state] };
    assert!(matches!(d.call(&mute).1, Outcome::Now(Err(_))), "its server name is unknown");
    let mut me = person("ME", 5);
    me.tracks = vec![pb::TrackInfo { sid: "TR_1".into(), mid: "0".into(), ..Default::default() }];
    let frames = receive(&mut d, ServerMessage::Update(pb::ParticipantUpdate { participants: vec![me] })).frames;
    assert!(matches!(&client_messages(frames)[..], [ClientMessage::Mute(m)] if m.sid == "TR_1" && m.muted));
}

#[test]
fn only_the_first_message_of_a_link_admits() {
    let mut d = joined();
    let join = pb::JoinResponse { participant: Some(person("OTHER", 1)), ..Default::default() };
    assert_eq!(receive(&mut d, ServerMessage::Join(join)).messages, [SfuMessage::Unknown]);
    assert_eq!(
        receive(&mut d, ServerMessage::Reconnect(pb::ReconnectResponse::default())).messages,
        [SfuMessage::Unknown]
    );
    assert_eq!(d.sid(), "ME");
    d.begin_link(false, false);
    assert_eq!(
        receive(&mut d, ServerMessage::Reconnect(pb::ReconnectResponse::default())).messages,
        [SfuMessage::Unknown]
    );
}

#[test]
fn a_resume_does_not_list_tracks_that_the_server_unpublished() {
    let mut d = with_published_track();
    receive(&mut d, ServerMessage::TrackUnpublished(pb::TrackUnpublishedResponse { track_sid: "TR_1".into() }));
    d.begin_link(true, false);
    assert!(d.sync_state().publish_tracks.is_empty());
}

#[test]
fn every_offer_is_passed_on_and_a_resume_sends_the_newest() {
    let mut d = joined();
    let offer = |session: u32, id| {
        ServerMessage::Offer(outgoing::description("offer", &format!("v=0\r\no=- {session} 2 IN IP4 0.0.0.0\r\n"), id))
    };
    let newest = |d: &mut SignalSession, session, id| {
        let effects = receive(d, offer(session, id));
        assert!(
            matches!(&effects.messages[..], [SfuMessage::SubscriberOffer { negotiation_id, .. }] if *negotiation_id == id)
        );
        d.sync_state().offer.map(|offer| offer.id)
    };
    assert_eq!(newest(&mut d, 7, 36), Some(36));
    assert_eq!(newest(&mut d, 7, 35), Some(36));
    assert_eq!(newest(&mut d, 7, 37), Some(37));
    // Another peer connection of the server has its own numbering.
    assert_eq!(newest(&mut d, 8, 1), Some(1));
    // An offer on a replaced link is passed on, and no state is kept.
    let late = |message| SignalSession::handle_late_frame(&pb::SignalResponse { message: Some(message) });
    assert!(matches!(late(offer(9, 4)), Some(SfuMessage::SubscriberOffer { negotiation_id: 4, .. })));
    assert!(
        late(ServerMessage::Pong(1)).is_none()
            && SignalSession::handle_late_frame(&pb::SignalResponse::default()).is_none()
    );
    assert_eq!(d.sync_state().offer.map(|offer| offer.id), Some(1));
}

#[test]
fn after_a_resume_all_participants_are_listed_once() {
    let mut d = joined();
    let update = |d: &mut SignalSession, participants| {
        receive(d, ServerMessage::Update(pb::ParticipantUpdate { participants })).messages
    };
    let present = |messages: Vec<SfuMessage>| {
        messages.into_iter().find_map(|m| if let SfuMessage::Present(sids) = m { Some(sids) } else { None })
    };
    let room = |d: &mut SignalSession| {
        let room = Some(pb::Room { name: "room".into(), ..Default::default() });
        present(receive(d, ServerMessage::RoomUpdate(pb::RoomUpdate { room })).messages)
    };
    update(&mut d, vec![person("ME", 2), person("BOB", 1)]);
    assert_eq!(room(&mut d), None, "no resume");
    d.begin_link(true, false);
    receive(&mut d, ServerMessage::Reconnect(pb::ReconnectResponse::default()));
    // Updates of one participant, and of the room, arrive before the full list.
    assert_eq!(present(update(&mut d, vec![person("CAT", 1)])), None);
    assert_eq!(room(&mut d), None, "this participant is not listed yet");
    let gone = pb::ParticipantInfo { state: State::Disconnected as i32, ..person("BOB", 2) };
    assert_eq!(present(update(&mut d, vec![gone, person("ME", 1), person("DAN", 1)])), None);
    assert_eq!(room(&mut d), Some(vec!["CAT".into(), "ME".into(), "DAN".into()]), "also with an older version");
    update(&mut d, vec![person("ME", 3)]);
    assert_eq!(room(&mut d), None, "once");
    d.begin_link(false, false);
    assert!(d.present.is_none());
}

#[test]
fn a_leave_is_never_outdated_and_has_a_reason() {
    let mut d = joined();
    let gone = pb::ParticipantInfo {
        state: State::Disconnected as i32,
        disconnect_reason: pb::DisconnectReason::DuplicateIdentity as i32,
        ..person("ANN", 1)
    };
    let effects = receive(&mut d, ServerMessage::Update(pb::ParticipantUpdate { participants: vec![gone] }));
    assert!(
        matches!(&effects.messages[..], [SfuMessage::ParticipantLeft { reason, .. }] if *reason == LeaveReason::REPLACED)
    );
}

#[test]
fn an_oversized_identity_is_reported_after_the_join() {
    let mut d = SignalSession::new(true);
    d.begin_link(false, false);
    let absurd = pb::ParticipantInfo { identity: "x".repeat(5_000), ..person("PA_x", 1) };
    let join = pb::JoinResponse {
        room: Some(pb::Room::default()),
        participant: Some(person("ME", 1)),
        other_participants: vec![absurd, person("ANN", 1)],
        ..Default::default()
    };
    let effects = receive(&mut d, ServerMessage::Join(join));
    let [SfuMessage::Joined(state), SfuMessage::TooLarge(what)] = &effects.messages[..] else { panic!("{effects:?}") };
    assert!(state.participants.len() == 2 && what.contains("identity") && what.contains("PA_x") && what.len() < 200);
}

#[test]
fn requests_for_m_lines_are_passed_on_unless_the_pending_answer_repeats_them() {
    let needed = |d: &mut SignalSession, num_audios| {
        let requirement = pb::MediaSectionsRequirement { num_audios, num_videos: 9 };
        let effects = receive(d, ServerMessage::MediaSectionsRequirement(requirement));
        match &effects.messages[..] {
            [SfuMessage::LinesNeeded { audio }] => Some(*audio),
            [SfuMessage::Alive] => None,
            other => panic!("{other:?}"),
        }
    };
    let mut d = joined_with(true);
    assert_eq!(needed(&mut d, 2), None, "before the first offer");
    let (_, outcome) = d.call(&publish("v=0 offer", Vec::new()));
    later(outcome);
    assert_eq!(needed(&mut d, 2), None, "before its answer");
    assert_eq!(answer(&mut d, 1).settled.len(), 1);
    assert_eq!(needed(&mut d, 2), Some(2));
    assert_eq!(needed(&mut d, 0), Some(0));
    // Two connections: a correct server never sends it.
    let mut d = joined();
    let requirement = ServerMessage::MediaSectionsRequirement(pb::MediaSectionsRequirement::default());
    assert!(matches!(receive(&mut d, requirement).messages[..], [SfuMessage::Unknown]));
}

#[test]
fn a_resume_with_one_connection_names_the_last_answered_offer() {
    let mut d = joined_with(true);
    let sync = |d: &mut SignalSession| {
        d.begin_link(true, false);
        assert!(d.has_one_connection(), "a resume continues as the session began");
        match client_messages(d.request(&join_again(), 0)).pop() {
            Some(ClientMessage::SyncState(state)) => state,
            other => panic!("{other:?}"),
        }
    };
    assert!(sync(&mut d).answer.is_none());
    let (_, outcome) = d.call(&publish("v=0 first", Vec::new()));
    later(outcome);
    assert_eq!(answer(&mut d, 1).settled.len(), 1);
    let (_, outcome) = d.call(&publish("v=0 second", Vec::new()));
    later(outcome);
    // An offer that no correct server sends.
    receive(&mut d, ServerMessage::Offer(outgoing::description("offer", "v=0 theirs", 1)));
    let state = sync(&mut d);
    assert_eq!(state.offer.map(|offer| offer.sdp).as_deref(), Some("v=0 first"));
    assert_eq!(state.answer.map(|answer| answer.sdp).as_deref(), Some("v=0 answer"));
    let resumed = receive(&mut d, ServerMessage::Reconnect(pb::ReconnectResponse::default()));
    assert!(matches!(&resumed.messages[..], [SfuMessage::Joined(state)] if state.one_connection && state.reconnected));
    d.begin_link(false, false);
    assert!(!d.has_one_connection());
}

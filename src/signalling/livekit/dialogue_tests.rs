//! The dialogue, frame by frame.

use super::*;
use pb::participant_info::State;

fn hear(d: &mut Dialogue, said: Said) -> Heard {
    d.hear(pb::SignalResponse { message: Some(said) }, 1_000)
}

fn asks(frames: Vec<pb::SignalRequest>) -> Vec<Ask> {
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

fn joined() -> Dialogue {
    let mut d = Dialogue::new(true);
    d.begin_link(false);
    let join = pb::JoinResponse {
        room: Some(pb::Room { name: "room".into(), ..Default::default() }),
        participant: Some(person("ME", 1)),
        other_participants: vec![person("ANN", 3)],
        ping_interval: 5,
        ping_timeout: 15,
        ..Default::default()
    };
    let heard = hear(&mut d, Said::Join(join));
    let [SfuMessage::Joined(state)] = &heard.messages[..] else { panic!("{heard:?}") };
    assert_eq!((state.session_id.as_str(), state.participants.len(), state.counts.total), ("ME", 2, 2));
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

fn published(d: &mut Dialogue, cid: &str, sid: &str) -> Heard {
    let track = pb::TrackInfo { sid: sid.into(), ..Default::default() };
    hear(d, Said::TrackPublished(pb::TrackPublishedResponse { cid: cid.into(), track: Some(track) }))
}

fn answer(d: &mut Dialogue, id: u32) -> Heard {
    hear(d, Said::Answer(outgoing::description("answer", "v=0 answer", id)))
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

/// A dialogue with the track "c" on the air as TR_1.
fn on_air() -> Dialogue {
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
    let cids: Vec<_> =
        asks(frames).into_iter().map(|a| if let Ask::AddTrack(a) = a { a.cid } else { panic!() }).collect();
    assert_eq!(cids, ["a", "b"]);
    assert!(published(&mut d, "a", "TR_a").frames.is_empty(), "one is missing");
    assert!(answer(&mut d, 1).settled.is_empty(), "nothing was offered yet");
    let frames = published(&mut d, "b", "TR_b").frames;
    let [Ask::Offer(offer)] = &asks(frames)[..] else { panic!("no offer") };
    assert_eq!((offer.sdp.as_str(), offer.r#type.as_str()), ("v=0 offer", "offer"));
    assert!(answer(&mut d, offer.id + 7).settled.is_empty(), "the answer to another offer");
    let settled = answer(&mut d, offer.id).settled;
    assert!(matches!(&settled[..], [(t, Ok(RpcReply::Publisher { sdp, .. }))] if *t == ticket && sdp == "v=0 answer"));
    assert!(answer(&mut d, offer.id).settled.is_empty(), "once");
    // Known tracks are not announced again; servers of before do not number their answers.
    let (frames, outcome) = d.call(&publish("v=0", vec![track("a"), track("b")]));
    let ticket = later(outcome);
    assert!(matches!(&asks(frames)[..], [Ask::Offer(_)]));
    assert_eq!(answer(&mut d, 0).settled[0].0, ticket);
}

#[test]
fn what_nobody_waits_for_any_more_is_late() {
    let mut d = joined();
    let (_, outcome) = d.call(&publish("v=0", vec![track("a")]));
    d.give_up(later(outcome));
    assert!(published(&mut d, "a", "TR_a").frames.is_empty());
    assert!(answer(&mut d, 1).settled.is_empty());
    // The next attempt finds the track announced.
    let (frames, outcome) = d.call(&publish("v=0", vec![track("a")]));
    let ticket = later(outcome);
    let [Ask::Offer(offer)] = &asks(frames)[..] else { panic!("no offer") };
    assert!(answer(&mut d, 1).settled.is_empty(), "of the attempt before");
    assert_eq!(answer(&mut d, offer.id).settled[0].0, ticket);
}

#[test]
fn a_refused_track_is_an_error_with_the_servers_words() {
    let mut d = joined();
    let (frames, outcome) = d.call(&publish("v=0", vec![track("a")]));
    let ticket = later(outcome);
    let [Ask::AddTrack(add)] = &asks(frames)[..] else { panic!() };
    let response = pb::RequestResponse {
        reason: pb::request_response::Reason::NotAllowed as i32,
        message: "no right".into(),
        request: Some(pb::request_response::Request::AddTrack(add.clone())),
        ..Default::default()
    };
    let settled = hear(&mut d, Said::RequestResponse(response.clone())).settled;
    assert!(matches!(&settled[..], [(t, Err(f))] if *t == ticket && f.code == 403 && f.message == "no right"));
    assert!(hear(&mut d, Said::RequestResponse(response)).settled.is_empty(), "once");
}

#[test]
fn mutes_go_by_the_servers_names() {
    let mut d = on_air();
    let state = |id: &str| MuteState { track_id: id.into(), kind: TrackKind::Audio, muted: true };
    let mute = |d: &mut Dialogue, id| {
        d.call(&RpcCall::UpdateMuteStates { session_id: String::new(), states: vec![state(id)] })
    };
    for id in ["c", ""] {
        let (frames, outcome) = mute(&mut d, id);
        assert!(matches!(&asks(frames)[..], [Ask::Mute(m)] if m.sid == "TR_1" && m.muted), "'{id}'");
        assert!(matches!(outcome, Outcome::Now(Ok(_))));
    }
    assert!(mute(&mut d, "gone").0.is_empty());
    let heard = hear(&mut d, Said::Mute(pb::MuteTrackRequest { sid: "TR_1".into(), muted: true }));
    assert_eq!(heard.messages, [SfuMessage::LocalMuted { track_id: "c".into(), muted: true }]);
    let heard = hear(&mut d, Said::TrackUnpublished(pb::TrackUnpublishedResponse { track_sid: "TR_1".into() }));
    assert_eq!(heard.messages, [SfuMessage::LocalUnpublished { track_id: "c".into() }]);
    let stranger = hear(&mut d, Said::Mute(pb::MuteTrackRequest { sid: "TR_9".into(), muted: true }));
    assert_eq!(stranger.messages, [SfuMessage::Alive]);
}

#[test]
fn a_resume_tells_what_it_knows_and_a_new_session_nothing() {
    let mut d = on_air();
    hear(&mut d, Said::Offer(outgoing::description("offer", "v=0 sub", 36)));
    let call = RpcCall::SendAnswer { session_id: String::new(), sdp: "v=0 mine".into(), negotiation_id: 36 };
    let (frames, _) = d.call(&call);
    assert!(matches!(&asks(frames)[..], [Ask::Answer(a)] if a.id == 36 && a.sdp == "v=0 mine"));
    d.has_data_channels();
    d.begin_link(true);
    let frames = asks(d.request(&join_again(), 1));
    let [Ask::SyncState(state)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(state.offer.as_ref().map(|o| o.id), Some(36));
    assert_eq!(state.answer.as_ref().map(|a| a.sdp.as_str()), Some("v=0 mine"));
    assert_eq!((state.publish_tracks[0].cid.as_str(), state.data_channels.len()), ("c", 2));
    let heard = hear(&mut d, Said::Reconnect(pb::ReconnectResponse::default()));
    assert!(
        matches!(&heard.messages[..], [SfuMessage::Joined(s)] if s.reconnected && s.session_id == "ME" && s.counts.total == 2)
    );
    // The track is known to the server: it is offered, not announced.
    let (frames, _) = d.call(&publish("v=0", vec![track("c")]));
    assert!(matches!(&asks(frames)[..], [Ask::Offer(_)]));
    d.begin_link(false);
    assert!(d.request(&join_again(), 1).is_empty() && d.sid().is_empty());
    let (frames, _) = d.call(&publish("v=0", vec![track("c")]));
    assert!(matches!(&asks(frames)[..], [Ask::AddTrack(_)]));
}

#[test]
fn updates_are_whole_and_old_ones_late() {
    let mut d = joined();
    let update = |d: &mut Dialogue, p: pb::ParticipantInfo| {
        hear(d, Said::Update(pb::ParticipantUpdate { participants: vec![p] })).messages
    };
    let mut ann = person("ANN", 4);
    ann.tracks = vec![pb::TrackInfo { sid: "TR_a".into(), name: "n".into(), muted: true, ..Default::default() }];
    let told = update(&mut d, ann.clone());
    let [SfuMessage::ParticipantState(p)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((p.track_prefix.as_str(), p.published[0].id.as_str(), p.published[0].muted), ("ANN", "TR_a", true));
    assert!(update(&mut d, person("ANN", 3)).is_empty(), "older");
    let gone = pb::ParticipantInfo { state: State::Disconnected as i32, ..person("ANN", 5) };
    assert!(
        matches!(&update(&mut d, gone.clone())[..], [SfuMessage::ParticipantLeft { session_id, .. }] if session_id == "ANN")
    );
    assert!(update(&mut d, ann).is_empty(), "nobody comes back as who left");
    assert!(update(&mut d, gone).is_empty(), "twice");
    assert!(update(&mut d, pb::ParticipantInfo { state: State::Disconnected as i32, ..person("ME", 9) }).is_empty());
    let mut me = person("ME", 10);
    me.permission = Some(pb::ParticipantPermission { can_publish: false, ..Default::default() });
    let told = update(&mut d, me.clone());
    assert!(matches!(&told[..], [SfuMessage::Grants(g), SfuMessage::ParticipantState(_)] if !g.audio));
    me.version = 11;
    assert!(matches!(&update(&mut d, me)[..], [SfuMessage::ParticipantState(_)]), "grants once");
}

#[test]
fn only_news_is_told_of_wishes() {
    let mut d = joined();
    let wish = |id: &str, wish| Subscription {
        user_id: String::new(),
        session_id: "ANN".into(),
        kind: TrackKind::Video,
        width: 0,
        height: 0,
        track_id: id.into(),
        wish,
    };
    let mut tell = |wishes: Vec<Subscription>| {
        let call = RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions: wishes };
        asks(d.call(&call).0)
    };
    let off = Wish { subscribed: false, ..Wish::default() };
    let paused = Wish { enabled: false, ..Wish::default() };
    let told = tell(vec![wish("a", off), wish("b", paused), wish("c", Wish::default())]);
    assert!(matches!(&told[..], [Ask::Subscription(s), Ask::TrackSetting(t)]
        if s.track_sids == ["a"] && !s.subscribe && t.track_sids == ["b"] && t.disabled));
    assert!(tell(vec![wish("a", off), wish("b", paused)]).is_empty());
    let small = Wish { width: 320, height: 180, ..Wish::default() };
    let told = tell(vec![wish("a", Wish::default()), wish("b", small)]);
    assert!(
        matches!(&told[..], [Ask::Subscription(s), Ask::TrackSetting(t)] if s.subscribe && (t.width, t.disabled) == (320, false))
    );
}

#[test]
fn after_a_resume_every_wish_is_told_again() {
    let mut d = joined();
    let wish = |subscribed| Subscription {
        user_id: String::new(),
        session_id: "ANN".into(),
        kind: TrackKind::Audio,
        width: 0,
        height: 0,
        track_id: "a".into(),
        wish: Wish { subscribed, ..Wish::default() },
    };
    let tell = |d: &mut Dialogue, wish| {
        let call = RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions: vec![wish] };
        asks(d.call(&call).0)
    };
    tell(&mut d, wish(false));
    // Said into a dead socket: the server still knows the opposite, and a resume names only what is unwanted.
    tell(&mut d, wish(true));
    d.begin_link(true);
    let told = tell(&mut d, wish(true));
    assert!(matches!(&told[..], [Ask::Subscription(s), Ask::TrackSetting(t)] if s.subscribe && !t.disabled));
    assert!(tell(&mut d, wish(true)).is_empty(), "once");
}

#[test]
fn video_is_declined_as_soon_as_it_is_told_of() {
    let video =
        |sid: &str| pb::TrackInfo { sid: sid.into(), r#type: pb::TrackType::Video as i32, ..Default::default() };
    let with = |version, tracks: Vec<pb::TrackInfo>| pb::ParticipantInfo { tracks, ..person("ANN", version) };
    let microphone = pb::TrackInfo { sid: "TR_mic".into(), ..Default::default() };
    let update = |d: &mut Dialogue, version, tracks| {
        let participants = vec![with(version, tracks)];
        asks(hear(d, Said::Update(pb::ParticipantUpdate { participants })).frames)
    };
    let mut d = joined();
    let said = update(&mut d, 4, vec![microphone.clone(), video("TR_cam")]);
    assert!(matches!(&said[..], [Ask::Subscription(s)] if s.track_sids == ["TR_cam"] && !s.subscribe), "{said:?}");
    let said = update(&mut d, 5, vec![microphone.clone(), video("TR_cam"), video("TR_screen")]);
    assert!(matches!(&said[..], [Ask::Subscription(s)] if s.track_sids == ["TR_screen"] && !s.subscribe), "once each");
    // Nobody can ask for it, and a server that subscribes all the same is told again.
    let wish = Subscription {
        user_id: "ann".into(),
        session_id: "ANN".into(),
        kind: TrackKind::Video,
        width: 640,
        height: 480,
        track_id: "TR_cam".into(),
        wish: Wish::default(),
    };
    let call = RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions: vec![wish] };
    assert!(d.call(&call).0.is_empty());
    let update_permission =
        pb::SubscriptionPermissionUpdate { participant_sid: "ANN".into(), track_sid: "TR_cam".into(), allowed: true };
    let said = asks(hear(&mut d, Said::SubscriptionPermissionUpdate(update_permission)).frames);
    assert!(matches!(&said[..], [Ask::Subscription(s)] if s.track_sids == ["TR_cam"] && !s.subscribe));
    // A resume says so; a new session begins with it.
    d.begin_link(true);
    let [Ask::SyncState(state)] = &asks(d.request(&join_again(), 0))[..] else { panic!() };
    assert_eq!(state.subscription.as_ref().map(|s| s.track_sids.len()), Some(2));
    d.begin_link(false);
    let join = pb::JoinResponse {
        room: Some(pb::Room::default()),
        participant: Some(person("ME", 1)),
        other_participants: vec![with(6, vec![video("TR_cam"), microphone])],
        ..Default::default()
    };
    let said = asks(hear(&mut d, Said::Join(join)).frames);
    assert!(matches!(&said[..], [Ask::Subscription(s)] if s.track_sids == ["TR_cam"] && !s.subscribe));
}

#[test]
fn what_is_not_wanted_is_refused_again_when_the_server_subscribes_to_it() {
    let mut d = joined();
    let off = Subscription {
        user_id: "ann".into(),
        session_id: "ANN".into(),
        kind: TrackKind::Audio,
        width: 0,
        height: 0,
        track_id: "a".into(),
        wish: Wish { subscribed: false, ..Wish::default() },
    };
    d.call(&RpcCall::UpdateSubscriptions { session_id: String::new(), subscriptions: vec![off] });
    let may = |track_sid: &str, allowed| {
        let (participant_sid, track_sid) = ("ANN".into(), track_sid.into());
        Said::SubscriptionPermissionUpdate(pb::SubscriptionPermissionUpdate { participant_sid, track_sid, allowed })
    };
    let heard = hear(&mut d, may("a", true));
    assert_eq!(heard.messages, [SfuMessage::Alive]);
    assert!(matches!(&asks(heard.frames)[..], [Ask::Subscription(s)] if s.track_sids == ["a"] && !s.subscribe));
    let heard = hear(&mut d, may("b", true));
    assert!(heard.frames.is_empty() && heard.messages == [SfuMessage::Alive], "nobody had said that it is not");
    let news = |heard: Heard| matches!(heard.messages[..], [SfuMessage::Subscribable { .. }]);
    assert!(news(hear(&mut d, may("b", false))) && !news(hear(&mut d, may("b", false))));
    assert!(news(hear(&mut d, may("b", true))) && !news(hear(&mut d, may("b", true))));
}

#[test]
fn own_attributes_wait_for_the_servers_word() {
    let mut d = joined();
    let update = SelfUpdate { name: Some("N".into()), metadata: None, attributes: vec![("k".into(), "v".into())] };
    let call = RpcCall::UpdateSelf { session_id: String::new(), update };
    let (frames, outcome) = d.call(&call);
    let [Ask::UpdateMetadata(asked)] = &asks(frames)[..] else { panic!() };
    assert_eq!((asked.name.as_str(), asked.attributes["k"].as_str()), ("N", "v"));
    let reply = |id, reason: pb::request_response::Reason| {
        Said::RequestResponse(pb::RequestResponse { request_id: id, reason: reason as i32, ..Default::default() })
    };
    let ticket = later(outcome);
    assert!(hear(&mut d, reply(asked.request_id + 1, pb::request_response::Reason::Ok)).settled.is_empty());
    let settled = hear(&mut d, reply(asked.request_id, pb::request_response::Reason::NotAllowed)).settled;
    assert!(matches!(&settled[..], [(t, Err(f))] if *t == ticket && f.code == 403));
    for _ in 0..MAX_WAITING {
        later(d.call(&call).1);
    }
    assert!(matches!(d.call(&call).1, Outcome::Now(Err(_))), "bounded");
}

#[test]
fn a_server_that_cannot_take_us_names_another() {
    let mut d = Dialogue::new(true);
    d.begin_link(false);
    let join = pb::JoinResponse { alternative_url: "wss://b.example.com".into(), ..Default::default() };
    let heard = hear(&mut d, Said::Join(join));
    assert!(matches!(&heard.messages[..], [SfuMessage::Advice { strategy: Strategy::Rejoin, leave_edge: true, .. }]));
    assert_eq!(heard.regions, ["wss://b.example.com"]);
    let moved = pb::RoomMovedResponse { token: "fresh-token".into(), ..Default::default() };
    let heard = hear(&mut d, Said::RoomMoved(moved));
    assert!(matches!(&heard.messages[..], [SfuMessage::Token(_), SfuMessage::Advice { .. }]));
    assert_eq!(hear(&mut d, Said::Join(pb::JoinResponse::default())).messages, [SfuMessage::Unknown]);
}

#[test]
fn pings_measure_and_pongs_are_signs_of_life() {
    let mut d = joined();
    let frames = asks(d.request(&SfuRequest::Health, 900));
    assert!(matches!(&frames[..], [Ask::PingReq(p)] if p.timestamp == 900 && p.rtt == 0));
    let pong = pb::Pong { last_ping_timestamp: 900, timestamp: 950 };
    assert_eq!(hear(&mut d, Said::PongResp(pong)).messages, [SfuMessage::Alive]);
    assert!(matches!(&asks(d.request(&SfuRequest::Health, 2_000))[..], [Ask::PingReq(p)] if p.rtt == 100));
    let leave = SfuRequest::Leave { session_id: String::new(), reason: "bye".into() };
    let frames = asks(d.request(&leave, 1));
    assert!(matches!(&frames[..], [Ask::Leave(l)] if l.reason() == pb::DisconnectReason::ClientInitiated));
}

#[test]
fn a_mute_that_an_offer_was_to_carry_is_told_by_itself() {
    let mut d = on_air();
    let muted = |muted| TrackInfo { muted, ..track("c") };
    let (frames, _) = d.call(&publish("v=0", vec![muted(true)]));
    assert!(matches!(&asks(frames)[..], [Ask::Mute(m), Ask::Offer(_)] if m.sid == "TR_1" && m.muted));
    let (frames, _) = d.call(&publish("v=0", vec![muted(true)]));
    assert!(matches!(&asks(frames)[..], [Ask::Offer(_)]), "once");
    // What it believes when it confirms is what was announced first.
    let mut d = joined();
    later(d.call(&publish("v=0", vec![muted(true)])).1);
    later(d.call(&publish("v=0", vec![muted(true)])).1);
    let frames = published(&mut d, "c", "TR_1").frames;
    assert!(matches!(&asks(frames)[..], [Ask::Mute(m), Ask::Offer(_)] if m.muted));
}

#[test]
fn a_track_whose_confirmation_was_lost_is_offered_and_named_by_its_line() {
    let mut d = joined();
    let (frames, _) = d.call(&publish("v=0", vec![track("c")]));
    let [Ask::AddTrack(add)] = &asks(frames)[..] else { panic!() };
    d.begin_link(true);
    hear(&mut d, Said::Reconnect(pb::ReconnectResponse::default()));
    let (_, outcome) = d.call(&publish("v=0", vec![track("c")]));
    let ticket = later(outcome);
    let queued = pb::RequestResponse {
        reason: pb::request_response::Reason::Queued as i32,
        request: Some(pb::request_response::Request::AddTrack(add.clone())),
        ..Default::default()
    };
    let frames = hear(&mut d, Said::RequestResponse(queued)).frames;
    let [Ask::Offer(offer)] = &asks(frames)[..] else { panic!("no offer") };
    assert_eq!(answer(&mut d, offer.id).settled[0].0, ticket);
    let state = MuteState { track_id: "c".into(), kind: TrackKind::Audio, muted: true };
    let mute = RpcCall::UpdateMuteStates { session_id: String::new(), states: vec![state] };
    assert!(matches!(d.call(&mute).1, Outcome::Now(Err(_))), "nobody knows its name");
    let mut me = person("ME", 5);
    me.tracks = vec![pb::TrackInfo { sid: "TR_1".into(), mid: "0".into(), ..Default::default() }];
    let frames = hear(&mut d, Said::Update(pb::ParticipantUpdate { participants: vec![me] })).frames;
    assert!(matches!(&asks(frames)[..], [Ask::Mute(m)] if m.sid == "TR_1" && m.muted));
}

#[test]
fn only_the_first_word_of_a_link_lets_in() {
    let mut d = joined();
    let join = pb::JoinResponse { participant: Some(person("OTHER", 1)), ..Default::default() };
    assert_eq!(hear(&mut d, Said::Join(join)).messages, [SfuMessage::Unknown]);
    assert_eq!(hear(&mut d, Said::Reconnect(pb::ReconnectResponse::default())).messages, [SfuMessage::Unknown]);
    assert_eq!(d.sid(), "ME");
    d.begin_link(false);
    assert_eq!(hear(&mut d, Said::Reconnect(pb::ReconnectResponse::default())).messages, [SfuMessage::Unknown]);
}

#[test]
fn a_resume_does_not_claim_what_the_server_took_off() {
    let mut d = on_air();
    hear(&mut d, Said::TrackUnpublished(pb::TrackUnpublishedResponse { track_sid: "TR_1".into() }));
    d.begin_link(true);
    assert!(d.sync_state().publish_tracks.is_empty());
}

#[test]
fn every_offer_is_passed_on_and_a_resume_tells_of_the_newest() {
    let mut d = joined();
    let offer = |session: u32, id| {
        Said::Offer(outgoing::description("offer", &format!("v=0\r\no=- {session} 2 IN IP4 0.0.0.0\r\n"), id))
    };
    let newest = |d: &mut Dialogue, session, id| {
        let heard = hear(d, offer(session, id));
        assert!(
            matches!(&heard.messages[..], [SfuMessage::SubscriberOffer { negotiation_id, .. }] if *negotiation_id == id)
        );
        d.sync_state().offer.map(|offer| offer.id)
    };
    assert_eq!(newest(&mut d, 7, 36), Some(36));
    assert_eq!(newest(&mut d, 7, 35), Some(36));
    assert_eq!(newest(&mut d, 7, 37), Some(37));
    // Another peer connection of the server counts by itself.
    assert_eq!(newest(&mut d, 8, 1), Some(1));
    // Of a link that was replaced an offer is passed on, and nothing is remembered.
    let late = |said| Dialogue::hear_late(&pb::SignalResponse { message: Some(said) });
    assert!(matches!(late(offer(9, 4)), Some(SfuMessage::SubscriberOffer { negotiation_id: 4, .. })));
    assert!(late(Said::Pong(1)).is_none() && Dialogue::hear_late(&pb::SignalResponse::default()).is_none());
    assert_eq!(d.sync_state().offer.map(|offer| offer.id), Some(1));
}

#[test]
fn after_a_resume_everybody_is_named_once() {
    let mut d = joined();
    let update =
        |d: &mut Dialogue, participants| hear(d, Said::Update(pb::ParticipantUpdate { participants })).messages;
    let present = |messages: Vec<SfuMessage>| {
        messages.into_iter().find_map(|m| if let SfuMessage::Present(sids) = m { Some(sids) } else { None })
    };
    let room = |d: &mut Dialogue| {
        let room = Some(pb::Room { name: "room".into(), ..Default::default() });
        present(hear(d, Said::RoomUpdate(pb::RoomUpdate { room })).messages)
    };
    update(&mut d, vec![person("ME", 2), person("BOB", 1)]);
    assert_eq!(room(&mut d), None, "no resume");
    d.begin_link(true);
    hear(&mut d, Said::Reconnect(pb::ReconnectResponse::default()));
    // News of one, and of the room, come before the picture of all.
    assert_eq!(present(update(&mut d, vec![person("CAT", 1)])), None);
    assert_eq!(room(&mut d), None, "this participant was not named yet");
    let gone = pb::ParticipantInfo { state: State::Disconnected as i32, ..person("BOB", 2) };
    assert_eq!(present(update(&mut d, vec![gone, person("ME", 1), person("DAN", 1)])), None);
    assert_eq!(room(&mut d), Some(vec!["CAT".into(), "ME".into(), "DAN".into()]), "also of an older version");
    update(&mut d, vec![person("ME", 3)]);
    assert_eq!(room(&mut d), None, "once");
    d.begin_link(false);
    assert!(d.present.is_none());
}

#[test]
fn a_farewell_is_never_too_old_and_says_why() {
    let mut d = joined();
    let gone = pb::ParticipantInfo {
        state: State::Disconnected as i32,
        disconnect_reason: pb::DisconnectReason::DuplicateIdentity as i32,
        ..person("ANN", 1)
    };
    let heard = hear(&mut d, Said::Update(pb::ParticipantUpdate { participants: vec![gone] }));
    assert!(
        matches!(&heard.messages[..], [SfuMessage::ParticipantLeft { reason, .. }] if *reason == LeaveReason::REPLACED)
    );
}

#[test]
fn an_absurd_identity_is_said_after_the_join() {
    let mut d = Dialogue::new(true);
    d.begin_link(false);
    let absurd = pb::ParticipantInfo { identity: "x".repeat(5_000), ..person("PA_x", 1) };
    let join = pb::JoinResponse {
        room: Some(pb::Room::default()),
        participant: Some(person("ME", 1)),
        other_participants: vec![absurd, person("ANN", 1)],
        ..Default::default()
    };
    let heard = hear(&mut d, Said::Join(join));
    let [SfuMessage::Joined(state), SfuMessage::TooLarge(what)] = &heard.messages[..] else { panic!("{heard:?}") };
    assert!(state.participants.len() == 2 && what.contains("identity") && what.contains("PA_x") && what.len() < 200);
}

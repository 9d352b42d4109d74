//! The fault list over LiveKit, part two: offers and frames at the wrong time, publishing, lost media, data.

use super::{
    data::DataAct,
    faults::Fault,
    script::{rpc, step, Lab},
    sockets::Cut,
    world::{Act, Verdict},
};
use offhook::core::{model::*, Event, Input, PeerChange, State};
use offhook_proto::livekit as pb;
use pb::{participant_info, request_response, signal_response::Message as ServerMessage};

fn back(lab: &Lab, client: usize) -> Vec<Strategy> {
    let strategy = |e: &Event| if let Event::Reconnected { strategy, .. } = e { Some(*strategy) } else { None };
    lab.log(client).iter().filter_map(|(_, e)| strategy(e)).collect()
}

fn offer(id: u32) -> ServerMessage {
    ServerMessage::Offer(pb::SessionDescription { r#type: "offer".into(), sdp: "v=0".into(), id })
}

#[test]
fn h01_an_offer_for_a_closed_subscriber_is_answered_and_nothing_is_received() {
    let mut lab = Lab::livekit_joined(&[0, 0, 1], 2);
    lab.act(0, Act::ClosePeer(PeerKind::Subscriber));
    lab.run(1_000);
    lab.mark();
    lab.offer(0, false);
    lab.offer(0, true);
    lab.run(1_000);
    assert_eq!((lab.errors(0), lab.count_outputs(0, "Bind"), lab.count_outputs(0, "Event")), (0, 0, 0));
    assert_eq!(lab.state(0), State::Joined);
    for other in [1, 2] {
        assert_eq!(lab.count_outputs(other, "Event"), 0, "session {other} received an event");
    }
}

#[test]
fn h01_an_offer_queued_behind_another_while_the_application_leaves_is_dropped() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.on(|client, output| match client {
        0 if step(output, PeerKind::Subscriber, "answer") => Verdict::Later(500),
        _ => Verdict::Normal,
    });
    let (before, sock) = (lab.counters(0), lab.sock(0));
    for _ in 0..3 {
        lab.offer(0, false);
    }
    lab.run(100);
    lab.act(0, Act::Leave);
    lab.offer(0, false);
    lab.run(3_000);
    assert_eq!(lab.counters(0).late_offers, before.late_offers + 4);
    assert_eq!(lab.count_outputs(0, "SendAnswer") + lab.errors(0) + lab.framed(0, "Answer"), 0);
    assert!(lab.ended(0).is_some());
    // After the end, and after the application has freed everything.
    lab.frame_on(sock, offer(9));
    assert_eq!(lab.counters(0).late_offers, before.late_offers + 5);
}

#[test]
fn h04_offers_of_the_publisher_are_never_reordered_whatever_the_application_does() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.on(|client, output| match client {
        0 if rpc(output, "SetPublisher") => Verdict::Later(400),
        _ => Verdict::Normal,
    });
    for _ in 0..4 {
        lab.act(0, Act::Publish { muted: false });
        lab.act(0, Act::Mute(true));
        lab.act(0, Act::Data(DataAct::Packet { to: None, lossy: false }));
        lab.run(150);
        lab.act(0, Act::Unpublish);
        lab.act(0, Act::Publish { muted: true });
        lab.act(0, Act::Mute(false));
        lab.run(150);
        lab.act(0, Act::Unpublish);
    }
    lab.act(0, Act::Publish { muted: false });
    lab.calm();
}

#[test]
fn h05_a_track_has_one_sender_however_often_the_session_comes_back() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    for round in 1..=4 {
        lab.mark();
        lab.strike(0, Fault::Error(if round % 2 == 0 { Strategy::Fast } else { Strategy::Rejoin }));
        lab.run(15_000);
        assert_eq!(back(&lab, 0).len(), round);
        assert_eq!(lab.framed(0, "AddTrack"), round % 2);
        let peer = lab.world.clients[0].peers.iter().rev().find(|p| p.kind == PeerKind::Publisher);
        assert_eq!(peer.map(|p| p.senders.clone()), Some(vec![1]));
    }
    lab.calm();
}

#[test]
fn h07_a_publish_after_a_failed_one_negotiates_anew() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    let member = lab.member(0);
    lab.world.sfu.members[member].may_send = false;
    lab.act(0, Act::Publish { muted: false });
    lab.run(10_000);
    // Refused with the server's reason, after as many tries as for any publish.
    assert_eq!(
        (lab.count_outputs(0, "Event(LocalFailed"), lab.framed(0, "AddTrack"), lab.framed(0, "Offer(")),
        (1, 3, 0)
    );
    lab.world.sfu.members[member].may_send = true;
    lab.act(0, Act::Publish { muted: false });
    lab.run(3_000);
    assert_eq!(lab.count_outputs(0, "LocalPublished"), 1);
    lab.world.clients[0].app.publish_in_doubt = false;
    lab.calm();
}

#[test]
fn h09_frames_of_the_old_socket_are_dropped_after_a_resume() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.publish(1, false);
    let old = lab.sock(0);
    lab.cut(0, Cut::Reset);
    lab.run(2_000);
    assert_eq!((back(&lab, 0), lab.count_outputs(0, "Create {")), (vec![Strategy::Fast], 0));
    lab.mark();
    let state = participant_info::State::Disconnected as i32;
    let gone = pb::ParticipantInfo {
        sid: "PA_1x1".into(),
        identity: "user1".into(),
        state,
        version: 99,
        ..Default::default()
    };
    for server_message in [
        offer(77),
        super::livekit_server::leave(pb::leave_request::Action::Disconnect, pb::DisconnectReason::DuplicateIdentity),
        ServerMessage::Update(pb::ParticipantUpdate { participants: vec![gone] }),
        ServerMessage::RefreshToken("stale".into()),
    ] {
        lab.frame_on(old, server_message);
    }
    assert_eq!(lab.count_outputs(0, "") + lab.framed(0, ""), 4, "dropped, with one line each: nothing else");
    assert_eq!(lab.count_outputs(0, "< Debug(\"late offer dropped"), 1, "an offer is late, wherever it comes from");
    // The surviving peer connections still receive offers.
    let before = lab.counters(0).offers_answered;
    lab.act(1, Act::Unpublish);
    lab.run(2_000);
    assert!(lab.counters(0).offers_answered > before);
    lab.calm();
}

#[test]
fn h18_an_announcement_without_a_reply_does_not_hold_the_session() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    // Nothing gets through for a while, and no side is notified.
    lab.act(0, Act::Publish { muted: false });
    let sock = lab.sock(0);
    lab.world.socks[sock].silent = true;
    lab.run(5_500);
    lab.world.socks[sock].silent = false;
    assert_eq!((lab.count_outputs(0, "LocalPublished"), lab.state(0)), (0, State::Joined));
    lab.run(12_000);
    assert_eq!(lab.count_outputs(0, "LocalPublished"), 1);
    assert!((2..=3).contains(&lab.framed(0, "AddTrack")));
    lab.calm();
}

#[test]
fn h18_a_lost_confirmation_is_made_good() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.act(0, Act::Publish { muted: false });
    let at = lab.world.now;
    // The socket fails between the arrival of the announcement and that of its confirmation.
    while lab.framed(0, "AddTrack") == 0 {
        lab.run(1);
        assert!(lab.world.now < at + 100);
    }
    let member = lab.member(0);
    while lab.world.sfu.members[member].pending.is_empty() {
        lab.run(1);
        assert!(lab.world.now < at + 1_000);
    }
    let sock = lab.sock(0);
    lab.world.socks[sock].silent = true;
    lab.run(500);
    let generation = lab.generation(0);
    lab.input(0, Input::SocketClosed { generation, code: None, failure: None });
    lab.run(3_000);
    assert_eq!((back(&lab, 0), lab.count_outputs(0, "LocalPublished")), (vec![Strategy::Fast], 1));
    assert_eq!(lab.world.sfu.members[member].tracks.len(), 1, "the one that was announced first");
    lab.calm();
}

#[test]
fn h19_a_mute_in_the_middle_of_a_negotiation_is_sent() {
    for wait in 0..12 {
        let mut lab = Lab::livekit_joined(&[0, 0], 1);
        lab.publish(0, false);
        lab.on(|client, output| match client {
            0 if step(output, PeerKind::Publisher, "offer") => Verdict::Later(10),
            _ => Verdict::Normal,
        });
        // A data channel is added to the publisher: it is renegotiated.
        lab.act(0, Act::Data(DataAct::Packet { to: None, lossy: false }));
        lab.run(wait);
        lab.act(0, Act::Mute(true));
        lab.run(2_000);
        let member = lab.member(0);
        assert!(lab.world.sfu.members[member].tracks[0].muted, "muted after {wait} ms");
        lab.calm();
    }
}

#[test]
fn h20_what_was_begun_for_a_session_is_not_finished_for_the_next() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.on(|client, output| match client {
        0 if step(output, PeerKind::Subscriber, "answer") => Verdict::Later(800),
        _ => Verdict::Normal,
    });
    lab.offer(0, false);
    lab.run(100);
    lab.strike(0, Fault::Error(Strategy::Rejoin));
    lab.run(300);
    assert_eq!((lab.state(0), back(&lab, 0)), (State::Joined, vec![Strategy::Rejoin]));
    lab.calm();
}

#[test]
fn h29_media_that_comes_before_its_participant_is_held_and_matched() {
    let mut lab = Lab::livekit_joined(&[0], 1);
    lab.offer(0, false);
    lab.run(100);
    let generation = lab.generation(0);
    let owner = offhook::signalling::livekit::media_owner("PA_late|TR_late", "");
    lab.input(0, Input::RemoteTrack { generation, id: 5, owner, mid: String::new(), again: false });
    lab.run(100);
    let info = |version, tracks| pb::ParticipantInfo {
        sid: "PA_late".into(),
        identity: "late".into(),
        state: participant_info::State::Active as i32,
        version,
        tracks,
        ..Default::default()
    };
    let update = |p| ServerMessage::Update(pb::ParticipantUpdate { participants: vec![p] });
    lab.frame(0, update(info(1, Vec::new())));
    assert_eq!(lab.count_outputs(0, "Bind"), 0, "its track says what it is");
    let track = pb::TrackInfo { sid: "TR_late".into(), ..Default::default() };
    lab.frame(0, update(info(2, vec![track])));
    assert_eq!(lab.count_outputs(0, "< Bind { id: 5, user_id: \"late\""), 1);
    lab.input(0, Input::RemoteTrackGone { id: 5 });
}

#[test]
fn an_older_picture_of_a_participant_is_ignored() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    let member = lab.member(1);
    let before = lab.world.info(member);
    lab.publish(1, false);
    assert_eq!(lab.world.clients[0].check.view.people["PA_1x1"].1.len(), 1);
    lab.frame(0, ServerMessage::Update(pb::ParticipantUpdate { participants: vec![before] }));
    assert_eq!(lab.count_outputs(0, "Event"), 0);
    lab.calm();
}

#[test]
fn the_answer_to_an_older_offer_is_ignored() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    let sock = lab.sock(0);
    lab.world.socks[sock].silent = true;
    lab.act(0, Act::Unpublish);
    lab.run(10);
    assert_eq!(lab.framed(0, "Offer("), 1);
    let answer =
        |id| ServerMessage::Answer(pb::SessionDescription { r#type: "answer".into(), sdp: "v=0 old".into(), id });
    lab.frame(0, answer(1));
    lab.run(10);
    assert_eq!(lab.count_outputs(0, "SetAnswer"), 0, "of the offer before");
    lab.world.socks[sock].silent = false;
    lab.calm();
}

#[test]
fn an_announcement_that_is_refused_is_an_error_of_the_track_and_of_nothing_else() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.act(0, Act::Publish { muted: false });
    lab.act(0, Act::Data(DataAct::Packet { to: None, lossy: false }));
    let mut refused = 0;
    for _ in 0..12_000 {
        lab.run(1);
        let announced = lab.framed(0, "AddTrack");
        if announced > refused {
            refused = announced;
            let cid = lab.world.trace.as_deref().unwrap_or_default().iter().rev().find_map(|l| {
                l.split_once("AddTrackRequest { cid: \"")
                    .and_then(|(_, rest)| rest.split('"').next().map(str::to_owned))
            });
            let add = pb::AddTrackRequest { cid: cid.expect("its name"), ..Default::default() };
            let response = pb::RequestResponse {
                reason: request_response::Reason::NotAllowed as i32,
                message: "not you".into(),
                request: Some(request_response::Request::AddTrack(add)),
                ..Default::default()
            };
            lab.frame(0, ServerMessage::RequestResponse(response));
        }
    }
    let failed = |e: &Event| matches!(e, Event::LocalFailed { error, .. } if error.message.contains("not you"));
    assert_eq!(lab.log(0).iter().filter(|(_, e)| failed(e)).count(), 1);
    assert_eq!((refused, lab.state(0), back(&lab, 0).len()), (3, State::Joined, 0));
}

#[test]
fn media_that_is_lost_while_the_socket_is_open_resumes() {
    for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
        let mut lab = Lab::livekit_joined(&[0, 0], 1);
        lab.publish(0, false);
        lab.publish(1, false);
        let generation = lab.generation(0);
        lab.world.engine_news(0, generation, peer, super::engine::News::Change(PeerChange::Disconnected));
        lab.run(400);
        assert_eq!(back(&lab, 0).len(), 0, "it may come back by itself");
        lab.run(2_000);
        assert_eq!((back(&lab, 0), lab.count_outputs(0, "Create {")), (vec![Strategy::Fast], 0), "{peer:?}");
        lab.calm();
    }
}

#[test]
fn a_moderator_mutes_and_the_application_may_unmute() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.world.mute_from_outside(0, true);
    lab.run(500);
    assert_eq!(
        (lab.count_outputs(0, "Moderated { track: 1, muted: true"), lab.count_outputs(0, "cause: Moderation")),
        (1, 1)
    );
    assert_eq!((lab.framed(0, "Mute("), lab.framed(0, "muted: true")), (1, 1), "an unmute in progress is not final");
    lab.act(0, Act::Mute(false));
    lab.run(500);
    let member = lab.member(0);
    assert!(!lab.world.sfu.members[member].tracks[0].muted);
    lab.world.clients[0].app.tracks[0].muted = false;
    lab.calm();
}

#[test]
fn tracks_that_the_server_unpublishes_are_reported_and_not_listed_by_the_next_resume() {
    let mut lab = Lab::livekit_joined(&[0, 0], 1);
    lab.publish(0, false);
    lab.world.grant(0, false);
    lab.run(1_000);
    assert_eq!(lab.count_outputs(0, "LocalFailed"), 1);
    lab.cut(0, Cut::Reset);
    lab.run(3_000);
    assert_eq!(back(&lab, 0), [Strategy::Fast]);
    lab.world.grant(0, true);
    lab.run(100);
    lab.act(0, Act::Publish { muted: false });
    lab.run(3_000);
    assert_eq!(lab.count_outputs(0, "LocalPublished"), 1);
    lab.calm();
}

#[test]
fn packets_texts_and_calls_go_from_one_to_the_other() {
    let mut lab = Lab::livekit_joined(&[0, 0, 1], 1);
    // Nothing is published: the publisher is created for its channels.
    lab.act(0, Act::Data(DataAct::Packet { to: None, lossy: true }));
    lab.act(0, Act::Data(DataAct::Text { to: Some(1), length: 40_000 }));
    lab.run(2_000);
    assert_eq!((lab.count_outputs(1, "Event(Data"), lab.count_outputs(2, "Event(Data")), (2, 0));
    lab.act(1, Act::Data(DataAct::Call { to: 0, timeout: 15_000 }));
    lab.act(1, Act::Data(DataAct::Call { to: 2, timeout: 9_000 }));
    lab.act(1, Act::Data(DataAct::Call { to: 9, timeout: 0 }));
    lab.run(16_000);
    assert_eq!((lab.count_outputs(0, "Event(RpcRequest"), lab.count_outputs(1, "Event(RpcResponse")), (1, 3));
    // Also on a new connection.
    lab.strike(0, Fault::Error(Strategy::Rejoin));
    lab.run(2_000);
    lab.mark();
    lab.act(0, Act::Data(DataAct::Text { to: Some(1), length: 40 }));
    lab.run(2_000);
    assert_eq!(lab.count_outputs(1, "Event(Data"), 1);
    lab.calm();
}

#[test]
fn nothing_is_received_after_leaving_or_closing_the_subscriber() {
    let mut lab = Lab::livekit_joined(&[0, 0, 0], 1);
    lab.act(0, Act::Data(DataAct::Text { to: None, length: 40_000 }));
    lab.run(1_000);
    lab.mark();
    let generation = lab.generation(1);
    for client in [1, 2] {
        lab.act(client, if client == 1 { Act::ClosePeer(PeerKind::Subscriber) } else { Act::Leave });
        for body in [
            DataBody::Packet { topic: String::new(), payload: "7:2:".into() },
            DataBody::RpcRequest {
                id: "r".into(),
                method: "m".into(),
                payload: String::new(),
                timeout_ms: 9,
                version: 1,
            },
        ] {
            let data = DataIn { from: "user0".into(), session_id: String::new(), delivery: Delivery::Reliable, body };
            lab.input(client, Input::Data { generation, data });
        }
        assert_eq!(
            lab.count_outputs(client, "Event(Data")
                + lab.count_outputs(client, "RpcRequest")
                + lab.count_outputs(client, "SendData"),
            0
        );
    }
    lab.run(1_000);
}

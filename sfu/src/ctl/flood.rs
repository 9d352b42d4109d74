//! Flooding: many large events, sent as fast as the client accepts them, to exceed the client's limits.

use crate::{
    ctl::{Answer, Target},
    server::{encode, Server},
    socket::Out,
};
use offhook_proto::{
    event::{self, sfu_event::EventPayload},
    google::{self, value::Kind},
    models,
};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// Pins of unknown sessions.
    Pins,
    /// Joins of new participants.
    Joins,
    /// Joins and leaves of new participants.
    ComeAndGo,
    /// Updates of one participant, each with different texts.
    Updates,
}

#[derive(Deserialize)]
pub struct Flood {
    #[serde(flatten)]
    target: Target,
    what: What,
    /// Number of events.
    count: u32,
    /// Payload bytes of each event, at most 900000.
    bytes: usize,
}

/// Answers once the last event has been written.
pub async fn flood(server: Arc<Server>, a: Flood) -> Answer {
    if a.bytes > 900_000 {
        return Err("at most 900000 bytes".into());
    }
    let sockets: Vec<_> = {
        let world = server.world.lock();
        a.target.sockets(&world).into_iter().filter_map(|(_, s)| s).collect()
    };
    let mut sent = 0_u32;
    for socket in &sockets {
        for number in 0..a.count {
            for event in events(a.what, number, a.bytes) {
                if !socket.send(Out::Binary(encode(event))).await {
                    return Ok(json!({ "sent": sent }));
                }
            }
            sent += 1;
        }
        socket.flush().await;
    }
    Ok(json!({ "sent": sent }))
}

fn person(number: u32, bytes: usize, seed: u32) -> Option<models::Participant> {
    let text = google::Value { kind: Some(Kind::StringValue(format!("{seed}-{}", "x".repeat(bytes)))) };
    Some(models::Participant {
        user_id: format!("flood-{number}"),
        session_id: format!("flood-session-{number}"),
        custom: Some(google::Struct { fields: [("text".to_owned(), text)].into() }),
        ..Default::default()
    })
}

fn events(what: What, number: u32, bytes: usize) -> Vec<EventPayload> {
    let joined =
        |participant| EventPayload::ParticipantJoined(event::ParticipantJoined { participant, ..Default::default() });
    match what {
        What::Pins => {
            let one = format!("{number}-{}", "y".repeat(200));
            let pins = (0..bytes / 400).map(|_| models::Pin { user_id: one.clone(), session_id: one.clone() });
            vec![EventPayload::PinsUpdated(event::PinsChanged { pins: pins.collect() })]
        }
        What::Joins => vec![joined(person(number, bytes, 0))],
        What::ComeAndGo => {
            let participant = person(number, bytes, 0);
            let left = event::ParticipantLeft { participant: participant.clone(), ..Default::default() };
            vec![joined(participant), EventPayload::ParticipantLeft(left)]
        }
        What::Updates => {
            let participant = person(0, bytes, number);
            let updated = event::ParticipantUpdated { participant, ..Default::default() };
            vec![EventPayload::ParticipantUpdated(updated)]
        }
    }
}

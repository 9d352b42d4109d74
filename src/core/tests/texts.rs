//! Texts in pieces: eviction by sender, partial delivery, attributes, losses.

use super::sim::*;
use crate::core::{model::*, *};
use bytes::Bytes;

fn joined_with(partial_texts: bool) -> Sim {
    let dialect = Dialect { data_channels: true, ..DIALECT };
    let mut sim = Sim::joined_with(Config { dialect, partial_texts, ..config() });
    sim.offer();
    sim.run(ms(50));
    sim.mark();
    sim
}

fn joined() -> Sim {
    joined_with(false)
}

fn receive(sim: &mut Sim, from: &str, body: DataBody) {
    let generation = sim.core.cx.transport.unwrap_or(Generation(0));
    let data = DataIn { from: from.into(), session_id: String::new(), delivery: Delivery::Reliable, body };
    sim.input(Input::Data { generation, data });
}

fn begin(sim: &mut Sim, from: &str, id: &str) {
    begin_with(sim, from, id, Attributes::default());
}

fn begin_with(sim: &mut Sim, from: &str, id: &str, attributes: Attributes) {
    receive(sim, from, DataBody::TextBegin { id: id.into(), topic: "t".into(), length: None, attributes });
}

fn piece(sim: &mut Sim, from: &str, id: &str, index: u64, content: &[u8]) {
    let content = Bytes::copy_from_slice(content);
    receive(sim, from, DataBody::TextPiece { id: id.into(), index, content });
}

fn end(sim: &mut Sim, from: &str, id: &str) {
    receive(sim, from, DataBody::TextEnd { id: id.into(), complete: true, attributes: Attributes::default() });
}

/// Senders of the delivered texts, and their lengths.
fn delivered(sim: &Sim) -> Vec<(String, usize)> {
    let text = |e: Event| match e {
        Event::Data(DataIn { from, body: DataBody::Text { text, .. }, .. }) => Some((from, text.len())),
        _ => None,
    };
    sim.events().into_iter().filter_map(text).collect()
}

/// Total number of texts reported as lost.
fn lost(sim: &mut Sim) -> u64 {
    sim.run(limits::LOSS_INTERVAL + MS);
    let of = |e: Event| if let Event::DataLost(lost) = e { lost.texts } else { 0 };
    sim.events().into_iter().map(of).sum()
}

const PIECE: usize = 15_000;

#[test]
fn four_large_texts_at_once_arrive() {
    let mut sim = joined();
    let senders = ["p0", "p1", "p2", "p3"];
    for from in senders {
        // Text ids are per sender.
        begin(&mut sim, from, "same");
    }
    let pieces = 700_000_usize.div_ceil(PIECE);
    for index in 0..pieces {
        for from in senders {
            let length = PIECE.min(700_000 - index * PIECE);
            piece(&mut sim, from, "same", index as u64, &vec![b'x'; length]);
        }
    }
    for from in senders {
        end(&mut sim, from, "same");
    }
    let whole: Vec<_> = senders.iter().map(|from| ((*from).to_owned(), 700_000)).collect();
    assert_eq!((delivered(&sim), lost(&mut sim), sim.core.counters().data_dropped), (whole, 0, 0));
}

#[test]
fn a_sender_over_its_limit_loses_its_oldest_text() {
    let mut sim = joined();
    begin(&mut sim, "quiet", "q");
    piece(&mut sim, "quiet", "q", 0, b"first");
    // Too many texts of one sender, then texts that are too large.
    for n in 0..limits::TEXTS + 3 {
        begin(&mut sim, "loud", &format!("l{n}"));
    }
    // Two of them are as much as one sender may have, including the beginnings of the other texts.
    let large = vec![b'x'; limits::TEXT_BYTES - 10_000];
    for n in 3..6 {
        piece(&mut sim, "loud", &format!("l{n}"), 0, &large);
    }
    for n in 0..limits::TEXTS + 3 {
        end(&mut sim, "loud", &format!("l{n}"));
    }
    end(&mut sim, "quiet", "q");
    let delivered = delivered(&sim);
    // 3 were dropped by number, and the oldest of those with content by size.
    assert_eq!(delivered.iter().filter(|(from, _)| from == "loud").count(), limits::TEXTS - 1);
    assert_eq!(delivered.iter().filter(|(_, length)| *length == large.len()).count(), 2);
    assert_eq!(delivered.last(), Some(&("quiet".to_owned(), 5)));
    assert_eq!((lost(&mut sim), sim.core.counters().data_dropped), (4, 4));
}

#[test]
fn what_all_send_is_bounded_and_fair() {
    let mut sim = joined();
    begin(&mut sim, "small", "s");
    piece(&mut sim, "small", "s", 0, b"small");
    let large = vec![b'x'; limits::TEXT_BYTES];
    let most = limits::ALL_TEXT_BYTES / limits::TEXT_BYTES;
    for n in 0..2 * most {
        let from = format!("p{n}");
        begin(&mut sim, &from, "l");
        piece(&mut sim, &from, "l", 0, &large);
    }
    for n in 0..2 * most {
        end(&mut sim, &format!("p{n}"), "l");
    }
    end(&mut sim, "small", "s");
    let delivered = delivered(&sim);
    let bytes: usize = delivered.iter().map(|(_, length)| length).sum();
    assert!(bytes <= limits::ALL_TEXT_BYTES && delivered.len() >= most - 1, "{bytes} in {}", delivered.len());
    assert_eq!(delivered.last(), Some(&("small".to_owned(), 5)));
    assert_eq!(lost(&mut sim) as usize + delivered.len(), 2 * most + 1);
    // The same by number: 40 senders begin as many as they may, and one more begins one.
    sim.mark();
    for n in 0..40 {
        for text in 0..limits::TEXTS {
            begin(&mut sim, &format!("p{n}"), &text.to_string());
        }
    }
    begin(&mut sim, "small", "s");
    end(&mut sim, "small", "s");
    let begun = 40 * limits::TEXTS;
    assert_eq!((delivered_since(&sim), lost(&mut sim) as usize), (1, begun + 1 - limits::ALL_TEXTS));
}

fn delivered_since(sim: &Sim) -> usize {
    delivered(sim).len()
}

#[test]
fn a_slow_text_affects_no_other_sender_and_an_idle_one_ends() {
    let mut sim = joined();
    begin(&mut sim, "slow", "never");
    begin(&mut sim, "dead", "never");
    for index in 0..10 {
        piece(&mut sim, "slow", "never", index, b"x");
        begin(&mut sim, "fine", &index.to_string());
        piece(&mut sim, "fine", &index.to_string(), 0, &vec![b'x'; limits::TEXT_BYTES]);
        end(&mut sim, "fine", &index.to_string());
        sim.run(limits::TEXT_IDLE / 4);
    }
    assert_eq!(delivered(&sim).len(), 10);
    // The dead text received nothing for a minute; the slow one is still open.
    assert_eq!(lost(&mut sim), 1);
    end(&mut sim, "dead", "never");
    end(&mut sim, "slow", "never");
    assert_eq!(delivered(&sim).last(), Some(&("slow".to_owned(), 10)));
}

#[test]
fn a_text_of_a_leaving_sender_is_reported_as_lost() {
    let mut sim = joined();
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
    begin(&mut sim, "ann", "half");
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "ann-session".into(),
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    assert_eq!((lost(&mut sim), sim.core.counters().data_dropped), (1, 1));
    // So is a text whose peer connection is closed, once data arrives over the next one.
    begin(&mut sim, "bob", "half");
    sim.message(SfuMessage::Error { error: SfuError::default(), strategy: Strategy::Rejoin });
    sim.run(ms(100));
    sim.offer();
    sim.run(ms(100));
    piece(&mut sim, "bob", "half", 0, b"x");
    end(&mut sim, "bob", "half");
    assert_eq!((delivered(&sim).len(), lost(&mut sim)), (0, 2));
}

#[test]
fn what_came_before_a_reconnect_is_not_late() {
    let mut sim = joined();
    let before = sim.core.cx.transport.expect("a transport");
    sim.message(SfuMessage::Error { error: SfuError::default(), strategy: Strategy::Rejoin });
    sim.run(ms(200));
    assert!(sim.core.cx.transport > Some(before));
    sim.mark();
    let body = DataBody::Packet { topic: String::new(), payload: Bytes::from_static(b"x") };
    let data = DataIn { from: "ann".into(), session_id: String::new(), delivery: Delivery::Reliable, body };
    sim.input(Input::Data { generation: before, data });
    assert!(matches!(sim.events()[..], [Event::Data(_)]));
    // Unread data is reported as lost.
    sim.input(Input::DataUnread { generation: before, messages: 3, bytes: 30 });
    let lost = DataLost { packets: 3, bytes: 30, texts: 0 };
    assert_eq!(sim.events().last(), Some(&Event::DataLost(lost)));
}

#[test]
fn parts_are_whole_characters() {
    let mut sim = joined_with(true);
    begin_with(&mut sim, "ann", "s", [("lk.segment_id".to_owned(), "1".to_owned())].into());
    let text = "aé€🎧z".as_bytes();
    for (index, byte) in text.iter().enumerate() {
        piece(&mut sim, "ann", "s", index as u64, &[*byte]);
    }
    let attributes = [("lk.transcription_final".to_owned(), "true".to_owned())].into();
    receive(&mut sim, "ann", DataBody::TextEnd { id: "s".into(), complete: true, attributes });
    let parts = |e: &Event| match e {
        Event::Data(DataIn { body: DataBody::TextPart { text, offset, attributes, .. }, .. }) => {
            assert_eq!(attributes["lk.segment_id"], "1");
            Some((*offset, text.clone()))
        }
        _ => None,
    };
    let events = sim.events();
    let parts: Vec<_> = events.iter().filter_map(parts).collect();
    let expected = [(0, "a"), (1, "é"), (3, "€"), (6, "🎧"), (10, "z")].map(|(at, text)| (at, text.to_owned()));
    assert_eq!(parts, expected);
    let Some(Event::Data(DataIn { body: DataBody::Text { text, attributes, .. }, .. })) = events.last() else {
        panic!("no text: {events:?}")
    };
    assert_eq!((text.as_str(), attributes.len()), ("aé€🎧z", 2));
    // Invalid UTF-8 ends a text at once. Parts are delivered on request only.
    begin(&mut sim, "ann", "bad");
    piece(&mut sim, "ann", "bad", 0, b"ok\xff");
    end(&mut sim, "ann", "bad");
    assert_eq!((delivered(&sim).len(), lost(&mut sim)), (1, 1));
    let mut sim = joined();
    begin(&mut sim, "ann", "s");
    piece(&mut sim, "ann", "s", 0, b"x");
    assert_eq!(sim.events().len(), 0);
}

#[test]
fn encrypted_data_is_reported_once_and_counted() {
    let mut sim = joined();
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
    sim.mark();
    for _ in 0..3 {
        receive(&mut sim, "ann", DataBody::Encrypted);
    }
    receive(&mut sim, "bob", DataBody::Encrypted);
    let whose = |e: Event| if let Event::DataEncrypted { user_id, .. } = e { Some(user_id) } else { None };
    let whose: Vec<_> = sim.events().into_iter().filter_map(whose).collect();
    assert_eq!(whose, ["ann", "bob"]);
    let counters = sim.core.counters();
    assert_eq!((counters.data_encrypted, counters.data_dropped, sim.errors()), (4, 4, 0));
    // After ann left, the same user is a new participant.
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "ann-session".into(),
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    receive(&mut sim, "ann", DataBody::Encrypted);
    assert!(matches!(sim.events().last(), Some(Event::DataEncrypted { .. })));
}

//! Media connection state as reported to the application, and the reason if media never connected.

use super::sim::*;
use crate::core::{model::*, *};

const SUB: PeerKind = PeerKind::Subscriber;
const PUB: PeerKind = PeerKind::Publisher;

/// Reported directions and whether they are connected, in order.
fn media(sim: &Sim) -> Vec<(PeerKind, bool)> {
    let of =
        |e: Event| if let Event::Media { direction, connected, .. } = e { Some((direction, connected)) } else { None };
    sim.events().into_iter().filter_map(of).collect()
}

fn path(text: &str, silent: bool) -> Path {
    Path { text: text.into(), silent }
}

#[test]
fn each_direction_is_reported_once_per_change() {
    let mut sim = Sim::joined();
    assert_eq!(media(&sim), []);
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(200));
    sim.peer(SUB, PeerChange::Connected);
    let mut reported = media(&sim);
    reported.sort_by_key(|(direction, _)| *direction as u8);
    assert_eq!(reported, [(PUB, true), (SUB, true)]);
    sim.mark();
    for change in [PeerChange::Disconnected, PeerChange::Disconnected, PeerChange::Connected, PeerChange::Connected] {
        sim.peer(SUB, change);
    }
    assert_eq!(media(&sim), [(SUB, false), (SUB, true)]);
    // A new session: both directions disconnect and reconnect.
    sim.mark();
    sim.peer(PUB, PeerChange::Failed);
    sim.run(ms(300));
    sim.offer();
    sim.run(ms(300));
    let of = |peer| media(&sim).into_iter().filter(|(p, _)| *p == peer).map(|(_, on)| on).collect::<Vec<_>>();
    assert_eq!((of(PUB), of(SUB)), (vec![false, true], vec![false, true]));
    // Neither a peer connection closed by the application nor the end of the call is reported as a loss.
    sim.mark();
    sim.input(Input::ClosePeer(PUB));
    sim.leave();
    sim.run(ms(3_000));
    assert_eq!(media(&sim), []);
    assert!(sim.ended().is_some());
}

#[test]
fn a_loss_reports_what_was_seen() {
    let mut sim = Sim::joined();
    sim.offer();
    sim.run(ms(200));
    let generation = sim.core.cx.transport.unwrap();
    sim.input(Input::Path { generation, peer: SUB, path: path("pairs with host: 1 succeeded", false) });
    sim.input(Input::Path { generation: Generation(99), peer: SUB, path: path("of another one", false) });
    sim.peer(SUB, PeerChange::Disconnected);
    let lost = sim.events().into_iter().find_map(|e| match e {
        Event::Media { connected: false, text, .. } => Some(text),
        _ => None,
    });
    assert_eq!(lost.as_deref(), Some("no packets from the SFU; pairs with host: 1 succeeded"));
}

/// The end of a call whose peer connections never connect and report `path`.
fn never(path: Path) -> End {
    let mut sim = Sim::joined();
    (sim.connects, sim.path) = (false, path);
    sim.offer();
    sim.run(limits::PEER_CONNECT * 2 + ms(100));
    sim.offer();
    sim.run(limits::PEER_CONNECT * 2 + ms(100));
    let end = sim.ended().expect("ended");
    assert_eq!(end.reason, EndReason::NetworkUnsupported);
    assert_eq!(end.error.as_ref().map(|e| e.message.to_string()).as_deref(), Some(&*end.text));
    end
}

#[test]
fn the_end_names_what_was_tried_and_advises_only_what_was_found() {
    let silent = never(path("pairs with host: 2 in progress; nothing was received", true));
    assert!(silent.text.contains("subscriber: pairs with host: 2 in progress"), "{}", silent.text);
    assert!(silent.text.contains("allow UDP"), "{}", silent.text);
    let dtls = never(path("pairs with host: 1 succeeded; DTLS was not answered", false));
    assert!(dtls.text.contains("DTLS was not answered") && !dtls.text.contains("UDP"), "{}", dtls.text);
    assert!(!never(Path::default()).text.contains("UDP"));
}

#[test]
fn a_connection_lost_for_good_names_how_the_last_attempt_failed() {
    let mut sim = Sim::joined();
    sim.on(|output| match output {
        Output::OpenSocket { generation, .. } => {
            let failure = Failure::new(FailureKind::Connect, "connection refused");
            Reply::With(Input::SocketOpened { generation: *generation, result: Err(failure) })
        }
        _ => Reply::Good,
    });
    sim.lose_socket();
    sim.run(ms(120_000));
    let end = sim.ended().expect("ended");
    assert!(end.text.contains("first cause") && end.text.contains("connection refused"), "{}", end.text);
}

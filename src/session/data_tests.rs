//! Tests of which accepted data is known to have arrived, and of the report of the rest.

use super::*;
use crate::rtc::engine::{EngineError, EngineResult};
use std::sync::atomic::AtomicUsize;

/// A channel whose acceptance and acknowledgements the test controls.
#[derive(Default)]
struct Fake {
    closed: AtomicBool,
    full: AtomicBool,
    refuses: AtomicBool,
    buffered: AtomicUsize,
    sent: Mutex<Vec<Bytes>>,
}

impl DataWriter for Fake {
    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    fn send(&self, message: Bytes) -> EngineResult<()> {
        let fail = |kind| Err(EngineError { kind, message: String::new() });
        if self.full.load(Ordering::Relaxed) {
            return fail(EngineErrorKind::Full);
        }
        if self.refuses.load(Ordering::Relaxed) {
            return fail(EngineErrorKind::Invalid);
        }
        self.buffered.fetch_add(message.len(), Ordering::Relaxed);
        self.sent.lock().push(message);
        Ok(())
    }
}

fn seal(_: Delivery, packet: Bytes) -> Bytes {
    packet
}

fn flush(outbox: &Outbox) -> bool {
    outbox.flush(seal)
}

fn message(body: DataBody) -> DataOut {
    DataOut { to: Vec::new(), delivery: Delivery::Reliable, body }
}

fn packet() -> DataOut {
    message(DataBody::Packet { topic: String::new(), payload: Bytes::new() })
}

fn text() -> DataOut {
    message(DataBody::Text {
        id: "t".into(),
        topic: String::new(),
        text: String::new(),
        attributes: Default::default(),
    })
}

fn answer() -> DataOut {
    message(DataBody::RpcAnswer { id: "a".into(), answer: Ok(String::new()) })
}

fn bytes(size: usize) -> Bytes {
    vec![0; size].into()
}

fn with_channel() -> (Outbox, Arc<Fake>) {
    let (outbox, fake) = (Outbox::default(), Arc::new(Fake::default()));
    outbox.add_channel(Generation(1), Delivery::Reliable, fake.clone());
    (outbox, fake)
}

#[test]
fn sent_is_what_was_acknowledged() {
    let (outbox, fake) = with_channel();
    assert!(outbox.is_empty());
    outbox.push(&packet(), vec![bytes(100)], "t").unwrap();
    outbox.push(&text(), vec![bytes(10), bytes(1_000), bytes(10)], "t").unwrap();
    outbox.push_internal(&answer(), vec![bytes(50)]).unwrap();
    let all = Unsent { packets: 1, texts: 1, rpc_answers: 1, bytes: 1_170, ..Unsent::default() };
    assert_eq!((outbox.is_empty(), outbox.unsent()), (false, all), "nothing was given to the engine");
    assert!(!flush(&outbox));
    assert_eq!(fake.sent.lock().len(), 5);
    assert_eq!((outbox.is_empty(), outbox.unsent()), (false, all), "and nothing has arrived");
    fake.buffered.store(60, Ordering::Relaxed);
    assert!(!outbox.is_empty());
    let rest = Unsent { texts: 1, rpc_answers: 1, bytes: 60, ..Unsent::default() };
    assert_eq!(outbox.unsent(), rest, "the last piece of the text, and the answer");
    fake.buffered.store(0, Ordering::Relaxed);
    assert!(outbox.is_empty());
    assert!(outbox.unsent().is_none());
}

#[test]
fn a_full_engine_loses_nothing_and_refused_packets_are_counted() {
    let (outbox, fake) = with_channel();
    fake.full.store(true, Ordering::Relaxed);
    outbox.push(&packet(), vec![bytes(100)], "t").unwrap();
    assert!(flush(&outbox), "to be polled again");
    assert_eq!(outbox.unsent().packets, 1);
    fake.full.store(false, Ordering::Relaxed);
    fake.refuses.store(true, Ordering::Relaxed);
    assert!(!flush(&outbox));
    assert!(outbox.is_empty(), "it will never be sent");
    assert_eq!((outbox.unsent().packets, outbox.dropped()), (1, 1));
}

#[test]
fn after_a_leave_the_application_sends_no_more_but_the_core_does() {
    let (outbox, fake) = with_channel();
    outbox.push(&packet(), vec![bytes(100)], "t").unwrap();
    outbox.seal();
    assert_eq!(outbox.push(&packet(), vec![bytes(100)], "t").unwrap_err().code, Code::State);
    outbox.push_internal(&answer(), vec![bytes(50)]).unwrap();
    flush(&outbox);
    assert_eq!(fake.sent.lock().len(), 2);
}

#[test]
fn queued_application_data_does_not_block_an_answer() {
    let outbox = Outbox::default();
    while outbox.push(&packet(), vec![bytes(1_000)], "t").is_ok() {}
    assert_eq!(outbox.push(&packet(), vec![bytes(1_000)], "t").unwrap_err().code, Code::Full);
    for _ in 0..crate::core::limits::RPC_CALLS / 2 {
        outbox.push_internal(&answer(), vec![bytes(15_000)]).unwrap();
    }
    // Still bounded, and the answers that did not fit are reported.
    while outbox.push_internal(&answer(), vec![bytes(15_000)]).is_ok() {}
    let unsent = outbox.unsent();
    assert!(unsent.bytes <= (MAX_BYTES * INTERNAL_SHARE) as u64, "{unsent:?}");
    assert!(unsent.rpc_answers > crate::core::limits::RPC_CALLS as u64 / 2);
}

#[test]
fn packets_in_flight_on_a_lost_connection_count_until_there_is_another() {
    let (outbox, fake) = with_channel();
    outbox.push(&packet(), vec![bytes(100)], "t").unwrap();
    outbox.push(&packet(), vec![bytes(100)], "t").unwrap();
    flush(&outbox);
    fake.buffered.store(100, Ordering::Relaxed);
    outbox.remove_channels(Generation(1));
    assert_eq!(outbox.unsent().packets, 1);
    outbox.push(&packet(), vec![bytes(100)], "t").unwrap();
    let next = Arc::new(Fake::default());
    outbox.add_channel(Generation(2), Delivery::Reliable, next.clone());
    flush(&outbox);
    next.buffered.store(0, Ordering::Relaxed);
    assert!(outbox.is_empty() && outbox.unsent().is_none());
}

#[test]
fn lossy_packets_are_not_counted_as_unsent() {
    let (outbox, fake) = with_channel();
    outbox.add_channel(Generation(1), Delivery::Lossy, fake.clone());
    fake.refuses.store(true, Ordering::Relaxed);
    let lossy = DataOut { delivery: Delivery::Lossy, ..packet() };
    outbox.push(&lossy, vec![bytes(100)], "t").unwrap();
    flush(&outbox);
    assert!(outbox.unsent().is_none());
    assert_eq!(outbox.dropped(), 1);
}

//! Order, duplicates, late packets, stream restarts and bounds of the receive buffer.

use super::*;
use bytes::Bytes;

/// 20 ms of wide-band CELT that libopus accepts as a packet header.
fn payload() -> Bytes {
    Bytes::from_static(&[0xf8, 1, 2, 3])
}

fn frame(ssrc: u32, sequence: u16, rtp_time: u32, payload: Bytes, arrival: Duration) -> EncodedFrame {
    EncodedFrame { ssrc, sequence, rtp_time, payload, arrival, ..EncodedFrame::default() }
}

fn buffer() -> JitterBuffer {
    JitterBuffer::new(Duration::from_millis(20), Duration::from_millis(200))
}

fn push(buffer: &mut JitterBuffer, i: u64, first: u16, first_ts: u32) -> Pushed {
    let sequence = first.wrapping_add(i as u16);
    let timestamp = first_ts.wrapping_add(i as u32 * 960);
    buffer.push(frame(1, sequence, timestamp, payload(), Duration::from_millis(i * 20)))
}

#[test]
fn order_is_restored_across_both_wraps() {
    let mut buffer = buffer();
    for i in [0, 2, 1, 3, 5, 4, 5, 1] {
        push(&mut buffer, i, 65_534, u32::MAX - 1_500);
    }
    let ticks: Vec<i64> = std::iter::from_fn(|| buffer.pop()).map(|p| p.ticks).collect();
    assert_eq!(ticks.len(), 6);
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == 960), "{ticks:?}");
    assert_eq!(buffer.counts.duplicates, 2);
    assert_eq!(buffer.counts.lost, 0);
}

#[test]
fn a_late_packet_is_no_longer_lost_and_comes_once() {
    let mut buffer = buffer();
    for i in [0, 1, 3] {
        push(&mut buffer, i, 10, 0);
    }
    while buffer.pop().is_some() {}
    assert_eq!(buffer.counts.lost, 1);
    push(&mut buffer, 2, 10, 0);
    push(&mut buffer, 2, 10, 0);
    assert_eq!((buffer.counts.lost, buffer.counts.late, buffer.counts.duplicates), (0, 1, 1));
    assert_eq!(buffer.len(), 0);
}

#[test]
fn a_stray_packet_is_ignored_and_two_in_a_row_restart_the_stream() {
    let mut buffer = buffer();
    for i in 0..3 {
        push(&mut buffer, i, 100, 0);
    }
    assert_eq!(push(&mut buffer, 3, 30_000, 77), Pushed::Dropped);
    assert_eq!(push(&mut buffer, 3, 100, 0), Pushed::Queued);
    assert_eq!(push(&mut buffer, 4, 30_000, 77), Pushed::Dropped);
    assert_eq!(push(&mut buffer, 5, 30_000, 77), Pushed::Restarted);
    // Packets already held are played, and then both of the restarted stream.
    assert_eq!((buffer.len(), buffer.counts.discarded, buffer.counts.restarts), (6, 1, 1));
}

#[test]
fn never_holds_more_than_its_bound() {
    let mut buffer = buffer();
    for i in 0..1_000 {
        push(&mut buffer, i, 0, 0);
    }
    assert_eq!(buffer.len(), MAX_PACKETS);
    assert_eq!(buffer.counts.discarded, 1_000 - MAX_PACKETS as u64);
    let huge = Bytes::from(vec![0xf8; MAX_PAYLOAD + 1]);
    assert_eq!(buffer.push(frame(1, 1_000, 0, huge, Duration::ZERO)), Pushed::Dropped);
    assert_eq!(buffer.push(frame(1, 1_000, 0, Bytes::new(), Duration::ZERO)), Pushed::Dropped);
}

#[test]
fn a_redundant_frame_fills_only_its_own_hole() {
    let mut buffer = buffer();
    push(&mut buffer, 0, 65_534, u32::MAX - 1_500);
    let from = |buffer: &mut JitterBuffer, ssrc: u32, i: u64, shift: u32| {
        let sequence = 65_534u16.wrapping_add(i as u16);
        {
            let timestamp = (u32::MAX - 1_500).wrapping_add(i as u32 * 960 + shift);
            buffer.restore(frame(ssrc, sequence, timestamp, payload(), Duration::ZERO))
        }
    };
    let again = |buffer: &mut JitterBuffer, i: u64, shift: u32| from(buffer, 1, i, shift);
    assert!(!again(&mut buffer, 0, 0), "it is here");
    push(&mut buffer, 3, 65_534, u32::MAX - 1_500);
    assert!(!again(&mut buffer, 1, 1_920), "it is not of that time");
    assert!(!from(&mut buffer, 2, 1, 0), "it is of another sender");
    assert!(!again(&mut buffer, 4, 0) && !again(&mut buffer, 200, 0), "its packet may yet come");
    assert!(again(&mut buffer, 1, 0) && again(&mut buffer, 2, 0));
    assert!(!again(&mut buffer, 1, 0), "once");
    assert_eq!(push(&mut buffer, 1, 65_534, u32::MAX - 1_500), Pushed::Dropped);
    let ticks: Vec<i64> = std::iter::from_fn(|| buffer.pop()).map(|p| p.ticks).collect();
    assert!(ticks.len() == 4 && ticks.windows(2).all(|pair| pair[1] - pair[0] == 960), "{ticks:?}");
    assert_eq!((buffer.counts.lost, buffer.counts.restored), (0, 2));
    // A packet given up stays lost; nothing is restored before the first.
    push(&mut buffer, 6, 65_534, u32::MAX - 1_500);
    assert!(buffer.pop().is_some() && !again(&mut buffer, 5, 0));
    assert_eq!((buffer.counts.lost, buffer.counts.restored), (2, 2));
    buffer.reset();
    push(&mut buffer, 7, 65_534, u32::MAX - 1_500);
    assert!(!again(&mut buffer, 6, 0));
}

#[test]
fn a_redundant_frame_is_placed_beside_padding_and_size_checked() {
    let mut buffer = buffer();
    push(&mut buffer, 0, 10, 0);
    buffer.push_hollow(1, 12);
    push(&mut buffer, 3, 10, 0);
    // Number 11 is missing; 12 was padding and is not missing.
    assert!(!buffer.restore(frame(1, 12, 1_920, payload(), Duration::ZERO)), "padding has come");
    assert!(buffer.restore(frame(1, 11, 960, payload(), Duration::ZERO)));
    assert!(!buffer.restore(frame(1, 11, 960, payload(), Duration::ZERO)));
    for bad in [Bytes::new(), Bytes::from(vec![0xf8; MAX_PAYLOAD + 1])] {
        assert!(!buffer.restore(frame(1, 9, 0, bad, Duration::ZERO)));
    }
    let ticks: Vec<i64> = std::iter::from_fn(|| buffer.pop()).map(|p| p.ticks - 0x1_0000_0000).collect();
    assert_eq!((ticks, buffer.counts.lost), (vec![0, 960, 2_880], 0));
}

//! Allocations per packet once sender and receiver have warmed up. In a separate file: the counting allocator counts
//! the whole process, so nothing else may run beside it.

mod media_support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use media_support::*;
use offhook::media::audio::{
    receive::{AudioReceiveConfig, AudioReceiver},
    send::{AudioFormat, AudioSendConfig},
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        System.alloc(layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        System.dealloc(pointer, layout)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        System.realloc(pointer, layout, size)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_packet_costs_hardly_an_allocation() {
    for (rate, channels) in [(48_000u32, 1u8), (44_100, 2), (11_025, 1)] {
        let speech = resampled(&wav("bob"), rate, channels);
        let input = AudioFormat::Pcm { rate, channels };
        let mut sender = AudioSender::new(AudioSendConfig { input, ..Default::default() }).unwrap();
        let config = AudioReceiveConfig { rate, channels, ..Default::default() };
        let mut receiver = AudioReceiver::new(config).unwrap();
        let (mut sending, mut receiving, mut packets, mut pulls) = (0, 0, 0u64, 0u64);
        let mut samples = Vec::new();
        let mut pieces = speech.chunks_exact(rate as usize / 50 * usize::from(channels)).cycle();
        for tick in 0..2_000u64 {
            let now = Duration::from_millis(tick * 20);
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let _ = sender.write_s16(pieces.next().unwrap());
            let packet = sender.next_packet(false);
            let between = ALLOCATIONS.load(Ordering::Relaxed);
            if let Some(packet) = packet {
                packets += 1;
                // Every tenth packet is lost, so that FEC and concealment are counted too.
                if tick % 10 != 0 {
                    receiver.push(packet.sequence, packet.timestamp, packet.payload, now);
                }
            }
            pulls += u64::from(receiver.pull::<i16>(now, &mut samples).is_some());
            let after = ALLOCATIONS.load(Ordering::Relaxed);
            if tick >= 500 {
                sending += between - before;
                receiving += after - between;
            }
        }
        assert!(packets > 1_900 && pulls > 1_900, "{packets} packets, {pulls} pulls");
        // Per 1 500 ticks: blocks that packets are cut from, and nothing on the receiving side.
        assert!(sending <= 300, "{rate}/{channels}: {sending} allocations in 1500 packets sent");
        assert!(receiving <= 15, "{rate}/{channels}: {receiving} allocations in 1500 packets received");
        println!(
            "{rate} Hz/{channels}: per packet {} sending, {} receiving",
            sending as f64 / 1_500.0,
            receiving as f64 / 1_500.0
        );
    }
}

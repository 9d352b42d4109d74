//! Tests of packets between the engine and a call's mailbox.

use super::sink::MAX_INBOX;
use super::*;
use crate::core::model::TrackKind;
use crate::core::{End, EndReason, Event};
use crate::dispatch::{self, Class, Delivery, Limits, Mailbox};
use crate::error::Secret;
use crate::media::{
    audio::opus::Encoder,
    clock::{NtpTime, SenderReport},
    transform::NoTransforms,
};
use crate::rtc::engine::MediaKind;
use bytes::Bytes;

fn playout(media: usize, opus: bool) -> Arc<Playout> {
    let mailbox = Mailbox::pulled(dispatch::pool(), Limits { control: 64, vital: 8, media, ..Limits::default() });
    let options = AudioOptions {
        rate: 48_000,
        channels: 1,
        float: false,
        opus,
        min_delay_ms: 20,
        max_delay_ms: 200,
        wanted: true,
    };
    Playout::new(options, call(mailbox))
}

fn call(mailbox: Mailbox<Notice, AudioFrame>) -> Receiving {
    Receiving {
        began: Instant::now(),
        media: Arc::default(),
        totals: Arc::default(),
        secrets: Arc::default(),
        closed: Arc::default(),
        mailbox,
        transforms: Arc::new(NoTransforms),
    }
}

fn info(opus_types: &[u8]) -> RemoteTrackInfo {
    RemoteTrackInfo {
        kind: MediaKind::Audio,
        stream_id: String::new(),
        track_id: String::new(),
        rid: String::new(),
        mid: "0".into(),
        ssrc: 1,
        mime: "audio/opus".into(),
        clock_rate: 48_000,
        opus_types: opus_types.to_vec(),
        red: None,
    }
}

fn who(track_id: &str) -> Who {
    let (user_id, session_id) = ("ann".to_owned(), "ann-session".to_owned());
    Who::new(user_id, session_id, track_id.to_owned(), TrackKind::Audio)
}

fn quiet() -> EventSender {
    Arc::new(|_| true)
}

/// A tone that is louder for a higher `volume`.
fn tone(packets: usize, volume: f32) -> Vec<Bytes> {
    let mut encoder = Encoder::new(&Default::default()).unwrap();
    let frame = |n: usize| (0..960).map(|i| ((n * 960 + i) as f32 * 0.0576).sin() * volume).collect::<Vec<_>>();
    (0..packets).map(|n| encoder.encode_f32(&frame(n)).unwrap()).collect()
}

fn packet(n: usize, payload: &Bytes, payload_type: u8) -> RtpPacket {
    let (sequence, timestamp) = (n as u16, n as u32 * 960);
    RtpPacket { sequence, timestamp, ssrc: 1, payload_type, payload: payload.clone(), ..RtpPacket::default() }
}

fn notice() -> Notice {
    let end = End { reason: EndReason::Left, error: None, text: String::new() };
    Notice::new(0, Event::Ended(end))
}

/// Everything in the mailbox: the tracks of frames with their loudness; an empty name for an event.
fn taken(playout: &Playout) -> Vec<(String, f32)> {
    let next = || match playout.call.mailbox.next(Duration::ZERO) {
        Ok(Delivery::Media(frame)) => Some((frame.who.track_id.clone(), frame.level)),
        Ok(_) => Some((String::new(), 0.0)),
        Err(_) => None,
    };
    std::iter::from_fn(next).collect()
}

fn counts(playout: &Playout) -> [u64; 4] {
    let m = &playout.call.media;
    [&m.received, &m.unplayable, &m.unassigned, &m.padding].map(|c| c.load(Ordering::Relaxed))
}

#[test]
fn three_thousand_tracks_over_a_call_all_play() {
    let playout = playout(64, false);
    let audio = tone(4, 0.4);
    // The engine keeps the streams of ended tracks; the call has many more than play at once.
    let mut kept = Vec::new();
    for n in 0..3_000 {
        let (id, mut sink) = playout.add(&info(&[111]), None, quiet()).expect("a place");
        playout.bind(id, who(&n.to_string()), false);
        audio.iter().enumerate().for_each(|(i, payload)| sink.packet(packet(i, payload, 111)));
        playout.play_out(id);
        playout.unbind(id);
        let played_frames = taken(&playout);
        assert!(
            played_frames.len() >= 4 && played_frames.iter().all(|(track, _)| *track == n.to_string()),
            "{n}: {played_frames:?}"
        );
        kept.push(sink);
    }
    assert_eq!(playout.players.load(Ordering::Acquire), 0);
    // All muted tracks may come back.
    playout.bind(1, who("again"), false);
    audio.iter().enumerate().for_each(|(i, payload)| kept[0].packet(packet(i, payload, 111)));
    playout.play_out(1);
    assert!(taken(&playout).iter().any(|(track, level)| track == "again" && *level > 0.1));
    drop(kept);
    assert_eq!(playout.remotes.lock().len(), 0);
    assert_eq!(counts(&playout)[1..], [0, 0, 0]);
}

#[test]
fn no_frame_of_a_track_follows_its_end_event() {
    let audio = tone(8, 0.4);
    for opus in [false, true] {
        let playout = playout(4_096, opus);
        for round in 0..150 {
            let (id, mut sink) = playout.add(&info(&[111]), None, quiet()).unwrap();
            playout.bind(id, who("t"), false);
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                // The playing task and the engine, as fast as they can.
                scope.spawn(|| {
                    let remote = playout.remote(id).unwrap();
                    for tick in 0.. {
                        if over.load(Ordering::Acquire) {
                            return;
                        }
                        playout.play(&remote, playout.now() + Duration::from_millis(20) * tick);
                    }
                });
                scope.spawn(|| {
                    for n in 0.. {
                        if over.load(Ordering::Acquire) {
                            return;
                        }
                        sink.packet(packet(n, &audio[n % 8], 111));
                    }
                });
                std::thread::sleep(Duration::from_micros(round * 7));
                playout.play_out(id);
                playout.unbind(id);
                playout.call.mailbox.post(notice(), Class::Normal);
                std::thread::sleep(Duration::from_micros(200));
                over.store(true, Ordering::Release);
            });
            let played_frames = taken(&playout);
            assert_eq!(
                played_frames.last().map(|(track, _)| track.as_str()),
                Some(""),
                "{opus} {round}: {played_frames:?}"
            );
        }
    }
}

#[test]
fn received_audio_is_played_before_a_track_ends() {
    let playout = playout(256, false);
    let (id, mut sink) = playout.add(&info(&[111]), None, quiet()).unwrap();
    playout.bind(id, who("t"), false);
    tone(10, 0.4).iter().enumerate().for_each(|(i, payload)| sink.packet(packet(i, payload, 111)));
    playout.play_out(id);
    playout.unbind(id);
    let loud = taken(&playout).iter().filter(|(_, level)| *level > 0.15).count();
    assert!((9..=11).contains(&loud), "{loud} frames of ten packets");
    // Repeated, and for a removed stream: no effect.
    playout.play_out(id);
    drop(sink);
    playout.play_out(id);
    playout.unbind(id);
    playout.bind(id, who("t"), false);
    assert_eq!(taken(&playout), []);
}

#[test]
fn two_tracks_of_one_participant_stay_two() {
    let playout = playout(256, false);
    let mut sinks: Vec<_> = [("mic", 0.5f32), ("screen", 0.05)]
        .into_iter()
        .map(|(name, volume)| {
            let (id, sink) = playout.add(&info(&[111]), None, quiet()).unwrap();
            playout.bind(id, who(name), false);
            (id, sink, tone(10, volume))
        })
        .collect();
    for n in 0..10 {
        for (_, sink, audio) in &mut sinks {
            sink.packet(packet(n, &audio[n], 111));
        }
    }
    sinks.iter().for_each(|(id, ..)| playout.play_out(*id));
    let played_frames = taken(&playout);
    for (track, loud) in [("mic", true), ("screen", false)] {
        let of: Vec<_> = played_frames.iter().filter(|(t, level)| t == track && *level > 0.0).skip(2).collect();
        assert!(of.len() >= 7 && of.iter().all(|(_, level)| (*level > 0.15) == loud), "{track}: {of:?}");
    }
}

#[test]
fn unplayable_packets_are_counted_and_reported() {
    let audio = tone(200, 0.4);
    let reported = Arc::new(Mutex::new(Vec::new()));
    let make_sender = {
        let reported = reported.clone();
        move || -> EventSender {
            let reported = reported.clone();
            Arc::new(move |event| {
                reported.lock().push(event);
                true
            })
        }
    };
    // Encrypted end to end, as reported by the SFU.
    let playout = playout(256, false);
    let (id, mut sink) = playout.add(&info(&[111]), None, make_sender()).unwrap();
    sink.packet(packet(0, &audio[0], 111));
    playout.bind(id, who("secret"), true);
    (1..10).for_each(|n| sink.packet(packet(n, &audio[n], 111)));
    sink.packet(packet(10, &Bytes::new(), 111));
    playout.play_out(id);
    assert_eq!((taken(&playout), counts(&playout)), (vec![], [11, 10, 0, 1]));
    assert_eq!(*reported.lock(), [StreamEvent::Added(id, false)]);
    // Only packets of a payload type that was not negotiated: reported once. Telephone events do not count.
    reported.lock().clear();
    let (id, mut sink) = playout.add(&info(&[111]), None, make_sender()).unwrap();
    playout.bind(id, who("odd"), false);
    (0..200).for_each(|n| sink.packet(packet(n, &audio[n], 96)));
    (200..210).for_each(|n| sink.packet(packet(n, &Bytes::from_static(&[1, 2, 3, 4]), 101)));
    playout.play_out(id);
    assert_eq!((taken(&playout), counts(&playout)), (vec![], [221, 220, 0, 1]));
    assert_eq!(*reported.lock(), [StreamEvent::Added(id, false), StreamEvent::Unplayable(id, Unplayable::PayloadType)]);
    // A later negotiation adds it.
    sink.renegotiated(&info(&[96]));
    (210..216).for_each(|n| sink.packet(packet(n, &audio[n % 200], 96)));
    playout.play_out(id);
    assert!(taken(&playout).iter().any(|(_, level)| *level > 0.15));
    // Without an owner.
    let (id, mut sink) = playout.add(&info(&[111]), None, make_sender()).unwrap();
    (0..200).for_each(|n| sink.packet(packet(n, &audio[n], 111)));
    assert_eq!(counts(&playout)[1..], [220, 200, 1]);
    drop(sink);
    playout.bind(id, who("late"), false);
    assert_eq!((taken(&playout), counts(&playout)[2]), (vec![], 200));
}

#[test]
fn media_before_its_owner_is_known_is_played_from_the_beginning() {
    for packets in [3, 10] {
        let playout = playout(256, false);
        let (id, mut sink) = playout.add(&info(&[]), None, quiet()).unwrap();
        let audio = tone(20, 0.4);
        (0..packets).for_each(|n| sink.packet(packet(n, &audio[n], 109)));
        playout.bind(id, who("t"), false);
        playout.play_out(id);
        let loud = taken(&playout).iter().filter(|(_, level)| *level > 0.15).count();
        assert!(loud >= packets - 1 && counts(&playout)[1..] == [0, 0, 0], "{packets}: {loud}");
    }
}

#[test]
fn stream_events_are_retried_while_the_receiver_is_full() {
    let playout = playout(16, false);
    let (full, received) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let sender: EventSender = {
        let (full, received) = (full.clone(), received.clone());
        Arc::new(move |event| {
            let taken = !full.load(Ordering::Acquire);
            if taken {
                received.lock().push(event);
            }
            taken
        })
    };
    let (id, mut sink) = playout.add(&info(&[111]), Some(Unplayable::Codec), sender.clone()).unwrap();
    sink.packet(packet(0, &Bytes::from_static(&[1]), 0));
    assert_eq!(*received.lock(), []);
    full.store(false, Ordering::Release);
    sink.packet(packet(1, &Bytes::from_static(&[1]), 0));
    assert_eq!(*received.lock(), [StreamEvent::Added(id, false), StreamEvent::Unplayable(id, Unplayable::Codec)]);
    full.store(true, Ordering::Release);
    drop(sink);
    full.store(false, Ordering::Release);
    let (other, _sink) = playout.add(&info(&[111]), None, sender).unwrap();
    assert_eq!(received.lock()[2..], [StreamEvent::Removed(id), StreamEvent::Added(other, false)]);
}

#[test]
fn names_of_servers_that_repeat_secrets_are_redacted_in_frames_too() {
    let playout = playout(64, false);
    playout.call.secrets.learn(&Secret::new("head5ecretHead.pay5ecretLoad.sig5ecretNature0123"));
    let (id, mut sink) = playout.add(&info(&[111]), None, quiet()).expect("a place");
    let name = "x head5ecretHead.pay5ecretLoad.sig5ecretNature0123 y".to_owned();
    let (user_id, session_id, track_id) = (name.clone(), name.clone(), name);
    playout.carry_out(Output::Bind {
        id,
        user_id,
        session_id,
        kind: TrackKind::Audio,
        track_id,
        stream: String::new(),
        silent: false,
    });
    tone(4, 0.4).iter().enumerate().for_each(|(i, payload)| sink.packet(packet(i, payload, 111)));
    playout.play_out(id);
    let mut frames = 0;
    while let Ok(Delivery::Media(frame)) = playout.call.mailbox.next(Duration::ZERO) {
        frames += 1;
        for text in [&frame.who.user_id, &frame.who.session_id, &frame.who.track_id] {
            assert!(text.starts_with("x ") && text.ends_with(" y") && !text.contains("5ecret"), "{text}");
        }
    }
    assert!(frames >= 4, "{frames}");
}

#[test]
fn a_forgotten_stream_frees_its_place_and_may_come_back() {
    let mailbox = Mailbox::pulled(dispatch::pool(), Limits { control: 64, vital: 8, media: 64, ..Limits::default() });
    let began = Instant::now().checked_sub(Duration::from_secs(60)).expect("a clock that is not new");
    let playout = Playout::new(playout(1, false).options, Receiving { began, ..call(mailbox) });
    let received = Arc::new(Mutex::new(Vec::new()));
    let make_sender = || -> EventSender {
        let received = received.clone();
        Arc::new(move |event| {
            received.lock().push(event);
            true
        })
    };
    // More than there are places, and the engine keeps them all.
    let mut sinks = Vec::new();
    for n in 0..limits::REMOTE_TRACKS + 10 {
        let (id, sink) =
            playout.add(&info(&[111]), None, make_sender()).unwrap_or_else(|| panic!("no place for track {n}"));
        playout.carry_out(Output::Forget { id });
        playout.carry_out(Output::Forget { id });
        assert_eq!(
            received.lock().drain(..).collect::<Vec<_>>(),
            [StreamEvent::Added(id, false), StreamEvent::Removed(id)]
        );
        sinks.push(sink);
    }
    assert_eq!(playout.remotes.lock().len(), 0);
    sinks.drain(1..);
    assert_eq!(*received.lock(), [], "removed once");
    // Packets that were already on their way report nothing.
    let audio = tone(10, 0.4);
    let (id, mut sink) = playout.add(&info(&[111]), None, make_sender()).unwrap();
    let remote = playout.remote(id).unwrap();
    playout.carry_out(Output::Forget { id });
    received.lock().clear();
    (0..3).for_each(|n| sink.packet(packet(n, &audio[n], 111)));
    assert_eq!((received.lock().len(), counts(&playout)), (0, [3, 0, 3, 0]));
    // Later packets belong to a track that starts anew, and is played from its beginning.
    remote.forgotten.store(1, Ordering::Release);
    (3..10).for_each(|n| sink.packet(packet(n, &audio[n], 111)));
    let again = match received.lock()[..] {
        [StreamEvent::Added(again, true)] if again != id => again,
        ref other => panic!("{other:?}"),
    };
    playout.bind(again, who("again"), false);
    playout.play_out(again);
    assert!(taken(&playout).iter().filter(|(_, level)| *level > 0.15).count() >= 5);
    drop(sink);
    assert_eq!(received.lock()[1..], [StreamEvent::Removed(again)]);
}

#[test]
fn sixteen_tracks_at_once_and_thousands_per_call_leave_nothing_behind() {
    let playout = playout(4_096, false);
    let audio = tone(3, 0.4);
    for round in 0..150 {
        let mut sinks: Vec<_> = (0..16)
            .map(|n| {
                let (id, sink) = playout.add(&info(&[111]), None, quiet()).expect("a place");
                playout.bind(id, who(&format!("{round}-{n}")), false);
                (id, sink)
            })
            .collect();
        for (n, payload) in audio.iter().enumerate() {
            sinks.iter_mut().for_each(|(_, sink)| sink.packet(packet(n, payload, 111)));
        }
        sinks.iter().for_each(|(id, _)| playout.play_out(*id));
        let played_frames = taken(&playout);
        let of = |n: usize| played_frames.iter().filter(|(track, _)| *track == format!("{round}-{n}")).count();
        assert!((0..16).all(|n| of(n) >= 3), "{round}: {played_frames:?}");
        assert_eq!(playout.players.load(Ordering::Acquire), 16);
        // Some are ended by the core, some with their peer connection.
        sinks.iter().take(8).for_each(|(id, _)| playout.unbind(*id));
        assert_eq!(playout.players.load(Ordering::Acquire), 8);
    }
    assert_eq!((playout.players.load(Ordering::Acquire), playout.remotes.lock().len()), (0, 0));
    assert!(playout.unsent_events.lock().is_empty() && playout.spare.lock().len() <= 64);
    let totals = *playout.call.totals.lock();
    assert_eq!((totals.received, totals.lost, totals.discarded), (150 * 16 * 3, 0, 0), "{totals:?}");
    assert_eq!(counts(&playout), [150 * 16 * 3, 0, 0, 0]);
}

#[test]
fn packets_need_no_lock_that_is_held_while_audio_is_decoded() {
    let playout = playout(256, false);
    let (id, mut sink) = playout.add(&info(&[111]), None, quiet()).unwrap();
    playout.bind(id, who("t"), false);
    let audio = tone(4, 0.4);
    let remote = playout.remote(id).unwrap();
    {
        // A decoder holds the lock for long.
        let player = remote.playing.lock();
        for n in 0..1_000 {
            sink.packet(packet(n, &audio[n % 4], 111));
        }
        assert_eq!(remote.inbox.lock().packets.len(), MAX_INBOX, "bounded");
        sink.renegotiated(&info(&[111]));
        playout.unbind(id);
        assert_eq!(playout.players.load(Ordering::Acquire), 0);
        playout.bind(id, who("other"), false);
        sink.packet(packet(1_000, &audio[0], 111));
        drop(player);
    }
    playout.play_out(id);
    let played_frames = taken(&playout);
    assert!(!played_frames.is_empty() && played_frames.iter().all(|(track, _)| track == "other"), "{played_frames:?}");
    // Unbound while it is played: the playing thread ends the player.
    let player = remote.playing.lock();
    playout.unbind(id);
    assert_eq!(playout.players.load(Ordering::Acquire), 1);
    drop(player);
    playout.play(&remote, playout.now());
    assert_eq!((playout.players.load(Ordering::Acquire), taken(&playout)), (0, vec![]));
}

#[test]
fn audio_has_its_senders_time_once_reported() {
    let playout = playout(256, false);
    let (id, mut sink) = playout.add(&info(&[111]), None, quiet()).unwrap();
    playout.bind(id, who("t"), false);
    let times = |sink: &mut Box<dyn PacketSink>, from: usize| {
        tone(4, 0.4).iter().enumerate().for_each(|(i, payload)| sink.packet(packet(from + i, payload, 111)));
        playout.play_out(id);
        let next = || match playout.call.mailbox.next(Duration::ZERO) {
            Ok(Delivery::Media(frame)) => Some((frame.timestamp, frame.capture_time)),
            _ => None,
        };
        std::iter::from_fn(next).collect::<Vec<_>>()
    };
    assert!(times(&mut sink, 0).iter().all(|(_, at)| at.is_none()));
    let ntp = NtpTime(4_000_000_000 << 32);
    sink.report(SenderReport { ntp, rtp_time: 0 });
    let reported = times(&mut sink, 4);
    assert!(reported.len() >= 3, "{reported:?}");
    for (timestamp, at) in reported {
        let micros = at.expect("a time").micros_since(ntp);
        assert!(micros.abs_diff(i64::from(timestamp) * 125 / 6) <= 1, "{timestamp}: {micros}");
    }
}

// Counters of each track.

fn bind_as(playout: &Playout, id: RemoteId, session_id: &str, track_id: &str, stream: &str, silent: bool) {
    let (user_id, session_id) = ("ann".to_owned(), session_id.to_owned());
    let (track_id, stream) = (track_id.to_owned(), stream.to_owned());
    playout.carry_out(Output::Bind { id, user_id, session_id, kind: TrackKind::Audio, track_id, stream, silent });
}

/// The number of the track, packets, frames played, and whether it is received.
fn figures(playout: &Playout) -> Vec<(u64, u64, u64, bool)> {
    let stats = playout.track_stats();
    let figures = |s: &RemoteTrackStats| {
        (s.who.as_ref().map_or(0, |who| who.track), s.packets_received, s.frames_played, s.received)
    };
    stats.iter().map(figures).collect()
}

#[test]
fn a_tracks_counters_continue_over_mutes_and_other_streams_until_it_ends() {
    let playout = playout(4_096, false);
    let audio = tone(6, 0.4);
    let feed = |sink: &mut dyn PacketSink| {
        audio.iter().enumerate().for_each(|(i, payload)| sink.packet(packet(i, payload, 111)));
    };
    let (one, mut first) = playout.add(&info(&[111]), None, quiet()).unwrap();
    // Before the stream has an owner the packets are unassigned, then they count for its track.
    feed(&mut *first);
    let unowned = playout.track_stats();
    assert!(unowned.len() == 1 && unowned[0].who.is_none() && unowned[0].packets_unassigned == 6, "{unowned:?}");
    assert_eq!(unowned[0].unplayable, Some(Unplayable::Unassigned));
    bind_as(&playout, one, "s", "A", "", false);
    playout.play_out(one);
    let (_, packets, played, received) = figures(&playout)[0];
    assert!(packets == 6 && played >= 6 && received, "{packets} {played}");
    // Muted: the counters stay. Unmuted: they continue.
    playout.unbind(one);
    assert_eq!(figures(&playout), [(1, 6, played, false)]);
    let lost = playout.track_stats()[0].receive;
    assert!(lost.received == 6 && lost.jitter_ms == 0.0, "{lost:?}");
    bind_as(&playout, one, "s", "A", "", false);
    feed(&mut *first);
    assert_eq!(figures(&playout)[0].1, 12);
    // Another track, and the first one over another stream, as after a reconnect.
    let (two, mut second) = playout.add(&info(&[111]), None, quiet()).unwrap();
    bind_as(&playout, two, "s", "B", "", false);
    feed(&mut *second);
    playout.unbind(one);
    let (three, mut third) = playout.add(&info(&[111]), None, quiet()).unwrap();
    bind_as(&playout, three, "s", "A", "", false);
    feed(&mut *third);
    feed(&mut *third);
    playout.play_out(three);
    assert_eq!(figures(&playout).iter().map(|f| (f.0, f.1, f.3)).collect::<Vec<_>>(), [(1, 24, true), (2, 6, true)]);
    // The sums match those of the call.
    playout.publish_totals();
    assert_eq!(counts(&playout)[0], 30);
    // Packets of an encrypted track are counted and not played.
    let (four, mut fourth) = playout.add(&info(&[111]), None, quiet()).unwrap();
    bind_as(&playout, four, "t", "C", "", true);
    feed(&mut *fourth);
    let encrypted = playout.track_stats().pop().expect("the third track");
    let (unplayable, why) = (encrypted.packets_unplayable, encrypted.unplayable);
    assert_eq!((unplayable, encrypted.packets_received, why), (6, 6, Some(Unplayable::Encrypted)));
    // Ended: forgotten, and its number is not reused.
    playout.forget_tracks("s", Some("A"));
    playout.forget_tracks("s", Some("A"));
    playout.forget_tracks("t", None);
    assert_eq!(figures(&playout).iter().map(|f| f.0).collect::<Vec<_>>(), [2]);
    playout.unbind(three);
    bind_as(&playout, three, "s", "A", "", false);
    assert_eq!(figures(&playout).iter().map(|f| f.0).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn a_track_without_a_name_keeps_its_number_under_another_stream_id() {
    let playout = playout(64, false);
    let ids: Vec<_> = (0..4).map(|_| playout.add(&info(&[111]), None, quiet()).unwrap()).collect();
    bind_as(&playout, ids[0].0, "s", "", "0", false);
    bind_as(&playout, ids[1].0, "s", "", "1", false);
    assert_eq!(figures(&playout).iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2]);
    // The first one comes back over another connection; the second one plays on.
    playout.unbind(ids[0].0);
    bind_as(&playout, ids[2].0, "s", "", "7", false);
    assert_eq!(figures(&playout).iter().map(|f| (f.0, f.3)).collect::<Vec<_>>(), [(1, true), (2, true)]);
    bind_as(&playout, ids[3].0, "s", "", "8", false);
    assert_eq!(figures(&playout).iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn kept_counters_are_bounded_for_any_number_of_tracks() {
    let playout = playout(64, false);
    let (id, _sink) = playout.add(&info(&[111]), None, quiet()).unwrap();
    for n in 0..limits::REMOTE_TRACKS + 100 {
        bind_as(&playout, id, "s", &n.to_string(), "", false);
        playout.unbind(id);
    }
    assert_eq!(playout.tracks.lock().known.len(), limits::REMOTE_TRACKS);
}

#[test]
fn a_frame_has_its_arrival_time_and_track() {
    for opus in [false, true] {
        let playout = playout(4_096, opus);
        let (id, mut sink) = playout.add(&info(&[111]), None, quiet()).unwrap();
        bind_as(&playout, id, "s", "A", "", false);
        tone(8, 0.4).iter().enumerate().for_each(|(i, payload)| sink.packet(packet(i, payload, 111)));
        let now = playout.now();
        playout.play_out(id);
        let mut frames = 0;
        while let Ok(Delivery::Media(frame)) = playout.call.mailbox.next(Duration::ZERO) {
            frames += 1;
            assert_eq!((frame.who.track, frame.who.kind), (1, TrackKind::Audio));
            let silent = frame.silence || frame.concealed;
            assert_eq!(frame.arrival.is_none(), silent, "{frame:?}");
            assert!(frame.arrival.is_none_or(|at| at <= now));
        }
        assert!(frames >= 8, "{frames}");
    }
}

//! Several tracks of one participant, by the session API against the development SFU: sixteen that another client
//! receives separately; after a reconnect; over many publications; and the statistics of each.
//!
//! Must not know: the C API.

use offhook::{
    core::{
        model::{PeerKind, TrackKind},
        Config, Event, State,
    },
    dispatch::{self, Delivery, Limits, Mailbox},
    error::{Code, Secret},
    media::{audio::opus::EncoderConfig, audio::send::AudioFormat, transform::NoTransforms},
    rtc::{default_engine, sdp::announce_sdp},
    session::{AudioOptions, Bounds, Call, CallOptions, Connection, Outgoing, Present, Samples, TrackOptions},
    signalling::{Net, NetOptions, Service, ServiceOptions},
};
use offhook_sfu::Sfu;
use std::{
    collections::{BTreeMap, HashSet},
    io::{Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

const RATE: u32 = 48_000;
const LONG: Duration = Duration::from_secs(40);

struct Peer {
    call: Arc<Call>,
    /// The audio of each remote track, by its number: energy by the index of the tone.
    energies: BTreeMap<u64, [f64; 16]>,
    events: Vec<Event>,
    arrivals: u64,
    frames: u64,
}

/// The tone of a track, distinct from all others and from their overtones.
fn pitch(tone: usize) -> f64 {
    310.0 + 170.0 * tone as f64
}

fn energy(samples: &[i16], hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(RATE);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * n as f64).sin_cos();
        re += f64::from(*sample) * cos;
        im += f64::from(*sample) * sin;
    }
    (re * re + im * im).sqrt() / samples.len().max(1) as f64
}

fn tone(index: usize, ms: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * pitch(index) / f64::from(RATE);
    (0..ms * 48).map(|n| ((step * n as f64).sin() * 6_000.0) as i16).collect()
}

fn join(url: &str, user: &str, room: &str) -> Peer {
    let service = Service::Stream;
    let net = Arc::new(Net::new(NetOptions::default()).unwrap());
    let options = ServiceOptions {
        url: url.to_owned(),
        api_key: String::new(),
        user_id: user.to_owned(),
        token: Secret::new("token"),
        hint_url: String::new(),
        events: false,
        limits: service.limits(),
    };
    let protocol = service.connect(net, options).expect("a service");
    let config = Config {
        dialect: *protocol.dialect(),
        call_type: "default".into(),
        call_id: room.to_owned(),
        user_id: user.to_owned(),
        create: true,
        ring: false,
        notify: false,
        data_json: String::new(),
        location: "auto".into(),
        join_retries: 3,
        subscribe: true,
        subscriber_sdp: announce_sdp(PeerKind::Subscriber),
        publisher_sdp: announce_sdp(PeerKind::Publisher),
        token: Secret::new("token"),
        hold_unmute: false,
        renew_token: false,
        disconnect_timeout: Duration::from_secs(30),
        partial_texts: false,
        // Session ids are derived from it.
        seed: user.bytes().chain(room.bytes()).fold(7, |seed, byte| seed * 31 + u64::from(byte)),
    };
    let audio = AudioOptions {
        rate: RATE,
        channels: 1,
        float: false,
        opus: false,
        min_delay_ms: 20,
        max_delay_ms: 400,
        wanted: true,
    };
    let limits = Limits { media: 4_096, ..Limits::default() };
    let mailbox = Mailbox::pulled(dispatch::pool(), limits);
    let options = CallOptions {
        config,
        auto_subscribe: true,
        audio,
        data: Bounds::default(),
        drain: Duration::from_secs(1),
        transforms: Arc::new(NoTransforms),
    };
    let connection = Connection { protocol, engine: default_engine(Default::default(), None) };
    let (call, launch) = Call::new(connection, options, mailbox, Arc::default()).expect("a call");
    launch.start();
    call.wait(State::Joined, LONG).expect("joined");
    Peer { call, energies: BTreeMap::new(), events: Vec::new(), arrivals: 0, frames: 0 }
}

fn publish(peer: &Peer, source: TrackKind) -> Arc<Outgoing> {
    let options = TrackOptions {
        source,
        input: AudioFormat::Pcm { rate: RATE, channels: 1 },
        encoder: EncoderConfig { dtx: false, ..EncoderConfig::default() },
        buffer_ms: 5_000,
        live: false,
        music: false,
        red: 0,
        muted: false,
    };
    peer.call.publish_audio(options).expect("published")
}

impl Peer {
    /// Takes everything from the mailbox.
    fn take(&mut self) {
        while let Ok(delivery) = self.call.mailbox().next(Duration::ZERO) {
            match delivery {
                Delivery::Media(frame) => {
                    let Samples::S16(samples) = &frame.samples else { panic!("samples were requested") };
                    self.frames += 1;
                    self.arrivals += u64::from(frame.arrival.is_some());
                    assert!(frame.who.track > 0 && frame.who.kind == TrackKind::Audio);
                    if !frame.silence && !frame.concealed {
                        let energies = self.energies.entry(frame.who.track).or_default();
                        for (tone, sum) in energies.iter_mut().enumerate() {
                            *sum += energy(samples, pitch(tone));
                        }
                    }
                }
                Delivery::Control(notice) => self.events.push(notice.event.clone()),
                _ => {}
            }
        }
    }

    /// The audible tones, each on a separate track.
    fn tones(&self) -> HashSet<usize> {
        let loudest = |energies: &[f64; 16]| {
            let (best, top) = energies.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
            let rest: f64 = energies.iter().sum::<f64>() - top;
            // Two tracks mixed into one would be two equally loud tones.
            (*top > 2_000.0 && rest < *top).then_some(best)
        };
        self.energies.values().filter_map(loudest).collect()
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < end, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Keeps audio queued on every track.
fn feed(tracks: &[Arc<Outgoing>]) {
    for (index, track) in tracks.iter().enumerate() {
        if track.buffered_ms() < 1_000 {
            // Refused once the track has ended: the test detects that otherwise.
            let _ = track.write_s16(&tone(index, 1_000));
        }
    }
}

fn ctl(url: &str, name: &str, body: &str) {
    let address = url.strip_prefix("http://").expect("plain");
    let mut stream = std::net::TcpStream::connect(address).expect("the SFU");
    let head =
        format!("POST /ctl/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn local(peer: &Peer) -> Present {
    peer.call.participants().into_iter().find(|p| p.participant.local).expect("the local participant")
}

#[test]
fn sixteen_tracks_are_audible_separately_and_return() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sfu = runtime.block_on(Sfu::start(offhook_sfu::Config::default())).expect("an SFU");
    let (mut bob, ann) = (join(sfu.url(), "bob", "sixteen"), join(sfu.url(), "ann", "sixteen"));
    let tracks: Vec<_> = (0..16).map(|_| publish(&ann, TrackKind::Audio)).collect();
    wait_for("sixteen tones", || {
        feed(&tracks);
        bob.take();
        bob.tones().len() == 16
    });
    assert_eq!(bob.energies.len(), 16, "a track for each tone: {:?}", bob.energies);
    assert!(bob.arrivals > bob.frames / 2, "{} of {} frames have an arrival time", bob.arrivals, bob.frames);
    // The view of both participants.
    let local_state = local(&ann);
    let is_sent = |t: &offhook::session::PresentTrack| t.local.is_some_and(|l| l.published) && !t.muted;
    assert!(local_state.tracks.len() == 16 && local_state.tracks.iter().all(is_sent), "{local_state:?}");
    let hers = bob.call.participants().into_iter().find(|p| p.participant.user_id == "ann").expect("ann");
    assert!(hers.tracks.len() == 1 && hers.tracks[0].received && !hers.tracks[0].muted, "{hers:?}");
    // The statistics of each track, and the totals.
    wait_for("reports of the SFU", || {
        feed(&tracks);
        bob.take();
        ann.call.local_track_stats().iter().all(|t| t.report.is_some())
    });
    let sent = ann.call.local_track_stats();
    assert!(sent.iter().all(|t| t.published && !t.muted && t.packets_sent > 20 && t.sent_ms > 400), "{sent:?}");
    let total = ann.call.stats();
    let packets: u64 = ann.call.local_track_stats().iter().map(|t| t.packets_sent).sum();
    assert!(packets >= total.packets_sent, "{packets} of the tracks, {} of the call", total.packets_sent);
    let received = bob.call.remote_track_stats();
    let fine = |t: &offhook::session::RemoteTrackStats| {
        let figures = t.packets_received > 20 && t.bytes_received > 200 && t.frames_played > 20;
        figures && t.received && t.unplayable.is_none() && t.receive.received > 0
    };
    assert!(received.len() == 16 && received.iter().all(fine), "{received:#?}");
    // One track is muted.
    ann.call.mute(&tracks[5], true).expect("muted");
    assert!(ann.call.local_track_stats()[5].muted);
    // Another connection: all tracks return, and each is audible separately.
    ann.call.mute(&tracks[5], false).expect("unmuted");
    ctl(sfu.url(), "go_away", r#"{"user_id":"ann","reason":2}"#);
    wait_for("another SFU carries the tracks", || {
        feed(&tracks);
        bob.take();
        let back = ann.call.stats().counters.reconnects_migrate == 1 && ann.call.state() == State::Joined;
        back && local(&ann).tracks.iter().all(is_sent)
    });
    bob.energies.clear();
    wait_for("sixteen tones once more", || {
        feed(&tracks);
        bob.take();
        bob.tones().len() == 16
    });
    assert!(ann.call.local_track_stats().iter().map(|t| t.track).eq(tracks.iter().map(|t| t.id())), "in order");
    ann.call.leave("done");
    bob.call.leave("done");
    for peer in [&ann, &bob] {
        let _ = peer.call.wait(State::Left, LONG);
        assert!(peer.call.participants().is_empty());
    }
    runtime.block_on(sfu.stop());
}

#[test]
fn hundreds_of_publications_find_their_place() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sfu = runtime.block_on(Sfu::start(offhook_sfu::Config::default())).expect("an SFU");
    let (mut bob, mut ann) = (join(sfu.url(), "bob", "many"), join(sfu.url(), "ann", "many"));
    for round in 0..40 {
        let tracks: Vec<_> = (0..8).map(|_| publish(&ann, TrackKind::Audio)).collect();
        wait_for("published", || {
            bob.take();
            tracks.iter().all(|track| track.is_published())
        });
        assert_eq!(local(&ann).tracks.len(), 8, "round {round}");
        // No audio is queued: they end at once.
        for track in &tracks {
            track.clear().expect("it is published");
            ann.call.unpublish(track);
            ann.call.unpublish(track);
        }
        wait_for("unpublished", || local(&ann).tracks.is_empty());
    }
    ann.take();
    let failed = |e: &&Event| matches!(e, Event::LocalFailed { .. } | Event::Error(_));
    assert_eq!(ann.events.iter().filter(failed).count(), 0, "{:?}", ann.events);
    // After all that a track plays as if it were the first.
    let last = [publish(&ann, TrackKind::Audio)];
    wait_for("its tone", || {
        feed(&last);
        bob.take();
        bob.tones().contains(&0)
    });
    // Tracks beyond the limit are refused at once.
    let more: Vec<_> = (1..offhook::core::MAX_LOCAL_TRACKS).map(|_| publish(&ann, TrackKind::Audio)).collect();
    let options = TrackOptions {
        source: TrackKind::Audio,
        input: AudioFormat::Pcm { rate: RATE, channels: 1 },
        encoder: EncoderConfig::default(),
        buffer_ms: 200,
        live: false,
        music: false,
        red: 0,
        muted: false,
    };
    assert_eq!(ann.call.publish_audio(options).map(drop).unwrap_err().code, Code::Limit);
    assert_eq!(more.len() + 1, offhook::core::MAX_LOCAL_TRACKS);
    ann.call.leave("done");
    bob.call.leave("done");
    runtime.block_on(sfu.stop());
}

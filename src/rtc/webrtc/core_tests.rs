//! Pairs of cores in virtual time: lost packets, also of DTLS, are retransmitted; the same seed gives the same trace; a
//! relay; hostile servers and peers.

use super::call::Call;
use super::core::{Core, CoreEvent, LinkRequest, Setup};
use super::driver::spent;
use super::inbound::InboundEvent;
use super::links::{Network, StreamEnd};
use super::turn_server as turn;
use super::writer::SenderState;
use crate::core::model::{IceServer, PeerKind};
use crate::core::rng::Rng;
use crate::media::clock::NtpTime;
use crate::rtc::candidate;
use crate::rtc::engine::*;
use crate::rtc::link::Port;
use crate::rtc::trace::Trace;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Ms = u64;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The kind of a datagram, by its first byte (RFC 7983).
fn kind(contents: &[u8]) -> &'static str {
    match contents.first() {
        Some(0..=3) => "stun",
        Some(20..=63) => "dtls",
        Some(64..=79) => "turn",
        Some(128..=191) => "rtp",
        _ => "?",
    }
}

const RELAY: &str = "192.0.2.1:3478";

/// The address that stands for a stream of a side to a server.
fn stream_address(side: SocketAddr, number: u32) -> SocketAddr {
    let side = if side == at("10.0.0.1:1000") { PUBLISHER } else { SUBSCRIBER };
    SocketAddr::from(([10, 8, side as u8, 1], number as u16))
}

/// The side and the number of a stream.
fn stream_at(address: SocketAddr) -> Option<(usize, u32)> {
    match address {
        SocketAddr::V4(address) => match address.ip().octets() {
            [10, 8, side, 1] => Some((usize::from(side), u32::from(address.port()))),
            _ => None,
        },
        SocketAddr::V6(_) => None,
    }
}

/// One side.
struct Side {
    core: Core,
    local: SocketAddr,
    states: Vec<PeerState>,
    candidates: Vec<String>,
    packets: Vec<RtpPacket>,
    tracks: Vec<RemoteTrackInfo>,
    channels: Vec<String>,
    data: Vec<Bytes>,
    reports: Vec<SenderReport>,
    /// Feedback about senders, by SSRC.
    feedback: Vec<(u32, TrackFeedback)>,
    server_failures: Vec<ServerFailure>,
    /// Streams that were opened to servers.
    streams: Vec<(u32, StreamTarget)>,
    /// Streams to the other side that are open, and how many were opened.
    peer_streams: Vec<u32>,
    peer_streams_opened: usize,
    next: Option<Ms>,
}

/// Additional delay of a datagram; `None`: it is lost.
type Way = Box<dyn FnMut(&[u8]) -> Option<Ms>>;

/// Two sides, and the network between them.
struct World {
    epoch: Instant,
    now: Ms,
    rng: Rng,
    /// Datagrams lost, in percent.
    loss: u64,
    delay: Ms,
    flights: BTreeMap<(Ms, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sides: [Side; 2],
    trace: Vec<String>,
    /// Only relayed datagrams reach the other side.
    walled: bool,
    /// Additional delay of a datagram to the subscriber; `None`: it is lost.
    way: Way,
    relay: Option<turn::Server>,
}

/// 2024, in the middle of a second.
const WALL: NtpTime = NtpTime(3_913_056_000 << 32 | 1 << 31);
const PUBLISHER: usize = 0;
const SUBSCRIBER: usize = 1;

impl World {
    fn new(seed: u64, loss: u64, servers: Vec<IceServer>) -> Self {
        let epoch = Instant::now();
        let side = |kind, local: &str| {
            let options = PeerOptions {
                ice_servers: servers.clone(),
                loopback_only: servers.is_empty(),
                ..PeerOptions::default()
            };
            let used: Vec<String> = super::media::ice_servers(&options).into_iter().map(|server| server.url).collect();
            let trace = Arc::new(Trace::new(&options.ice_servers, &used));
            let (policy, sockets) = (Arc::default(), vec![at(local)]);
            let setup = Setup { kind, options, trace, policy, streams: true, sockets, wall: WALL };
            Side {
                core: Core::new(epoch, setup).expect("a core"),
                local: at(local),
                states: Vec::new(),
                candidates: Vec::new(),
                packets: Vec::new(),
                tracks: Vec::new(),
                channels: Vec::new(),
                data: Vec::new(),
                reports: Vec::new(),
                feedback: Vec::new(),
                server_failures: Vec::new(),
                streams: Vec::new(),
                peer_streams: Vec::new(),
                peer_streams_opened: 0,
                next: None,
            }
        };
        let sides = [side(PeerKind::Publisher, "10.0.0.1:1000"), side(PeerKind::Subscriber, "10.0.0.2:2000")];
        let (rng, flights, trace) = (Rng::new(seed), BTreeMap::new(), Vec::new());
        Self {
            epoch,
            now: 0,
            rng,
            loss,
            delay: 20,
            flights,
            sides,
            trace,
            walled: false,
            way: Box::new(|_| Some(0)),
            relay: None,
        }
    }

    fn time(&self) -> Instant {
        self.epoch + Duration::from_millis(self.now)
    }

    fn launch(&mut self, from: SocketAddr, to: SocketAddr, contents: Vec<u8>) {
        let reliable = stream_at(from).is_some() || stream_at(to).is_some();
        let lost = !reliable && self.rng.between(0, 99) < self.loss;
        let way = if to == self.sides[SUBSCRIBER].local { (self.way)(&contents) } else { Some(0) };
        let lost = lost || way.is_none();
        let at = self.now + self.rng.between(self.delay / 2, self.delay * 2) + way.unwrap_or_default();
        let fate = if lost { " lost" } else { "" };
        self.trace.push(format!("{} {from} {}{fate}", self.now, kind(&contents)));
        if !lost {
            self.flights.insert((at, self.trace.len() as u64), (from, to, contents));
        }
    }

    /// Runs one side, and collects its output.
    fn on<T>(&mut self, side: usize, work: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let now = self.time();
        let (epoch, side) = (self.epoch, &mut self.sides[side]);
        let done = work(&mut side.core, now);
        side.data.extend(side.core.read_data(now, 100).into_iter().map(|(_, message)| message));
        while let Some(event) = side.core.take_event() {
            match event {
                CoreEvent::State(state) => side.states.push(state),
                CoreEvent::Candidate(json) => side.candidates.push(json),
                CoreEvent::Inbound(InboundEvent::Packet(_, packet)) => side.packets.push(packet),
                CoreEvent::Inbound(InboundEvent::Track(_, info)) => side.tracks.push(*info),
                CoreEvent::Inbound(InboundEvent::Report(_, report)) => side.reports.push(report),
                CoreEvent::Feedback(sender_state, feedback) => side.feedback.push((sender_state.ssrc, feedback)),
                CoreEvent::ServerFailed(failure) => side.server_failures.push(failure),
                CoreEvent::ChannelOpen(label) => side.channels.push(label.to_string()),
                _ => {}
            }
        }
        let deadline = side.core.deadline();
        side.next = deadline.map(|at| at.saturating_duration_since(epoch).as_micros().div_ceil(1000) as Ms);
        while let Some(request) = side.core.take_request() {
            match request {
                LinkRequest::OpenStream(number, StreamEnd::Server(target)) => side.streams.push((number, target)),
                LinkRequest::OpenStream(number, StreamEnd::Peer(_)) => {
                    side.peer_streams.push(number);
                    side.peer_streams_opened += 1;
                }
                LinkRequest::CloseStream(number) => side.peer_streams.retain(|open| *open != number),
                LinkRequest::Reach(_) => {}
            }
        }
        let mut out = Vec::new();
        while let Some(datagram) = side.core.take_datagram() {
            let (from, to) = match datagram.port {
                Port::Udp(local) => (local, datagram.to),
                Port::Stream(number) => (stream_address(side.local, number), at(RELAY)),
            };
            out.push((from, to, datagram.contents.to_vec()));
        }
        for (from, to, contents) in out {
            self.launch(from, to, contents);
        }
        done
    }

    fn step(&mut self, end: Ms) {
        let due = self.sides.iter().filter_map(|side| side.next);
        let next = due.chain(self.flights.keys().next().map(|(at, _)| *at)).min().unwrap_or(end);
        self.now = next.clamp(self.now, end);
        let later = self.flights.split_off(&(self.now + 1, 0));
        for (from, to, contents) in std::mem::replace(&mut self.flights, later).into_values() {
            let direct = self.sides.iter().any(|side| side.local == from);
            if let Some(relay) = self.relay.as_mut().filter(|relay| relay.is_at(to)) {
                for (from, to, contents) in relay.received(from, to, &contents) {
                    self.launch(from, to, contents);
                }
            } else if let Some((index, number)) = stream_at(to) {
                self.on(index, |core, now| core.datagram(now, Port::Stream(number), from, &contents));
            } else if let Some(index) = self.sides.iter().position(|side| side.local == to) {
                if !(self.walled && direct) {
                    self.on(index, |core, now| core.datagram(now, Port::Udp(to), from, &contents));
                }
            }
        }
        for index in [0, 1] {
            if self.sides[index].next.is_some_and(|next| next <= self.now) {
                self.on(index, |core, now| core.timeout(now));
            }
        }
    }

    /// Runs until `done`; returns the virtual time passed, `None` on timeout.
    fn until(&mut self, most: Ms, done: impl Fn(&Self) -> bool) -> Option<Ms> {
        let (begun, end) = (self.now, self.now + most);
        while !done(self) {
            if self.now >= end {
                return None;
            }
            self.step(end);
        }
        Some(self.now - begun)
    }

    fn run(&mut self, wait: Ms) {
        self.until(wait, |_| false);
    }

    fn negotiate(&mut self, edit: impl FnOnce(String) -> String) {
        self.negotiate_anew(false, edit);
    }

    fn negotiate_anew(&mut self, restart: bool, edit: impl FnOnce(String) -> String) {
        let (sdp, _) = self.on(PUBLISHER, |core, now| core.create_offer(now, restart)).expect("an offer");
        let sdp = edit(sdp.replace("a=setup:passive", "a=setup:actpass"));
        let answer = self.on(SUBSCRIBER, |core, now| core.answer(now, &sdp, &[])).expect("an answer").sdp;
        self.on(PUBLISHER, |core, now| core.set_answer(now, &answer)).expect("the answer is taken");
        self.trickle();
    }

    fn trickle(&mut self) {
        for (from, to) in [(PUBLISHER, SUBSCRIBER), (SUBSCRIBER, PUBLISHER)] {
            for candidate in std::mem::take(&mut self.sides[from].candidates) {
                self.on(to, |core, now| core.add_candidate(now, &candidate)).expect("the candidate is taken");
            }
        }
    }

    fn add_track(&mut self, track: &str, ssrc: u32) {
        let (stream_id, track_id) = (format!("{track}:stream"), track.to_owned());
        let spec = AudioSenderSpec { stream_id, track_id, stereo: false, dtx: false, red: 0 };
        let sender_state = Arc::new(SenderState::new(ssrc, 0));
        self.on(PUBLISHER, |core, now| core.add_audio(now, spec, sender_state)).expect("a sender");
    }

    /// Sends a packet; `mid`: in a header extension of this id.
    fn send_packet(&mut self, ssrc: u32, sequence: u16, mid: Option<(u8, &'static str)>) {
        let mut header = rtc::rtp::Header {
            version: 2,
            payload_type: 111,
            sequence_number: sequence,
            timestamp: u32::from(sequence) * 960,
            ssrc,
            ..Default::default()
        };
        if let Some((id, mid)) = mid {
            header.set_extension(id, Bytes::from_static(mid.as_bytes())).expect("an extension");
        }
        let packet = rtc::rtp::Packet { header, payload: Bytes::from_static(b"audio") };
        self.on(PUBLISHER, |core, now| core.write_rtp(now, packet)).expect("a packet is taken");
    }

    fn has(&self, state: PeerState) -> bool {
        self.sides.iter().all(|side| side.states.contains(&state))
    }
}

fn connect(seed: u64, loss: u64) -> (World, Option<Ms>) {
    let mut world = World::new(seed, loss, Vec::new());
    world.add_track("mic", 77);
    world.negotiate(|sdp| sdp);
    let took = world.until(60_000, |world| world.has(PeerState::Connected));
    (world, took)
}

#[test]
fn rtcp_reaches_the_remote_peer() {
    let (mut world, took) = connect(7, 0);
    took.expect("connected");
    // One packet in ten is not sent.
    for sequence in 1..=400u16 {
        if sequence % 10 != 5 {
            world.send_packet(77, sequence, None);
        }
        world.run(20);
    }
    let reports = &world.sides[SUBSCRIBER].reports;
    assert!(reports.len() >= 4, "{reports:?}");
    // Both clocks advance alike.
    let (first, last) = (reports[0], reports[reports.len() - 1]);
    let passed = last.ntp.micros_since(first.ntp);
    let ticks = i64::from(last.rtp_time.wrapping_sub(first.rtp_time)) * 1_000_000 / 48_000;
    assert!(passed > 3_000_000 && passed.abs_diff(ticks) < 60_000, "{passed} {ticks}");
    let since = last.ntp.micros_since(WALL);
    assert!((0..=1_000 * world.now as i64).contains(&since) && since >= passed, "{since}");
    let feedback = std::mem::take(&mut world.sides[PUBLISHER].feedback);
    let report = feedback.iter().rev().find_map(|(ssrc, feedback)| match feedback {
        TrackFeedback::Report { fraction_lost, total_lost, round_trip, .. } => {
            assert_eq!(*ssrc, 77);
            Some((*fraction_lost, *total_lost, *round_trip))
        }
        _ => None,
    });
    let (fraction, total, round_trip) = report.expect("a report");
    assert!((10..=45).contains(&fraction) && (20..=40).contains(&total), "{fraction}/256, {total} in all");
    let round_trip = round_trip.expect("a local report was answered");
    assert!((10..=100).contains(&round_trip.as_millis()), "{round_trip:?}");
    // A key frame is requested.
    world.on(SUBSCRIBER, |core, now| core.request_key_frame(now, 77)).expect("it is connected");
    world.on(SUBSCRIBER, |core, now| core.request_key_frame(now, 78)).expect("of an unknown stream");
    world.run(200);
    let is_request = |(ssrc, feedback): &&(u32, TrackFeedback)| (*ssrc, *feedback) == (77, TrackFeedback::KeyFrame);
    assert_eq!(
        world.sides[PUBLISHER].feedback.iter().filter(is_request).count(),
        1,
        "{:?}",
        world.sides[PUBLISHER].feedback
    );
    assert!(world.sides[PUBLISHER].feedback.iter().all(|(ssrc, _)| *ssrc == 77));
}

#[test]
fn a_nomination_that_comes_before_the_own_check_is_answered_holds() {
    for seed in 0..20 {
        let mut world = World::new(seed, 0, Vec::new());
        world.add_track("mic", 77);
        let mut nominated = 0;
        world.way = Box::new(move |contents| match contents {
            // The responses to the subscriber's own checks are delayed.
            [1, 1, ..] => Some(300),
            // Only the first nomination arrives; the sender is slow to repeat it. USE-CANDIDATE is an attribute without
            // a value.
            request if request.starts_with(&[0, 1]) && request.windows(4).any(|part| part == [0, 0x25, 0, 0]) => {
                nominated += 1;
                (nominated == 1).then_some(0)
            }
            _ => Some(0),
        });
        world.negotiate(|sdp| sdp);
        let took = world.until(60_000, |world| world.has(PeerState::Connected)).expect("connected");
        assert!((300..=1_000).contains(&took), "{seed}: {took} ms");
    }
}

#[test]
fn unknown_addresses_nominate_nothing() {
    let (mut world, took) = connect(11, 0);
    took.expect("connected");
    // After a restart, while nothing from the other side arrives.
    world.way = Box::new(|_| None);
    world.negotiate_anew(true, |sdp| sdp);
    world.run(100);
    let (local, before) = (world.sides[SUBSCRIBER].local, world.flights.len());
    let unknown_address = |n: u16| SocketAddr::from(([10, 9, (n >> 8) as u8, n as u8], 1));
    for n in 0..1_000 {
        let mut answer = vec![1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        answer.extend([n as u8; 12]);
        let media = [&[0x80, 111, 0, 1][..], &[0; 40]].concat();
        for datagram in [&answer, &media] {
            world.on(SUBSCRIBER, |core, now| core.datagram(now, Port::Udp(local), unknown_address(n), datagram));
        }
    }
    let sent = world.flights.len() - before;
    assert!((1..=20).contains(&sent), "{sent} datagrams");
    // Datagrams from the other side arrive again, and it is found.
    world.way = Box::new(|_| Some(0));
    let packets = world.sides[SUBSCRIBER].packets.len();
    for sequence in 1..=400u16 {
        world.send_packet(77, sequence, None);
        world.run(20);
    }
    assert!(world.sides[SUBSCRIBER].packets.len() > packets + 100, "media flows again");
}

#[test]
fn a_lost_handshake_datagram_does_not_cost_a_second() {
    for lost in 1..=8 {
        let mut world = World::new(21, 0, Vec::new());
        world.add_track("mic", 77);
        let mut count = 0;
        world.way = Box::new(move |contents| {
            count += u32::from(matches!(contents, [20..=63, ..]));
            (count != lost || !matches!(contents, [20..=63, ..])).then_some(0)
        });
        world.negotiate(|sdp| sdp);
        let took = world.until(60_000, |world| world.has(PeerState::Connected)).expect("connected");
        assert!(took < 700, "without datagram {lost}: {took} ms");
    }
}

#[test]
fn lost_handshake_datagrams_are_retransmitted() {
    for loss in [0, 10, 30] {
        let mut longest = 0;
        for seed in 0..40 {
            let (mut world, took) = connect(seed, loss);
            let took = took.unwrap_or_else(|| panic!("seed {seed}, loss {loss}: never: {:?}", world.trace));
            longest = longest.max(took);
            for sequence in 1..=100 {
                world.send_packet(77, sequence, None);
                world.run(20);
            }
            world.run(200);
            let received = world.sides[SUBSCRIBER].packets.len();
            assert!(received as u64 + 2 * loss >= 99, "seed {seed}, loss {loss}: {received} packets");
            assert!(!world.sides.iter().any(|side| side.states.contains(&PeerState::Failed)));
            // Closing notifies the other side, unless the datagram is lost.
            world.on(PUBLISHER, |core, now| core.close(now));
            world.run(1_000);
            assert!(loss > 0 || world.sides[SUBSCRIBER].states.ends_with(&[PeerState::Closed]));
        }
        println!("loss {loss} %: connected after {longest} ms at most");
        assert!(loss > 0 || longest < 1_000, "{longest} ms without any loss");
    }
}

/// Offers these tracks and sets the answer. Returns the mids of the senders, and the number of m-lines.
fn publish(world: &mut World, tracks: &[String]) -> (Vec<String>, usize) {
    let spec = |track: &String| AudioSenderSpec {
        stream_id: format!("{track}:stream"),
        track_id: track.clone(),
        stereo: false,
        dtx: false,
        red: 0,
    };
    let wanted = Wanted { senders: tracks.iter().map(spec).collect(), ..Wanted::default() };
    let offer = world.on(PUBLISHER, |core, now| core.offer(now, &wanted)).expect("an offer");
    let sdp = offer.sdp.replace("a=setup:passive", "a=setup:actpass");
    let answer = world.on(SUBSCRIBER, |core, now| core.answer(now, &sdp, &[])).expect("an answer").sdp;
    world.on(PUBLISHER, |core, now| core.set_answer(now, &answer)).expect("the answer is taken");
    world.trickle();
    (offer.mids, crate::rtc::sdp::mids(&sdp).len())
}

/// The m-line of an ended track carries a later one, repeatedly; packets sent on it belong to the later one.
#[test]
fn m_lines_are_reused_and_packets_on_them_arrive() {
    let mut world = World::new(3, 0, Vec::new());
    let mut live: Vec<String> = vec!["first".into()];
    publish(&mut world, &live);
    world.until(60_000, |world| world.has(PeerState::Connected)).expect("connected");
    let mut most = 0;
    for round in 0..60u32 {
        // One to four tracks, different ones in each round.
        let stay = live.len().min(round as usize % 3);
        live.truncate(stay);
        for n in 0..=(round % 2) {
            live.push(format!("track-{round}-{n}"));
        }
        let (mids, lines) = publish(&mut world, &live);
        most = most.max(lines);
        let different: std::collections::HashSet<_> = mids.iter().collect();
        assert!(different.len() == live.len() && mids.iter().all(|mid| !mid.is_empty()), "{mids:?}");
        let before = world.sides[SUBSCRIBER].packets.len();
        let ssrcs: Vec<u32> =
            live.iter().map(|track| world.sides[PUBLISHER].core.ssrc_of(track).expect("a sender")).collect();
        for n in 1..=5u16 {
            for ssrc in &ssrcs {
                // Sending a number twice would be a replay.
                world.send_packet(*ssrc, 5 * round as u16 + n, None);
            }
            world.run(20);
        }
        world.run(200);
        let received: std::collections::HashSet<u32> =
            world.sides[SUBSCRIBER].packets[before..].iter().map(|p| p.ssrc).collect();
        let sent: std::collections::HashSet<u32> = ssrcs.iter().copied().collect();
        assert_eq!(received, sent, "round {round}: {mids:?}");
        // The receiver gets each track under its own name.
        for track in &live {
            assert!(
                world.sides[SUBSCRIBER].tracks.iter().any(|info| info.track_id == *track),
                "round {round}: {track}"
            );
        }
    }
    assert!(most <= 8, "{most} m-lines for four tracks at a time");
}

/// An offer that is never answered leaves only m-lines behind, which the next one reuses.
#[test]
fn offers_that_are_not_answered_cost_no_m_lines() {
    let mut world = World::new(4, 0, Vec::new());
    publish(&mut world, &["kept".to_owned()]);
    world.until(60_000, |world| world.has(PeerState::Connected)).expect("connected");
    for round in 0..30 {
        let spec = |track: String| AudioSenderSpec {
            stream_id: track.clone(),
            track_id: track,
            stereo: false,
            dtx: false,
            red: 0,
        };
        let senders = ["kept".to_owned(), format!("refused-{round}")].map(spec).to_vec();
        let wanted = Wanted { senders, ..Wanted::default() };
        world.on(PUBLISHER, |core, now| core.offer(now, &wanted)).expect("an offer");
    }
    let (_, lines) = publish(&mut world, &["kept".to_owned(), "taken".to_owned()]);
    assert!(lines <= 4, "{lines} m-lines");
    for track in ["kept", "taken"] {
        let ssrc = world.sides[PUBLISHER].core.ssrc_of(track).expect("a sender");
        world.send_packet(ssrc, 1, None);
        world.run(200);
        assert!(world.sides[SUBSCRIBER].packets.iter().any(|p| p.ssrc == ssrc), "{track}");
    }
}

/// ICE has no pair after the restart; even a stable connection then checks at the initial rate until it has one.
#[test]
fn after_a_restart_media_soon_flows_again() {
    let mut longest = 0;
    for seed in 0..20 {
        let (mut world, took) = connect(seed, 0);
        assert!(took.is_some());
        world.run(2_000 + 37 * seed);
        world.negotiate_anew(true, |sdp| sdp);
        let (mut sequence, mut received, mut last_packet_at, mut gap) = (0, 0, world.now, 0);
        let end = world.now + 3_000;
        while world.now < end {
            sequence += 1;
            world.send_packet(77, sequence, None);
            world.run(20);
            let packets = world.sides[SUBSCRIBER].packets.len();
            if packets > received {
                (received, last_packet_at) = (packets, world.now);
            }
            gap = gap.max(world.now - last_packet_at);
        }
        assert!(received > 100, "seed {seed}: {received} packets");
        longest = longest.max(gap);
    }
    println!("silent for {longest} ms at most");
    assert!(longest <= 300, "silent for {longest} ms after a restart");
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in 0..6 {
        let trace = || {
            let (mut world, _) = connect(seed, 20);
            for sequence in 1..=50 {
                world.send_packet(77, sequence, None);
                world.run(20);
            }
            world.trace
        };
        let (first, second) = (trace(), trace());
        let differs = first.iter().zip(&second).position(|(a, b)| a != b);
        assert!(first == second, "seed {seed} differs at {differs:?} of {} and {}", first.len(), second.len());
    }
}

#[test]
fn it_looks_no_oftener_than_it_must() {
    let (mut world, took) = connect(1, 0);
    assert!(took.is_some());
    // The last flight is sent again for three seconds, because nothing shows that it has arrived.
    world.run(4_000);
    let before = world.trace.len();
    let mut looks = 0;
    let end = world.now + 20_000;
    while world.now < end {
        world.step(end);
        looks += 1;
    }
    let sent = world.trace.len() - before;
    // Consent checks every two seconds and their responses, from both sides; reports are per stream, and there is none.
    assert!(sent <= 60 && looks <= 160, "{sent} datagrams, looked {looks} times in twenty seconds");
    assert!(world.sides.iter().all(|side| !side.states.contains(&PeerState::Disconnected)));
}

#[test]
fn a_wrong_fingerprint_fails_at_once() {
    let mut world = World::new(3, 0, Vec::new());
    world.add_track("mic", 77);
    world.negotiate(|sdp| {
        let begin = sdp.find("a=fingerprint:sha-256 ").expect("a fingerprint") + "a=fingerprint:sha-256 ".len();
        sdp.replace(&sdp[begin..begin + 95].to_owned(), &["AB"; 32].join(":"))
    });
    let took = world.until(60_000, |world| world.sides.iter().any(|side| side.states.contains(&PeerState::Failed)));
    assert!(took.is_some_and(|took| took < 2_000), "{took:?}");
    assert!(!world.sides[SUBSCRIBER].states.contains(&PeerState::Connected));
}

#[test]
fn a_handshake_that_never_ends_fails() {
    let mut world = World::new(4, 0, Vec::new());
    world.add_track("mic", 77);
    world.negotiate(|sdp| sdp);
    let end = world.now + 60_000;
    while !world.sides.iter().all(|side| side.states.contains(&PeerState::Failed)) {
        assert!(world.now < end, "it waits without limit: {:?}", world.sides[0].states);
        world.step(end);
        world.flights.retain(|_, (_, _, contents)| kind(contents) != "dtls");
    }
    assert!((14_000..25_000).contains(&world.now), "{}", world.now);
}

#[test]
fn streams_that_no_description_names_are_found() {
    const MID: &str = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
    let nameless = |sdp: String| -> String {
        let lines = sdp.lines().filter(|line| !line.starts_with("a=ssrc"));
        lines.map(|line| format!("{line}\r\n") + if line.starts_with("a=mid:") { MID } else { "" }).collect()
    };
    let mut world = World::new(5, 0, Vec::new());
    world.add_track("one", 71);
    world.negotiate(nameless);
    assert!(world.until(10_000, |world| world.has(PeerState::Connected)).is_some());
    let packets_of = |world: &World, ssrc| world.sides[SUBSCRIBER].packets.iter().filter(|p| p.ssrc == ssrc).count();
    // Only one m-line is possible.
    (1..=10).for_each(|n| world.send_packet(71, n, None));
    world.run(100);
    assert_eq!(packets_of(&world, 71), 10);
    world.add_track("two", 72);
    world.add_track("three", 73);
    world.negotiate(nameless);
    (1..=10).for_each(|n| world.send_packet(73, n, None));
    world.run(100);
    assert_eq!(packets_of(&world, 73), 0, "it may be either");
    (11..=20).for_each(|n| world.send_packet(73, n, Some((4, "2"))));
    (1..=10).for_each(|n| world.send_packet(72, n, Some((4, "1"))));
    (11..=20).for_each(|n| world.send_packet(71, n, None));
    world.run(100);
    assert_eq!((packets_of(&world, 71), packets_of(&world, 72), packets_of(&world, 73)), (20, 10, 10));
    // A stream that is known by then needs no mid any more.
    (21..=30).for_each(|n| world.send_packet(73, n, None));
    world.run(100);
    assert_eq!(packets_of(&world, 73), 20);
    let tracks: Vec<_> = world.sides[SUBSCRIBER].tracks.iter().map(|t| (t.track_id.as_str(), t.ssrc)).collect();
    assert!(tracks.len() == 3 && tracks[0] == ("one", 71), "{tracks:?}");
    assert!(tracks.contains(&("two", 72)) && tracks.contains(&("three", 73)), "{tracks:?}");
}

#[test]
fn streams_to_the_peer_are_closed_once_another_pair_is_in_use() {
    let tcp = |sdp: String| {
        let candidate = "a=candidate:9 1 tcp 1 10.0.0.9 7881 typ host tcptype passive\r\n";
        sdp.replace("a=mid:0\r\n", &format!("a=mid:0\r\n{candidate}"))
    };
    let mut world = World::new(5, 0, Vec::new());
    // UDP needs longer than TCP waits for it.
    world.delay = 100;
    world.add_track("one", 71);
    for restarts in 0..4 {
        world.negotiate_anew(restarts > 0, tcp);
        world.run(5_000);
        assert!(world.has(PeerState::Connected));
        let side = &world.sides[SUBSCRIBER];
        assert!(side.peer_streams_opened > restarts, "{} were opened", side.peer_streams_opened);
        assert!(side.peer_streams.is_empty(), "restart {restarts}: {:?} are open", side.peer_streams);
        world.send_packet(71, restarts as u16 + 1, None);
        world.run(1_000);
    }
    assert_eq!(world.sides[SUBSCRIBER].packets.len(), 4);
}

#[test]
fn data_goes_both_ways_through_loss() {
    for seed in 0..10 {
        let mut world = World::new(seed, 10, Vec::new());
        let spec = |label: &str| DataChannelSpec { label: label.into(), ordered: true, max_retransmits: None };
        let (out, open) = world.on(PUBLISHER, |core, now| core.add_channel(now, &spec("out"))).expect("a channel");
        let (back, _) = world.on(SUBSCRIBER, |core, now| core.add_channel(now, &spec("back"))).expect("a channel");
        world.negotiate(|sdp| sdp);
        let both = |world: &World| world.sides.iter().all(|side| side.channels.len() == 2);
        assert!(world.until(60_000, both).is_some(), "seed {seed}: {:?}", world.sides[0].states);
        assert!(open.load(std::sync::atomic::Ordering::SeqCst));
        for i in 0..50u8 {
            for (side, id) in [(PUBLISHER, out), (SUBSCRIBER, back)] {
                let message = Bytes::from(vec![i; 100 + 300 * usize::from(i)]);
                world.on(side, |core, now| core.send_data(now, id, message)).expect("it is taken");
            }
        }
        assert!(world.until(60_000, |world| world.sides.iter().all(|side| side.data.len() == 50)).is_some());
        for side in &world.sides {
            assert!(side.data.iter().enumerate().all(|(i, message)| message[0] == i as u8), "seed {seed}");
        }
    }
}

fn turn_server() -> Vec<IceServer> {
    turn_server_at("turn:192.0.2.1:3478")
}

fn turn_server_at(url: &str) -> Vec<IceServer> {
    vec![IceServer {
        urls: vec![url.to_owned()],
        username: "user".to_owned(),
        password: crate::error::Secret::new("pass"),
    }]
}

#[test]
fn a_relay_carries_traffic_without_a_direct_path() {
    let udp = ("turn:192.0.2.1:3478", "192.0.2.1:3478");
    let tcp = ("turn:192.0.2.1:3478?transport=tcp", "192.0.2.1:3478 over TCP");
    let tls = ("turns:192.0.2.1:443", "192.0.2.1:443 over TLS");
    for (loss, (url, name)) in [(0, udp), (10, udp), (0, tcp), (10, tcp), (0, tls)] {
        let mut world = World::new(8, loss, turn_server_at(url));
        world.walled = true;
        world.relay = Some(turn::Server::new(RELAY, None));
        world.add_track("mic", 77);
        world.negotiate(|sdp| sdp);
        let mut took = None;
        for _ in 0..600 {
            // Relayed candidates arrive later.
            world.trickle();
            world.run(100);
            if world.has(PeerState::Connected) {
                took = Some(world.now);
                break;
            }
        }
        assert!(took.is_some(), "loss {loss}: {}", world.sides[0].core.setup.trace.path().text);
        // Longer than permissions and channels last without a refresh.
        for sequence in 1..=900u16 {
            world.send_packet(77, sequence, None);
            world.run(1_000);
        }
        let received = world.sides[SUBSCRIBER].packets.len();
        assert!(received as u64 * 100 >= 880 * (100 - 3 * loss), "loss {loss}: {received} packets");
        let path = world.sides[0].core.setup.trace.path().text;
        assert!(path.contains(&format!("TURN {name}: relay allocated")), "{path}");
        let gone = world.sides.iter().any(|side| side.states.contains(&PeerState::Disconnected));
        assert!(loss > 0 || !gone, "{:?}", world.sides[0].states);
        world.on(PUBLISHER, |core, now| core.close(now));
        world.run(1_000);
        let left = world.relay.as_ref().map(|relay| relay.allocations());
        assert!(loss > 0 || left == Some(1), "it was given back: {left:?}");
    }
}

#[test]
fn a_relays_response_is_reported() {
    for code in [401, 403, 437, 486, 508] {
        let mut world = World::new(9, 0, turn_server());
        world.relay = Some(turn::Server::new(RELAY, Some(code)));
        world.add_track("mic", 77);
        world.negotiate(|sdp| sdp);
        world.run(3_000);
        let path = world.sides[0].core.setup.trace.path().text;
        assert!(path.contains(&format!("TURN 192.0.2.1:3478: refused with {code}")), "{path}");
        let failures = &world.sides[0].server_failures;
        let reported: Vec<_> = failures.iter().map(|failure| (failure.url.as_str(), failure.code)).collect();
        assert_eq!(reported, [("turn:192.0.2.1:3478", code)]);
        assert!(world.has(PeerState::Connected), "the direct way is there all the same");
    }
    // It gave an allocation, and has lost it.
    let mut world = World::new(9, 0, turn_server());
    world.relay = Some(turn::Server::new(RELAY, None));
    world.add_track("mic", 77);
    world.negotiate(|sdp| sdp);
    world.run(3_000);
    world.relay.iter_mut().for_each(turn::Server::forget);
    world.run(200_000);
    let path = world.sides[0].core.setup.trace.path().text;
    assert!(path.contains("TURN 192.0.2.1:3478: relay allocated, then refresh refused with 437"), "{path}");
    assert!(world.has(PeerState::Connected), "the direct way is there all the same");
    assert_eq!(world.sides[0].server_failures[0].code, 437);
    // An ICE restart requests another one.
    assert_eq!(world.relay.as_ref().map(|relay| relay.allocations()), Some(0));
    world.negotiate_anew(true, |sdp| sdp);
    world.run(3_000);
    assert_eq!(world.relay.as_ref().map(|relay| relay.allocations()), Some(2));
    // No server is running.
    let mut world = World::new(9, 0, turn_server());
    world.add_track("mic", 77);
    world.negotiate(|sdp| sdp);
    world.run(30_000);
    let path = world.sides[0].core.setup.trace.path().text;
    assert!(path.contains("TURN 192.0.2.1:3478: did not answer"), "{path}");
    assert_eq!(world.sides[0].server_failures[0].code, 701);
    // A stream that does not open.
    let mut world = World::new(9, 0, turn_server_at("turns:192.0.2.1:443"));
    world.add_track("mic", 77);
    world.negotiate(|sdp| sdp);
    let number = world.sides[PUBLISHER].streams[0].0;
    let target = StreamTarget { host: "192.0.2.1".to_owned(), port: 443, tls: true };
    assert_eq!(world.sides[PUBLISHER].streams, [(number, target)]);
    for _ in 0..2 {
        world.on(PUBLISHER, |core, now| core.stream_ended(now, number, "the certificate has expired"));
    }
    let path = world.sides[0].core.setup.trace.path().text;
    assert!(path.contains("TURN 192.0.2.1:443 over TLS: the certificate has expired"), "{path}");
    let text = "the certificate has expired".to_owned();
    let expected = ServerFailure { url: "turns:192.0.2.1:443".to_owned(), code: 701, text };
    assert_eq!(world.sides[PUBLISHER].server_failures, [expected], "once");
}

#[test]
fn garbage_from_anywhere_is_nothing() {
    let mut world = World::new(10, 0, turn_server());
    world.relay = Some(turn::Server::new(RELAY, None));
    world.add_track("mic", 77);
    world.negotiate(|sdp| sdp);
    let mut rng = Rng::new(11);
    for round in 0..3_000 {
        let mut garbage: Vec<u8> = (0..rng.between(0, 200)).map(|_| rng.between(0, 255) as u8).collect();
        if let Some(first) = garbage.first_mut() {
            *first = [0, 1, 20, 21, 22, 23, 64, 128, 144][round % 9];
        }
        if round % 3 == 0 && garbage.len() > 8 {
            garbage[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        let from = [at("10.0.0.1:1000"), at("192.0.2.1:3478"), at("203.0.113.9:9")][round / 9 % 3];
        world.on(SUBSCRIBER, |core, now| core.datagram(now, Port::Udp(at("10.0.0.2:2000")), from, &garbage));
        if round % 10 == 0 {
            world.run(10);
        }
    }
    assert!(world.until(30_000, |world| world.has(PeerState::Connected)).is_some());
    let none = candidate::parse("null");
    assert!(none.is_ok(), "{none:?}");
}

/// Records states.
#[derive(Default)]
struct States(parking_lot::Mutex<Vec<PeerState>>);

impl PeerObserver for States {
    fn candidate(&self, _: String) {}

    fn state(&self, state: PeerState) {
        self.0.lock().push(state);
    }

    fn track(&self, _: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_internal_failure_affects_only_its_peer_connection() {
    let live = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tasks = super::Tasks::new(tokio::runtime::Handle::current(), live.clone());
    // All of them in one call.
    let call = Arc::new(Call::new(Network::of_machine(tasks), crate::lookup::Party::new()));
    let open = || {
        let states = Arc::new(States::default());
        let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
        (call.open(PeerKind::Subscriber, options, states.clone()).expect("a peer connection"), states)
    };
    let until = |done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(20), "too late");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let (well, well_states) = open();
    // Uses CPU time.
    fn works(time: Duration) {
        let mut sum = 0u64;
        let begun = spent();
        while spent() - begun < time {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
    type Plan = fn(&mut Core, Instant) -> EngineResult<()>;
    let plans: [(u32, Plan); 3] = [
        (1, |_, _| panic!("a planted fault")),
        (1, |_, _| {
            works(Duration::from_millis(2_050));
            Ok(())
        }),
        (5, |_, _| {
            works(Duration::from_millis(260));
            Ok(())
        }),
    ];
    for (times, plan) in plans {
        let (ill, states) = open();
        for n in 0..times {
            ill.call(|_, _| Ok(())).unwrap_or_else(|e| panic!("after {n}: {e}"));
            let _ = ill.call(plan);
        }
        let after = ill.call(|_, _| Ok(())).expect_err("it is not called any more");
        assert_eq!(after.kind, EngineErrorKind::Internal);
        until(&|| states.0.lock().contains(&PeerState::Failed));
        ill.start_close();
        until(&|| states.0.lock().last() == Some(&PeerState::Closed));
        assert_eq!(ill.call(|_, _| Ok(())).expect_err("closed").kind, EngineErrorKind::Closed);
    }
    well.call(|_, _| Ok(())).expect("the other one lives");
    assert!(well_states.0.lock().is_empty());
    well.start_close();
    until(&|| live.load(std::sync::atomic::Ordering::SeqCst) == 0);
}

//! Packets that have come, and whose they are: by SSRC, and where none was named by mid, by rid, or because there is
//! only one m-line that it can be.
//!
//! Part of the engine's module: an interceptor, so that only packets are seen that the SFU has sent; the engine's own
//! search for tracks behind it has nothing to find. Must not know: negotiation beyond the m-lines in force, who hears.

use super::super::engine::{MediaKind, RemoteTrackInfo, RtpPacket, SenderReport, TrackFeedback};
use super::super::sdp::Receiving;
use super::media::OPUS;
use crate::media::clock::NtpTime;
use parking_lot::Mutex;
use rtc::interceptor::{
    Interceptor, Packet, ReceiverReportBuilder, ReceiverReportInterceptor, StreamInfo, TaggedPacket,
};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Streams told apart at once; packets of further ones are counted all the same.
const MAX_STRANGERS: usize = 16;
/// A stream is reported when it is as old as this and has sent so much: an offer for it may be under way before.
const TELL_AFTER: Duration = Duration::from_secs(3);
const TELL_PACKETS: u32 = 50;
/// The stream of an m-line that names none may be followed by another one after so much silence.
const SILENT: Duration = Duration::from_millis(100);

/// Reports of ours that are remembered, for the round trip: of as many streams or seconds.
const MAX_REPORTED: usize = 64;

/// What became of packets, in their order.
#[derive(Debug)]
pub(super) enum Came {
    /// A stream's first packet follows.
    /// In a box, as what is rare is here: every packet is as large as the largest of these, and is moved some times.
    Track(u64, Box<RemoteTrackInfo>),
    Renegotiated(u64, Box<RemoteTrackInfo>),
    Gone(u64),
    Packet(u64, RtpPacket),
    /// What a stream's sender says of its clocks.
    Report(u64, SenderReport),
    /// What is said of the sender with this SSRC.
    Feedback(u32, TrackFeedback),
    Unassigned {
        ssrc: u32,
        packets: u64,
        new: bool,
    },
}

struct Stranger {
    ssrc: u32,
    since: Instant,
    packets: u32,
    told: bool,
}

/// One SSRC of an m-line.
struct Source {
    line: usize,
    rid: String,
    /// Named in the description; else found.
    named: bool,
    open: Option<u64>,
    last: Option<Instant>,
}

struct Open {
    id: u64,
    info: RemoteTrackInfo,
}

/// One per engine object.
#[derive(Default)]
pub(super) struct Inbound {
    lines: Vec<Receiving>,
    /// By SSRC. Looked into for each packet: few comparisons cost less than a hash that resists attacks.
    sources: BTreeMap<u32, Source>,
    open: Vec<Open>,
    next: u64,
    strangers: Vec<Stranger>,
    came: VecDeque<Came>,
    report: Option<ReceiverReportInterceptor>,
    /// The middle of the wall clock in sender reports that went out lately, and when that was.
    reported: VecDeque<(u32, Instant)>,
    /// What the wall clock showed at some time. The engine asks the machine's for each packet of each stream; read once,
    /// it goes on evenly and is the same one for all streams, as receivers need it who play them together.
    clock: Option<(Instant, NtpTime)>,
}

impl Inbound {
    /// With reports to the sender of what comes (RFC 3550 §6.4.2).
    pub(super) fn reporting() -> Self {
        Self { report: Some(ReceiverReportBuilder::new().build()), ..Self::default() }
    }

    /// With a wall clock for reports of ours, by what it shows at `epoch`.
    pub(super) fn with_clock(epoch: Instant, wall: NtpTime) -> Self {
        Self { clock: Some((epoch, wall)), ..Self::default() }
    }

    pub(super) fn take(&mut self) -> Option<Came> {
        self.came.pop_front()
    }

    /// From now on these m-lines are in force. A stream goes on when it is the same one.
    pub(super) fn set(&mut self, lines: Vec<Receiving>) {
        let old = std::mem::take(&mut self.sources);
        let mut mids: Vec<&str> = Vec::new();
        for (ssrc, source) in old.iter().filter(|(_, source)| !source.named) {
            let Some(known) = self.lines.get(source.line) else { continue };
            let found = lines.iter().position(|line| line.mid == known.mid && line.ssrcs.is_empty());
            if let Some(line) = found.filter(|_| !mids.contains(&known.mid.as_str()) || !source.rid.is_empty()) {
                mids.push(&known.mid);
                let (rid, last) = (source.rid.clone(), source.last);
                self.sources.insert(*ssrc, Source { line, rid, named: false, open: None, last });
            }
        }
        for (line, receiving) in lines.iter().enumerate() {
            for ssrc in &receiving.ssrcs {
                let source = Source { line, rid: String::new(), named: true, open: None, last: None };
                self.sources.insert(*ssrc, source);
            }
        }
        self.lines = lines;
        for (ssrc, source) in &mut self.sources {
            let line = &self.lines[source.line];
            let same = |open: &&mut Open| {
                let info = &open.info;
                (info.ssrc, &info.stream_id, &info.mid, &info.rid) == (*ssrc, &line.stream_id, &line.mid, &source.rid)
            };
            let Some(open) = self.open.iter_mut().find(same) else { continue };
            source.open = Some(open.id);
            if (&open.info.opus_types, open.info.red) != (&line.types.opus, line.types.red) {
                (open.info.opus_types, open.info.red) = (line.types.opus.clone(), line.types.red);
                self.came.push_back(Came::Renegotiated(open.id, Box::new(open.info.clone())));
            }
        }
        for ssrc in old.keys().filter(|ssrc| !self.sources.contains_key(ssrc)) {
            if let Some(report) = &mut self.report {
                report.unbind_remote_stream(&StreamInfo { ssrc: *ssrc, ..StreamInfo::default() });
            }
        }
        self.strangers.retain(|stranger| !self.sources.contains_key(&stranger.ssrc));
    }

    /// Which stream a packet belongs to.
    fn stream(&mut self, header: &rtc::rtp::Header, now: Instant) -> Option<u64> {
        let (ssrc, payload_type) = (header.ssrc, header.payload_type);
        if !self.sources.contains_key(&ssrc) {
            let (line, rid) = self.search(header, now)?;
            self.strangers.retain(|stranger| stranger.ssrc != ssrc);
            self.sources.insert(ssrc, Source { line, rid, named: false, open: None, last: None });
        }
        let source = self.sources.get_mut(&ssrc)?;
        source.last = Some(now);
        if source.open.is_some() {
            return source.open;
        }
        let line = &self.lines[source.line];
        let (_, codec, clock_rate) = line.formats.iter().find(|format| format.0 == payload_type)?;
        let is_red = codec == "red" && line.types.red.is_some_and(|red| red.outer == payload_type);
        // Nothing else was agreed to.
        if !(codec == "opus" || codec == "red") {
            return None;
        }
        let info = RemoteTrackInfo {
            kind: MediaKind::Audio,
            stream_id: line.stream_id.clone(),
            track_id: line.track_id.clone(),
            rid: source.rid.clone(),
            mid: line.mid.clone(),
            ssrc,
            // What is in it, whatever it comes in.
            mime: if is_red { OPUS.to_owned() } else { format!("audio/{codec}") },
            clock_rate: *clock_rate,
            opus_types: line.types.opus.clone(),
            red: line.types.red,
        };
        self.next += 1;
        let id = self.next;
        source.open = Some(id);
        self.replace(&info);
        if let Some(report) = &mut self.report {
            report.bind_remote_stream(&StreamInfo { ssrc, clock_rate: info.clock_rate, ..StreamInfo::default() });
        }
        self.came.push_back(Came::Track(id, Box::new(info.clone())));
        self.open.push(Open { id, info });
        Some(id)
    }

    /// Without a rid there is one stream per m-line: a new one replaces it.
    fn replace(&mut self, info: &RemoteTrackInfo) {
        let stays = |old: &RemoteTrackInfo| old.mid != info.mid || (!info.rid.is_empty() && old.rid != info.rid);
        let (came, sources) = (&mut self.came, &mut self.sources);
        self.open.retain(|open| {
            if stays(&open.info) {
                return true;
            }
            came.push_back(Came::Gone(open.id));
            sources.values_mut().filter(|source| source.open == Some(open.id)).for_each(|source| source.open = None);
            false
        });
    }

    /// The m-line of a packet whose SSRC nobody named.
    fn search(&mut self, header: &rtc::rtp::Header, now: Instant) -> Option<(usize, String)> {
        let text = |id: u8| {
            let bytes = (id > 0).then(|| header.get_extension(id)).flatten()?;
            String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.is_empty())
        };
        let mut nameless = self.lines.iter().enumerate().filter(|(_, line)| line.ssrcs.is_empty());
        let by_mid = nameless.clone().find(|(_, line)| text(line.mid_extension).is_some_and(|mid| mid == line.mid));
        let rid = |line: &Receiving| text(line.rid_extension).filter(|rid| line.rids.contains(rid));
        let by_rid = || {
            let mut found = nameless.clone().filter(|(_, line)| rid(line).is_some());
            found.next().filter(|_| found.next().is_none())
        };
        let (index, line, only) = match by_mid.or_else(by_rid) {
            Some((index, line)) => (index, line, false),
            None => {
                let (index, line) = nameless.next().filter(|_| nameless.next().is_none())?;
                let carries = line.formats.iter().any(|format| format.0 == header.payload_type);
                // One with a mid of its own is another's.
                (carries && text(line.mid_extension).is_none()).then_some((index, line, true))?
            }
        };
        let rid = rid(line).unwrap_or_default();
        let before = self.sources.iter().find(|(_, source)| source.line == index && source.rid == rid);
        if let Some((ssrc, source)) = before {
            let silent = source.last.is_none_or(|last| now.saturating_duration_since(last) >= SILENT);
            if only || !silent {
                return None;
            }
            let ssrc = *ssrc;
            self.sources.remove(&ssrc);
        }
        Some((index, rid))
    }

    fn stranger(&mut self, ssrc: u32, now: Instant) {
        let index = self.strangers.iter().position(|s| s.ssrc == ssrc).unwrap_or_else(|| {
            if self.strangers.len() >= MAX_STRANGERS {
                // The one reported longest ago makes room: the list is in the order of first packets.
                self.strangers.remove(0);
            }
            self.strangers.push(Stranger { ssrc, since: now, packets: 0, told: false });
            self.strangers.len() - 1
        });
        let stranger = &mut self.strangers[index];
        stranger.packets = stranger.packets.saturating_add(1);
        let due = stranger.packets >= TELL_PACKETS && now.saturating_duration_since(stranger.since) >= TELL_AFTER;
        let new = due && !std::mem::replace(&mut stranger.told, due);
        self.came.push_back(Came::Unassigned { ssrc, packets: 1, new });
    }

    fn rtp(&mut self, packet: rtc::rtp::Packet, now: Instant) {
        match self.stream(&packet.header, now) {
            Some(id) => {
                let rtc::rtp::Packet { header, payload } = packet;
                let line = self.sources.get(&header.ssrc).and_then(|source| self.lines.get(source.line));
                let extension = |id: u8| (id > 0).then(|| header.get_extension(id)).flatten();
                let level = line.and_then(|line| extension(line.level_extension)?.first().copied());
                let capture = line.and_then(|line| extension(line.capture_extension)?.first_chunk().copied());
                let packet = RtpPacket {
                    sequence: header.sequence_number,
                    timestamp: header.timestamp,
                    ssrc: header.ssrc,
                    payload_type: header.payload_type,
                    marker: header.marker,
                    level: level.map(|level| (level & 0x7f, level & 0x80 != 0)),
                    capture_time: capture.map(|bytes| NtpTime(u64::from_be_bytes(bytes))),
                    arrival: Duration::ZERO,
                    payload,
                };
                self.came.push_back(Came::Packet(id, packet));
            }
            None if packet.payload.is_empty() || self.sources.contains_key(&packet.header.ssrc) => {}
            None => self.stranger(packet.header.ssrc, now),
        }
    }
}

/// The middle of a wall clock's 64 bits: as reports name it (RFC 3550 section 6.4.1).
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

impl Inbound {
    /// What others say of their streams and of ours.
    fn rtcp(&mut self, packets: &[Box<dyn rtcp::Packet>], now: Instant) {
        for packet in packets {
            let packet = packet.as_any();
            if let Some(sr) = packet.downcast_ref::<rtcp::sender_report::SenderReport>() {
                let report = SenderReport { ntp: NtpTime(sr.ntp_time), rtp_time: sr.rtp_time };
                let open = self.sources.get(&sr.ssrc).and_then(|source| source.open);
                self.came.extend(open.map(|id| Came::Report(id, report)));
                self.reception(&sr.reports, now);
            } else if let Some(rr) = packet.downcast_ref::<rtcp::receiver_report::ReceiverReport>() {
                self.reception(&rr.reports, now);
            } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                self.came.push_back(Came::Feedback(pli.media_ssrc, TrackFeedback::KeyFrame));
            } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                let asked = fir.fir.iter().map(|entry| Came::Feedback(entry.ssrc, TrackFeedback::KeyFrame));
                self.came.extend(asked);
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                let count: u32 = nack.nacks.iter().map(|pair| 1 + pair.lost_packets.count_ones()).sum();
                self.came.push_back(Came::Feedback(nack.media_ssrc, TrackFeedback::Nack(count)));
            } else if let Some(remb) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                // Saturates; NaN is 0.
                let bitrate = TrackFeedback::Bitrate(remb.bitrate as u64);
                self.came.extend(remb.ssrcs.iter().map(|ssrc| Came::Feedback(*ssrc, bitrate)));
            }
        }
    }

    fn reception(&mut self, reports: &[rtcp::reception_report::ReceptionReport], now: Instant) {
        for report in reports {
            let sent = self.reported.iter().find(|(middle, _)| *middle == report.last_sender_report);
            let round_trip = sent.filter(|_| report.last_sender_report > 0).map(|(_, at)| {
                // In 65,536ths of a second.
                let held = Duration::from_micros((u64::from(report.delay) * 1_000_000) >> 16);
                now.saturating_duration_since(*at).saturating_sub(held)
            });
            let feedback = TrackFeedback::Report {
                fraction_lost: report.fraction_lost,
                // 24 bits with a sign.
                total_lost: (report.total_lost << 8) as i32 >> 8,
                jitter: report.jitter,
                round_trip,
            };
            self.came.push_back(Came::Feedback(report.ssrc, feedback));
        }
    }

    /// A report of ours goes out.
    fn reports(&mut self, packets: &mut [Box<dyn rtcp::Packet>], now: Instant) {
        for packet in packets {
            let Some(sr) = packet.as_any().downcast_ref::<rtcp::sender_report::SenderReport>() else { continue };
            let mut sr = sr.clone();
            if let Some((epoch, wall)) = self.clock {
                sr.ntp_time = wall.after(now.saturating_duration_since(epoch)).0;
            }
            if self.reported.len() >= MAX_REPORTED {
                self.reported.pop_front();
            }
            self.reported.push_back((middle(sr.ntp_time), now));
            *packet = Box::new(sr);
        }
    }
}

/// Takes everything that comes out of the engine's hands; what goes passes.
pub(super) struct Tap {
    inbound: Arc<Mutex<Inbound>>,
    write: VecDeque<TaggedPacket>,
}

impl Tap {
    pub(super) fn new(inbound: Arc<Mutex<Inbound>>) -> Self {
        Self { inbound, write: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        let mut inbound = self.inbound.lock();
        let now = packet.now;
        let Some(report) = &mut inbound.report else {
            match packet.message.packet {
                Packet::Rtp(packet) => inbound.rtp(packet, now),
                Packet::Rtcp(packets) => inbound.rtcp(&packets, now),
                _ => {}
            }
            return Ok(());
        };
        report.handle_read(packet)?;
        while let Some(packet) = inbound.report.as_mut().and_then(|report| report.poll_read()) {
            match packet.message.packet {
                Packet::Rtp(packet) => inbound.rtp(packet, now),
                Packet::Rtcp(packets) => inbound.rtcp(&packets, now),
                _ => {}
            }
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut packet.message.packet {
            self.inbound.lock().reports(packets, packet.now);
        }
        self.write.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front().or_else(|| self.inbound.lock().report.as_mut()?.poll_write())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.inbound.lock().report.as_mut().map_or(Ok(()), |report| report.handle_timeout(now))
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.inbound.lock().report.as_mut()?.poll_timeout()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn line(mid: &str, ssrcs: &[u32]) -> Receiving {
        Receiving {
            mid: mid.to_owned(),
            stream_id: format!("{mid}:stream"),
            track_id: format!("{mid}:track"),
            ssrcs: ssrcs.to_vec(),
            formats: vec![(111, "opus".to_owned(), 48_000), (0, "pcmu".to_owned(), 8_000)],
            mid_extension: 4,
            ..Receiving::default()
        }
    }

    fn packet(ssrc: u32, mid: &'static str) -> rtc::rtp::Packet {
        let mut header = rtc::rtp::Header { version: 2, payload_type: 111, ssrc, ..Default::default() };
        if !mid.is_empty() {
            header.set_extension(4, Bytes::from_static(mid.as_bytes())).expect("an extension");
        }
        rtc::rtp::Packet { header, payload: Bytes::from_static(b"x") }
    }

    /// What became of packets, in words.
    fn told(inbound: &mut Inbound) -> Vec<String> {
        let word = |came| match came {
            Came::Track(id, info) => format!("track {id} {} {}", info.mid, info.ssrc),
            Came::Renegotiated(id, _) => format!("renegotiated {id}"),
            Came::Gone(id) => format!("gone {id}"),
            Came::Packet(id, _) => format!("packet {id}"),
            Came::Report(id, report) => format!("report {id} {} {}", report.ntp.0, report.rtp_time),
            Came::Feedback(ssrc, feedback) => format!("feedback {ssrc} {feedback:?}"),
            Came::Unassigned { ssrc, new, .. } => format!("unassigned {ssrc} {new}"),
        };
        std::iter::from_fn(|| inbound.take()).map(word).collect()
    }

    #[test]
    fn a_stream_without_a_name_is_followed_by_another_after_silence() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut inbound = Inbound::default();
        inbound.set(vec![line("a", &[]), line("b", &[])]);
        inbound.rtp(packet(1, "a"), at(0));
        inbound.rtp(packet(1, ""), at(20));
        assert_eq!(told(&mut inbound), ["track 1 a 1", "packet 1", "packet 1"]);
        inbound.rtp(packet(2, "a"), at(40));
        assert_eq!(told(&mut inbound), ["unassigned 2 false"], "the first one still speaks");
        inbound.rtp(packet(2, "a"), at(200));
        assert_eq!(told(&mut inbound), ["gone 1", "track 2 a 2", "packet 2"]);
        inbound.rtp(packet(3, ""), at(400));
        inbound.rtp(packet(3, "c"), at(400));
        assert_eq!(told(&mut inbound), ["unassigned 3 false", "unassigned 3 false"]);
        // It stays what it is while its m-line does.
        inbound.set(vec![line("x", &[9]), line("a", &[]), line("b", &[])]);
        inbound.rtp(packet(2, ""), at(420));
        assert_eq!(told(&mut inbound), ["packet 2"]);
        inbound.set(vec![line("b", &[])]);
        inbound.rtp(packet(2, "a"), at(440));
        assert_eq!(told(&mut inbound), ["unassigned 2 false"]);
        inbound.rtp(packet(4, ""), at(440));
        assert_eq!(told(&mut inbound), ["track 3 b 4", "packet 3"], "there is only one that it can be");
    }

    #[test]
    fn reports_and_requests_reach_whom_they_are_about() {
        use rtc::rtcp::receiver_report::ReceiverReport;
        use rtc::rtcp::reception_report::ReceptionReport;
        use rtc::rtcp::sender_report::SenderReport;
        use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
        let begun = Instant::now();
        let mut inbound = Inbound::default();
        inbound.set(vec![line("a", &[7])]);
        inbound.rtp(packet(7, ""), begun);
        assert_eq!(told(&mut inbound).len(), 2);
        let sent = |ssrc, ntp_time| -> Box<dyn rtcp::Packet> {
            Box::new(SenderReport { ssrc, ntp_time, rtp_time: 960, ..SenderReport::default() })
        };
        inbound.rtcp(&[sent(7, 5), sent(8, 6)], begun);
        assert_eq!(told(&mut inbound), ["report 1 5 960"], "of a stream that is open");
        // Reports of ours, and what is said of them: a tenth of a second was waited for the answer.
        (0..10 * MAX_REPORTED as u64).for_each(|n| inbound.reports(&mut [sent(99, n << 16)], begun));
        assert_eq!(inbound.reported.len(), MAX_REPORTED);
        let last = 10 * MAX_REPORTED as u32 - 1;
        for (last_sender_report, delay, trip) in
            [(last, 6_554, Some(50)), (last, u32::MAX, Some(0)), (0, 0, None), (1, 0, None)]
        {
            let report = ReceptionReport {
                ssrc: 99,
                fraction_lost: 64,
                total_lost: 0xff_ffff,
                jitter: 48,
                last_sender_report,
                delay,
                ..ReceptionReport::default()
            };
            let reports: Box<dyn rtcp::Packet> =
                Box::new(ReceiverReport { reports: vec![report], ..ReceiverReport::default() });
            inbound.rtcp(&[reports], begun + Duration::from_millis(150));
            let Some(Came::Feedback(99, said)) = inbound.take() else { panic!("nothing is told") };
            let TrackFeedback::Report { fraction_lost, total_lost, jitter, round_trip } = said else {
                panic!("{said:?}")
            };
            assert_eq!((fraction_lost, total_lost, jitter), (64, -1, 48));
            assert_eq!(round_trip.map(|trip| (trip.as_micros() + 500) / 1_000), trip);
        }
        let nacks = vec![NackPair { packet_id: 5, lost_packets: 0b101 }];
        let all: [Box<dyn rtcp::Packet>; 3] = [
            Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc: 99 }),
            Box::new(TransportLayerNack { sender_ssrc: 0, media_ssrc: 99, nacks }),
            Box::new(ReceiverEstimatedMaximumBitrate { sender_ssrc: 0, bitrate: f32::NAN, ssrcs: vec![99, 7] }),
        ];
        inbound.rtcp(&all, begun);
        let told = told(&mut inbound);
        assert_eq!(told[..2], ["feedback 99 KeyFrame", "feedback 99 Nack(3)"]);
        assert_eq!(told[2..], ["feedback 99 Bitrate(0)", "feedback 7 Bitrate(0)"]);
    }

    #[test]
    fn what_a_packets_header_says_comes_along() {
        let now = Instant::now();
        let mut inbound = Inbound::default();
        inbound.set(vec![Receiving { level_extension: 1, capture_extension: 2, ..line("a", &[7]) }]);
        let mut came = |extensions: &[(u8, &'static [u8])]| {
            let mut packet = packet(7, "");
            for &(id, bytes) in extensions {
                packet.header.set_extension(id, Bytes::from_static(bytes)).expect("an extension");
            }
            inbound.rtp(packet, now);
            std::iter::from_fn(|| inbound.take())
                .find_map(|came| match came {
                    Came::Packet(_, packet) => Some((packet.level, packet.capture_time)),
                    _ => None,
                })
                .expect("a packet")
        };
        assert_eq!(came(&[]), (None, None));
        assert_eq!(came(&[(1, &[0x80 | 30])]), (Some((30, true)), None));
        let capture = &[0, 0, 0, 9, 0x80, 0, 0, 0];
        assert_eq!(came(&[(1, &[127]), (2, capture)]), (Some((127, false)), Some(NtpTime(9 << 32 | 1 << 31))));
        // Too short, and one that was not negotiated.
        assert_eq!(came(&[(2, &[1, 2, 3]), (5, capture)]), (None, None));
    }

    #[test]
    fn a_rid_names_an_m_line_where_no_mid_does() {
        let now = Instant::now();
        let with_rid = |ssrc, rid: &'static str| {
            let mut packet = packet(ssrc, "");
            packet.header.set_extension(5, Bytes::from_static(rid.as_bytes())).expect("an extension");
            packet
        };
        let simulcast = |mid: &str, rids: [&str; 2]| {
            let rids = rids.map(str::to_owned).to_vec();
            Receiving { rids, rid_extension: 5, ..line(mid, &[]) }
        };
        let mut inbound = Inbound::default();
        inbound.set(vec![line("a", &[]), simulcast("b", ["hi", "lo"]), simulcast("c", ["lo", "top"])]);
        inbound.rtp(with_rid(1, "hi"), now);
        inbound.rtp(packet(1, ""), now);
        inbound.rtp(with_rid(2, "top"), now);
        assert_eq!(told(&mut inbound), ["track 1 b 1", "packet 1", "packet 1", "track 2 c 2", "packet 2"]);
        inbound.rtp(with_rid(3, "lo"), now);
        inbound.rtp(with_rid(4, "nobody's"), now);
        assert_eq!(told(&mut inbound), ["unassigned 3 false", "unassigned 4 false"], "of two m-lines, and of none");
        // With a mid as well it is clear.
        let mut named = with_rid(3, "lo");
        named.header.set_extension(4, Bytes::from_static(b"c")).expect("an extension");
        inbound.rtp(named, now);
        assert_eq!(told(&mut inbound), ["track 3 c 3", "packet 3"], "beside the other layer of its m-line");
    }

    #[test]
    fn only_what_was_agreed_to_opens_a_track() {
        let now = Instant::now();
        let mut inbound = Inbound::default();
        inbound.set(vec![line("a", &[1])]);
        for payload_type in [0, 77] {
            let mut foreign = packet(1, "");
            foreign.header.payload_type = payload_type;
            inbound.rtp(foreign, now);
        }
        assert!(told(&mut inbound).is_empty());
        inbound.rtp(packet(1, ""), now);
        assert_eq!(told(&mut inbound), ["track 1 a 1", "packet 1"]);
    }

    #[test]
    fn nobodys_streams_are_told_of_once_and_bounded() {
        let begun = Instant::now();
        let mut inbound = Inbound::default();
        for n in 0..400u32 {
            inbound.rtp(packet(7, ""), begun + Duration::from_millis(20 * u64::from(n)));
        }
        let new = told(&mut inbound).iter().filter(|word| word.ends_with("true")).count();
        assert_eq!(new, 1);
        for ssrc in 0..10_000 {
            inbound.rtp(packet(ssrc, ""), begun);
        }
        assert!(inbound.strangers.len() <= MAX_STRANGERS);
        assert_eq!(told(&mut inbound).len(), 10_000, "all are counted");
        let mut padding = packet(8, "");
        padding.payload = Bytes::new();
        inbound.rtp(padding, begun);
        assert!(told(&mut inbound).is_empty());
    }
}

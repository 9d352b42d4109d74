//! Assigns received packets to streams: by SSRC; if the description names none, by mid, by rid, or because only one
//! m-line is possible.
//!
//! Part of the engine's module: an interceptor, so that it only sees packets that the SFU has sent; the engine's own
//! track search behind it finds nothing. Must not know: negotiation beyond the m-lines in force, who receives.

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

/// Maximum unassigned streams tracked at once; packets of further ones are counted all the same.
const MAX_UNASSIGNED: usize = 16;
/// An unassigned stream is reported at this age and packet count: before, an offer for it may be under way.
const REPORT_AFTER: Duration = Duration::from_secs(3);
const REPORT_PACKETS: u32 = 50;
/// The stream of an m-line that names none may be replaced by another one after this much silence.
const SILENT: Duration = Duration::from_millis(100);

/// Maximum local sender reports remembered for the round-trip time: for this many streams, or seconds of one.
const MAX_REPORTED: usize = 64;

/// Events of received packets, in order.
#[derive(Debug)]
pub(super) enum InboundEvent {
    /// First packet of a stream follows. Boxed because it is rare: every packet is as large as the largest variant, and
    /// is moved several times.
    Track(u64, Box<RemoteTrackInfo>),
    Renegotiated(u64, Box<RemoteTrackInfo>),
    Gone(u64),
    Packet(u64, RtpPacket),
    /// A sender report of the stream's sender.
    Report(u64, SenderReport),
    /// Feedback about the sender with this SSRC.
    Feedback(u32, TrackFeedback),
    Unassigned {
        ssrc: u32,
        packets: u64,
        new: bool,
    },
}

struct UnassignedStream {
    ssrc: u32,
    since: Instant,
    packets: u32,
    is_reported: bool,
}

/// One SSRC of an m-line.
struct Source {
    line: usize,
    rid: String,
    /// Named in the description; otherwise detected.
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
    /// By SSRC. Searched for each packet: a few comparisons cost less than a hash that resists attacks.
    sources: BTreeMap<u32, Source>,
    open: Vec<Open>,
    next: u64,
    unassigned: Vec<UnassignedStream>,
    events: VecDeque<InboundEvent>,
    report: Option<ReceiverReportInterceptor>,
    /// Middle 32 bits of the NTP time in recently sent sender reports, and when each was sent.
    reported: VecDeque<(u32, Instant)>,
    /// The wall clock at one point in time. The engine reads the machine's clock for each packet of each stream; read
    /// only once, it advances evenly and is the same for all streams, as receivers need to play them together.
    clock: Option<(Instant, NtpTime)>,
}

impl Inbound {
    /// With receiver reports about the received streams (RFC 3550 §6.4.2).
    pub(super) fn reporting() -> Self {
        Self { report: Some(ReceiverReportBuilder::new().build()), ..Self::default() }
    }

    /// With a wall clock for local sender reports, given by its time at `epoch`.
    pub(super) fn with_clock(epoch: Instant, wall: NtpTime) -> Self {
        Self { clock: Some((epoch, wall)), ..Self::default() }
    }

    /// Adds receiver reports, for a peer connection that carries both directions.
    pub(super) fn report_reception(&mut self) {
        self.report.get_or_insert_with(|| ReceiverReportBuilder::new().build());
    }

    pub(super) fn take(&mut self) -> Option<InboundEvent> {
        self.events.pop_front()
    }

    /// Sets the m-lines in force. A stream continues if it is still the same.
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
                self.events.push_back(InboundEvent::Renegotiated(open.id, Box::new(open.info.clone())));
            }
        }
        for ssrc in old.keys().filter(|ssrc| !self.sources.contains_key(ssrc)) {
            if let Some(report) = &mut self.report {
                report.unbind_remote_stream(&StreamInfo { ssrc: *ssrc, ..StreamInfo::default() });
            }
        }
        self.unassigned.retain(|stream| !self.sources.contains_key(&stream.ssrc));
    }

    /// The stream that a packet belongs to.
    fn stream(&mut self, header: &rtc::rtp::Header, now: Instant) -> Option<u64> {
        let (ssrc, payload_type) = (header.ssrc, header.payload_type);
        if !self.sources.contains_key(&ssrc) {
            let (line, rid) = self.search(header, now)?;
            self.unassigned.retain(|stream| stream.ssrc != ssrc);
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
        // No other codec was negotiated.
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
            // The codec of the content, whatever the packaging.
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
        self.events.push_back(InboundEvent::Track(id, Box::new(info.clone())));
        self.open.push(Open { id, info });
        Some(id)
    }

    /// Without a rid there is one stream per m-line: a new one replaces it.
    fn replace(&mut self, info: &RemoteTrackInfo) {
        let stays = |old: &RemoteTrackInfo| old.mid != info.mid || (!info.rid.is_empty() && old.rid != info.rid);
        let (events, sources) = (&mut self.events, &mut self.sources);
        self.open.retain(|open| {
            if stays(&open.info) {
                return true;
            }
            events.push_back(InboundEvent::Gone(open.id));
            sources.values_mut().filter(|source| source.open == Some(open.id)).for_each(|source| source.open = None);
            false
        });
    }

    /// The m-line of a packet whose SSRC is not in the description.
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
                // A packet with a mid belongs to another m-line.
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

    fn count_unassigned(&mut self, ssrc: u32, now: Instant) {
        let index = self.unassigned.iter().position(|s| s.ssrc == ssrc).unwrap_or_else(|| {
            if self.unassigned.len() >= MAX_UNASSIGNED {
                // The oldest makes room: the list is in the order of first packets.
                self.unassigned.remove(0);
            }
            self.unassigned.push(UnassignedStream { ssrc, since: now, packets: 0, is_reported: false });
            self.unassigned.len() - 1
        });
        let stream = &mut self.unassigned[index];
        stream.packets = stream.packets.saturating_add(1);
        let due = stream.packets >= REPORT_PACKETS && now.saturating_duration_since(stream.since) >= REPORT_AFTER;
        let new = due && !std::mem::replace(&mut stream.is_reported, due);
        self.events.push_back(InboundEvent::Unassigned { ssrc, packets: 1, new });
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
                self.events.push_back(InboundEvent::Packet(id, packet));
            }
            None if packet.payload.is_empty() || self.sources.contains_key(&packet.header.ssrc) => {}
            None => self.count_unassigned(packet.header.ssrc, now),
        }
    }
}

/// The middle 32 bits of an NTP time, as in reports (RFC 3550 section 6.4.1).
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

impl Inbound {
    /// Handles RTCP about remote and local streams.
    fn rtcp(&mut self, packets: &[Box<dyn rtcp::Packet>], now: Instant) {
        for packet in packets {
            let packet = packet.as_any();
            if let Some(sr) = packet.downcast_ref::<rtcp::sender_report::SenderReport>() {
                let report = SenderReport { ntp: NtpTime(sr.ntp_time), rtp_time: sr.rtp_time };
                let open = self.sources.get(&sr.ssrc).and_then(|source| source.open);
                self.events.extend(open.map(|id| InboundEvent::Report(id, report)));
                self.reception(&sr.reports, now);
            } else if let Some(rr) = packet.downcast_ref::<rtcp::receiver_report::ReceiverReport>() {
                self.reception(&rr.reports, now);
            } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                self.events.push_back(InboundEvent::Feedback(pli.media_ssrc, TrackFeedback::KeyFrame));
            } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                let requests = fir.fir.iter().map(|entry| InboundEvent::Feedback(entry.ssrc, TrackFeedback::KeyFrame));
                self.events.extend(requests);
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                let count: u32 = nack.nacks.iter().map(|pair| 1 + pair.lost_packets.count_ones()).sum();
                self.events.push_back(InboundEvent::Feedback(nack.media_ssrc, TrackFeedback::Nack(count)));
            } else if let Some(remb) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                // Saturates; NaN is 0.
                let bitrate = TrackFeedback::Bitrate(remb.bitrate as u64);
                self.events.extend(remb.ssrcs.iter().map(|ssrc| InboundEvent::Feedback(*ssrc, bitrate)));
            }
        }
    }

    fn reception(&mut self, reports: &[rtcp::reception_report::ReceptionReport], now: Instant) {
        for report in reports {
            let sent = self.reported.iter().find(|(middle, _)| *middle == report.last_sender_report);
            let round_trip = sent.filter(|_| report.last_sender_report > 0).map(|(_, at)| {
                // In 1/65,536 s.
                let held = Duration::from_micros((u64::from(report.delay) * 1_000_000) >> 16);
                now.saturating_duration_since(*at).saturating_sub(held)
            });
            let feedback = TrackFeedback::Report {
                fraction_lost: report.fraction_lost,
                // 24 bits, signed.
                total_lost: (report.total_lost << 8) as i32 >> 8,
                jitter: report.jitter,
                round_trip,
            };
            self.events.push_back(InboundEvent::Feedback(report.ssrc, feedback));
        }
    }

    /// Records a local report that is being sent, and sets its NTP time.
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

/// Takes all received packets from the engine; passes sent packets through.
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

    /// Events in words.
    fn take_events(inbound: &mut Inbound) -> Vec<String> {
        let word = |event| match event {
            InboundEvent::Track(id, info) => format!("track {id} {} {}", info.mid, info.ssrc),
            InboundEvent::Renegotiated(id, _) => format!("renegotiated {id}"),
            InboundEvent::Gone(id) => format!("gone {id}"),
            InboundEvent::Packet(id, _) => format!("packet {id}"),
            InboundEvent::Report(id, report) => format!("report {id} {} {}", report.ntp.0, report.rtp_time),
            InboundEvent::Feedback(ssrc, feedback) => format!("feedback {ssrc} {feedback:?}"),
            InboundEvent::Unassigned { ssrc, new, .. } => format!("unassigned {ssrc} {new}"),
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
        assert_eq!(take_events(&mut inbound), ["track 1 a 1", "packet 1", "packet 1"]);
        inbound.rtp(packet(2, "a"), at(40));
        assert_eq!(take_events(&mut inbound), ["unassigned 2 false"], "the first one is still active");
        inbound.rtp(packet(2, "a"), at(200));
        assert_eq!(take_events(&mut inbound), ["gone 1", "track 2 a 2", "packet 2"]);
        inbound.rtp(packet(3, ""), at(400));
        inbound.rtp(packet(3, "c"), at(400));
        assert_eq!(take_events(&mut inbound), ["unassigned 3 false", "unassigned 3 false"]);
        // The stream continues while its m-line does.
        inbound.set(vec![line("x", &[9]), line("a", &[]), line("b", &[])]);
        inbound.rtp(packet(2, ""), at(420));
        assert_eq!(take_events(&mut inbound), ["packet 2"]);
        inbound.set(vec![line("b", &[])]);
        inbound.rtp(packet(2, "a"), at(440));
        assert_eq!(take_events(&mut inbound), ["unassigned 2 false"]);
        inbound.rtp(packet(4, ""), at(440));
        assert_eq!(take_events(&mut inbound), ["track 3 b 4", "packet 3"], "there is only one that it can be");
    }

    #[test]
    fn rtcp_is_assigned_to_its_stream() {
        use rtc::rtcp::receiver_report::ReceiverReport;
        use rtc::rtcp::reception_report::ReceptionReport;
        use rtc::rtcp::sender_report::SenderReport;
        use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
        let begun = Instant::now();
        let mut inbound = Inbound::default();
        inbound.set(vec![line("a", &[7])]);
        inbound.rtp(packet(7, ""), begun);
        assert_eq!(take_events(&mut inbound).len(), 2);
        let sent = |ssrc, ntp_time| -> Box<dyn rtcp::Packet> {
            Box::new(SenderReport { ssrc, ntp_time, rtp_time: 960, ..SenderReport::default() })
        };
        inbound.rtcp(&[sent(7, 5), sent(8, 6)], begun);
        assert_eq!(take_events(&mut inbound), ["report 1 5 960"], "of a stream that is open");
        // Local reports, and a report about them that the receiver held back for a tenth of a second.
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
            let Some(InboundEvent::Feedback(99, feedback)) = inbound.take() else { panic!("no event") };
            let TrackFeedback::Report { fraction_lost, total_lost, jitter, round_trip } = feedback else {
                panic!("{feedback:?}")
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
        let events = take_events(&mut inbound);
        assert_eq!(events[..2], ["feedback 99 KeyFrame", "feedback 99 Nack(3)"]);
        assert_eq!(events[2..], ["feedback 99 Bitrate(0)", "feedback 7 Bitrate(0)"]);
    }

    #[test]
    fn header_extensions_are_delivered_with_the_packet() {
        let now = Instant::now();
        let mut inbound = Inbound::default();
        inbound.set(vec![Receiving { level_extension: 1, capture_extension: 2, ..line("a", &[7]) }]);
        let mut read = |extensions: &[(u8, &'static [u8])]| {
            let mut packet = packet(7, "");
            for &(id, bytes) in extensions {
                packet.header.set_extension(id, Bytes::from_static(bytes)).expect("an extension");
            }
            inbound.rtp(packet, now);
            std::iter::from_fn(|| inbound.take())
                .find_map(|event| match event {
                    InboundEvent::Packet(_, packet) => Some((packet.level, packet.capture_time)),
                    _ => None,
                })
                .expect("a packet")
        };
        assert_eq!(read(&[]), (None, None));
        assert_eq!(read(&[(1, &[0x80 | 30])]), (Some((30, true)), None));
        let capture = &[0, 0, 0, 9, 0x80, 0, 0, 0];
        assert_eq!(read(&[(1, &[127]), (2, capture)]), (Some((127, false)), Some(NtpTime(9 << 32 | 1 << 31))));
        // Too short, and one that was not negotiated.
        assert_eq!(read(&[(2, &[1, 2, 3]), (5, capture)]), (None, None));
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
        assert_eq!(take_events(&mut inbound), ["track 1 b 1", "packet 1", "packet 1", "track 2 c 2", "packet 2"]);
        inbound.rtp(with_rid(3, "lo"), now);
        inbound.rtp(with_rid(4, "unknown"), now);
        assert_eq!(
            take_events(&mut inbound),
            ["unassigned 3 false", "unassigned 4 false"],
            "of two m-lines, and of none"
        );
        // With a mid as well it is unambiguous.
        let mut named = with_rid(3, "lo");
        named.header.set_extension(4, Bytes::from_static(b"c")).expect("an extension");
        inbound.rtp(named, now);
        assert_eq!(take_events(&mut inbound), ["track 3 c 3", "packet 3"], "beside the other layer of its m-line");
    }

    #[test]
    fn only_negotiated_payload_types_open_a_track() {
        let now = Instant::now();
        let mut inbound = Inbound::default();
        inbound.set(vec![line("a", &[1])]);
        for payload_type in [0, 77] {
            let mut foreign = packet(1, "");
            foreign.header.payload_type = payload_type;
            inbound.rtp(foreign, now);
        }
        assert!(take_events(&mut inbound).is_empty());
        inbound.rtp(packet(1, ""), now);
        assert_eq!(take_events(&mut inbound), ["track 1 a 1", "packet 1"]);
    }

    #[test]
    fn unassigned_streams_are_reported_once_and_bounded() {
        let begun = Instant::now();
        let mut inbound = Inbound::default();
        for n in 0..400u32 {
            inbound.rtp(packet(7, ""), begun + Duration::from_millis(20 * u64::from(n)));
        }
        let new = take_events(&mut inbound).iter().filter(|word| word.ends_with("true")).count();
        assert_eq!(new, 1);
        for ssrc in 0..10_000 {
            inbound.rtp(packet(ssrc, ""), begun);
        }
        assert!(inbound.unassigned.len() <= MAX_UNASSIGNED);
        assert_eq!(take_events(&mut inbound).len(), 10_000, "all are counted");
        let mut padding = packet(8, "");
        padding.payload = Bytes::new();
        inbound.rtp(padding, begun);
        assert!(take_events(&mut inbound).is_empty());
    }
}

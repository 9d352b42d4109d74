//! Frame assembly: the packets of one track, in any order, into whole frames that can be decoded one after the other.
//! Bounded: 512 packets, 2 MiB, 8 unfinished frames.
//!
//! Must not know: who asks for lost packets again and how, who decodes, what a payload contains beyond what
//! [`Codec::parse`] reads.
//!
//! A frame is a picture: all packets of one timestamp, up to the marker. It is handed out when it is whole and all frames
//! before it have been handed out or given up. A missing packet is waited for until its deadline; then everything up to
//! the next frame whose start is known is dropped. `Continuity` decides which of the later frames can still be decoded; if
//! none can, nothing but a key frame is handed out.

use std::time::Duration;

use bytes::Bytes;

use super::{
    codec::{Codec, PayloadKind, PayloadTypes, Size},
    continuity::{Continuity, Picture, Verdict},
    descriptor,
    packet::{Rotation, VideoFrame, VideoPacket},
    vp9,
    window::{Front, Held, Slot, Window},
};
use crate::media::{
    frame::{EncodedFrame, Layer},
    rtp::sequence::distance,
    transform::Refused,
};

/// Most packets, payload bytes and unfinished frames held.
pub const MAX_PACKETS: usize = 512;
pub const MAX_BYTES: usize = 2 << 20;
pub const MAX_UNFINISHED: usize = 8;

/// How long a missing packet is waited for, unless the caller knows better.
pub const USUAL_WAIT: Duration = Duration::from_millis(200);

/// How long the first packets of a stream may be late. What was lost before the first that arrived is never sent again.
const START_WAIT: Duration = Duration::from_millis(50);

/// Packets of a replaced SSRC are dropped until the new one has been in use for this long.
const FORMER: Duration = Duration::from_millis(500);

/// Sequence numbers whose arrival is remembered: those held, and as many before them. A power of two.
const REMEMBERED: usize = 2 * MAX_PACKETS;

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Kept, or counted as padding: it is not missing.
    Taken,
    Duplicate,
    /// Its frame was handed out or given up before.
    Late,
    /// Of another SSRC, or far from the other sequence numbers. Kept aside until a second packet confirms it.
    Aside,
    /// The packet confirms a new stream: sequence numbers before it mean nothing any more.
    Restarted,
}

/// Counters since the assembler was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub packets: u64,
    pub duplicates: u64,
    pub late: u64,
    /// Packets without payload.
    pub padding: u64,
    /// Packets of a payload type that is not one of the track's codecs.
    pub unknown: u64,
    /// Packets whose payload cannot be read.
    pub malformed: u64,
    /// Packets of another SSRC, or far away, that no second one confirmed.
    pub stray: u64,
    pub restarts: u64,
    /// Frames handed out, and how many of them are key frames and blank.
    pub frames: u64,
    pub key_frames: u64,
    pub blank: u64,
    /// Frames dropped: a packet did not arrive in time.
    pub incomplete: u64,
    /// Frames dropped: whole, but a frame that they refer to is missing.
    pub undecodable: u64,
    /// Frames dropped: more was held than is allowed.
    pub overflow: u64,
    /// Frames dropped: their packets contradict each other, or one of them is malformed.
    pub corrupt: u64,
    /// Frames that the transform rejected.
    pub refused: u64,
}

impl Counts {
    /// Frames that arrived, at least in part, and were not handed out.
    pub fn dropped(&self) -> u64 {
        self.incomplete + self.undecodable + self.overflow + self.corrupt + self.refused
    }
}

/// Assembles the frames of one track.
#[derive(Debug)]
pub struct Assembler {
    types: PayloadTypes,
    wait: Duration,
    ssrc: Option<u32>,
    window: Window,
    /// Newest sequence number as it came.
    newest: u16,
    /// Which of the last [`REMEMBERED`] numbers arrived.
    arrived: [u64; REMEMBERED / 64],
    /// Slots at the front known to be of one frame, without its end.
    scanned: usize,
    /// The first slot is the start of a frame, whether it says so or not.
    at_start: bool,
    /// Timestamp of the last packet dropped without its frame's end: what follows of it is dropped, too.
    broken: Option<u32>,
    /// Nothing of this stream was taken or dropped yet.
    fresh: bool,
    /// No packet is missing and no frame was left out since the last that was handed out.
    unbroken: bool,
    waiting: bool,
    continuity: Continuity,
    /// Frames given up since the last that was handed out.
    lost: u32,
    begins: bool,
    aside: Option<VideoPacket>,
    former: Option<(u32, Duration)>,
    size: Option<Size>,
    rotation: Rotation,
    counts: Counts,
}

impl Assembler {
    /// `types`: the track's payload types. Retransmissions are unwrapped before.
    pub fn new(types: PayloadTypes) -> Self {
        Self {
            types,
            wait: USUAL_WAIT,
            ssrc: None,
            window: Window::default(),
            newest: 0,
            arrived: [0; REMEMBERED / 64],
            scanned: 0,
            at_start: false,
            broken: None,
            fresh: true,
            unbroken: false,
            waiting: true,
            continuity: Continuity::default(),
            lost: 0,
            begins: true,
            aside: None,
            former: None,
            size: None,
            rotation: Rotation::None,
            counts: Counts::default(),
        }
    }

    /// The payload types changed by a negotiation. Packets held keep their codec.
    pub fn set_types(&mut self, types: PayloadTypes) {
        self.types = types;
    }

    pub fn types(&self) -> &PayloadTypes {
        &self.types
    }

    /// How long a missing packet is waited for, at most 2 s.
    pub fn set_wait(&mut self, wait: Duration) {
        self.wait = wait.min(Duration::from_secs(2));
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Nothing can be handed out before a key frame.
    pub fn needs_key_frame(&self) -> bool {
        self.waiting && !self.fresh
    }

    /// Packets, and bytes of their payloads, held.
    pub fn held(&self) -> (usize, usize) {
        (self.window.len() - self.window.missing(), self.window.bytes())
    }

    /// Earlier packets than this are of no use any more; `None` before the first.
    pub fn oldest_wanted(&self) -> Option<u16> {
        self.ssrc.map(|_| self.window.head() as u16)
    }

    /// Whether a sequence number is close enough to the others to be one of this stream.
    pub fn is_near(&self, sequence: u16) -> bool {
        self.ssrc.is_some() && distance(sequence, self.newest).unsigned_abs() <= MAX_PACKETS as u64
    }

    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// The application dropped frames: nothing is handed out before the next key frame.
    pub fn require_key_frame(&mut self) {
        self.waiting = true;
        self.unbroken = false;
    }

    /// Starts anew, as after a change of the sender; the counters stay.
    pub fn reset(&mut self) {
        self.clear_window();
        self.ssrc = None;
        (self.aside, self.former, self.size) = (None, None, None);
        self.continuity.reset();
    }

    fn clear_window(&mut self) {
        self.window.restart(0);
        self.scanned = 0;
        self.arrived = [0; REMEMBERED / 64];
        (self.at_start, self.broken, self.fresh) = (false, None, true);
        (self.unbroken, self.waiting, self.begins) = (false, true, true);
    }

    /// Accepts a packet. Any input is safe.
    pub fn push(&mut self, packet: VideoPacket) -> Pushed {
        self.counts.packets += 1;
        let rtp = &packet.rtp;
        let Some(ssrc) = self.ssrc else {
            self.begin(packet);
            return Pushed::Taken;
        };
        if let Some((former, until)) = self.former {
            if rtp.arrival >= until {
                self.former = None;
            } else if former == rtp.ssrc {
                self.counts.late += 1;
                return Pushed::Late;
            }
        }
        let step = distance(rtp.sequence, self.newest);
        if rtp.ssrc != ssrc || step.unsigned_abs() > MAX_PACKETS as u64 {
            return self.set_aside(packet);
        }
        if self.aside.take_if(|aside| aside.rtp.ssrc == ssrc).is_some() {
            self.counts.stray += 1;
        }
        self.place(packet)
    }

    /// One stray packet is no restart (RFC 3550 appendix A.1); a second one that fits to it is.
    fn set_aside(&mut self, packet: VideoPacket) -> Pushed {
        let Some(first) = self.aside.take() else {
            self.aside = Some(packet);
            return Pushed::Aside;
        };
        let step = distance(packet.rtp.sequence, first.rtp.sequence).unsigned_abs();
        if first.rtp.ssrc != packet.rtp.ssrc || step == 0 || step > MAX_PACKETS as u64 {
            self.counts.stray += 1;
            self.aside = Some(packet);
            return Pushed::Aside;
        }
        if let Some(old) = self.ssrc.filter(|old| *old != packet.rtp.ssrc) {
            self.former = Some((old, packet.rtp.arrival.saturating_add(FORMER)));
        }
        self.counts.restarts += 1;
        self.give_up(self.window.len(), |counts| &mut counts.incomplete);
        self.clear_window();
        self.continuity.reset();
        self.begin(first);
        self.place(packet);
        Pushed::Restarted
    }

    /// The first packet of a stream.
    fn begin(&mut self, packet: VideoPacket) {
        self.ssrc = Some(packet.rtp.ssrc);
        self.newest = packet.rtp.sequence.wrapping_sub(1);
        self.window.restart((1 << 32) + i64::from(packet.rtp.sequence));
        self.place(packet);
    }

    /// Where in `arrived` the mark of a sequence number is.
    fn mark_of(sequence: i64) -> (usize, u64) {
        let place = sequence.rem_euclid(REMEMBERED as i64) as usize;
        (place / 64, 1 << (place % 64))
    }

    fn place(&mut self, packet: VideoPacket) -> Pushed {
        let now = packet.rtp.arrival;
        let step = distance(packet.rtp.sequence, self.newest);
        let newest = self.window.end() - 1;
        let sequence = newest + step;
        let (word, mark) = Self::mark_of(sequence);
        if step <= 0 && self.arrived[word] & mark != 0 {
            self.counts.duplicates += 1;
            return Pushed::Duplicate;
        }
        if sequence < self.window.head() {
            // At the start of a stream the first packet is not always the first to arrive.
            let earlier = (self.window.head() - sequence) as usize;
            if !self.fresh || self.window.len() + earlier > MAX_PACKETS {
                self.arrived[word] |= mark;
                self.counts.late += 1;
                return Pushed::Late;
            }
            self.window.extend_front(earlier, now);
            self.scanned = 0;
        }
        for skipped in newest + 1..=sequence {
            let (word, mark) = Self::mark_of(skipped);
            self.arrived[word] &= !mark;
            self.window.extend_back(now);
        }
        self.arrived[word] |= mark;
        if step > 0 {
            self.newest = packet.rtp.sequence;
        }
        let index = (sequence - self.window.head()) as usize;
        let slot = self.read(packet);
        self.window.put(index, slot);
        self.keep_bounds(index);
        Pushed::Taken
    }

    fn read(&mut self, packet: VideoPacket) -> Slot {
        if packet.rtp.payload.is_empty() {
            self.counts.padding += 1;
            return Slot::Empty;
        }
        let PayloadKind::Media(codec) = self.types.kind(packet.rtp.payload_type) else {
            self.counts.unknown += 1;
            return Slot::Empty;
        };
        let piece = codec.parse(&packet.rtp.payload);
        self.counts.malformed += u64::from(piece.is_none());
        let malformed = piece.is_none();
        let mut piece = piece.unwrap_or_default();
        // AV1 and H264 do not say where every frame starts.
        if matches!(codec, Codec::Av1 | Codec::H264)
            && descriptor::mandatory(&packet.descriptor).is_some_and(|head| head.starts)
        {
            piece.begins = true;
        }
        Slot::Packet(Held { packet, codec, piece, malformed })
    }

    /// Drops from the front until no bound is exceeded. `index`: where a packet was just put.
    fn keep_bounds(&mut self, index: usize) {
        let mut more_frames = self.window.missing() > 0 && !self.window.extends_frame(index);
        loop {
            let too_large = self.window.len() > MAX_PACKETS || self.window.bytes() > MAX_BYTES;
            let excess = too_large || (more_frames && self.window.unfinished(self.at_start) > MAX_UNFINISHED);
            if !excess {
                return;
            }
            self.skip(|counts| &mut counts.overflow);
            more_frames = true;
        }
    }

    /// The next frame that is whole and can be decoded; call until `None`. `transform` processes it before its content
    /// is read. Missing packets are given up at their deadlines, so call this at [`Assembler::deadline`], too.
    pub fn poll(
        &mut self,
        now: Duration,
        transform: &mut dyn FnMut(Codec, &mut EncodedFrame) -> Result<(), Refused>,
    ) -> Option<VideoFrame> {
        loop {
            while let Some(Slot::Empty) = self.window.get(0) {
                self.remove();
            }
            if self.window.len() == 0 {
                return None;
            }
            if self.waiting && self.window.has_key_packets() {
                if let Some(key) = self.window.find_key_frame(self.at_start).filter(|key| *key > 0) {
                    self.give_up(key, |counts| &mut counts.incomplete);
                    self.at_start = true;
                }
            }
            match self.front() {
                Some(Front::Whole(length)) => {
                    if let Some(frame) = self.take(length, transform) {
                        return Some(frame);
                    }
                    continue;
                }
                Some(_) => {}
                // The rest of a frame whose start is lost.
                None if !self.fresh => {
                    self.drop_one();
                    continue;
                }
                None => {}
            }
            if self.deadline().is_none_or(|deadline| now < deadline) {
                return None;
            }
            self.skip(|counts| &mut counts.incomplete);
        }
    }

    /// When [`Assembler::poll`] next has something to do without a new packet.
    pub fn deadline(&self) -> Option<Duration> {
        if let Some(first) = self.window.held_at(0).filter(|first| self.fresh && !self.at_start && !first.piece.begins)
        {
            return Some(first.packet.rtp.arrival.saturating_add(self.wait.min(START_WAIT)));
        }
        self.window.missing_since().map(|since| since.saturating_add(self.wait))
    }

    /// The frame at the front; `None`: its start is not known to be there.
    fn front(&mut self) -> Option<Front> {
        let Some(first) = self.window.held_at(0) else { return Some(Front::Gap(0)) };
        let new_frame = self.broken.is_some_and(|broken| broken != first.timestamp());
        if !(self.at_start || new_frame || first.piece.begins) {
            return None;
        }
        self.at_start = true;
        let front = self.window.scan(0, self.scanned);
        self.scanned = match front {
            Front::Whole(_) => 0,
            Front::Gap(at) => at,
            Front::Open => self.window.len(),
        };
        Some(front)
    }

    /// Gives up what is missing at the front: drops everything up to the next frame whose start is known.
    fn skip(&mut self, cause: fn(&mut Counts) -> &mut u64) {
        let next = self.window.next_start();
        self.give_up(next.unwrap_or(self.window.len()), cause);
        if next.is_some() {
            self.at_start = true;
        }
    }

    /// Drops the first packet, which is part of a frame that was given up already.
    fn drop_one(&mut self) {
        if let Some(Slot::Packet(held)) = self.remove() {
            (self.at_start, self.broken) = (held.packet.rtp.marker, Some(held.timestamp()));
        }
        self.unbroken = false;
    }

    fn remove(&mut self) -> Option<Slot> {
        self.scanned = self.scanned.saturating_sub(1);
        self.window.pop()
    }

    /// Drops the first `count` slots, and counts the frames of which there are packets in them.
    fn give_up(&mut self, count: usize, cause: fn(&mut Counts) -> &mut u64) {
        let (mut frames, mut last) = (0, self.broken);
        for _ in 0..count {
            match self.remove() {
                Some(Slot::Packet(held)) => {
                    frames += u32::from(last != Some(held.timestamp()));
                    last = Some(held.timestamp());
                    self.at_start = held.packet.rtp.marker;
                }
                Some(Slot::Missing(_)) => self.at_start = false,
                _ => {}
            }
        }
        if count > 0 {
            self.fresh = false;
            self.broken = last;
            self.unbroken = false;
            self.scanned = 0;
            self.lost = self.lost.saturating_add(frames);
            *cause(&mut self.counts) += u64::from(frames);
        }
    }

    /// Takes the whole frame of the first `length` slots; `None` if it is not handed out.
    fn take(
        &mut self,
        length: usize,
        transform: &mut dyn FnMut(Codec, &mut EncodedFrame) -> Result<(), Refused>,
    ) -> Option<VideoFrame> {
        let Some(picture) = self.picture(length) else {
            return self.leave_out(length, |counts| &mut counts.corrupt, true);
        };
        match self.continuity.judge(&picture, self.unbroken, self.waiting) {
            Verdict::Decodable => {}
            Verdict::Skip => return self.leave_out(length, |counts| &mut counts.undecodable, false),
            Verdict::Broken => return self.leave_out(length, |counts| &mut counts.undecodable, true),
        }
        let Some((mut frame, rotation)) = self.join(length, &picture) else {
            return self.leave_out(length, |counts| &mut counts.corrupt, picture.piece.temporal == 0);
        };
        if transform(picture.codec, &mut frame).is_err() {
            return self.leave_out(length, |counts| &mut counts.refused, picture.piece.temporal == 0);
        }
        let missing = self.continuity.missing(&picture).filter(|_| !self.unbroken && !frame.key).unwrap_or(0);
        frame.lost_before = std::mem::take(&mut self.lost).max(missing);
        frame.begins = std::mem::take(&mut self.begins);
        if frame.begins {
            // What was sent before the first key frame is not lost.
            frame.lost_before = 0;
        }
        self.continuity.accept(&picture);
        for _ in 0..length {
            self.remove();
        }
        (self.at_start, self.broken, self.fresh) = (true, None, false);
        (self.unbroken, self.waiting, self.scanned) = (true, false, 0);
        self.counts.frames += 1;
        self.rotation = rotation.unwrap_or(if frame.key { Rotation::None } else { self.rotation });
        let mut blank = false;
        if frame.key {
            self.counts.key_frames += 1;
            // With several spatial layers the payload begins with the lowest.
            let size = picture.piece.size.filter(|_| picture.piece.spatial > 0);
            let size = size.or_else(|| picture.codec.key_frame_size(&frame.payload)).or(picture.piece.size);
            blank = size.is_some_and(Size::is_blank);
            if !blank {
                self.size = size.or(self.size);
            }
        }
        self.counts.blank += u64::from(blank);
        Some(VideoFrame { frame, codec: picture.codec, size: self.size, rotation: self.rotation, blank })
    }

    /// What the packets of the first `length` slots say together; `None` if one of them is malformed.
    fn picture(&mut self, length: usize) -> Option<Picture> {
        let mut packets = self.window.packets(length).map(|held| (held.codec, held.piece, held.malformed));
        let (codec, mut piece, mut malformed) = packets.next()?;
        for (_, other, is_malformed) in packets {
            malformed |= is_malformed;
            piece.key |= other.key;
            piece.parameters |= other.parameters;
            piece.spatial = piece.spatial.max(other.spatial);
            piece.size = piece.size.or(other.size);
            piece.picture = piece.picture.or(other.picture);
        }
        let descriptors = self.window.packets(length).map(|held| &held.packet.descriptor);
        piece.key |= self.continuity.describe(descriptors) && codec == Codec::Av1;
        if codec == Codec::Vp9 && piece.key && piece.spatial > 0 {
            let payloads = self.window.packets(length).map(|held| &held.packet.rtp.payload);
            piece.size = payloads.filter_map(|payload| vp9::layer_size(payload, piece.spatial)).next();
        }
        (!malformed).then_some(Picture { codec, piece })
    }

    /// Joins the first `length` slots.
    fn join(&self, length: usize, picture: &Picture) -> Option<(EncodedFrame, Option<Rotation>)> {
        let packets = || self.window.packets(length);
        let (first, last) = (packets().next()?, packets().next_back()?);
        let single = std::ptr::eq(first, last) && matches!(picture.codec, Codec::Vp8 | Codec::Vp9);
        let payload = if single {
            first.packet.rtp.payload.slice(usize::from(first.piece.start)..)
        } else {
            let (count, bytes) =
                packets().fold((0, 0), |(count, bytes), held| (count + 1, bytes + held.packet.rtp.payload.len()));
            let mut joined = Vec::with_capacity(bytes + 4 * count);
            let parts = packets().map(|held| (&held.packet.rtp.payload, &held.piece));
            if !picture.codec.join(parts, &mut joined) || joined.is_empty() {
                return None;
            }
            Bytes::from(joined)
        };
        let frame = EncodedFrame {
            payload,
            rtp_time: first.timestamp(),
            arrival: packets().map(|held| held.packet.rtp.arrival).max().unwrap_or_default(),
            capture_time: packets().find_map(|held| held.packet.rtp.capture_time),
            key: picture.piece.key,
            layer: Layer { stream: 0, spatial: picture.piece.spatial, temporal: picture.piece.temporal },
            ssrc: last.packet.rtp.ssrc,
            sequence: last.packet.rtp.sequence,
            ..EncodedFrame::default()
        };
        Some((frame, packets().filter_map(|held| held.packet.rotation).next_back()))
    }

    /// Drops a whole frame. `broken`: later ones need it.
    fn leave_out(&mut self, length: usize, cause: fn(&mut Counts) -> &mut u64, broken: bool) -> Option<VideoFrame> {
        self.give_up(length, cause);
        self.at_start = true;
        self.waiting |= broken;
        None
    }
}

#[cfg(test)]
#[path = "assemble_tests.rs"]
mod tests;

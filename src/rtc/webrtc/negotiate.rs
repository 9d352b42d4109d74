//! Negotiation of one peer connection (RFC 9429): senders, offers, answers, rollbacks, candidates.
//!
//! Part of the engine's module; pure. Must not know: packets, sockets, who asks.

use super::super::candidate::{self, Remote};
use super::super::engine::*;
use super::super::receive::ReceiveLines;
use super::super::refuse::{self, Refused};
use super::super::sdp;
use super::channels::NewChannel;
use super::core::{Core, CoreEvent};
use super::media::{opus, OPUS};
use super::writer::SenderState;
use super::{described, error};
use crate::core::model::PeerKind;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::shared::error::Result as Made;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// Maximum offers created until one is usable.
const MAX_TRIES: usize = 4;
/// Maximum candidates accepted for one remote ICE generation.
const MAX_TRICKLED: usize = 64;

#[derive(Default)]
pub(super) struct Negotiation {
    senders: Vec<Sender>,
    /// M-lines of offers on which the remote peer sends.
    receive: ReceiveLines,
    /// Whether there is anything to offer: a sender or a data channel was ever added.
    pub(super) offers: bool,
    remote_ufrag: String,
    /// Whether a negotiation was ever finished.
    done: bool,
    /// Candidates accepted for the current remote ICE generation.
    trickled: usize,
    /// M-lines reported as unplayable: mid, stream and track.
    foreign_reported: HashSet<(String, String, String)>,
}

struct Sender {
    spec: AudioSenderSpec,
    sender_state: Arc<SenderState>,
    /// An offer with it was returned.
    offered: bool,
}

/// An offer with the parts from which `peer` makes handles.
pub(super) struct Offered {
    pub(super) sdp: String,
    pub(super) mids: Vec<String>,
    pub(super) senders: Vec<(String, Arc<SenderState>)>,
    pub(super) channels: Vec<(String, NewChannel)>,
}

impl Negotiation {
    /// The sender with this SSRC.
    pub(super) fn sender_state(&self, ssrc: u32) -> Option<Arc<SenderState>> {
        self.senders.iter().find(|sender| sender.sender_state.ssrc == ssrc).map(|sender| sender.sender_state.clone())
    }
}

fn called<T>(kind: EngineErrorKind, what: &str, result: Made<T>) -> EngineResult<T> {
    result.map_err(|e| described(kind, what, &e))
}

impl Core {
    /// Adds an audio sender: on the m-line of one that has ended, otherwise on a new one (RFC 9429, section 5.2.2).
    pub(super) fn add_audio(
        &mut self,
        now: Instant,
        spec: AudioSenderSpec,
        sender_state: Arc<SenderState>,
    ) -> EngineResult<()> {
        let is_token = |id: &str| !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_graphic());
        if !is_token(&spec.stream_id) || !is_token(&spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "stream and track id must be printable ASCII without spaces"));
        }
        if self.negotiation.senders.iter().any(|sender| sender.spec.track_id == spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "the track id is already in use"));
        }
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(sender_state.ssrc), ..Default::default() },
            active: true,
            codec: opus(),
            ..Default::default()
        };
        let (stream, track) = (spec.stream_id.clone(), spec.track_id.clone());
        let track = MediaStreamTrack::new(stream, track.clone(), track, RtpCodecKind::Audio, vec![encoding]);
        let all: Vec<usize> = self.pc.get_transceivers().collect();
        // A publisher has only audio m-lines on which it sends.
        let is_free =
            |id: &usize| self.pc.rtp_transceiver(*id).is_some_and(|transceiver| transceiver.sender().is_none());
        let free = self.setup.kind == PeerKind::Publisher && all.iter().any(is_free);
        let add = if free {
            // The engine takes the first free one.
            self.pc.add_track(track).map(drop)
        } else {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Sendonly,
                streams: vec![spec.stream_id.clone()],
                send_encodings: vec![],
            };
            self.pc.add_transceiver_from_track(track, Some(init)).map(drop)
        };
        called(EngineErrorKind::Internal, "add a sender", add)?;
        self.negotiation.senders.push(Sender { spec, sender_state, offered: false });
        self.negotiation.offers = true;
        self.settle(now);
        Ok(())
    }

    /// The engine's id of the transceiver that sends a track. Rollbacks may change it.
    fn transceiver(&mut self, track_id: &str) -> Option<usize> {
        let all: Vec<usize> = self.pc.get_transceivers().collect();
        all.into_iter().find(|id| {
            let sender = self.pc.rtp_sender((*id).into());
            sender.is_some_and(|sender| sender.track().track_id() == track_id)
        })
    }

    fn mid(&mut self, track_id: &str) -> EngineResult<Option<String>> {
        let id = self
            .transceiver(track_id)
            .ok_or_else(|| error(EngineErrorKind::Internal, "a sender is missing in the engine"))?;
        Ok(self.pc.rtp_transceiver(id).and_then(|transceiver| transceiver.mid().clone()))
    }

    pub(super) fn remove_audio(&mut self, now: Instant, track_id: &str) -> EngineResult<()> {
        let position = self.negotiation.senders.iter().position(|sender| sender.spec.track_id == track_id);
        let Some(at) = position else { return Ok(()) };
        if let Some(id) = self.transceiver(track_id) {
            let remove = self.pc.remove_track(id.into());
            called(EngineErrorKind::Internal, "remove a sender", remove)?;
        }
        self.negotiation.senders.remove(at).sender_state.stop();
        self.settle(now);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn ssrc_of(&self, track_id: &str) -> Option<u32> {
        let sender = self.negotiation.senders.iter().find(|sender| sender.spec.track_id == track_id);
        sender.map(|sender| sender.sender_state.ssrc)
    }

    fn note_local(&mut self, sdp: &str) {
        let (index, mid) = sdp::first_accepted(sdp).unwrap_or((0, "0"));
        self.local = (mid.to_owned(), index, sdp::ice_ufrag(sdp).to_owned());
    }

    /// Prepares a remote description for the engine, and records what is new in it.
    fn remote(&mut self, now: Instant, sdp: &str) -> EngineResult<String> {
        let prepared = sdp::prepare_remote(sdp).map_err(|e| error(EngineErrorKind::Invalid, e))?;
        if let Some(limit) = sdp::max_message_size(sdp) {
            self.channels.limit(limit);
        }
        self.setup.trace.remote_description(&prepared);
        let ufrag = sdp::ice_ufrag(&prepared);
        let n = &mut self.negotiation;
        if n.remote_ufrag != ufrag {
            n.remote_ufrag = ufrag.to_owned();
            n.trickled = 0;
            self.restarted_remotely(now);
        }
        for address in sdp::candidates(&prepared).filter_map(|candidate| candidate.udp()) {
            self.reach(address.ip());
        }
        for (candidate, address) in sdp::tcp_candidates(sdp) {
            self.tcp_candidate(now, address, candidate);
        }
        Ok(prepared)
    }

    /// Drops the pending description in the engine.
    fn undo(&mut self, now: Instant) -> EngineResult<()> {
        let remote = self.pc.pending_remote_description().is_some();
        if remote && !self.negotiation.done && !self.negotiation.offers {
            // The engine starts its transports with the first offer and refuses to start them for another. Nothing
            // binding was sent yet: start over.
            return self.reopen(now);
        }
        let rollback = || called(EngineErrorKind::Internal, "roll back", RTCSessionDescription::rollback(None));
        let undone = if self.pc.pending_local_description().is_some() {
            self.pc.set_local_description(now, rollback()?)
        } else if remote {
            self.pc.set_remote_description(now, rollback()?)
        } else {
            Ok(())
        };
        called(EngineErrorKind::Internal, "roll back", undone)
    }

    /// Applies `wanted` to the publisher and offers the result.
    pub(super) fn offer(&mut self, now: Instant, wanted: &Wanted) -> EngineResult<Offered> {
        let twice = |(n, spec): (usize, &AudioSenderSpec)| {
            wanted.senders[..n].iter().any(|before| before.track_id == spec.track_id)
        };
        if wanted.senders.iter().enumerate().any(twice) {
            return Err(error(EngineErrorKind::Invalid, "the track id is already in use"));
        }
        self.undo(now)?;
        let is_wanted = |sender: &&Sender| wanted.senders.iter().any(|spec| spec.track_id == sender.spec.track_id);
        let gone = self.negotiation.senders.iter().filter(|sender| !is_wanted(sender));
        let gone: Vec<_> = gone.map(|sender| sender.spec.track_id.clone()).collect();
        // Before the removals: a removed sender's m-line must become inactive first; a later offer reuses it.
        for spec in &wanted.senders {
            if !self.negotiation.senders.iter().any(|sender| sender.spec.track_id == spec.track_id) {
                let ssrc = getrandom::u32().map_err(|_| error(EngineErrorKind::System, "no randomness"))?.max(1);
                self.add_audio(now, spec.clone(), Arc::new(SenderState::new(ssrc, spec.red)))?;
            }
        }
        for track_id in gone {
            self.remove_audio(now, &track_id)?;
        }
        for spec in &wanted.channels {
            self.want_channel(now, spec)?;
        }
        let created = self.create_offer(now, wanted.ice_restart);
        if created.is_err() {
            let _ = self.undo(now);
            self.settle(now);
        }
        let (sdp, offered) = created?;
        let sdp = self.negotiation.receive.offer(&sdp, wanted.receive);
        if self.negotiation.receive.any() {
            self.inbound.lock().report_reception();
        }
        let mid = |spec: &AudioSenderSpec| {
            let found = offered.iter().find(|(track_id, _)| *track_id == spec.track_id);
            found.map(|(_, mid)| mid.clone()).unwrap_or_default()
        };
        let mids = wanted.senders.iter().map(mid).collect();
        let new = |sender: &mut Sender| {
            let new = !std::mem::replace(&mut sender.offered, true);
            new.then(|| (sender.spec.track_id.clone(), sender.sender_state.clone()))
        };
        let senders = self.negotiation.senders.iter_mut().filter_map(new).collect();
        Ok(Offered { sdp, mids, senders, channels: self.channels.take_new() })
    }

    /// Offers the current state; returns also the mid of each sender, by track id.
    pub(super) fn create_offer(
        &mut self,
        now: Instant,
        ice_restart: bool,
    ) -> EngineResult<(String, Vec<(String, String)>)> {
        if !self.negotiation.offers {
            return Err(error(EngineErrorKind::Invalid, "there is nothing to offer"));
        }
        let options = ice_restart.then_some(RTCOfferOptions { ice_restart: true });
        let mut tries = 0;
        let text = loop {
            let offer = called(EngineErrorKind::Internal, "create an offer", self.pc.create_offer(options))?;
            let text = offer.sdp.clone();
            self.note_local(&text);
            let set = self.pc.set_local_description(now, offer);
            called(EngineErrorKind::Internal, "set the offer", set)?;
            // The engine numbers new senders on from rolled back offers, but data channels by the number of m-lines:
            // both may get the same mid. After another rollback they do not.
            if sdp::mids_differ(&text) {
                break text;
            }
            self.undo(now)?;
            tries += 1;
            if tries == MAX_TRIES {
                return Err(error(EngineErrorKind::Internal, "the engine's offer has two m-lines with the same mid"));
            }
        };
        self.described_locally(now);
        self.settle(now);
        let senders: Vec<AudioSenderSpec> = self.negotiation.senders.iter().map(|sender| sender.spec.clone()).collect();
        let mut mids = Vec::with_capacity(senders.len());
        let mut described = Vec::with_capacity(senders.len());
        let mut without_red = Vec::new();
        for spec in senders {
            let mid = self.mid(&spec.track_id)?;
            let mid = mid.ok_or_else(|| error(EngineErrorKind::Internal, "a sender has no mid"))?;
            described.push((mid.clone(), spec.stereo, spec.dtx));
            if spec.red == 0 {
                without_red.push(mid.clone());
            }
            mids.push((spec.track_id, mid));
        }
        let text = sdp::without_red(&sdp::describe_senders(&text, &described), &without_red);
        Ok((sdp::offer_passive(&text), mids))
    }

    pub(super) fn set_answer(&mut self, now: Instant, sdp: &str) -> EngineResult<()> {
        let sdp = self.remote(now, sdp)?;
        let Some(offer) = self.pc.pending_local_description() else {
            return Err(error(EngineErrorKind::Invalid, "there is no pending offer"));
        };
        // The engine drops its offer before it matches the m-lines: check them first.
        let (sdp, received) = self.negotiation.receive.split(&sdp).map_err(|e| error(EngineErrorKind::Invalid, e))?;
        if sdp::mids(&offer.sdp) != sdp::mids(&sdp) {
            return Err(error(EngineErrorKind::Invalid, "the answer is for another offer"));
        }
        let answer = called(EngineErrorKind::Invalid, "read the answer", RTCSessionDescription::answer(sdp.clone()))?;
        let set = self.pc.set_remote_description(now, answer);
        called(EngineErrorKind::Invalid, "use the answer", set)?;
        self.negotiation.done = true;
        if self.negotiation.receive.any() {
            self.negotiation.receive.agree();
            self.note_foreign(&received);
            // Without an SSRC nothing is sent on it yet.
            let lines = sdp::receiving(&received).into_iter().filter(|line| !line.ssrcs.is_empty());
            self.inbound.lock().set(lines.collect());
        }
        let senders: Vec<(AudioSenderSpec, Arc<SenderState>)> =
            self.negotiation.senders.iter().map(|sender| (sender.spec.clone(), sender.sender_state.clone())).collect();
        for (spec, sender_state) in senders {
            let mid = self.mid(&spec.track_id)?;
            let red = mid.filter(|_| spec.red > 0).and_then(|mid| sdp::red_payload(&sdp, &mid));
            self.negotiated(&spec.track_id, &sender_state, red);
        }
        self.answered(now);
        self.settle(now);
        Ok(())
    }

    /// Applies the negotiated parameters to a sender; `red`: the payload type in the remote answer.
    fn negotiated(&mut self, track_id: &str, sender_state: &SenderState, red: Option<u8>) {
        let Some(id) = self.transceiver(track_id) else { return sender_state.stop() };
        let sends = self.pc.rtp_transceiver(id).is_some_and(|transceiver| transceiver.current_direction().has_send());
        let Some(mut sender) = self.pc.rtp_sender(id.into()).filter(|_| sends) else { return sender_state.stop() };
        let parameters = sender.get_parameters().rtp_parameters.clone();
        let codec = parameters.codecs.iter().find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(OPUS));
        let level = parameters.header_extensions.iter().find(|extension| extension.uri == sdp::LEVEL_EXTENSION);
        // Only what the engine has agreed to is sent.
        let red = red.filter(|red| parameters.codecs.iter().any(|c| c.payload_type == *red)).unwrap_or(0);
        match codec {
            Some(codec) => sender_state.negotiated(codec.payload_type, level.map_or(0, |level| level.id as u8), red),
            None => sender_state.stop(),
        }
    }

    /// Sets an offer with its candidates and answers it: all of it, or nothing.
    pub(super) fn answer(&mut self, now: Instant, offer: &str, candidates: &[String]) -> EngineResult<LocalAnswer> {
        self.undo(now)?;
        let answered = self.answer_offer(now, offer);
        if answered.is_err() {
            let _ = self.undo(now);
        }
        let mut answer = match answered {
            Ok(sdp) => LocalAnswer { sdp, refused: 0 },
            Err(failed) => {
                self.settle(now);
                return Err(failed);
            }
        };
        for json in candidates {
            answer.refused += usize::from(self.take_candidate(now, json).is_err());
        }
        self.settle(now);
        Ok(answer)
    }

    fn answer_offer(&mut self, now: Instant, offer: &str) -> EngineResult<String> {
        let mut prepared = self.remote(now, offer)?;
        let mut refused = Refused::default();
        if self.setup.options.refuse_data {
            let left;
            (left, refused) = refuse::without_data(&prepared);
            // Nothing is left: the engine is not involved.
            let Some(left) = left else { return Ok(refused.refuse_all()) };
            prepared = left;
        }
        self.note_foreign(&prepared);
        let receiving = sdp::receiving(&prepared);
        let receive_only = sdp::recvonly_mids(offer);
        let sends = !self.negotiation.senders.is_empty();
        if !sends && !receive_only.is_empty() {
            // For an m-line that starts like this, because its track was removed before it was offered, the engine
            // creates a sender and never receives on it. There is nothing to send: let it start as inactive.
            let all: Vec<usize> = self.pc.get_transceivers().collect();
            let mid = |id| self.pc.rtp_transceiver(id).and_then(|transceiver| transceiver.mid().clone());
            let known: Vec<String> = all.into_iter().filter_map(mid).collect();
            let new: Vec<&str> = receive_only.iter().copied().filter(|mid| !known.iter().any(|k| k == mid)).collect();
            prepared = sdp::inactive(&prepared, &new);
        }
        let prepared = sdp::with_ssrcs(&prepared);
        let remote = called(EngineErrorKind::Invalid, "read the offer", RTCSessionDescription::offer(prepared))?;
        let set = self.pc.set_remote_description(now, remote);
        called(EngineErrorKind::Invalid, "use the offer", set)?;
        let answer = called(EngineErrorKind::Invalid, "create an answer", self.pc.create_answer(None))?;
        let mut local_answer = sdp::mirror_stereo(offer, &answer.sdp);
        if !sends {
            local_answer = sdp::inactive(&local_answer, &receive_only);
        }
        // Video is not played: ask the SFU not to send it.
        local_answer = refused.refuse(&sdp::inactive(&local_answer, &sdp::video_mids(offer)));
        self.note_local(&local_answer);
        // The engine accepts only the text that it wrote itself.
        let set = self.pc.set_local_description(now, answer);
        called(EngineErrorKind::Invalid, "set the answer", set)?;
        self.negotiation.done = true;
        self.inbound.lock().set(receiving);
        self.described_locally(now);
        Ok(local_answer)
    }

    pub(super) fn add_candidate(&mut self, now: Instant, json: &str) -> EngineResult<()> {
        self.take_candidate(now, json)?;
        self.settle(now);
        Ok(())
    }

    fn take_candidate(&mut self, now: Instant, json: &str) -> EngineResult<()> {
        let (candidate, address, tcp) = match candidate::parse(json).map_err(|e| error(EngineErrorKind::Invalid, e))? {
            Remote::Nothing => return Ok(()),
            Remote::Udp { candidate, address } => (candidate, address, false),
            Remote::Tcp { candidate, address } => (candidate, address, true),
        };
        if self.negotiation.trickled >= MAX_TRICKLED {
            return Err(error(EngineErrorKind::Invalid, "too many candidates"));
        }
        self.negotiation.trickled += 1;
        self.setup.trace.remote(&candidate);
        if tcp {
            self.tcp_candidate(now, address, &candidate);
            return Ok(());
        }
        self.reach(address.ip());
        let init = RTCIceCandidateInit { candidate, ..Default::default() };
        called(EngineErrorKind::Invalid, "use the candidate", self.pc.add_remote_candidate(init))
    }

    /// Reports audio in unsupported codecs, once for each m-line: none of its packets will be delivered.
    fn note_foreign(&mut self, sdp: &str) {
        for foreign in sdp::foreign_audio(sdp) {
            let key = (foreign.mid.clone(), foreign.stream_id.clone(), foreign.track_id.clone());
            let reported = &mut self.negotiation.foreign_reported;
            if reported.len() >= sdp::MAX_MEDIA || !reported.insert(key) {
                continue;
            }
            self.events.push_back(CoreEvent::Unplayable(Box::new(RemoteTrackInfo {
                kind: MediaKind::Audio,
                stream_id: foreign.stream_id,
                track_id: foreign.track_id,
                rid: String::new(),
                mid: foreign.mid,
                ssrc: 0,
                mime: format!("audio/{}", foreign.codec),
                clock_rate: 0,
                opus_types: Vec::new(),
                red: None,
            })));
        }
    }
}

//! Negotiation of one peer connection (RFC 9429): senders, offers, answers, rollbacks, candidates.
//!
//! Part of the engine's module; pure. Must not know: packets, sockets, who asks.

use super::super::candidate::{self, Remote};
use super::super::engine::*;
use super::super::refuse::{self, Refused};
use super::super::sdp::{self, Receiving};
use super::core::{Core, News};
use super::media::{opus, AUDIO_LEVEL_URI, OPUS};
use super::writer::Line;
use super::{described, error};
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

/// Offers created until one can be used.
const MAX_TRIES: usize = 4;
/// Most candidates taken for one ICE generation of the other side.
const MAX_TRICKLED: usize = 64;

#[derive(Default)]
pub(super) struct Negotiation {
    senders: Vec<Sender>,
    /// Whether there is something to offer: a sender or a data channel was added, ever.
    pub(super) offers: bool,
    remote_offer: String,
    /// What comes when the offer under way is answered.
    receiving: Vec<Receiving>,
    /// What the engine was not shown of it, and whether that is all.
    refused: Refused,
    all_refused: bool,
    /// The answer as we sent it and as the engine wrote it; it takes back only its own.
    answer: Option<(String, String)>,
    remote_ufrag: String,
    /// Whether a negotiation was finished, ever.
    done: bool,
    /// Whether the engine's object is a new one to which candidates must be given again.
    reopened: bool,
    /// Candidates taken for the other side's current ICE generation, and their texts until the first negotiation is
    /// finished.
    trickled: usize,
    kept: Vec<String>,
    /// M-lines reported as unplayable: mid, stream and track.
    foreign_told: HashSet<(String, String, String)>,
}

struct Sender {
    spec: AudioSenderSpec,
    line: Arc<Line>,
}

fn called<T>(kind: EngineErrorKind, what: &str, result: Made<T>) -> EngineResult<T> {
    result.map_err(|e| described(kind, what, &e))
}

impl Core {
    /// Adds a sendonly audio transceiver.
    pub(super) fn add_audio(&mut self, now: Instant, spec: AudioSenderSpec, line: Arc<Line>) -> EngineResult<()> {
        let is_token = |id: &str| !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_graphic());
        if !is_token(&spec.stream_id) || !is_token(&spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "stream and track id must be printable ASCII without spaces"));
        }
        if self.negotiation.senders.iter().any(|sender| sender.spec.track_id == spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "the track id is taken"));
        }
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(line.ssrc), ..Default::default() },
            active: true,
            codec: opus(),
            ..Default::default()
        };
        let (stream, track) = (spec.stream_id.clone(), spec.track_id.clone());
        let track = MediaStreamTrack::new(stream, track.clone(), track, RtpCodecKind::Audio, vec![encoding]);
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![spec.stream_id.clone()],
            send_encodings: vec![],
        };
        let add = self.pc.add_transceiver_from_track(track, Some(init));
        called(EngineErrorKind::Internal, "add a sender", add)?;
        self.negotiation.senders.push(Sender { spec, line });
        self.negotiation.offers = true;
        self.settle(now);
        Ok(())
    }

    /// The engine's number of the transceiver that sends a track. Rollbacks may change it.
    fn transceiver(&mut self, track_id: &str) -> Option<usize> {
        let all: Vec<usize> = self.pc.get_transceivers().collect();
        all.into_iter().find(|id| {
            let sender = self.pc.rtp_sender((*id).into());
            sender.is_some_and(|sender| sender.track().track_id() == track_id)
        })
    }

    fn mid(&mut self, track_id: &str) -> EngineResult<Option<String>> {
        let id = self.transceiver(track_id).ok_or_else(|| error(EngineErrorKind::Internal, "a sender is gone"))?;
        Ok(self.pc.rtp_transceiver(id).and_then(|transceiver| transceiver.mid().clone()))
    }

    pub(super) fn remove_audio(&mut self, now: Instant, track_id: &str) -> EngineResult<()> {
        let position = self.negotiation.senders.iter().position(|sender| sender.spec.track_id == track_id);
        let Some(at) = position else { return Ok(()) };
        if let Some(id) = self.transceiver(track_id) {
            let remove = self.pc.remove_track(id.into());
            called(EngineErrorKind::Internal, "remove a sender", remove)?;
        }
        self.negotiation.senders.remove(at).line.stop();
        self.settle(now);
        Ok(())
    }

    fn note_local(&mut self, sdp: &str) {
        let (index, mid) = sdp::first_accepted(sdp).unwrap_or((0, "0"));
        self.local = (mid.to_owned(), index, sdp::ice_ufrag(sdp).to_owned());
    }

    /// Makes a description of the other side fit for the engine, and notes what is new in it.
    fn remote(&mut self, sdp: &str) -> EngineResult<String> {
        let prepared = sdp::prepare_remote(sdp).map_err(|e| error(EngineErrorKind::Invalid, e))?;
        if let Some(limit) = sdp::max_message_size(sdp) {
            self.channels.limit(limit);
        }
        self.setup.trace.remote_description(&prepared);
        let ufrag = sdp::ice_ufrag(&prepared);
        let n = &mut self.negotiation;
        if n.remote_ufrag != ufrag {
            n.remote_ufrag = ufrag.to_owned();
            (n.trickled, n.kept) = (0, Vec::new());
        }
        Ok(prepared)
    }

    /// Notes that both descriptions are set.
    fn finished(&mut self) {
        self.negotiation.done = true;
        self.negotiation.kept = Vec::new();
    }

    /// Drops what is pending, as the engine sees it.
    fn undo(&mut self, now: Instant) -> EngineResult<()> {
        let remote = self.pc.pending_remote_description().is_some();
        if remote && !self.negotiation.done && !self.negotiation.offers {
            // The engine starts its transports with the first offer and refuses to start them for
            // another. Nothing was said yet that binds this side: begin anew.
            self.negotiation.reopened = true;
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

    pub(super) fn rollback(&mut self, now: Instant) -> EngineResult<()> {
        (self.negotiation.answer, self.negotiation.all_refused) = (None, false);
        let undone = self.undo(now);
        self.settle(now);
        undone
    }

    pub(super) fn offer(&mut self, now: Instant, ice_restart: bool) -> EngineResult<LocalOffer> {
        if !self.negotiation.offers {
            return Err(error(EngineErrorKind::Invalid, "there is nothing to offer"));
        }
        let options = ice_restart.then_some(RTCOfferOptions { ice_restart: true });
        let mut tries = 0;
        let text = loop {
            let offer = called(EngineErrorKind::Internal, "create an offer", self.pc.create_offer(options))?;
            let text = offer.sdp.clone();
            self.note_local(&text);
            if let Err(e) = self.pc.set_local_description(now, offer) {
                let _ = self.undo(now);
                self.settle(now);
                return Err(described(EngineErrorKind::Internal, "set the offer", &e));
            }
            // The engine numbers new senders on from what rolled back offers used up, but the data
            // channels by how many m-lines there are: both may get the same mid. After another
            // rollback they do not.
            if sdp::mids_differ(&text) {
                break text;
            }
            self.undo(now)?;
            tries += 1;
            if tries == MAX_TRIES {
                return Err(error(EngineErrorKind::Internal, "the engine's offer names two m-lines alike"));
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
            mids.push(mid);
        }
        let text = sdp::without_red(&sdp::describe_senders(&text, &described), &without_red);
        Ok(LocalOffer { sdp: sdp::offer_passive(&text), mids })
    }

    pub(super) fn set_answer(&mut self, now: Instant, sdp: &str) -> EngineResult<()> {
        let sdp = self.remote(sdp)?;
        let Some(offer) = self.pc.pending_local_description() else {
            return Err(error(EngineErrorKind::Invalid, "there is no offer to answer"));
        };
        // The engine forgets its offer before it looks for the m-lines: look first.
        if sdp::mids(&offer.sdp) != sdp::mids(&sdp) {
            return Err(error(EngineErrorKind::Invalid, "the answer is for another offer"));
        }
        let answer = called(EngineErrorKind::Invalid, "read the answer", RTCSessionDescription::answer(sdp.clone()))?;
        let set = self.pc.set_remote_description(now, answer);
        called(EngineErrorKind::Invalid, "use the answer", set)?;
        self.finished();
        let senders: Vec<(AudioSenderSpec, Arc<Line>)> =
            self.negotiation.senders.iter().map(|sender| (sender.spec.clone(), sender.line.clone())).collect();
        for (spec, line) in senders {
            let mid = self.mid(&spec.track_id)?;
            let red = mid.filter(|_| spec.red > 0).and_then(|mid| sdp::red_payload(&sdp, &mid));
            self.negotiated(&spec.track_id, &line, red);
        }
        self.answered(now);
        self.settle(now);
        Ok(())
    }

    /// Takes over what was negotiated for a sender; `red`: the payload type that the other side answered.
    fn negotiated(&mut self, track_id: &str, line: &Line, red: Option<u8>) {
        let Some(id) = self.transceiver(track_id) else { return line.stop() };
        let sends = self.pc.rtp_transceiver(id).is_some_and(|transceiver| transceiver.current_direction().has_send());
        let Some(mut sender) = self.pc.rtp_sender(id.into()).filter(|_| sends) else { return line.stop() };
        let parameters = sender.get_parameters().rtp_parameters.clone();
        let codec = parameters.codecs.iter().find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(OPUS));
        let level = parameters.header_extensions.iter().find(|extension| extension.uri == AUDIO_LEVEL_URI);
        // Nothing is sent that the engine has not agreed to.
        let red = red.filter(|red| parameters.codecs.iter().any(|c| c.payload_type == *red)).unwrap_or(0);
        match codec {
            Some(codec) => line.negotiated(codec.payload_type, level.map_or(0, |level| level.id as u8), red),
            None => line.stop(),
        }
    }

    pub(super) fn set_offer(&mut self, now: Instant, sdp: String) -> EngineResult<()> {
        self.negotiation.answer = None;
        let mut prepared = self.remote(&sdp)?;
        let n = &mut self.negotiation;
        (n.refused, n.all_refused) = (Refused::default(), false);
        if self.setup.options.refuse_data {
            let (left, refused) = refuse::without_data(&prepared);
            n.refused = refused;
            let Some(left) = left else {
                (n.remote_offer, n.all_refused) = (sdp, true);
                return Ok(());
            };
            prepared = left;
        }
        self.note_foreign(&prepared);
        let receiving = sdp::receiving(&prepared);
        let unheard = sdp::recvonly_mids(&sdp);
        if self.negotiation.senders.is_empty() && !unheard.is_empty() {
            // For an m-line that begins like this, because its track went before it was offered, the engine
            // makes a sender, and never receives on it. We have nothing to send: let it begin as inactive.
            let all: Vec<usize> = self.pc.get_transceivers().collect();
            let mid = |id| self.pc.rtp_transceiver(id).and_then(|transceiver| transceiver.mid().clone());
            let known: Vec<String> = all.into_iter().filter_map(mid).collect();
            let new: Vec<&str> = unheard.into_iter().filter(|mid| !known.iter().any(|k| k == mid)).collect();
            prepared = sdp::inactive(&prepared, &new);
        }
        let prepared = sdp::with_ssrcs(&prepared);
        let offer = called(EngineErrorKind::Invalid, "read the offer", RTCSessionDescription::offer(prepared))?;
        if let Err(e) = self.pc.set_remote_description(now, offer) {
            let _ = self.undo(now);
            self.settle(now);
            return Err(described(EngineErrorKind::Invalid, "use the offer", &e));
        }
        (self.negotiation.remote_offer, self.negotiation.receiving) = (sdp, receiving);
        if std::mem::take(&mut self.negotiation.reopened) {
            for candidate in self.negotiation.kept.clone() {
                let init = RTCIceCandidateInit { candidate, ..Default::default() };
                let add = self.pc.add_remote_candidate(init);
                called(EngineErrorKind::Invalid, "use a candidate again", add)?;
            }
        }
        self.settle(now);
        Ok(())
    }

    pub(super) fn create_answer(&mut self) -> EngineResult<String> {
        let n = &mut self.negotiation;
        if n.all_refused {
            let ours = n.refused.refuse_all();
            n.answer = Some((ours.clone(), String::new()));
            return Ok(ours);
        }
        let answer = called(EngineErrorKind::Invalid, "create an answer", self.pc.create_answer(None))?;
        let mut ours = sdp::mirror_stereo(&n.remote_offer, &answer.sdp);
        if n.senders.is_empty() {
            ours = sdp::inactive(&ours, &sdp::recvonly_mids(&n.remote_offer));
        }
        // Nobody here plays video: it is not to be sent.
        ours = n.refused.refuse(&sdp::inactive(&ours, &sdp::video_mids(&n.remote_offer)));
        n.answer = Some((ours.clone(), answer.sdp));
        Ok(ours)
    }

    pub(super) fn set_local_answer(&mut self, now: Instant, sdp: &str) -> EngineResult<()> {
        let engines = match self.negotiation.answer.take() {
            Some((ours, engines)) if sdp == ours => engines,
            _ => return Err(error(EngineErrorKind::Invalid, "not the answer that was created last")),
        };
        if std::mem::take(&mut self.negotiation.all_refused) {
            return Ok(());
        }
        self.note_local(sdp);
        let answer = called(EngineErrorKind::Internal, "read the answer", RTCSessionDescription::answer(engines))?;
        let set = self.pc.set_local_description(now, answer);
        called(EngineErrorKind::Invalid, "set the answer", set)?;
        self.finished();
        let receiving = std::mem::take(&mut self.negotiation.receiving);
        self.inbound.lock().set(receiving);
        self.described_locally(now);
        self.settle(now);
        Ok(())
    }

    pub(super) fn add_candidate(&mut self, now: Instant, json: &str) -> EngineResult<()> {
        let candidate = match candidate::parse(json).map_err(|e| error(EngineErrorKind::Invalid, e))? {
            Remote::Nothing => return Ok(()),
            Remote::Use { candidate, .. } => candidate,
        };
        if self.negotiation.trickled >= MAX_TRICKLED {
            return Err(error(EngineErrorKind::Invalid, "too many candidates"));
        }
        self.negotiation.trickled += 1;
        self.setup.trace.remote(&candidate);
        let init = RTCIceCandidateInit { candidate: candidate.clone(), ..Default::default() };
        called(EngineErrorKind::Invalid, "use the candidate", self.pc.add_remote_candidate(init))?;
        let n = &mut self.negotiation;
        if !n.done && n.kept.len() < MAX_TRICKLED {
            n.kept.push(candidate);
        }
        self.settle(now);
        Ok(())
    }

    /// Tells of sound in codecs that nobody here takes, once for each m-line: no packet of it will come.
    fn note_foreign(&mut self, sdp: &str) {
        for foreign in sdp::foreign_audio(sdp) {
            let key = (foreign.mid.clone(), foreign.stream_id.clone(), foreign.track_id.clone());
            let told = &mut self.negotiation.foreign_told;
            if told.len() >= sdp::MAX_MEDIA || !told.insert(key) {
                continue;
            }
            self.news.push_back(News::Unplayable(RemoteTrackInfo {
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
            }));
        }
    }
}

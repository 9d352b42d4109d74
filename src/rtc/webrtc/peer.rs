//! One peer connection: negotiation, candidates, statistics, its end.
//!
//! Part of the engine's module. Must not know: packets, sockets, tasks.

use super::super::candidate::{self, Remote};
use super::super::engine::*;
use super::super::sdp;
use super::channel;
use super::media::opus;
use super::writer::Writer;
use super::{closed, described, error, Shared, CALL_TIMEOUT, CLOSE_TIMEOUT};
use async_trait::async_trait;
use parking_lot::Mutex;
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use std::sync::atomic::AtomicU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::peer_connection::{
    PeerConnection, RTCIceCandidateInit, RTCSessionDescription, RTCStatsReportEntry, StatsSelector,
};
use webrtc::rtp_transceiver::RtpTransceiver;

/// Offers created until one can be used.
const MAX_TRIES: usize = 4;
/// Most candidates taken for one ICE generation of the other side.
const MAX_TRICKLED: usize = 64;

#[derive(Default)]
struct Negotiation {
    senders: Vec<Sender>,
    /// Whether there is something to offer: a sender or a data channel was added, ever.
    offers: bool,
    remote_offer: String,
    /// The answer as we sent it and as the engine wrote it; it takes back only its own.
    answer: Option<(String, String)>,
    remote_ufrag: String,
    /// Whether a negotiation was finished, ever.
    done: bool,
    /// Whether the engine's object is a new one to which candidates must be given again.
    reopened: bool,
}

/// Candidates taken for the other side's current ICE generation.
#[derive(Default)]
struct Trickled {
    count: usize,
    /// Their texts, kept until the first negotiation is finished.
    kept: Vec<String>,
    done: bool,
}

struct Sender {
    spec: AudioSenderSpec,
    transceiver: Arc<dyn RtpTransceiver>,
    writer: Arc<Writer>,
}

pub(super) struct PcPeer {
    shared: Arc<Shared>,
    negotiation: AsyncMutex<Negotiation>,
    trickled: Mutex<Trickled>,
}

impl Drop for PcPeer {
    fn drop(&mut self) {
        self.shared.start_close();
    }
}

impl PcPeer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, negotiation: AsyncMutex::default(), trickled: Mutex::default() }
    }

    async fn negotiation(&self) -> EngineResult<tokio::sync::MutexGuard<'_, Negotiation>> {
        match tokio::time::timeout(CALL_TIMEOUT, self.negotiation.lock()).await {
            Ok(_) if self.shared.gate.is_closing() => Err(closed()),
            Ok(guard) => Ok(guard),
            Err(_) => Err(error(EngineErrorKind::Internal, "another negotiation of this peer connection hangs")),
        }
    }

    fn remote(&self, n: &mut Negotiation, sdp: &str) -> EngineResult<String> {
        let prepared = sdp::prepare_remote(sdp).map_err(|e| error(EngineErrorKind::Invalid, e))?;
        if let Some(limit) = sdp::max_message_size(sdp) {
            self.shared.channels.limit(limit);
        }
        let ufrag = sdp::ice_ufrag(&prepared);
        if n.remote_ufrag != ufrag {
            n.remote_ufrag = ufrag.to_owned();
            let mut trickled = self.trickled.lock();
            (trickled.count, trickled.kept) = (0, Vec::new());
        }
        Ok(prepared)
    }

    /// The mids that the engine knows.
    async fn mids(&self, pc: &Arc<dyn PeerConnection>) -> EngineResult<Vec<String>> {
        let read = async {
            let mut mids = Vec::new();
            for transceiver in pc.get_transceivers().await {
                mids.extend(transceiver.mid().await?);
            }
            Ok(mids)
        };
        self.shared.call(EngineErrorKind::Internal, "read mids", read).await
    }

    /// Notes that both descriptions are set.
    fn finished(&self, n: &mut Negotiation) {
        n.done = true;
        let mut trickled = self.trickled.lock();
        (trickled.done, trickled.kept) = (true, Vec::new());
    }

    /// Drops what is pending, as the engine sees it.
    async fn undo(&self, pc: &Arc<dyn PeerConnection>, n: &mut Negotiation) -> EngineResult<()> {
        let remote = async { Ok(pc.pending_remote_description().await.is_some()) };
        let remote = self.shared.call(EngineErrorKind::Internal, "roll back", remote).await?;
        if remote && !n.done && !n.offers {
            // The engine starts its transports with the first offer and refuses to start them for
            // another. Nothing was said yet that binds this side: begin anew.
            n.reopened = true;
            return self.shared.open().await;
        }
        let undo = async {
            let rollback = RTCSessionDescription::rollback(None)?;
            if pc.pending_local_description().await.is_some() {
                pc.set_local_description(rollback).await
            } else if remote {
                pc.set_remote_description(rollback).await
            } else {
                Ok(())
            }
        };
        self.shared.call(EngineErrorKind::Internal, "roll back", undo).await
    }
}

#[async_trait]
impl Peer for PcPeer {
    async fn add_audio(&self, spec: AudioSenderSpec) -> EngineResult<Arc<dyn RtpWriter>> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let is_token = |id: &str| !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_graphic());
        if !is_token(&spec.stream_id) || !is_token(&spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "stream and track id must be printable ASCII without spaces"));
        }
        if n.senders.iter().any(|sender| sender.spec.track_id == spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "the track id is taken"));
        }
        let ssrc = getrandom::u32().map_err(|_| error(EngineErrorKind::System, "no randomness"))?.max(1);
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            active: true,
            codec: opus(),
            ..Default::default()
        };
        let (stream, track) = (spec.stream_id.clone(), spec.track_id.clone());
        let track = MediaStreamTrack::new(stream, track.clone(), track, RtpCodecKind::Audio, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![spec.stream_id.clone()],
            send_encodings: vec![],
        };
        let add = pc.add_transceiver_from_track(track.clone(), Some(init));
        let transceiver = self.shared.call(EngineErrorKind::Internal, "add a sender", add).await?;
        let writer = Arc::new(Writer { track, ssrc, gate: self.shared.gate.clone(), negotiated: AtomicU32::new(0) });
        n.senders.push(Sender { spec, transceiver, writer: writer.clone() });
        n.offers = true;
        Ok(writer)
    }

    async fn remove_audio(&self, track_id: &str) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let Some(at) = n.senders.iter().position(|sender| sender.spec.track_id == track_id) else {
            return Ok(());
        };
        let remove = async {
            match n.senders[at].transceiver.sender().await? {
                Some(sender) => pc.remove_track(&sender).await,
                None => Ok(()),
            }
        };
        self.shared.call(EngineErrorKind::Internal, "remove a sender", remove).await?;
        n.senders.remove(at).writer.stop();
        Ok(())
    }

    async fn add_channel(&self, spec: DataChannelSpec) -> EngineResult<Arc<dyn DataWriter>> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let writer = channel::add(&self.shared, &pc, spec).await?;
        n.offers = true;
        Ok(writer)
    }

    async fn offer(&self, ice_restart: bool) -> EngineResult<LocalOffer> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        if !n.offers {
            return Err(error(EngineErrorKind::Invalid, "there is nothing to offer"));
        }
        let shared = &self.shared;
        let options = ice_restart.then_some(RTCOfferOptions { ice_restart: true });
        let mut tries = 0;
        let text = loop {
            let create = pc.create_offer(options);
            let offer = shared.call(EngineErrorKind::Internal, "create an offer", create).await?;
            let text = offer.sdp.clone();
            shared.note_local(&text);
            let set = pc.set_local_description(offer);
            if let Err(e) = shared.call(EngineErrorKind::Internal, "set the offer", set).await {
                let _ = self.undo(&pc, &mut n).await;
                return Err(e);
            }
            // The engine numbers new senders on from what rolled back offers used up, but the data
            // channels by how many m-lines there are: both may get the same mid. After another
            // rollback they do not.
            if sdp::mids_differ(&text) {
                break text;
            }
            self.undo(&pc, &mut n).await?;
            tries += 1;
            if tries == MAX_TRIES {
                return Err(error(EngineErrorKind::Internal, "the engine's offer names two m-lines alike"));
            }
        };
        let mut mids = Vec::with_capacity(n.senders.len());
        let mut described = Vec::with_capacity(n.senders.len());
        for sender in &n.senders {
            let mid = shared.call(EngineErrorKind::Internal, "read a mid", sender.transceiver.mid()).await?;
            let mid = mid.ok_or_else(|| error(EngineErrorKind::Internal, "a sender has no mid"))?;
            described.push((mid.clone(), sender.spec.stereo, sender.spec.dtx));
            mids.push(mid);
        }
        Ok(LocalOffer { sdp: sdp::offer_passive(&sdp::describe_senders(&text, &described)), mids })
    }

    async fn set_answer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let sdp = self.remote(&mut n, &sdp)?;
        let shared = &self.shared;
        let pending = async { Ok(pc.pending_local_description().await) };
        let Some(offer) = shared.call(EngineErrorKind::Internal, "read the offer", pending).await? else {
            return Err(error(EngineErrorKind::Invalid, "there is no offer to answer"));
        };
        // The engine forgets its offer before it looks for the m-lines: look first.
        if sdp::mids(&offer.sdp) != sdp::mids(&sdp) {
            return Err(error(EngineErrorKind::Invalid, "the answer is for another offer"));
        }
        let answer = RTCSessionDescription::answer(sdp)
            .map_err(|e| described(EngineErrorKind::Invalid, "read the answer", &e))?;
        shared.call(EngineErrorKind::Invalid, "use the answer", pc.set_remote_description(answer)).await?;
        self.finished(&mut n);
        for sender in &n.senders {
            sender.writer.negotiate(shared, &sender.transceiver).await?;
        }
        Ok(())
    }

    async fn rollback(&self) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        n.answer = None;
        self.undo(&pc, &mut n).await
    }

    async fn set_offer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        n.answer = None;
        let mut prepared = self.remote(&mut n, &sdp)?;
        let unheard = sdp::recvonly_mids(&sdp);
        if n.senders.is_empty() && !unheard.is_empty() {
            // For an m-line that begins like this, because its track went before it was offered, the engine
            // makes a sender, and never receives on it. We have nothing to send: let it begin as inactive.
            let known = self.mids(&pc).await?;
            let new: Vec<&str> = unheard.into_iter().filter(|mid| !known.iter().any(|k| k == mid)).collect();
            prepared = sdp::inactive(&prepared, &new);
        }
        let offer = RTCSessionDescription::offer(prepared)
            .map_err(|e| described(EngineErrorKind::Invalid, "read the offer", &e))?;
        let set = self.shared.call(EngineErrorKind::Invalid, "use the offer", pc.set_remote_description(offer)).await;
        if let Err(e) = set {
            let _ = self.undo(&pc, &mut n).await;
            return Err(e);
        }
        n.remote_offer = sdp;
        if std::mem::take(&mut n.reopened) {
            let kept = self.trickled.lock().kept.clone();
            for candidate in kept {
                let init = RTCIceCandidateInit { candidate, ..Default::default() };
                let add = pc.add_ice_candidate(init);
                self.shared.call(EngineErrorKind::Invalid, "use a candidate again", add).await?;
            }
        }
        Ok(())
    }

    async fn create_answer(&self) -> EngineResult<String> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let answer = self.shared.call(EngineErrorKind::Invalid, "create an answer", pc.create_answer(None)).await?;
        let mut ours = sdp::mirror_stereo(&n.remote_offer, &answer.sdp);
        if n.senders.is_empty() {
            ours = sdp::inactive(&ours, &sdp::recvonly_mids(&n.remote_offer));
        }
        n.answer = Some((ours.clone(), answer.sdp));
        Ok(ours)
    }

    async fn set_local_answer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let engines = match n.answer.take() {
            Some((ours, engines)) if sdp == ours => engines,
            _ => return Err(error(EngineErrorKind::Invalid, "not the answer that was created last")),
        };
        self.shared.note_local(&engines);
        let answer = RTCSessionDescription::answer(engines)
            .map_err(|e| described(EngineErrorKind::Internal, "read the answer", &e))?;
        self.shared.call(EngineErrorKind::Invalid, "set the answer", pc.set_local_description(answer)).await?;
        self.finished(&mut n);
        Ok(())
    }

    async fn add_candidate(&self, json: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let candidate = match candidate::parse(&json).map_err(|e| error(EngineErrorKind::Invalid, e))? {
            Remote::Nothing => return Ok(()),
            Remote::Use { candidate, .. } => candidate,
        };
        {
            let mut trickled = self.trickled.lock();
            if trickled.count >= MAX_TRICKLED {
                return Err(error(EngineErrorKind::Invalid, "too many candidates"));
            }
            trickled.count += 1;
        }
        let init = RTCIceCandidateInit { candidate: candidate.clone(), ..Default::default() };
        self.shared.call(EngineErrorKind::Invalid, "use the candidate", pc.add_ice_candidate(init)).await?;
        let mut trickled = self.trickled.lock();
        if !trickled.done && trickled.kept.len() < MAX_TRICKLED {
            trickled.kept.push(candidate);
        }
        Ok(())
    }

    async fn stats_json(&self) -> EngineResult<String> {
        let pc = self.shared.pc()?;
        let stats = async { Ok(pc.get_stats(Instant::now(), StatsSelector::None).await) };
        let report = self.shared.call(EngineErrorKind::Internal, "read statistics", stats).await?;
        let entries: Vec<serde_json::Value> = report
            .iter()
            .filter_map(|entry| match entry {
                RTCStatsReportEntry::Transport(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::IceCandidatePair(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::Codec(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::InboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::OutboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::RemoteInboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::RemoteOutboundRtp(s) => serde_json::to_value(s).ok(),
                // Candidates and certificates hold addresses and keys.
                _ => None,
            })
            .map(|mut value| {
                if let Some(object) = value.as_object_mut() {
                    object.remove("iceLocalUsernameFragment");
                    object.remove("localCertificateId");
                    object.remove("remoteCertificateId");
                }
                value
            })
            .collect();
        serde_json::to_string(&entries).map_err(|_| error(EngineErrorKind::Internal, "cannot write statistics"))
    }

    async fn close(&self) {
        let mut done = self.shared.closed.subscribe();
        self.shared.start_close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT + Duration::from_millis(40), done.wait_for(|done| *done)).await;
    }
}

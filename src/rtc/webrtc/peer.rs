//! Implements the trait `Peer` for one peer connection.
//!
//! Part of the engine's module. Must not know: packets, sockets, negotiation.

use super::super::engine::*;
use super::channels::ChannelWriter;
use super::driver::Shared;
use super::error;
use super::negotiate::Offered;
use super::writer::Writer;
use crate::core::model::Path;
use rtc::statistics::report::RTCStatsReportEntry;
use rtc::statistics::StatsSelector;
use std::sync::Arc;

pub(super) struct PcPeer(pub(super) Arc<Shared>);

impl Drop for PcPeer {
    fn drop(&mut self) {
        self.0.start_close();
    }
}

impl Peer for PcPeer {
    fn offer(&self, wanted: &Wanted) -> EngineResult<LocalOffer> {
        let Offered { sdp, mids, senders, channels } = self.0.call(|core, now| core.offer(now, wanted))?;
        let writer = |sender_state| -> Arc<dyn RtpSender> { Arc::new(Writer { sender_state, shared: self.0.clone() }) };
        let senders = senders.into_iter().map(|(track_id, sender_state)| (track_id, writer(sender_state))).collect();
        let channel =
            |(id, open)| -> Arc<dyn DataWriter> { Arc::new(ChannelWriter { id, open, shared: self.0.clone() }) };
        let channels = channels.into_iter().map(|(label, new)| (label, channel(new))).collect();
        Ok(LocalOffer { sdp, mids, senders, channels })
    }

    fn set_answer(&self, sdp: &str) -> EngineResult<()> {
        self.0.call(|core, now| core.set_answer(now, sdp))
    }

    fn answer(&self, offer: &str, candidates: &[String]) -> EngineResult<LocalAnswer> {
        self.0.call(|core, now| core.answer(now, offer, candidates))
    }

    fn add_candidate(&self, json: &str) -> EngineResult<()> {
        self.0.call(|core, now| core.add_candidate(now, json))
    }

    fn stats_json(&self) -> EngineResult<String> {
        let report = self.0.call(|core, now| Ok(core.pc.get_stats(now, StatsSelector::None)))?;
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
                // Candidates and certificates contain addresses and keys.
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

    fn path(&self) -> Path {
        self.0.trace.path()
    }

    fn pair(&self) -> Option<Pair> {
        self.0.call(|core, _| Ok(core.pair())).ok().flatten()
    }

    fn close(&self) {
        self.0.start_close();
    }
}

//! One peer connection as the trait has it.
//!
//! Part of the engine's module. Must not know: packets, sockets, negotiation.

use super::super::engine::*;
use super::driver::Shared;
use super::writer::{ChannelWriter, Line, Writer};
use super::{error, CLOSE_TIMEOUT};
use crate::core::model::Path;
use async_trait::async_trait;
use rtc::statistics::report::RTCStatsReportEntry;
use rtc::statistics::StatsSelector;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct PcPeer(pub(super) Arc<Shared>);

impl Drop for PcPeer {
    fn drop(&mut self) {
        self.0.start_close();
    }
}

#[async_trait]
impl Peer for PcPeer {
    async fn add_audio(&self, spec: AudioSenderSpec) -> EngineResult<Arc<dyn RtpSender>> {
        let ssrc = getrandom::u32().map_err(|_| error(EngineErrorKind::System, "no randomness"))?.max(1);
        let line = Arc::new(Line::new(ssrc, spec.red));
        self.0.call(|core, now| core.add_audio(now, spec, line.clone()))?;
        Ok(Arc::new(Writer { line, shared: self.0.clone() }))
    }

    async fn remove_audio(&self, track_id: &str) -> EngineResult<()> {
        self.0.call(|core, now| core.remove_audio(now, track_id))
    }

    async fn add_channel(&self, spec: DataChannelSpec) -> EngineResult<Arc<dyn DataWriter>> {
        let (id, open) = self.0.call(|core, now| core.add_channel(now, &spec))?;
        Ok(Arc::new(ChannelWriter { id, open, shared: self.0.clone() }))
    }

    async fn offer(&self, ice_restart: bool) -> EngineResult<LocalOffer> {
        self.0.call(|core, now| core.offer(now, ice_restart))
    }

    async fn set_answer(&self, sdp: String) -> EngineResult<()> {
        self.0.call(|core, now| core.set_answer(now, &sdp))
    }

    async fn rollback(&self) -> EngineResult<()> {
        self.0.call(|core, now| core.rollback(now))
    }

    async fn set_offer(&self, sdp: String) -> EngineResult<()> {
        self.0.call(|core, now| core.set_offer(now, sdp))
    }

    async fn create_answer(&self) -> EngineResult<String> {
        self.0.call(|core, _| core.create_answer())
    }

    async fn set_local_answer(&self, sdp: String) -> EngineResult<()> {
        self.0.call(|core, now| core.set_local_answer(now, &sdp))
    }

    async fn add_candidate(&self, json: String) -> EngineResult<()> {
        self.0.call(|core, now| core.add_candidate(now, &json))
    }

    async fn stats_json(&self) -> EngineResult<String> {
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

    fn path(&self) -> Path {
        self.0.trace.path()
    }

    async fn close(&self) {
        let mut done = self.0.closed.subscribe();
        self.0.start_close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT + Duration::from_millis(40), done.wait_for(|done| *done)).await;
    }
}

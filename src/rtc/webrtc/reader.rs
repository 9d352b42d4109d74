//! Hears the engine's events of one peer connection and reads its remote tracks.
//!
//! Part of the engine's module. Must not know: negotiation, what packets contain.

use super::super::candidate;
use super::super::early::IceUp;
use super::super::engine::*;
use super::channel;
use super::Shared;
use async_trait::async_trait;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::RTCRtpTransceiverId;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tokio::sync::{watch, Notify};
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

/// The engine's event handler: runs on the driver task, so it hands off at once.
pub(super) struct Handler {
    pub(super) shared: Weak<Shared>,
    pub(super) ice: Arc<IceUp>,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let (Some(shared), Ok(init)) = (self.shared.upgrade(), event.candidate.to_json()) else { return };
        let (mid, ufrag) = shared.local.lock().clone();
        shared.gate.candidate(candidate::to_json(&init.candidate, &mid, 0, &ufrag));
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if matches!(state, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed) {
            self.ice.set();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let Some(shared) = self.shared.upgrade() else { return };
        let state = match state {
            RTCPeerConnectionState::Connecting => PeerState::Connecting,
            RTCPeerConnectionState::Connected => PeerState::Connected,
            RTCPeerConnectionState::Disconnected => PeerState::Disconnected,
            RTCPeerConnectionState::Failed => PeerState::Failed,
            // New is where everything starts, and Closed is told by `close`, once.
            _ => return,
        };
        shared.gate.state(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let Some(shared) = self.shared.upgrade() else { return };
        let tasks = shared.tasks.clone();
        let (reader, gate) = (read_track(self.shared.clone(), track, shared.closed.subscribe()), shared.gate.clone());
        // Who is not read any more would be silent without a word: it counts as a failed connection.
        tasks.spawn_guarded("read", reader, move || gate.state(PeerState::Failed));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let Some(shared) = self.shared.upgrade() else { return };
        channel::read(&shared, channel, None);
    }
}

/// One stream of a track that is being read: a simulcast layer has its own.
struct Stream {
    info: RemoteTrackInfo,
    sink: Option<Box<dyn PacketSink>>,
}

/// Reads one remote track for as long as the peer connection lives. The engine never forgets a
/// track id and sends a reopened track's events to its first reader, so a reader whose m-line has
/// gone to another track drops its sinks and stays.
async fn read_track(shared: Weak<Shared>, track: Arc<dyn TrackRemote>, mut done: watch::Receiver<bool>) {
    const MAX_STREAMS: usize = 4;
    let over = Arc::new(Notify::new());
    let id = match shared.upgrade() {
        Some(shared) => shared.next_reader.fetch_add(1, Ordering::Relaxed),
        None => return,
    };
    let mut streams: Vec<Stream> = Vec::new();
    loop {
        let event = tokio::select! {
            biased;
            _ = done.wait_for(|done| *done) => return,
            () = over.notified() => {
                streams.clear();
                continue;
            }
            event = track.poll() => event,
        };
        match event {
            None | Some(TrackRemoteEvent::OnEnded) => return,
            Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                let ssrc = packet.header.ssrc;
                let stream = streams.iter_mut().find(|stream| stream.info.ssrc == ssrc);
                if let Some(sink) = stream.and_then(|stream| stream.sink.as_mut()) {
                    sink.packet(RtpPacket {
                        sequence: packet.header.sequence_number,
                        timestamp: packet.header.timestamp,
                        ssrc,
                        payload_type: packet.header.payload_type,
                        marker: packet.header.marker,
                        payload: packet.payload,
                    });
                }
            }
            Some(TrackRemoteEvent::OnOpen(init)) => {
                let Some(shared) = shared.upgrade() else { return };
                let mid = mid_of(&shared, init.receiver_id.into()).await;
                let codec = track.codec(init.ssrc).await.unwrap_or_default();
                let info = RemoteTrackInfo {
                    kind: match track.kind().await {
                        RtpCodecKind::Video => MediaKind::Video,
                        _ => MediaKind::Audio,
                    },
                    stream_id: init.stream_ids.into_iter().next().unwrap_or_default(),
                    track_id: init.track_id,
                    rid: init.rid.map(|rid| rid.to_string()).unwrap_or_default(),
                    mid,
                    ssrc: init.ssrc,
                    mime: codec.mime_type,
                    clock_rate: codec.clock_rate,
                };
                // The engine opens a track again after every renegotiation.
                let same = |s: &Stream| {
                    (s.info.ssrc, &s.info.stream_id, &s.info.mid, &s.info.rid)
                        == (info.ssrc, &info.stream_id, &info.mid, &info.rid)
                };
                if streams.iter().any(same) {
                    continue;
                }
                let previous = shared.readers.lock().insert(info.mid.clone(), (id, over.clone()));
                if let Some((reader, over)) = previous {
                    if reader != id {
                        over.notify_one();
                    }
                }
                // Without a rid there is one stream per m-line: the new one replaces it.
                streams.retain(|s| s.info.mid == info.mid && !info.rid.is_empty() && s.info.rid != info.rid);
                if streams.len() < MAX_STREAMS {
                    let sink = shared.gate.track(info.clone());
                    streams.push(Stream { info, sink });
                }
            }
            Some(_) => {}
        }
    }
}

async fn mid_of(shared: &Shared, id: RTCRtpTransceiverId) -> String {
    let Ok(pc) = shared.pc() else { return String::new() };
    let transceiver = pc.get_transceivers().await.into_iter().find(|transceiver| transceiver.id() == id);
    match transceiver {
        Some(transceiver) => transceiver.mid().await.ok().flatten().unwrap_or_default(),
        None => String::new(),
    }
}

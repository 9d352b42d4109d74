//! Client messages: model types to wire types. Must not know: the transport, replies.

use crate::core::model::*;
use base64::{prelude::BASE64_URL_SAFE, Engine as _};
use offhook_proto::livekit as pb;
use pb::signal_request::Message;
use prost::Message as _;

/// The newest protocol version of which this client understands every server message.
pub(super) const PROTOCOL: i32 = 16;

pub(super) fn request(message: Message) -> pb::SignalRequest {
    pb::SignalRequest { message: Some(message) }
}

pub(super) fn target(peer: PeerKind) -> pb::SignalTarget {
    match peer {
        PeerKind::Publisher => pb::SignalTarget::Publisher,
        PeerKind::Subscriber => pb::SignalTarget::Subscriber,
    }
}

pub(super) fn description(kind: &str, sdp: &str, id: u32) -> pb::SessionDescription {
    pb::SessionDescription { r#type: kind.to_owned(), sdp: sdp.to_owned(), id }
}

/// The request in the URL of a socket for a session with one peer connection. `resumed`: the session to resume.
pub(super) fn join_request(auto_subscribe: bool, resumed: Option<&String>) -> String {
    let reason = if resumed.is_some() { pb::ReconnectReason::RrSignalDisconnected } else { Default::default() };
    let request = pb::JoinRequest {
        client_info: Some(pb::ClientInfo { version: env!("CARGO_PKG_VERSION").to_owned(), protocol: PROTOCOL }),
        connection_settings: Some(pb::ConnectionSettings { auto_subscribe, adaptive_stream: false }),
        reconnect: resumed.is_some(),
        reconnect_reason: reason as i32,
        participant_sid: resumed.cloned().unwrap_or_default(),
    };
    let compression = pb::wrapped_join_request::Compression::None as i32;
    let wrapped = pb::WrappedJoinRequest { compression, join_request: request.encode_to_vec().into() };
    BASE64_URL_SAFE.encode(wrapped.encode_to_vec())
}

/// The announcement of a track, sent before its offer.
pub(super) fn add_track(track: &TrackInfo) -> pb::AddTrackRequest {
    let video = matches!(track.kind, TrackKind::Video | TrackKind::ScreenShare);
    let source = match track.kind {
        TrackKind::Audio => pb::TrackSource::Microphone,
        TrackKind::Video => pb::TrackSource::Camera,
        TrackKind::ScreenShare => pb::TrackSource::ScreenShare,
        TrackKind::ScreenShareAudio => pb::TrackSource::ScreenShareAudio,
    };
    let layers: Vec<pb::VideoLayer> = track.layers.iter().map(layer).collect();
    let largest = track.layers.iter().max_by_key(|l| l.width.max(l.height));
    let mut audio_features = Vec::new();
    if !video && track.stereo {
        audio_features.push(pb::AudioTrackFeature::TfStereo as i32);
    }
    if !video && !track.dtx {
        audio_features.push(pb::AudioTrackFeature::TfNoDtx as i32);
    }
    let codec = track.codec.name.to_ascii_lowercase();
    let codec = codec.strip_prefix("video/").unwrap_or(&codec).to_owned();
    pb::AddTrackRequest {
        cid: track.track_id.clone(),
        name: match track.kind {
            TrackKind::Audio => "microphone",
            TrackKind::Video => "camera",
            TrackKind::ScreenShare => "screen",
            TrackKind::ScreenShareAudio => "screen audio",
        }
        .to_owned(),
        r#type: if video { pb::TrackType::Video } else { pb::TrackType::Audio } as i32,
        width: largest.map_or(0, |l| l.width),
        height: largest.map_or(0, |l| l.height),
        muted: track.muted,
        disable_dtx: !video && !track.dtx,
        source: source as i32,
        simulcast_codecs: match video {
            true => vec![pb::SimulcastCodec { codec, cid: track.track_id.clone(), layers: layers.clone() }],
            false => Vec::new(),
        },
        layers,
        stereo: !video && track.stereo,
        disable_red: !track.red,
        audio_features,
        ..Default::default()
    }
}

fn layer(layer: &Layer) -> pb::VideoLayer {
    let (quality, spatial_layer) = match layer.quality {
        LayerQuality::Low => (pb::VideoQuality::Low, 0),
        LayerQuality::Medium => (pb::VideoQuality::Medium, 1),
        LayerQuality::High => (pb::VideoQuality::High, 2),
    };
    pb::VideoLayer {
        quality: quality as i32,
        width: layer.width,
        height: layer.height,
        bitrate: layer.bitrate,
        spatial_layer,
        rid: layer.rid.clone(),
        ..Default::default()
    }
}

/// `session_id`: the track's participant, empty if unknown.
pub(super) fn subscribe(track_id: &str, session_id: &str, subscribe: bool) -> pb::UpdateSubscription {
    let track_sids = vec![track_id.to_owned()];
    // Older servers need the participant as well.
    let participant_tracks = match session_id.is_empty() {
        true => Vec::new(),
        false => {
            vec![pb::ParticipantTracks { participant_sid: session_id.to_owned(), track_sids: track_sids.clone() }]
        }
    };
    pb::UpdateSubscription { track_sids, subscribe, participant_tracks }
}

pub(super) fn track_settings(track_id: &str, settings: &SubscriptionSettings) -> pb::UpdateTrackSettings {
    let quality = match settings.quality {
        LayerQuality::Low => pb::VideoQuality::Low,
        LayerQuality::Medium => pb::VideoQuality::Medium,
        LayerQuality::High => pb::VideoQuality::High,
    };
    pb::UpdateTrackSettings {
        track_sids: vec![track_id.to_owned()],
        disabled: !settings.enabled,
        quality: quality as i32,
        width: settings.width,
        height: settings.height,
        fps: settings.fps,
        priority: settings.priority,
    }
}

pub(super) fn self_update(update: &SelfUpdate, request_id: u32) -> pb::UpdateParticipantMetadata {
    pb::UpdateParticipantMetadata {
        metadata: update.metadata.clone().unwrap_or_default(),
        name: update.name.clone().unwrap_or_default(),
        attributes: update.attributes.iter().cloned().collect(),
        request_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: TrackKind, layers: Vec<Layer>) -> TrackInfo {
        TrackInfo {
            track_id: "cid".into(),
            kind,
            mid: "0".into(),
            muted: true,
            dtx: false,
            stereo: true,
            red: false,
            codec: CodecSpec { name: "VP8".into(), ..Default::default() },
            publish_option_id: 0,
            layers,
        }
    }

    #[test]
    fn the_join_request_names_the_session_to_resume() {
        let read = |text: String| {
            let wrapped = BASE64_URL_SAFE.decode(text).expect("base64");
            let wrapped = pb::WrappedJoinRequest::decode(&wrapped[..]).expect("a wrapped request");
            pb::JoinRequest::decode(&wrapped.join_request[..]).expect("a request")
        };
        let join = read(join_request(true, None));
        assert!(join.connection_settings.is_some_and(|settings| settings.auto_subscribe) && !join.reconnect);
        assert_eq!(join.client_info.map(|info| info.protocol), Some(PROTOCOL));
        let resume = read(join_request(false, Some(&"PA_1".to_owned())));
        assert!(resume.connection_settings.is_some_and(|settings| !settings.auto_subscribe) && resume.reconnect);
        assert_eq!((resume.participant_sid.as_str(), resume.reconnect_reason), ("PA_1", 1));
    }

    #[test]
    fn a_microphone() {
        let add = add_track(&info(TrackKind::Audio, Vec::new()));
        assert_eq!(
            (add.cid.as_str(), add.r#type(), add.source()),
            ("cid", pb::TrackType::Audio, pb::TrackSource::Microphone)
        );
        assert!(add.muted && add.stereo && add.disable_dtx && add.disable_red && add.simulcast_codecs.is_empty());
        let features: Vec<_> = add.audio_features().collect();
        assert_eq!(features, [pb::AudioTrackFeature::TfStereo, pb::AudioTrackFeature::TfNoDtx]);
    }

    #[test]
    fn simulcast_video_announces_every_layer() {
        let layer = |rid: &str, quality, width| Layer {
            rid: rid.into(),
            quality,
            width,
            height: width / 2,
            bitrate: width * 1_000,
        };
        let layers = vec![
            layer("q", LayerQuality::Low, 320),
            layer("h", LayerQuality::Medium, 640),
            layer("f", LayerQuality::High, 1_280),
        ];
        let add = add_track(&info(TrackKind::Video, layers));
        assert_eq!((add.r#type(), add.width, add.height), (pb::TrackType::Video, 1_280, 640));
        let codec = &add.simulcast_codecs[0];
        assert_eq!((codec.codec.as_str(), codec.cid.as_str(), codec.layers.len()), ("vp8", "cid", 3));
        let rids: Vec<_> = add.layers.iter().map(|l| (l.rid.as_str(), l.quality(), l.spatial_layer)).collect();
        assert_eq!(
            rids,
            [("q", pb::VideoQuality::Low, 0), ("h", pb::VideoQuality::Medium, 1), ("f", pb::VideoQuality::High, 2)]
        );
        assert!(add.audio_features.is_empty() && !add.stereo && !add.disable_dtx);
    }
}

// Statistics of calls, local tracks and remote tracks.

package offhook

// #include "shim.h"
import "C"

import "time"

// Stats is statistics of a call, counted since it was started. What an older library does not count is 0.
type Stats struct {
	Participants            int           // that are known, the local one included
	Jitter                  time.Duration // variation of arrival times, the greatest of all received tracks
	JoinTime                time.Duration // from Start to StateJoined; 0: not yet
	FirstAudio              time.Duration // from Start to the first audio delivered; 0: none yet
	LateOffers              uint64        // offers dropped: the call was leaving, or the subscriber was closed or replaced
	LateOffersLeaving       uint64        // those of LateOffers that came while the call was leaving
	LateMessages            uint64        // other late or stale messages, replies and candidates, dropped
	MalformedMessages       uint64        // messages that could not be parsed, dropped
	UnknownMessages         uint64        // messages of kinds that this version does not know or use
	OffersAnswered          uint64        // offers of the SFU that were answered
	OffersFailed            uint64        // offers of the SFU that could not be answered
	JoinAttempts            uint64        // the first one included
	SFURequests             uint64        // requests to the SFU
	SFURequestRetries       uint64        // requests to the SFU that were sent again
	ErrorEvents             uint64        // EventError and EventLocalTrackFailed
	CandidatesDropped       uint64        // ICE candidates that were stale, malformed or too many
	PacketsReceived         uint64        // RTP packets received
	BytesReceived           uint64        // bytes of PacketsReceived
	PacketsLost             uint64        // audio packets that never arrived
	PacketsLate             uint64        // audio packets that arrived too late to be played
	PacketsUnplayable       uint64        // RTP packets that could not be decoded
	PacketsUnassigned       uint64        // RTP packets that could not be assigned to a track
	PacketsPadding          uint64        // RTP packets with padding only
	FramesPlayed            uint64        // audio frames put out for the application
	FramesConcealed         uint64        // audio frames synthesised by packet-loss concealment
	FramesRecoveredFEC      uint64        // lost audio frames recovered by forward error correction
	FramesRecoveredRED      uint64        // lost audio frames recovered from redundant audio (RED)
	AudioFramesDropped      uint64        // audio frames that the application did not take in time
	EventsDropped           uint64        // events that the application did not take in time
	QueuedEventBytes        uint64        // bytes of payload in events that wait for the application now
	PacketsSent             uint64        // RTP packets sent
	BytesSent               uint64        // bytes of PacketsSent
	AudioDropped            time.Duration // dropped by a live track that was written too fast, or by Track.Clear
	ReconnectsFast          uint64        // reconnects that succeeded with a new socket only
	ReconnectsRejoin        uint64        // reconnects that succeeded with a new session
	ReconnectsMigrate       uint64        // reconnects that succeeded by moving to another edge
	ReconnectAttempts       uint64        // failed ones included
	ReconnectTriggersMerged uint64        // further reasons to reconnect during a reconnect
	DataDropped             uint64        // packets and texts that were lost, malformed, never completed, or more than can wait
	DataEncrypted           uint64        // packets and texts encrypted end to end, part of DataDropped
	DataUnsent              uint64        // packets, texts, custom events and answers that were accepted and not sent
	ChannelDropped          uint64        // audio frames dropped by Call.Audio because the channel was full
}

// Stats gives the statistics of the call. It works until the call is closed, also after its end.
func (c *Call) Stats() (Stats, error) {
	var s C.oh_call_stats
	if err := failed("stats", C.ohgo_call_get_stats(c.core.handle(), &s)); err != nil {
		return Stats{}, err
	}
	stats := Stats{
		Participants: int(s.participants), Jitter: millis(uint64(s.jitter_ms)), JoinTime: millis(uint64(s.join_ms)),
		FirstAudio: millis(uint64(s.first_audio_ms)), LateOffers: uint64(s.late_offers),
		LateOffersLeaving: uint64(s.late_offers_leaving), LateMessages: uint64(s.late_messages),
		MalformedMessages: uint64(s.malformed_messages), UnknownMessages: uint64(s.unknown_messages),
		OffersAnswered: uint64(s.offers_answered), OffersFailed: uint64(s.offers_failed),
		JoinAttempts: uint64(s.join_attempts), SFURequests: uint64(s.sfu_requests),
		SFURequestRetries: uint64(s.sfu_request_retries), ErrorEvents: uint64(s.error_events),
		CandidatesDropped: uint64(s.candidates_dropped), PacketsReceived: uint64(s.packets_received),
		BytesReceived: uint64(s.bytes_received), PacketsLost: uint64(s.packets_lost),
		PacketsLate: uint64(s.packets_late), PacketsUnplayable: uint64(s.packets_unplayable),
		PacketsUnassigned: uint64(s.packets_unassigned), PacketsPadding: uint64(s.packets_padding),
		FramesPlayed: uint64(s.frames_played), FramesConcealed: uint64(s.frames_concealed),
		FramesRecoveredFEC: uint64(s.frames_recovered_fec), FramesRecoveredRED: uint64(s.frames_recovered_red),
		AudioFramesDropped: uint64(s.audio_frames_dropped), EventsDropped: uint64(s.events_dropped),
		QueuedEventBytes: uint64(s.queued_event_bytes), PacketsSent: uint64(s.packets_sent),
		BytesSent: uint64(s.bytes_sent), AudioDropped: millis(uint64(s.audio_dropped_ms)),
		ReconnectsFast: uint64(s.reconnects_fast), ReconnectsRejoin: uint64(s.reconnects_rejoin),
		ReconnectsMigrate: uint64(s.reconnects_migrate), ReconnectAttempts: uint64(s.reconnect_attempts),
		ReconnectTriggersMerged: uint64(s.reconnect_triggers_merged), DataDropped: uint64(s.data_dropped),
		DataEncrypted: uint64(s.data_encrypted), DataUnsent: uint64(s.data_unsent),
	}
	if c.core.channel != nil {
		stats.ChannelDropped = c.core.channel.dropped.Load()
	}
	return stats, nil
}

// TrackStats is statistics of a local track, counted since it was published.
type TrackStats struct {
	PacketsSent          uint64        // RTP packets sent, over all connections
	BytesSent            uint64        // bytes of the payloads of PacketsSent
	PacketsFailed        uint64        // packets and frames that could not be sent
	Sent                 time.Duration // how much of what was written was sent
	Dropped              time.Duration // dropped because a live track was written too fast, or by Track.Clear
	Unsent               time.Duration // not sent before the end of the track
	Buffered             time.Duration // written and not sent yet
	Source               TrackSource   // what the track carries
	Published            bool          // packets can be sent
	Muted                bool          // by the application or a moderator
	Moderated            bool          // a moderator muted it
	HasReport            bool          // the receiver has sent a report; else the members that begin with Report are 0
	ReportAge            time.Duration // age of the receiver's report
	ReportedLost         int64         // packets that the receiver reports as lost; negative when it received duplicates
	ReportedFractionLost float32       // share of packets lost since the report before, 0.0 to 1.0
	ReportedJitter       time.Duration // variation of arrival times (jitter) at the receiver
	ReportedRoundTrip    time.Duration // round-trip time to the receiver; 0: not measured
}

// Stats gives the statistics of the track. It works until the track is closed, also after its end.
func (t *Track) Stats() (TrackStats, error) {
	var s C.oh_track_stats
	if err := failed("track stats", C.ohgo_track_get_stats(t.id, &s)); err != nil {
		return TrackStats{}, err
	}
	return TrackStats{
		PacketsSent: uint64(s.packets_sent), BytesSent: uint64(s.bytes_sent), PacketsFailed: uint64(s.packets_failed),
		Sent: millis(uint64(s.sent_ms)), Dropped: millis(uint64(s.dropped_ms)), Unsent: millis(uint64(s.unsent_ms)),
		Buffered: millis(uint64(s.buffered_ms)), Source: TrackSource(s.source), Published: s.published != 0,
		Muted: s.muted != 0, Moderated: s.moderated != 0, HasReport: s.has_report != 0,
		ReportAge: millis(uint64(s.report_age_ms)), ReportedLost: int64(s.reported_lost),
		ReportedFractionLost: float32(s.reported_fraction_lost), ReportedJitter: floatMillis(s.reported_jitter_ms),
		ReportedRoundTrip: floatMillis(s.reported_round_trip_ms),
	}, nil
}

// RemoteTrackStats is statistics of a remote track, over mutes and reconnects.
type RemoteTrackStats struct {
	PacketsReceived    uint64        // RTP packets received
	BytesReceived      uint64        // bytes of the payloads of PacketsReceived
	PacketsLost        uint64        // never arrived
	PacketsLate        uint64        // arrived too late to be played
	PacketsDuplicate   uint64        // arrived more than once
	PacketsDiscarded   uint64        // dropped as malformed, or because too many were waiting
	PacketsPadding     uint64        // with padding only
	PacketsUnplayable  uint64        // could not be decoded
	FramesPlayed       uint64        // audio frames put out for the application
	FramesConcealed    uint64        // synthesised by packet-loss concealment
	FramesRecoveredFEC uint64        // recovered by forward error correction
	FramesRecoveredRED uint64        // recovered from redundant audio (RED), in time to be played
	Jitter             time.Duration // variation of arrival times (RFC 3550)
	Buffered           time.Duration // audio that waits in the jitter buffer
	Delay              time.Duration // delay of the jitter buffer now
	TargetDelay        time.Duration // delay that the jitter buffer aims at
	Source             TrackSource   // what the track carries
	Received           bool          // a stream carries it now
}

// TrackStats gives the statistics of a remote track: SessionID and TrackID name it, in protocols without track ids SessionID
// and Source. It works also after the end of the call. ErrEmpty when nothing of such a track was received, or it
// has ended.
func (s *Subscriber) TrackStats(track TrackInfo) (RemoteTrackStats, error) {
	v := conv{op: "track stats"}
	defer v.free()
	session, id := v.textOrEmpty("SessionID", track.SessionID), v.text("TrackID", track.TrackID)
	if v.err != nil {
		return RemoteTrackStats{}, v.err
	}
	var c C.oh_remote_track_stats
	if err := failed(v.op, C.ohgo_subscriber_get_track_stats(s.id, session, id, C.oh_track_source(track.Source), &c)); err != nil {
		return RemoteTrackStats{}, err
	}
	return remoteTrackStats(&c), nil
}

func remoteTrackStats(s *C.oh_remote_track_stats) RemoteTrackStats {
	return RemoteTrackStats{
		PacketsReceived: uint64(s.packets_received), BytesReceived: uint64(s.bytes_received),
		PacketsLost: uint64(s.packets_lost), PacketsLate: uint64(s.packets_late),
		PacketsDuplicate: uint64(s.packets_duplicate), PacketsDiscarded: uint64(s.packets_discarded),
		PacketsPadding: uint64(s.packets_padding), PacketsUnplayable: uint64(s.packets_unplayable),
		FramesPlayed: uint64(s.frames_played), FramesConcealed: uint64(s.frames_concealed),
		FramesRecoveredFEC: uint64(s.frames_recovered_fec), FramesRecoveredRED: uint64(s.frames_recovered_red),
		Jitter: floatMillis(s.jitter_ms), Buffered: floatMillis(s.buffered_ms), Delay: floatMillis(s.delay_ms),
		TargetDelay: floatMillis(s.target_delay_ms), Source: TrackSource(s.source), Received: s.received != 0,
	}
}

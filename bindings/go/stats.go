// Figures of a call.

package offhook

// #include "shim.h"
import "C"

import "time"

// Stats are figures of one call since it was started.
type Stats struct {
	Participants            int           // known, self included
	JoinTook                time.Duration // from Start to joined; 0: not yet
	FirstAudio              time.Duration // from Start to the first sound handed over; 0: none yet
	LateOffers              uint64        // offers dropped: the call was leaving, or the subscriber closed or never there
	LateOffersLeaving       uint64        // those of LateOffers that came while the call was leaving
	LateMessages            uint64        // other late or stale messages, replies and candidates, dropped
	MalformedMessages       uint64        // could not be read, dropped
	UnknownMessages         uint64        // of kinds that this version does not know, or has no use for
	OffersAnswered          uint64
	OffersFailed            uint64
	JoinAttempts            uint64 // the first included
	RPCs                    uint64
	RPCRetries              uint64
	Errors                  uint64 // EventError and EventLocalFailed
	CandidatesDropped       uint64 // stale, unreadable or too many
	PacketsReceived         uint64
	BytesReceived           uint64
	PacketsLost             uint64 // packets of sound that never came
	PacketsLate             uint64 // packets of sound that came too late to be played
	FramesPlayed            uint64 // of 20 ms (or Opus packets) put out for the application
	FramesConcealed         uint64 // invented to hide a loss
	FramesRestored          uint64 // restored by forward error correction
	PacketsSent             uint64
	BytesSent               uint64
	MediaDropped            uint64 // frames dropped by the library because the application was too slow to take them
	EventsLost              uint64 // events dropped because the application was too slow to take them
	Jitter                  time.Duration
	ReconnectsFast          uint64        // reconnects that succeeded: with a new socket only
	ReconnectsRejoin        uint64        // … with a new session
	ReconnectsMigrate       uint64        // … to another edge
	ReconnectAttempts       uint64        // failed ones included
	ReconnectTriggersMerged uint64        // further reasons to reconnect that came while a reconnect was under way
	DataDropped             uint64        // packets and texts between participants that were lost or could not be read
	PacketsUnplayable       uint64        // RTP packets that could not be decoded: encrypted end to end, or of another codec
	PacketsUnassigned       uint64        // RTP packets that could not be assigned to a track of a participant
	PacketsPadding          uint64        // RTP packets of padding only
	FramesRestoredRED       uint64        // lost, and restored from redundant audio (RED)
	AudioDropped            time.Duration // dropped by a live track that was written too fast, or by Track.Clear
	DataEncrypted           uint64        // packets and texts encrypted end to end, part of DataDropped
	DataUnsent              uint64        // accepted and not sent before the end: packets, texts, custom events, answers
	EventBytes              uint64        // bytes of payload in events that wait for the application now
	ChannelDropped          uint64        // frames dropped by Call.Audio because nobody took them
}

// Stats reads the figures of the call; it works until it is closed, also when it is over.
func (c *Call) Stats() (Stats, error) {
	var s C.oh_call_stats
	if err := failed("stats", C.ohgo_call_get_stats(c.core.handle(), &s)); err != nil {
		return Stats{}, err
	}
	stats := Stats{
		Participants: int(s.participants), JoinTook: millis(uint64(s.join_ms)), FirstAudio: millis(uint64(s.first_audio_ms)),
		LateOffers: uint64(s.late_offers), LateOffersLeaving: uint64(s.late_offers_leaving),
		LateMessages: uint64(s.late_messages), MalformedMessages: uint64(s.malformed_messages),
		UnknownMessages: uint64(s.unknown_messages), OffersAnswered: uint64(s.offers_answered),
		OffersFailed: uint64(s.offers_failed), JoinAttempts: uint64(s.join_attempts), RPCs: uint64(s.rpcs),
		RPCRetries: uint64(s.rpc_retries), Errors: uint64(s.errors), CandidatesDropped: uint64(s.candidates_dropped),
		PacketsReceived: uint64(s.packets_received), BytesReceived: uint64(s.bytes_received),
		PacketsLost: uint64(s.packets_lost), PacketsLate: uint64(s.packets_late), FramesPlayed: uint64(s.frames_played),
		FramesConcealed: uint64(s.frames_concealed), FramesRestored: uint64(s.frames_restored),
		PacketsSent: uint64(s.packets_sent), BytesSent: uint64(s.bytes_sent), MediaDropped: uint64(s.media_dropped),
		EventsLost: uint64(s.events_lost), Jitter: millis(uint64(s.jitter_ms)), ReconnectsFast: uint64(s.reconnects_fast),
		ReconnectsRejoin: uint64(s.reconnects_rejoin), ReconnectsMigrate: uint64(s.reconnects_migrate),
		ReconnectAttempts: uint64(s.reconnect_attempts), ReconnectTriggersMerged: uint64(s.reconnect_triggers_merged),
		DataDropped: uint64(s.data_dropped), PacketsUnplayable: uint64(s.packets_unplayable),
		PacketsUnassigned: uint64(s.packets_unassigned), PacketsPadding: uint64(s.packets_padding),
		FramesRestoredRED: uint64(s.frames_restored_red), AudioDropped: millis(uint64(s.audio_dropped_ms)),
		DataEncrypted: uint64(s.data_encrypted), DataUnsent: uint64(s.data_unsent), EventBytes: uint64(s.event_bytes),
	}
	if c.core.channel != nil {
		stats.ChannelDropped = c.core.channel.dropped.Load()
	}
	return stats, nil
}

// Stats.swift - statistics of calls and tracks.
import COffhook

/// Statistics of a call, counted since its join. What an older library does not count is 0.
public struct CallStats: Sendable, Hashable {
  /// Participants that are known, the local one included.
  public let participants: UInt32
  /// Variation of arrival times (jitter), the greatest of all received tracks, in ms.
  public let jitterMilliseconds: UInt32
  /// Milliseconds from the join to ``CallState/joined``; 0: not yet.
  public let joinMilliseconds: UInt64
  /// Milliseconds from the join to the first audio delivered; 0: none yet.
  public let firstAudioMilliseconds: UInt64
  /// Offers of the SFU dropped because the call was leaving, or the subscriber was closed, freed, never created or
  /// replaced.
  public let lateOffers: UInt64
  /// Those of `lateOffers` that came while the call was leaving.
  public let lateOffersLeaving: UInt64
  /// Other late or stale messages, replies and candidates, dropped.
  public let lateMessages: UInt64
  /// Messages of the SFU that could not be parsed, dropped.
  public let malformedMessages: UInt64
  /// Messages of kinds that this version does not know, or does not use.
  public let unknownMessages: UInt64
  /// Offers of the SFU that were answered.
  public let offersAnswered: UInt64
  /// Offers of the SFU that could not be answered.
  public let offersFailed: UInt64
  /// Attempts to join, the first one included.
  public let joinAttempts: UInt64
  /// Requests to the SFU.
  public let sfuRequests: UInt64
  /// Requests to the SFU that were sent again.
  public let sfuRequestRetries: UInt64
  /// Events of the kinds error and localTrackFailed.
  public let errorEvents: UInt64
  /// ICE candidates that were stale, malformed or too many, dropped.
  public let candidatesDropped: UInt64
  /// RTP packets received.
  public let packetsReceived: UInt64
  /// Bytes of `packetsReceived`.
  public let bytesReceived: UInt64
  /// Audio packets that never arrived.
  public let packetsLost: UInt64
  /// Audio packets that arrived too late to be played.
  public let packetsLate: UInt64
  /// RTP packets that could not be decoded: encrypted end to end, or of a codec or payload type that is not supported.
  public let packetsUnplayable: UInt64
  /// RTP packets that could not be assigned to a track of a participant.
  public let packetsUnassigned: UInt64
  /// RTP packets with padding only.
  public let packetsPadding: UInt64
  /// Audio frames (20 ms, or one Opus packet) put out for the application.
  public let framesPlayed: UInt64
  /// Audio frames synthesised by packet-loss concealment.
  public let framesConcealed: UInt64
  /// Lost audio frames recovered by forward error correction.
  public let framesRecoveredFEC: UInt64
  /// Lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played.
  public let framesRecoveredRED: UInt64
  /// Audio frames dropped because the application did not take them in time.
  public let audioFramesDropped: UInt64
  /// Events dropped because the application did not take them in time.
  public let eventsDropped: UInt64
  /// Bytes of payload in events that wait for the application now.
  public let queuedEventBytes: UInt64
  /// RTP packets sent.
  public let packetsSent: UInt64
  /// Bytes of `packetsSent`.
  public let bytesSent: UInt64
  /// Milliseconds of audio dropped because a live track was written faster than it is sent, or by
  /// ``TrackOperations/clear()``.
  public let audioDroppedMilliseconds: UInt64
  /// Reconnects that succeeded with a new socket only.
  public let reconnectsFast: UInt64
  /// Reconnects that succeeded with a new session.
  public let reconnectsRejoin: UInt64
  /// Reconnects that succeeded by moving to another edge.
  public let reconnectsMigrate: UInt64
  /// Attempts to reconnect, failed ones included.
  public let reconnectAttempts: UInt64
  /// Further reasons to reconnect during a reconnect.
  public let reconnectTriggersMerged: UInt64
  /// Packets and texts between participants that were lost, malformed, never completed, or more than can wait.
  public let dataDropped: UInt64
  /// Packets and texts of participants that were encrypted end to end, part of `dataDropped`.
  public let dataEncrypted: UInt64
  /// Packets, texts, custom events and answers that were accepted and not sent before the end.
  public let dataUnsent: UInt64

  init(_ c: oh_call_stats) {
    participants = c.participants
    jitterMilliseconds = c.jitter_ms
    joinMilliseconds = c.join_ms
    firstAudioMilliseconds = c.first_audio_ms
    lateOffers = c.late_offers
    lateOffersLeaving = c.late_offers_leaving
    lateMessages = c.late_messages
    malformedMessages = c.malformed_messages
    unknownMessages = c.unknown_messages
    offersAnswered = c.offers_answered
    offersFailed = c.offers_failed
    joinAttempts = c.join_attempts
    sfuRequests = c.sfu_requests
    sfuRequestRetries = c.sfu_request_retries
    errorEvents = c.error_events
    candidatesDropped = c.candidates_dropped
    packetsReceived = c.packets_received
    bytesReceived = c.bytes_received
    packetsLost = c.packets_lost
    packetsLate = c.packets_late
    packetsUnplayable = c.packets_unplayable
    packetsUnassigned = c.packets_unassigned
    packetsPadding = c.packets_padding
    framesPlayed = c.frames_played
    framesConcealed = c.frames_concealed
    framesRecoveredFEC = c.frames_recovered_fec
    framesRecoveredRED = c.frames_recovered_red
    audioFramesDropped = c.audio_frames_dropped
    eventsDropped = c.events_dropped
    queuedEventBytes = c.queued_event_bytes
    packetsSent = c.packets_sent
    bytesSent = c.bytes_sent
    audioDroppedMilliseconds = c.audio_dropped_ms
    reconnectsFast = c.reconnects_fast
    reconnectsRejoin = c.reconnects_rejoin
    reconnectsMigrate = c.reconnects_migrate
    reconnectAttempts = c.reconnect_attempts
    reconnectTriggersMerged = c.reconnect_triggers_merged
    dataDropped = c.data_dropped
    dataEncrypted = c.data_encrypted
    dataUnsent = c.data_unsent
  }
}

/// Statistics of a local track, counted since it was published.
public struct TrackStats: Sendable, Hashable {
  /// RTP packets sent, over all connections.
  public let packetsSent: UInt64
  /// Bytes of the payloads of `packetsSent`.
  public let bytesSent: UInt64
  /// Packets and frames that could not be sent.
  public let packetsFailed: UInt64
  /// Milliseconds of what was written that were sent.
  public let sentMilliseconds: UInt64
  /// Milliseconds dropped because a live track was written faster than it is sent, or by ``TrackOperations/clear()``.
  public let droppedMilliseconds: UInt64
  /// Milliseconds that were not sent before the end of the track.
  public let unsentMilliseconds: UInt64
  /// Packets that the receiver reports as lost, since the beginning; negative when it received duplicates.
  public let reportedLost: Int64
  /// Age of the receiver's report in ms.
  public let reportAgeMilliseconds: UInt64
  /// Milliseconds that were written and not sent yet.
  public let bufferedMilliseconds: UInt32
  /// What the track carries.
  public let source: TrackSource
  /// It is published: packets can be sent.
  public let isPublished: Bool
  /// It is muted, by the application or a moderator.
  public let isMuted: Bool
  /// A moderator muted it.
  public let isModerated: Bool
  /// The receiver has sent a report (RFC 3550 section 6.4.1); else the members that begin with `reported` are 0.
  public let hasReport: Bool
  /// Share of packets lost since the report before, 0.0 to 1.0.
  public let reportedFractionLost: Float
  /// Variation of arrival times (jitter) at the receiver, in ms.
  public let reportedJitterMilliseconds: Float
  /// Round-trip time to the receiver in ms; 0: not measured.
  public let reportedRoundTripMilliseconds: Float

  init(_ c: oh_track_stats) {
    packetsSent = c.packets_sent
    bytesSent = c.bytes_sent
    packetsFailed = c.packets_failed
    sentMilliseconds = c.sent_ms
    droppedMilliseconds = c.dropped_ms
    unsentMilliseconds = c.unsent_ms
    reportedLost = c.reported_lost
    reportAgeMilliseconds = c.report_age_ms
    bufferedMilliseconds = c.buffered_ms
    source = TrackSource(rawValue: c.source)
    isPublished = c.published != 0
    isMuted = c.muted != 0
    isModerated = c.moderated != 0
    hasReport = c.has_report != 0
    reportedFractionLost = c.reported_fraction_lost
    reportedJitterMilliseconds = c.reported_jitter_ms
    reportedRoundTripMilliseconds = c.reported_round_trip_ms
  }
}

/// Statistics of a remote track, over mutes and reconnects.
public struct RemoteTrackStats: Sendable, Hashable {
  /// RTP packets received.
  public let packetsReceived: UInt64
  /// Bytes of the payloads of `packetsReceived`.
  public let bytesReceived: UInt64
  /// Packets that never arrived.
  public let packetsLost: UInt64
  /// Packets that arrived too late to be played.
  public let packetsLate: UInt64
  /// Packets that arrived more than once.
  public let packetsDuplicate: UInt64
  /// Packets dropped as malformed, or because too many were waiting.
  public let packetsDiscarded: UInt64
  /// Packets with padding only.
  public let packetsPadding: UInt64
  /// Packets that could not be decoded.
  public let packetsUnplayable: UInt64
  /// Audio frames (20 ms, or one Opus packet) put out for the application.
  public let framesPlayed: UInt64
  /// Audio frames synthesised by packet-loss concealment.
  public let framesConcealed: UInt64
  /// Lost audio frames recovered by forward error correction.
  public let framesRecoveredFEC: UInt64
  /// Lost audio frames recovered from redundant audio (RED, RFC 2198), in time to be played.
  public let framesRecoveredRED: UInt64
  /// Variation of arrival times (jitter), in ms (RFC 3550 section 6.4.1).
  public let jitterMilliseconds: Float
  /// Audio that waits in the jitter buffer, in ms.
  public let bufferedMilliseconds: Float
  /// Delay of the jitter buffer now, in ms.
  public let delayMilliseconds: Float
  /// Delay that the jitter buffer aims at, in ms.
  public let targetDelayMilliseconds: Float
  /// What the track carries.
  public let source: TrackSource
  /// A stream carries it now.
  public let isReceived: Bool

  init(_ c: oh_remote_track_stats) {
    packetsReceived = c.packets_received
    bytesReceived = c.bytes_received
    packetsLost = c.packets_lost
    packetsLate = c.packets_late
    packetsDuplicate = c.packets_duplicate
    packetsDiscarded = c.packets_discarded
    packetsPadding = c.packets_padding
    packetsUnplayable = c.packets_unplayable
    framesPlayed = c.frames_played
    framesConcealed = c.frames_concealed
    framesRecoveredFEC = c.frames_recovered_fec
    framesRecoveredRED = c.frames_recovered_red
    jitterMilliseconds = c.jitter_ms
    bufferedMilliseconds = c.buffered_ms
    delayMilliseconds = c.delay_ms
    targetDelayMilliseconds = c.target_delay_ms
    source = TrackSource(rawValue: c.source)
    isReceived = c.received != 0
  }
}

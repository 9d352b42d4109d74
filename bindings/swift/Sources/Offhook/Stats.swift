// Stats.swift - figures of one call.
import COffhook

/// Figures since the join was started.
public struct CallStats: Sendable, Hashable {
  /// Participants known, self included.
  public let participants: UInt32
  /// From the start to joined; 0: not yet.
  public let joinMilliseconds: UInt64
  /// From the start to the first sound handed over; 0: none yet.
  public let firstAudioMilliseconds: UInt64
  /// Offers of the SFU that came too late for the call or its subscriber, dropped.
  public let lateOffers: UInt64
  /// Those of them that came while the call was leaving.
  public let lateOffersLeaving: UInt64
  /// Other late or stale messages, replies and candidates, dropped.
  public let lateMessages: UInt64
  public let malformedMessages: UInt64
  public let unknownMessages: UInt64
  public let offersAnswered: UInt64
  public let offersFailed: UInt64
  /// Attempts to join, the first included.
  public let joinAttempts: UInt64
  public let rpcs: UInt64
  public let rpcRetries: UInt64
  /// Events of the kinds error and localFailed.
  public let errors: UInt64
  public let candidatesDropped: UInt64
  public let packetsReceived: UInt64
  public let bytesReceived: UInt64
  /// Packets of sound that never came.
  public let packetsLost: UInt64
  /// Packets of sound that came too late to be played.
  public let packetsLate: UInt64
  /// Frames of 20 ms (or Opus packets) put out for the application.
  public let framesPlayed: UInt64
  /// Frames invented to hide a loss.
  public let framesConcealed: UInt64
  /// Frames restored by forward error correction.
  public let framesRestored: UInt64
  public let packetsSent: UInt64
  public let bytesSent: UInt64
  /// Frames dropped because the application was too slow to take them.
  public let mediaDropped: UInt64
  /// Events dropped because the application was too slow to take them.
  public let eventsLost: UInt64
  /// Variation of arrival times, the greatest of all tracks.
  public let jitterMilliseconds: UInt32
  public let reconnectsFast: UInt64
  public let reconnectsRejoin: UInt64
  public let reconnectsMigrate: UInt64
  /// Failed ones included.
  public let reconnectAttempts: UInt64
  /// Further reasons to reconnect that came while a reconnect was under way.
  public let reconnectTriggersMerged: UInt64
  /// Packets and texts between participants that were lost or more than may wait.
  public let dataDropped: UInt64
  /// RTP packets that could not be decoded: encrypted end to end, or of another codec.
  public let packetsUnplayable: UInt64
  /// RTP packets that could not be assigned to a track of a participant.
  public let packetsUnassigned: UInt64
  /// RTP packets of padding only.
  public let packetsPadding: UInt64
  /// Lost frames restored from redundant audio (RED).
  public let framesRestoredRED: UInt64
  /// Audio dropped by a live track that was written too fast, or by `clear`.
  public let audioDroppedMilliseconds: UInt64
  /// Packets and texts encrypted end to end, part of `dataDropped`.
  public let dataEncrypted: UInt64
  /// Accepted and not sent before the end: packets, texts, custom events and answers.
  public let dataUnsent: UInt64
  /// Bytes of payload in events that wait for the application now.
  public let eventBytes: UInt64

  init(_ c: oh_call_stats) {
    participants = c.participants
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
    rpcs = c.rpcs
    rpcRetries = c.rpc_retries
    errors = c.errors
    candidatesDropped = c.candidates_dropped
    packetsReceived = c.packets_received
    bytesReceived = c.bytes_received
    packetsLost = c.packets_lost
    packetsLate = c.packets_late
    framesPlayed = c.frames_played
    framesConcealed = c.frames_concealed
    framesRestored = c.frames_restored
    packetsSent = c.packets_sent
    bytesSent = c.bytes_sent
    mediaDropped = c.media_dropped
    eventsLost = c.events_lost
    jitterMilliseconds = c.jitter_ms
    reconnectsFast = c.reconnects_fast
    reconnectsRejoin = c.reconnects_rejoin
    reconnectsMigrate = c.reconnects_migrate
    reconnectAttempts = c.reconnect_attempts
    reconnectTriggersMerged = c.reconnect_triggers_merged
    dataDropped = c.data_dropped
    packetsUnplayable = c.packets_unplayable
    packetsUnassigned = c.packets_unassigned
    packetsPadding = c.packets_padding
    framesRestoredRED = c.frames_restored_red
    audioDroppedMilliseconds = c.audio_dropped_ms
    dataEncrypted = c.data_encrypted
    dataUnsent = c.data_unsent
    eventBytes = c.event_bytes
  }
}

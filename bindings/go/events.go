// Events as Go values. They are copies: keep them, change them, pass them to other goroutines.

//go:build cgo

package offhook

import "time"

// Event is an event of a call: one of the *Event… types below, distinguished by a type switch. Later versions have
// more: skip those that you do not know. An older library leaves members that it does not have at zero.
type Event interface {
	Kind() EventKind
	// At is the time since the call was started.
	At() time.Duration
}

// Meta is what every event has.
type Meta struct {
	kind EventKind
	at   time.Duration
}

// Kind is the kind of the event.
func (m Meta) Kind() EventKind { return m.kind }

// At is the time since the call was started.
func (m Meta) At() time.Duration { return m.at }

// EventState: the state of the call changed.
type EventState struct {
	Meta
	State, Previous State
}

// EventJoined: the SFU admitted this participant. Media of a direction flows once EventMedia says that it is connected.
type EventJoined struct {
	Meta
	SessionID             string        // of the local participant
	JoinTime              time.Duration // since the call was started
	Participants          int           // the local one and anonymous ones included
	AnonymousParticipants int           // counted, not listed
}

// EventTokenNeeded: a token is needed. Answer with Call.ProvideToken within 30 s.
type EventTokenNeeded struct{ Meta }

// Participant is a participant, as last described by the SFU.
type Participant struct {
	UserID         string // one user can be in a call more than once (not with ProtocolLiveKit)
	SessionID      string // identifies the participant in this call
	Name           string // the display name; may be ""
	ImageURL       string // may be ""
	CustomJSON     string // custom data as a JSON object; may be ""
	Metadata       string // the application's own text about the participant; may be "" (CapAttributes)
	AttributesJSON string // names and values as a JSON object of strings; may be "" (CapAttributes)
	Tracks         []TrackInfo
	Rights         Rights // when RightsKnown
	RightsKnown    bool   // the protocol reports the rights of participants
	Kind           ParticipantKind
	Quality        ConnectionQuality
	LeaveReason    LeaveReason // EventParticipantLeft: why
	AudioLevel     float32     // 0.0 (silence) to 1.0
	Speaking       bool
	Dominant       bool // the dominant speaker
	Local          bool // the local participant
}

// EventParticipantJoined: a participant joined. On join, sent once for everyone already present.
type EventParticipantJoined struct {
	Meta
	Participant Participant
}

// EventParticipantUpdated: a participant changed. With Local: the local participant, once after each join and whenever
// the server changes it.
type EventParticipantUpdated struct {
	Meta
	Participant Participant
}

// EventParticipantLeft: a participant left; see LeaveReason.
type EventParticipantLeft struct {
	Meta
	Participant Participant
}

// TrackInfo is a track that a participant publishes.
type TrackInfo struct {
	UserID    string // of its participant
	SessionID string // of its participant
	TrackID   string // the SFU's id, for Subscriber.SetTrack; "" in protocols without track ids
	Name      string // as set by its publisher; may be ""
	Source    TrackSource
	Cause     UnpublishCause // EventTrackUnpublished: why
	Muted     bool           // published, and muted
	Local     bool           // a track of the local participant (in an event: that a moderator changed)
	Held      bool           // unmuted by a moderator, and muted until Track.SetMuted unmutes it
	Encrypted bool           // encrypted end to end

	// Of Call.Participants only:

	LocalTrack uint64           // local track: its Track.ID; else 0
	Received   bool             // remote track: its media arrives and can be played
	Unplayable UnplayableReason // remote track: why its media cannot be played
	Published  bool             // local track: published over the present connection; packets can be sent
	Moderated  bool             // local track: a moderator muted it
}

// EventTrackPublished: a participant published a track, muted or not: once, and again each time it is unmuted. With
// Local: a moderator unmuted a local track.
type EventTrackPublished struct {
	Meta
	Track TrackInfo
}

// EventTrackUnpublished: a track ended, or was muted (Muted is true, Cause is UnpublishMuted). With Local: a moderator
// muted a local track.
type EventTrackUnpublished struct {
	Meta
	Track TrackInfo
}

// EventAudioLevel: how loud a participant is.
type EventAudioLevel struct {
	Meta
	UserID, SessionID string
	Level             float32 // 0.0 (silence) to 1.0
	Speaking          bool
}

// EventDominantSpeaker: another participant speaks most.
type EventDominantSpeaker struct {
	Meta
	UserID, SessionID string
}

// EventConnectionQuality: how well a participant is connected.
type EventConnectionQuality struct {
	Meta
	UserID, SessionID string
	Quality           ConnectionQuality
}

// EventCounts: the number of participants, as counted by the SFU.
type EventCounts struct {
	Meta
	Participants          int // the local one and anonymous ones included
	AnonymousParticipants int // counted, not listed; 0 in protocols without them
}

// EventRights: what the local participant may do, on join and whenever it changes.
type EventRights struct {
	Meta
	Rights Rights
}

// Pin is a pinned participant.
type Pin struct{ UserID, SessionID string }

// EventPins: all pinned participants, most important first.
type EventPins struct {
	Meta
	Pins []Pin
}

// EventLocalTrackPublished: a local track is published; again after each reconnect that made a new session.
type EventLocalTrackPublished struct {
	Meta
	LocalTrack uint64 // Track.ID; 0 when the track was closed meanwhile
}

// EventLocalTrackFailed: a local track could not be published, or is not published any more.
type EventLocalTrackFailed struct {
	Meta
	LocalTrack uint64 // Track.ID; 0 when the track was closed meanwhile
	Err        error  // an *Error
}

// EventError: something failed that does not end the call.
type EventError struct {
	Meta
	Err error // an *Error
}

// EventLost: events are missing here, because the application did not take them in time. Packets and texts are missing
// when they could not be completed.
type EventLost struct {
	Meta
	Total       uint64 // everything that is missing: events, packets and texts
	DataPackets uint64 // packets of participants, part of Total
	DataBytes   uint64 // bytes of these packets
	Texts       uint64 // texts of participants, part of Total
}

// EventAudio: audio of a track; from Call.WaitEvent only (see CallOptions.PullAudio).
type EventAudio struct {
	Meta
	Audio *AudioFrame
}

// EventEnded: the call has ended. Exactly one, the last event of a call.
type EventEnded struct {
	Meta
	Reason EndReason
	Text   string // the reason in words
	Err    error  // nil when the call ended without a failure, else an *Error
}

// EventReconnected: the connection was lost and is made again; the state joined came just before.
type EventReconnected struct {
	Meta
	SessionID     string // of the local participant now
	ReconnectKind ReconnectKind
	Attempts      int           // the successful one included
	Elapsed       time.Duration // since the loss was detected
}

// EventCustom: custom event from a participant or your backend. Your own are echoed. Only with
// ClientOptions.ReceiveCustomEvents. Can come before EventJoined.
type EventCustom struct {
	Meta
	UserID     string // of the sender; "" when the coordinator does not say
	CustomType string // the member `type` of the data when it is a string, else ""
	DataJSON   string // a JSON object, at most 16384 bytes. The order of its members can differ from the sender's
}

// EventRoom: the room, on join and when it changed (CapRoom).
type EventRoom struct {
	Meta
	RoomID    string // the server's id of the room
	Name      string // usually the call id that was joined
	Metadata  string // the application's own text about the room; may be ""
	Recording bool
}

// EventData: a packet from a participant, or from the application's server (CapData).
type EventData struct {
	Meta
	UserID    string // of the sender; "" for the application's server. Can come before EventParticipantJoined
	SessionID string // of the sender; "" when it is not known
	Topic     string // may be ""
	Data      []byte
	Lossy     bool // it came over the lossy channel
}

// EventText: a complete text from a participant (CapText).
type EventText struct {
	Meta
	UserID         string // of the sender; "" for the application's server
	SessionID      string // of the sender; "" when it is not known
	Topic          string // may be ""
	TextID         string // the sender's id of this text
	Text           string
	AttributesJSON string // names and values that the sender attached, as a JSON object of strings; may be ""
}

// EventTextPart: a part of a text that is still arriving; only with CallOptions.TextParts. The complete text follows as
// EventText.
type EventTextPart struct {
	Meta
	UserID         string // of the sender; "" for the application's server
	SessionID      string // of the sender; "" when it is not known
	Topic          string // may be ""
	TextID         string // the same for all parts and for EventText
	Text           string // the new part; whole characters only
	AttributesJSON string // names and values that the sender attached, as a JSON object of strings; may be ""
	OffsetBytes    uint64 // bytes of the text before this part
}

// EventRPCRequest: a participant calls a procedure; answer with Call.AnswerRPC or Call.FailRPC (CapRPC).
type EventRPCRequest struct {
	Meta
	RequestID string // for the answer
	UserID    string // of the caller
	Method    string
	Payload   string        // may be ""
	Timeout   time.Duration // how long the caller waits for the answer
}

// EventRPCResponse: result of Call.PerformRPC; exactly one for each, before EventEnded at the latest.
type EventRPCResponse struct {
	Meta
	RPCID     uint64   // the id that Call.PerformRPC returned
	Payload   string   // the answer; on failure the data of the error, usually ""
	ErrorCode RPCError // 0: success
	Text      string   // why it failed; "" on success
}

// EventSubscriptionPermission: permission to subscribe to a track was revoked or restored (CapSubscriptions).
type EventSubscriptionPermission struct {
	Meta
	UserID, SessionID, TrackID string
	Allowed                    bool
}

// EventMedia: media of one direction was connected, or lost.
type EventMedia struct {
	Meta
	Direction Direction
	Connected bool   // false: it was connected and was lost
	Text      string // what was tried and found; "" when connected
}

// EventUnsent: what was accepted and could not be sent before the call ended; before EventEnded, at most once.
type EventUnsent struct {
	Meta
	Audio        time.Duration // all tracks together
	DataPackets  uint64
	Texts        uint64
	CustomEvents uint64
	RPCAnswers   uint64
	Bytes        uint64 // of everything but audio
}

// EventUnplayable: media or data of a participant cannot be decoded; once for each track (data: participant) and reason.
type EventUnplayable struct {
	Meta
	UserID, SessionID string      // "" when they are not known
	TrackID           string      // "" when it is not known, and for data
	Text              string      // what was found and what to do
	Source            TrackSource // SourceUnknown for data
	Reason            UnplayableReason
}

// EventDTMF: a participant (SIP) pressed a key of the telephone.
type EventDTMF struct {
	Meta
	UserID    string
	SessionID string // "" when it is not known
	Digit     string // "0" to "9", "*", "#", "A" to "D"
	Code      int    // its number (RFC 4733): 0 to 15
}

// EventICEServer: a STUN or TURN server gave no address; once for each server and code in a call. The call goes on with the
// addresses that it has.
type EventICEServer struct {
	Meta
	URL  string // of the server, without credentials
	Text string // what was found and what to do
	Code int    // of its error response, for instance 401 or 486; 701: it was not reached
}

// EventUnknown: an event of a kind that this package does not know.
type EventUnknown struct{ Meta }

// Events as Go values. They are copies of their own: keep them, change them, hand them to other goroutines.

//go:build cgo

package offhook

import "time"

// Event is something that happened in a call: one of the *Event… types below, to be told apart by a type switch. More
// may be added: ignore what you do not know.
type Event interface {
	Kind() EventKind
	// At is when it happened, since the call was started.
	At() time.Duration
}

// Meta is what every event has.
type Meta struct {
	kind EventKind
	at   time.Duration
}

// Kind tells what the event is about.
func (m Meta) Kind() EventKind { return m.kind }

// At is when it happened, since the call was started.
func (m Meta) At() time.Duration { return m.at }

// EventState: the call is in another state.
type EventState struct {
	Meta
	State, Previous State
}

// Counts is a head count, self included.
type Counts struct{ Total, Anonymous int }

// EventJoined: the SFU has let this participant in; EventMedia says when media of a direction flows.
type EventJoined struct {
	Meta
	SessionID string // one's own
	Counts    Counts
	Took      time.Duration // since the call was started
}

// EventTokenNeeded: answer with Call.ProvideToken within 30 s.
type EventTokenNeeded struct{ Meta }

// Participant is somebody in the call.
type Participant struct {
	UserID, SessionID string // one user may be in a call more than once
	Name, Image       string
	Custom            string // custom data as JSON, "" without any
	Quality           Quality
	Speaking          bool
	Dominant          bool
	Level             float32 // loudness, 0.0 to 1.0
	Metadata          string  // the application's own text about it, "" without any (CapAttributes)
	Attributes        string  // names and values as a JSON object, "" without any (CapAttributes)
	Kind              ParticipantKind
	Local             bool        // the local participant
	Reason            LeaveReason // EventParticipantLeft: why
	Rights            Rights      // 0 in protocols that do not say them of others
}

// EventParticipantJoined: a participant joined; on join sent once for everybody already present.
type EventParticipantJoined struct {
	Meta
	Participant Participant
}

// EventParticipantUpdated: something about a participant changed; with Local about the local one, after each join and
// whenever the server changes it.
type EventParticipantUpdated struct {
	Meta
	Participant Participant
}

// EventParticipantLeft: somebody is gone.
type EventParticipantLeft struct {
	Meta
	Participant Participant
}

// RemoteTrack is a track of a participant.
type RemoteTrack struct {
	UserID, SessionID string
	Kind              TrackKind
	Cause             Cause  // why it ended
	TrackID           string // for Subscriber.SetTrack; "" in protocols without one
	Name              string // as its publisher calls it; may be ""
	Muted             bool   // published, and muted
	Local             bool   // a track of the local participant, changed by a moderator
	Held              bool   // unmuted by a moderator, and still muted here (CallOptions.HoldUnmute)
	Encrypted         bool   // end to end
}

// EventTrackPublished: a participant published a track, once, muted or not, and again each time it is unmuted. With Local:
// a moderator unmuted a local track.
type EventTrackPublished struct {
	Meta
	Track RemoteTrack
}

// EventTrackUnpublished: a participant's track ended (or was muted; see Cause).
type EventTrackUnpublished struct {
	Meta
	Track RemoteTrack
}

// EventAudioLevel: how loud a participant is now.
type EventAudioLevel struct {
	Meta
	UserID, SessionID string
	Level             float32 // 0.0 to 1.0
	Speaking          bool
}

// EventDominantSpeaker: who speaks most.
type EventDominantSpeaker struct {
	Meta
	UserID, SessionID string
}

// EventConnectionQuality: how well a participant is connected.
type EventConnectionQuality struct {
	Meta
	UserID, SessionID string
	Quality           Quality
}

// EventCounts: how many are in the call, by the SFU's count.
type EventCounts struct {
	Meta
	Counts Counts
}

// EventGrants: what this participant may do, and how others see it.
type EventGrants struct {
	Meta
	Audio, Video, ScreenShare bool // publishing
	Data                      bool // data, texts and procedure calls
	Subscribe                 bool // receiving tracks
	UpdateMetadata            bool // changing its own name, metadata and attributes
	Hidden                    bool // not visible to others
	Recorder                  bool // records the call
}

// Pin names a pinned participant.
type Pin struct{ UserID, SessionID string }

// EventPins: the pinned participants, most important first.
type EventPins struct {
	Meta
	Pins []Pin
}

// EventLocalPublished: a track of one's own is on the air.
type EventLocalPublished struct {
	Meta
	TrackID uint64 // Track.ID; 0 when the track was closed meanwhile
}

// EventLocalFailed: a track of one's own could not be published, or not any more.
type EventLocalFailed struct {
	Meta
	TrackID uint64 // Track.ID; 0 when the track was closed meanwhile
	Err     error  // an *Error
}

// EventError: something failed that does not end the call.
type EventError struct {
	Meta
	Err error // an *Error
}

// EventLost: so many events were dropped here because the application was too slow to take them.
type EventLost struct {
	Meta
	Count       uint64
	DataPackets uint64 // packets of participants, part of Count
	DataBytes   uint64 // bytes of these packets
	Texts       uint64 // texts of participants, part of Count
}

// EventAudio: sound of a participant; from Call.NextEvent only (see CallOptions.PullAudio).
type EventAudio struct {
	Meta
	Audio *Audio
}

// EventEnded: the call is over. The one terminal event, the last of all.
type EventEnded struct {
	Meta
	Reason EndReason
	Text   string // the reason in words
	Err    error  // nil when the call ended as wanted, else an *Error
}

// EventReconnected: the connection was lost and is back; state joined came just before.
type EventReconnected struct {
	Meta
	SessionID string // one's own now
	How       Reconnect
	Attempts  int
	Elapsed   time.Duration // since the loss was noticed
}

// EventCustom: somebody, or the application's server, told everyone who watches the call; only with
// ClientOptions.Events. May come before EventJoined. One's own come back, too.
type EventCustom struct {
	Meta
	UserID string // who sent it; "" when the coordinator does not say
	Type   string // the member `type` of the data when it is text, else ""
	JSON   string // 16384 bytes at most; the order of its members is not that of the sender
}

// EventRoom: the room, at the join and when it has changed (CapRoom).
type EventRoom struct {
	Meta
	ID        string // the server's name of it
	Name      string
	Metadata  string // the application's own text about the room, "" without any
	Recording bool
}

// EventData: a packet of another participant, or of the application's server (CapData).
type EventData struct {
	Meta
	UserID    string // "" for the application's server; may come before EventParticipantJoined
	SessionID string // "" when it is not told
	Topic     string
	Data      []byte
	Lossy     bool // it came over the lossy channel
}

// EventText: a text of another participant, put together (CapText).
type EventText struct {
	Meta
	UserID    string // "" for the application's server
	SessionID string // "" when it is not told
	Topic     string
	ID        string // the sender's name of this text
	Text      string
	// Attributes is what its sender attached, names and values as a JSON object, "" without any.
	Attributes string
}

// EventRPCRequest: another participant calls a procedure; answer with Call.AnswerRPC or Call.FailRPC (CapRPC).
type EventRPCRequest struct {
	Meta
	RequestID string
	UserID    string // who calls
	Method    string
	Payload   string
	Timeout   time.Duration // how long the caller waits
}

// EventRPCResponse: what became of a Call.RPC; exactly one for each, before EventEnded at the latest.
type EventRPCResponse struct {
	Meta
	CallID  uint64   // the number that Call.RPC gave
	Payload string   // the answer; of a failure its data, mostly ""
	Code    RPCError // 0: it went well
	Text    string   // why it failed, else ""
}

// EventSubscribable: a track cannot be had any more, or again (CapSubscriptions).
type EventSubscribable struct {
	Meta
	UserID, SessionID, TrackID string
	Allowed                    bool
}

// EventMedia: media of one direction is connected, or was lost.
type EventMedia struct {
	Meta
	Direction Direction
	Connected bool   // false: it was connected and was lost
	Text      string // what was tried and found; "" when connected
}

// EventUnsent: the call has ended before everything that was accepted could be sent; comes before EventEnded, at most
// once.
type EventUnsent struct {
	Meta
	Audio        time.Duration // all tracks together
	DataPackets  uint64
	Texts        uint64
	CustomEvents uint64
	RPCAnswers   uint64
	Bytes        uint64 // of all of them but audio
}

// EventUnplayable: media or data of a participant arrives that cannot be decoded; once for each track (of data:
// participant) and reason.
type EventUnplayable struct {
	Meta
	UserID, SessionID string    // "" when they are not known
	TrackID           string    // "" when it is not known, and of data
	Text              string    // what was found and what to do
	Track             TrackKind // 0 of data
	Reason            Unplayable
}

// EventTextPart: a piece of a text that is still arriving; only with CallOptions.PartialTexts. The whole text follows
// as EventText.
type EventTextPart struct {
	Meta
	UserID     string // "" for the application's server
	SessionID  string // "" when it is not known
	Topic      string
	ID         string // the same for all pieces and for EventText
	Attributes string // what its sender attached, names and values as a JSON object, "" without any
	Text       string // the new piece; whole characters only
	Offset     uint64 // bytes of the text before this piece
}

// EventDTMF: a participant (of SIP) pressed a key of the telephone.
type EventDTMF struct {
	Meta
	UserID    string
	SessionID string // "" when it is not known
	Digit     string // "0" to "9", "*", "#", "A" to "D"
	Code      int    // its number by RFC 4733: 0 to 15
}

// EventUnknown: an event of a kind that this binding does not know.
type EventUnknown struct{ Meta }

// The library's constants as Go types.

package offhook

// #include "shim.h"
import "C"

// State is where a call is.
type State int32

// The states of a call.
const (
	StateIdle               State = C.OH_STATE_IDLE
	StateJoining            State = C.OH_STATE_JOINING
	StateJoined             State = C.OH_STATE_JOINED
	StateReconnecting       State = C.OH_STATE_RECONNECTING
	StateMigrating          State = C.OH_STATE_MIGRATING
	StateOffline            State = C.OH_STATE_OFFLINE
	StateReconnectingFailed State = C.OH_STATE_RECONNECTING_FAILED
	StateLeft               State = C.OH_STATE_LEFT // over; nothing follows but EventEnded
)

// String is the state's name, for instance "joined".
func (s State) String() string { return C.GoString(C.oh_state_name(C.int32_t(s))) }

// EndReason is why a call ended.
type EndReason int32

// Reasons why a call ended.
const (
	EndLeft               EndReason = C.OH_END_LEFT                // the application left or closed the call
	EndCallEnded          EndReason = C.OH_END_CALL_ENDED          // the call was ended for everybody
	EndSessionEnded       EndReason = C.OH_END_SESSION_ENDED       // the livestream or session in it ended
	EndKicked             EndReason = C.OH_END_KICKED              // this participant was removed
	EndJoinFailed         EndReason = C.OH_END_JOIN_FAILED         // the join did not succeed
	EndConnectionLost     EndReason = C.OH_END_CONNECTION_LOST     // the connection was lost
	EndDisconnected       EndReason = C.OH_END_DISCONNECTED        // the SFU told this client to disconnect
	EndShutdown           EndReason = C.OH_END_SHUTDOWN            // Shutdown
	EndInternal           EndReason = C.OH_END_INTERNAL            // a defect of the library, contained to this call
	EndReconnectLimit     EndReason = C.OH_END_RECONNECT_LIMIT     // more than ten reconnects within two minutes
	EndNegotiationFailed  EndReason = C.OH_END_NEGOTIATION_FAILED  // offers could not be answered, three sessions in a row
	EndNetworkUnsupported EndReason = C.OH_END_NETWORK_UNSUPPORTED // peer connections never come up on this network
	EndReconnectRefused   EndReason = C.OH_END_RECONNECT_REFUSED   // this participant is not let in again
	EndReplaced           EndReason = C.OH_END_REPLACED            // somebody else has joined as this participant
)

// EventKind is what an event is about.
type EventKind int32

// The kinds of events; each has a type of its own, named Event and the rest of the name.
const (
	KindState              EventKind = C.OH_EVENT_STATE
	KindJoined             EventKind = C.OH_EVENT_JOINED
	KindTokenNeeded        EventKind = C.OH_EVENT_TOKEN_NEEDED
	KindParticipantJoined  EventKind = C.OH_EVENT_PARTICIPANT_JOINED
	KindParticipantUpdated EventKind = C.OH_EVENT_PARTICIPANT_UPDATED
	KindParticipantLeft    EventKind = C.OH_EVENT_PARTICIPANT_LEFT
	KindTrackPublished     EventKind = C.OH_EVENT_TRACK_PUBLISHED
	KindTrackUnpublished   EventKind = C.OH_EVENT_TRACK_UNPUBLISHED
	KindAudioLevel         EventKind = C.OH_EVENT_AUDIO_LEVEL
	KindDominantSpeaker    EventKind = C.OH_EVENT_DOMINANT_SPEAKER
	KindConnectionQuality  EventKind = C.OH_EVENT_CONNECTION_QUALITY
	KindCounts             EventKind = C.OH_EVENT_COUNTS
	KindGrants             EventKind = C.OH_EVENT_GRANTS
	KindPins               EventKind = C.OH_EVENT_PINS
	KindLocalPublished     EventKind = C.OH_EVENT_LOCAL_PUBLISHED
	KindLocalFailed        EventKind = C.OH_EVENT_LOCAL_FAILED
	KindError              EventKind = C.OH_EVENT_ERROR
	KindLost               EventKind = C.OH_EVENT_LOST
	KindAudio              EventKind = C.OH_EVENT_AUDIO
	KindEnded              EventKind = C.OH_EVENT_ENDED
	KindReconnected        EventKind = C.OH_EVENT_RECONNECTED
	KindCustom             EventKind = C.OH_EVENT_CUSTOM
	KindRoom               EventKind = C.OH_EVENT_ROOM
	KindData               EventKind = C.OH_EVENT_DATA
	KindText               EventKind = C.OH_EVENT_TEXT
	KindRPCRequest         EventKind = C.OH_EVENT_RPC_REQUEST
	KindRPCResponse        EventKind = C.OH_EVENT_RPC_RESPONSE
	KindSubscribable       EventKind = C.OH_EVENT_SUBSCRIBABLE
	KindMedia              EventKind = C.OH_EVENT_MEDIA
	KindUnsent             EventKind = C.OH_EVENT_UNSENT
	KindUnplayable         EventKind = C.OH_EVENT_UNPLAYABLE
	KindTextPart           EventKind = C.OH_EVENT_TEXT_PART
	KindDTMF               EventKind = C.OH_EVENT_DTMF
)

// String is the kind's name, for instance "participant_joined".
func (k EventKind) String() string { return C.GoString(C.oh_event_kind_name(C.int32_t(k))) }

// AudioFormat is a form of sound.
type AudioFormat int32

// Forms of sound.
const (
	S16  AudioFormat = C.OH_AUDIO_S16  // interleaved 16-bit integers
	F32  AudioFormat = C.OH_AUDIO_F32  // interleaved 32-bit floats, -1.0 to 1.0
	Opus AudioFormat = C.OH_AUDIO_OPUS // Opus packets (RFC 6716), 48 kHz clock
)

// TrackKind is what a track carries.
type TrackKind int32

// What tracks carry.
const (
	TrackAudio            TrackKind = C.OH_TRACK_AUDIO
	TrackVideo            TrackKind = C.OH_TRACK_VIDEO
	TrackScreenShare      TrackKind = C.OH_TRACK_SCREEN_SHARE
	TrackScreenShareAudio TrackKind = C.OH_TRACK_SCREEN_SHARE_AUDIO
)

// LogLevel is how important a log line is, most important first.
type LogLevel int32

// Levels of log lines.
const (
	LogOff   LogLevel = C.OH_LOG_OFF
	LogError LogLevel = C.OH_LOG_ERROR
	LogWarn  LogLevel = C.OH_LOG_WARN
	LogInfo  LogLevel = C.OH_LOG_INFO
	LogDebug LogLevel = C.OH_LOG_DEBUG
	LogTrace LogLevel = C.OH_LOG_TRACE
)

// Reconnect is how a lost connection was found again.
type Reconnect int32

// How a lost connection was found again.
const (
	ReconnectFast    Reconnect = C.OH_RECONNECT_FAST    // a new socket for the same session; sound went on meanwhile
	ReconnectRejoin  Reconnect = C.OH_RECONNECT_REJOIN  // a new session; what was published is published again
	ReconnectMigrate Reconnect = C.OH_RECONNECT_MIGRATE // another edge of the SFU, the old one played until it took over
)

// Network is what happened to the machine's network.
type Network int32

// What happened to the machine's network.
const (
	NetworkOffline Network = C.OH_NETWORK_OFFLINE // there is none: calls stop trying and wait
	NetworkOnline  Network = C.OH_NETWORK_ONLINE  // it is back: calls that wait reconnect at once
	NetworkNew     Network = C.OH_NETWORK_CHANGED // it is another one: calls reconnect with new sockets
)

// Protocol is the protocol of an SFU.
type Protocol int32

// Protocols.
const (
	ProtocolStream  Protocol = C.OH_PROTOCOL_STREAM  // Stream Video's, which the development SFU speaks as well
	ProtocolLiveKit Protocol = C.OH_PROTOCOL_LIVEKIT // LiveKit's, of the open server and its cluster
)

// Capabilities is a set of what only some protocols have.
type Capabilities uint64

// What only some protocols have. A function that needs one which the call's protocol lacks gives ErrUnsupported.
const (
	CapCustomEvents    Capabilities = C.OH_CAP_CUSTOM_EVENTS    // Call.SendCustom, EventCustom
	CapRing            Capabilities = C.OH_CAP_RING             // CallOptions: Ring, Notify, DataJSON, NoCreate; else ignored
	CapPins            Capabilities = C.OH_CAP_PINS             // EventPins
	CapDominantSpeaker Capabilities = C.OH_CAP_DOMINANT_SPEAKER // EventDominantSpeaker
	CapMigrate         Capabilities = C.OH_CAP_MIGRATE          // StateMigrating
	CapData            Capabilities = C.OH_CAP_DATA             // Call.SendData, EventData
	CapText            Capabilities = C.OH_CAP_TEXT             // Call.SendText, EventText
	CapRPC             Capabilities = C.OH_CAP_RPC              // Call.RPC, EventRPCRequest
	CapAttributes      Capabilities = C.OH_CAP_ATTRIBUTES       // Call.SetAttributes, metadata and attributes
	CapRoom            Capabilities = C.OH_CAP_ROOM             // EventRoom
	CapSubscriptions   Capabilities = C.OH_CAP_SUBSCRIPTIONS    // Subscriber.SetTrack, EventSubscribable
)

// Has tells whether all of want are in the set.
func (c Capabilities) Has(want Capabilities) bool { return c&want == want }

// Layer is a layer of simulcast video.
type Layer int32

// Layers of simulcast video.
const (
	LayerHigh   Layer = C.OH_LAYER_HIGH // as good as the network allows
	LayerMedium Layer = C.OH_LAYER_MEDIUM
	LayerLow    Layer = C.OH_LAYER_LOW
)

// RPCError is why a procedure call failed: one of these, or a code of the application's own from 1 to 999 and from 2000 on.
type RPCError uint32

// Why a procedure call failed, as far as clients themselves find out.
const (
	RPCUnsupportedMethod     RPCError = C.OH_RPC_UNSUPPORTED_METHOD     // the other participant has no such procedure
	RPCRecipientNotFound     RPCError = C.OH_RPC_RECIPIENT_NOT_FOUND    // who is called is not in the call
	RPCRequestTooLarge       RPCError = C.OH_RPC_REQUEST_TOO_LARGE      // the payload is too long for the other side
	RPCUnsupportedVersion    RPCError = C.OH_RPC_UNSUPPORTED_VERSION    // the other side speaks another version
	RPCApplication           RPCError = C.OH_RPC_APPLICATION            // the procedure failed
	RPCConnectionTimeout     RPCError = C.OH_RPC_CONNECTION_TIMEOUT     // not confirmed within 7 s
	RPCResponseTimeout       RPCError = C.OH_RPC_RESPONSE_TIMEOUT       // it has the request, and did not answer in time
	RPCRecipientDisconnected RPCError = C.OH_RPC_RECIPIENT_DISCONNECTED // it left
	RPCResponseTooLarge      RPCError = C.OH_RPC_RESPONSE_TOO_LARGE     // its answer was too long
	RPCSendFailed            RPCError = C.OH_RPC_SEND_FAILED            // the call has ended, or too many are under way
)

// ParticipantKind is what kind of participant it is.
type ParticipantKind int32

// Kinds of participants.
const (
	ParticipantStandard ParticipantKind = C.OH_PARTICIPANT_STANDARD // a person with a client, or a program that joined as one
	ParticipantIngress  ParticipantKind = C.OH_PARTICIPANT_INGRESS  // a stream that is fed into the call (RTMP, WHIP)
	ParticipantEgress   ParticipantKind = C.OH_PARTICIPANT_EGRESS   // a stream or recording that is made of the call
	ParticipantSIP      ParticipantKind = C.OH_PARTICIPANT_SIP      // a telephone
	ParticipantAgent    ParticipantKind = C.OH_PARTICIPANT_AGENT    // a program that acts by itself
	ParticipantRecorder ParticipantKind = C.OH_PARTICIPANT_RECORDER // records the call
	ParticipantOther    ParticipantKind = C.OH_PARTICIPANT_OTHER    // of a kind that this version does not know
)

// LeaveReason is why a participant left.
type LeaveReason int32

// Why participants leave.
const (
	LeaveUnknown           LeaveReason = C.OH_LEAVE_UNKNOWN            // not said by the server
	LeaveClient            LeaveReason = C.OH_LEAVE_CLIENT             // by its own decision
	LeaveReplaced          LeaveReason = C.OH_LEAVE_REPLACED           // another client joined as the same participant
	LeaveServerShutdown    LeaveReason = C.OH_LEAVE_SERVER_SHUTDOWN    // its server shut down
	LeaveRemoved           LeaveReason = C.OH_LEAVE_REMOVED            // it was removed
	LeaveRoomDeleted       LeaveReason = C.OH_LEAVE_ROOM_DELETED       // the room was deleted
	LeaveStateMismatch     LeaveReason = C.OH_LEAVE_STATE_MISMATCH     // server and client did not agree about its session
	LeaveJoinFailure       LeaveReason = C.OH_LEAVE_JOIN_FAILURE       // it did not get in
	LeaveMigration         LeaveReason = C.OH_LEAVE_MIGRATION          // it went on to another server
	LeaveSignalClose       LeaveReason = C.OH_LEAVE_SIGNAL_CLOSE       // its signalling connection was lost
	LeaveRoomClosed        LeaveReason = C.OH_LEAVE_ROOM_CLOSED        // the room was closed
	LeaveUserUnavailable   LeaveReason = C.OH_LEAVE_USER_UNAVAILABLE   // SIP: the callee did not answer
	LeaveUserRejected      LeaveReason = C.OH_LEAVE_USER_REJECTED      // SIP: the callee declined
	LeaveSIPTrunkFailure   LeaveReason = C.OH_LEAVE_SIP_TRUNK_FAILURE  // SIP: the trunk failed
	LeaveConnectionTimeout LeaveReason = C.OH_LEAVE_CONNECTION_TIMEOUT // its connection timed out
	LeaveMediaFailure      LeaveReason = C.OH_LEAVE_MEDIA_FAILURE      // its media failed
	LeaveAgentError        LeaveReason = C.OH_LEAVE_AGENT_ERROR        // the agent failed
)

// Rights is a set of rights of a participant.
type Rights uint32

// Rights of participants.
const (
	RightAudio          Rights = C.OH_RIGHT_AUDIO           // may publish audio of a microphone
	RightVideo          Rights = C.OH_RIGHT_VIDEO           // may publish video of a camera
	RightScreenShare    Rights = C.OH_RIGHT_SCREEN_SHARE    // may publish the screen and its audio
	RightData           Rights = C.OH_RIGHT_DATA            // may send data, texts and procedure calls
	RightSubscribe      Rights = C.OH_RIGHT_SUBSCRIBE       // may receive tracks
	RightUpdateMetadata Rights = C.OH_RIGHT_UPDATE_METADATA // may change its own name, metadata and attributes
	RightHidden         Rights = C.OH_RIGHT_HIDDEN          // is not visible to others
	RightRecorder       Rights = C.OH_RIGHT_RECORDER        // records the call
)

// Has tells whether all of want are in the set.
func (r Rights) Has(want Rights) bool { return r&want == want }

// Direction is a direction of media, seen from here.
type Direction int32

// Directions of media.
const (
	DirectionSend    Direction = C.OH_DIRECTION_SEND    // what is published
	DirectionReceive Direction = C.OH_DIRECTION_RECEIVE // what is received
)

// Unplayable is why something that arrived cannot be decoded.
type Unplayable int32

// Why something that arrived cannot be decoded.
const (
	UnplayableEncrypted     Unplayable = C.OH_UNPLAYABLE_ENCRYPTED      // the track is encrypted end to end
	UnplayableCodec         Unplayable = C.OH_UNPLAYABLE_CODEC          // its codec is not supported
	UnplayableUnassigned    Unplayable = C.OH_UNPLAYABLE_UNASSIGNED     // the stream cannot be assigned to a track
	UnplayablePayloadType   Unplayable = C.OH_UNPLAYABLE_PAYLOAD_TYPE   // its payload type was not negotiated
	UnplayableDataEncrypted Unplayable = C.OH_UNPLAYABLE_DATA_ENCRYPTED // data or a text is encrypted end to end
)

// Quality is how well a participant is connected.
type Quality int32

// How well a participant is connected.
const (
	QualityUnknown Quality = iota
	QualityPoor
	QualityGood
	QualityExcellent
	QualityLost
)

// Cause is why a track ended.
type Cause int32

// Why a track ended.
const (
	CauseUnknown           Cause = iota // not said
	CauseMuted                          // muted by its user
	CausePermissionRevoked              // permission revoked
	CauseModeration                     // moderation
)

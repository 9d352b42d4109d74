// The library's constants as Go types.

package offhook

// #include "shim.h"
import "C"

// State is the state of a call.
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
func (s State) String() string { return C.GoString(C.oh_call_state_get_name(C.oh_call_state(s))) }

// EndReason is why a call ended.
type EndReason int32

// Reasons why a call ended.
const (
	EndLeft               EndReason = C.OH_END_LEFT                // the application left or closed the call
	EndCallEnded          EndReason = C.OH_END_CALL_ENDED          // the call was ended for everybody
	EndSessionEnded       EndReason = C.OH_END_SESSION_ENDED       // the livestream or session in it ended
	EndKicked             EndReason = C.OH_END_KICKED              // this participant was removed
	EndJoinFailed         EndReason = C.OH_END_JOIN_FAILED         // the join failed
	EndConnectionLost     EndReason = C.OH_END_CONNECTION_LOST     // the connection was lost, and reconnecting failed
	EndDisconnected       EndReason = C.OH_END_DISCONNECTED        // the SFU disconnected this client
	EndShutdown           EndReason = C.OH_END_SHUTDOWN            // Shutdown
	EndInternal           EndReason = C.OH_END_INTERNAL            // a defect of the library, contained to this call
	EndReconnectLimit     EndReason = C.OH_END_RECONNECT_LIMIT     // more than ten reconnects within two minutes
	EndNegotiationFailed  EndReason = C.OH_END_NEGOTIATION_FAILED  // offers could not be answered, in three consecutive sessions
	EndNetworkUnsupported EndReason = C.OH_END_NETWORK_UNSUPPORTED // peer connections cannot be established on this network
	EndReconnectRefused   EndReason = C.OH_END_RECONNECT_REFUSED   // a reconnect was refused
	EndReplaced           EndReason = C.OH_END_REPLACED            // another client joined as this participant
)

// EventKind is the kind of an event.
type EventKind int32

// The kinds of events; each has a type of its own, named Event and the rest of the name.
const (
	KindState                  EventKind = C.OH_EVENT_STATE
	KindJoined                 EventKind = C.OH_EVENT_JOINED
	KindTokenNeeded            EventKind = C.OH_EVENT_TOKEN_NEEDED
	KindParticipantJoined      EventKind = C.OH_EVENT_PARTICIPANT_JOINED
	KindParticipantUpdated     EventKind = C.OH_EVENT_PARTICIPANT_UPDATED
	KindParticipantLeft        EventKind = C.OH_EVENT_PARTICIPANT_LEFT
	KindTrackPublished         EventKind = C.OH_EVENT_TRACK_PUBLISHED
	KindTrackUnpublished       EventKind = C.OH_EVENT_TRACK_UNPUBLISHED
	KindAudioLevel             EventKind = C.OH_EVENT_AUDIO_LEVEL
	KindDominantSpeaker        EventKind = C.OH_EVENT_DOMINANT_SPEAKER
	KindConnectionQuality      EventKind = C.OH_EVENT_CONNECTION_QUALITY
	KindCounts                 EventKind = C.OH_EVENT_COUNTS
	KindRights                 EventKind = C.OH_EVENT_RIGHTS
	KindPins                   EventKind = C.OH_EVENT_PINS
	KindLocalTrackPublished    EventKind = C.OH_EVENT_LOCAL_TRACK_PUBLISHED
	KindLocalTrackFailed       EventKind = C.OH_EVENT_LOCAL_TRACK_FAILED
	KindError                  EventKind = C.OH_EVENT_ERROR
	KindLost                   EventKind = C.OH_EVENT_LOST
	KindAudio                  EventKind = C.OH_EVENT_AUDIO
	KindEnded                  EventKind = C.OH_EVENT_ENDED
	KindReconnected            EventKind = C.OH_EVENT_RECONNECTED
	KindCustom                 EventKind = C.OH_EVENT_CUSTOM
	KindRoom                   EventKind = C.OH_EVENT_ROOM
	KindData                   EventKind = C.OH_EVENT_DATA
	KindText                   EventKind = C.OH_EVENT_TEXT
	KindRPCRequest             EventKind = C.OH_EVENT_RPC_REQUEST
	KindRPCResponse            EventKind = C.OH_EVENT_RPC_RESPONSE
	KindSubscriptionPermission EventKind = C.OH_EVENT_SUBSCRIPTION_PERMISSION
	KindMedia                  EventKind = C.OH_EVENT_MEDIA
	KindUnsent                 EventKind = C.OH_EVENT_UNSENT
	KindUnplayable             EventKind = C.OH_EVENT_UNPLAYABLE
	KindTextPart               EventKind = C.OH_EVENT_TEXT_PART
	KindDTMF                   EventKind = C.OH_EVENT_DTMF
	KindICEServer              EventKind = C.OH_EVENT_ICE_SERVER
)

// String is the kind's name, for instance "participant_joined".
func (k EventKind) String() string { return C.GoString(C.oh_event_kind_get_name(C.oh_event_kind(k))) }

// AudioFormat is a format of audio.
type AudioFormat int32

// Formats of audio.
const (
	S16  AudioFormat = C.OH_AUDIO_S16  // interleaved 16-bit integers
	F32  AudioFormat = C.OH_AUDIO_F32  // interleaved 32-bit floats, -1.0 to 1.0
	Opus AudioFormat = C.OH_AUDIO_OPUS // Opus packets (RFC 6716), 48 kHz clock
)

// TrackSource is what a track carries, and from where.
type TrackSource int32

// What tracks carry.
const (
	SourceUnknown          TrackSource = C.OH_SOURCE_UNKNOWN // not known; data and texts have no source
	SourceMicrophone       TrackSource = C.OH_SOURCE_MICROPHONE
	SourceCamera           TrackSource = C.OH_SOURCE_CAMERA
	SourceScreenShare      TrackSource = C.OH_SOURCE_SCREEN_SHARE
	SourceScreenShareAudio TrackSource = C.OH_SOURCE_SCREEN_SHARE_AUDIO
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

// ReconnectKind is how a lost connection was made again.
type ReconnectKind int32

// How a lost connection was made again.
const (
	ReconnectFast    ReconnectKind = C.OH_RECONNECT_FAST    // a new socket for the same session; media continued meanwhile
	ReconnectRejoin  ReconnectKind = C.OH_RECONNECT_REJOIN  // a new session; local tracks were published again
	ReconnectMigrate ReconnectKind = C.OH_RECONNECT_MIGRATE // another edge of the SFU; media flowed over the old one until then
)

// NetworkChange is a change of the machine's network.
type NetworkChange int32

// Changes of the machine's network.
const (
	NetworkOffline NetworkChange = C.OH_NETWORK_OFFLINE // there is none: calls stop retrying and wait
	NetworkOnline  NetworkChange = C.OH_NETWORK_ONLINE  // it is back: calls that wait reconnect at once
	NetworkChanged NetworkChange = C.OH_NETWORK_CHANGED // it is another one: calls reconnect with new sockets
)

// Protocol is the protocol of a service.
type Protocol int32

// Protocols.
const (
	ProtocolAuto    Protocol = C.OH_PROTOCOL_AUTO    // by the URL: wss:// and ws:// mean LiveKit, https:// and http:// Stream
	ProtocolStream  Protocol = C.OH_PROTOCOL_STREAM  // Stream Video, also spoken by the development SFU
	ProtocolLiveKit Protocol = C.OH_PROTOCOL_LIVEKIT // LiveKit: the open server and its cluster
)

// Capabilities is a set of what only some protocols have.
type Capabilities uint64

// What only some protocols have. A function that needs one which the call's protocol lacks returns ErrUnsupported.
const (
	CapCustomEvents    Capabilities = C.OH_CAP_CUSTOM_EVENTS    // Call.SendCustomEvent, EventCustom
	CapRing            Capabilities = C.OH_CAP_RING             // CallOptions: Ring, Notify, DataJSON, NoCreate; otherwise ignored
	CapPins            Capabilities = C.OH_CAP_PINS             // EventPins
	CapDominantSpeaker Capabilities = C.OH_CAP_DOMINANT_SPEAKER // EventDominantSpeaker
	CapMigrate         Capabilities = C.OH_CAP_MIGRATE          // StateMigrating
	CapData            Capabilities = C.OH_CAP_DATA             // Call.SendData, EventData
	CapText            Capabilities = C.OH_CAP_TEXT             // Call.SendText, EventText
	CapRPC             Capabilities = C.OH_CAP_RPC              // Call.PerformRPC, EventRPCRequest
	CapAttributes      Capabilities = C.OH_CAP_ATTRIBUTES       // Call.SetAttributes, metadata and attributes
	CapRoom            Capabilities = C.OH_CAP_ROOM             // EventRoom
	CapSubscriptions   Capabilities = C.OH_CAP_SUBSCRIPTIONS    // Subscriber.SetTrack, EventSubscriptionPermission
)

// Has reports whether all of want are in the set.
func (c Capabilities) Has(want Capabilities) bool { return c&want == want }

// VideoLayer is a layer of simulcast video.
type VideoLayer int32

// Layers of simulcast video.
const (
	LayerHigh   VideoLayer = C.OH_LAYER_HIGH // the best that the network allows
	LayerMedium VideoLayer = C.OH_LAYER_MEDIUM
	LayerLow    VideoLayer = C.OH_LAYER_LOW
)

// RPCError is why a procedure call failed: one of these, or a code of the application's own from 1 to 999 and from 2000 on.
type RPCError uint32

// Why a procedure call failed, as detected by clients.
const (
	RPCUnsupportedMethod     RPCError = C.OH_RPC_UNSUPPORTED_METHOD     // the participant has no such procedure
	RPCRecipientNotFound     RPCError = C.OH_RPC_RECIPIENT_NOT_FOUND    // no participant with this user id is in the call
	RPCRequestTooLarge       RPCError = C.OH_RPC_REQUEST_TOO_LARGE      // the payload is too long for the participant
	RPCUnsupportedVersion    RPCError = C.OH_RPC_UNSUPPORTED_VERSION    // the participant uses another version
	RPCApplication           RPCError = C.OH_RPC_APPLICATION            // the procedure failed
	RPCConnectionTimeout     RPCError = C.OH_RPC_CONNECTION_TIMEOUT     // not acknowledged within 7 s
	RPCResponseTimeout       RPCError = C.OH_RPC_RESPONSE_TIMEOUT       // acknowledged, and not answered in time
	RPCRecipientDisconnected RPCError = C.OH_RPC_RECIPIENT_DISCONNECTED // the participant left
	RPCResponseTooLarge      RPCError = C.OH_RPC_RESPONSE_TOO_LARGE     // the answer was too long
	RPCSendFailed            RPCError = C.OH_RPC_SEND_FAILED            // the call ended, or too many requests are in progress
)

// ParticipantKind is what kind of participant it is.
type ParticipantKind int32

// Kinds of participants.
const (
	ParticipantStandard ParticipantKind = C.OH_PARTICIPANT_STANDARD // a person with a client, or a program that joined as one
	ParticipantIngress  ParticipantKind = C.OH_PARTICIPANT_INGRESS  // a stream that is ingested into the call (RTMP, WHIP)
	ParticipantEgress   ParticipantKind = C.OH_PARTICIPANT_EGRESS   // a recording or a stream of the call
	ParticipantSIP      ParticipantKind = C.OH_PARTICIPANT_SIP      // a telephone
	ParticipantAgent    ParticipantKind = C.OH_PARTICIPANT_AGENT    // a program that acts by itself
	ParticipantRecorder ParticipantKind = C.OH_PARTICIPANT_RECORDER // records the call
	ParticipantOther    ParticipantKind = C.OH_PARTICIPANT_OTHER    // of a kind that this version does not know
)

// LeaveReason is why a participant left.
type LeaveReason int32

// Why participants leave.
const (
	LeaveUnknown           LeaveReason = C.OH_LEAVE_UNKNOWN            // it has not left, or the server did not say
	LeaveClient            LeaveReason = C.OH_LEAVE_CLIENT             // it left by itself
	LeaveReplaced          LeaveReason = C.OH_LEAVE_REPLACED           // another client joined as the same participant
	LeaveServerShutdown    LeaveReason = C.OH_LEAVE_SERVER_SHUTDOWN    // its server shut down
	LeaveRemoved           LeaveReason = C.OH_LEAVE_REMOVED            // it was removed
	LeaveRoomDeleted       LeaveReason = C.OH_LEAVE_ROOM_DELETED       // the room was deleted
	LeaveStateMismatch     LeaveReason = C.OH_LEAVE_STATE_MISMATCH     // server and client disagreed about its session
	LeaveJoinFailure       LeaveReason = C.OH_LEAVE_JOIN_FAILURE       // its join failed
	LeaveMigration         LeaveReason = C.OH_LEAVE_MIGRATION          // it moved to another server
	LeaveSignalClose       LeaveReason = C.OH_LEAVE_SIGNAL_CLOSE       // its signalling connection was lost
	LeaveRoomClosed        LeaveReason = C.OH_LEAVE_ROOM_CLOSED        // the room was closed
	LeaveUserUnavailable   LeaveReason = C.OH_LEAVE_USER_UNAVAILABLE   // SIP: the callee did not answer
	LeaveUserRejected      LeaveReason = C.OH_LEAVE_USER_REJECTED      // SIP: the callee declined
	LeaveSIPTrunkFailure   LeaveReason = C.OH_LEAVE_SIP_TRUNK_FAILURE  // SIP: the trunk failed
	LeaveConnectionTimeout LeaveReason = C.OH_LEAVE_CONNECTION_TIMEOUT // its connection timed out
	LeaveMediaFailure      LeaveReason = C.OH_LEAVE_MEDIA_FAILURE      // its media failed
	LeaveAgentError        LeaveReason = C.OH_LEAVE_AGENT_ERROR        // the agent failed
)

// Rights is a set of rights of a participant. Bits that this package does not have may be set.
type Rights uint64

// Rights of participants.
const (
	RightAudio         Rights = C.OH_RIGHT_AUDIO          // may publish audio of a microphone
	RightVideo         Rights = C.OH_RIGHT_VIDEO          // may publish video of a camera
	RightScreenShare   Rights = C.OH_RIGHT_SCREEN_SHARE   // may publish the screen and its audio
	RightData          Rights = C.OH_RIGHT_DATA           // may send data, texts and procedure calls
	RightSubscribe     Rights = C.OH_RIGHT_SUBSCRIBE      // may receive tracks
	RightSetAttributes Rights = C.OH_RIGHT_SET_ATTRIBUTES // may change its own name, metadata and attributes
	RightHidden        Rights = C.OH_RIGHT_HIDDEN         // no right: is not visible to others
	RightRecorder      Rights = C.OH_RIGHT_RECORDER       // no right: records the call
)

// Has reports whether all of want are in the set.
func (r Rights) Has(want Rights) bool { return r&want == want }

// Direction is a direction of media, seen from the local participant.
type Direction int32

// Directions of media.
const (
	DirectionSend    Direction = C.OH_DIRECTION_SEND    // published media
	DirectionReceive Direction = C.OH_DIRECTION_RECEIVE // received media
)

// UnplayableReason is why received media or data cannot be decoded.
type UnplayableReason int32

// Why received media or data cannot be decoded.
const (
	UnplayableNone          UnplayableReason = C.OH_UNPLAYABLE_NONE           // it can, as far as is known
	UnplayableEncrypted     UnplayableReason = C.OH_UNPLAYABLE_ENCRYPTED      // the track is encrypted end to end
	UnplayableCodec         UnplayableReason = C.OH_UNPLAYABLE_CODEC          // its codec is not supported
	UnplayableUnassigned    UnplayableReason = C.OH_UNPLAYABLE_UNASSIGNED     // the stream cannot be assigned to a track
	UnplayablePayloadType   UnplayableReason = C.OH_UNPLAYABLE_PAYLOAD_TYPE   // its payload type was not negotiated
	UnplayableDataEncrypted UnplayableReason = C.OH_UNPLAYABLE_DATA_ENCRYPTED // data or a text is encrypted end to end
)

// IPFamily is which IP addresses media uses.
type IPFamily int32

// IP addresses that media uses.
const (
	IPAny IPFamily = C.OH_IP_ANY // IPv4 and IPv6
	IPv4  IPFamily = C.OH_IP_V4
	IPv6  IPFamily = C.OH_IP_V6
)

// ConnectionQuality is how well a participant is connected, as measured by the SFU.
type ConnectionQuality int32

// How well a participant is connected.
const (
	QualityUnknown   ConnectionQuality = C.OH_QUALITY_UNKNOWN   // not measured
	QualityPoor      ConnectionQuality = C.OH_QUALITY_POOR      // media is impaired
	QualityGood      ConnectionQuality = C.OH_QUALITY_GOOD      // some loss or delay
	QualityExcellent ConnectionQuality = C.OH_QUALITY_EXCELLENT // no impairment
	QualityLost      ConnectionQuality = C.OH_QUALITY_LOST      // the SFU receives nothing from the participant
)

// UnpublishCause is why a track ended or was muted.
type UnpublishCause int32

// Why a track ended or was muted.
const (
	UnpublishUnknown           UnpublishCause = C.OH_UNPUBLISH_UNKNOWN            // the server did not say
	UnpublishMuted             UnpublishCause = C.OH_UNPUBLISH_MUTED              // its participant muted it
	UnpublishPermissionRevoked UnpublishCause = C.OH_UNPUBLISH_PERMISSION_REVOKED // its participant lost the right to publish it
	UnpublishModeration        UnpublishCause = C.OH_UNPUBLISH_MODERATION         // a moderator muted or removed it
)

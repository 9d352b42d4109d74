// Converts events and snapshots of the library, which are valid for a moment only, to copies that belong to Go.

package offhook

// #include "shim.h"
import "C"

import (
	"time"
	"unsafe"
)

// known gives a structure of the library with the members that it has, and zero for those that an older library does
// not have. Every structure begins with its size. Members that a newer library adds at the end are ignored.
func known[T any](structure *T) *T {
	if structure == nil {
		return new(T)
	}
	size := uintptr(*(*C.size_t)(unsafe.Pointer(structure)))
	if size >= unsafe.Sizeof(*structure) {
		return structure
	}
	whole := new(T)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(whole)), unsafe.Sizeof(*whole)), unsafe.Slice((*byte)(unsafe.Pointer(structure)), size))
	return whole
}

// in gives the payload of an event: the member of its union that its kind names: state, joined, participant, track,
// audio_level, dominant_speaker, connection_quality, counts, rights, pins, local_track, error, lost, audio, ended,
// reconnected, custom, room, data, text, text_part, rpc_request, rpc_response, subscription_permission, media, unsent,
// unplayable, dtmf, ice_server; other for kinds that are not known.
func in[T any](e *C.oh_event) *T { return known(*(**T)(unsafe.Pointer(&e.u))) }

// list gives an array of pointers, which may be empty.
func list[T any](array **T, count C.size_t) []*T {
	if array == nil {
		return nil
	}
	return unsafe.Slice(array, int(count))
}

func text(s *C.char) string { return C.GoString(s) } // "" of nil

func millis(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }

func floatMillis(n C.float) time.Duration {
	return time.Duration(float64(n) * float64(time.Millisecond))
}

func participant(p *C.oh_participant) Participant {
	p = known(p)
	copied := Participant{
		UserID: text(p.user_id), SessionID: text(p.session_id), Name: text(p.name), ImageURL: text(p.image_url),
		CustomJSON: text(p.custom_json), Metadata: text(p.metadata), AttributesJSON: text(p.attributes_json),
		Rights: Rights(p.rights), RightsKnown: p.rights_known != 0, Kind: ParticipantKind(p.kind),
		Quality: ConnectionQuality(p.quality), LeaveReason: LeaveReason(p.leave_reason), AudioLevel: float32(p.audio_level),
		Speaking: p.speaking != 0, Dominant: p.dominant != 0, Local: p.local != 0,
	}
	for _, t := range list(p.tracks, p.track_count) {
		copied.Tracks = append(copied.Tracks, trackInfo(t))
	}
	return copied
}

func trackInfo(t *C.oh_track_info) TrackInfo {
	t = known(t)
	return TrackInfo{
		UserID: text(t.user_id), SessionID: text(t.session_id), TrackID: text(t.track_id), Name: text(t.name),
		Source: TrackSource(t.source), Cause: UnpublishCause(t.cause), Muted: t.muted != 0, Local: t.local != 0,
		Held: t.held != 0, Encrypted: t.encrypted != 0, LocalTrack: uint64(t.track.id), Received: t.received != 0,
		Unplayable: UnplayableReason(t.unplayable), Published: t.published != 0, Moderated: t.moderated != 0,
	}
}

// eventError is the error of an event; nil for OH_OK.
func eventError(op string, code C.oh_result, server C.int32_t, detail *C.char) error {
	if code == C.OH_OK {
		return nil
	}
	return &Error{Code: Code(code), Op: op, Detail: text(detail), ServerCode: int(server)}
}

func pins(p *C.oh_event_pins) []Pin {
	var pins []Pin
	for _, pin := range list(p.pins, p.pin_count) {
		pin = known(pin)
		pins = append(pins, Pin{text(pin.user_id), text(pin.session_id)})
	}
	return pins
}

// copyEvent makes the typed copy of an event; names keeps the strings of audio.
func copyEvent(e *C.oh_event, names *interned) Event {
	e = known(e)
	m := Meta{EventKind(e.kind), millis(uint64(e.at_ms))}
	switch e.kind {
	case C.OH_EVENT_STATE:
		s := in[C.oh_event_state](e)
		return &EventState{m, State(s.state), State(s.previous)}
	case C.OH_EVENT_JOINED:
		j := in[C.oh_event_joined](e)
		return &EventJoined{
			Meta: m, SessionID: text(j.session_id), JoinTime: millis(uint64(j.join_ms)), Participants: int(j.participants),
			AnonymousParticipants: int(j.anonymous_participants),
		}
	case C.OH_EVENT_TOKEN_NEEDED:
		return &EventTokenNeeded{m}
	case C.OH_EVENT_PARTICIPANT_JOINED:
		return &EventParticipantJoined{m, participant(in[C.oh_participant](e))}
	case C.OH_EVENT_PARTICIPANT_UPDATED:
		return &EventParticipantUpdated{m, participant(in[C.oh_participant](e))}
	case C.OH_EVENT_PARTICIPANT_LEFT:
		return &EventParticipantLeft{m, participant(in[C.oh_participant](e))}
	case C.OH_EVENT_TRACK_PUBLISHED:
		return &EventTrackPublished{m, trackInfo(in[C.oh_track_info](e))}
	case C.OH_EVENT_TRACK_UNPUBLISHED:
		return &EventTrackUnpublished{m, trackInfo(in[C.oh_track_info](e))}
	case C.OH_EVENT_AUDIO_LEVEL:
		l := in[C.oh_event_audio_level](e)
		return &EventAudioLevel{m, text(l.user_id), text(l.session_id), float32(l.level), l.speaking != 0}
	case C.OH_EVENT_DOMINANT_SPEAKER:
		d := in[C.oh_event_dominant_speaker](e)
		return &EventDominantSpeaker{m, text(d.user_id), text(d.session_id)}
	case C.OH_EVENT_CONNECTION_QUALITY:
		q := in[C.oh_event_connection_quality](e)
		return &EventConnectionQuality{m, text(q.user_id), text(q.session_id), ConnectionQuality(q.quality)}
	case C.OH_EVENT_COUNTS:
		c := in[C.oh_event_counts](e)
		return &EventCounts{m, int(c.participants), int(c.anonymous_participants)}
	case C.OH_EVENT_RIGHTS:
		return &EventRights{m, Rights(in[C.oh_event_rights](e).rights)}
	case C.OH_EVENT_PINS:
		return &EventPins{m, pins(in[C.oh_event_pins](e))}
	case C.OH_EVENT_LOCAL_TRACK_PUBLISHED:
		return &EventLocalTrackPublished{m, uint64(in[C.oh_event_local_track](e).track.id)}
	case C.OH_EVENT_LOCAL_TRACK_FAILED:
		l := in[C.oh_event_local_track](e)
		return &EventLocalTrackFailed{m, uint64(l.track.id), eventError("publish", l.error, l.server_code, l.text)}
	case C.OH_EVENT_ERROR:
		f := in[C.oh_event_error](e)
		return &EventError{m, eventError("call", f.error, f.server_code, f.text)}
	case C.OH_EVENT_LOST:
		l := in[C.oh_event_lost](e)
		return &EventLost{m, uint64(l.total), uint64(l.data_packets), uint64(l.data_bytes), uint64(l.texts)}
	case C.OH_EVENT_AUDIO:
		return &EventAudio{m, copyAudio(in[C.oh_audio_frame](e), names)}
	case C.OH_EVENT_ENDED:
		d := in[C.oh_event_ended](e)
		return &EventEnded{m, EndReason(d.reason), text(d.text), eventError("call", d.error, d.server_code, d.text)}
	case C.OH_EVENT_RECONNECTED:
		r := in[C.oh_event_reconnected](e)
		return &EventReconnected{m, text(r.session_id), ReconnectKind(r.kind), int(r.attempts), millis(uint64(r.elapsed_ms))}
	case C.OH_EVENT_ROOM:
		r := in[C.oh_event_room](e)
		return &EventRoom{m, text(r.room_id), text(r.name), text(r.metadata), r.recording != 0}
	case C.OH_EVENT_SUBSCRIPTION_PERMISSION:
		s := in[C.oh_event_subscription_permission](e)
		return &EventSubscriptionPermission{m, text(s.user_id), text(s.session_id), text(s.track_id), s.allowed != 0}
	case C.OH_EVENT_MEDIA:
		d := in[C.oh_event_media](e)
		return &EventMedia{m, Direction(d.direction), d.connected != 0, text(d.text)}
	case C.OH_EVENT_UNSENT:
		u := in[C.oh_event_unsent](e)
		return &EventUnsent{
			Meta: m, Audio: millis(uint64(u.audio_ms)), DataPackets: uint64(u.data_packets), Texts: uint64(u.texts),
			CustomEvents: uint64(u.custom_events), RPCAnswers: uint64(u.rpc_answers), Bytes: uint64(u.bytes),
		}
	case C.OH_EVENT_UNPLAYABLE:
		u := in[C.oh_event_unplayable](e)
		return &EventUnplayable{
			Meta: m, UserID: text(u.user_id), SessionID: text(u.session_id), TrackID: text(u.track_id), Text: text(u.text),
			Source: TrackSource(u.source), Reason: UnplayableReason(u.reason),
		}
	case C.OH_EVENT_ICE_SERVER:
		s := in[C.oh_event_ice_server](e)
		return &EventICEServer{m, text(s.url), text(s.text), int(s.code)}
	}
	return copyDataEvent(e, m)
}

// copyDataEvent is for data that participants send to each other.
func copyDataEvent(e *C.oh_event, m Meta) Event {
	switch e.kind {
	case C.OH_EVENT_CUSTOM:
		c := in[C.oh_event_custom](e)
		return &EventCustom{m, text(c.user_id), text(c.custom_type), text(c.data_json)}
	case C.OH_EVENT_DATA:
		d := in[C.oh_event_data](e)
		var data []byte
		if d.data != nil {
			data = copied[byte](unsafe.Pointer(d.data), int(d.data_size))
		}
		return &EventData{m, text(d.user_id), text(d.session_id), text(d.topic), data, d.lossy != 0}
	case C.OH_EVENT_TEXT:
		t := in[C.oh_event_text](e)
		return &EventText{m, text(t.user_id), text(t.session_id), text(t.topic), text(t.text_id), text(t.text),
			text(t.attributes_json)}
	case C.OH_EVENT_TEXT_PART:
		t := in[C.oh_event_text_part](e)
		return &EventTextPart{
			Meta: m, UserID: text(t.user_id), SessionID: text(t.session_id), Topic: text(t.topic), TextID: text(t.text_id),
			Text: text(t.text), AttributesJSON: text(t.attributes_json), OffsetBytes: uint64(t.offset_bytes),
		}
	case C.OH_EVENT_DTMF:
		d := in[C.oh_event_dtmf](e)
		return &EventDTMF{m, text(d.user_id), text(d.session_id), text(d.digit), int(d.code)}
	case C.OH_EVENT_RPC_REQUEST:
		r := in[C.oh_event_rpc_request](e)
		return &EventRPCRequest{m, text(r.request_id), text(r.user_id), text(r.method), text(r.payload),
			millis(uint64(r.timeout_ms))}
	case C.OH_EVENT_RPC_RESPONSE:
		r := in[C.oh_event_rpc_response](e)
		return &EventRPCResponse{m, uint64(r.rpc_id), text(r.payload), RPCError(r.error_code), text(r.text)}
	}
	return &EventUnknown{m}
}

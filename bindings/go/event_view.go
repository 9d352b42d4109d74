// From the library's events, valid only during the callback, to copies that are Go's own.

package offhook

// #include "shim.h"
import "C"

import (
	"time"
	"unsafe"
)

// in gives the member of an event's union that its kind names: state, joined, participant, track, level, quality, counts,
// grants, pins, local, error, lost, audio, ended, reconnected, custom, room, data, text, rpc, subscribable, media, unsent,
// unplayable, text_part or dtmf.
func in[T any](e *C.oh_event) *T { return (*T)(unsafe.Pointer(&e.u)) }

func text(s *C.char) string { return C.GoString(s) }

func millis(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }

func counts(c *C.oh_event_counts) Counts { return Counts{int(c.total), int(c.anonymous)} }

func participant(p *C.oh_event_participant) Participant {
	return Participant{
		UserID: text(p.user_id), SessionID: text(p.session_id), Name: text(p.name), Image: text(p.image),
		Custom: text(p.custom), Quality: Quality(p.quality), Speaking: p.speaking != 0, Dominant: p.dominant != 0,
		Level: float32(p.level), Metadata: text(p.metadata), Attributes: text(p.attributes),
		Kind: ParticipantKind(p.kind), Local: p.local != 0, Reason: LeaveReason(p.reason), Rights: Rights(p.rights),
	}
}

func remoteTrack(t *C.oh_event_track) RemoteTrack {
	return RemoteTrack{
		UserID: text(t.user_id), SessionID: text(t.session_id), Kind: TrackKind(t.kind), Cause: Cause(t.cause),
		TrackID: text(t.track_id), Name: text(t.name), Muted: t.muted != 0, Local: t.local != 0, Held: t.held != 0,
		Encrypted: t.encrypted != 0,
	}
}

// toldError is the error that an event tells of; nil for OH_OK.
func toldError(op string, code, server C.int32_t, words *C.char) error {
	if code == C.OH_OK {
		return nil
	}
	return &Error{Code: Code(code), Op: op, Detail: text(words), ServerCode: int(server)}
}

func pins(p *C.oh_event_pins) []Pin {
	if p.count == 0 {
		return nil
	}
	list := make([]Pin, p.count)
	for i, pin := range unsafe.Slice(p.pins, int(p.count)) {
		list[i] = Pin{text(pin.user_id), text(pin.session_id)}
	}
	return list
}

// copyEvent makes the typed copy of an event; names keeps the strings of sound.
func copyEvent(e *C.oh_event, names *interned) Event {
	m := Meta{EventKind(e.kind), millis(uint64(e.at_ms))}
	switch e.kind {
	case C.OH_EVENT_STATE:
		s := in[C.oh_event_state](e)
		return &EventState{m, State(s.state), State(s.previous)}
	case C.OH_EVENT_JOINED:
		j := in[C.oh_event_joined](e)
		return &EventJoined{m, text(j.session_id), counts(&j.counts), millis(uint64(j.join_ms))}
	case C.OH_EVENT_TOKEN_NEEDED:
		return &EventTokenNeeded{m}
	case C.OH_EVENT_PARTICIPANT_JOINED:
		return &EventParticipantJoined{m, participant(in[C.oh_event_participant](e))}
	case C.OH_EVENT_PARTICIPANT_UPDATED:
		return &EventParticipantUpdated{m, participant(in[C.oh_event_participant](e))}
	case C.OH_EVENT_PARTICIPANT_LEFT:
		return &EventParticipantLeft{m, participant(in[C.oh_event_participant](e))}
	case C.OH_EVENT_TRACK_PUBLISHED:
		return &EventTrackPublished{m, remoteTrack(in[C.oh_event_track](e))}
	case C.OH_EVENT_TRACK_UNPUBLISHED:
		return &EventTrackUnpublished{m, remoteTrack(in[C.oh_event_track](e))}
	case C.OH_EVENT_AUDIO_LEVEL:
		l := in[C.oh_event_level](e)
		return &EventAudioLevel{m, text(l.user_id), text(l.session_id), float32(l.level), l.speaking != 0}
	case C.OH_EVENT_DOMINANT_SPEAKER:
		l := in[C.oh_event_level](e)
		return &EventDominantSpeaker{m, text(l.user_id), text(l.session_id)}
	case C.OH_EVENT_CONNECTION_QUALITY:
		q := in[C.oh_event_quality](e)
		return &EventConnectionQuality{m, text(q.user_id), text(q.session_id), Quality(q.quality)}
	case C.OH_EVENT_COUNTS:
		return &EventCounts{m, counts(in[C.oh_event_counts](e))}
	case C.OH_EVENT_GRANTS:
		g := in[C.oh_event_grants](e)
		return &EventGrants{
			Meta: m, Audio: g.audio != 0, Video: g.video != 0, ScreenShare: g.screen_share != 0, Data: g.data != 0,
			Subscribe: g.subscribe != 0, UpdateMetadata: g.update_metadata != 0, Hidden: g.hidden != 0,
			Recorder: g.recorder != 0,
		}
	case C.OH_EVENT_PINS:
		return &EventPins{m, pins(in[C.oh_event_pins](e))}
	case C.OH_EVENT_LOCAL_PUBLISHED:
		return &EventLocalPublished{m, uint64(in[C.oh_event_local](e).track.id)}
	case C.OH_EVENT_LOCAL_FAILED:
		l := in[C.oh_event_local](e)
		return &EventLocalFailed{m, uint64(l.track.id), toldError("publish", l.error, l.server_code, l.text)}
	case C.OH_EVENT_ERROR:
		f := in[C.oh_event_error](e)
		return &EventError{m, toldError("call", f.error, f.server_code, f.text)}
	case C.OH_EVENT_LOST:
		l := in[C.oh_event_lost](e)
		return &EventLost{m, uint64(l.count), uint64(l.data_packets), uint64(l.data_bytes), uint64(l.texts)}
	case C.OH_EVENT_AUDIO:
		return &EventAudio{m, copyAudio(in[C.oh_audio](e), names)}
	case C.OH_EVENT_ENDED:
		d := in[C.oh_event_ended](e)
		return &EventEnded{m, EndReason(d.code), text(d.reason), toldError("call", d.error, d.server_code, d.reason)}
	case C.OH_EVENT_RECONNECTED:
		r := in[C.oh_event_reconnected](e)
		return &EventReconnected{m, text(r.session_id), Reconnect(r.how), int(r.attempts), millis(uint64(r.elapsed_ms))}
	case C.OH_EVENT_CUSTOM:
		c := in[C.oh_event_custom](e)
		return &EventCustom{m, text(c.user_id), text(c.custom_type), text(c.json)}
	case C.OH_EVENT_ROOM:
		r := in[C.oh_event_room](e)
		return &EventRoom{m, text(r.id), text(r.name), text(r.metadata), r.recording != 0}
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
			Track: TrackKind(u.kind), Reason: Unplayable(u.reason),
		}
	}
	return copyDataEvent(e, m)
}

// copyDataEvent is for what participants tell each other.
func copyDataEvent(e *C.oh_event, m Meta) Event {
	switch e.kind {
	case C.OH_EVENT_DATA:
		d := in[C.oh_event_data_packet](e)
		bytes := C.GoBytes(unsafe.Pointer(d.bytes), C.int(d.size))
		return &EventData{m, text(d.user_id), text(d.session_id), text(d.topic), bytes, d.lossy != 0}
	case C.OH_EVENT_TEXT:
		t := in[C.oh_event_text](e)
		return &EventText{m, text(t.user_id), text(t.session_id), text(t.topic), text(t.id), text(t.text),
			text(t.attributes)}
	case C.OH_EVENT_TEXT_PART:
		t := in[C.oh_event_text_part](e)
		return &EventTextPart{
			Meta: m, UserID: text(t.user_id), SessionID: text(t.session_id), Topic: text(t.topic), ID: text(t.id),
			Attributes: text(t.attributes), Text: text(t.text), Offset: uint64(t.offset),
		}
	case C.OH_EVENT_DTMF:
		d := in[C.oh_event_dtmf](e)
		return &EventDTMF{m, text(d.user_id), text(d.session_id), text(d.digit), int(d.code)}
	case C.OH_EVENT_RPC_REQUEST:
		r := in[C.oh_event_rpc](e)
		return &EventRPCRequest{m, text(r.request_id), text(r.user_id), text(r.method), text(r.payload),
			millis(uint64(r.timeout_ms))}
	case C.OH_EVENT_RPC_RESPONSE:
		r := in[C.oh_event_rpc](e)
		return &EventRPCResponse{m, uint64(r.call_id), text(r.payload), RPCError(r.error_code), text(r.text)}
	case C.OH_EVENT_SUBSCRIBABLE:
		s := in[C.oh_event_subscribable](e)
		return &EventSubscribable{m, text(s.user_id), text(s.session_id), text(s.track_id), s.allowed != 0}
	}
	return &EventUnknown{m}
}

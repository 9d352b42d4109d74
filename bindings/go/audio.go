// Sound that is heard: frames of 20 ms, as copies of Go's own.

package offhook

// #include "shim.h"
import "C"

import "unsafe"

// Audio is 20 ms of one participant's sound. It is a copy: keep it, change it, hand it on.
type Audio struct {
	UserID     string
	SessionID  string      // names the participant; one user may be in a call more than once
	TrackID    string      // as in RemoteTrack; "" in protocols without such names
	Format     AudioFormat // which of the next three is set
	Samples    []int16     // S16: Frames * Channels samples, interleaved
	SamplesF32 []float32   // F32: Frames * Channels samples, interleaved
	Packet     []byte      // Opus
	Frames     int         // samples per channel: 20 ms of them; 0 for Opus
	Rate       int         // samples per second and channel, as asked for in CallOptions
	Channels   int         // as asked for in CallOptions
	Timestamp  uint32      // RTP timestamp of the first sample, 48 kHz, wraps around
	Level      float32     // loudness, 0.0 (silence) to 1.0; 0 for Opus
	Kind       TrackKind
	Concealed  bool // invented to hide a loss (of Opus: packets before this one were lost)
	Silence    bool // the sender sent nothing (muted or discontinuous transmission); the samples are zero
}

// copyAudio needs two allocations: the frame and its samples. Names are kept.
func copyAudio(a *C.oh_audio, names *interned) *Audio {
	frame := &Audio{
		UserID: names.get(a.user_id), SessionID: names.get(a.session_id), TrackID: names.get(a.track_id),
		Format: AudioFormat(a.format),
		Frames: int(a.frames), Rate: int(a.rate), Channels: int(a.channels), Timestamp: uint32(a.timestamp),
		Level: float32(a.level), Kind: TrackKind(a.kind), Concealed: a.concealed != 0, Silence: a.silence != 0,
	}
	count := frame.Frames * frame.Channels
	switch {
	case a.samples != nil:
		frame.Samples = copied[int16](unsafe.Pointer(a.samples), count)
	case a.samples_f32 != nil:
		frame.SamplesF32 = copied[float32](unsafe.Pointer(a.samples_f32), count)
	case a.packet != nil:
		frame.Packet = copied[byte](unsafe.Pointer(a.packet), int(a.packet_size))
	}
	return frame
}

func copied[T any](from unsafe.Pointer, count int) []T {
	return append(make([]T, 0, count), unsafe.Slice((*T)(from), count)...)
}

// interned keeps names of participants as Go strings, so that sound costs no allocation for them. Used by one callback
// at a time.
type interned struct{ known map[string]string }

const maxNames = 512

func (n *interned) get(s *C.char) string {
	length := 0 // counted here: a call of strlen costs more than these names are long
	for *(*C.char)(unsafe.Add(unsafe.Pointer(s), length)) != 0 {
		length++
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(s)), length)
	if known, ok := n.known[string(bytes)]; ok {
		return known
	}
	if n.known == nil || len(n.known) >= maxNames {
		n.known = make(map[string]string)
	}
	fresh := string(bytes)
	n.known[fresh] = fresh
	return fresh
}

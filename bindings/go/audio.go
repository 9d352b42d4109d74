// Received audio: frames of 20 ms, as copies that belong to Go.

package offhook

// #include "shim.h"
import "C"

import (
	"time"
	"unsafe"
)

// AudioFrame is audio of one track: 20 ms, or one Opus packet. It is a copy: keep it, change it, pass it on.
type AudioFrame struct {
	UserID       string
	SessionID    string      // identifies the participant; one user can be in a call more than once
	TrackID      string      // as in TrackInfo; "" in protocols without track ids
	Format       AudioFormat // which of SamplesS16, SamplesF32 and OpusPacket is set
	SamplesS16   []int16     // S16: Frames * Channels samples, interleaved
	SamplesF32   []float32   // F32: Frames * Channels samples, interleaved
	OpusPacket   []byte      // Opus
	Frames       int         // samples per channel, 20 ms; 0 for Opus
	SampleRateHz int         // samples per second and channel, as set in CallOptions
	Channels     int         // as set in CallOptions
	// CaptureTime is when the first sample was captured by the clock of the sender, which is the same for all tracks of a
	// participant; zero: the sender has not reported it. Compare it with tracks of the same participant only.
	CaptureTime time.Time
	// ArrivalTime is when the packet of the first sample arrived: since the call was started, by the clock of this machine;
	// 0: it was in no packet (concealed, silence).
	ArrivalTime  time.Duration
	RTPTimestamp uint32  // of the first sample, 48 kHz; wraps around
	Level        float32 // audio level, 0.0 (silence) to 1.0; 0 for Opus
	Source       TrackSource
	Concealed    bool // synthesised by packet-loss concealment (Opus: packets before this one were lost)
	Silence      bool // the sender sent nothing (muted, or discontinuous transmission); the samples are zero
}

// copyAudio makes two allocations: the frame and its samples. Names are kept.
func copyAudio(a *C.oh_audio_frame, names *interned) *AudioFrame {
	a = known(a)
	frame := &AudioFrame{
		UserID: names.get(a.user_id), SessionID: names.get(a.session_id), TrackID: names.get(a.track_id),
		Format: AudioFormat(a.format), Frames: int(a.frames), SampleRateHz: int(a.sample_rate_hz), Channels: int(a.channels),
		ArrivalTime: time.Duration(a.arrival_time_us) * time.Microsecond, RTPTimestamp: uint32(a.rtp_timestamp),
		Level: float32(a.level), Source: TrackSource(a.source), Concealed: a.concealed != 0, Silence: a.silence != 0,
	}
	if a.capture_time_us != 0 {
		frame.CaptureTime = time.UnixMicro(int64(a.capture_time_us))
	}
	count := frame.Frames * frame.Channels
	switch {
	case a.samples_s16 != nil:
		frame.SamplesS16 = copied[int16](unsafe.Pointer(a.samples_s16), count)
	case a.samples_f32 != nil:
		frame.SamplesF32 = copied[float32](unsafe.Pointer(a.samples_f32), count)
	case a.opus_packet != nil:
		frame.OpusPacket = copied[byte](unsafe.Pointer(a.opus_packet), int(a.opus_packet_size))
	}
	return frame
}

func copied[T any](from unsafe.Pointer, count int) []T {
	return append(make([]T, 0, count), unsafe.Slice((*T)(from), count)...)
}

// interned keeps names of participants as Go strings, so that audio costs no allocation for them. Used by one callback
// at a time.
type interned struct{ known map[string]string }

const maxNames = 512

func (n *interned) get(s *C.char) string {
	if s == nil {
		return ""
	}
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

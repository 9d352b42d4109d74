// Track: sound that is sent. Publishing it, writing it, waiting for room.

package offhook

// #include "shim.h"
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
	"unsafe"
)

// AudioTrackOptions is what is sent and how.
type AudioTrackOptions struct {
	Format     AudioFormat   // of what will be written; S16 and F32 may be mixed freely
	Rate       int           // samples per second of what will be written, 8000 to 192000; 0: 48000
	Channels   int           // of what will be written, 1 to 8; 0: 1. More than two are mixed down
	Bitrate    int           // bit/s of Opus, 6000 to 510000; 0: 64000, with music 128000
	Complexity int           // effort of the Opus encoder, 1 to 10; 0: the library's choice; negative: the least
	Buffer     time.Duration // how much may be written ahead, 40 ms to 5 s; 0: 200 ms
	Music      bool          // music rather than speech
	NoDTX      bool          // silence is sent, too. Else as the call's settings say; never for music
	NoFEC      bool          // no forward error correction
	Muted      bool          // start muted
	// Live audio (a microphone, a bridge): at most 40 ms wait, beyond it the oldest is dropped and counted
	// (Stats.AudioDropped). A write never gives ErrFull then.
	Live bool
	// RED is redundant audio (RFC 2198), where the SFU accepts it: earlier frames sent along, 1 or 2; -1: none, 0: 1.
	RED int
}

// Track is a track that is published. Its methods may be called from every goroutine; those who write one track should
// take turns. It holds its Call, which therefore lives as long as somebody holds the track.
type Track struct {
	id       C.uint64_t
	call     *Call
	channels int
	rate     int
}

// PublishAudio publishes an audio track; nil: mono at 48000 Hz. Returns at once; EventLocalPublished or
// EventLocalFailed tells the result. It may be called before the call is joined. One audio track per call at a time.
func (c *Call) PublishAudio(options *AudioTrackOptions) (*Track, error) {
	if options == nil {
		options = &AudioTrackOptions{}
	}
	v := conv{op: "publish audio"}
	var o C.oh_audio_track_options
	C.ohgo_audio_track_options(&o)
	o.format = C.int32_t(options.Format)
	o.rate, o.channels = v.number("Rate", options.Rate), v.number("Channels", options.Channels)
	o.bitrate = v.number("Bitrate", options.Bitrate)
	switch {
	case options.Complexity < 0:
		o.complexity = 0
	case options.Complexity > 0:
		o.complexity = C.int32_t(v.number("Complexity", options.Complexity))
	}
	o.buffer_ms = v.millis("Buffer", options.Buffer)
	o.live = flag(options.Live)
	if o.red = -1; options.RED >= 0 {
		o.red = C.int32_t(v.number("RED", options.RED))
	}
	o.music, o.no_dtx, o.no_fec, o.muted = flag(options.Music), flag(options.NoDTX), flag(options.NoFEC), flag(options.Muted)
	if v.err != nil {
		return nil, v.err
	}
	r := C.ohgo_call_publish_audio(c.core.handle(), &o)
	if err := failed(v.op, r); err != nil {
		return nil, err
	}
	t := &Track{id: r.value, call: c, channels: options.Channels, rate: options.Rate}
	if t.channels == 0 {
		t.channels = 1
	}
	if t.rate == 0 {
		t.rate = 48000
	}
	return t, nil
}

// ID names the track in EventLocalPublished and EventLocalFailed.
func (t *Track) ID() uint64 { return uint64(t.id) }

// Call is the call that the track is published in.
func (t *Track) Call() *Call { return t.call }

var errUneven = "the samples are not a whole number of frames, one sample of each channel"

// Write writes sound as 16-bit integers, interleaved. It never waits: the library sends 20 ms every 20 ms of its own
// clock, whatever the rhythm of the writes. All is taken, or nothing: ErrFull when there is no room for all of it now
// (Wait waits for room, Play does both), ErrClosed when the track or its call is over.
func (t *Track) Write(samples []int16) error {
	if len(samples)%t.channels != 0 {
		return argument("write", errUneven)
	}
	return failed("write", C.ohgo_track_write_s16(t.id, (*C.int16_t)(unsafe.SliceData(samples)), C.uint32_t(len(samples)/t.channels)))
}

// WriteF32 writes sound as 32-bit floats, -1.0 to 1.0; else as Write.
func (t *Track) WriteF32(samples []float32) error {
	if len(samples)%t.channels != 0 {
		return argument("write", errUneven)
	}
	return failed("write", C.ohgo_track_write_f32(t.id, (*C.float)(unsafe.SliceData(samples)), C.uint32_t(len(samples)/t.channels)))
}

// WriteOpus writes one Opus packet of the application's own encoder, 1 to 1500 bytes, on a track of the format Opus;
// else as Write.
func (t *Track) WriteOpus(packet []byte) error {
	return failed("write", C.ohgo_track_write_opus(t.id, (*C.uint8_t)(bytesPointer(packet)), C.uint32_t(len(packet))))
}

// roomEvery is how often a wait for room looks: the library makes room every 20 ms.
const roomEvery = 10 * time.Millisecond

// Wait waits until there is room for so many frames: samples per channel (of a track of Opus packets: packets).
// ErrClosed when the track or its call is over, ErrArgument when so many never fit. Before the track is on the air
// nothing makes room. It waits for time to pass, and handlers must not: there it gives ErrWouldDeadlock after half a
// second at most. No thread is blocked meanwhile.
func (t *Track) Wait(ctx context.Context, frames int) error {
	v := conv{op: "wait for room"}
	n := v.number("frames", frames)
	if v.err != nil {
		return v.err
	}
	return t.poll(ctx, v.op, func(timeout C.uint32_t) C.ohgo_result { return C.ohgo_track_wait(t.id, n, timeout) })
}

// poll asks until the answer is another than ErrTimeout. Asked with 0, the library only looks, wherever it is. Now and then
// it is given 1 ms, and so the occasion to say that this is a handler.
func (t *Track) poll(ctx context.Context, op string, ask func(timeout C.uint32_t) C.ohgo_result) error {
	var timer *time.Timer
	for looks := 1; ; looks++ {
		once := C.uint32_t(0)
		if looks%50 == 0 {
			once = 1
		}
		r := ask(once)
		if r.code != C.OH_ERR_TIMEOUT {
			return failed(op, r)
		}
		codeOf(r)
		if timer == nil {
			timer = time.NewTimer(roomEvery)
			defer timer.Stop()
		} else {
			timer.Reset(roomEvery)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("offhook: %s: %w", op, context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// Play writes samples of any number, waiting for room as often as needed; it returns when the last was taken. Drain
// waits until they were sent, too.
func (t *Track) Play(ctx context.Context, samples []int16) error {
	if len(samples)%t.channels != 0 {
		return argument("play", errUneven)
	}
	for piece := t.rate / 50 * t.channels; len(samples) > 0; {
		n := min(piece, len(samples))
		for {
			if err := t.Wait(ctx, n/t.channels); err != nil {
				return err
			}
			err := t.Write(samples[:n])
			if errors.Is(err, ErrFull) { // another writer was faster
				continue
			}
			if err != nil {
				return err
			}
			break
		}
		samples = samples[n:]
	}
	return nil
}

// Drain waits until all that was written was sent. ErrClosed when the track or its call is over. In a handler it gives
// ErrWouldDeadlock after half a second at most. No thread is blocked meanwhile.
func (t *Track) Drain(ctx context.Context) error {
	return t.poll(ctx, "drain", func(timeout C.uint32_t) C.ohgo_result { return C.ohgo_track_drain(t.id, timeout) })
}

// Clear empties the buffer at once: what was written and not sent yet is never sent (a speaker is interrupted). It gives
// how much of everything written since the track was published was sent, and how much was discarded now.
func (t *Track) Clear() (sent, dropped time.Duration, err error) {
	var s C.uint64_t
	var d C.uint32_t
	err = failed("clear", C.ohgo_track_clear(t.id, &s, &d))
	return millis(uint64(s)), millis(uint64(d)), err
}

// Writer gives an io.Writer of raw PCM bytes: 16-bit little-endian samples, interleaved, in pieces of any size. It waits
// for room until ctx is done. What it holds back (less than a frame) is lost at the end.
func (t *Track) Writer(ctx context.Context) io.Writer { return &pcmWriter{ctx: ctx, track: t} }

type pcmWriter struct {
	ctx   context.Context
	track *Track
	rest  []byte
}

func (w *pcmWriter) Write(p []byte) (int, error) {
	bytes := p
	if len(w.rest) > 0 {
		bytes = append(w.rest, p...)
	}
	frame := 2 * w.track.channels
	whole := len(bytes) / frame * frame
	samples := make([]int16, whole/2)
	for i := range samples {
		samples[i] = int16(binary.LittleEndian.Uint16(bytes[2*i:]))
	}
	if err := w.track.Play(w.ctx, samples); err != nil {
		return 0, err
	}
	w.rest = append([]byte(nil), bytes[whole:]...)
	return len(p), nil
}

// Buffered is how much was written and not sent yet.
func (t *Track) Buffered() (time.Duration, error) {
	r := C.ohgo_track_buffered_ms(t.id)
	return millis(uint64(r.value)), failed("buffered", r)
}

// SetMuted mutes or unmutes. Media follows at once and what was written while muted is never sent; the others are told,
// the last intent wins. The track keeps its place in the call.
func (t *Track) SetMuted(muted bool) error {
	return failed("mute", C.ohgo_track_set_muted(t.id, C.int32_t(flag(muted))))
}

// Close stops and unpublishes the track. It does not wait: what was written is still sent (Clear first drops it). Closing
// twice, or after the call, is fine. The error is always nil.
func (t *Track) Close() error {
	C.ohgo_track_free(t.id)
	return nil
}

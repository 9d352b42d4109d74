// Track: a local track. Publishing it, writing to it, waiting for it.

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

// AudioTrackOptions is what is published, and how.
type AudioTrackOptions struct {
	Source       TrackSource   // SourceMicrophone or SourceScreenShareAudio; 0: SourceMicrophone
	Format       AudioFormat   // of what will be written; S16 and F32 may be mixed
	SampleRateHz int           // of what will be written, 8000 to 192000; 0: 48000
	Channels     int           // of what will be written, 1 to 8; 0: 1. More than two are mixed down
	BitrateBps   int           // of Opus, 6000 to 510000; 0: 64000, with music 128000
	Complexity   int           // of the Opus encoder, 1 to 10; 0: the library's choice; Zero: 0
	Buffer       time.Duration // how much can be written ahead, 40 ms to 5 s; 0: 200 ms
	Music        bool          // music rather than speech
	NoDTX        bool          // no discontinuous transmission: silence is sent as well
	NoFEC        bool          // no forward error correction in Opus; it is used only without redundant audio
	Muted        bool          // publish it muted
	// Live audio (a microphone, a bridge): at most 40 ms wait; beyond it the oldest is dropped and counted
	// (Stats.AudioDropped). Writing never returns ErrFull.
	Live bool
	// REDFrames is for redundant audio (RED, RFC 2198), where the call and its SFU allow it: how many earlier frames are
	// sent again with each packet, 1 or 2; 0: 1; Zero: none.
	REDFrames int
}

// Track is a local track. Its methods may be called from every goroutine; writers of one track should
// take turns. It holds its Call, which therefore lives as long as the track is referenced.
type Track struct {
	id       C.uint64_t
	call     *Call
	channels int
	rate     int
}

// PublishAudio publishes an audio track; nil: mono, 16-bit, 48000 Hz. Returns at once; EventLocalTrackPublished or
// EventLocalTrackFailed is the result. It may be called before the call is joined. A call has up to 32 local tracks at a
// time, several of one source included.
func (c *Call) PublishAudio(options *AudioTrackOptions) (*Track, error) {
	if options == nil {
		options = &AudioTrackOptions{}
	}
	v := conv{op: "publish audio"}
	o := sized[C.oh_audio_track_options]()
	o.source, o.format = C.oh_track_source(options.Source), C.oh_audio_format(options.Format)
	o.sample_rate_hz = v.number("SampleRateHz", options.SampleRateHz)
	o.channels = v.number("Channels", options.Channels)
	o.bitrate_bps = v.number("BitrateBps", options.BitrateBps)
	o.complexity = v.numberOrZero("Complexity", options.Complexity)
	o.buffer_ms = v.millis("Buffer", options.Buffer)
	o.live = flag(options.Live)
	o.red_frames = v.numberOrZero("REDFrames", options.REDFrames)
	o.music, o.no_dtx, o.no_fec, o.muted = flag(options.Music), flag(options.NoDTX), flag(options.NoFEC), flag(options.Muted)
	if v.err != nil {
		return nil, v.err
	}
	r := C.ohgo_call_publish_audio(c.core.handle(), &o)
	if err := failed(v.op, r); err != nil {
		return nil, err
	}
	t := &Track{id: r.value, call: c, channels: options.Channels, rate: options.SampleRateHz}
	if t.channels == 0 {
		t.channels = 1
	}
	if t.rate == 0 {
		t.rate = 48000
	}
	return t, nil
}

// ID identifies the track in EventLocalTrackPublished, EventLocalTrackFailed and TrackInfo.
func (t *Track) ID() uint64 { return uint64(t.id) }

// Call is the call that the track is published in.
func (t *Track) Call() *Call { return t.call }

var errUneven = "the samples are not a whole number of frames, one sample of each channel"

// Write writes audio as 16-bit integers, interleaved. It never waits: the library sends 20 ms every 20 ms by its own clock,
// whatever the rhythm of the writes. All is taken, or nothing: ErrFull when there is no room for all of it now
// (WaitWritable waits for room, Play does both), ErrClosed when the track or its call has ended.
func (t *Track) Write(samples []int16) error {
	if len(samples)%t.channels != 0 {
		return argument("write", errUneven)
	}
	return failed("write", C.ohgo_track_write_s16(t.id, (*C.int16_t)(unsafe.SliceData(samples)), C.size_t(len(samples)/t.channels)))
}

// WriteF32 writes audio as 32-bit floats, -1.0 to 1.0; otherwise as Write.
func (t *Track) WriteF32(samples []float32) error {
	if len(samples)%t.channels != 0 {
		return argument("write", errUneven)
	}
	return failed("write", C.ohgo_track_write_f32(t.id, (*C.float)(unsafe.SliceData(samples)), C.size_t(len(samples)/t.channels)))
}

// WriteOpus writes one Opus packet of the application's own encoder, 1 to 1500 bytes, on a track of the format Opus;
// otherwise as Write.
func (t *Track) WriteOpus(packet []byte) error {
	return failed("write", C.ohgo_track_write_opus(t.id, (*C.uint8_t)(bytesPointer(packet)), C.size_t(len(packet))))
}

// roomEvery is how often a wait looks: the library sends every 20 ms.
const roomEvery = 10 * time.Millisecond

// WaitWritable waits until there is room to write so many frames: samples per channel (a track of Opus packets: packets).
// ErrClosed when the track or its call has ended, ErrArgument when so many never fit. The buffer does not drain until
// the track is published. Inside a handler it returns ErrWouldDeadlock after half a second at most. No thread is blocked
// meanwhile.
func (t *Track) WaitWritable(ctx context.Context, frames int) error {
	v := conv{op: "wait writable"}
	n := v.size("frames", frames)
	if v.err != nil {
		return v.err
	}
	return t.poll(ctx, v.op, func(timeout C.uint32_t) C.ohgo_result { return C.ohgo_track_wait_writable(t.id, n, timeout) })
}

// poll calls wait until it returns another error than ErrTimeout. With a timeout of 0 the library does not wait, and returns
// ErrTimeout in handlers as well; now and then the timeout is 1 ms, with which it returns ErrWouldDeadlock there.
func (t *Track) poll(ctx context.Context, op string, wait func(timeout C.uint32_t) C.ohgo_result) error {
	var timer *time.Timer
	for looks := 1; ; looks++ {
		once := C.uint32_t(0)
		if looks%50 == 0 {
			once = 1
		}
		r := wait(once)
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

// Play writes any number of samples, waiting for room as often as needed; it returns when the last was taken. WaitDrained
// waits until they have been sent.
func (t *Track) Play(ctx context.Context, samples []int16) error {
	if len(samples)%t.channels != 0 {
		return argument("play", errUneven)
	}
	for piece := t.rate / 50 * t.channels; len(samples) > 0; {
		n := min(piece, len(samples))
		for {
			if err := t.WaitWritable(ctx, n/t.channels); err != nil {
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

// WaitDrained waits until everything that was written has been sent. ErrClosed when the track or its call has ended.
// Inside a handler it returns ErrWouldDeadlock after half a second at most. No thread is blocked meanwhile.
func (t *Track) WaitDrained(ctx context.Context) error {
	return t.poll(ctx, "wait drained", func(timeout C.uint32_t) C.ohgo_result { return C.ohgo_track_wait_drained(t.id, timeout) })
}

// Clear discards what was written and not sent yet. What is written next is sent at once. For an answer that is interrupted
// (barge-in). It returns how much of everything written was sent since the track was published, and how much was
// discarded now.
func (t *Track) Clear() (sent, dropped time.Duration, err error) {
	var s, d C.uint64_t
	err = failed("clear", C.ohgo_track_clear(t.id, &s, &d))
	return millis(uint64(s)), millis(uint64(d)), err
}

// Writer gives an io.Writer of raw PCM bytes: 16-bit little-endian samples, interleaved, in pieces of any size. It waits
// for room until ctx is done. Less than a frame at the end is not written.
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
	r := C.ohgo_track_get_buffered_ms(t.id)
	return millis(uint64(r.value)), failed("buffered", r)
}

// SetMuted mutes or unmutes. Media follows at once, and what was written while muted is never sent. The others are informed;
// the last call wins. The track stays published.
func (t *Track) SetMuted(muted bool) error {
	return failed("mute", C.ohgo_track_set_muted(t.id, flag(muted)))
}

// Close unpublishes the track and frees it. It returns at once: what was written before is still sent; call Clear first when
// the rest is not wanted. Closing twice, or after the call, is fine. The error is always nil.
func (t *Track) Close() error {
	C.ohgo_track_free(t.id)
	return nil
}

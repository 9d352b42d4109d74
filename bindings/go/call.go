// Call: the presence of the local participant, from Start or Join to Close.

package offhook

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/cgo"
	"time"
	"weak"
)

// CallOptions is what to join and how. Events and audio are received in one of three ways:
//
//   - handlers: OnEvent, OnAudio or both;
//   - channels: EventChannel, AudioChannel or both; see Call.Events and Call.Audio;
//   - neither: pull mode; see Call.WaitEvent.
type CallOptions struct {
	// CallID is which call. Required; with ProtocolLiveKit the room, "": the one that the token is for.
	CallID string
	// CallType is the type of the call; "": "default".
	CallType string
	// Token for this call instead of the client's.
	Token string
	// DataJSON is the `data` of the join request as a JSON object.
	DataJSON string

	// OnEvent receives the events of the call, in order, and OnAudio 20 ms of one track's audio, for every track that is
	// received. They run on threads of the library, one at a time for each call; every method may be called in them, Close
	// included. A handler that blocks delays its own call only; meanwhile the oldest audio is dropped and counted, and so
	// are events beyond MaxQueuedEvents. A panic in them is recovered and reported to OnPanic; runtime.Goexit (t.FailNow in
	// a test) must not be called. A handler that captures a variable with its own Call keeps the Call from being collected;
	// the Call that it receives does not.
	OnEvent func(call *Call, event Event)
	OnAudio func(call *Call, frame *AudioFrame)
	// OnPanic is called after a handler has panicked; the call goes on. nil: it is written to the standard log.
	OnPanic func(call *Call, p *Panic)

	// EventChannel and AudioChannel are the capacities of Call.Events and Call.Audio; 0: no such channel.
	EventChannel int
	AudioChannel int

	// PullAudio, in pull mode: deliver audio as EventAudio.
	PullAudio bool

	// AudioSampleRateHz of received audio, 8000 to 192000; 0: 48000.
	AudioSampleRateHz int
	// AudioChannels of received audio, 1 or 2; 0: 1.
	AudioChannels int
	// AudioFormat of received audio.
	AudioFormat AudioFormat
	// AudioMinDelay is the least delay of the jitter buffer, 1 ms to 2 s; 0: 20 ms; Zero: none.
	AudioMinDelay time.Duration
	// AudioMaxDelay is its greatest delay, 20 ms to 2 s, not less than AudioMinDelay; 0: 200 ms, or AudioMinDelay when that
	// is more.
	AudioMaxDelay time.Duration
	// MaxQueuedEvents is how many events wait for the application at most, 16 to 65536; 0: 1024. Beyond it events are
	// dropped, and EventLost has their number. EventEnded, EventRPCResponse, packets and texts are never dropped.
	MaxQueuedEvents int
	// MaxQueuedEventBytes is how many bytes of payload in events wait for the application at most, 65536 to 1073741824; 0:
	// 4194304.
	MaxQueuedEventBytes int
	// MaxQueuedAudioFrames is how many audio frames wait for the application at most, 1 to 4096, all tracks together; 0: 50.
	// Beyond it the oldest is dropped and counted (Stats.AudioFramesDropped).
	MaxQueuedAudioFrames int
	// JoinRetries is how often a failed join is tried again on other edges, 1 to 10; 0: 3; Zero: never.
	JoinRetries int
	// ReconnectTimeout is how long the call tries to reconnect before it ends; 0: 30 s; Zero: it ends instead of
	// reconnecting; Forever: no limit.
	ReconnectTimeout time.Duration
	// Drain is how long Leave and Close go on sending what was accepted before, 1 ms to 1 s; 0: 1 s; Zero: nothing more is
	// sent.
	Drain time.Duration
	// NoSubscriber: never receive (for a bot that only publishes).
	NoSubscriber bool
	// NoAutoSubscribe: a track is received only when Subscriber.SetTrack asks for it (CapSubscriptions).
	NoAutoSubscribe bool
	// TextParts: deliver parts of texts while they arrive (EventTextPart).
	TextParts bool
	// HoldUnmute: a track that a moderator unmutes stays muted until Track.SetMuted unmutes it (TrackInfo.Held).
	HoldUnmute bool
	// RenewToken: ask for a new token with EventTokenNeeded when the token has expired. Always so without a token.
	RenewToken bool
	// NoCreate: do not create the call when it does not exist (CapRing).
	NoCreate bool
	// Ring the members (CapRing).
	Ring bool
	// Notify the members (CapRing).
	Notify bool
}

// Call is the presence of the local participant. Its methods may be called from every goroutine, handlers included. After
// Close they return ErrHandle. Keep a reference to the Call: one that is not referenced any more is left and closed by the
// garbage collector at some time. A Track refers to its Call.
type Call struct {
	core    *callCore
	client  *Client // a client lives as long as its calls
	cleanup runtime.Cleanup
}

// Start starts to join a call and returns at once; EventJoined or EventEnded is the result, and WaitState waits for it.
func (c *Client) Start(options CallOptions) (*Call, error) {
	const op = "join"
	handlers := options.OnEvent != nil || options.OnAudio != nil
	channels := options.EventChannel != 0 || options.AudioChannel != 0
	if handlers && channels {
		return nil, argument(op, "CallOptions: either handlers or channels")
	}
	if options.EventChannel < 0 || options.AudioChannel < 0 {
		return nil, argument(op, "CallOptions: EventChannel and AudioChannel must not be negative")
	}
	v := conv{op: op}
	defer v.free()
	o := v.callOptions(&options)
	if v.err != nil {
		return nil, v.err
	}
	core := &callCore{
		client: c.core, onEvent: options.OnEvent, onAudio: options.OnAudio, onPanic: options.OnPanic,
		change: make(chan struct{}), closing: make(chan struct{}),
	}
	call := &Call{core: core, client: c}
	core.owner = weak.Make(call)
	// A backstop only. On a goroutine of its own: freeing waits for a handler that runs. All this before the join,
	// because a handler may close the call before that has returned.
	call.cleanup = runtime.AddCleanup(call, func(core *callCore) { go core.free() }, core)
	c.core.add(core)
	var user cgo.Handle
	if handlers {
		user = cgo.NewHandle(core) // until the library's destroy
	} else {
		o.pull_audio = flag(options.PullAudio && !channels || options.AudioChannel > 0)
	}
	withAudio := C.int(0)
	if options.OnAudio != nil {
		withAudio = 1
	}
	r := C.ohgo_call_join(c.core.id, &o, C.uintptr_t(user), withAudio)
	err := failed(op, r)
	if err != nil && handlers {
		user.Delete()
	}
	if err == nil {
		core.id.Store(uint64(r.value))
		if !handlers {
			err = core.pull(&options)
		}
	}
	if err != nil {
		call.Close()
		return nil, err
	}
	runtime.KeepAlive(c)
	return call, nil
}

func (v *conv) callOptions(options *CallOptions) C.oh_call_options {
	o := sized[C.oh_call_options]()
	o.call_id, o.call_type = v.text("CallID", options.CallID), v.text("CallType", options.CallType)
	o.token, o.data_json = v.text("Token", options.Token), v.text("DataJSON", options.DataJSON)
	o.max_queued_event_bytes = v.size("MaxQueuedEventBytes", options.MaxQueuedEventBytes)
	o.max_queued_events = v.number("MaxQueuedEvents", options.MaxQueuedEvents)
	o.max_queued_audio_frames = v.number("MaxQueuedAudioFrames", options.MaxQueuedAudioFrames)
	o.audio_sample_rate_hz = v.number("AudioSampleRateHz", options.AudioSampleRateHz)
	o.audio_channels = v.number("AudioChannels", options.AudioChannels)
	o.audio_format = C.oh_audio_format(options.AudioFormat)
	o.audio_min_delay_ms = v.millisOrZero("AudioMinDelay", options.AudioMinDelay)
	o.audio_max_delay_ms = v.millis("AudioMaxDelay", options.AudioMaxDelay)
	o.join_retries = v.numberOrZero("JoinRetries", options.JoinRetries)
	o.reconnect_timeout_ms = v.millisOrZero("ReconnectTimeout", options.ReconnectTimeout)
	o.drain_ms = v.millisOrZero("Drain", options.Drain)
	o.no_subscriber, o.no_create = flag(options.NoSubscriber), flag(options.NoCreate)
	o.ring, o.notify = flag(options.Ring), flag(options.Notify)
	o.renew_token, o.no_auto_subscribe = flag(options.RenewToken), flag(options.NoAutoSubscribe)
	o.text_parts, o.hold_unmute = flag(options.TextParts), flag(options.HoldUnmute)
	return o
}

// Join joins a call and waits until it is joined. When ctx is done first, the call is left and closed, and the error wraps
// that of ctx (errors.Is(err, context.Canceled)). Later ctx has no effect on the call.
//
// Handlers and channels run meanwhile; to read channels during the join, use Start and WaitState.
func (c *Client) Join(ctx context.Context, options CallOptions) (*Call, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("offhook: join: %w", context.Cause(ctx))
	}
	call, err := c.Start(options)
	if err != nil {
		return nil, err
	}
	err = call.wait(ctx, "join", StateJoined)
	if err == nil {
		return call, nil
	}
	var failure *Error
	if errors.As(err, &failure) && call.core.puller == nil {
		// The event has the server's own code. It comes soon, unless a handler blocks.
		soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		_ = call.wait(soon, "join", StateLeft)
		cancel()
		var reported *Error
		if ended := call.Ended(); ended != nil && errors.As(ended.Err, &reported) {
			failure.ServerCode = reported.ServerCode
		}
	} else {
		_ = call.Leave("cancelled")
	}
	_ = call.Close()
	return nil, err
}

// WaitState waits until the call is in a state, usually StateJoined or StateLeft. For StateLeft it waits until EventEnded
// was delivered. When the call ends first, it returns the error that it ended with (ErrCancelled when the application
// left). Inside a handler of the same call it returns ErrWouldDeadlock. When ctx is done, only the waiting ends. No thread
// is blocked meanwhile.
func (c *Call) WaitState(ctx context.Context, state State) error {
	return c.wait(ctx, "wait state", state)
}

// pollEvery is how often a wait looks by itself: a handler that blocks delays the events that end it.
const pollEvery = 20 * time.Millisecond

func (c *Call) wait(ctx context.Context, op string, state State) error {
	defer runtime.KeepAlive(c)
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	for {
		changed := c.core.changed()
		r := C.ohgo_call_wait_state(c.core.handle(), C.oh_call_state(state), 0)
		if r.code != C.OH_ERR_TIMEOUT {
			return failed(op, r)
		}
		codeOf(r)
		timer.Reset(pollEvery)
		select {
		case <-ctx.Done():
			return fmt.Errorf("offhook: %s: %w", op, context.Cause(ctx))
		case <-changed:
		case <-timer.C:
		}
	}
}

// WaitEnded waits until the call has ended. When ctx is done first, it leaves the call and waits for the end,
// which then comes within 2 s. It returns nil when the call ended because the application left, else the error.
func (c *Call) WaitEnded(ctx context.Context) error {
	err := c.wait(ctx, "call", StateLeft)
	if err != nil && ctx.Err() != nil {
		if err = c.Leave("done"); err != nil {
			return err
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = c.wait(last, "call", StateLeft)
	}
	if err != nil {
		return err
	}
	// A wait for another state returns how it ended.
	if err = failed("call", C.ohgo_call_wait_state(c.core.handle(), C.OH_STATE_JOINED, 0)); errors.Is(err, ErrCancelled) {
		return nil
	}
	return err
}

// Ended is the last event of the call; nil until it was delivered.
func (c *Call) Ended() *EventEnded {
	c.core.lock.Lock()
	defer c.core.lock.Unlock()
	return c.core.ended
}

// State is the state of the call.
func (c *Call) State() (State, error) {
	r := C.ohgo_call_get_state(c.core.handle())
	return State(r.value), failed("state", r)
}

// Trace is the trace of the call: what its protocol logic received and decided, as lines of JSON without secrets. It works
// until the call is closed, also after its end. Attach it to a report of a defect.
func (c *Call) Trace() (string, error) {
	for size := 256 << 10; ; {
		buf := make([]byte, size)
		r := C.ohgo_call_get_trace(c.core.handle(), (*C.char)(bytesPointer(buf)), C.size_t(size))
		if err := failed("trace", r); err != nil {
			return "", err
		}
		length := int(r.value)
		if length < size {
			return string(buf[:length]), nil
		}
		size = length + length/2 + 1 // it can be more at the next call
	}
}

// ID identifies the call in this process; never used twice.
func (c *Call) ID() uint64 { return c.core.id.Load() }

// Client is the client that the call was joined with.
func (c *Call) Client() *Client { return c.client }

// Leave leaves the call: it sends what was accepted before, then the leave message; EventEnded follows within 2 s. It
// returns at once; leaving twice, or after the end, does nothing. reason is sent to the SFU, cut to 115 bytes.
func (c *Call) Leave(reason string) error {
	v := conv{op: "leave"}
	defer v.free()
	text := v.text("reason", reason)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_leave(c.core.handle(), text))
}

// Close leaves the call if that was not done, and frees it with its tracks. When it returns, no handler runs: it waits for a
// handler in progress on another goroutine. Inside a handler of the same call it returns at once and takes effect when the
// handler returns. To receive EventEnded, call Leave and WaitEnded first. Closing twice is fine. The error is always nil.
func (c *Call) Close() error {
	c.cleanup.Stop()
	c.core.free()
	return nil
}

// ProvideToken answers EventTokenNeeded, inside the handler or later. "": there is none; the join fails with ErrAuth. The
// token is ignored when none was asked for.
func (c *Call) ProvideToken(token string) error {
	v := conv{op: "provide token"}
	defer v.free()
	t := v.text("token", token)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_provide_token(c.core.handle(), t))
}

// Capabilities is what the protocol of the call can do.
func (c *Call) Capabilities() (Capabilities, error) {
	r := C.ohgo_call_get_capabilities(c.core.handle())
	return Capabilities(r.value), failed("capabilities", r)
}

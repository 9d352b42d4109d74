// Call: one participant's presence, from Start or Join to Close.

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

// CallOptions is what to join and how. Who hears what happens is one of three:
//
//   - handlers: OnEvent, OnAudio or both;
//   - channels: EventChannel, AudioChannel or both; see Call.Events and Call.Audio;
//   - neither: events are taken by hand with Call.NextEvent.
type CallOptions struct {
	// ID is which call. Required; with ProtocolLiveKit the room, "": the one that the token is for.
	ID string
	// Type is the call's type; "": "default".
	Type string
	// Token for this call instead of the client's.
	Token string
	// DataJSON is the `data` of the join request as a JSON object.
	DataJSON string

	// OnEvent gets the events of the call, in order, and OnAudio 20 ms of one participant at a time. They run on
	// threads of the library, one at a time for each call; every method may be called in them, Close included. A
	// handler that blocks delays its own call and no other; meanwhile the oldest sound is dropped and counted, and so
	// are events beyond EventQueue. A panic in them is contained and told to OnPanic; runtime.Goexit (t.FailNow in a
	// test) must not be called. A handler that refers to the Call by a variable of its own keeps the Call from being
	// collected; the one that it is given does not.
	OnEvent func(call *Call, event Event)
	OnAudio func(call *Call, audio *Audio)
	// OnPanic is told when a handler has panicked; the call goes on. nil: it is written to the standard log.
	OnPanic func(call *Call, p *Panic)

	// EventChannel and AudioChannel are the room of Call.Events and Call.Audio; 0: no such channel.
	EventChannel int
	AudioChannel int

	// PullAudio: with neither handlers nor channels, NextEvent gives sound as EventAudio as well.
	PullAudio bool

	// JoinRetries of a failed join on other edges, up to 10; 0: 3; negative: none.
	JoinRetries int
	// Form of what is heard: AudioRate 8000 to 192000 samples per second, 0: 48000; AudioChannels 1 or 2, 0: 1.
	AudioRate     int
	AudioChannels int
	AudioFormat   AudioFormat
	// Receive buffer: least and greatest delay, up to 2 s; both 0: 20 to 200 ms.
	AudioMinDelay time.Duration
	AudioMaxDelay time.Duration
	// EventQueue is how many events the library queues for the application at most, 16 to 65536; 0: 1024. Beyond it
	// events are dropped and EventLost says how many; EventState and EventEnded never are.
	EventQueue int
	// AudioQueue is how many frames of 20 ms the library queues at most, 1 to 4096, all participants together; 0: 50.
	// Beyond it the oldest is dropped and counted (Stats.MediaDropped).
	AudioQueue int
	// NoSubscriber: never receive (a publish-only bot).
	NoSubscriber bool
	// NoCreate: do not create the call when it does not exist.
	NoCreate bool
	// Ring the members.
	Ring bool
	// Notify the members.
	Notify bool
	// DisconnectTimeout is how long a lost connection is looked for before the call ends; 0: 30 s; Forever.
	DisconnectTimeout time.Duration
	// RenewToken: ask with EventTokenNeeded for another token when the one given has expired. Always so without one.
	RenewToken bool
	// NoAutoSubscribe: a track is received only when Subscriber.SetTrack asks for it (CapSubscriptions).
	NoAutoSubscribe bool
	// Drain is how long Leave and Close go on sending what was accepted before, 1 ms to 1 s; 0: 1 s; NoDrain, or anything
	// negative: not at all.
	Drain time.Duration
	// PartialTexts: pieces of texts come as they arrive, too (EventTextPart).
	PartialTexts bool
	// HoldUnmute: a track that a moderator unmutes stays muted until Track.SetMuted agrees (RemoteTrack.Held).
	HoldUnmute bool
	// EventBytes is how many bytes of payload in events wait for the application at most, 65536 to 1073741824; 0: 4194304.
	EventBytes int
}

// Call is one participant's presence. Its methods may be called from every goroutine, handlers included. After Close
// they give ErrHandle. Hold on to the Call as long as it shall last: one that is forgotten is left and closed by the
// garbage collector at some time. A Track of it holds it, too.
type Call struct {
	core    *callCore
	client  *Client // a client lives as long as its calls
	cleanup runtime.Cleanup
}

// Start begins to join and returns at once; EventJoined or EventEnded tells the result, and Wait waits for it.
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
	var o C.oh_call_options
	C.ohgo_call_options(&o) // size, the defaults, zero in reserved
	o.id, o.call_type = v.text("ID", options.ID), v.text("Type", options.Type)
	o.token, o.data_json = v.text("Token", options.Token), v.text("DataJSON", options.DataJSON)
	switch {
	case options.JoinRetries < 0:
		o.join_retries = 0
	case options.JoinRetries > 0:
		o.join_retries = C.int32_t(v.number("JoinRetries", options.JoinRetries))
	}
	o.audio_rate = v.number("AudioRate", options.AudioRate)
	o.audio_channels = v.number("AudioChannels", options.AudioChannels)
	o.audio_format = C.int32_t(options.AudioFormat)
	o.audio_min_delay_ms = v.millis("AudioMinDelay", options.AudioMinDelay)
	o.audio_max_delay_ms = v.millis("AudioMaxDelay", options.AudioMaxDelay)
	o.event_queue = v.number("EventQueue", options.EventQueue)
	o.audio_queue = v.number("AudioQueue", options.AudioQueue)
	o.no_subscriber, o.no_create = flag(options.NoSubscriber), flag(options.NoCreate)
	o.ring, o.notify = flag(options.Ring), flag(options.Notify)
	o.disconnect_timeout_ms = v.millis("DisconnectTimeout", options.DisconnectTimeout)
	o.renew_token, o.no_auto_subscribe = flag(options.RenewToken), flag(options.NoAutoSubscribe)
	o.drain_ms = v.drain(options.Drain)
	o.partial_texts, o.hold_unmute = flag(options.PartialTexts), flag(options.HoldUnmute)
	o.event_bytes = v.number("EventBytes", options.EventBytes)
	return o
}

// Join joins a call and waits until the SFU has let it in. When ctx is done first, the call is left and closed, and the error
// says so (errors.Is(err, context.Canceled)). What ctx does later is of no matter to the call.
//
// Handlers and channels run meanwhile; to read channels during the join, use Start and Wait.
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
		// The event knows the server's own code. It is on its way, unless a handler holds it up.
		soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		_ = call.wait(soon, "join", StateLeft)
		cancel()
		var told *Error
		if ended := call.Ended(); ended != nil && errors.As(ended.Err, &told) {
			failure.ServerCode = told.ServerCode
		}
	} else {
		_ = call.Leave("cancelled")
	}
	_ = call.Close()
	return nil, err
}

// Wait waits until the call is in a state; StateJoined and StateLeft are the useful ones. For StateLeft it waits until
// EventEnded was handed over. When the call ends first, it gives the error that it ended with (ErrCancelled when the
// application left). Inside a handler of the same call it gives ErrWouldDeadlock. When ctx is done, only the waiting
// ends. No thread is blocked meanwhile.
func (c *Call) Wait(ctx context.Context, state State) error { return c.wait(ctx, "wait", state) }

// pollEvery is how often a wait looks by itself, should nothing tell it: a handler that blocks holds up what tells.
const pollEvery = 20 * time.Millisecond

func (c *Call) wait(ctx context.Context, op string, state State) error {
	defer runtime.KeepAlive(c)
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	for {
		changed := c.core.changed()
		r := C.ohgo_call_wait(c.core.handle(), C.int32_t(state), 0)
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

// WaitEnded waits until the call is over. When ctx is done first, it leaves the call and waits for the end, which is
// then a matter of 2 s at most. It gives nil when the call ended because the application left, else the error.
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
	// How it ended is what a wait for another state says.
	if err = failed("call", C.ohgo_call_wait(c.core.handle(), C.OH_STATE_JOINED, 0)); errors.Is(err, ErrCancelled) {
		return nil
	}
	return err
}

// Ended is the call's terminal event, nil as long as it was not handed over.
func (c *Call) Ended() *EventEnded {
	c.core.lock.Lock()
	defer c.core.lock.Unlock()
	return c.core.ended
}

// State is where the call is now.
func (c *Call) State() (State, error) {
	r := C.ohgo_call_state(c.core.handle())
	return State(r.value), failed("state", r)
}

// Trace is what the call was given and what it decided, as lines of JSON without secrets: for a report of a defect. Also
// when it is over, until it is closed.
func (c *Call) Trace() (string, error) {
	for size := 256 << 10; ; {
		buf := make([]byte, size)
		r := C.ohgo_call_trace(c.core.handle(), (*C.char)(bytesPointer(buf)), C.size_t(size))
		if err := failed("trace", r); err != nil {
			return "", err
		}
		if needed := int(r.value); needed < size {
			return string(buf[:needed]), nil
		} else {
			size = needed + needed/2 + 1 // a call that goes on may need more the next time
		}
	}
}

// ID names the call in this process; never given twice.
func (c *Call) ID() uint64 { return c.core.id.Load() }

// Client is what the call was made from.
func (c *Call) Client() *Client { return c.client }

// Leave says goodbye, stops media, and ends with EventEnded within 2 s. It returns at once; leaving twice, or after the
// end, is fine. reason is told to the SFU, cut to 115 bytes.
func (c *Call) Leave(reason string) error {
	v := conv{op: "leave"}
	defer v.free()
	words := v.text("reason", reason)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_leave(c.core.handle(), words))
}

// Close leaves the call if that was not done, and frees it with its tracks. When it returns no handler runs any more:
// one in progress on another goroutine is waited for. Inside a handler of the same call it returns at once and takes
// effect when the handler returns. To hear EventEnded, Leave and WaitEnded first. Closing twice is fine. The error is
// always nil.
func (c *Call) Close() error {
	c.cleanup.Stop()
	c.core.free()
	return nil
}

// ProvideToken answers EventTokenNeeded, in the handler or later. "": there is none, the join fails with ErrAuth.
// Without a question the token is ignored.
func (c *Call) ProvideToken(token string) error {
	v := conv{op: "provide token"}
	defer v.free()
	t := v.text("token", token)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_provide_token(c.core.handle(), t))
}

// Capabilities tells what the call's protocol can do, at any time of the call.
func (c *Call) Capabilities() (Capabilities, error) {
	r := C.ohgo_call_capabilities(c.core.handle())
	return Capabilities(r.value), failed("capabilities", r)
}

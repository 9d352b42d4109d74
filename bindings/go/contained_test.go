// Rows of tests/scenarios.md: free-in-callback, handler-throws, leave-twice, dropped, wrong-order, blocked-handler.

package offhook_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

// Row free-in-callback.
func TestFreeInCallback(t *testing.T) {
	room := unique("free")
	sender := join(t, "sender", room, nil)
	sender.publishTone(t, 440)
	for _, what := range []string{"call", "client", "both", "audio"} {
		user := unique("bot-" + what)
		client := newClient(t, user)
		var after atomic.Int64
		closed := make(chan struct{})
		shut := func(call *offhook.Call) {
			if after.Add(1) > 1 {
				return // a callback after Close
			}
			if what != "client" {
				call.Close()
			}
			if what == "client" || what == "both" {
				call.Client().Close()
			}
			if _, err := call.State(); err == nil && what != "client" {
				t.Errorf("%s: the handle works after Close", what)
			}
			close(closed)
		}
		options := offhook.CallOptions{CallID: room, OnEvent: func(call *offhook.Call, e offhook.Event) {
			if what != "audio" && (e.Kind() == offhook.KindJoined || after.Load() > 0) {
				shut(call)
			}
		}}
		if what == "audio" {
			options.OnAudio = func(call *offhook.Call, _ *offhook.AudioFrame) { shut(call) }
		}
		call, err := client.Start(options)
		must(t, err)
		receive(t, closed)
		call.Close() // waits for the handler
		eventually(t, "the session is gone", func() bool { return session(t, "sessions", user) == nil })
		client.Close()
		if after.Load() != 1 {
			t.Errorf("%s: %d callbacks after Close", what, after.Load()-1)
		}
	}
	sender.undisturbed(t)
	sender.leave(t)
}

// Row handler-throws.
func TestHandlerPanics(t *testing.T) {
	room := unique("panic")
	sender := join(t, "sender", room, nil)
	sender.publishTone(t, 440)
	var panics sync.Map
	var events, frames atomic.Int64
	p := join(t, "bot", room, func(o *offhook.CallOptions) {
		record := o.OnEvent
		o.OnEvent = func(call *offhook.Call, e offhook.Event) {
			record(call, e)
			switch events.Add(1) {
			case 1:
				panic("an event handler fails")
			case 2:
				var nobody *peer
				nobody.user = "nil" // a nil dereference, not a call of panic
			}
		}
		audio := o.OnAudio
		o.OnAudio = func(call *offhook.Call, a *offhook.AudioFrame) {
			audio(call, a)
			if frames.Add(1) <= 3 {
				panic(errors.New("an audio handler fails"))
			}
		}
		o.OnPanic = func(call *offhook.Call, p *offhook.Panic) {
			if call == nil || !strings.Contains(string(p.Stack), "contained_test.go") {
				t.Errorf("the panic does not say where: %v", p)
			}
			n, _ := panics.LoadOrStore(p.Handler, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			panic("OnPanic fails, too")
		}
	})
	p.receivesTone(t, sender.user, 440, 1000)
	expect[*offhook.EventJoined](t, p.recorder, 0, nil)
	for handler, want := range map[string]int64{"event": 2, "audio": 3} {
		n, ok := panics.Load(handler)
		if !ok || n.(*atomic.Int64).Load() != want {
			t.Errorf("reported panics of %s handlers: %v, not %d", handler, n, want)
		}
	}
	p.undisturbed(t)
	p.leave(t)
	sender.undisturbed(t)
	sender.leave(t)
}

// Row leave-twice.
func TestLeaveTwice(t *testing.T) {
	p := join(t, "alice", unique("twice"), nil)
	var group sync.WaitGroup
	for range 2 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 2 {
				if err := p.call.Leave("bye"); err != nil && !errors.Is(err, offhook.ErrHandle) {
					t.Error(err)
				}
			}
			for range 2 {
				if err := p.call.Close(); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
	no[*offhook.EventError](t, p.recorder)
	if err := p.call.Leave("again"); !errors.Is(err, offhook.ErrHandle) {
		t.Errorf("left after it was closed: %v", err)
	}
	must(t, p.client.Close())
	must(t, p.client.Close())
}

// Row dropped.
func TestDropped(t *testing.T) {
	for _, how := range []string{"handlers", "channels", "pull"} {
		user := unique("dropped-" + how)
		core := func() func() bool {
			client, err := offhook.NewClient(offhook.ClientOptions{URL: sfuURL(t), UserID: user, Token: "development"})
			must(t, err)
			options := offhook.CallOptions{CallID: unique("dropped")}
			switch how {
			case "handlers":
				options.OnEvent = func(*offhook.Call, offhook.Event) {}
				options.OnAudio = func(*offhook.Call, *offhook.AudioFrame) {}
			case "channels":
				options.EventChannel, options.AudioChannel = 4, 4
			}
			call, err := client.Join(within(t, long), options)
			must(t, err)
			if session(t, "sessions", user) == nil {
				t.Fatal("the SFU does not know the call")
			}
			core := offhook.CoreOf(call)
			runtime.KeepAlive(call)
			return func() bool { return core.Value() == nil }
		}()
		eventually(t, "the call of who forgot it ends: "+how, func() bool {
			runtime.GC()
			return session(t, "sessions", user) == nil
		})
		eventually(t, "nothing of it is left: "+how, func() bool {
			runtime.GC()
			return core()
		})
	}
}

// Row dropped: a track keeps its call referenced.
func TestTrackHoldsCall(t *testing.T) {
	user := unique("holds")
	track := func() *offhook.Track {
		call, err := newClient(t, user).Join(within(t, long), offhook.CallOptions{CallID: unique("holds"), OnEvent: func(*offhook.Call, offhook.Event) {}})
		must(t, err)
		track, err := call.PublishAudio(nil)
		must(t, err)
		return track
	}()
	for range 20 {
		runtime.GC()
		must(t, track.Play(within(t, long), tone(440, 0, 960)))
	}
	if session(t, "sessions", user) == nil {
		t.Error("the call has ended while its track was held")
	}
	must(t, track.Call().Close())
}

// Row wrong-order.
func TestWrongOrder(t *testing.T) {
	p := join(t, "alice", unique("order"), nil)
	p.publishTone(t, 440)
	publisher, err := p.call.Publisher()
	must(t, err)
	subscriber, err := p.call.Subscriber()
	must(t, err)
	must(t, p.client.Close())
	must(t, p.call.Close())
	must(t, p.track.Close())
	ctx := within(t, long)
	_, stateErr := p.call.State()
	_, statsErr := p.call.Stats()
	_, publishErr := p.call.PublishAudio(nil)
	_, startErr := p.client.Start(offhook.CallOptions{CallID: "x", OnEvent: func(*offhook.Call, offhook.Event) {}})
	_, pullErr := p.call.WaitEvent(ctx)
	_, bufferedErr := p.track.Buffered()
	_, capErr := p.call.Capabilities()
	_, rpcErr := p.call.PerformRPC(offhook.RPCOptions{To: "x", Method: "y"})
	for what, err := range map[string]error{
		"State": stateErr, "Stats": statsErr, "PublishAudio": publishErr, "Start": startErr, "WaitEvent": pullErr,
		"Capabilities": capErr, "PerformRPC": rpcErr, "Leave": p.call.Leave(""), "WaitState": p.call.WaitState(ctx, offhook.StateJoined),
		"WaitEnded": p.call.WaitEnded(ctx), "ProvideToken": p.call.ProvideToken("x"), "SendCustomEvent": p.call.SendCustomEvent("{}"),
		"SendData": p.call.SendData([]byte{1}, nil), "SendText": p.call.SendText("x", nil),
		"SetAttributes": p.call.SetAttributes("x", "", nil), "AnswerRPC": p.call.AnswerRPC("x", ""),
		"Write": p.track.Write(make([]int16, 960)), "WriteF32": p.track.WriteF32(make([]float32, 960)),
		"WriteOpus": p.track.WriteOpus([]byte{0xf8, 0xff, 0xfe}), "WaitWritable": p.track.WaitWritable(ctx, 960),
		"Buffered": bufferedErr, "SetMuted": p.track.SetMuted(true), "Play": p.track.Play(ctx, tone(440, 0, 96000)),
		"WaitDrained": p.track.WaitDrained(ctx), "Publisher.Stop": publisher.Stop(), "Subscriber.Stop": subscriber.Stop(),
		"SetTrack": subscriber.SetTrack("x", nil),
	} {
		if !errors.Is(err, offhook.ErrHandle) && !errors.Is(err, offhook.ErrClosed) {
			t.Errorf("%s after everything was closed: %v", what, err)
		}
	}
	must(t, publisher.Close())
	must(t, subscriber.Close())

	// The parts one by one, while the call continues.
	q := join(t, "bob", unique("order"), nil)
	q.publishTone(t, 440)
	must(t, q.track.Close())
	must(t, q.track.Close())
	publisher, err = q.call.Publisher()
	must(t, err)
	must(t, publisher.Stop())
	if _, err = q.call.PublishAudio(nil); !errors.Is(err, offhook.ErrClosed) {
		t.Errorf("published after the publisher was stopped: %v", err)
	}
	must(t, publisher.Close())
	q.undisturbed(t)
	q.leave(t)
}

// Row blocked-handler. A wait inside a handler of the same call is refused: it would wait for itself.
func TestBlockedHandler(t *testing.T) {
	release, blocked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var waited, shut error
	slow := start(t, "slow", unique("blocked"), func(o *offhook.CallOptions) {
		record := o.OnEvent
		o.OnEvent = func(call *offhook.Call, e offhook.Event) {
			record(call, e)
			if e.Kind() == offhook.KindJoined {
				once.Do(func() {
					waited = call.WaitState(context.Background(), offhook.StateLeft)
					shut = offhook.Shutdown(context.Background())
					close(blocked)
					<-release
				})
			}
		}
	})
	receive(t, blocked)
	room := unique("free")
	alice, bob := join(t, "alice", room, nil), join(t, "bob", room, nil)
	alice.publishTone(t, 440)
	bob.receivesTone(t, alice.user, 440, 1000)
	alice.leave(t)
	bob.leave(t)
	select {
	case <-release:
		t.Fatal("it did not block")
	default:
	}
	if slow.count() == 0 || slow.call.Ended() != nil {
		t.Error("the blocked call has ended")
	}
	// Functions that do not need the handler do not wait for it.
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	must(t, slow.call.WaitState(ctx, offhook.StateJoined))
	must(t, slow.call.Leave("bye"))
	if err := slow.call.WaitState(ctx, offhook.StateLeft); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the end was handed over to a handler that blocks: %v", err)
	}
	close(release)
	must(t, slow.call.WaitEnded(within(t, long)))
	if !errors.Is(waited, offhook.ErrWouldDeadlock) || !errors.Is(shut, offhook.ErrWouldDeadlock) {
		t.Errorf("waits inside a handler: %v, %v", waited, shut)
	}
	must(t, slow.client.Close())
}

// A wait for room inside a handler, where the buffer does not drain, is refused.
func TestPlayInHandler(t *testing.T) {
	played := make(chan error, 16)
	p := &peer{recorder: newRecorder(), user: unique("plays")}
	p.client = newClient(t, p.user)
	ctl(t, "silent", object{"stage": "join_response", "user_id": p.user, "count": 1})
	call, err := p.client.Start(offhook.CallOptions{CallID: unique("plays"), OnEvent: func(call *offhook.Call, e offhook.Event) {
		if e, ok := e.(*offhook.EventState); ok && e.State == offhook.StateJoining {
			track, err := call.PublishAudio(nil)
			if err == nil {
				err = track.Play(context.Background(), tone(440, 0, 96000))
			}
			played <- err
		}
	}})
	must(t, err)
	if err := receive(t, played); !errors.Is(err, offhook.ErrWouldDeadlock) {
		t.Errorf("played inside a handler: %v", err)
	}
	must(t, call.Close())
}

// Rows of tests/scenarios.md: join, send-receive, mute, participants, leave, late-offers.

package offhook_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

// Row join.
func TestJoin(t *testing.T) {
	room := unique("join")
	first := join(t, "first", room, nil)
	p := join(t, "alice", room, nil)
	joined := expect[*offhook.EventJoined](t, p.recorder, 0, nil)
	if joined.SessionID == "" || joined.Participants != 2 || joined.Kind() != offhook.KindJoined {
		t.Errorf("joined: %+v", joined)
	}
	expect(t, p.recorder, 0, func(e *offhook.EventState) bool {
		return e.State == offhook.StateJoined && e.Previous == offhook.StateJoining
	})
	expect(t, p.recorder, 0, func(e *offhook.EventParticipantJoined) bool { return e.Participant.UserID == first.user })
	state, err := p.call.State()
	if err != nil || state != offhook.StateJoined || state.String() != "joined" {
		t.Errorf("state %v, %v", state, err)
	}
	stats, err := p.call.Stats()
	if err != nil || stats.Participants != 2 || stats.JoinTime <= 0 || stats.JoinAttempts != 1 {
		t.Errorf("stats %+v, %v", stats, err)
	}
	p.leave(t)
	first.leave(t)
}

// Row join: an unreachable server.
func TestJoinWrongURL(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	l.Close()
	client, err := offhook.NewClient(offhook.ClientOptions{URL: "http://" + address, UserID: "u", Token: "x"})
	must(t, err)
	defer client.Close()
	ended := make(chan *offhook.EventEnded, 1)
	_, err = client.Join(within(t, long), offhook.CallOptions{CallID: "x", JoinRetries: offhook.Zero, OnEvent: func(_ *offhook.Call, e offhook.Event) {
		if e, ok := e.(*offhook.EventEnded); ok {
			ended <- e
		}
	}})
	var failure *offhook.Error
	if !errors.As(err, &failure) || !errors.Is(err, offhook.ErrNetwork) || !strings.Contains(err.Error(), "OH_ERR_NETWORK") {
		t.Fatalf("joined an unreachable server: %v", err)
	}
	if e := receive(t, ended); e.Reason != offhook.EndJoinFailed || !errors.Is(e.Err, offhook.ErrNetwork) {
		t.Errorf("ended: %+v", e)
	}
	if _, err = offhook.NewClient(offhook.ClientOptions{URL: "nonsense"}); !errors.Is(err, offhook.ErrArgument) {
		t.Errorf("a URL that is none: %v", err)
	}
	if _, err = offhook.NewClient(offhook.ClientOptions{URL: "http://192.0.2.1", UserID: "u"}); !errors.Is(err, offhook.ErrInsecure) {
		t.Errorf("plain http to another machine: %v", err)
	}
}

// Row join: a context that ends leaves the call; the server's own code is reported.
func TestJoinContext(t *testing.T) {
	user := unique("late")
	client := newClient(t, user)
	ctl(t, "silent", object{"stage": "join_response", "user_id": user, "count": 1})
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	calls := make(chan *offhook.Call, 16)
	_, err := client.Join(ctx, offhook.CallOptions{CallID: unique("r"), OnEvent: func(call *offhook.Call, e offhook.Event) {
		if e, ok := e.(*offhook.EventState); ok && e.State == offhook.StateJoining {
			calls <- call
			cancel(why)
		}
	}})
	if !errors.Is(err, why) {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err = receive(t, calls).State(); !errors.Is(err, offhook.ErrHandle) {
		t.Errorf("the call was not closed: %v", err)
	}
	if session(t, "sessions", user) != nil {
		t.Error("joined all the same")
	}
	if _, err = client.Join(ctx, offhook.CallOptions{CallID: "x"}); !errors.Is(err, why) {
		t.Errorf("a context that is done: %v", err)
	}

	// Another user: the request of the first may still be in transit, and would be refused instead.
	user = unique("refused")
	client = newClient(t, user)
	ctl(t, "refuse_join", object{"user_id": user, "http_status": 403, "code": 17, "message": "not you", "unrecoverable": true, "count": 1})
	_, err = client.Join(within(t, long), offhook.CallOptions{CallID: unique("r"), OnEvent: func(*offhook.Call, offhook.Event) {}})
	var failure *offhook.Error
	if !errors.As(err, &failure) || !errors.Is(err, offhook.ErrRefused) || failure.ServerCode == 0 || !strings.Contains(failure.Detail, "not you") {
		t.Errorf("refused: %v %+v", err, failure)
	}
}

// Row send-receive.
func TestSendReceive(t *testing.T) {
	room := unique("send-receive")
	alice, bob := join(t, "alice", room, nil), join(t, "bob", room, nil)
	alice.publishTone(t, 440)
	published := expect[*offhook.EventLocalTrackPublished](t, alice.recorder, 0, nil)
	if published.LocalTrack != alice.track.ID() {
		t.Errorf("another track was published: %+v", published)
	}
	expect(t, bob.recorder, 0, func(e *offhook.EventTrackPublished) bool {
		return e.Track.UserID == alice.user && e.Track.Source == offhook.SourceMicrophone
	})
	bob.receivesTone(t, alice.user, 440, 1000)
	expect(t, bob.recorder, 0, func(e *offhook.EventAudioLevel) bool { return e.UserID == alice.user && e.Speaking })
	alice.undisturbed(t)
	bob.undisturbed(t)
	bob.leave(t)
	alice.leave(t)
}

// Row mute.
func TestMute(t *testing.T) {
	room := unique("mute")
	alice, bob := join(t, "alice", room, nil), join(t, "bob", room, nil)
	alice.publishTone(t, 440)
	bob.receivesTone(t, alice.user, 440, 1000)
	mark := bob.count()
	must(t, alice.track.SetMuted(true))
	expect(t, bob.recorder, mark, func(e *offhook.EventTrackUnpublished) bool {
		return e.Track.UserID == alice.user && e.Track.Cause == offhook.UnpublishMuted
	})
	// Audio in transit is still played; then no audio arrives for half a second.
	loud, since := bob.loudOf(alice.user), time.Now()
	eventually(t, "silence", func() bool {
		if now := bob.loudOf(alice.user); now != loud {
			loud, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
	mark = bob.count()
	must(t, alice.track.SetMuted(false))
	expect(t, bob.recorder, mark, func(e *offhook.EventTrackPublished) bool { return e.Track.UserID == alice.user })
	bob.receivesTone(t, alice.user, 440, 1000)
	bob.leave(t)
	alice.leave(t)
}

// Row participants.
func TestParticipants(t *testing.T) {
	room := unique("people")
	alice, bob := join(t, "alice", room, nil), join(t, "bob", room, nil)
	carol := join(t, "carol", room, nil)
	for _, p := range []*peer{alice, bob} {
		expect(t, p.recorder, 0, func(e *offhook.EventParticipantJoined) bool { return e.Participant.UserID == carol.user })
	}
	carol.leave(t)
	for _, p := range []*peer{alice, bob} {
		left := expect(t, p.recorder, 0, func(e *offhook.EventParticipantLeft) bool { return e.Participant.UserID == carol.user })
		if left.Participant.SessionID == "" {
			t.Errorf("who left has no session: %+v", left)
		}
		p.leave(t)
	}
}

// Row trace.
func TestTrace(t *testing.T) {
	p := join(t, "alice", unique("trace"), nil)
	first, err := p.call.Trace()
	must(t, err)
	if !strings.HasPrefix(first, `{"offhook_trace":1,`) || !strings.HasSuffix(first, "\n") ||
		!strings.Contains(first, "SocketOpened") || strings.Contains(first, `"Ended"`) {
		t.Errorf("the trace of a call that goes on: %.200s", first)
	}
	must(t, p.call.Leave(""))
	must(t, p.call.WaitEnded(within(t, long)))
	last, err := p.call.Trace()
	must(t, err)
	if len(last) <= len(first) || !strings.Contains(last, `"Ended"`) {
		t.Errorf("the trace of an ended call has %d bytes, before it had %d", len(last), len(first))
	}
	must(t, p.call.Close())
	if _, err := p.call.Trace(); err == nil {
		t.Error("a trace of a call that was closed")
	}
}

// Row leave.
func TestLeave(t *testing.T) {
	p := join(t, "alice", unique("leave"), nil)
	began := time.Now()
	must(t, p.call.Leave("has had enough"))
	if took := time.Since(began); took > 200*time.Millisecond {
		t.Errorf("Leave took %v", took)
	}
	ended := expect[*offhook.EventEnded](t, p.recorder, 0, nil)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the end took %v", took)
	}
	if ended.Reason != offhook.EndLeft || ended.Err != nil || ended.Text == "" {
		t.Errorf("ended: %+v", ended)
	}
	must(t, p.call.WaitEnded(within(t, long)))
	must(t, p.call.Close())
	p.lock.Lock()
	if last := p.events[len(p.events)-1]; last.Kind() != offhook.KindEnded {
		t.Errorf("the last event is %v", last.Kind())
	}
	p.lock.Unlock()
	eventually(t, "the SFU knows", func() bool {
		gone := session(t, "gone", p.user)
		return gone != nil && gone["leave_reason"] == "has had enough"
	})
}

// Row leave: a context that ends leaves the call.
func TestWaitEndedContext(t *testing.T) {
	p := join(t, "alice", unique("leave"), nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.call.WaitEnded(ctx) }()
	cancel()
	must(t, receive(t, done))
	if e := p.call.Ended(); e == nil || e.Reason != offhook.EndLeft {
		t.Errorf("ended: %+v", e)
	}
	kicked := join(t, "kicked", unique("leave"), nil)
	ctl(t, "kick", object{"user_id": kicked.user})
	if err := kicked.call.WaitEnded(within(t, long)); err == nil || kicked.call.Ended().Reason != offhook.EndKicked {
		t.Errorf("kicked: %v, %+v", err, kicked.call.Ended())
	}
}

// Row late-offers.
func TestLateOffers(t *testing.T) {
	room := unique("late")
	left, right := join(t, "left", room, nil), join(t, "right", room, nil)
	left.publishTone(t, 440)
	right.publishTone(t, 1000)
	right.receivesTone(t, left.user, 440, 1000)
	left.receivesTone(t, right.user, 1000, 440)

	bot := join(t, "bot", room, nil)
	bot.receivesTone(t, left.user, 440, 700)
	subscriber, err := bot.call.Subscriber()
	must(t, err)
	must(t, subscriber.Stop())
	must(t, subscriber.Stop())
	ctl(t, "late_offer", object{"user_id": bot.user, "count": 200, "wait": true})
	eventually(t, "200 late offers are counted", func() bool {
		stats, err := bot.call.Stats()
		must(t, err)
		return stats.LateOffers >= 200
	})
	ctl(t, "late_offer", object{"user_id": bot.user, "count": 200, "when": "leave"})
	must(t, bot.call.Leave("bye"))
	must(t, bot.call.WaitEnded(within(t, long)))
	if stats, err := bot.call.Stats(); err != nil || stats.ErrorEvents != 0 || stats.OffersFailed != 0 {
		t.Errorf("stats %+v, %v", stats, err)
	}
	no[*offhook.EventError](t, bot.recorder)
	no[*offhook.EventReconnected](t, bot.recorder)

	right.receivesTone(t, left.user, 440, 1000)
	left.receivesTone(t, right.user, 1000, 440)
	for _, p := range []*peer{left, right} {
		p.undisturbed(t)
		if stats, err := p.call.Stats(); err != nil || stats.LateOffers != 0 || stats.JoinAttempts != 1 {
			t.Errorf("stats %+v, %v", stats, err)
		}
		p.leave(t)
	}
}

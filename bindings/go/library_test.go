// Rows of tests/scenarios.md: hundred, reconnect, version, unsupported, token, log.

package offhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

func threads(t testing.TB) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	return len(tasks)
}

// Row hundred. In a separate process, whose threads no other test has created.
func TestHundred(t *testing.T) {
	if os.Getenv("OFFHOOK_TEST_HUNDRED") == "" {
		again(t, "TestHundred$", "OFFHOOK_TEST_HUNDRED=1")
		return
	}
	rooms := make([]string, 10)
	for i := range rooms {
		rooms[i] = unique("room")
	}
	peers := make([]*peer, 100)
	var group sync.WaitGroup
	for i := range peers {
		peers[i] = start(t, "u", rooms[i/10], nil)
		group.Add(1)
		go func() { // all calls are waited for concurrently, each by a goroutine
			defer group.Done()
			if err := peers[i].call.WaitState(within(t, 60*time.Second), offhook.StateJoined); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	most := threads(t)
	for _, p := range peers {
		must(t, p.call.Leave("bye"))
	}
	for _, p := range peers {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := p.call.WaitEnded(within(t, 30*time.Second)); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	for _, p := range peers {
		if e := p.call.Ended(); e == nil || e.Reason != offhook.EndLeft {
			t.Errorf("%s ended otherwise: %+v", p.user, e)
		}
		no[*offhook.EventError](t, p.recorder)
	}
	if most = max(most, threads(t)); most >= 40 {
		t.Errorf("%d threads for a hundred calls", most)
	}
	t.Logf("%d threads", most)
	must(t, offhook.Shutdown(within(t, long)))
}

// again runs one test in a separate process and expects it to pass there.
func again(t *testing.T, name string, env ...string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	command := exec.Command(self, "-test.run=^"+name, "-test.v", "-test.timeout=100s")
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+strings.TrimSuffix(name, "$")) {
		t.Fatalf("in a process of its own: %v", err)
	}
}

// Shutdown waits for a handler until its context is done, and ends the remaining calls when the handler returns.
func TestShutdown(t *testing.T) {
	if os.Getenv("OFFHOOK_TEST_SHUTDOWN") == "" {
		again(t, "TestShutdown$", "OFFHOOK_TEST_SHUTDOWN=1")
		return
	}
	blocked, release := make(chan struct{}), make(chan struct{})
	p := start(t, "alice", unique("shutdown"), func(o *offhook.CallOptions) {
		record := o.OnEvent
		o.OnEvent = func(call *offhook.Call, e offhook.Event) {
			record(call, e)
			if e.Kind() == offhook.KindJoined {
				close(blocked)
				<-release
			}
		}
	})
	receive(t, blocked)
	err := offhook.Shutdown(within(t, 300*time.Millisecond))
	if !errors.Is(err, offhook.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while a handler blocks: %v", err)
	}
	close(release)
	must(t, offhook.Shutdown(within(t, long)))
	if e := p.call.Ended(); e == nil || e.Reason != offhook.EndShutdown {
		t.Errorf("ended: %+v", e)
	}
	join(t, "again", unique("shutdown"), nil).leave(t) // the library can be used again
}

// Row reconnect.
func TestReconnect(t *testing.T) {
	room := unique("reconnect")
	alice, bob := join(t, "alice", room, nil), join(t, "bob", room, nil)
	alice.publishTone(t, 440)
	bob.receivesTone(t, alice.user, 440, 1000)
	mark := alice.count()
	ctl(t, "drop_ws", object{"user_id": alice.user})
	expect(t, alice.recorder, mark, func(e *offhook.EventState) bool { return e.State == offhook.StateReconnecting })
	expect(t, alice.recorder, mark, func(e *offhook.EventState) bool {
		return e.State == offhook.StateJoined && e.Previous == offhook.StateReconnecting
	})
	back := expect[*offhook.EventReconnected](t, alice.recorder, mark, nil)
	if back.ReconnectKind != offhook.ReconnectFast || back.Attempts < 1 || back.SessionID == "" {
		t.Errorf("reconnected: %+v", back)
	}
	bob.receivesTone(t, alice.user, 440, 1000)
	mark = alice.count()
	ctl(t, "error", object{"user_id": alice.user, "code": 500, "message": "start over", "strategy": 3})
	again := expect[*offhook.EventReconnected](t, alice.recorder, mark, nil)
	if again.ReconnectKind != offhook.ReconnectRejoin || again.SessionID == back.SessionID {
		t.Errorf("reconnected: %+v", again)
	}
	bob.receivesTone(t, alice.user, 440, 1000)
	if stats, err := alice.call.Stats(); err != nil || stats.ReconnectsFast != 1 || stats.ReconnectsRejoin != 1 {
		t.Errorf("stats %+v, %v", stats, err)
	}
	// The network has changed: all calls of the process get new sessions. Whether audio resumes when both reconnect
	// at the same moment depends on library and SFU, not on this binding.
	marks := [2]int{alice.count(), bob.count()}
	must(t, offhook.ReportNetwork(offhook.NetworkChanged))
	for i, p := range []*peer{alice, bob} {
		if e := expect[*offhook.EventReconnected](t, p.recorder, marks[i], nil); e.ReconnectKind != offhook.ReconnectRejoin {
			t.Errorf("reconnected: %+v", e)
		}
	}
	if err := offhook.ReportNetwork(77); !errors.Is(err, offhook.ErrArgument) {
		t.Errorf("no such change: %v", err)
	}
	bob.leave(t)
	alice.leave(t)
}

// Row version.
func TestVersion(t *testing.T) {
	if os.Getenv("OFFHOOK_TEST_VERSION") == "" {
		if offhook.ABIVersion() != offhook.HeaderABIVersion || !strings.Contains(offhook.Version(), ".") {
			t.Errorf("ABI %d, version %q", offhook.ABIVersion(), offhook.Version())
		}
		other := os.Getenv("OFFHOOK_OTHER_ABI")
		if other == "" {
			t.Fatal("OFFHOOK_OTHER_ABI is not set: run the tests with scripts/with-sfu.sh")
		}
		again(t, "TestVersion$", "OFFHOOK_TEST_VERSION=1", "LD_PRELOAD="+other)
		return
	}
	_, newErr := offhook.NewClient(offhook.ClientOptions{URL: "http://127.0.0.1:1", UserID: "u"})
	_, tokenErr := offhook.CreateAccessToken(offhook.AccessTokenOptions{})
	for what, err := range map[string]error{
		"NewClient": newErr, "CreateAccessToken": tokenErr, "SetLog": offhook.SetLog(offhook.LogOff, nil),
		"ReportNetwork": offhook.ReportNetwork(offhook.NetworkOnline), "Shutdown": offhook.Shutdown(context.Background()),
	} {
		if !errors.Is(err, offhook.ErrABI) || !strings.Contains(err.Error(), "4711") ||
			!strings.Contains(err.Error(), fmt.Sprintf("ABI %d", offhook.HeaderABIVersion)) {
			t.Errorf("%s with a library of another ABI: %v", what, err)
		}
	}
}

// Row unsupported.
func TestUnsupported(t *testing.T) {
	p := join(t, "alice", unique("unsupported"), nil)
	capabilities, err := p.call.Capabilities()
	if err != nil || !capabilities.Has(offhook.CapPins|offhook.CapMigrate) || capabilities.Has(offhook.CapText) {
		t.Errorf("capabilities %b, %v", capabilities, err)
	}
	err = p.call.SendText("hello", &offhook.DataOptions{Topic: "chat", To: []string{"a", "b"}})
	var failure *offhook.Error
	if !errors.As(err, &failure) || failure.Code != offhook.ErrUnsupported || !strings.Contains(failure.Detail, "oh_call_send_text") ||
		!strings.Contains(failure.Detail, "Stream") {
		t.Errorf("a text in a protocol without: %v", err)
	}
	subscriber, err := p.call.Subscriber()
	must(t, err)
	_, rpcErr := p.call.PerformRPC(offhook.RPCOptions{To: "a", Method: "m", Payload: "p", Timeout: time.Second})
	for what, err := range map[string]error{
		"SendData": p.call.SendData([]byte("bytes"), nil), "PerformRPC": rpcErr, "AnswerRPC": p.call.AnswerRPC("id", "payload"),
		"FailRPC":       p.call.FailRPC("id", offhook.RPCApplication, "why", ""),
		"SetAttributes": p.call.SetAttributes("name", "metadata", map[string]string{"k": "v"}),
		"SetTrack":      subscriber.SetTrack("track", &offhook.RemoteTrackOptions{Pause: true}),
	} {
		if !errors.Is(err, offhook.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	p.undisturbed(t)
	p.leave(t)
}

// Row token.
func TestToken(t *testing.T) {
	user, asked := unique("token"), 0
	client, err := offhook.NewClient(offhook.ClientOptions{URL: sfuURL(t), UserID: user, Token: "first"})
	must(t, err)
	defer client.Close()
	ctl(t, "expire_tokens", object{"user_id": user, "count": 1})
	call, err := client.Join(within(t, long), offhook.CallOptions{CallID: unique("token"), RenewToken: true,
		OnEvent: func(call *offhook.Call, e offhook.Event) {
			if _, ok := e.(*offhook.EventTokenNeeded); ok {
				asked++
				if err := call.ProvideToken("second"); err != nil {
					t.Error(err)
				}
			}
		}})
	must(t, err)
	must(t, call.Close())
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}

	// By a channel, answered without a token.
	ctl(t, "expire_tokens", object{"user_id": user, "count": 1})
	call, err = client.Start(offhook.CallOptions{CallID: unique("token"), RenewToken: true, EventChannel: 8})
	must(t, err)
	for e := range call.Events() {
		if e.Kind() == offhook.KindTokenNeeded {
			must(t, call.ProvideToken(""))
		}
	}
	if e := call.Ended(); e == nil || !errors.Is(e.Err, offhook.ErrAuth) {
		t.Errorf("ended without a token: %+v", e)
	}
	must(t, call.Close())
}

// Row log.
func TestLog(t *testing.T) {
	const secret = "hush-this-is-the-token"
	var lock sync.Mutex
	var lines []string
	must(t, offhook.SetLog(offhook.LogTrace, func(line offhook.LogRecord) {
		lock.Lock()
		lines = append(lines, fmt.Sprint(line.Level, line.Text))
		first := len(lines) == 1
		lock.Unlock()
		if first {
			panic("a log handler fails")
		}
	}))
	defer offhook.SetLog(offhook.LogOff, nil)
	once := func() {
		client, err := offhook.NewClient(offhook.ClientOptions{URL: sfuURL(t), UserID: unique("log"), Token: secret})
		must(t, err)
		call, err := client.Join(within(t, long), offhook.CallOptions{CallID: unique("log"), OnEvent: func(*offhook.Call, offhook.Event) {}})
		must(t, err)
		must(t, call.Leave("bye"))
		must(t, call.WaitEnded(within(t, long)))
		must(t, client.Close())
	}
	count := func() int {
		lock.Lock()
		defer lock.Unlock()
		return len(lines)
	}
	once()
	eventually(t, "lines", func() bool { return count() > 3 })
	must(t, offhook.SetLog(offhook.LogOff, nil))
	before := count()
	once()
	if count() != before {
		t.Errorf("%d lines after the log was turned off", count()-before)
	}
	for _, line := range lines {
		if strings.Contains(line, secret) {
			t.Errorf("the token is in the log: %s", line)
		}
	}
	if err := offhook.SetLog(77, func(offhook.LogRecord) {}); !errors.Is(err, offhook.ErrArgument) {
		t.Errorf("no such level: %v", err)
	}

	var text strings.Builder
	offhook.LogTo(slog.New(slog.NewTextHandler(&text, nil)))(offhook.LogRecord{Level: offhook.LogWarn, Text: "beware"})
	if !strings.Contains(text.String(), "level=WARN msg=beware") {
		t.Errorf("slog: %q", text.String())
	}
}

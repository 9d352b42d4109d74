// Rows pull, network-options and diagnose of tests/scenarios.md, and the other ways to receive: channels, and their behaviour without a reader.

package offhook_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

// Row pull.
func TestPull(t *testing.T) {
	room := unique("pull")
	sender := join(t, "sender", room, nil)
	sender.publishTone(t, 440)
	call, err := newClient(t, unique("bob")).Start(offhook.CallOptions{CallID: room, PullAudio: true})
	must(t, err)
	ctx := within(t, long)
	var order []offhook.EventKind
	take := func(until offhook.EventKind) offhook.Event {
		t.Helper()
		for {
			e, err := call.WaitEvent(ctx)
			if err != nil {
				t.Fatalf("%v after %v", err, order)
			}
			order = append(order, e.Kind())
			if e.Kind() == until {
				return e
			}
		}
	}
	take(offhook.KindJoined)
	var samples []int16
	for len(samples) < 48000 || power(samples[len(samples)-9600:], 440) < 10*power(samples[len(samples)-9600:], 1000) {
		a := take(offhook.KindAudio).(*offhook.EventAudio).Audio
		if a.UserID != sender.user || a.SampleRateHz != 48000 || a.Channels != 1 || len(a.SamplesS16) != a.Frames {
			t.Fatalf("a frame of %s: %+v", sender.user, a)
		}
		samples = append(samples, a.SamplesS16...)
	}
	must(t, call.Leave("bye"))
	ended := take(offhook.KindEnded).(*offhook.EventEnded)
	if ended.Reason != offhook.EndLeft || call.Ended() != ended {
		t.Errorf("ended: %+v", ended)
	}
	if _, err = call.WaitEvent(ctx); !errors.Is(err, offhook.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	must(t, call.Close())
	sender.leave(t)
}

// Row pull: contexts, Close from another goroutine, turns.
func TestPullWaits(t *testing.T) {
	call, err := newClient(t, unique("bob")).Join(within(t, long), offhook.CallOptions{CallID: unique("pull")})
	must(t, err)
	// Until no more events arrive: then a wait ends by its context, more than once.
	for quiet := 0; quiet < 2; {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		began := time.Now()
		_, err := call.WaitEvent(ctx)
		cancel()
		if err == nil {
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) < 90*time.Millisecond {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
		quiet++
	}
	if _, err := call.TryEvent(); !errors.Is(err, offhook.ErrEmpty) {
		t.Errorf("nothing there: %v", err)
	}
	results := make(chan error, 2)
	for range 2 {
		go func() {
			for {
				if _, err := call.WaitEvent(context.Background()); err != nil {
					results <- err
					return
				}
			}
		}()
	}
	eventually(t, "one of them waits", func() bool {
		_, err := call.TryEvent()
		return errors.Is(err, offhook.ErrState)
	})
	must(t, call.Close())
	for range 2 {
		if err := receive(t, results); !errors.Is(err, offhook.ErrClosed) && !errors.Is(err, offhook.ErrHandle) {
			t.Errorf("closed while waiting: %v", err)
		}
	}
	p := join(t, "handlers", unique("pull"), nil)
	if _, err := p.call.WaitEvent(within(t, long)); !errors.Is(err, offhook.ErrState) {
		t.Errorf("pulled beside handlers: %v", err)
	}
	p.leave(t)
}

func TestChannels(t *testing.T) {
	room := unique("channels")
	sender := join(t, "sender", room, nil)
	sender.publishTone(t, 440)
	call, err := newClient(t, unique("bob")).Start(offhook.CallOptions{CallID: room, EventChannel: 64, AudioChannel: 16})
	must(t, err)
	joined, received, deadline := false, []int16{}, time.After(long)
	for !joined || len(received) < 48000 {
		select {
		case e := <-call.Events():
			joined = joined || e.Kind() == offhook.KindJoined
		case a := <-call.Audio():
			received = append(received, a.SamplesS16...)
		case <-deadline:
			t.Fatalf("joined %v, received %d samples", joined, len(received))
		}
	}
	if tail := received[len(received)-9600:]; power(tail, 440) < 10*power(tail, 1000) {
		t.Error("no tone")
	}
	must(t, call.Leave("bye"))
	var last offhook.Event
	for e := range call.Events() {
		last = e
	}
	if last == nil || last.Kind() != offhook.KindEnded {
		t.Errorf("the last event of a channel: %v", last)
	}
	for range call.Audio() { // closed as well
	}
	must(t, call.Close())
	sender.leave(t)
}

// A channel without a reader: audio is dropped and counted; events wait, are lost beyond the queue, and EventLost
// reports it. Other calls are unaffected, and Close does not wait for a reader.
func TestFullChannels(t *testing.T) {
	room := unique("full")
	sender, other := join(t, "sender", room, nil), join(t, "other", room, nil)
	sender.publishTone(t, 440)
	unread, err := newClient(t, unique("unread")).Join(within(t, long), offhook.CallOptions{CallID: room, AudioChannel: 2})
	must(t, err)
	eventually(t, "frames are dropped and counted", func() bool {
		stats, err := unread.Stats()
		must(t, err)
		return stats.ChannelDropped > 20
	})
	if len(unread.Audio()) != 2 || unread.Events() != nil {
		t.Errorf("%d frames in a channel of 2", len(unread.Audio()))
	}
	must(t, unread.Close())
	for range unread.Audio() {
	}

	cid := unique("pins")
	slow, err := newClient(t, unique("slow")).Join(within(t, long), offhook.CallOptions{CallID: cid, EventChannel: 1, MaxQueuedEvents: 16})
	must(t, err)
	for i := range 60 {
		sessions := []string{}
		if i%2 == 0 {
			sessions = append(sessions, "nobody")
		}
		ctl(t, "pins", object{"cid": "default:" + cid, "sessions": sessions})
	}
	eventually(t, "events are counted as lost", func() bool {
		stats, err := slow.Stats()
		must(t, err)
		return stats.EventsDropped > 10
	})
	other.receivesTone(t, sender.user, 440, 1000)
	must(t, slow.Leave("bye"))
	must(t, slow.WaitEnded(within(t, long)))
	lost, states, ended := uint64(0), 0, false
	for e := range slow.Events() {
		switch e := e.(type) {
		case *offhook.EventLost:
			lost += e.Total
		case *offhook.EventState:
			states++
		case *offhook.EventEnded:
			ended = true
		}
	}
	stats, err := slow.Stats()
	must(t, err)
	if lost != stats.EventsDropped || states != 3 || !ended {
		t.Errorf("%d lost of %d, %d states, ended %v", lost, stats.EventsDropped, states, ended)
	}
	must(t, slow.Close())

	stuck, err := newClient(t, unique("stuck")).Join(within(t, long), offhook.CallOptions{CallID: cid, EventChannel: 1})
	must(t, err)
	closed := make(chan struct{})
	go func() { stuck.Close(); close(closed) }()
	receive(t, closed)
	count := 0
	for range stuck.Events() { // closed by Close
		count++
	}
	if count > 2 { // the one in the channel, and one that was about to be sent
		t.Errorf("%d events in a channel of 1 after Close", count)
	}
	sender.undisturbed(t)
	other.undisturbed(t)
	other.leave(t)
	sender.leave(t)
}

// Two hundred waits need no threads.
func TestWaitingBlocksNoThread(t *testing.T) {
	call, err := newClient(t, unique("waits")).Join(within(t, long), offhook.CallOptions{CallID: unique("waits")})
	must(t, err)
	track, err := call.PublishAudio(&offhook.AudioTrackOptions{Buffer: 100 * time.Millisecond})
	must(t, err)
	must(t, call.Leave("so that the buffer does not drain"))
	if err := track.WaitWritable(within(t, long), 48000); err == nil {
		t.Error("a second fits into 100 ms")
	}
	quiet, err := newClient(t, unique("waits")).Join(within(t, long), offhook.CallOptions{CallID: unique("waits")})
	must(t, err)
	before := threads(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	for range 100 {
		go func() { done <- quiet.WaitState(ctx, offhook.StateLeft) }()
		go func() {
			for {
				if _, err := quiet.WaitEvent(ctx); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	most := 0
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		most = max(most, threads(t))
	}
	if most > before+20 {
		t.Errorf("%d threads for 200 waits, before %d", most, before)
	}
	cancel()
	for range 200 {
		if err := receive(t, done); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	must(t, quiet.Close())
	must(t, call.Close())
}

func TestOptions(t *testing.T) {
	client := newClient(t, unique("options"))
	both := offhook.CallOptions{CallID: "x", EventChannel: 1, OnEvent: func(*offhook.Call, offhook.Event) {}}
	for what, options := range map[string]offhook.CallOptions{
		"handlers and channels": both, "a NUL": {CallID: "x\x00y"}, "a negative rate": {CallID: "x", AudioSampleRateHz: -1},
		"a rate too low": {CallID: "x", AudioSampleRateHz: 1}, "no id": {}, "a negative time": {CallID: "x", ReconnectTimeout: -time.Second},
		"no UTF-8": {CallID: "\xff"}, "no JSON": {CallID: "x", DataJSON: "["}, "eleven retries": {CallID: "x", JoinRetries: 11},
		"a negative channel": {CallID: "x", AudioChannel: -1},
	} {
		call, err := client.Start(options)
		if !errors.Is(err, offhook.ErrArgument) {
			t.Errorf("%s: %v, %v", what, call, err)
		}
	}
	token, err := offhook.CreateAccessToken(offhook.AccessTokenOptions{APIKey: "k", APISecret: "0123456789abcdef0123456789abcdef", UserID: "u",
		CallID: "c", Metadata: strings.Repeat("m", 5000), TTL: time.Hour})
	if err != nil || strings.Count(token, ".") != 2 || len(token) < 5000 {
		t.Errorf("token of %d bytes, %v", len(token), err)
	}
	if _, err = offhook.CreateAccessToken(offhook.AccessTokenOptions{UserID: "u"}); !errors.Is(err, offhook.ErrArgument) {
		t.Errorf("a token without a key: %v", err)
	}
	lasting, err := client.Join(within(t, long), offhook.CallOptions{CallID: unique("options"), ReconnectTimeout: offhook.Forever,
		AudioFormat: offhook.F32, AudioSampleRateHz: 16000, AudioChannels: 2, OnAudio: func(*offhook.Call, *offhook.AudioFrame) {}})
	must(t, err)
	must(t, lasting.Close())
}

// Row network-options.
func TestNetworkOptions(t *testing.T) {
	for name, change := range map[string]func(*offhook.ClientOptions){
		"proxy":        func(o *offhook.ClientOptions) { o.Proxy = "ftp://user:5ecret@127.0.0.1" },
		"interfaces":   func(o *offhook.ClientOptions) { o.Interfaces = []string{"eth0", ""} },
		"Interfaces":   func(o *offhook.ClientOptions) { o.Interfaces = []string{"e\x00h"} },
		"ip_family":    func(o *offhook.ClientOptions) { o.IPFamily = 99 },
		"media_port":   func(o *offhook.ClientOptions) { o.MediaPortMin, o.MediaPortMax = 40000, 40000 },
		"MediaPortMin": func(o *offhook.ClientOptions) { o.MediaPortMin, o.MediaPortMax = -1, 40000 },
		"dscp":         func(o *offhook.ClientOptions) { o.DSCP = 64 },
	} {
		options := offhook.ClientOptions{URL: sfuURL(t), UserID: unique("network"), Token: "development"}
		change(&options)
		_, err := offhook.NewClient(options)
		if !errors.Is(err, offhook.ErrArgument) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "5ecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	client, err := offhook.NewClient(offhook.ClientOptions{
		URL: sfuURL(t), UserID: unique("network"), Token: "development", Proxy: "none", Interfaces: []string{"lo", "!docker*"},
		IPFamily: offhook.IPv4, MediaPortMin: 20000, MediaPortMax: 29999, DSCP: 46,
	})
	must(t, err)
	defer client.Close()
	call, err := client.Join(within(t, long), offhook.CallOptions{CallID: unique("network")})
	must(t, err)
	must(t, call.Close())
}

// Row diagnose.
func TestDiagnose(t *testing.T) {
	const token = "head5ecretHead.pay5ecretLoad.sig5ecretNature0123"
	options := offhook.DiagnoseOptions{
		Client: offhook.ClientOptions{URL: sfuURL(t), UserID: unique("doctor"), Token: token}, CallID: unique("diagnosis"),
	}
	good, err := offhook.Diagnose(within(t, long), options)
	must(t, err)
	if !good.OK() || !strings.Contains(good.ReportJSON, `"publisher"`) {
		t.Errorf("%s", good.Text)
	}
	if strings.Contains(good.Text+good.ReportJSON, "5ecret") {
		t.Errorf("a secret is in %s", good.Text)
	}
	bad, err := offhook.Diagnose(within(t, long), offhook.DiagnoseOptions{Client: offhook.ClientOptions{URL: "http://127.0.0.1:1"}})
	must(t, err)
	if bad.OK() || bad.StepsFailed != 1 || bad.Incomplete || !strings.Contains(bad.ReportJSON, `"cause":"refused"`) {
		t.Errorf("%+v", bad)
	}
	for name, change := range map[string]func(*offhook.DiagnoseOptions){
		"url":               func(o *offhook.DiagnoseOptions) { o.Client.URL = "" },
		"timeout_ms":        func(o *offhook.DiagnoseOptions) { o.Timeout = time.Millisecond },
		"oh_ice_server.url": func(o *offhook.DiagnoseOptions) { o.ICEServers = make([]offhook.ICEServer, 1) },
		"ice_server_count":  func(o *offhook.DiagnoseOptions) { o.ICEServers = make([]offhook.ICEServer, 40) },
		"CallID":            func(o *offhook.DiagnoseOptions) { o.CallID = "a\x00b" },
	} {
		options := offhook.DiagnoseOptions{Client: offhook.ClientOptions{URL: "http://127.0.0.1:1"}}
		change(&options)
		if _, err := offhook.Diagnose(within(t, long), options); !errors.Is(err, offhook.ErrArgument) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	if _, err := offhook.Diagnose(ctx, options); err != nil && err.Error() != "enough" {
		t.Errorf("%v", err)
	}
}

// Each error has the text of its own failure, whatever thread its goroutine runs on.
func TestErrorTexts(t *testing.T) {
	client := newClient(t, unique("texts"))
	wants := map[string]offhook.CallOptions{
		"data_json": {CallID: "x", DataJSON: "["}, "audio_sample_rate_hz": {CallID: "x", AudioSampleRateHz: 1},
		"audio_channels": {CallID: "x", AudioChannels: 3}, "max_queued_events": {CallID: "x", MaxQueuedEvents: 1},
	}
	done := make(chan struct{})
	for range 8 {
		for want, options := range wants {
			go func() {
				defer func() { done <- struct{}{} }()
				for range 200 {
					_, err := client.Start(options)
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%v does not speak of %s", err, want)
						return
					}
				}
			}()
		}
	}
	for range 8 * len(wants) {
		receive(t, done)
	}
	e := &offhook.Error{Code: offhook.ErrHandle, Op: "test"}
	if !strings.Contains(e.Error(), "OH_ERR_HANDLE") || !errors.Is(e, offhook.ErrHandle) || errors.Is(e, offhook.ErrClosed) {
		t.Errorf("%v", e)
	}
}

// Audio in all three formats, and as bytes.
func TestFormats(t *testing.T) {
	room := unique("formats")
	bob := join(t, "bob", room, nil)
	packets := make(chan []byte, 512)
	opus := join(t, "opus", room, func(o *offhook.CallOptions) {
		o.AudioFormat = offhook.Opus
		o.OnAudio = func(_ *offhook.Call, a *offhook.AudioFrame) {
			if a.Format == offhook.Opus && len(a.OpusPacket) > 0 && a.SamplesS16 == nil {
				select {
				case packets <- a.OpusPacket:
				default:
				}
			}
		}
	})
	alice := join(t, "alice", room, nil)
	track, err := alice.call.PublishAudio(&offhook.AudioTrackOptions{NoDTX: true, Channels: 2})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var stereo []byte
	for _, s := range tone(440, 0, 2*48000) { // a second, twice
		stereo = append(stereo, byte(s), byte(uint16(s)>>8), byte(s), byte(uint16(s)>>8))
	}
	done := make(chan error)
	go func() { // in pieces that do not match the frame size
		w := track.Writer(ctx)
		for at := 0; ; at = (at + 1001) % (len(stereo) / 2) {
			if _, err := w.Write(stereo[at : at+1001]); err != nil {
				done <- err
				return
			}
		}
	}()
	bob.receivesTone(t, alice.user, 440, 1000)
	if n, err := track.Buffered(); err != nil || n > 200*time.Millisecond {
		t.Errorf("buffered %v, %v", n, err)
	}
	if err := track.Write(make([]int16, 3)); !errors.Is(err, offhook.ErrArgument) {
		t.Errorf("three samples of two channels: %v", err)
	}
	if err := track.WriteOpus([]byte{0xf8, 0xff, 0xfe}); !errors.Is(err, offhook.ErrState) {
		t.Errorf("a packet on a track of PCM: %v", err)
	}
	must(t, track.WriteF32(make([]float32, 0)))
	if sent, _, err := track.Clear(); err != nil || sent == 0 {
		t.Errorf("cleared: %v sent, %v", sent, err)
	}
	sent, err := opus.call.PublishAudio(&offhook.AudioTrackOptions{Format: offhook.Opus, Buffer: 2 * time.Second})
	must(t, err)
	if err := sent.Write(make([]int16, 960)); !errors.Is(err, offhook.ErrState) {
		t.Errorf("PCM on a track of packets: %v", err)
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for p := range packets {
			if err := sent.WriteOpus(p); err != nil && !errors.Is(err, offhook.ErrFull) {
				return // the call has ended
			}
		}
	}()
	bob.receivesTone(t, opus.user, 440, 1000)
	cancel()
	if err := receive(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("the writer ended with %v", err)
	}
	must(t, track.WaitDrained(within(t, long)))
	opus.leave(t)
	close(packets)
	receive(t, stop)
	alice.leave(t)
	bob.leave(t)
}

// Custom events of the coordinator, with their own watcher.
func TestCustom(t *testing.T) {
	user, room := unique("custom"), unique("custom")
	client, err := offhook.NewClient(offhook.ClientOptions{URL: sfuURL(t), UserID: user, Token: "development", ReceiveCustomEvents: true})
	must(t, err)
	defer client.Close()
	r := newRecorder()
	call, err := client.Join(within(t, long), offhook.CallOptions{CallID: room, OnEvent: r.onEvent})
	must(t, err)
	must(t, call.SendCustomEvent(`{"type":"wave","n":1}`))
	e := expect[*offhook.EventCustom](t, r, 0, nil)
	if e.UserID != user || e.CustomType != "wave" || !strings.Contains(e.DataJSON, `"n":1`) {
		t.Errorf("custom: %+v", e)
	}
	if err := call.SendCustomEvent("nonsense"); !errors.Is(err, offhook.ErrArgument) {
		t.Errorf("no JSON: %v", err)
	}
	ctl(t, "grants", object{"user_id": user, "audio": false, "video": true, "screenshare": true, "message": "hush"})
	if g := expect[*offhook.EventRights](t, r, 0, nil); g.Rights.Has(offhook.RightAudio) || !g.Rights.Has(offhook.RightVideo|offhook.RightScreenShare) {
		t.Errorf("grants: %+v", g)
	}
	session := expect[*offhook.EventJoined](t, r, 0, nil).SessionID
	ctl(t, "pins", object{"cid": "default:" + room, "sessions": []string{session}})
	if p := expect(t, r, 0, func(e *offhook.EventPins) bool { return len(e.Pins) > 0 }); p.Pins[0] != (offhook.Pin{UserID: user, SessionID: session}) {
		t.Errorf("pins: %+v", p)
	}
	must(t, call.Close())
}

// The linking: with the tag offhook_static the program needs no shared library.
func TestLinked(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	shared := strings.Contains(string(maps), "liboffhook.so")
	if static := os.Getenv("OFFHOOK_TEST_STATIC") != ""; static == shared {
		t.Errorf("static %v, but liboffhook.so loaded %v", static, shared)
	}
}

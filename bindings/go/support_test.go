// Helpers of all tests: the development SFU and its control API, a recorder of a call's events and audio, tones.

package offhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

// The timeout for everything; only a failure takes that long.
const long = 15 * time.Second

func sfuURL(t testing.TB) string {
	url := os.Getenv("OFFHOOK_SFU_URL")
	if url == "" {
		t.Fatal("OFFHOOK_SFU_URL is not set: run the tests with scripts/with-sfu.sh")
	}
	return url
}

var serial atomic.Int64

// unique makes a name that no other test uses, nor another run beside the same SFU.
func unique(name string) string { return fmt.Sprintf("go-%s-%d-%d", name, os.Getpid(), serial.Add(1)) }

type object = map[string]any

// ctl uses the SFU's control API.
func ctl(t testing.TB, name string, request object) object {
	t.Helper()
	body, _ := json.Marshal(request)
	response, err := http.Post(sfuURL(t)+"/ctl/"+name, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	var result object
	if err := json.Unmarshal(answer, &result); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("ctl %s %s: %s %s", name, body, response.Status, answer)
	}
	return result
}

// session finds a user's session in the SFU's state; list is "sessions", "gone" or "joins".
func session(t testing.TB, list, user string) object {
	t.Helper()
	entries, _ := ctl(t, "state", object{})[list].([]any)
	for _, entry := range entries {
		if s, ok := entry.(object); ok && s["user_id"] == user {
			return s
		}
	}
	return nil
}

// eventually polls until a condition is true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(long); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timeout: %s", what)
		}
	}
}

// receive receives from a channel, with a timeout.
func receive[T any](t testing.TB, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(long):
		t.Fatalf("in vain: a %T from a channel", value)
	}
	return value
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func newClient(t testing.TB, user string) *offhook.Client {
	t.Helper()
	client, err := offhook.NewClient(offhook.ClientOptions{URL: sfuURL(t), UserID: user, Token: "development"})
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// recorder records the events and audio of a call.
type recorder struct {
	lock   sync.Mutex
	change chan struct{}
	events []offhook.Event
	audio  map[string][]int16 // mono samples by user, the last second
	frames map[string]int     // by user
	loud   map[string]int     // those that are neither silence nor concealed
	onEach func(*offhook.Call, offhook.Event)
}

func newRecorder() *recorder {
	return &recorder{change: make(chan struct{}), audio: map[string][]int16{}, frames: map[string]int{}, loud: map[string]int{}}
}

func (r *recorder) notify() {
	close(r.change)
	r.change = make(chan struct{})
}

func (r *recorder) onEvent(call *offhook.Call, event offhook.Event) {
	r.lock.Lock()
	r.events = append(r.events, event)
	r.notify()
	r.lock.Unlock()
	if r.onEach != nil {
		r.onEach(call, event)
	}
}

func (r *recorder) onAudio(_ *offhook.Call, a *offhook.AudioFrame) {
	r.lock.Lock()
	defer r.lock.Unlock()
	samples := append(r.audio[a.UserID], a.SamplesS16...)
	r.audio[a.UserID] = samples[max(0, len(samples)-a.SampleRateHz*a.Channels):]
	r.frames[a.UserID]++
	if !a.Silence && !a.Concealed {
		r.loud[a.UserID]++
	}
	r.notify()
}

// until waits until a condition on the recording is true; it is called with the lock held.
func (r *recorder) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(long)
	for {
		r.lock.Lock()
		done, change := holds(), r.change
		r.lock.Unlock()
		if done {
			return
		}
		select {
		case <-change:
		case <-deadline:
			r.lock.Lock()
			defer r.lock.Unlock()
			for _, e := range r.events {
				t.Logf("%v %+v", e.Kind(), e)
			}
			for user, frames := range r.frames {
				t.Logf("%d frames of %s, %d of them loud", frames, user, r.loud[user])
			}
			t.Fatalf("timeout: %s", what)
		}
	}
}

func (r *recorder) count() int {
	r.lock.Lock()
	defer r.lock.Unlock()
	return len(r.events)
}

func (r *recorder) loudOf(user string) int {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.loud[user]
}

// expect waits for an event of a type, at or after mark, for which fits is true (nil: any).
func expect[E offhook.Event](t testing.TB, r *recorder, mark int, fits func(E) bool) E {
	t.Helper()
	var found E
	r.until(t, fmt.Sprintf("an event %T", found), func() bool {
		for _, e := range r.events[mark:] {
			if e, ok := e.(E); ok && (fits == nil || fits(e)) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// no fails when an event of a type was recorded.
func no[E offhook.Event](t testing.TB, r *recorder) {
	t.Helper()
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, e := range r.events {
		if e, ok := e.(E); ok {
			t.Errorf("an event that should not be: %T %+v", e, e)
		}
	}
}

// receivesTone waits for a user's tone: ten times louder than one of another frequency.
func (r *recorder) receivesTone(t testing.TB, user string, hz, other float64) {
	t.Helper()
	// Start anew: audio received before is no proof.
	r.lock.Lock()
	r.audio[user] = nil
	r.lock.Unlock()
	r.until(t, fmt.Sprintf("a tone of %g Hz of %s", hz, user), func() bool {
		samples := r.audio[user]
		if len(samples) < 9600 {
			return false
		}
		samples = samples[len(samples)-9600:]
		return power(samples, hz) > 1e4 && power(samples, hz) > 10*power(samples, other)
	})
}

// power is the strength of a frequency in samples at 48 kHz (Goertzel), as the square of an amplitude.
func power(samples []int16, hz float64) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/48000)
	var a, b float64
	for _, s := range samples {
		a, b = float64(s)+c*a-b, a
	}
	n := float64(len(samples)) / 2
	return (a*a + b*b - c*a*b) / (n * n)
}

func tone(hz float64, from, count int) []int16 {
	samples := make([]int16, count)
	for i := range samples {
		samples[i] = int16(9830 * math.Sin(2*math.Pi*hz*float64(from+i)/48000))
	}
	return samples
}

// peer is a participant with a recorder.
type peer struct {
	*recorder
	user   string
	client *offhook.Client
	call   *offhook.Call
	track  *offhook.Track
}

func join(t testing.TB, name, room string, change func(*offhook.CallOptions)) *peer {
	t.Helper()
	p := start(t, name, room, change)
	must(t, p.call.WaitState(within(t, long), offhook.StateJoined))
	return p
}

func start(t testing.TB, name, room string, change func(*offhook.CallOptions)) *peer {
	t.Helper()
	p := &peer{recorder: newRecorder(), user: unique(name)}
	p.client = newClient(t, p.user)
	options := offhook.CallOptions{CallID: room, OnEvent: p.onEvent, OnAudio: p.onAudio}
	if change != nil {
		change(&options)
	}
	call, err := p.client.Start(options)
	must(t, err)
	p.call = call
	return p
}

// publishTone publishes a tone until the call ends, or the test.
func (p *peer) publishTone(t testing.TB, hz float64) {
	t.Helper()
	track, err := p.call.PublishAudio(&offhook.AudioTrackOptions{NoDTX: true})
	must(t, err)
	p.track = track
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for at := 0; track.Play(ctx, tone(hz, at, 4800)) == nil; at += 4800 {
		}
	}()
}

// leave leaves and checks the end of the call.
func (p *peer) leave(t testing.TB) {
	t.Helper()
	must(t, p.call.Leave("bye"))
	must(t, p.call.WaitEnded(within(t, long)))
	if e := p.call.Ended(); e == nil || e.Reason != offhook.EndLeft || e.Err != nil {
		t.Errorf("the call of %s ended otherwise: %+v", p.user, e)
	}
	must(t, p.client.Close())
}

// undisturbed checks that no event of a failure was received.
func (p *peer) undisturbed(t testing.TB) {
	t.Helper()
	no[*offhook.EventError](t, p.recorder)
	no[*offhook.EventLocalTrackFailed](t, p.recorder)
	no[*offhook.EventReconnected](t, p.recorder)
	no[*offhook.EventLost](t, p.recorder)
	no[*offhook.EventEnded](t, p.recorder)
}

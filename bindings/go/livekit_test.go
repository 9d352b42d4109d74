// Functions of LiveKit's protocol, against a real server, when one is given: OFFHOOK_LIVEKIT holds the line that the
// stand of the C tests prints (nodes, key and secret).

package offhook_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

type stand struct {
	Nodes       []struct{ URL string }
	Key, Secret string
}

func (s stand) join(t *testing.T, name, room string, change func(*offhook.CallOptions)) *peer {
	t.Helper()
	p := &peer{recorder: newRecorder(), user: unique(name)}
	token, err := offhook.CreateAccessToken(offhook.AccessTokenOptions{APIKey: s.Key, APISecret: s.Secret, UserID: p.user, CallID: room,
		AllowSetAttributes: true, Name: "Name of " + name})
	must(t, err)
	p.client, err = offhook.NewClient(offhook.ClientOptions{URL: s.Nodes[0].URL, Protocol: offhook.ProtocolLiveKit, Token: token})
	must(t, err)
	t.Cleanup(func() { p.client.Close() })
	options := offhook.CallOptions{OnEvent: p.onEvent, OnAudio: p.onAudio}
	if change != nil {
		change(&options)
	}
	p.call, err = p.client.Join(within(t, long), options)
	must(t, err)
	return p
}

func TestLiveKit(t *testing.T) {
	line := os.Getenv("OFFHOOK_LIVEKIT")
	if line == "" {
		t.Skip("SKIPPED: no OFFHOOK_LIVEKIT: data, texts, procedure calls, attributes and subscriptions were not tested")
	}
	var s stand
	must(t, json.Unmarshal([]byte(line), &s))
	room := unique("livekit")
	alice := s.join(t, "alice", room, nil)
	bob := s.join(t, "bob", room, func(o *offhook.CallOptions) { o.NoAutoSubscribe = true })
	capabilities, err := alice.call.Capabilities()
	if err != nil || !capabilities.Has(offhook.CapData|offhook.CapText|offhook.CapRPC|offhook.CapSubscriptions) {
		t.Fatalf("capabilities %b, %v", capabilities, err)
	}
	here := expect(t, alice.recorder, 0, func(e *offhook.EventParticipantJoined) bool { return e.Participant.UserID == bob.user })
	if here.Participant.Name != "Name of bob" {
		t.Errorf("participant: %+v", here)
	}
	if r := expect[*offhook.EventRoom](t, alice.recorder, 0, nil); r.Name != room || r.RoomID == "" {
		t.Errorf("room: %+v", r)
	}

	must(t, alice.call.SendData([]byte("\x00bytes"), &offhook.DataOptions{Topic: "d", To: []string{bob.user, "nobody"}}))
	if d := expect[*offhook.EventData](t, bob.recorder, 0, nil); string(d.Data) != "\x00bytes" || d.Topic != "d" || d.UserID != alice.user || d.Lossy {
		t.Errorf("data: %+v", d)
	}
	must(t, alice.call.SendText("grüße", &offhook.DataOptions{Topic: "t"}))
	if x := expect[*offhook.EventText](t, bob.recorder, 0, nil); x.Text != "grüße" || x.Topic != "t" || x.UserID != alice.user || x.TextID == "" {
		t.Errorf("text: %+v", x)
	}

	for _, fails := range []bool{false, true} {
		marks := [2]int{alice.count(), bob.count()}
		id, err := alice.call.PerformRPC(offhook.RPCOptions{To: bob.user, Method: "double", Payload: "21", Timeout: 5 * time.Second})
		must(t, err)
		q := expect[*offhook.EventRPCRequest](t, bob.recorder, marks[1], nil)
		if q.Method != "double" || q.Payload != "21" || q.UserID != alice.user || q.Timeout <= 0 {
			t.Errorf("request: %+v", q)
		}
		if fails {
			must(t, bob.call.FailRPC(q.RequestID, 77, "will not", "data"))
		} else {
			must(t, bob.call.AnswerRPC(q.RequestID, "42"))
		}
		a := expect(t, alice.recorder, marks[0], func(e *offhook.EventRPCResponse) bool { return e.RPCID == id })
		if fails && (a.ErrorCode != 77 || a.Text != "will not" || a.Payload != "data") || !fails && (a.ErrorCode != 0 || a.Payload != "42") {
			t.Errorf("response: %+v", a)
		}
	}
	if err := bob.call.FailRPC("id", 0, "", ""); !errors.Is(err, offhook.ErrArgument) {
		t.Errorf("failed with 0: %v", err)
	}

	must(t, alice.call.SetAttributes("Alice", "meta", map[string]string{"mood": "fine"}))
	expect(t, bob.recorder, 0, func(e *offhook.EventParticipantUpdated) bool {
		p := e.Participant
		return p.UserID == alice.user && p.Name == "Alice" && p.Metadata == "meta" && p.AttributesJSON == `{"mood":"fine"}`
	})

	alice.publishTone(t, 440)
	published := expect(t, bob.recorder, 0, func(e *offhook.EventTrackPublished) bool { return e.Track.UserID == alice.user })
	subscriber, err := bob.call.Subscriber()
	must(t, err)
	must(t, subscriber.SetTrack(published.Track.TrackID, nil))
	bob.receivesTone(t, alice.user, 440, 1000)
	alice.undisturbed(t)
	bob.undisturbed(t)
	bob.leave(t)
	alice.leave(t)
}

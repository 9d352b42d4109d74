// The snapshot of participants, several local tracks, and statistics of tracks.

package offhook_test

import (
	"errors"
	"sync"
	"testing"

	offhook "github.com/offhook/offhook/bindings/go"
)

// find gives a user's participant in the snapshot of a call, and its track of a source; nil: not found.
func find(t testing.TB, call *offhook.Call, user string, source offhook.TrackSource) (*offhook.Participant, *offhook.TrackInfo) {
	t.Helper()
	all, err := call.Participants()
	must(t, err)
	for _, p := range all {
		if p.UserID != user {
			continue
		}
		for _, track := range p.Tracks {
			if track.Source == source {
				return &p, &track
			}
		}
		return &p, nil
	}
	return nil, nil
}

func TestParticipantsSnapshot(t *testing.T) {
	room := unique("snapshot")
	alice := join(t, "alice", room, nil)
	if p, track := find(t, alice.call, alice.user, offhook.SourceMicrophone); p == nil || !p.Local || track != nil {
		t.Errorf("alone: %+v %+v", p, track)
	}
	alice.publishTone(t, 440)
	expect[*offhook.EventLocalTrackPublished](t, alice.recorder, 0, nil)
	bob := join(t, "bob", room, nil)
	bob.receivesTone(t, alice.user, 440, 1000)
	all, err := bob.call.Participants()
	must(t, err)
	if len(all) != 2 || !all[0].Local || all[0].UserID != bob.user || all[1].Local || all[1].UserID != alice.user {
		t.Errorf("participants: %+v", all)
	}
	session := expect[*offhook.EventJoined](t, alice.recorder, 0, nil).SessionID
	p, track := find(t, bob.call, alice.user, offhook.SourceMicrophone)
	if p == nil || track == nil || p.SessionID != session || !track.Received || track.Muted || track.Local || track.LocalTrack != 0 ||
		track.Unplayable != offhook.UnplayableNone {
		t.Errorf("a remote track: %+v %+v", p, track)
	}
	if _, track = find(t, alice.call, alice.user, offhook.SourceMicrophone); track == nil || !track.Local || !track.Published ||
		track.Moderated || track.LocalTrack != alice.track.ID() {
		t.Errorf("a local track: %+v", track)
	}
	must(t, alice.track.SetMuted(true))
	eventually(t, "the snapshot says that the local track is muted", func() bool {
		_, track := find(t, alice.call, alice.user, offhook.SourceMicrophone)
		return track != nil && track.Muted
	})
	alice.leave(t)
	eventually(t, "the snapshot is without who left", func() bool {
		p, _ := find(t, bob.call, alice.user, offhook.SourceMicrophone)
		return p == nil
	})
	must(t, bob.call.Leave(""))
	must(t, bob.call.WaitEnded(within(t, long)))
	if all, err := bob.call.Participants(); err != nil || len(all) != 0 {
		t.Errorf("after the end: %+v, %v", all, err)
	}
	must(t, bob.call.Close())
	if _, err := bob.call.Participants(); !errors.Is(err, offhook.ErrHandle) {
		t.Errorf("after Close: %v", err)
	}
}

func TestSeveralTracks(t *testing.T) {
	room := unique("tracks")
	var lock sync.Mutex
	samples := map[offhook.TrackSource][]int16{}
	alice := join(t, "alice", room, nil)
	bob := join(t, "bob", room, func(o *offhook.CallOptions) {
		record := o.OnAudio
		o.OnAudio = func(call *offhook.Call, a *offhook.AudioFrame) {
			record(call, a)
			if !a.Silence && !a.Concealed && a.ArrivalTime <= 0 {
				t.Errorf("a frame of a packet that did not arrive: %+v", a)
			}
			lock.Lock()
			defer lock.Unlock()
			of := append(samples[a.Source], a.SamplesS16...)
			samples[a.Source] = of[max(0, len(of)-9600):]
		}
	})
	plays := func(source offhook.TrackSource, hz, other float64) bool {
		lock.Lock()
		defer lock.Unlock()
		s := samples[source]
		return len(s) == 9600 && power(s, hz) > 1e4 && power(s, hz) > 10*power(s, other)
	}
	alice.publishTone(t, 440)
	mic := alice.track
	screen, err := alice.call.PublishAudio(&offhook.AudioTrackOptions{Source: offhook.SourceScreenShareAudio, NoDTX: true})
	must(t, err)
	expect(t, alice.recorder, 0, func(e *offhook.EventLocalTrackPublished) bool { return e.LocalTrack == screen.ID() })
	expect(t, bob.recorder, 0, func(e *offhook.EventTrackPublished) bool { return e.Track.Source == offhook.SourceScreenShareAudio })
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for at := 0; ; at += 960 {
			select {
			case <-stop:
				return
			default:
			}
			if screen.Play(within(t, long), tone(1000, at, 960)) != nil {
				return
			}
		}
	}()
	eventually(t, "both tracks", func() bool {
		return plays(offhook.SourceMicrophone, 440, 1000) && plays(offhook.SourceScreenShareAudio, 1000, 440)
	})

	// Each track has separate statistics, at both ends.
	sent, err := screen.Stats()
	must(t, err)
	if sent.Source != offhook.SourceScreenShareAudio || !sent.Published || sent.Muted || sent.PacketsSent == 0 || sent.BytesSent == 0 ||
		sent.Sent == 0 || sent.PacketsFailed != 0 || sent.Dropped != 0 || sent.Unsent != 0 {
		t.Errorf("stats of a local track: %+v", sent)
	}
	if s, err := mic.Stats(); err != nil || s.Source != offhook.SourceMicrophone {
		t.Errorf("stats of the other local track: %+v, %v", s, err)
	}
	subscriber, err := bob.call.Subscriber()
	must(t, err)
	for _, source := range []offhook.TrackSource{offhook.SourceMicrophone, offhook.SourceScreenShareAudio} {
		_, track := find(t, bob.call, alice.user, source)
		if track == nil {
			t.Fatalf("no track of source %d", source)
		}
		s, err := subscriber.TrackStats(*track)
		if err != nil || s.Source != source || !s.Received || s.PacketsReceived == 0 || s.BytesReceived == 0 || s.FramesPlayed == 0 ||
			s.PacketsUnplayable != 0 || s.Delay < 0 {
			t.Errorf("stats of a remote track: %+v, %v", s, err)
		}
	}
	if _, err := subscriber.TrackStats(offhook.TrackInfo{SessionID: "nobody", Source: offhook.SourceMicrophone}); !errors.Is(err, offhook.ErrEmpty) {
		t.Errorf("stats of no track: %v", err)
	}

	// One is closed, the other stays.
	close(stop)
	receive(t, done)
	must(t, screen.WaitDrained(within(t, long)))
	_, _, err = screen.Clear()
	must(t, err)
	must(t, screen.Close())
	if _, err := screen.Stats(); !errors.Is(err, offhook.ErrHandle) {
		t.Errorf("stats after Close: %v", err)
	}
	expect(t, bob.recorder, 0, func(e *offhook.EventTrackUnpublished) bool { return e.Track.Source == offhook.SourceScreenShareAudio })
	lock.Lock()
	clear(samples)
	lock.Unlock()
	eventually(t, "the track that stays", func() bool { return plays(offhook.SourceMicrophone, 440, 1000) })
	bob.leave(t)
	alice.leave(t)
}

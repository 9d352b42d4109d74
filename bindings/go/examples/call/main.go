// A call as a program: joins, plays a tone, receives the others, and leaves on Enter, Ctrl-C or after --seconds.
//
//	go run ./examples/call --url http://127.0.0.1:PORT --user alice --call demo
//	go run ./examples/call --livekit ws://127.0.0.1:PORT --token T
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

var (
	url     = flag.String("url", "", "where the coordinator is")
	livekit = flag.String("livekit", "", "where a LiveKit server is, instead")
	user    = flag.String("user", "", "the user; with --livekit from the token")
	id      = flag.String("call", "", "the call; with --livekit from the token")
	token   = flag.String("token", "development", "the user's token; a real service wants a JWT")
	hz      = flag.Float64("tone", 440, "the tone to play, in Hz; 0: nothing")
	seconds = flag.Float64("seconds", 0, "how long to stay; 0: until Enter or Ctrl-C")
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	flag.Parse()
	if *livekit == "" && (*url == "" || *user == "" || *id == "") {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *seconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*seconds*float64(time.Second)))
		defer cancel()
	} else {
		go func() {
			bufio.NewReader(os.Stdin).ReadString('\n')
			stop()
		}()
	}
	if err := stay(ctx); err != nil {
		log.Fatal(err)
	}
}

func stay(ctx context.Context) error {
	where := offhook.ClientOptions{URL: *url, UserID: *user, Token: *token}
	if *livekit != "" {
		where.URL, where.Protocol = *livekit, offhook.ProtocolLiveKit
	}
	client, err := offhook.NewClient(where)
	if err != nil {
		return err
	}
	defer client.Close()

	call, err := client.Join(ctx, offhook.CallOptions{CallID: *id, EventChannel: 64, AudioChannel: 50})
	if err != nil {
		return err
	}
	defer call.Close()
	track, err := call.PublishAudio(nil)
	if err != nil {
		return err
	}
	if *hz > 0 {
		go playTone(ctx, track)
	}
	done := make(chan error, 1)
	go func() { done <- call.WaitEnded(ctx) }() // leaves when ctx is done

	received := map[string]time.Duration{}
	events, audio := call.Events(), call.Audio()
	for events != nil || audio != nil { // both are closed at the end
		select {
		case event, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			logEvent(event)
		case a, ok := <-audio:
			if !ok {
				audio = nil
				continue
			}
			if received[a.UserID] == 0 {
				log.Printf("receiving audio of %s", a.UserID)
			}
			received[a.UserID] += time.Duration(a.Frames) * time.Second / time.Duration(a.SampleRateHz)
		}
	}
	for who, long := range received {
		fmt.Printf("received %s for %.1f s\n", who, long.Seconds())
	}
	return <-done
}

func logEvent(event offhook.Event) {
	switch e := event.(type) {
	case *offhook.EventJoined:
		log.Printf("joined after %v, %d are here", e.JoinTime, e.Participants)
	case *offhook.EventParticipantJoined:
		log.Printf("%s joined", e.Participant.UserID)
	case *offhook.EventParticipantLeft:
		log.Printf("%s left", e.Participant.UserID)
	case *offhook.EventReconnected:
		log.Printf("back after %v", e.Elapsed)
	case *offhook.EventError:
		log.Print(e.Err)
	case *offhook.EventEnded:
		log.Printf("over: %s", e.Text)
	}
}

// playTone writes a tone until ctx is done or the call has ended.
func playTone(ctx context.Context, track *offhook.Track) {
	samples := make([]int16, 960)
	for n := 0; ; {
		for i := range samples {
			samples[i] = int16(6000 * math.Sin(2*math.Pi**hz*float64(n)/48000))
			n++
		}
		if err := track.Play(ctx, samples); err != nil {
			if ctx.Err() == nil && !errors.Is(err, offhook.ErrClosed) && !errors.Is(err, offhook.ErrHandle) {
				log.Print(err)
			}
			return
		}
	}
}

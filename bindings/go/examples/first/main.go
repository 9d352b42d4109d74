// A first call: plays a tone until a second of another participant was received, or the time is up. URL NAME [SECONDS]
package main

import (
	"cmp"
	"context"
	"log"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: first URL NAME [SECONDS]")
	}
	where := offhook.ClientOptions{
		URL:    os.Args[1],
		UserID: os.Args[2],
		Token:  "development", // a real service wants the user's JWT, made by your server
	}
	if strings.HasPrefix(where.URL, "ws") { // LiveKit; without the settings that of `livekit-server --dev`
		token, err := offhook.CreateAccessToken(offhook.AccessTokenOptions{
			APIKey:    cmp.Or(os.Getenv("LIVEKIT_API_KEY"), "devkey"),
			APISecret: cmp.Or(os.Getenv("LIVEKIT_API_SECRET"), "secret"), // on your server, never in a client
			UserID:    where.UserID, CallID: "standup",
		})
		if err != nil {
			log.Fatal(err)
		}
		where.Token, where.Protocol = token, offhook.ProtocolLiveKit
	}
	seconds := 20
	if len(os.Args) > 3 {
		seconds, _ = strconv.Atoi(os.Args[3])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := offhook.NewClient(where)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	received, frames := make(chan string, 1), 0
	call, err := client.Join(ctx, offhook.CallOptions{
		CallID: "standup",
		OnEvent: func(_ *offhook.Call, event offhook.Event) {
			switch e := event.(type) {
			case *offhook.EventParticipantJoined:
				log.Printf("%s joined", e.Participant.UserID)
			case *offhook.EventEnded:
				log.Printf("over: %s", e.Text)
			}
		},
		OnAudio: func(_ *offhook.Call, a *offhook.AudioFrame) { // 20 ms of one participant
			if !a.Silence {
				if frames++; frames == 50 {
					received <- a.UserID
				}
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer call.Close()
	track, err := call.PublishAudio(nil) // mono, 48000 Hz
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("joined; waiting %d s at most for audio of another participant: start a second one with another name", seconds)

	until, name := time.Now().Add(time.Duration(seconds)*time.Second), ""
	pcm := make([]int16, 960) // 20 ms
	for n := 0; time.Now().Before(until) && ctx.Err() == nil; {
		for i := range pcm {
			pcm[i] = int16(8000 * math.Sin(2*math.Pi*440*float64(n)/48000))
			n++
		}
		if err = track.Play(ctx, pcm); err != nil {
			break
		}
		select {
		case name = <-received:
			log.Printf("a second of %s", name)
			until = time.Now().Add(2 * time.Second) // so that the other receives enough as well
		default:
		}
	}
	call.Leave("bye") // what was written is still sent
	if err = call.WaitEnded(context.Background()); err != nil {
		log.Fatal(err)
	}
	if name == "" {
		log.Fatal("no audio was received")
	}
}

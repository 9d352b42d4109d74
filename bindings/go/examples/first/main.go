// A first call: raw mono 48 kHz PCM from standard input to the others, and theirs to standard output.
package main

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"os"
	"os/signal"

	offhook "github.com/offhook/offhook/bindings/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := offhook.NewClient(offhook.ClientOptions{
		URL:    os.Args[1],
		UserID: os.Args[2],
		Token:  "development", // a real service wants the user's JWT
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	call, err := client.Join(ctx, offhook.CallOptions{
		ID: "standup",
		OnEvent: func(_ *offhook.Call, event offhook.Event) {
			switch e := event.(type) {
			case *offhook.EventParticipantJoined:
				log.Printf("%s is here", e.Participant.UserID)
			case *offhook.EventEnded:
				log.Printf("over: %s", e.Text)
			}
		},
		OnAudio: func(_ *offhook.Call, a *offhook.Audio) {
			binary.Write(os.Stdout, binary.LittleEndian, a.Samples)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer call.Close()
	track, err := call.PublishAudio(nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err = io.Copy(track.Writer(ctx), os.Stdin); err == nil {
		track.Drain(ctx)
	}
	call.Leave("bye")
	if err = call.WaitEnded(context.Background()); err != nil {
		log.Fatal(err)
	}
}

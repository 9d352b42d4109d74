// The overhead of an event and a frame of 20 ms from the library to a Go handler: 100 calls in one process, ten rooms
// of ten, one sender in each, all receive. Prints one line of JSON.
//
//	scripts/with-sfu.sh go run -tags offhook_bench ./bench      (SECONDS=5)

//go:build offhook_bench

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	offhook "github.com/offhook/offhook/bindings/go"
)

type spread struct {
	P50 uint32 `json:"p50"`
	P99 uint32 `json:"p99"`
}

func spreadOf(ns []uint32) spread {
	if len(ns) == 0 {
		return spread{}
	}
	slices.Sort(ns)
	return spread{ns[len(ns)/2], ns[len(ns)*99/100]}
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Getenv("SECONDS"), 64)
	if seconds <= 0 {
		seconds = 5
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var received atomic.Int64
	calls := make([]*offhook.Call, 100)
	for i := range calls {
		client, err := offhook.NewClient(offhook.ClientOptions{URL: os.Getenv("OFFHOOK_SFU_URL"), UserID: fmt.Sprint("u", i), Token: "development"})
		check(err)
		defer client.Close()
		calls[i], err = client.Start(offhook.CallOptions{
			CallID:  fmt.Sprint("bench-", i/10),
			OnEvent: func(*offhook.Call, offhook.Event) { offhook.BenchMark() },
			OnAudio: func(*offhook.Call, *offhook.AudioFrame) { offhook.BenchMark(); received.Add(1) },
		})
		check(err)
	}
	for _, call := range calls {
		check(call.WaitState(ctx, offhook.StateJoined))
	}
	for i := 0; i < len(calls); i += 10 {
		track, err := calls[i].PublishAudio(&offhook.AudioTrackOptions{NoDTX: true})
		check(err)
		go func() {
			for samples := make([]int16, 4800); ; {
				for n := range samples {
					samples[n] = int16(n % 100 * 100)
				}
				if track.Play(ctx, samples) != nil {
					return
				}
			}
		}()
	}
	for end := time.Now().Add(30 * time.Second); received.Load() < 90*10; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			log.Fatal("bench: no audio of the senders")
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	offhook.BenchReset()
	runtime.ReadMemStats(&before)
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	runtime.ReadMemStats(&after)
	frames, frameWhole := offhook.BenchSamples(true)
	events, eventWhole := offhook.BenchSamples(false)
	late, dropped := 0, uint64(0)
	for _, ns := range frameWhole {
		if ns > 20e6 {
			late++
		}
	}
	for _, call := range calls {
		stats, err := call.Stats()
		check(err)
		dropped += stats.AudioFramesDropped
	}
	began := time.Now()
	for range 10000 {
		offhook.BenchMark()
	}
	line, err := json.Marshal(map[string]any{
		"language": "go", "calls": len(calls), "seconds": seconds, "frames": len(frames), "events": len(events),
		"frame_ns": spreadOf(frames), "frame_return_ns": spreadOf(frameWhole),
		"event_ns": spreadOf(events), "event_return_ns": spreadOf(eventWhole),
		"allocations_per_frame": float64(after.Mallocs-before.Mallocs) / float64(max(1, len(frames))),
		"late":                  late, "dropped": dropped, "mark_ns": time.Since(began).Nanoseconds() / 10000,
		"note": "ns from the C callback's entry to the handler's (frame_ns, event_ns; they include one mark of mark_ns) and to " +
			"the callback's return; events are counted from the join on; allocations are all of the Go side in that time, writing and events included; late: " +
			"callbacks of more than 20 ms; not measurable: when the library had the frame ready",
	})
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		log.Fatal("bench: ", err)
	}
}

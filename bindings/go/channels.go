// Events and audio by channels: a goroutine takes them from the library's bounded queues. While it waits for a reader of the
// channels no thread is blocked, and other calls are not delayed.

//go:build cgo

package offhook

import (
	"context"
	"sync/atomic"
)

type channels struct {
	events  chan Event
	audio   chan *AudioFrame
	dropped atomic.Uint64
}

func newChannels(options *CallOptions) *channels {
	c := &channels{}
	if options.EventChannel > 0 {
		c.events = make(chan Event, options.EventChannel)
	}
	if options.AudioChannel > 0 {
		c.audio = make(chan *AudioFrame, options.AudioChannel)
	}
	return c
}

// pump ends after the terminal event, or when the call is closed, and closes the channels.
func (c *channels) pump(core *callCore) {
	defer func() {
		if c.events != nil {
			close(c.events)
		}
		if c.audio != nil {
			close(c.audio)
		}
	}()
	for {
		event, err := core.puller.next(context.Background())
		if err != nil {
			return // closed
		}
		if audio, ok := event.(*EventAudio); ok {
			c.deliver(audio.Audio)
			continue
		}
		if c.events == nil {
			continue
		}
		select {
		case c.events <- event:
		case <-core.closing:
			return
		}
	}
}

// deliver never waits: when the channel is full, the oldest frame is dropped.
func (c *channels) deliver(audio *AudioFrame) {
	for {
		select {
		case c.audio <- audio:
			return
		default:
		}
		select {
		case <-c.audio:
			c.dropped.Add(1)
		default:
		}
	}
}

// Events gives the events of a call that was started with CallOptions.EventChannel, in order; else nil. It is closed after
// EventEnded, or by Close. While it is full, events wait in the library: beyond CallOptions.MaxQueuedEvents they are
// dropped, and EventLost in their place has the number; EventEnded is never dropped. Audio waits as well. Other calls are
// not delayed.
func (c *Call) Events() <-chan Event {
	if c.core.channel == nil {
		return nil
	}
	return c.core.channel.events
}

// Audio gives the received audio of a call that was started with CallOptions.AudioChannel; else nil. It is closed after the
// end of the call. When it is full, the oldest frame in it is dropped; Stats.ChannelDropped counts them.
func (c *Call) Audio() <-chan *AudioFrame {
	if c.core.channel == nil {
		return nil
	}
	return c.core.channel.audio
}

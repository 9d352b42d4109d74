// Events and sound by channels: a goroutine takes them from the library's bounded queues. It may wait for who reads the
// channels; no thread waits with it, so no other call is disturbed.

//go:build cgo

package offhook

import (
	"context"
	"sync/atomic"
)

type channels struct {
	events  chan Event
	audio   chan *Audio
	dropped atomic.Uint64
}

func newChannels(options *CallOptions) *channels {
	c := &channels{}
	if options.EventChannel > 0 {
		c.events = make(chan Event, options.EventChannel)
	}
	if options.AudioChannel > 0 {
		c.audio = make(chan *Audio, options.AudioChannel)
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
		if sound, ok := event.(*EventAudio); ok {
			c.hear(sound.Audio)
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

// hear never waits: sound that nobody takes grows old, so the oldest goes.
func (c *channels) hear(audio *Audio) {
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

// Events gives the events of a call that was started with CallOptions.EventChannel, in order; else nil. It is closed
// after EventEnded, or by Close. While it is full, the library's own queue fills: beyond CallOptions.EventQueue events
// are dropped and EventLost, in their place, says how many; EventState and EventEnded never are. Nor does sound come
// meanwhile. Other calls do not notice.
func (c *Call) Events() <-chan Event {
	if c.core.channel == nil {
		return nil
	}
	return c.core.channel.events
}

// Audio gives the sound of a call that was started with CallOptions.AudioChannel; else nil. It is closed with the
// call's end. When it is full the oldest frame in it is dropped; Stats.ChannelDropped counts them.
func (c *Call) Audio() <-chan *Audio {
	if c.core.channel == nil {
		return nil
	}
	return c.core.channel.audio
}

// The part of a call that the library refers to (by a cgo.Handle), apart from the Call that the application holds: so that a
// Call that is not referenced any more can be collected, and ends.

package offhook

// #include "shim.h"
import "C"

import (
	"fmt"
	"log"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"weak"
)

type callCore struct {
	id      atomic.Uint64
	client  *clientCore
	owner   weak.Pointer[Call] // never a strong pointer: see above
	onEvent func(*Call, Event)
	onAudio func(*Call, *AudioFrame)
	onPanic func(*Call, *Panic)
	names   interned // used by one callback, or one puller, at a time
	puller  *puller  // nil with handlers
	channel *channels

	lock    sync.Mutex
	change  chan struct{} // closed at each change of state
	ended   *EventEnded
	closing chan struct{} // closed by Close
	once    sync.Once
}

// Panic is what a handler panicked with.
type Panic struct {
	Handler string // "event", "audio" or "log"
	Value   any
	Stack   []byte
}

func (p *Panic) String() string {
	return fmt.Sprintf("offhook: panic in a handler (%s): %v\n%s", p.Handler, p.Value, p.Stack)
}

func (c *callCore) handle() C.uint64_t { return C.uint64_t(c.id.Load()) }

// free is Close: of the library's call first, so that no handler runs when it returns.
func (c *callCore) free() {
	C.ohgo_call_free(c.handle())
	c.once.Do(func() {
		close(c.closing)
		if c.puller != nil {
			c.puller.close()
		}
		c.client.remove(c)
		c.notify()
	})
}

// changed gives a channel that is closed when the call's state changes next.
func (c *callCore) changed() <-chan struct{} {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.change
}

func (c *callCore) notify() {
	c.lock.Lock()
	close(c.change)
	c.change = make(chan struct{})
	c.lock.Unlock()
}

// saw handles the events that this package itself uses.
func (c *callCore) saw(event Event) {
	switch e := event.(type) {
	case *EventEnded:
		c.lock.Lock()
		c.ended = e
		c.lock.Unlock()
		c.notify()
	case *EventState:
		c.notify()
	}
}

// contain is deferred around handlers: it recovers their panics and reports them, and the call goes on.
func (c *callCore) contain(handler string, call *Call) {
	value := recover()
	if value == nil {
		return
	}
	p := &Panic{Handler: handler, Value: value, Stack: debug.Stack()}
	if c.onPanic == nil || call == nil {
		log.Print(p)
		return
	}
	defer func() {
		if second := recover(); second != nil {
			log.Print(p, "\noffhook: OnPanic itself panicked: ", second)
		}
	}()
	c.onPanic(call, p)
}

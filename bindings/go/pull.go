// Pulled events, by Call.WaitEvent and by the goroutine that feeds channels. A wait blocks a goroutine and no thread: Go's
// own poller watches the library's descriptor.

package offhook

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

type puller struct {
	core *callCore
	turn chan struct{} // one wait at a time
	file *os.File      // a duplicate: the library owns its descriptor
	raw  syscall.RawConn
}

// pull prepares a call without handlers to be read.
func (c *callCore) pull(options *CallOptions) error {
	r := C.ohgo_call_get_wake_fd(c.handle())
	if err := failed("join", r); err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(int(r.value))
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return &Error{Code: ErrLimit, Op: "join", Detail: "no descriptor to wait with: " + err.Error()}
	}
	p := &puller{core: c, turn: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "offhook")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return &Error{Code: ErrLimit, Op: "join", Detail: "the descriptor cannot be waited for: " + err.Error()}
	}
	c.puller = p
	if options.EventChannel > 0 || options.AudioChannel > 0 {
		c.channel = newChannels(options)
		go c.channel.pump(c)
	}
	return nil
}

func (p *puller) close() { p.file.Close() }

// take gives the next event if there is one now.
func (p *puller) take() (Event, error) {
	r := C.ohgo_call_wait_event(p.core.handle(), 0)
	if r.code != C.OH_OK {
		return nil, failed("wait event", r)
	}
	e := (*C.oh_event)(r.pointer)
	defer C.oh_event_free(e)
	event := copyEvent(e, &p.core.names)
	p.core.saw(event)
	return event, nil
}

func empty(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Code == ErrEmpty
}

func (p *puller) next(ctx context.Context) (event Event, err error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("offhook: wait event: %w", context.Cause(ctx))
	}
	if event, err = p.take(); !empty(err) {
		return event, err
	}
	// ctx ends the wait by a deadline in the past, which is reset before the next wait.
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		p.file.SetReadDeadline(time.Unix(1, 0))
		close(over)
	})
	broken := p.raw.Read(func(uintptr) bool {
		event, err = p.take()
		return !empty(err)
	})
	if !stop() {
		<-over
		p.file.SetReadDeadline(time.Time{})
	}
	switch {
	case broken == nil:
		return event, err
	case ctx.Err() != nil:
		return nil, fmt.Errorf("offhook: wait event: %w", context.Cause(ctx))
	}
	return nil, &Error{Code: ErrClosed, Op: "wait event", Detail: "the call was closed"}
}

// WaitEvent takes the next event of a call that was started with neither handlers nor channels, waiting for it. After
// EventEnded, and when the call is closed meanwhile, it returns ErrClosed or, afterwards, ErrHandle; ErrState for a call
// with handlers or channels. Goroutines that wait take turns.
func (c *Call) WaitEvent(ctx context.Context) (Event, error) {
	defer runtime.KeepAlive(c)
	switch {
	case c.core.channel != nil:
		return nil, &Error{Code: ErrState, Op: "wait event", Detail: "the events go to channels"}
	case c.core.puller == nil:
		r := C.ohgo_call_wait_event(c.core.handle(), 0) // the library gives the reason
		return nil, failed("wait event", r)
	}
	return c.core.puller.next(ctx)
}

// TryEvent takes the next event if there is one; else it returns ErrEmpty.
func (c *Call) TryEvent() (Event, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if c.core.puller == nil || c.core.channel != nil {
		return c.WaitEvent(ctx)
	}
	select {
	case c.core.puller.turn <- struct{}{}:
		defer func() { <-c.core.puller.turn }()
		return c.core.puller.take()
	default:
		return nil, &Error{Code: ErrState, Op: "wait event", Detail: "another goroutine waits for the next event"}
	}
}

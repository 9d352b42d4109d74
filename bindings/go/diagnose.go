// Diagnose: why a call does not connect.

package offhook

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"context"
	"runtime/cgo"
	"time"
	"unsafe"
)

// ICEServer is a STUN or TURN server.
type ICEServer struct {
	URL      string // for instance "turn:turn.example.com:3478?transport=tcp". Required
	Username string // required for TURN
	Password string // required for TURN; never part of a report
}

// DiagnoseOptions is what to diagnose; offhook.h (oh_diagnose_options) has the details.
type DiagnoseOptions struct {
	// Client is the service and how to reach it; without a token it is asked whether it is there.
	Client ClientOptions
	// CallID is the call to join for a moment, without audio; "": none.
	CallID string
	// CallType is the type of the call; "": "default".
	CallType string
	// ICEServers to check besides those that the service names; at most 16.
	ICEServers []ICEServer
	// Timeout for everything, 100 ms to 10 minutes; 0: 20 s.
	Timeout time.Duration
}

// Diagnosis is the result of Diagnose.
type Diagnosis struct {
	Text         string // for people
	ReportJSON   string // for programs
	StepsFailed  int    // steps that failed
	StepsWarning int    // steps with a warning
	Incomplete   bool   // the time was over, or the library shut down, before all steps were taken
}

// OK is whether no step failed.
func (d Diagnosis) OK() bool { return d.StepsFailed == 0 && !d.Incomplete }

// Diagnose finds out why a call does not connect, step by step, and returns the report; what is wrong with the network
// or the service is in it and is no error. When ctx is done it returns at once, and the diagnosis ends by itself, within
// its Timeout.
func Diagnose(ctx context.Context, options DiagnoseOptions) (Diagnosis, error) {
	const op = "diagnose"
	if err := abi(); err != nil {
		return Diagnosis{}, err
	}
	o := sized[C.oh_diagnose_options]()
	c := conv{op: op}
	defer c.free()
	client := options.Client.c(&c)
	o.call_id, o.call_type = c.text("CallID", options.CallID), c.text("CallType", options.CallType)
	o.timeout_ms = c.millis("Timeout", options.Timeout)
	servers := c.iceServers(options.ICEServers)
	o.ice_server_count = C.size_t(len(options.ICEServers))
	if c.err != nil {
		return Diagnosis{}, c.err
	}
	result := make(chan Diagnosis, 1)
	h := cgo.NewHandle(result)
	// What o points to is C memory; the client and the servers are set in C.
	if err := failed(op, C.ohgo_diagnose(&o, &client, servers, C.uintptr_t(h))); err != nil {
		h.Delete() // the library did not take it
		return Diagnosis{}, err
	}
	select {
	case diagnosis := <-result:
		return diagnosis, nil
	case <-ctx.Done():
		return Diagnosis{}, context.Cause(ctx)
	}
}

// iceServers is an array in C memory.
func (c *conv) iceServers(servers []ICEServer) *C.oh_ice_server {
	if len(servers) == 0 {
		return nil
	}
	array := C.calloc(C.size_t(len(servers)), C.sizeof_oh_ice_server)
	c.ptrs = append(c.ptrs, array)
	all := unsafe.Slice((*C.oh_ice_server)(array), len(servers))
	for i, server := range servers {
		one := sized[C.oh_ice_server]()
		one.url, one.username = c.text("ICEServers.URL", server.URL), c.text("ICEServers.Username", server.Username)
		one.password = c.text("ICEServers.Password", server.Password)
		all[i] = one
	}
	return (*C.oh_ice_server)(array)
}

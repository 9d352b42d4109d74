// What participants send to each other: custom events, packets, texts, procedure calls, attributes.

package offhook

// #include "shim.h"
import "C"

import (
	"encoding/json"
	"time"
	"unsafe"
)

func bytesPointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// SendCustomEvent sends a custom event, a JSON object of at most 16384 bytes, to all clients of the call that receive
// custom events, this one included (CapCustomEvents). Returns at once; the events of one call are sent in order. A failure
// is reported as EventError, and the event is not sent again. ErrFull when 32 events wait to be sent.
func (c *Call) SendCustomEvent(dataJSON string) error {
	v := conv{op: "send custom event"}
	defer v.free()
	t := v.text("dataJSON", dataJSON)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_send_custom_event(c.core.handle(), t))
}

// DataOptions is to whom data or a text is sent, and how. nil: reliable, to all participants, without a topic.
type DataOptions struct {
	Topic string   // for the application's own use, at most 1024 bytes
	To    []string // user ids, at most 256; none: all participants
	Lossy bool     // send each packet once, without repeating lost ones. Ignored for texts, which always arrive
}

func (v *conv) dataOptions(options *DataOptions) *C.oh_data_options {
	if options == nil {
		return nil
	}
	o := sized[C.oh_data_options]()
	o.lossy, o.topic = flag(options.Lossy), v.text("Topic", options.Topic)
	o.to, o.to_count = v.texts("To", options.To), C.size_t(len(options.To))
	return &o
}

// SendData sends a packet of at most 60000 bytes to other participants (CapData); 15000 is a good size, because larger
// packets delay those that follow. Returns at once; packets of one delivery are sent in order. They wait while the call
// reconnects. ErrFull when 1 MiB waits to be sent.
func (c *Call) SendData(data []byte, options *DataOptions) error {
	v := conv{op: "send data"}
	defer v.free()
	o := v.dataOptions(options)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_send_data(c.core.handle(), o, bytesPointer(data), C.size_t(len(data))))
}

// SendText sends a text of at most 1048576 bytes to other participants (CapText). It arrives complete, as EventText.
func (c *Call) SendText(text string, options *DataOptions) error {
	v := conv{op: "send text"}
	defer v.free()
	o, t := v.dataOptions(options), v.textOrEmpty("text", text)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_send_text(c.core.handle(), o, t))
}

// RPCOptions is which procedure to call, of which participant.
type RPCOptions struct {
	To      string        // the user id of the participant. Required
	Method  string        // the name of the procedure. Required
	Payload string        // at most 15360 bytes
	Timeout time.Duration // how long to wait for the answer, 1 s to 10 min; 0: 15 s
}

// PerformRPC calls a procedure of another participant (CapRPC) and returns its id at once. EventRPCResponse with the same
// RPCID is the result, exactly once; it may come before this function has returned.
func (c *Call) PerformRPC(options RPCOptions) (rpcID uint64, err error) {
	v := conv{op: "perform rpc"}
	defer v.free()
	o := sized[C.oh_rpc_options]()
	o.timeout_ms = v.millis("Timeout", options.Timeout)
	o.to, o.method, o.payload = v.text("To", options.To), v.text("Method", options.Method), v.text("Payload", options.Payload)
	if v.err != nil {
		return 0, v.err
	}
	r := C.ohgo_call_perform_rpc(c.core.handle(), &o)
	return uint64(r.value), failed(v.op, r)
}

// AnswerRPC answers EventRPCRequest with success, inside the handler or later. payload: at most 15360 bytes. A late or a
// second answer is dropped and counted (Stats.LateMessages).
func (c *Call) AnswerRPC(requestID, payload string) error {
	return c.answer(requestID, payload, 0, "")
}

// FailRPC answers EventRPCRequest with a failure, inside the handler or later. code is RPCApplication, or a code of your
// own; text is cut to 256 bytes; payload is data about the failure.
func (c *Call) FailRPC(requestID string, code RPCError, text, payload string) error {
	if code == 0 {
		return argument("answer rpc", "code must not be 0, which is success")
	}
	return c.answer(requestID, payload, code, text)
}

func (c *Call) answer(requestID, payload string, code RPCError, text string) error {
	v := conv{op: "answer rpc"}
	defer v.free()
	id, p, w := v.text("requestID", requestID), v.text("payload", payload), v.text("text", text)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_answer_rpc(c.core.handle(), id, p, C.uint32_t(code), w))
}

// SetAttributes changes the name, metadata and attributes of the local participant (CapAttributes). name and metadata: "" is
// unchanged. Of attributes only the names given change, and "" deletes one. Asynchronous: a refusal by the server (the
// token has to allow it) is reported as EventError.
func (c *Call) SetAttributes(name, metadata string, attributes map[string]string) error {
	v := conv{op: "set attributes"}
	defer v.free()
	object := ""
	if len(attributes) > 0 {
		bytes, err := json.Marshal(attributes)
		if err != nil {
			return argument(v.op, err.Error())
		}
		object = string(bytes)
	}
	n, m, a := v.text("name", name), v.text("metadata", metadata), v.text("attributes", object)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_set_attributes(c.core.handle(), n, m, a))
}

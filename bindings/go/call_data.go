// What participants tell each other: custom events, packets, texts, procedure calls, attributes.

package offhook

// #include "shim.h"
import "C"

import (
	"encoding/json"
	"time"
	"unsafe"
)

func bytesPointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// SendCustom sends a custom event to everyone who watches the call (CapCustomEvents): a JSON object, 16384 bytes at
// most. Returns at once; the events of one call are sent in order. What could not be sent comes as EventError and is
// not sent again. ErrFull when 32 of them wait.
func (c *Call) SendCustom(object string) error {
	v := conv{op: "send custom"}
	defer v.free()
	t := v.text("object", object)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_send_custom(c.core.handle(), t))
}

// DataOptions is to whom, and how. nil: reliable, to everybody, without a topic.
type DataOptions struct {
	Lossy bool     // sent once, and what is lost is lost; else every one arrives, in order. Texts always do
	Topic string   // what it is about, for the application's own use
	To    []string // user ids; none: everybody in the call
}

func (v *conv) dataOptions(options *DataOptions) *C.oh_data_options {
	if options == nil {
		return nil
	}
	o := new(C.oh_data_options)
	C.ohgo_data_options(o)
	o.lossy, o.topic = flag(options.Lossy), v.text("Topic", options.Topic)
	o.to, o.to_count = v.texts("To", options.To), v.number("To", len(options.To))
	return o
}

// SendData sends a packet to other participants (CapData): 60000 bytes at most; 15000 is a good size, for what is
// larger holds up what follows it. Returns at once; packets of one delivery are sent in order. They wait while the
// connection is being made anew. ErrFull when 1 MiB waits: try again later.
func (c *Call) SendData(data []byte, options *DataOptions) error {
	v := conv{op: "send data"}
	defer v.free()
	o := v.dataOptions(options)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_send_data(c.core.handle(), o, bytesPointer(data), C.size_t(len(data))))
}

// SendText sends a text of up to 1048576 bytes to other participants (CapText); it arrives whole, as EventText.
func (c *Call) SendText(text string, options *DataOptions) error {
	v := conv{op: "send text"}
	defer v.free()
	o, t := v.dataOptions(options), v.textOrEmpty("text", text)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_send_text(c.core.handle(), o, t))
}

// RPCOptions is which procedure of whom.
type RPCOptions struct {
	To      string        // the user id of the participant. Required
	Method  string        // the procedure's name. Required
	Payload string        // handed over, 15360 bytes at most
	Timeout time.Duration // how long to wait for the answer, 1 s to 10 min; 0: 15 s
}

// RPC calls a procedure of another participant (CapRPC) and returns at once. EventRPCResponse with the same number
// tells what became of it, exactly once; it may come before this function has returned.
func (c *Call) RPC(options RPCOptions) (id uint64, err error) {
	v := conv{op: "rpc"}
	defer v.free()
	var o C.oh_rpc_options
	C.ohgo_rpc_options(&o)
	o.timeout_ms = v.millis("Timeout", options.Timeout)
	o.to, o.method, o.payload = v.text("To", options.To), v.text("Method", options.Method), v.text("Payload", options.Payload)
	if v.err != nil {
		return 0, v.err
	}
	r := C.ohgo_call_rpc(c.core.handle(), &o)
	return uint64(r.value), failed(v.op, r)
}

// AnswerRPC answers EventRPCRequest, in the handler or later: it went well. payload: 15360 bytes at most. An answer
// that comes too late, or twice, is dropped and counted.
func (c *Call) AnswerRPC(requestID, payload string) error {
	return c.answer(requestID, payload, 0, "")
}

// FailRPC answers EventRPCRequest, in the handler or later: it failed, with a code (RPCApplication, or one of your own)
// and words, cut to 256 bytes; data about it may be given.
func (c *Call) FailRPC(requestID string, code RPCError, words, data string) error {
	if code == 0 {
		return argument("answer rpc", "code must not be 0: that means it went well")
	}
	return c.answer(requestID, data, code, words)
}

func (c *Call) answer(requestID, payload string, code RPCError, words string) error {
	v := conv{op: "answer rpc"}
	defer v.free()
	id, p, w := v.text("requestID", requestID), v.text("payload", payload), v.text("words", words)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_call_rpc_answer(c.core.handle(), id, p, C.uint32_t(code), w))
}

// SetAttributes changes what this participant says of itself to the others (CapAttributes): the name that is shown, the
// application's own metadata ("" leaves either as it is), and attributes, of which only the names given change and ""
// deletes. Asynchronous: what the server refuses (the token has to allow it) comes as EventError.
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

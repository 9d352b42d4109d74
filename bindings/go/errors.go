// Results of the library as Go errors: a Code to compare with, and an Error with the library's text.

package offhook

// #include <stdlib.h>
// #include "shim.h"
import "C"

import "unsafe"

// Code is a result of the library. Each is an error, to be found with errors.Is in what functions return:
//
//	if errors.Is(err, offhook.ErrClosed) { … }
type Code int32

// The results, as in offhook.h. Numbers are never reused.
const (
	ErrArgument      Code = C.OH_ERR_ARGUMENT       // an argument is out of its range, not UTF-8, or does not fit the others
	ErrHandle        Code = C.OH_ERR_HANDLE         // the object was closed (or never was): its handle is stale
	ErrState         Code = C.OH_ERR_STATE          // not possible in the state the object is in
	ErrClosed        Code = C.OH_ERR_CLOSED         // closed by the application
	ErrFull          Code = C.OH_ERR_FULL           // a bounded queue is full; nothing was taken, try again later
	ErrTimeout       Code = C.OH_ERR_TIMEOUT        // the timeout expired
	ErrWouldDeadlock Code = C.OH_ERR_WOULD_DEADLOCK // a wait inside a handler of the same call
	ErrUnsupported   Code = C.OH_ERR_UNSUPPORTED    // not supported by this build, protocol or call
	ErrNetwork       Code = C.OH_ERR_NETWORK        // a server could not be reached, or the connection was lost
	ErrTLS           Code = C.OH_ERR_TLS            // certificate, name or version
	ErrRefused       Code = C.OH_ERR_REFUSED        // the server refused
	ErrProtocol      Code = C.OH_ERR_PROTOCOL       // a server's answer is not valid
	ErrAuth          Code = C.OH_ERR_AUTH           // the token is missing, expired or not accepted
	ErrCancelled     Code = C.OH_ERR_CANCELLED      // the application left, closed or shut down meanwhile
	ErrLimit         Code = C.OH_ERR_LIMIT          // a limit of the system or the configuration was reached
	ErrInsecure      Code = C.OH_ERR_INSECURE       // plain http or ws to an address that is not loopback
	ErrForked        Code = C.OH_ERR_FORKED         // this process was forked from one that uses the library
	ErrMedia         Code = C.OH_ERR_MEDIA          // a codec or the WebRTC engine failed
	ErrInternal      Code = C.OH_ERR_INTERNAL       // a defect of the library, contained to one object
	ErrABI           Code = C.OH_ERR_ABI            // header and library differ
	ErrEmpty         Code = C.OH_ERR_EMPTY          // nothing is available right now
	ErrBuffer        Code = C.OH_ERR_BUFFER         // the buffer is too small
)

// Name is the result's name in offhook.h, for instance "OH_ERR_HANDLE".
func (c Code) Name() string { return C.GoString(C.oh_result_get_name(C.oh_result(c))) }

// Error is the general meaning of the result, in words.
func (c Code) Error() string { return C.GoString(C.oh_result_get_message(C.oh_result(c))) }

// Error is a failure: a Code for programs, and a text for people. It holds no secrets.
type Error struct {
	Code       Code
	Op         string // what was attempted, for instance "publish audio"
	Detail     string // the library's text: what failed, where, and what to do
	ServerCode int    // the server's own code (SFU error code or HTTP status), 0 without one
}

func (e *Error) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Code.Error()
	}
	return "offhook: " + e.Op + ": " + text + " (" + e.Code.Name() + ")"
}

// Unwrap gives the Code, for errors.Is.
func (e *Error) Unwrap() error { return e.Code }

// failed makes an error of a result, and frees its text. nil for success.
func failed(op string, r C.ohgo_result) error {
	if r.code == C.OH_OK {
		return nil
	}
	e := &Error{Code: Code(r.code), Op: op}
	if r.text != nil {
		e.Detail = C.GoString(r.text)
		C.free(unsafe.Pointer(r.text))
	}
	return e
}

// codeOf gives the code of a result whose text is not needed, and frees the text.
func codeOf(r C.ohgo_result) Code {
	if r.text != nil {
		C.free(unsafe.Pointer(r.text))
	}
	return Code(r.code)
}

func argument(op, detail string) error { return &Error{Code: ErrArgument, Op: op, Detail: detail} }

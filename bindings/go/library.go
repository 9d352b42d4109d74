// The library as a whole: version, log, network, shutdown.

package offhook

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/cgo"
	"strings"
	"sync"
	"time"
)

// HeaderABIVersion is the binary interface that this binding was built against (OH_ABI_VERSION of its header).
const HeaderABIVersion = C.OH_ABI_VERSION

// ABIVersion is that of the library that is loaded. Where it differs from HeaderABIVersion everything is refused with
// ErrABI.
func ABIVersion() int { return int(C.oh_abi_version()) }

// Version is that of the library that is loaded, for instance "0.1.0".
func Version() string { return C.GoString(C.oh_version()) }

var abi = sync.OnceValue(func() error {
	// HeaderABIVersion may be the number 0, which is fine: compare as the C side does.
	if loaded := ABIVersion(); loaded != HeaderABIVersion {
		return &Error{Code: ErrABI, Op: "load", Detail: fmt.Sprintf(
			"the library that is loaded has ABI %d, this program was built for ABI %d: install the liboffhook that "+
				"belongs to it, or build it anew", loaded, HeaderABIVersion)}
	}
	return nil
})

type logger struct{ handler func(LogLevel, string) }

// SetLog sets or replaces the one log handler of the process; nil removes it. Lines hold no tokens and no media. The
// handler gets one line at a time, on a thread of the library, and delays no call: when it is too slow lines are
// dropped and their number is told. When SetLog returns the former handler does not run any more (unless it was called
// inside that handler). What panics in the handler is contained and written to standard error.
func SetLog(level LogLevel, handler func(level LogLevel, line string)) error {
	if err := abi(); err != nil {
		return err
	}
	if handler == nil {
		return failed("log", C.ohgo_log_set(C.int32_t(level), 0))
	}
	h := cgo.NewHandle(&logger{handler})
	err := failed("log", C.ohgo_log_set(C.int32_t(level), C.uintptr_t(h)))
	if err != nil { // the library did not take it
		h.Delete()
	}
	return err
}

// LogTo makes a handler for SetLog that writes to a slog.Logger.
func LogTo(to *slog.Logger) func(LogLevel, string) {
	levels := map[LogLevel]slog.Level{LogError: slog.LevelError, LogWarn: slog.LevelWarn, LogInfo: slog.LevelInfo,
		LogDebug: slog.LevelDebug, LogTrace: slog.LevelDebug - 4}
	return func(level LogLevel, line string) { to.Log(context.Background(), levels[level], line) }
}

// NetworkChanged tells all calls of the process what the application knows of the network, for instance on a phone. On
// Linux the library sees it by itself; telling it twice does no harm. Returns at once; EventState tells what follows.
func NetworkChanged(what Network) error {
	if err := abi(); err != nil {
		return err
	}
	return failed("network changed", C.ohgo_network_changed(C.int32_t(what)))
}

// Shutdown ends everything: leaves all calls (each gets its EventEnded), waits for them and ends the library's threads.
// Objects stay valid until they are closed, and the library can be used again afterwards. 2.5 s are enough for any
// network, but a handler of yours that does not return is waited for, until ctx is done. Inside a handler it gives
// ErrWouldDeadlock. A program may also end without it.
func Shutdown(ctx context.Context) error {
	if err := abi(); err != nil {
		return err
	}
	for {
		// In slices, because C does not know ctx; the library goes on ending between them.
		slice := 100 * time.Millisecond
		if deadline, ok := ctx.Deadline(); ok {
			slice = max(0, min(slice, time.Until(deadline)))
		}
		err := failed("shutdown", C.ohgo_shutdown_wait(C.uint32_t(slice.Milliseconds())))
		if e, ok := err.(*Error); !ok || e.Code != ErrTimeout {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// Limits are bounds of the whole process; 0: the library's default.
type Limits struct {
	CallbackThreads int    // threads that run handlers, at most
	QueueBytes      uint64 // bytes of payload that wait for the application, all calls together
}

// SetLimits sets the bounds of the process.
func SetLimits(limits Limits) error {
	if err := abi(); err != nil {
		return err
	}
	c := conv{op: "limits"}
	var o C.oh_limits
	C.ohgo_limits(&o)
	o.callback_threads, o.queue_bytes = c.number("CallbackThreads", limits.CallbackThreads), C.uint64_t(limits.QueueBytes)
	if c.err != nil {
		return c.err
	}
	return failed(c.op, C.ohgo_limits_set(&o))
}

// TokenOptions is who is let in where, and may do what.
type TokenOptions struct {
	APIKey, APISecret string        // required. Keep the secret on servers
	UserID, CallID    string        // required
	TTL               time.Duration // how long the token is good for, 1 s to 365 days; 0: 6 hours
	Name              string        // shown to people
	Metadata          string        // the application's own text about the participant
	AttributesJSON    string        // names and values as a JSON object of texts
	NoPublish         bool          // may not publish
	NoSubscribe       bool          // may not receive
	NoData            bool          // may not send data
	MaySetAttributes  bool          // may call Call.SetAttributes
	Hidden            bool          // the others do not see it
	RoomAdmin         bool          // may also administrate the room over the server's own API
}

// AccessToken makes a token for ProtocolLiveKit (a JWT, signed with HMAC-SHA256). Contacts nobody. For servers and
// tests: an application on a user's machine must not hold the secret.
func AccessToken(options TokenOptions) (string, error) {
	const op = "access token"
	if err := abi(); err != nil {
		return "", err
	}
	var o C.oh_access_token_options
	C.ohgo_access_token_options(&o)
	c := conv{op: op}
	defer c.free()
	o.ttl_s = c.seconds("TTL", options.TTL)
	o.api_key, o.api_secret = c.text("APIKey", options.APIKey), c.text("APISecret", options.APISecret)
	o.user_id, o.call_id = c.text("UserID", options.UserID), c.text("CallID", options.CallID)
	o.name, o.metadata = c.text("Name", options.Name), c.text("Metadata", options.Metadata)
	o.attributes_json = c.text("AttributesJSON", options.AttributesJSON)
	o.no_publish, o.no_subscribe, o.no_data = flag(options.NoPublish), flag(options.NoSubscribe), flag(options.NoData)
	o.may_set_attributes, o.hidden = flag(options.MaySetAttributes), flag(options.Hidden)
	o.room_admin = flag(options.RoomAdmin)
	if c.err != nil {
		return "", c.err
	}
	for size := 2048; ; size *= 2 {
		buf := make([]byte, size)
		err := failed(op, C.ohgo_access_token(&o, (*C.char)(bytesPointer(buf)), C.size_t(size)))
		if e, ok := err.(*Error); ok && e.Code == ErrBuffer && size < 1<<24 {
			continue
		}
		if err != nil {
			return "", err
		}
		token, _, _ := strings.Cut(string(buf), "\x00")
		return token, nil
	}
}

// The library as a whole: version, log, network, shutdown.

package offhook

// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/cgo"
	"sync"
	"time"
)

// HeaderVersion is the version of the header that this package was built with; Version is that of the library.
const HeaderVersion = C.OH_VERSION

// HeaderVersionNumber is HeaderVersion as a number: major * 1000000 + minor * 1000 + patch.
const HeaderVersionNumber = C.OH_VERSION_NUMBER

// HeaderABIVersion is the ABI of the header that this package was built with.
const HeaderABIVersion = C.OH_ABI_VERSION

// ABIVersion is the ABI of the library that is loaded. When it differs from HeaderABIVersion, everything returns ErrABI.
func ABIVersion() int { return int(C.oh_get_abi_version()) }

// Version is the version of the library that is loaded, for instance "0.1.0".
func Version() string { return C.GoString(C.oh_get_version()) }

// VersionNumber is Version as a number; compare it with HeaderVersionNumber.
func VersionNumber() int { return int(C.oh_get_version_number()) }

var abi = sync.OnceValue(func() error {
	if loaded := ABIVersion(); loaded != HeaderABIVersion {
		return &Error{Code: ErrABI, Op: "load", Detail: fmt.Sprintf(
			"the library that is loaded has ABI %d, this program was built for ABI %d: install the liboffhook that "+
				"belongs to it, or build it again", loaded, HeaderABIVersion)}
	}
	return nil
})

// LogRecord is a log line: no newline, no tokens and no media.
type LogRecord struct {
	Level LogLevel
	Text  string
}

type logger struct{ handler func(LogRecord) }

// SetLog sets, replaces or removes (nil) the log handler of the process. It is called with one line at a time, on a thread
// of the library. When it is too slow, lines are dropped, and the number dropped is logged. Calls are unaffected. When
// SetLog returns, the former handler does not run any more (unless it was called inside that handler). A panic in the
// handler is recovered and written to the standard log.
func SetLog(level LogLevel, handler func(LogRecord)) error {
	if err := abi(); err != nil {
		return err
	}
	if handler == nil {
		return failed("log", C.ohgo_log_set(C.oh_log_level(level), 0))
	}
	h := cgo.NewHandle(&logger{handler})
	err := failed("log", C.ohgo_log_set(C.oh_log_level(level), C.uintptr_t(h)))
	if err != nil { // the library did not take it
		h.Delete()
	}
	return err
}

// LogTo makes a handler for SetLog that writes to a slog.Logger.
func LogTo(to *slog.Logger) func(LogRecord) {
	levels := map[LogLevel]slog.Level{LogError: slog.LevelError, LogWarn: slog.LevelWarn, LogInfo: slog.LevelInfo,
		LogDebug: slog.LevelDebug, LogTrace: slog.LevelDebug - 4}
	return func(line LogRecord) { to.Log(context.Background(), levels[line.Level], line.Text) }
}

// ReportNetwork reports a change of the network to all calls of the process, for instance on a phone. On Linux the library
// detects it by itself; reporting it as well does no harm. Returns at once; state events report what follows.
func ReportNetwork(change NetworkChange) error {
	if err := abi(); err != nil {
		return err
	}
	return failed("report network", C.ohgo_network_report(C.oh_network_change(change)))
}

// Shutdown shuts the library down: leaves all calls (each gets its EventEnded), waits for them, ends the library's threads.
// Objects stay valid until they are closed, and the library can be used again afterwards. 2.5 s are enough for any
// network, but a handler that does not return is waited for, until ctx is done. Inside a handler it returns
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

// Limits is what all calls of the process together may use; 0: the library's default.
type Limits struct {
	MaxQueuedBytes     int // bytes of payload that wait for the application at most, all calls together
	MaxCallbackThreads int // threads for callbacks at most
}

// SetLimits sets what all calls of the process together may use, from now on.
func SetLimits(limits Limits) error {
	if err := abi(); err != nil {
		return err
	}
	c := conv{op: "limits"}
	o := sized[C.oh_limits]()
	o.max_queued_bytes = c.size("MaxQueuedBytes", limits.MaxQueuedBytes)
	o.max_callback_threads = c.number("MaxCallbackThreads", limits.MaxCallbackThreads)
	if c.err != nil {
		return c.err
	}
	return failed(c.op, C.ohgo_limits_set(&o))
}

// AccessTokenOptions is who may join which call, and do what there.
type AccessTokenOptions struct {
	APIKey, APISecret  string        // required. Keep the secret on servers
	UserID, CallID     string        // required
	TTL                time.Duration // until the token expires, 1 s to 365 days; 0: 6 hours
	Name               string        // the display name
	Metadata           string        // the application's own text about the participant
	AttributesJSON     string        // names and values as a JSON object of strings
	NoPublish          bool          // may not publish
	NoSubscribe        bool          // may not receive tracks
	NoData             bool          // may not send data
	AllowSetAttributes bool          // may call Call.SetAttributes
	Hidden             bool          // is not visible to others
	RoomAdmin          bool          // may administrate the room over the server's own API
}

// CreateAccessToken creates an access token for ProtocolLiveKit (a JWT, signed with HMAC-SHA256). Opens no connection. For
// servers and tests: an application on a user's machine must not have the secret.
func CreateAccessToken(options AccessTokenOptions) (string, error) {
	const op = "access token"
	if err := abi(); err != nil {
		return "", err
	}
	o := sized[C.oh_access_token_options]()
	c := conv{op: op}
	defer c.free()
	o.ttl_s = c.seconds("TTL", options.TTL)
	o.api_key, o.api_secret = c.text("APIKey", options.APIKey), c.text("APISecret", options.APISecret)
	o.user_id, o.call_id = c.text("UserID", options.UserID), c.text("CallID", options.CallID)
	o.name, o.metadata = c.text("Name", options.Name), c.text("Metadata", options.Metadata)
	o.attributes_json = c.text("AttributesJSON", options.AttributesJSON)
	o.no_publish, o.no_subscribe, o.no_data = flag(options.NoPublish), flag(options.NoSubscribe), flag(options.NoData)
	o.allow_set_attributes, o.hidden = flag(options.AllowSetAttributes), flag(options.Hidden)
	o.room_admin = flag(options.RoomAdmin)
	if c.err != nil {
		return "", c.err
	}
	var length C.size_t
	for size := C.size_t(1024); ; size = length + 1 {
		buf := make([]byte, size)
		r := C.ohgo_access_token_create(&o, (*C.char)(bytesPointer(buf)), size, &length)
		if r.code == C.OH_ERR_BUFFER && length >= size {
			codeOf(r)
			continue
		}
		if err := failed(op, r); err != nil {
			return "", err
		}
		return string(buf[:length]), nil
	}
}

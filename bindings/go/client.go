// Client: how to reach the service, and as whom. Calls are made from it.

package offhook

// #include "shim.h"
import "C"

import (
	"runtime"
	"sync"
)

// ClientOptions is how to reach the service, and as whom.
type ClientOptions struct {
	// URL of the coordinator, for instance "https://video.example.com". Required. With ProtocolLiveKit that of the
	// server ("wss://sfu.example.com"); several servers of one cluster may be given, parted by spaces.
	URL string
	// UserID joins; "": the claim `user_id` (with ProtocolLiveKit `sub`) of the token.
	UserID string
	// Token of the user (a JWT); "": every call asks for one with EventTokenNeeded.
	Token string
	// Protocol that is spoken with the service. APIKey, HintURL and Events are of ProtocolStream.
	Protocol Protocol
	// APIKey is the application's key at the service.
	APIKey string
	// CAFile is a PEM file with certificates to trust besides those of the system.
	CAFile string
	// HintURL tells the nearest edge in its `x-amz-cf-pop` header; "": not asked.
	HintURL string
	// AllowInsecure allows plain http and ws to hosts that are not loopback. Tokens then travel in the clear. TLS is
	// always verified.
	AllowInsecure bool
	// Events: also hear the coordinator's own events (EventCustom), over one more WebSocket for all calls of this
	// client.
	Events bool
	// MaxMessageBytes is the largest message taken from an SFU, 1024 to 67108864; 0: 1048576, with
	// ProtocolLiveKit 16777216.
	MaxMessageBytes int
	// AllowOtherHosts: tokens may go to hosts that the server names over a connection without TLS. Else without TLS only
	// to the host of URL.
	AllowOtherHosts bool
}

// Client holds configuration, credentials and the connections to the servers. Its methods may be called from every
// goroutine, handlers included.
type Client struct {
	core    *clientCore
	cleanup runtime.Cleanup
}

// clientCore is what a client's calls know of it, too. It must not lead back to the Client, which would never be
// collected then.
type clientCore struct {
	id    C.uint64_t
	lock  sync.Mutex
	calls map[*callCore]struct{}
}

// NewClient makes a client. It contacts nobody. Close it when its calls are over; a Client that is forgotten, and its
// calls with it, is closed by the garbage collector at some time.
func NewClient(options ClientOptions) (*Client, error) {
	const op = "client"
	if err := abi(); err != nil {
		return nil, err
	}
	var o C.oh_client_options
	C.ohgo_client_options(&o)
	c := conv{op: op}
	defer c.free()
	o.url, o.api_key, o.user_id = c.text("URL", options.URL), c.text("APIKey", options.APIKey), c.text("UserID", options.UserID)
	o.token, o.ca_file = c.text("Token", options.Token), c.text("CAFile", options.CAFile)
	o.hint_url = c.text("HintURL", options.HintURL)
	o.max_message_bytes = c.number("MaxMessageBytes", options.MaxMessageBytes)
	o.allow_insecure, o.events = flag(options.AllowInsecure), flag(options.Events)
	o.protocol, o.allow_other_hosts = C.int32_t(options.Protocol), flag(options.AllowOtherHosts)
	if c.err != nil {
		return nil, c.err
	}
	r := C.ohgo_client_new(&o)
	if err := failed(op, r); err != nil {
		return nil, err
	}
	client := &Client{core: &clientCore{id: r.value, calls: make(map[*callCore]struct{})}}
	// A backstop only. On a goroutine of its own: freeing waits for a handler that runs.
	client.cleanup = runtime.AddCleanup(client, func(core *clientCore) { go core.free() }, client.core)
	return client, nil
}

// Close closes the client and what is left of its calls, as Call.Close does. It waits for handlers in progress on
// other goroutines; inside a handler it returns at once and takes effect when that handler returns. Closing twice is
// fine. The error is always nil.
func (c *Client) Close() error {
	c.cleanup.Stop()
	c.core.free()
	return nil
}

func (c *clientCore) free() {
	C.ohgo_client_free(c.id)
	c.lock.Lock()
	calls := make([]*callCore, 0, len(c.calls))
	for call := range c.calls {
		calls = append(calls, call)
	}
	c.lock.Unlock()
	for _, call := range calls {
		call.free()
	}
}

func (c *clientCore) add(call *callCore) {
	c.lock.Lock()
	c.calls[call] = struct{}{}
	c.lock.Unlock()
}

func (c *clientCore) remove(call *callCore) {
	c.lock.Lock()
	delete(c.calls, call)
	c.lock.Unlock()
}

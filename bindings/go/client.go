// Client: how to reach the service, and as whom. Calls are joined with it.

package offhook

// #include "shim.h"
import "C"

import (
	"runtime"
	"strings"
	"sync"
)

// ClientOptions is how to reach the service, and as whom.
type ClientOptions struct {
	// URL of the coordinator, for instance "https://video.example.com". Required. With ProtocolLiveKit that of the
	// server ("wss://sfu.example.com"). Several servers of one cluster may be given, space-separated; tried in order.
	URL string
	// UserID is the user id; "": the claim `user_id` (with ProtocolLiveKit `sub`) of the token.
	UserID string
	// Token of the user (a JWT); "": every call asks for one with EventTokenNeeded.
	Token string
	// Protocol of the service. APIKey, HintURL and ReceiveCustomEvents are for ProtocolStream.
	Protocol Protocol
	// APIKey is the application's API key.
	APIKey string
	// CAFile is a PEM file with certificates to trust besides those of the system.
	CAFile string
	// HintURL is a URL whose response names the nearest edge in the header `x-amz-cf-pop`; "": not requested.
	HintURL string
	// AllowInsecure allows plain http and ws to hosts that are not loopback. Tokens then travel in the clear. TLS is
	// always verified.
	AllowInsecure bool
	// ReceiveCustomEvents of the coordinator (EventCustom), over one more WebSocket for all calls of this client.
	ReceiveCustomEvents bool
	// MaxMessageBytes is the largest message accepted from an SFU, 1024 to 67108864; 0: 1048576, with
	// ProtocolLiveKit 16777216.
	MaxMessageBytes int
	// AllowOtherHosts allows tokens to be sent to hosts that the server names over a connection without TLS. Otherwise
	// without TLS only to the host of URL.
	AllowOtherHosts bool
	// Proxy is an HTTP or SOCKS5 proxy for connections to the service and for TURN over TCP and TLS, for instance
	// "http://user:password@proxy.example.com:3128"; also https://, socks5:// and socks5h://. "": as the environment says
	// (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY). "none": no proxy. Servers on loopback are always reached directly.
	Proxy string
	// Interfaces are the only network interfaces to use for media, by name: "eth0", "wl*". A * at the end stands for any
	// rest; a name that begins with ! is not used. None: those that routes to the SFU lead through.
	Interfaces []string
	// IPFamily is which IP addresses media uses.
	IPFamily IPFamily
	// RelayOnly uses only addresses of TURN servers for media, and sends the SFU no others.
	RelayOnly bool
	// MediaPortMin and MediaPortMax are the first and the last local UDP port for media; 0 and 0: any. A session uses up
	// to two ports of each local address, and while a call reconnects there are two sessions. All calls share the range;
	// it holds at least two ports.
	MediaPortMin, MediaPortMax int
	// DSCP is the differentiated services code point of media packets, 0 to 63, for instance 46 (EF) for voice; 0: the
	// system's.
	DSCP int
}

// Client holds configuration, credentials and connections to the service. Its methods may be called from every
// goroutine, handlers included.
type Client struct {
	core    *clientCore
	cleanup runtime.Cleanup
}

// clientCore is what a client and its calls share. It must not refer to the Client, which would never be collected then.
type clientCore struct {
	id    C.uint64_t
	lock  sync.Mutex
	calls map[*callCore]struct{}
}

// NewClient makes a client. It opens no connection. Close it when its calls have ended; a Client that is not
// referenced any more, and its calls with it, is closed by the garbage collector at some time.
func NewClient(options ClientOptions) (*Client, error) {
	const op = "client"
	if err := abi(); err != nil {
		return nil, err
	}
	c := conv{op: op}
	defer c.free()
	o := options.c(&c)
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

// c is the options in C; what they point to belongs to the conv.
func (options ClientOptions) c(c *conv) C.oh_client_options {
	o := sized[C.oh_client_options]()
	o.url, o.api_key, o.user_id = c.text("URL", options.URL), c.text("APIKey", options.APIKey), c.text("UserID", options.UserID)
	o.token, o.ca_file = c.text("Token", options.Token), c.text("CAFile", options.CAFile)
	o.hint_url = c.text("HintURL", options.HintURL)
	o.max_message_bytes = c.size("MaxMessageBytes", options.MaxMessageBytes)
	o.protocol, o.allow_insecure = C.oh_protocol(options.Protocol), flag(options.AllowInsecure)
	o.allow_other_hosts, o.receive_custom_events = flag(options.AllowOtherHosts), flag(options.ReceiveCustomEvents)
	o.proxy, o.interfaces = c.text("Proxy", options.Proxy), c.text("Interfaces", strings.Join(options.Interfaces, ","))
	o.ip_family, o.relay_only = C.oh_ip_family(options.IPFamily), flag(options.RelayOnly)
	o.media_port_min = c.number("MediaPortMin", options.MediaPortMin)
	o.media_port_max = c.number("MediaPortMax", options.MediaPortMax)
	o.dscp = c.number("DSCP", options.DSCP)
	return o
}

// Close closes the client and its calls, as Call.Close does. It waits for handlers in progress on
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

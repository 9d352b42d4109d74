// Publisher and Subscriber: what the local participant sends and receives in a call.

package offhook

// #include "shim.h"
import "C"

// Publisher is what the local participant sends in a call; its tracks are Track.
type Publisher struct {
	id   C.uint64_t
	call *Call
}

// Publisher gives the publisher of the call. Every call has one; the same each time.
func (c *Call) Publisher() (*Publisher, error) {
	r := C.ohgo_call_get_publisher(c.core.handle())
	if err := failed("publisher", r); err != nil {
		return nil, err
	}
	return &Publisher{r.value, c}, nil
}

// Stop stops sending at once and for good while the call goes on; its tracks end. Audio and data that were accepted
// and not sent yet are discarded and counted by EventUnsent. Stopping twice is fine.
func (p *Publisher) Stop() error { return failed("stop publisher", C.ohgo_publisher_close(p.id)) }

// Close stops the publisher and frees it; the call goes on. Closing twice is fine. The error is always nil.
func (p *Publisher) Close() error {
	C.ohgo_publisher_free(p.id)
	return nil
}

// Subscriber is what the local participant receives in a call. It can be closed on its own, for instance by a bot that only publishes.
type Subscriber struct {
	id   C.uint64_t
	call *Call
}

// Subscriber gives the subscriber of the call; the same each time, also after it was closed.
func (c *Call) Subscriber() (*Subscriber, error) {
	r := C.ohgo_call_get_subscriber(c.core.handle())
	if err := failed("subscriber", r); err != nil {
		return nil, err
	}
	return &Subscriber{r.value, c}, nil
}

// RemoteTrackOptions is the subscription settings of a remote track.
type RemoteTrackOptions struct {
	Unsubscribe bool       // do not receive the track
	Pause       bool       // receive nothing for the moment; continues faster than after Unsubscribe
	Layer       VideoLayer // video: the layer, when neither Width nor Height is set
	Width       int        // video: size at which it is shown, in pixels; 0: not set
	Height      int
	MaxFPS      int // video: frames per second at most; 0: no limit
	Priority    int // when bandwidth is short: 1 is served first; 0: the SFU decides
}

// SetTrack sets the subscription of a remote track (CapSubscriptions); nil: receive it, as well as the network allows.
// Asynchronous; the last call wins, and it is kept over reconnects until the track ends.
func (s *Subscriber) SetTrack(trackID string, options *RemoteTrackOptions) error {
	v := conv{op: "set track"}
	defer v.free()
	if options == nil {
		options = &RemoteTrackOptions{}
	}
	o := sized[C.oh_remote_track_options]()
	o.unsubscribe, o.pause, o.layer = flag(options.Unsubscribe), flag(options.Pause), C.oh_video_layer(options.Layer)
	o.width, o.height = v.number("Width", options.Width), v.number("Height", options.Height)
	o.max_fps, o.priority = v.number("MaxFPS", options.MaxFPS), v.number("Priority", options.Priority)
	id := v.text("trackID", trackID)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_subscriber_set_track(s.id, id, &o))
}

// Stop stops receiving for good while the call goes on. Audio that waits is discarded. Later offers of the SFU are dropped
// without an error and counted (Stats.LateOffers). It waits for a handler in progress on another goroutine: when it
// returns, no more audio is delivered, unless it was called inside a handler. With ProtocolLiveKit data, texts and
// procedure calls end as well. Stopping twice is fine.
func (s *Subscriber) Stop() error { return failed("stop subscriber", C.ohgo_subscriber_close(s.id)) }

// Close stops the subscriber and frees it; the call goes on. Closing twice is fine. The error is always nil.
func (s *Subscriber) Close() error {
	C.ohgo_subscriber_free(s.id)
	return nil
}

// Publisher and Subscriber: what a call sends and what it receives, as a whole.

package offhook

// #include "shim.h"
import "C"

// Publisher is what is sent in a call; its tracks are Track.
type Publisher struct {
	id   C.uint64_t
	call *Call
}

// Publisher gives the publisher of the call; every call has one, the same each time.
func (c *Call) Publisher() (*Publisher, error) {
	r := C.ohgo_call_publisher(c.core.handle())
	if err := failed("publisher", r); err != nil {
		return nil, err
	}
	return &Publisher{r.value, c}, nil
}

// Stop stops sending for good while the call goes on; the tracks are over. Stopping twice is fine.
func (p *Publisher) Stop() error { return failed("stop publisher", C.ohgo_publisher_close(p.id)) }

// Close stops the publisher and frees it; the call goes on. Closing twice is fine. The error is always nil.
func (p *Publisher) Close() error {
	C.ohgo_publisher_free(p.id)
	return nil
}

// Subscriber is what is received in a call. It can be closed on its own, for instance by a bot that only publishes.
type Subscriber struct {
	id   C.uint64_t
	call *Call
}

// Subscriber gives the subscriber of the call, the same each time, also when it is closed.
func (c *Call) Subscriber() (*Subscriber, error) {
	r := C.ohgo_call_subscriber(c.core.handle())
	if err := failed("subscriber", r); err != nil {
		return nil, err
	}
	return &Subscriber{r.value, c}, nil
}

// RemoteTrackOptions is what is wanted of one remote track.
type RemoteTrackOptions struct {
	Unsubscribe bool  // nothing at all
	Pause       bool  // nothing for the moment; comes back faster than after Unsubscribe
	Layer       Layer // where no size is given
	Width       int   // the size at which video is shown, in pixels; 0: not said
	Height      int
	FPS         int // frames per second at most; 0: not said
	Priority    int // where bandwidth is short: 1 goes first; 0: the SFU decides
}

// SetTrack says what is wanted of one remote track (CapSubscriptions), by the TrackID of EventTrackPublished; nil: the
// track, as good as it is. Asynchronous; the last wish wins, and it is kept over reconnects until the track ends.
func (s *Subscriber) SetTrack(trackID string, options *RemoteTrackOptions) error {
	v := conv{op: "set track"}
	defer v.free()
	if options == nil {
		options = &RemoteTrackOptions{}
	}
	var o C.oh_remote_track_options
	C.ohgo_remote_track_options(&o)
	o.unsubscribe, o.pause, o.layer = flag(options.Unsubscribe), flag(options.Pause), C.int32_t(options.Layer)
	o.width, o.height = v.number("Width", options.Width), v.number("Height", options.Height)
	o.fps, o.priority = v.number("FPS", options.FPS), v.number("Priority", options.Priority)
	id := v.text("trackID", trackID)
	if v.err != nil {
		return v.err
	}
	return failed(v.op, C.ohgo_subscriber_set_track(s.id, id, &o))
}

// Stop stops receiving for good while the call goes on. Sound that is queued is discarded. Offers of the SFU for it are
// dropped without an error from now on, and counted (Stats.LateOffers). It waits for a handler in progress on another
// goroutine: after it returns no sound is handed over, unless called inside a handler. With ProtocolLiveKit data, texts
// and procedure calls end with it. Stopping twice is fine.
func (s *Subscriber) Stop() error { return failed("stop subscriber", C.ohgo_subscriber_close(s.id)) }

// Close stops the subscriber and frees it; the call goes on. Closing twice is fine. The error is always nil.
func (s *Subscriber) Close() error {
	C.ohgo_subscriber_free(s.id)
	return nil
}

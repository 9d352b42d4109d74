// Package offhook is SFU calls for Go: join, publish, subscribe, audio in and out, leave.
//
//	client, err := offhook.NewClient(offhook.ClientOptions{URL: url, UserID: "alice", Token: token})
//	defer client.Close()
//	call, err := client.Join(ctx, offhook.CallOptions{CallID: "standup", OnEvent: …, OnAudio: …})
//	defer call.Close()
//	track, err := call.PublishAudio(nil)
//	err = track.Play(ctx, samples)
//
// It is a thin layer over liboffhook (cgo, found with pkg-config; the build tag offhook_static links liboffhook.a into
// the program).
//
// # Goroutines and threads
//
// Every method may be called from every goroutine, handlers included. Handlers run on threads of the library, those of
// one call one at a time and in order; one that blocks delays its own call only. Methods do not block, except
// Client.Close, Call.Close, Subscriber.Stop and Subscriber.Close, which wait for a handler in progress on another
// goroutine (so do not hold in them what that handler waits for), and those that take a context. These block no thread.
//
// # Ownership
//
// What you pass in is copied, and what you are given is a copy. Close what you make; closing twice, in any order and
// inside handlers is fine, and a closed object gives errors (ErrHandle, ErrClosed), never a crash. A Client owns its
// calls and a Call its tracks: closing the owner closes them. What is not referenced any more is closed by the garbage
// collector at some time: keep a reference to a Call.
//
// # Errors
//
// Functions return an *Error with a Code to compare with (errors.Is(err, offhook.ErrClosed)) and the library's text, or an
// error that wraps the context's. Later failures are reported by events.
package offhook

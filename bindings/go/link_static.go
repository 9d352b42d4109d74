// How the library is linked with the build tag offhook_static: liboffhook.a becomes part of the program. pkg-config
// also names the shared library beside it; it comes later, resolves nothing, and is left out (--as-needed).

//go:build offhook_static

package offhook

// #cgo pkg-config: --static offhook
// #cgo LDFLAGS: -l:liboffhook.a -Wl,--as-needed
import "C"

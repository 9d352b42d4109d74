// How the library is linked: as the shared one that pkg-config finds.

//go:build !offhook_static

package offhook

// #cgo pkg-config: offhook
import "C"

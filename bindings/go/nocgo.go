// Without cgo the library cannot be called: this file gives one error for it, instead of many about missing names.

//go:build !cgo

package offhook

var _ int = "offhook needs cgo: set CGO_ENABLED=1 and install a C compiler"

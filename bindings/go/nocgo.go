// Without cgo there is nothing to call: this file says so, in one line, instead of many about names that are missing.

//go:build !cgo

package offhook

var _ int = "offhook needs cgo: set CGO_ENABLED=1 and install a C compiler"

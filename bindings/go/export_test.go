// Internals that the tests use.

package offhook

import "weak"

// CoreOf gives a weak pointer to the part of a call that the library refers to.
func CoreOf(call *Call) weak.Pointer[callCore] { return weak.Make(call.core) }

// What tests look at from within.

package offhook

import "weak"

// CoreOf gives what the library holds on to of a call, weakly.
func CoreOf(call *Call) weak.Pointer[callCore] { return weak.Make(call.core) }

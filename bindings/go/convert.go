// What goes into C: text, numbers and times of options, checked, and freed in one go.

package offhook

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"math"
	"strings"
	"time"
	"unsafe"
)

// conv collects what a structure for C points to; the first thing that does not fit is its err.
type conv struct {
	op   string
	ptrs []unsafe.Pointer
	err  error
}

func (c *conv) fail(name, why string) {
	if c.err == nil {
		c.err = argument(c.op, name+" "+why)
	}
}

// text copies s; "" becomes NULL, which is the same to the library wherever text is optional.
func (c *conv) text(name, s string) *C.char {
	if s == "" {
		return nil
	}
	return c.textOrEmpty(name, s)
}

func (c *conv) textOrEmpty(name, s string) *C.char {
	if strings.IndexByte(s, 0) >= 0 {
		c.fail(name, "contains a NUL, where C would cut it off")
		return nil
	}
	p := C.CString(s)
	c.ptrs = append(c.ptrs, unsafe.Pointer(p))
	return p
}

// texts copies a list, as an array in C memory.
func (c *conv) texts(name string, list []string) **C.char {
	if len(list) == 0 {
		return nil
	}
	array := C.calloc(C.size_t(len(list)), C.size_t(unsafe.Sizeof((*C.char)(nil))))
	c.ptrs = append(c.ptrs, array)
	for i, p := 0, unsafe.Slice((**C.char)(array), len(list)); i < len(list); i++ {
		p[i] = c.textOrEmpty(name, list[i])
	}
	return (**C.char)(array)
}

func (c *conv) number(name string, n int) C.uint32_t {
	if n < 0 || uint64(n) > math.MaxUint32 {
		c.fail(name, "is out of its range")
		return 0
	}
	return C.uint32_t(n)
}

// Forever, as a time in options: as long as it takes.
const Forever = time.Duration(math.MaxInt64)

// NoDrain, as CallOptions.Drain: what was accepted and not sent yet is given up at once.
const NoDrain = time.Duration(-1)

func (c *conv) drain(d time.Duration) C.uint32_t {
	if d < 0 {
		return C.OH_NO_DRAIN
	}
	if d == Forever { // its number would be that of OH_NO_DRAIN
		c.fail("Drain", "is out of its range")
		return 0
	}
	return c.millis("Drain", d)
}

// millis rounds up, so that a time that was asked for never becomes 0, which means "default".
func (c *conv) millis(name string, d time.Duration) C.uint32_t {
	return C.uint32_t(c.units(name, d, time.Millisecond))
}

func (c *conv) seconds(name string, d time.Duration) C.uint32_t {
	return C.uint32_t(c.units(name, d, time.Second))
}

func (c *conv) units(name string, d, unit time.Duration) uint32 {
	if d == Forever {
		return C.OH_FOREVER
	}
	n := d / unit
	if d%unit > 0 {
		n++
	}
	if d < 0 || n >= C.OH_FOREVER {
		c.fail(name, "is out of its range")
		return 0
	}
	return uint32(n)
}

func (c *conv) free() {
	for _, p := range c.ptrs {
		C.free(p)
	}
	c.ptrs = nil
}

func flag(on bool) C.uint32_t {
	if on {
		return 1
	}
	return 0
}

// Converts options to C: texts, numbers and times, checked, and freed together.

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

// conv collects the memory that a structure for C points to; err is the first value that C cannot represent.
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
		c.fail(name, "contains a NUL, where C would end it")
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

// number is for options that are 32 bits wide; a greater value is out of the range of each of them.
func (c *conv) number(name string, n int) C.uint32_t {
	if n < 0 || uint64(n) >= C.OH_ZERO {
		c.fail(name, "is out of its range")
		return 0
	}
	return C.uint32_t(n)
}

func (c *conv) size(name string, n int) C.size_t {
	if n < 0 {
		c.fail(name, "is out of its range")
		return 0
	}
	return C.size_t(n)
}

// Forever, as a time in options: no limit.
const Forever = time.Duration(math.MaxInt64)

// Zero, as a number or time in options whose 0 is the default: zero itself.
const Zero = -1

// numberOrZero is for options that accept Zero.
func (c *conv) numberOrZero(name string, n int) C.uint32_t {
	if n == Zero {
		return C.OH_ZERO
	}
	return c.number(name, n)
}

func (c *conv) millisOrZero(name string, d time.Duration) C.uint32_t {
	if d == Zero {
		return C.OH_ZERO
	}
	return c.millis(name, d)
}

// millis rounds up, so that no time becomes 0, which is the default.
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
	if d < 0 || n >= C.OH_ZERO {
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

// sized gives an empty structure of the C interface: all zero, and its size.
func sized[T any]() (structure T) {
	*(*C.size_t)(unsafe.Pointer(&structure)) = C.size_t(unsafe.Sizeof(structure))
	return structure
}

func flag(on bool) C.oh_bool {
	if on {
		return 1
	}
	return 0
}

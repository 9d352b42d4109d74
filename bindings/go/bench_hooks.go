// Only for the benchmark: the clock in the C callbacks (see shim.c). Not part of the package without its tag.

//go:build offhook_bench

package offhook

// #cgo CFLAGS: -DOHGO_BENCH
// #include "shim.h"
import "C"

// BenchMark is called first thing in a handler.
func BenchMark() { C.ohgo_bench_mark() }

// BenchReset discards the frames recorded so far.
func BenchReset() { C.ohgo_bench_reset() }

// BenchSamples gives ns from the C callback's entry to BenchMark, and to its return; of frames or of events.
func BenchSamples(frames bool) (entry, whole []uint32) {
	kind := C.int(C.OHGO_EVENT)
	if frames {
		kind = C.OHGO_FRAME
	}
	n := C.ohgo_bench_count(kind)
	for i := C.uint64_t(0); i < n; i++ {
		entry = append(entry, uint32(C.ohgo_bench_entry(kind, i)))
		whole = append(whole, uint32(C.ohgo_bench_whole(kind, i)))
	}
	return entry, whole
}

// Callbacks of the library, on its own threads; each runs to its end there and keeps no C memory.

package offhook

// #include "shim.h"
import "C"

import (
	"log"
	"runtime/cgo"
	"runtime/debug"
)

//export ohgoEvent
func ohgoEvent(user C.uintptr_t, id C.uint64_t, e *C.oh_event) {
	core := cgo.Handle(user).Value().(*callCore)
	call := core.enter(id)
	defer core.contain("event", call)
	event := copyEvent(e, &core.names)
	core.saw(event)
	if call != nil && core.onEvent != nil {
		core.onEvent(call, event)
	}
}

//export ohgoAudio
func ohgoAudio(user C.uintptr_t, id C.uint64_t, a *C.oh_audio_frame) {
	core := cgo.Handle(user).Value().(*callCore)
	call := core.enter(id)
	defer core.contain("audio", call)
	if call != nil && core.onAudio != nil {
		core.onAudio(call, copyAudio(a, &core.names))
	}
}

// enter gives the application's Call; nil when it is not referenced any more: then it is about to be closed. The first
// callback may come before the join has returned the handle.
func (c *callCore) enter(id C.uint64_t) *Call {
	if c.id.Load() == 0 {
		c.id.Store(uint64(id))
	}
	return c.owner.Value()
}

//export ohgoCallDestroyed
func ohgoCallDestroyed(user C.uintptr_t) {
	handle := cgo.Handle(user)
	core := handle.Value().(*callCore)
	handle.Delete()
	core.notify()
}

//export ohgoLog
func ohgoLog(user C.uintptr_t, record *C.oh_log_record) {
	defer func() {
		if value := recover(); value != nil {
			log.Print(&Panic{Handler: "log", Value: value, Stack: debug.Stack()})
		}
	}()
	record = known(record)
	cgo.Handle(user).Value().(*logger).handler(LogRecord{LogLevel(record.level), text(record.text)})
}

//export ohgoDiagnosis
func ohgoDiagnosis(user C.uintptr_t, raw *C.oh_diagnosis) {
	raw = known(raw)
	// The channel has room for the one result.
	cgo.Handle(user).Value().(chan Diagnosis) <- Diagnosis{
		Text:         text(raw.text),
		ReportJSON:   text(raw.report_json),
		StepsFailed:  int(raw.steps_failed),
		StepsWarning: int(raw.steps_warning),
		Incomplete:   raw.incomplete != 0,
	}
}

//export ohgoDiagnosisDestroyed
func ohgoDiagnosisDestroyed(user C.uintptr_t) { cgo.Handle(user).Delete() }

//export ohgoLogDestroyed
func ohgoLogDestroyed(user C.uintptr_t) { cgo.Handle(user).Delete() }

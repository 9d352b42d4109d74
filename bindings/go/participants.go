// The snapshot of a call's participants.

package offhook

// #include "shim.h"
import "C"

// Participants gives all participants of the call with their tracks: the local one first, the others by session id. It is
// at least as new as any event that was delivered, and complete also when events were dropped. Before the join it has the
// local participant alone, after the end none.
func (c *Call) Participants() ([]Participant, error) {
	r := C.ohgo_call_get_participants(c.core.handle())
	if err := failed("participants", r); err != nil {
		return nil, err
	}
	snapshot := (*C.oh_participants)(r.pointer)
	defer C.oh_participants_free(snapshot)
	all := known(snapshot)
	copies := make([]Participant, 0, int(all.participant_count))
	for _, p := range list(all.participants, all.participant_count) {
		copies = append(copies, participant(p))
	}
	return copies, nil
}

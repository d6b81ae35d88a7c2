package worker

import (
	"time"

	"barista/fleet"
	"barista/machine"
)

// lately is what came about at the machine last, for whoever looks at its tile. The
// worker's lock guards it.
type lately struct {
	faulty     bool
	fault, act *fleet.Happened
}

// heed notes a fault when it comes: one that a person must clear, or one after which the
// machine steps back.
func (l *lately) heed(st machine.Status) {
	again := machine.FaultOf(machine.Cause(st.Reason.Code)).Mend == machine.Again
	is := st.State == machine.StateFault || st.State == machine.StateBlocked && again
	if is && !l.faulty {
		l.fault = &fleet.Happened{What: st.Reason.Code, Detail: fleet.Plain(st.Reason.Detail), At: time.Now().UTC().Format(time.RFC3339)}
	}
	l.faulty = is
}

// did notes what a person had done, and tells it.
func (w *Worker) did(c fleet.Command) {
	w.set(func() {
		w.lately.act = &fleet.Happened{What: c.Verb, Detail: fleet.Plain(c.What), By: fleet.Plain(c.By), Why: fleet.Plain(c.Why), At: time.Now().UTC().Format(time.RFC3339)}
	})
}

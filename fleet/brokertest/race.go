//go:build race

package brokertest

import "runtime"

// Under the race detector all timers of a bubble share one race context, which
// two processors that fire timers at the same time destroy: the program ends
// inside the detector (SIGSEGV, or "slot_locked"; Go 1.26.8, unlockAndRun in
// runtime/time.go). With one processor it does not, and races are still seen:
// the detector goes by the order of events, not by what runs at the same moment.
func init() { runtime.GOMAXPROCS(1) }

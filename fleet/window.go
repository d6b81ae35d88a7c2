package fleet

import "slices"

// The verbs of the window (package window): what a controller shows, by request, to
// whoever's key sees no stream and no bucket.
//
// Those of the pages: every web and every operator asks them.
const (
	WindowNow      = "now"      // the broker's clock
	WindowSince    = "since"    // the first record of the book that was not written before a time
	WindowAt       = "at"       // one record of the book
	WindowBalance  = "balance"  // the newest balance of the book
	WindowHistory  = "history"  // the records of one order
	WindowRecords  = "records"  // records of the book from a sequence on, or the next one
	WindowMachines = "machines" // who is here, or is known
)

// Those of operators alone.
const (
	WindowRead    = "read"    // the last record of an order
	WindowGet     = "get"     // one setting
	WindowPut     = "put"     // sets the menu, or a machine's cordon
	WindowDelete  = "delete"  // takes a machine's cordon back
	WindowAll     = "all"     // every setting
	WindowWaiting = "waiting" // messages in the queue, by class
	WindowTold    = "told"    // how far the stored events are told
	WindowStored  = "stored"  // the messages in the queue
)

var (
	windowPages     = []string{WindowAt, WindowBalance, WindowHistory, WindowMachines, WindowNow, WindowRecords, WindowSince}
	windowOperators = []string{WindowAll, WindowDelete, WindowGet, WindowPut, WindowRead, WindowStored, WindowTold, WindowWaiting}
)

// WindowSubject is where a verb of the window is asked. The verbs of operators have a
// family of their own, so that a key's rights can tell the two apart.
func WindowSubject(verb string) string {
	if slices.Contains(windowOperators, verb) {
		return Subject("coffee", "window", "op", verb)
	}
	return Subject("coffee", "window", verb)
}

// WindowSubjects lists where an operator asks the window, or where a web does. Nobody
// else has business there: no machine, and no program without a key.
func WindowSubjects(operator bool) (subjects []string) {
	verbs := windowPages
	if operator {
		verbs = slices.Concat(windowPages, windowOperators)
	}
	for _, v := range verbs {
		subjects = append(subjects, WindowSubject(v))
	}
	return subjects
}

// WindowServed are the two subjects that a controller listens on.
func WindowServed() []string {
	return []string{Subject("coffee", "window", "*"), Subject("coffee", "window", "op", "*")}
}

package fleet

import (
	"fmt"
	"strings"
)

// KindMachine is the Kind of a Member that is a machine.
const KindMachine = "machine"

// Left is how a machine left its place in the shop: for good, or for other hardware that
// comes under its name.
type Left struct {
	Machine string
	Out     bool        // it is written down; whatever went wrong went wrong after that
	Revoked bool        // it had a key, which is good no more
	Keys    bool        // the shop gives keys, and takes them away
	Invited *Invitation // of the other hardware; nil: none was made
}

// StaysError is why a machine can't leave its place now, or come back to it. Nothing was
// changed. Whoever shows it makes the sentence, and says what to do.
type StaysError struct {
	Machine string
	Code    string // one of those below
	Why     string // with StaysClosed, in English
	Held    []Held // with StaysHolds
	Member  bool   // with StaysHolds: it has a key that can be revoked
}

// Held is an order that stands in a machine's name.
type Held struct {
	ID    string
	Phase Phase
}

// The codes of a StaysError.
const (
	StaysInService = "in_service"
	StaysUnparked  = "unparked"  // it is here, and has not said that it may be opened
	StaysUncut     = "uncut"     // it is here, and a shop without keys can cut nobody off
	StaysOwn       = "own"       // its key is the shop's own
	StaysAwaited   = "awaited"   // the shop waits for what it knows from before the shop's start
	StaysClosed    = "closed"    // the shop does not know whether its book is whole
	StaysHolds     = "holds"     // orders are in its hand, or nobody knows what came of them
	StaysUnchecked = "unchecked" // it is new hardware, and nobody has said that it was looked at
)

func (e *StaysError) Error() string {
	text := map[string]string{
		StaysInService: "%s is in service",
		StaysUnparked:  "%s is here, and has not said that it may be opened",
		StaysUncut:     "%s is here while its service runs, and can't be cut off: this shop gives nobody a key (its broker says keys: none, or is run by others)",
		StaysOwn:       "%s has the shop's own key; a name of the file (machines:) is taken out there, and the shop started anew",
		StaysAwaited:   "the shop waits for what %s knows of orders from before its start",
		StaysClosed:    "not now",
		StaysHolds:     "%s can't leave yet: in its name stands ",
		StaysUnchecked: "%s is new hardware, and nobody has said that it was looked at",
	}[e.Code]
	text = strings.ReplaceAll(text, "%s", e.Machine)
	if e.Why != "" {
		text += ": " + e.Why
	}
	var held []string
	for _, o := range e.Held {
		held = append(held, fmt.Sprintf("%s (%s)", o.ID, o.Phase))
	}
	return text + strings.Join(held, ", ")
}

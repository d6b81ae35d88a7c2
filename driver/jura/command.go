package jura

// command is a line that this package can send. There are no others: sending
// takes a command, and a command is an index of the table below.
type command uint8

const (
	askType command = iota
	askInputs
	askCounters
	key04
)

// wire is every text that can ever go to a machine. A new one needs a source and
// a row of a model that uses it. What must never be here is listed in the test,
// with the reason.
var wire = [...]string{
	askType:     "TY:",
	askInputs:   "IC:",
	askCounters: "RT:0000",
	key04:       "FA:04",
}

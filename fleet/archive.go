package fleet

import "time"

// StoredEvent is an event as it stands in the stream, for whoever keeps events.
type StoredEvent struct {
	ID     string // order and slot: an event that is told anew has the same
	Seq    uint64 // in this stream; a stream that was made anew counts from 1
	Stored time.Time
	Event
}

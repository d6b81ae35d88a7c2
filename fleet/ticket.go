package fleet

import (
	"context"
	"errors"
	"time"
)

// The times of the queue (CONTRACT 4).
const (
	// AckWait is how long a delivery may be silent before another machine gets
	// the message.
	AckWait = 15 * time.Second
	// BeatEvery is how often the holder says that it is still at it.
	BeatEvery = AckWait / 3
	// Lease is how long a claimed order belongs to an owner that is absent.
	Lease = 15 * time.Second
	// FenceTime is how long after sending the fence the first relay may close.
	FenceTime = 2 * time.Second
	// LongestBrew bounds what a machine may need for one drink, rests included. It
	// is the same for the whole fleet, because it decides when others may say
	// unknown.
	LongestBrew = 5 * time.Minute
	// UnknownAfter is added to the longest brew before others may say unknown.
	UnknownAfter = 60 * time.Second
	// QueueMax is how many accepted orders may wait.
	QueueMax = 200
)

// ErrStale: the holder was silent for longer than AckWait, so the message may be
// in other hands. Only the settling of an ended drink is still sent.
var ErrStale = errors.New("the ticket was silent for too long")

// Ticket is a delivery held by one worker. It is a reminder, not a right: the
// claim decides. A ticket is used by one goroutine, but for Beat.
type Ticket struct {
	Class     Class
	Subject   string
	Body      []byte // the order
	MessageID string
	Portion   Items     // what the order takes from the stock
	Created   Revision  // of the order's create in the book; zero if the message does not say
	Seq       uint64    // in the stream
	Delivered int       // from 1
	Stored    time.Time // the broker's clock
	Settlement
}

// Settlement is how a holder lets go of a ticket.
type Settlement interface {
	// Beat renews the holder's time. ErrStale after a silence longer than
	// AckWait, and nothing is sent.
	Beat() error
	// Done removes the message, confirmed by the broker, tried again until ctx
	// ends or a broker that started anew turns out not to know the delivery: then
	// the message comes again to somebody. Only for an order whose claim has ended as served. It is sent even
	// after a silence.
	Done(ctx context.Context) error
	// Terminate removes the message with a reason. ended says that the claim has
	// ended or is parked, so that it is sent even after a silence.
	Terminate(ctx context.Context, reason string, ended bool) error
	// Return gives the message back to the queue after the delay. Nothing is
	// sent after a silence.
	Return(ctx context.Context, after time.Duration) error
}

// Tickets is where a worker takes its work.
type Tickets interface {
	// Next waits until an order of one of the classes is there and takes it, one
	// at a time. With wanted it is a spare, which looks every two seconds and takes
	// only what is there at a moment when wanted says so. Of several classes that have
	// orders, those of first are asked in their order, then the one that gave nothing
	// for longest. When ctx ends nothing is stranded. One caller at a time.
	Next(ctx context.Context, classes []Class, wanted func() bool, first ...Class) (*Ticket, error)
}

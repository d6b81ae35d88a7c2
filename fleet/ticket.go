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
	Body      []byte // not read where there is a claim
	MessageID string
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
	// ends. Only for an order whose claim has ended as served. It is sent even
	// after a silence.
	Done(ctx context.Context) error
	// Drop removes the message with a reason. ended says that the claim has
	// ended or is parked, so that it is sent even after a silence.
	Drop(ctx context.Context, reason string, ended bool) error
	// Return gives the message back to the queue after the delay. Nothing is
	// sent after a silence.
	Return(ctx context.Context, after time.Duration) error
}

// Tickets is where a worker takes its work.
type Tickets interface {
	// Next waits until an order of one of the classes is there and takes it, one
	// at a time. With minWaiting > 0 it takes only while at least so many orders
	// of these classes wait. When ctx ends nothing is stranded. One caller at a
	// time.
	Next(ctx context.Context, classes []Class, minWaiting int) (*Ticket, error)
}

// What a publisher must tell apart.
var (
	// ErrFull: the queue takes no more; certain, nothing was stored.
	ErrFull = errors.New("the queue is full")
	// ErrUnlisted: no stream takes this class; certain, nothing was stored.
	ErrUnlisted = errors.New("the class is not on the menu")
)

// Orders is the writing end of the queue; the controller's alone.
type Orders interface {
	// Publish stores an accepted order under the message id. duplicate means
	// that the stream says it has had this id: stored, or stored and consumed.
	// Errors: ErrFull, ErrUnlisted; any other leaves open whether it was stored.
	Publish(ctx context.Context, o Order, messageID string) (duplicate bool, err error)
	// Stored lists the messages in the queue, by order id, oldest first.
	Stored(ctx context.Context) ([]StoredOrder, error)
	// Remove takes a message of an ended order out of the queue; one that is
	// gone already is no error.
	Remove(ctx context.Context, seq uint64) error
	// Waiting is the number of messages in the queue, per class; those in a
	// machine's hands count.
	Waiting(ctx context.Context) (map[Class]int, error)
	// List adds a class to the queue; removing one is refused while orders of
	// it wait.
	List(ctx context.Context, classes []Class) error
}

// StoredOrder is a message in the queue.
type StoredOrder struct {
	Order     string // id; empty if the message is none of ours
	MessageID string
	Class     Class
	Seq       uint64
}

// Drop is an order that a foreign program put on coffee.orders.<bean>.
type Drop struct {
	Bean    string // the subject's last part, as it came
	Subject string
	Body    []byte
	Seq     uint64
	Stored  time.Time // the broker's clock
	Created time.Time // of the intake stream, for the id
	Settlement
}

// Intake hands over foreign drops, one at a time.
type Intake interface {
	NextDrop(ctx context.Context) (*Drop, error)
}

// Server answers requests on a subject until it is closed; see Serve.
type Server interface {
	// Serve answers requests on the subject, one goroutine per subject, until
	// ctx ends. Requests whose reply subject is no inbox are dropped. With
	// shared, several servers share the load; else each hears every request.
	Serve(ctx context.Context, subject string, shared bool, answer func(ctx context.Context, subject string, body []byte) []byte) error
}

// Requester asks another role.
type Requester interface {
	// Request sends one request and returns the answer; ErrNoAnswer if none
	// came, ErrNobody if nobody listens.
	Request(ctx context.Context, subject string, body []byte) ([]byte, error)
}

// ErrNobody: nobody listens on the subject; nothing happened.
var ErrNobody = errors.New("nobody answers there")

package fleet

import (
	"context"
	"errors"
	"time"
)

// What a publisher must tell apart.
var (
	// ErrFull: queue or book take no more; certain, nothing was stored.
	ErrFull = errors.New("there is no room for it")
	// ErrUnlisted: no stream takes this class; certain, nothing was stored.
	ErrUnlisted = errors.New("the class is not on the menu")
)

// Orders is the writing end of the queue; the controller's alone.
type Orders interface {
	// Publish stores an accepted order under the message id, with its portion and
	// the revision of its create, so that book and queue can each make anew what
	// the other lost. An id that the stream has had is no error, and proves nothing
	// about the message still being there. Errors: ErrFull, ErrUnlisted; any other
	// leaves open whether it was stored.
	Publish(ctx context.Context, e Entry, messageID string) error
	// Stored lists the messages in the queue, by order id, oldest first.
	Stored(ctx context.Context) ([]StoredOrder, error)
	// Remove takes a message of an ended order out of the queue; one that is
	// gone already is no error.
	Remove(ctx context.Context, seq uint64) error
	// Waiting is the number of messages in the queue, per class; those in a
	// machine's hands count.
	Waiting(ctx context.Context) (map[Class]int, error)
	// Given is up to which message the queue has handed out those of each class: what is
	// behind that is in nobody's hands. What came back and waits is not told apart from
	// what somebody has.
	Given(ctx context.Context) (map[Class]uint64, error)
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
	Body      []byte    // the order
	Portion   Items     // as its create said
	Stored    time.Time // the broker's clock
}

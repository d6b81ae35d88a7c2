package fleet

import (
	"context"
	"errors"
	"time"
)

// Entry is one act in the ledger, the truth of the stock.
type Entry struct {
	Act   Act       `json:"act"`
	Order string    `json:"order,omitempty"` // with reserve, release, consume, waste
	Use   int       `json:"use,omitempty"`
	Items Items     `json:"items"` // for count: what was found
	By    string    `json:"by,omitempty"`
	Note  string    `json:"note,omitempty"`
	Key   string    `json:"key,omitempty"` // of an act without order: given twice, it counts once
	At    time.Time `json:"at"`            // wall clock of the writer, for display only
}

// Ledger is an append-only list with one writer at a time: an entry names the
// sequence it follows, so that of two stock services only one wins.
type Ledger interface {
	// Append stores the entry behind sequence last and returns its own.
	// ErrConflict: something else is there already; fold it and decide anew.
	Append(ctx context.Context, e Entry, last uint64) (seq uint64, err error)
	// Read hands over the entries behind the sequence, oldest first, and returns
	// the last one's sequence.
	Read(ctx context.Context, after uint64, each func(seq uint64, e Entry)) (last uint64, err error)
}

// Level is what the stock holds of one item.
type Level struct {
	OnHand   int `json:"on_hand"`
	Reserved int `json:"reserved"`
	Refilled int `json:"refilled"` // ever, with what counts added
	Consumed int `json:"consumed"` // ever
	Wasted   int `json:"wasted"`   // ever, with what counts found missing
}

// Available is what an order may still reserve.
func (l Level) Available() int { return l.OnHand - l.Reserved }

// OutOfStockError: there is not enough; nothing was reserved. Item says of what.
type OutOfStockError struct{ Item string }

func (e *OutOfStockError) Error() string { return "not enough " + e.Item }

// ErrUseClosed: this use of stock has ended and is never reserved again.
var ErrUseClosed = errors.New("this use of stock is closed")

// Stock is what the controller asks of the stock. Each act counts once per
// order and use, however often it is asked.
type Stock interface {
	// Reserve opens a use. Errors: *OutOfStockError, ErrUseClosed; any other
	// leaves open whether it was reserved.
	Reserve(ctx context.Context, order string, use int, items Items) error
	// Book writes a use's end. An end is written even if nothing was reserved.
	Book(ctx context.Context, b Booking) error
	// Levels is what is there now, by item.
	Levels(ctx context.Context) (map[string]Level, error)
}

package fleet

import (
	"errors"
	"fmt"
	"time"
)

// Answer is what a customer hears within 2 s of ordering. It is kept in the
// claim: the same id and the same order give the same answer.
type Answer struct {
	Status   string `json:"status"` // "success" or "error"
	Message  string `json:"message"`
	OrderID  string `json:"order_id,omitempty"`
	Position int    `json:"position,omitempty"`    // place in the queue, from 1
	ETA      []int  `json:"eta_seconds,omitempty"` // low, high; absent where nobody can say
	Code     string `json:"code,omitempty"`        // on error
	Field    string `json:"field,omitempty"`       // with CodeInvalid
}

// Wait is what can be said of how long one more cup would take.
type Wait struct {
	Low, High time.Duration
	Known     bool   // Low and High rest on machines that can make it now
	Ahead     int    // orders before it
	Code      string // not known: why, one of package words
	Item      string // with CodeOutOfStock: what there is not enough of
	TooSweet  int    // from so many doses of sugar on no machine makes it; 0: none is too many
}

// Taken reports whether an order would be taken and waited for now. One whose machines
// are only away is: they may come back at any moment.
func (w Wait) Taken() bool { return w.Known || w.Code == "" || w.Code == CodeAway }

// The stable codes of an error.
const (
	CodeInvalid     = "invalid_order"
	CodeNotOnMenu   = "not_on_menu"
	CodeOutOfStock  = "out_of_stock"
	CodeQueueFull   = "queue_full"
	CodeConflict    = "id_conflict"
	CodeUnavailable = "unavailable" // not known yet: ask again with the same id
)

// Scheduled is the message of a success, as foreign programs know it.
const Scheduled = "The coffee has been successfully scheduled"

// Success is the answer to an accepted order.
func Success(id string) Answer {
	return Answer{Status: "success", Message: Scheduled, OrderID: id}
}

// Sorry is an error answer.
func Sorry(id, code, format string, args ...any) Answer {
	return Answer{Status: "error", Message: fmt.Sprintf(format, args...), OrderID: id, Code: code}
}

// Invalid is the answer to what DecodeOrder refused.
func Invalid(err error) Answer {
	a := Sorry("", CodeInvalid, "%v", err)
	var fe *FieldError
	if errors.As(err, &fe) {
		a.Field = fe.Field
	}
	return a
}

// InsufficientBeans is the message when a bean runs out, as foreign programs
// know it.
func InsufficientBeans(bean string) string { return "Insufficient coffee for type " + bean }

// OK reports whether the order was accepted.
func (a Answer) OK() bool { return a.Status == "success" }

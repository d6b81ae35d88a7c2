package fleet

import (
	"context"
	"time"
)

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

package ledger

import (
	"context"
	"runtime/debug"
	"testing"
	"time"

	"barista/fleet"
)

// TestSpare: the collector is kept closer while starts read what lies far back, and is as
// it was when the last of them has.
func TestSpare(t *testing.T) {
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	before := limit()
	one, two := spare(), spare()
	if during := limit(); during >= before || during < room {
		t.Errorf("the limit is %d and becomes %d", before, during)
	}
	one()
	one()
	if limit() >= before {
		t.Error("one start has ended, and the other one is forgotten")
	}
	two()
	if limit() != before {
		t.Errorf("the limit was %d and is %d", before, limit())
	}

	const own = 1 << 40 // a person's, by GOMEMLIMIT
	debug.SetMemoryLimit(own)
	defer debug.SetMemoryLimit(before)
	spare()()
	if limit() != own {
		t.Errorf("a limit of %d was not put back: %d", own, limit())
	}

	// Orders that lie far back are read so, and near ones are not.
	for upto, spared := range map[uint64]bool{near + 1: false, near + 2: true} {
		during := int64(0)
		book := looked(func() { during = limit() })
		b := fleet.Balance{Upto: upto, Open: []fleet.Share{{Order: idN(1), Seq: 1}}}
		if _, err := stillOpen(t.Context(), book, b); err != nil || (during < own) != spared || limit() != own {
			t.Errorf("up to %d: the limit was %d, and is %d: %v", upto, during, limit(), err)
		}
	}
}

// looked is a book without a record, and tells that it was asked for one.
type looked func()

func (l looked) At(context.Context, uint64) (fleet.Record, error) {
	l()
	return fleet.Record{}, fleet.ErrNotFound
}
func (looked) Follow(context.Context, uint64, func(fleet.Record), func()) error { return nil }
func (looked) LastBalance(context.Context) (fleet.Record, error) {
	return fleet.Record{}, fleet.ErrNotFound
}
func (looked) Since(context.Context, time.Time) (uint64, error) { return 0, nil }
func (looked) Now(context.Context) (time.Time, error)           { return time.Time{}, nil }

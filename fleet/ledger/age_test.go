package ledger

import (
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
	"barista/fleet/stock"
)

// TestAge: a record is as old as this process has known it, whatever the broker's
// clock says of it; what it wrote itself has no second youth when the follower brings
// it, and what is not the order's last record has no age.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFold(stock.NewShelf(nil))
		l := New(Parts{}, Config{})
		l.fold = f
		o := fleet.Order{ID: idN(1)}
		e := fleet.Entry{Claim: fleet.Create(o, cup, fleet.Success(o.ID), "web"), Revision: fleet.Revision{Seq: 1, Rec: "a"}}
		l.fold.wrote(fleet.Record{IsClaim: true, Act: true, Entry: e})
		time.Sleep(time.Second)
		e.Written = time.Now().Add(-1000 * time.Hour)
		l.take(fleet.Record{IsClaim: true, Act: true, Entry: e})
		time.Sleep(time.Second)
		if age := l.Age(e); age != 2*time.Second {
			t.Errorf("%v old", age)
		}
		was := e
		e.Revision, e.Phase, e.Written = fleet.Revision{Seq: 2, Rec: "b"}, fleet.Brewing, time.Now().Add(1000*time.Hour)
		l.take(fleet.Record{IsClaim: true, Entry: e})
		time.Sleep(time.Minute)
		if age := l.Age(e); age != time.Minute {
			t.Errorf("the next record is %v old", age)
		}
		if age := l.Age(was); age != 0 {
			t.Errorf("the former record is %v old", age)
		}
		e.Rec = "c"
		if age := l.Age(e); age != 0 {
			t.Errorf("of another store: %v old", age)
		}
		e.Revision, e.Phase = fleet.Revision{Seq: 3, Rec: "d"}, fleet.Served
		l.take(fleet.Record{IsClaim: true, Entry: e})
		if age := l.Age(e); age != 0 || len(l.fold.heard) != 0 {
			t.Errorf("over, and %v old; kept: %v", age, l.fold.heard)
		}
	})
}

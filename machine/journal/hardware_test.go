package journal

import (
	"errors"
	"testing"

	"barista/driver/guard"
)

// called is hardware with a name, and with one that it had or may have had.
type called struct{ now, had, maybe string }

func (c called) String() string { return c.now }
func (c called) Was(name string) (same, maybe bool) {
	return name == c.now || name == c.had, name == c.maybe
}

// TestRenamed: the same hardware under a better name goes on with its journal, which
// has that name from then on; hardware that may be the same waits for a person's word,
// over restarts, and keeps its records.
func TestRenamed(t *testing.T) {
	path := sample(t)
	id := ""
	again := func(c called, moved bool) *Journal {
		t.Helper()
		j, err := Open(path, c, guard.Place{})
		ok(t, err)
		if id == "" {
			id = j.ID()
		}
		_, _, asks := j.Moved()
		if what, damaged := j.Damaged(); damaged || asks != moved || j.ID() != id || j.State(k1).Phase != Confirmed {
			t.Fatalf("%+v: damaged %q, asks %v, another journal %v", c, what, asks, j.ID() != id)
		}
		return j
	}
	ok(t, again(called{now: "by number", had: hw}, false).Close())
	ok(t, again(called{now: "by number"}, false).Close()) // the former name is no more needed
	for range 2 {
		j := again(called{now: "elsewhere", maybe: "by number"}, true)
		if err := j.Start(Key{"o9", 1}, Note{Counter: -1}); !errors.Is(err, ErrMoved) {
			t.Errorf("nobody has said that it is the same: %v", err)
		}
		ok(t, j.Close())
	}
	j := again(called{now: "elsewhere", maybe: "by number"}, true)
	if j.AcceptDamage("ada", "") == nil {
		t.Error("a word without a reason")
	}
	ok(t, j.AcceptDamage("ada", "the same board"), j.Start(Key{"o9", 1}, Note{Counter: -1}), j.End(Key{"o9", 1}, Made, Reason{}), j.Close())
	ok(t, again(called{now: "elsewhere"}, false).Close())
}

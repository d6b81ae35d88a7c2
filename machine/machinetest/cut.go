package machinetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/driver/plant"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// Board is a freshly opened board of relays with grinder, pump, milk and sugar,
// the metal behind it, and its cable.
type Board struct {
	Rig    driver.Rig
	Limits guard.Config
	Plant  *plant.Plant

	Sent     func() int  // bytes that went to the board
	CutAfter func(n int) // pulls the cable when n more have
	Cut      func()      // pulls it now, if it was not
	Replug   func()      // waits until it is out, and 5 s later puts it in again
}

// CutAtEachByte pulls the cable for five seconds after each byte of an order that
// goes to the board, or, unless each is set, after a hundred of them. The drink is
// broken off as the table of faults says, the relays are off when the cable is
// back, never is a second one made, and the next order is.
func CutAtEachByte(t *testing.T, each bool, open func(t *testing.T) Board) {
	c := cuts{open: open, causes: map[string]int{}}
	bytes := c.whole(t)
	step := max(1, bytes/100)
	if each {
		step = 1
	}
	// A journal that is opened or closed waits for the disk, so several go on at a
	// time.
	const lanes = 8
	t.Run("each", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for n := lane * step; n <= bytes; n += lanes * step {
					c.cut(t, n)
				}
			})
		}
	})
	t.Logf("%d bytes in an order: %v", bytes, c.causes)
	if c.causes["made"] == len(c.causes) || c.causes["guard"] == 0 {
		t.Error("nothing was cut")
	}
}

type cuts struct {
	open func(t *testing.T) Board

	mu     sync.Mutex
	causes map[string]int
}

var ordered = recipe.Drink{Size: "small", Grams: 9, WaterML: 40, MilkML: 20, Sugar: 1}

// whole is an order that nothing disturbs.
func (c *cuts) whole(t *testing.T) (bytes int) {
	synctest.Test(t, func(t *testing.T) {
		b := c.open(t)
		s := Over(t, b.Rig, t.TempDir(), b.Limits, machine.Plan{})
		defer s.Stop()
		time.Sleep(time.Second)
		before := b.Sent()
		if r, ok := s.Drink("o1", ordered); !ok || r.Outcome != journal.Made {
			t.Fatalf("%+v", r)
		}
		bytes = b.Sent() - before
	})
	return bytes
}

func (c *cuts) cut(t *testing.T, n int) {
	synctest.Test(t, func(t *testing.T) {
		b := c.open(t)
		s := Over(t, b.Rig, t.TempDir(), b.Limits, machine.Plan{})
		defer s.Stop()
		time.Sleep(time.Second)
		b.CutAfter(n)
		back := make(chan struct{})
		go func() { defer close(back); b.Replug() }()
		rep, began := s.Drink("o1", ordered)
		select {
		case <-back:
		default: // the drink was over before
			b.Cut()
			<-back
		}
		time.Sleep(2 * time.Minute)
		got := b.Plant.Counts()
		if len(got.OnNow()) > 0 || len(got.Harm) > 0 || got.Drinks > 1 {
			t.Errorf("byte %d: on %v, harm %v, %d drinks", n, got.OnNow(), got.Harm, got.Drinks)
		}
		for p := range b.Rig.Outputs {
			if k := b.Plant.Rises(p); k > 2 { // sugar is given in pulses
				t.Errorf("byte %d: %s went on %d times", n, p, k)
			}
		}
		cause := rep.Reason.Code
		known := slices.ContainsFunc(machine.Faults, func(f machine.Fault) bool { return string(f.Cause) == cause })
		switch {
		case !began:
			cause = "not begun"
		case rep.Outcome == journal.Made:
			cause = "made"
			if got.Drinks != 1 {
				t.Errorf("byte %d: %+v, and %d drinks were poured", n, rep, got.Drinks)
			}
		case rep.Outcome == journal.Untouched && got.Drinks > 0, !known:
			t.Errorf("byte %d: %+v, and %d drinks were poured", n, rep, got.Drinks)
		}
		c.mu.Lock()
		c.causes[cause]++
		c.mu.Unlock()
		// A person looks at it, and it goes on.
		_ = s.ClearFault("Ada", "looked at it")
		if rep, ok := s.Drink("o2", ordered); !ok || rep.Outcome != journal.Made {
			t.Errorf("byte %d: the drink after it: %+v", n, rep)
		}
	})
}

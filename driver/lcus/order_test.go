package lcus_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// everyByte cuts the cable at each byte of an order, once by hand; otherwise at
// some hundred of them.
var everyByte = flag.Bool("everybyte", false, "cut the cable at every byte of an order")

// station is the machine's software over the board, as the service has it.
type station struct {
	*machine.Machine
	stop func()
}

func (r *rack) station(t *testing.T) *station {
	t.Helper()
	rig := r.open()
	rig.Close = nil // the rack closes it
	rig.Sensors[driver.Hot] = hot{}
	limits := guard.Config{Name: "ada", Parts: map[driver.Part]guard.Limits{}}
	for _, p := range wired {
		limits.Parts[p] = guard.Limits{AcceptNoDeadman: true}
	}
	g, err := guard.New(rig, limits)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), "test")
	if err != nil {
		t.Fatal(err)
	}
	m, err := machine.New(g, j, machine.Config{Name: "ada", Cup: machine.CupAttended})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = g.Run(ctx) })
	all.Go(func() { _ = m.Run(ctx) })
	return &station{m, sync.OnceFunc(func() {
		cancel()
		all.Wait()
		_ = g.Close()
		_ = j.Close()
	})}
}

func (s *station) make(t *testing.T, order string) (machine.Report, bool) {
	t.Helper()
	drink := recipe.Drink{Size: "small", Grams: 9, WaterML: 40, MilkML: 20, Sugar: 1}
	for late := time.Now().Add(5 * time.Minute); s.Able(drink) != nil; time.Sleep(time.Second) {
		if time.Now().After(late) {
			return machine.Report{}, false
		}
	}
	return s.Make(context.Background(), machine.Job{Order: order, Epoch: 1, Drink: drink}), true
}

// TestOrderUnpluggedAtEachByte pulls the cable for five seconds after each byte
// of an order that goes to the board. The drink is broken off as the table of
// faults says, the relays are off when the cable is back, and never is a second
// one made.
func TestOrderUnpluggedAtEachByte(t *testing.T) {
	var mu sync.Mutex
	causes := map[string]int{}
	// cut is an order whose cable is pulled after n bytes; below 0 it is not, and
	// the bytes are counted.
	cut := func(t *testing.T, n int) (bytes int) {
		synctest.Test(t, func(t *testing.T) {
			r := newRack(t, nil)
			s := r.station(t)
			defer s.stop()
			time.Sleep(time.Second)
			r.cable.Host().Tap(func(b []byte) { mu.Lock(); bytes += len(b); mu.Unlock() })
			back := make(chan struct{})
			if n >= 0 {
				r.mu.Lock()
				r.away = true
				r.mu.Unlock()
				r.cable.Device().CutAfter(n)
				go func() {
					defer close(back)
					r.gone.Wait() // until the board has lost its host
					time.Sleep(5 * time.Second)
					r.plug(7)
				}()
			} else {
				close(back)
			}
			rep, began := s.make(t, "o1")
			if n < 0 {
				if rep.Outcome != journal.Made {
					t.Fatalf("%+v", rep)
				}
				return
			}
			select {
			case <-back:
			default: // the drink was over before: nothing was cut
				r.cut()
				<-back
			}
			time.Sleep(2 * time.Minute)
			c := r.plant.Counts()
			if len(c.OnNow()) > 0 || len(c.Harm) > 0 || c.Drinks > 1 {
				t.Errorf("byte %d: on %v, harm %v, %d drinks", n, c.OnNow(), c.Harm, c.Drinks)
			}
			for _, p := range wired {
				if rises(r.plant, p) > 2 { // sugar is given in pulses
					t.Errorf("byte %d: %s went on %d times", n, p, rises(r.plant, p))
				}
			}
			cause, _, _ := strings.Cut(rep.Reason, ":")
			known := slices.ContainsFunc(machine.Faults, func(f machine.Fault) bool { return string(f.Cause) == cause })
			switch {
			case !began:
				cause = "not begun"
			case rep.Outcome == journal.Made:
				cause = "made"
				if c.Drinks != 1 {
					t.Errorf("byte %d: %+v, and %d drinks were poured", n, rep, c.Drinks)
				}
			case rep.Outcome == journal.Untouched && c.Drinks > 0, !known:
				t.Errorf("byte %d: %+v, and %d drinks were poured", n, rep, c.Drinks)
			}
			mu.Lock()
			causes[cause]++
			mu.Unlock()
			// A person looks at it, and it goes on.
			s.ClearFault("Ada", "looked at it")
			if rep, ok := s.make(t, "o2"); !ok || rep.Outcome != journal.Made {
				t.Errorf("byte %d: the drink after it: %+v", n, rep)
			}
		})
		return bytes
	}
	bytes := cut(t, -1)
	step := max(1, bytes/100)
	if *everyByte {
		step = 1
	}
	// The journal waits for the disk, so several go on at a time.
	const lanes = 8
	t.Run("each", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for n := lane * step; n < bytes; n += lanes * step {
					cut(t, n)
				}
			})
		}
	})
	t.Logf("%d bytes in an order: %v", bytes, causes)
	if causes["made"] == len(causes) || causes["guard"] == 0 {
		t.Error("nothing was cut")
	}
}

// hot is the boiler on its owner's word, as the service has it.
type hot struct{}

func (hot) Read() (driver.Reading, error) { return driver.Reading{Value: 1, At: time.Now()}, nil }

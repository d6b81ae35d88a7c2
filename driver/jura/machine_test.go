package jura_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/driver/jura/sim"
	"barista/driver/serial/serialtest"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/machinetest"
	"barista/machine/recipe"
)

// station is the machine's software over the simulated Jura.
type station struct{ *machinetest.Station }

func (b *bench) station(dir string) *station {
	b.t.Helper()
	s := machinetest.Over(b.t, b.rig, dir, guard.Config{}, machine.Plan{Products: map[string]driver.Product{
		"small": {Key: "espresso", Cycles: 1}, "medium": {Key: "espresso", Cycles: 2}, "large": {Key: "espresso", Cycles: 3},
	}})
	synctest.Wait()
	return &station{s}
}

// make asks for a drink under a fence of two seconds; a start that is late gets
// another fence, as from a worker.
func (s *station) make(order, size string) (r machine.Report) {
	for range 3 {
		r = s.Make(context.Background(), machine.Job{
			Order: order, Epoch: 1, Drink: recipe.Drink{Size: size, Grams: 9, WaterML: 40}, Deadline: time.Now().Add(2 * time.Second),
		})
		if !r.Late {
			break
		}
	}
	return r
}

// A drink from the machine's job to the counter, with every way it can go wrong
// on the wire: what the report says is what the plant poured.
func TestDrinks(t *testing.T) {
	for _, c := range []struct {
		name, size string
		fault      sim.Fault
		at         time.Duration // of the fault, from the start; below 0 is before
		out        journal.Outcome
		reason     string
		poured     int
	}{
		{"small", "small", "", 0, journal.Made, "", 1},
		{"medium is two", "medium", "", 0, journal.Made, "", 2},
		{"large is three", "large", "", 0, journal.Made, "", 3},
		{"no product", "huge", "", 0, journal.Untouched, "no-product: huge", 0},
		{"off", "small", sim.Off, -1, journal.Untouched, "is it switched on", 0},
		{"no tray", "small", sim.NoTray, -1, journal.Untouched, "put the drip tray in", 0},
		{"tank", "small", "tank-empty", -1, journal.Untouched, "fill the water tank", 0},
		{"tank empties in the second", "medium", "tank-empty", 27 * time.Second, journal.Spoiled, "1/2", 1},
		{"answer lost", "small", sim.LostOK, -1, journal.Made, "", 1},
		{"key lost", "small", sim.LostKey, -1, journal.Unknown, "not known whether", 0},
		{"not counted", "small", sim.NoCount, -1, journal.Spoiled, "0/1", 1},
		{"second page", "small", sim.Page2, -1, journal.Spoiled, "0/1", 1},
		{"late", "small", sim.Doubled, -1, journal.Made, "", 1},
		{"switched off in the middle", "small", sim.Off, 10 * time.Second, journal.Unknown, "counter can't be read any more", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, sim.Config{Count: 100}, func(t *testing.T, b *bench) {
				s := b.station(t.TempDir())
				defer s.Stop()
				b.ready("") // the service has asked before
				b.count()
				if c.at < 0 {
					b.sim.Fault(c.fault)
				} else if c.fault != "" {
					b.all.Go(func() { sleep(b.ctx, c.at); b.sim.Fault(c.fault) })
				}
				r := s.make("o1", c.size)
				if r.Outcome != c.out || !strings.Contains(r.Reason.Error(), c.reason) || r.Late {
					t.Errorf("%+v, want %s %q", r, c.out, c.reason)
				}
				time.Sleep(3 * time.Minute)
				if n := b.sim.Plant().Counts().Drinks; n != c.poured {
					t.Errorf("%d drinks poured, want %d", n, c.poured)
				}
				if st := s.Journal.State(journal.Key{Order: "o1", Epoch: 1}); st.Phase == journal.Ended && st.Outcome != c.out {
					t.Errorf("journal: %v", st)
				}
			})
		})
	}
}

// TestDrinkUnpluggedAtEachByte pulls the cable for half a minute after every
// byte of a drink that goes to the machine.
func TestDrinkUnpluggedAtEachByte(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	outcomes := map[journal.Outcome]int{}
	cut := func(t *testing.T, n int) {
		in(t, sim.Config{Count: 100}, func(t *testing.T, b *bench) {
			s := b.station(t.TempDir())
			defer s.Stop()
			b.ready("")
			b.count()
			b.cutAfter(n)
			b.all.Go(func() { sleep(b.ctx, 30*time.Second); b.replug() })
			r := s.make("o1", "small")
			time.Sleep(3 * time.Minute)
			poured, keys := b.sim.Plant().Counts().Drinks, b.keys()
			mu.Lock()
			outcomes[r.Outcome]++
			mu.Unlock()
			switch {
			case poured > 1 || keys > 1:
				t.Errorf("byte %d: %d drinks, %d keys", n, poured, keys)
			case poured == 1 && (r.Outcome == journal.Untouched || r.Outcome == journal.Spoiled):
				t.Errorf("byte %d: %+v, and a drink was poured", n, r)
			case poured == 0 && r.Outcome == journal.Made:
				t.Errorf("byte %d: %+v, and no drink was poured", n, r)
			}
			s.ClearFault("Zoe", "looked at it")
			time.Sleep(time.Minute)
			if r := s.make("o2", "small"); r.Outcome != journal.Made || b.sim.Plant().Counts().Drinks != poured+1 {
				t.Errorf("byte %d: the drink after it: %+v, %d drinks", n, r, b.sim.Plant().Counts().Drinks-poured)
			}
		})
	}
	// The journal waits for the disk, so several go on at a time.
	const bytes, lanes = 400, 8
	t.Run("each", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for n := lane; n < bytes; n += lanes {
					cut(t, n)
				}
			})
		}
	})
	t.Logf("%v", outcomes)
	if outcomes[journal.Made] == 0 || outcomes[journal.Untouched] == 0 {
		t.Error("the bytes of a drink were not covered")
	}
}

// An order may come at any moment of a question at rest: the question goes out
// whole, and the order is made.
func TestOrderDuringAQuestion(t *testing.T) {
	for off := time.Duration(0); off < 5400*time.Millisecond; off += 60 * time.Millisecond {
		in(t, sim.Config{Count: 100}, func(t *testing.T, b *bench) {
			s := b.station(t.TempDir())
			defer s.Stop()
			time.Sleep(20*time.Second + off)
			if r := s.make("o1", "small"); r.Outcome != journal.Made {
				t.Errorf("after %v: %+v", off, r)
			}
		})
	}
}

// A machine that was switched off for ten minutes was not on a noisy wire.
func TestSwitchedOffAndOn(t *testing.T) {
	in(t, sim.Config{Count: 100}, func(t *testing.T, b *bench) {
		s := b.station(t.TempDir())
		defer s.Stop()
		b.sim.Fault(sim.Off)
		time.Sleep(10 * time.Minute)
		if st := s.Status(); st.State != "blocked" || !strings.Contains(st.Reason.Error(), "is it switched on") {
			t.Errorf("%+v", st)
		}
		asked := strings.Count(strings.Join(b.lines(), " "), "TY:")
		b.sim.Mend(sim.Off)
		late := time.After(30 * time.Second)
		for {
			changed := s.Changed()
			st := s.Status()
			if strings.Contains(st.Reason.Error(), "noisy") {
				t.Fatalf("switched on: %+v", st)
			}
			if st.State == "ready" {
				break
			}
			select {
			case <-changed:
			case <-late:
				t.Fatalf("half a minute after it was switched on: %+v", st)
			}
		}
		if n := strings.Count(strings.Join(b.lines(), " "), "TY:"); n < asked+2 {
			t.Error("it was not asked who it is: another one may stand there now")
		}
		if r := s.make("o1", "small"); r.Outcome != journal.Made {
			t.Errorf("%+v", r)
		}
	})
}

// Somebody uses the machine's own keys all day, and its motors make the wire noisy:
// that is no noisy wire.
func TestMotorNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := set(t, sim.Config{Burst: true, Count: 41, Plant: staffed()}, true)
		defer b.close()
		s := b.station(t.TempDir())
		defer s.Stop()
		began, pressed, since := time.Now(), time.Now(), time.Now()
		for ; time.Since(began) < 2*time.Hour; time.Sleep(100 * time.Millisecond) {
			if time.Since(pressed) > 3*time.Minute {
				pressed = time.Now()
				b.sim.Press(0x04)
			}
			bent := 0.0
			if b.sim.Running() != "" {
				bent = 0.1
			}
			b.noise(serialtest.Noise{Damage: bent}, serialtest.Noise{Damage: bent / 5})
			if s.Status().State == "ready" {
				since = time.Now()
			} else if time.Since(since) > 90*time.Second {
				t.Fatalf("not ready for %v: %+v", time.Since(since), s.Status())
			}
		}
	})
}

// A stop in any moment before the key is a stop; later the key goes out whole, and
// what came of it is known.
func TestStopAroundTheKey(t *testing.T) {
	outcomes := map[journal.Outcome]int{}
	for at := 900 * time.Millisecond; at < 1700*time.Millisecond; at += 20 * time.Millisecond {
		in(t, sim.Config{Count: 100}, func(t *testing.T, b *bench) {
			s := b.station(t.TempDir())
			defer s.Stop()
			time.Sleep(21 * time.Second)
			var stopped, key time.Duration
			began := time.Now()
			b.mu.Lock()
			b.atKey = func() { key = time.Since(began) }
			b.mu.Unlock()
			b.all.Go(func() { sleep(b.ctx, at); stopped = time.Since(began); s.Machine.Stop("by Zoe") })
			r := s.make("o1", "small")
			time.Sleep(3 * time.Minute)
			drinks := b.sim.Plant().Counts().Drinks
			switch {
			case key > stopped:
				t.Errorf("stopped after %v, and a key after %v: %+v", stopped, key, r)
			case r.Outcome == journal.Unknown, drinks > 1, key == 0 && drinks > 0:
				t.Errorf("stopped after %v: %+v, %d drinks", at, r, drinks)
			case drinks == 1 && r.Outcome == journal.Untouched:
				t.Errorf("stopped after %v: %+v, and a drink was made", at, r)
			}
			outcomes[r.Outcome]++
		})
	}
	t.Logf("%v", outcomes)
	if outcomes[journal.Untouched] == 0 || len(outcomes) < 2 {
		t.Error("the moments around the key were missed")
	}
}

// TestOrdersOnABadWire orders whenever the machine says that it is ready, over
// wires that bend lines all the time. After its first half hour it makes nothing any
// more, says why, and is never locked by that.
func TestOrdersOnABadWire(t *testing.T) {
	for _, bent := range []float64{0.02, 0.05} {
		synctest.Test(t, func(t *testing.T) {
			b := set(t, sim.Config{Burst: true, Count: 41, Plant: staffed()}, true)
			defer b.close()
			s := b.station(t.TempDir())
			defer s.Stop()
			b.noise(serialtest.Noise{Damage: bent}, serialtest.Noise{Damage: bent / 5})
			began, n, late := time.Now(), 0, 0
			for ; time.Since(began) < 90*time.Minute; time.Sleep(time.Second) {
				st := s.Status()
				if st.State == "fault" {
					t.Fatalf("%v: locked after %v: %+v", bent, time.Since(began), st)
				}
				if st.State != "ready" {
					continue
				}
				n++
				s.make(fmt.Sprint("o", n), "small")
				if time.Since(began) > 30*time.Minute {
					late++
				}
			}
			for _, p := range b.sim.Presses() {
				if p.Code != 0x04 {
					t.Errorf("%v: key %02X arrived", bent, p.Code)
				}
			}
			if st := s.Status(); late > 0 || !strings.Contains(st.Reason.Error(), "noisy") {
				t.Errorf("%v: %d orders after the first half hour, and now %+v", bent, late, st)
			}
			t.Logf("%v: %d orders were begun, %d keys arrived", bent, n, len(b.sim.Presses()))
		})
	}
}

// TestRecovery: the service died at some moment of a drink; the next one settles
// it by the counter, before it does anything else.
func TestRecovery(t *testing.T) {
	t.Parallel()
	for at := time.Duration(0); at < 75*time.Second; at += 1700 * time.Millisecond {
		in(t, sim.Config{Count: 100}, func(t *testing.T, b *bench) {
			dir := t.TempDir()
			b.ready("")
			before := b.count()
			j, err := journal.Open(filepath.Join(dir, "journal"), driver.Identity{Kind: "jura", Model: "EF532M", Serial: "15326-1"}, guard.Place{})
			if err != nil {
				t.Fatal(err)
			}
			k := journal.Key{Order: "o1", Epoch: 1}
			if err := j.Start(k, journal.Note{Counter: before, Cycles: 1}); err != nil {
				t.Fatal(err)
			}
			_ = j.Close()
			if at > 0 {
				if err := b.start("espresso"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(at) // the service is dead, the machine goes on
			if err := b.rig.Close(); err != nil {
				t.Fatal(err)
			}
			b.open()
			s := b.station(dir)
			defer s.Stop()
			recs, err := s.Recover(context.Background())
			want := journal.Made
			if at == 0 {
				want = journal.Untouched
			}
			if err != nil || len(recs) != 1 || recs[0].Outcome != want {
				t.Errorf("after %v: %v, %+v", at, err, recs)
			}
			if n := b.sim.Plant().Counts().Drinks; (n == 1) != (want == journal.Made) {
				t.Errorf("after %v: %d drinks", at, n)
			}
		})
	}
}

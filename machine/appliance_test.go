package machine

import (
	"cmp"
	"context"
	"errors"
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
	"barista/machine/journal"
	"barista/machine/recipe"
)

// bar is an appliance in memory: 30 s for a product, a counter that rises at its
// end, a second key while it works cancels.
type bar struct {
	mu      sync.Mutex
	count   int
	busyTil time.Time
	cycle   bool // the product that is made counts
	starts  int
	stops   int

	noCounter, gone, notReady, deaf, dud bool
	pause                                time.Duration // not ready for so long after each product
	asked                                int           // whether it is ready
	startErr                             error         // what Start returns
	taken                                bool          // with startErr: it began all the same
	hangs                                bool          // it never comes to rest
	onStart                              func()
	brews                                time.Duration // one product; 0 is 30 s
	slowly                               time.Duration // every answer but that of Busy
	watches                              []driver.Signal
	wants                                error // what Ready says
}

var _ driver.Appliance = (*bar)(nil)

func (a *bar) Watches() []driver.Signal { return a.watches }

func (a *bar) now() {
	if a.cycle && !time.Now().Before(a.busyTil) {
		a.cycle = false
		if !a.dud {
			a.count++
		}
	}
}

func (a *bar) do(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now()
	if a.gone {
		return driver.ErrGone
	}
	return f()
}

func (a *bar) Ready(context.Context) error {
	time.Sleep(a.slowly)
	return a.do(func() error {
		a.asked++
		switch {
		case a.wants != nil:
			return a.wants
		case a.notReady:
			return errors.New("it wants to be rinsed")
		case a.pause > 0 && a.count > 0 && time.Since(a.busyTil) < a.pause:
			return fmt.Errorf("it rinses itself: %w", driver.ErrNotYet)
		}
		return nil
	})
}

func (a *bar) Counter(context.Context) (n int, err error) {
	time.Sleep(a.slowly)
	err = a.do(func() error {
		if n = a.count; a.noCounter {
			return driver.ErrNoCounter
		}
		return nil
	})
	return n, err
}

func (a *bar) Start(_ context.Context, p driver.Product) error {
	time.Sleep(a.slowly)
	return a.do(func() error {
		if a.starts++; a.onStart != nil {
			a.onStart()
		}
		if p.Key != "04" || p.Cycles != 1 {
			return fmt.Errorf("a strange product: %+v", p)
		}
		if (a.startErr == nil || a.taken) && !a.deaf {
			a.busyTil, a.cycle = time.Now().Add(cmp.Or(a.brews, 30*time.Second)), true
		}
		return a.startErr
	})
}

func (a *bar) Busy(context.Context) (busy bool, err error) {
	err = a.do(func() error { busy = time.Now().Before(a.busyTil) || a.hangs && a.starts > 0; return nil })
	return busy, err
}

func (a *bar) Stop(context.Context) error {
	return a.do(func() error { a.stops++; a.cycle, a.busyTil = false, time.Now(); return nil })
}

type counterBench struct {
	*testing.T
	bar  *bar
	j    *journal.Journal
	m    *Machine
	dir  string
	stop func()
}

func setUpBar(t *testing.T, dir string, a *bar) *counterBench {
	t.Helper()
	plan := Plan{Name: "otto", Cup: CupAttended, Products: map[string]driver.Product{
		"small": {Key: "04"}, "large": {Key: "04", Cycles: 2}, "huge": {Key: "04", Cycles: 3}, "small+milk": {Key: "07", Cycles: 1},
	}}
	rig, err := guard.New(driver.Rig{Identity: driver.Identity{Kind: "bar", Serial: "7"}, Appliance: a}, guard.Config{Name: "otto"})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(dir, "journal"), driver.Identity{Kind: "bar 7"}, guard.Place{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(rig, j, plan, Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	gctx, gcancel := context.WithCancel(context.Background())
	wg.Go(func() { rig.Run(gctx) })
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	b := &counterBench{T: t, bar: a, j: j, m: m, dir: dir}
	var once sync.Once
	b.stop = func() {
		once.Do(func() {
			cancel()
			<-done
			gcancel()
			wg.Wait()
			rig.Close()
			j.Close()
		})
	}
	t.Cleanup(b.stop)
	synctest.Wait()
	return b
}

func TestAppliance(t *testing.T) {
	plain := recipe.Drink{Size: "small"}
	double := recipe.Drink{Size: "large"}
	for _, c := range []struct {
		name   string
		bar    *bar
		drink  recipe.Drink
		stop   time.Duration // Stop after so long
		out    journal.Outcome
		reason string
		starts int
		phase  journal.Phase
		again  bool // it steps back
	}{
		{"made", &bar{count: 41}, plain, 0, journal.Made, "", 1, journal.Ended, false},
		{"two cycles", &bar{}, double, 0, journal.Made, "", 2, journal.Ended, false},
		{"not ready", &bar{notReady: true}, plain, 0, journal.Untouched, "it wants to be rinsed", 0, journal.None, true},
		{"gone", &bar{gone: true}, plain, 0, journal.Untouched, "gone", 0, journal.None, true},
		{"refused", &bar{startErr: errors.New("locked")}, plain, 0, journal.Untouched, "locked", 1, journal.Ended, true},
		{"does nothing", &bar{deaf: true}, plain, 0, journal.Untouched, "did nothing", 1, journal.Ended, true},
		{"an answer lost, it began", &bar{startErr: driver.ErrUncertain, taken: true}, plain, 0, journal.Made, "", 1, journal.Ended, false},
		{"an answer lost, it didn't", &bar{startErr: driver.ErrUncertain}, plain, 0, journal.Unknown, "not known whether", 1, journal.Ended, true},
		{"worked, not counted", &bar{dud: true}, plain, 0, journal.Spoiled, "0/1", 1, journal.Ended, true},
		{"worked, not counted, no second cycle", &bar{dud: true}, double, 0, journal.Spoiled, "0/2", 1, journal.Ended, true},
		{"no counter", &bar{noCounter: true}, plain, 0, journal.Unknown, "no counter", 1, journal.Ended, false},
		{"no counter, refused", &bar{noCounter: true, startErr: errors.New("locked")}, plain, 0, journal.Untouched, "locked", 1, journal.Ended, true},
		{"never at rest", &bar{hangs: true}, plain, 0, journal.Unknown, "does not come to rest", 1, journal.Ended, true},
		{"stopped", &bar{}, plain, 10 * s, journal.Spoiled, "by Zoe", 1, journal.Ended, false},
		{"stopped in the second cycle", &bar{}, double, 45 * s, journal.Spoiled, "1/2", 2, journal.Ended, false},
		{"no such product", &bar{}, recipe.Drink{Size: "medium"}, 0, journal.Untouched, "no-product: medium", 0, journal.None, false},
		{"no sugar", &bar{}, recipe.Drink{Size: "small", Sugar: 1}, 0, journal.Untouched, "no-sugar", 0, journal.None, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setUpBar(t, t.TempDir(), c.bar)
				if c.stop > 0 {
					go func() { time.Sleep(c.stop); b.m.Stop("by Zoe") }()
				}
				n := b.m.Beat()
				began := time.Now()
				r := b.m.Make(t.Context(), Job{Order: "o1", Epoch: 1, Drink: c.drink, Deadline: time.Now().Add(2 * s)})
				if r.Outcome != c.out || !strings.Contains(r.Reason.Error(), c.reason) || c.reason == "" && r.Reason != (Reason{}) {
					t.Errorf("%+v, want %s %q", r, c.out, c.reason)
				}
				if c.bar.starts != c.starts {
					t.Errorf("%d keys pressed, want %d", c.bar.starts, c.starts)
				}
				if st := b.j.State(journal.Key{Order: "o1", Epoch: 1}); st.Phase != c.phase || c.phase == journal.Ended && st.Outcome != c.out {
					t.Errorf("journal: %v", st)
				}
				if took := time.Since(began); b.m.Beat()-n < uint64(took/(250*time.Millisecond)) || took > b.m.Longest() {
					t.Errorf("%d turns in %v", b.m.Beat()-n, took)
				}
				after(2 * s)
				if want := map[bool]State{true: StateBlocked, false: StateReady}[c.again]; b.m.Status().State != want {
					t.Errorf("%+v, want %s", b.m.Status(), want)
				}
				if c.bar.starts != c.starts {
					t.Error("a key was pressed afterwards")
				}
				if len(b.m.Curves()) > 0 {
					t.Error("there is a curve of what an appliance did by itself")
				}
			})
		})
	}
}

// What only the counter shows was poured all the same.
func TestCountedUnseen(t *testing.T) {
	if c := (seen{counted: true, idle: true, rose: 1}).verdict(2, Reason{}); c.out != journal.Spoiled || !c.failed {
		t.Errorf("%+v", c)
	}
}

// What an appliance lacks is seen at rest, before an order is taken: it waits,
// and nothing is a fault.
func TestApplianceIsAskedAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &bar{notReady: true}
		b := setUpBar(t, t.TempDir(), a)
		set := func(notReady bool) { _ = a.do(func() error { a.notReady = notReady; return nil }) }
		asked := func() (n int) { _ = a.do(func() error { n = a.asked; return nil }); return n }
		n := 0
		state := func(want State, note string) {
			t.Helper()
			after(6 * s)
			st := b.m.Status()
			var not *NotAble
			err := b.m.Able(recipe.Drink{Size: "small"})
			if st.State != want || !strings.Contains(st.Reason.Error(), note) || errors.As(err, &not) != (want != "ready") {
				t.Errorf("%+v, %v, want %s %q", st, err, want, note)
			}
			if not != nil && not.Person != (want == "blocked") {
				t.Errorf("%+v in the state %s", not, want)
			}
		}
		make := func() Report {
			n++
			return b.m.Make(t.Context(), Job{Order: fmt.Sprint(n), Epoch: 1, Drink: recipe.Drink{Size: "small"}})
		}
		for range 5 {
			state("blocked", "not-ready: it wants to be rinsed")
			if r := make(); r.Outcome != journal.Untouched || !strings.Contains(r.Reason.Error(), "rinsed") || a.starts != 0 {
				t.Errorf("%+v, %d keys", r, a.starts)
			}
		}
		before := asked()
		after(time.Minute)
		if n := asked() - before; n < 10 || n > 65 {
			t.Errorf("asked %d times in a minute", n)
		}
		set(false)
		state("ready", "")
		// It is not ready any more, and nobody has seen it yet.
		for range 5 {
			set(true)
			if r := make(); r.Outcome != journal.Untouched || !strings.Contains(r.Reason.Error(), "rinsed") || a.starts != 0 {
				t.Errorf("%+v, %d keys", r, a.starts)
			}
			after(s / 10)
			if st := b.m.Status(); st.State != "blocked" {
				t.Errorf("right after it said no: %+v", st)
			}
			set(false)
			state("ready", "")
		}
		_ = a.do(func() error { a.pause = 20 * s; return nil })
		if r := make(); r.Outcome != journal.Made {
			t.Errorf("%+v", r)
		}
		state("starting", "it rinses itself")
		after(20 * s)
		state("ready", "")
	})
}

// The second cycle of a drink waits for an appliance that needs a moment.
func TestApplianceBetweenCycles(t *testing.T) {
	for pause, want := range map[time.Duration]Report{
		10 * s:      {Outcome: journal.Made},
		time.Minute: {Outcome: journal.Made}, // this one starts all the same
	} {
		synctest.Test(t, func(t *testing.T) {
			b := setUpBar(t, t.TempDir(), &bar{pause: pause})
			began := time.Now()
			r := b.m.Make(t.Context(), Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "large"}})
			waited := time.Since(began) - 60*s
			if r.Outcome != want.Outcome || b.bar.starts != 2 || waited < min(pause, BetweenCycles) || waited > min(pause, BetweenCycles)+5*s {
				t.Errorf("a pause of %v: %+v, %d keys, waited %v", pause, r, b.bar.starts, waited)
			}
		})
	}
}

// Stopped while it waits for the second cycle: nothing begins any more.
func TestApplianceStoppedBetweenCycles(t *testing.T) {
	for how, stop := range map[string]func(b *counterBench){
		"a person stops it": func(b *counterBench) { b.m.Stop("by Zoe") },
		"the service ends":  func(b *counterBench) { b.stop() },
	} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setUpBar(t, t.TempDir(), &bar{pause: 15 * s})
				out := make(chan Report, 1)
				go func() {
					out <- b.m.Make(context.Background(), Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "large"}})
				}()
				after(36 * s)
				stop(b)
				if r := <-out; r.Outcome != journal.Spoiled || !strings.Contains(r.Reason.Error(), "1/2") || b.bar.starts != 1 {
					t.Errorf("%+v, %d keys", r, b.bar.starts)
				}
			})
		})
	}
}

// No cycle begins when it could outlast what the machine promises for a drink.
func TestApplianceTooLate(t *testing.T) {
	for slow, starts := range map[time.Duration]int{0: 3, 9 * s: 2} {
		synctest.Test(t, func(t *testing.T) {
			a := &bar{brews: 4*time.Minute + 55*s, slowly: slow}
			b := setUpBar(t, t.TempDir(), a)
			after(20 * s)
			began := time.Now()
			r := b.m.Make(t.Context(), Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "huge"}})
			if took := time.Since(began); a.starts != starts || (r.Outcome == journal.Made) != (starts == 3) || took > b.m.Longest() {
				t.Errorf("answers after %v: %+v, %d keys in %v of at most %v", slow, r, a.starts, took, b.m.Longest())
			}
			if starts < 3 && !strings.Contains(r.Reason.Error(), "longer than anybody waits") {
				t.Error(r.Reason)
			}
		})
	}
}

// An appliance that was ready and is not any more when the key is due is no fault,
// however often; one that refuses while it says that it is ready is one.
func TestApplianceRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &bar{startErr: errors.New("nothing was pressed")}
		b := setUpBar(t, t.TempDir(), a)
		set := func(f func()) { _ = a.do(func() error { f(); return nil }) }
		make := func(n int) Report {
			return b.m.Make(t.Context(), Job{Order: fmt.Sprint(n), Epoch: 1, Drink: recipe.Drink{Size: "small"}})
		}
		for n := range 5 {
			after(6 * s)
			set(func() { a.onStart = func() { a.notReady = true } })
			began := time.Now()
			r := make(n)
			if r.Outcome != journal.Untouched || !strings.Contains(r.Reason.Error(), "nothing was pressed") || time.Since(began) > s {
				t.Errorf("%+v after %v", r, time.Since(began))
			}
			after(s / 10)
			if st := b.m.Status(); st.State != "blocked" || !strings.Contains(st.Reason.Error(), "rinsed") {
				t.Errorf("%+v", st)
			}
			set(func() { a.notReady, a.onStart = false, nil })
		}
		for n := range 3 {
			after(time.Minute)
			if r := make(10 + n); r.Outcome != journal.Untouched || !strings.Contains(r.Reason.Error(), "nothing was pressed") {
				t.Errorf("%+v", r)
			}
		}
		after(s / 10)
		if st := b.m.Status(); st.State != "fault" || !strings.Contains(st.Reason.Error(), "3 ×") {
			t.Errorf("%+v", st)
		}
	})
}

func TestApplianceLateAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUpBar(t, t.TempDir(), &bar{})
		job := Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "small"}, Deadline: time.Now()}
		if r := b.m.Make(t.Context(), job); !r.Late || b.bar.starts != 0 {
			t.Fatalf("%+v", r)
		}
		job.Deadline = time.Now().Add(s)
		if r := b.m.Make(t.Context(), job); r.Outcome != journal.Made || b.bar.starts != 1 {
			t.Fatalf("%+v", r)
		}
		after(s) // it is asked again
		out := make(chan Report, 1)
		go func() {
			out <- b.m.Make(context.Background(), Job{Order: "o2", Epoch: 1, Drink: recipe.Drink{Size: "small"}})
		}()
		after(5 * s)
		b.stop()
		if r := <-out; r.Outcome != journal.Spoiled || b.bar.stops != 1 {
			t.Errorf("the service ended: %+v, %d stops", r, b.bar.stops)
		}
	})
}

// After a crash the counter tells what came of the start.
func TestRecoverByCounter(t *testing.T) {
	for _, c := range []struct {
		name   string
		bar    *bar
		note   journal.Note
		out    journal.Outcome
		failed bool
	}{
		{"rose", &bar{count: 42}, journal.Note{Counter: 41}, journal.Made, false},
		{"did not rise", &bar{count: 41}, journal.Note{Counter: 41}, journal.Untouched, false},
		{"half", &bar{count: 42}, journal.Note{Counter: 41, Cycles: 2}, journal.Spoiled, false},
		{"fell", &bar{count: 1}, journal.Note{Counter: 41}, journal.Unknown, false},
		{"no note", &bar{count: 42}, journal.Note{Counter: -1}, journal.Unknown, false},
		{"no counter any more", &bar{noCounter: true}, journal.Note{Counter: 41}, journal.Unknown, false},
		{"still at it", &bar{count: 41, busyTil: time.Now().AddDate(-30, 0, 0), cycle: true}, journal.Note{Counter: 41}, journal.Made, false},
		{"gone", &bar{gone: true}, journal.Note{Counter: 41}, "", true},
		{"busy for ever", &bar{hangs: true, starts: 1}, journal.Note{Counter: 41}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				j, err := journal.Open(filepath.Join(dir, "journal"), driver.Identity{Kind: "bar 7"}, guard.Place{})
				k := journal.Key{Order: "o1", Epoch: 1}
				if err = errors.Join(err, j.Start(k, c.note), j.Close()); err != nil {
					t.Fatal(err)
				}
				if c.bar.cycle {
					c.bar.busyTil = time.Now().Add(20 * time.Second)
				}
				b := setUpBar(t, dir, c.bar)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				recs, err := b.m.Recover(ctx)
				if (err != nil) != c.failed {
					t.Fatalf("%v, %v", recs, err)
				}
				st := b.j.State(k)
				if c.failed {
					if st.Phase != journal.Started || b.m.Able(recipe.Drink{Size: "small"}) == nil {
						t.Errorf("not settled, and yet %v", st)
					}
					return
				}
				if st.Outcome != c.out || len(recs) != 1 || recs[0].Key != k || recs[0].Outcome != c.out {
					t.Errorf("%v, %+v, want %s", st, recs, c.out)
				}
				if c.bar.starts > 1 || slices.Contains([]string{"gone"}, c.name) {
					t.Error("a key was pressed")
				}
			})
		})
	}
}

func TestApplianceNeedsProducts(t *testing.T) {
	rig, err := guard.New(driver.Rig{Appliance: &bar{}}, guard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	_, err = New(rig, nil, Plan{Name: "otto", Cup: CupAttended}, Config{})
	_, err2 := New(rig, nil, Plan{Name: "otto", Cup: CupAttended, Products: map[string]driver.Product{"small": {Cycles: 9}}}, Config{})
	if err == nil || err2 == nil {
		t.Errorf("%v, %v", err, err2)
	}
}

// TestApplianceUnwanted: its customer stops a drink while the appliance is still asked
// whether it is ready, and that question comes to nothing: untouched because of the
// customer, so that nobody else makes it either.
func TestApplianceUnwanted(t *testing.T) {
	for name, change := range map[string]func(a *bar){
		"it says ready":      func(*bar) {},
		"it says not ready":  func(a *bar) { a.notReady = true },
		"it does not answer": func(a *bar) { a.gone = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &bar{slowly: 2 * s}
				b := setUpBar(t, t.TempDir(), a)
				after(20 * s)
				out := make(chan Report, 1)
				go func() {
					out <- b.m.Make(context.Background(), Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "small"}})
				}()
				after(s)
				if err := b.m.StopDrink("o2"); err == nil {
					t.Error("another one's was stopped")
				}
				if err := b.m.StopDrink("o1"); err != nil {
					t.Fatal(err)
				}
				a.mu.Lock()
				change(a)
				a.mu.Unlock()
				if r := <-out; r.Outcome != journal.Untouched || r.Reason.Code != string(Unwanted) || a.starts != 0 {
					t.Errorf("%+v, %d keys", r, a.starts)
				}
				if st := b.m.Status(); st.State == "fault" {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

package station

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/mock"
	"barista/machine"
	"barista/machine/calibration"
	"barista/machine/recipe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// metal is a mock that tells what is done to it.
type metal struct {
	*testing.T
	ctl   *mock.Control
	did   *[]string
	open  error
	rest  func() error
	found func(*driver.Rig)
}

func (m *metal) say(what string) { *m.did = append(*m.did, what) }

func (m *metal) Open(*slog.Logger) (driver.Rig, error) {
	m.say("open")
	if m.open != nil {
		return driver.Rig{}, m.open
	}
	rig, ctl, err := mock.Open(mock.Config{})
	if err != nil {
		m.Fatal(err)
	}
	m.ctl = ctl
	inner := rig.Close
	rig.Close = func() error {
		m.say("close")
		return inner()
	}
	if m.found != nil {
		m.found(&rig)
	}
	return rig, nil
}

func (m *metal) Rest() error {
	m.say("rest")
	if m.rest != nil {
		return m.rest()
	}
	return nil
}

// plan is that of the mock.
func plan(t *testing.T) machine.Plan {
	t.Helper()
	rig, _, err := mock.Open(mock.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close()
	return machine.Plan{Name: "zoe", Cup: machine.CupAttended}.Of(rig)
}

func config(t *testing.T) (Config, *metal) {
	m := &metal{T: t, did: new([]string)}
	return Config{
		Dir: Folder(t.TempDir(), "zoe"), Plan: plan(t), Metal: m, Text: []byte("machine: zoe\n"), Log: slog.New(slog.DiscardHandler),
	}, m
}

func opened(t *testing.T, c Config) *Station {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// While one drives, a second one touches nothing, neither to drive nor to put at
// rest; and when the first has ended both may.
func TestOnlyOneDrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := config(t)
		s := opened(t, c)
		second := &metal{T: t, did: new([]string)}
		other := c
		other.Metal = second
		begun := time.Now()
		_, err := Open(t.Context(), other)
		if e, is := errors.AsType[*DrivenError](err); !is || e.Dir != c.Dir || err.Error() != "another process drives this machine ("+c.Dir+")" {
			t.Errorf("a second process: %v", err)
		}
		if waited := time.Since(begun); waited < RestTime || waited > RestTime+2*time.Second {
			t.Errorf("it waited %v: a safe-off takes up to %v", waited, RestTime)
		}
		if _, driven := errors.AsType[*DrivenError](Rest(c.Dir, second, c.Plan)); !driven {
			t.Error("put at rest while another process drives")
		}
		if len(*second.did) > 0 {
			t.Errorf("the second one did %v", *second.did)
		}
		if _, err := os.Stat(Copies(filepath.Dir(c.Dir))[0]); err != nil {
			t.Errorf("it took the first one's copy away: %v", err)
		}
		stop := errors.New("asked to end")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		if _, err := Open(ctx, other); !errors.Is(err, stop) {
			t.Errorf("told to end while it waited: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := Rest(c.Dir, second, c.Plan); err != nil || !slices.Equal(*second.did, []string{"rest"}) {
			t.Errorf("after the end: %v, did %v", err, *second.did)
		}
		opened(t, other)
	})
}

// One that waits for a safe-off gets its turn.
func TestLockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		lock, err := Lock(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(RestTime, func() { _ = lock.Close() })
		next, err := Lock(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		next.Close()
	})
}

// The copy is there before the metal is opened, and until it is closed; a clean
// end, and a metal that does not answer, leave none over.
func TestRunningCopy(t *testing.T) {
	c, m := config(t)
	state := filepath.Dir(c.Dir)
	there := func() bool {
		list := Copies(state)
		if len(list) != 1 || filepath.Dir(list[0]) != c.Dir {
			return false
		}
		text, err := os.ReadFile(list[0])
		return err == nil && string(text) == string(c.Text)
	}
	m.found = func(rig *driver.Rig) {
		if !there() {
			t.Error("no copy when the metal is opened")
		}
		inner := rig.Close
		rig.Close = func() error {
			if !there() {
				t.Error("no copy when the metal is closed")
			}
			if _, driven := errors.AsType[*DrivenError](Rest(c.Dir, m, c.Plan)); !driven {
				t.Error("no lock when the metal is closed")
			}
			return inner()
		}
	}
	s := opened(t, c)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if list := Copies(state); len(list) > 0 {
		t.Errorf("left over: %v", list)
	}
	m.open = driver.ErrGone
	if _, err := Open(t.Context(), c); !errors.Is(err, driver.ErrGone) {
		t.Error(err)
	}
	if list := Copies(state); len(list) > 0 {
		t.Errorf("left over by a machine that never was: %v", list)
	}
	if list := Copies(""); len(list) > 0 {
		t.Errorf("of no folder: %v", list)
	}
}

// What was measured goes before what the file says, part by part; a damaged one
// keeps the machine from starting before its metal is touched.
func TestCalibrationInForce(t *testing.T) {
	c, m := config(t)
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	here, err := calibration.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.Keep(driver.Pump, calibration.Rate{PerSecond: 7, Delay: 500 * time.Millisecond}, "ada", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := here.Swap(driver.Milk, "ada", "it leaked", time.Now()); err != nil {
		t.Fatal(err)
	}
	written := recipe.Calibration{PumpMLPS: 3, MilkMLPS: 4}
	if p, _, err := InForce(c.Plan, c.Dir); err != nil || p.Calibration.MilkMLPS == 0 {
		t.Errorf("the usual figures are gone: %+v %v", p.Calibration, err)
	}
	c.Plan.Calibration = written.Over(recipe.DefaultCalibration())
	c.Plan.Calibration.Speed = 10
	c.Plan.Calibration.PumpMLPS, c.Plan.Calibration.MilkMLPS = 30, 40
	s := opened(t, c)
	x := s.Machine.Plan().Calibration
	if !slices.Equal(s.Swapped, []string{"milk"}) {
		t.Errorf("swapped: %q", s.Swapped)
	}
	if x.PumpMLPS != 70 || x.MilkMLPS != 40 || x.StartDelay[driver.Pump] != 50*time.Millisecond {
		t.Errorf("%+v", x)
	}
	plan, here, err := InForce(c.Plan, c.Dir)
	if err != nil || plan.Calibration.PumpMLPS != 70 {
		t.Errorf("%+v %v", plan.Calibration, err)
	}
	from := map[driver.Part]string{}
	for _, f := range Calibration(written, plan, here) {
		from[f.Part] = f.From
		if so := f.Swapped != nil; so != (f.Part == driver.Milk) || so && f.Swapped.Why != "it leaked" {
			t.Errorf("swapped: %+v", f)
		}
		if f.Part == driver.Pump && (f.PerSecond != 7 || f.DelayMS != 500 || f.By != "ada" || f.Version != 1) {
			t.Errorf("in the machine's own time: %+v", f)
		}
	}
	if from[driver.Pump] != "measured" || from[driver.Milk] != "file" || from[driver.Grinder] != "usual" {
		t.Errorf("from %v", from)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, calibration.Name), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	*m.did = nil
	_, err = Open(t.Context(), c)
	if _, damaged := errors.AsType[*calibration.DamagedError](err); !damaged || len(*m.did) > 0 {
		t.Errorf("damaged: %v, did %v", err, *m.did)
	}
	if lock, err := Lock(t.Context(), c.Dir); err != nil {
		t.Errorf("a machine that did not start holds its lock: %v", err)
	} else {
		lock.Close()
	}
}

// far is metal that only says by its rig what it is.
type far struct{ *metal }

func (f far) Opened(plan machine.Plan, rig driver.Rig) (machine.Plan, error) {
	if f.ctl == nil {
		return plan, errors.New("asked before it was opened")
	}
	plan.Calibration.PumpMLPS = 11
	return plan.Of(rig), nil
}

// What is only known by the opened rig has its own figures, and what was measured
// goes before them too.
func TestElsewhere(t *testing.T) {
	c, m := config(t)
	c.Plan, c.Metal = machine.Plan{Name: "zoe", Cup: machine.CupAttended}, far{m}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	here, err := calibration.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.Keep(driver.Grinder, calibration.Rate{PerSecond: 2}, "ada", time.Now()); err != nil {
		t.Fatal(err)
	}
	s := opened(t, c)
	if p := s.Machine.Plan(); p.Calibration.PumpMLPS != 11 || p.Calibration.GrinderGPS != 2 || !p.Has(driver.Pump) {
		t.Errorf("%+v", p)
	}
}

// Rest names what may be on: as its metal says it, or by the plan, also when no
// answer comes in time. It leaves nothing in a folder where nothing was.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := config(t)
		never := make(chan struct{})
		for _, x := range []struct {
			name string
			rest func() error
			plan machine.Plan
			want string
		}{
			{"well", nil, c.Plan, ""},
			{"named", func() error { return &driver.MayBeOnError{What: "relay 3", Err: driver.ErrGone} }, c.Plan, "relay 3"},
			{"not named", func() error { return driver.ErrGone }, c.Plan, "grinder, pump"},
			{"nothing known", func() error { return driver.ErrGone }, machine.Plan{}, "any output"},
			{"no answer", func() error { <-never; return nil }, c.Plan, "grinder, pump"},
		} {
			m.rest = x.rest
			begun := time.Now()
			err := Rest(c.Dir, m, x.plan)
			if time.Since(begun) > RestTime {
				t.Errorf("%s: it took %v", x.name, time.Since(begun))
			}
			on, named := errors.AsType[*driver.MayBeOnError](err)
			if named != (x.want != "") || named && !strings.HasPrefix(on.What, x.want) {
				t.Errorf("%s: %v, want %q", x.name, err, x.want)
			}
		}
		close(never)
		synctest.Wait() // the one without an answer comes back now
		if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it made the folder: %v", err)
		}
		if err := os.MkdirAll(c.Dir, 0o750); err != nil {
			t.Fatal(err)
		}
		m.rest = nil
		if err := Rest(c.Dir, m, c.Plan); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
			t.Errorf("it left %v behind: %v", left, err)
		}
	})
}

// The machine ends first, and its loop is said to have ended; then the guard;
// then all is given back, the lock last.
func TestOrderOfEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := config(t)
		alive := 0
		var s *Station
		c.Alive = func() { alive++ }
		c.Ended = func() {
			m.say("machine")
			if err := s.Guard.Close(); err == nil {
				t.Error("the guard ended before its machine")
			}
		}
		s = opened(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		looked := s.Machine.Changed()
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		<-looked
		synctest.Wait()
		if alive == 0 {
			t.Error("no sign of life")
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if want := []string{"open", "machine", "close"}; !slices.Equal(*m.did, want) {
			t.Errorf("it did %v, want %v", *m.did, want)
		}
	})
}

// A guard that can't work ends the machine too, and says why.
func TestGuardEndsMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := config(t)
		s := opened(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Guard.Run(ctx); err != nil { // its one run
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "guard: ") {
			t.Errorf("%v", err)
		}
	})
}

// A person has the machine until work returns; a part that is on is off then, and
// all is closed. Told to end before the first look, work is not called.
func TestLend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, m := config(t)
		s := opened(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		called := 0
		if err := s.Lend(ctx, func(ctx context.Context) {
			called++
			_, err := s.Machine.Try(ctx, s.Machine.ShortTry(driver.Grinder))
			if err == nil || ctx.Err() == nil {
				t.Errorf("not interrupted: %v", err)
			}
		}); err != nil {
			t.Error(err)
		}
		edges := m.ctl.Plant().Edges()
		if called != 1 || len(edges) != 2 || edges[1].On || len(s.Guard.OnNow()) > 0 {
			t.Errorf("called %d times, the metal did %v", called, edges)
		}
		if last := (*m.did)[len(*m.did)-1]; last != "close" {
			t.Errorf("the metal is not given back: %v", *m.did)
		}
		again := opened(t, c)
		if err := again.Lend(ctx, func(context.Context) { t.Error("called after the end") }); err != nil {
			t.Error(err)
		}
	})
}

func TestOwn(t *testing.T) {
	if err := Own(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := Own(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder of somebody else")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Skip(err)
	}
	if e, is := errors.AsType[*ForeignError](Own(dir)); !is || e.Owner != 12345 || e.Dir != dir {
		t.Error(Own(dir))
	}
}

package gpio

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// contacted is a machine on the fake chip whose pump has a contact.
func contacted(t *testing.T, f *fake) (m *machine.Machine, g *guard.Rig, weak func(string)) {
	t.Helper()
	cfg := wiring()
	cfg.Flow = nil
	cfg.Outputs[driver.Pump] = Output{Line: "GPIO27", Active: High, Deadman: driver.DeadmanExternal,
		Feedback: &Feedback{Switch: Switch{Line: "GPIO24", Active: Low}}}
	f.line(24).follows = f.line(27)
	f.line(22).wire = true // hot
	h, root := f.host(), t.TempDir()
	h.files = os.DirFS(root)
	put := func(name, text string) { // at once, as the kernel does
		t.Helper()
		name = filepath.Join(root, hwmon, "hwmon0", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name+".new", []byte(text), 0o600), os.Rename(name+".new", name)); err != nil {
			t.Fatal(err)
		}
	}
	put("name", "rpi_volt\n")
	weak = func(alarm string) { put("in0_lcrit_alarm", alarm+"\n") }
	weak("0")
	rig, err := open(h, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for p, w := range rig.Outputs {
		w.Output = expected{w.Output, f, lines[p]}
		rig.Outputs[p] = w
	}
	plan := machine.Plan{Name: "zoe", Cup: machine.CupAttended}.Of(rig)
	g, err = guard.New(rig, plan.Guard)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), driver.Identity{Kind: "gpio"}, guard.Place{})
	if err != nil {
		t.Fatal(err)
	}
	m, err = machine.New(g, j, plan, machine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	guarding, stopGuard := context.WithCancel(t.Context())
	gone, done := make(chan error, 1), make(chan error, 1)
	go func() { gone <- g.Run(guarding) }()
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		stopGuard()
		<-gone
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		_ = j.Close()
	})
	synctest.Wait()
	return m, g, weak
}

var espresso = recipe.Drink{Size: "small", Grams: 9, WaterML: 40}

// A relay whose contact closes by itself, at any moment: seen within 250 ms
// while something is on and within a second at rest, by its own name.
func TestContactSeenByMachine(t *testing.T) {
	for name, c := range map[string]struct {
		at     time.Duration // in a drink: 7.5 s of grinding, then the pump; < 0: at rest
		change func(*fake)
		within time.Duration
	}{
		"at rest":              {-1, func(f *fake) { f.line(24).follows, f.line(24).wire = nil, false }, time.Second},
		"while it grinds":      {3 * time.Second, func(f *fake) { f.line(24).follows, f.line(24).wire = nil, false }, 250 * time.Millisecond},
		"opens while it pours": {9 * time.Second, func(f *fake) { f.line(24).follows, f.line(24).wire = nil, true }, 250 * time.Millisecond},
		"the wire is gone":     {9 * time.Second, func(f *fake) { f.line(24).valueErr = syscall.EIO }, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				m, g, _ := contacted(t, f)
				report := make(chan machine.Report, 1)
				if c.at >= 0 {
					go func() { report <- m.Make(context.Background(), machine.Job{Order: "o1", Epoch: 1, Drink: espresso}) }()
				}
				time.Sleep(max(c.at, 3300*time.Millisecond))
				f.mu.Lock()
				c.change(f)
				f.mu.Unlock()
				began := time.Now()
				<-g.Tripped()
				synctest.Wait()
				if took := time.Since(began); took > c.within {
					t.Errorf("seen after %v", took)
				}
				for part, l := range lines {
					if f.on(l) {
						t.Errorf("%s is on", part)
					}
				}
				if c.at >= 0 {
					if r := <-report; r.Outcome != journal.Spoiled || r.Reason.Code != string(machine.Feedback) {
						t.Errorf("%+v", r)
					}
				}
				time.Sleep(time.Second) // an Off waits for the contact
				synctest.Wait()
				if st := m.Status(); st.State != "fault" || st.Reason.Code != string(machine.Feedback) {
					t.Errorf("%+v", st)
				}
				// Nobody clears it while the contact still says so.
				if name == "at rest" && m.ClearFault("zoe", "looked") == nil {
					t.Error("cleared, and the pump may be on")
				}
				f.mu.Lock()
				f.line(24).follows, f.line(24).valueErr = f.line(27), nil
				f.mu.Unlock()
				if err := m.ClearFault("zoe", "a new relay"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A relay that welds while it is on is seen by the driver, as it goes off.
func TestWeldedInMidDrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		m, _, _ := contacted(t, f)
		report := make(chan machine.Report, 1)
		go func() { report <- m.Make(context.Background(), machine.Job{Order: "o1", Epoch: 1, Drink: espresso}) }()
		time.Sleep(9 * time.Second)
		f.mu.Lock()
		f.line(24).follows, f.line(24).wire = nil, false // says on, whatever is commanded
		f.mu.Unlock()
		if r := <-report; r.Outcome != journal.Spoiled || r.Reason.Code != string(machine.Feedback) || !strings.Contains(r.Reason.Quote, "a welded relay?") {
			t.Errorf("%+v", r)
		}
		f.mu.Lock()
		f.line(24).follows = f.line(27)
		f.mu.Unlock()
	})
}

// The supply's flag keeps a drink from beginning.
func TestSupplySeenByMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		m, _, weak := contacted(t, f)
		weak("1")
		time.Sleep(2 * time.Second)
		if r := m.Make(t.Context(), machine.Job{Order: "o1", Epoch: 1, Drink: espresso}); r.Outcome != journal.Untouched || !strings.HasPrefix(r.Reason.Error(), "power") {
			t.Errorf("%+v", r)
		}
		weak("0")
		time.Sleep(2 * time.Second)
		if r := m.Make(t.Context(), machine.Job{Order: "o1", Epoch: 2, Drink: espresso}); r.Outcome != journal.Made {
			t.Errorf("%+v", r)
		}
	})
}

package gpio

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine"
	"barista/machine/journal"
)

// A person tries the parts of a machine on lines: each goes on once for its time,
// a contact that follows is good, one that does not ends it with the line at rest.
func TestTryOnLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.allow(17, 5)
		f.set(22, true) // hot
		cfg := wiring()
		cfg.Flow = nil
		milk := cfg.Outputs[driver.Milk]
		milk.Feedback = &Feedback{Switch: Switch{Line: "GPIO24", Active: Low}}
		cfg.Outputs[driver.Milk] = milk
		f.line(24).follows = f.line(5)
		rig := mustOpen(t, f, cfg)
		plan := machine.Plan{Name: "zoe", Cup: machine.CupAttended}.Of(rig)
		g, err := guard.New(rig, plan.Guard)
		if err != nil {
			t.Fatal(err)
		}
		j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), driver.Identity{Kind: "gpio"}, guard.Place{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := machine.New(g, j, plan, machine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		gctx, gstop := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- g.Run(gctx) }()
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()

		f.mu.Lock()
		f.trace = nil
		f.mu.Unlock()
		begun := time.Now()
		for _, p := range []driver.Part{driver.Grinder, driver.Milk} {
			if x, err := m.Try(t.Context(), m.ShortTry(p)); err != nil || x.On != time.Second {
				t.Errorf("%s: %+v, %v", p, x, err)
			}
		}
		// Rest is written again and again; only what changes a level counts.
		level := map[string]string{"GPIO17": "low", "GPIO5": "high"}
		var switched []string
		f.mu.Lock()
		trace := slices.Clone(f.trace)
		f.mu.Unlock()
		for _, x := range trace {
			if line, to, _ := strings.Cut(x, " "); level[line] != "" && level[line] != to {
				level[line] = to
				switched = append(switched, x)
			}
		}
		if d := cmp.Diff([]string{"GPIO17 high", "GPIO17 low", "GPIO5 low", "GPIO5 high"}, switched); d != "" {
			t.Error(d)
		}
		if took := time.Since(begun); took > 2100*time.Millisecond {
			t.Errorf("it took %v", took)
		}

		f.mu.Lock()
		f.line(24).follows = nil // the contact stays open: the relay does not obey
		f.mu.Unlock()
		f.set(24, true)
		if _, err := m.Try(t.Context(), m.ShortTry(driver.Milk)); err == nil || !strings.Contains(err.Error(), "GPIO24") {
			t.Errorf("a relay that does not obey: %v", err)
		}
		synctest.Wait()
		if f.on(5) || m.Status().State != "fault" {
			t.Errorf("on %v, %+v", f.on(5), m.Status())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		gstop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		j.Close()
	})
}

// Package machinetest is the machine's software over somebody's rig, for the
// tests of drivers: what their metal does when real drinks are ordered from it,
// through guard, journal and owner loop, in the fake time of testing/synctest. It
// must not be linked into the program.
package machinetest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
	"barista/machine/station"
)

// Station is a machine that runs, as the service has it.
type Station struct {
	*machine.Machine
	Journal *journal.Journal

	// Stop ends it, in the order of the service; the rig is closed by whoever
	// opened it. A second call does nothing.
	Stop func()
}

// Over runs a machine over the rig, with its journal in the folder. An empty name
// is ada's, an empty cup stands under the eyes of a person.
func Over(t testing.TB, rig driver.Rig, dir string, limits guard.Config, plan machine.Plan) *Station {
	t.Helper()
	rig.Close = func() error { return nil }
	if plan.Name == "" {
		plan.Name = "ada"
	}
	if plan.Cup == "" {
		plan.Cup = machine.CupAttended
	}
	plan.Guard = limits
	s, err := station.Open(t.Context(), station.Config{Dir: dir, Plan: plan.Of(rig), Metal: given{rig}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	return &Station{s.Machine, s.Machine.Journal(), sync.OnceFunc(func() {
		end()
		running.Wait()
		_ = s.Close()
	})}
}

// given is metal that is open already.
type given struct{ rig driver.Rig }

func (g given) Open(*slog.Logger) (driver.Rig, error) { return g.rig, nil }
func (given) Rest() error                             { return nil }

// Drink waits until the drink could be begun, for five minutes, and makes it;
// false if it never could.
func (s *Station) Drink(order string, d recipe.Drink) (machine.Report, bool) {
	for late := time.Now().Add(5 * time.Minute); s.Able(d) != nil; time.Sleep(time.Second) {
		if time.Now().After(late) {
			return machine.Report{}, false
		}
	}
	return s.Make(context.Background(), machine.Job{Order: order, Epoch: 1, Drink: d}), true
}

// Package machinetest is the machine's software over somebody's rig, for the
// tests of drivers: what their metal does when real drinks are ordered from it,
// through guard, journal and owner loop, in the fake time of testing/synctest. It
// must not be linked into the program.
package machinetest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
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
	rig.Close = nil
	if plan.Name == "" {
		plan.Name = "ada"
	}
	if plan.Cup == "" {
		plan.Cup = machine.CupAttended
	}
	plan.Guard = limits
	plan = plan.Of(rig)
	g, err := guard.New(rig, plan.Guard)
	if err != nil {
		t.Fatal(err)
	}
	id := rig.Identity
	j, err := journal.Open(filepath.Join(dir, "journal"), id.Kind+"/"+id.Model+"/"+id.Serial)
	if err != nil {
		t.Fatal(err)
	}
	m, err := machine.New(g, j, plan, machine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	machineCtx, endMachine := context.WithCancel(context.Background())
	guardCtx, endGuard := context.WithCancel(context.Background())
	var machines, guards sync.WaitGroup
	guards.Go(func() { _ = g.Run(guardCtx) })
	machines.Go(func() { _ = m.Run(machineCtx) })
	return &Station{m, j, sync.OnceFunc(func() {
		endMachine()
		machines.Wait()
		endGuard()
		guards.Wait()
		_ = g.Close()
		_ = j.Close()
	})}
}

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

// Package station is one machine as a process: the folder that it keeps, the lock
// that makes this process the only one that drives it, a copy of the file that it
// runs by, the figures that were measured on it, its rig under a guard, its
// journal and its owner loop. After a death it puts the outputs at rest. Guard and
// journal remember each other: what was deleted, or put back as it was earlier, is
// missed by the other one, and a person must accept that before anything moves.
//
// Promises: a second process ends at the lock, before any line was touched. A
// damaged calibration ends Open there too. From before the first output is opened
// until all are seen off, the folder says by which file, so that Rest goes by what
// the dead process had in its hands, whatever a person has changed since. The
// machine ends first, then its guard, then journal, rig, copy and lock; a fault of
// machine or guard ends both.
//
// A service opens it before anything of the shop, calls Run, and Close after that.
// A person's verb that stands at the machine opens it in the same way and has it
// by Lend. Rest belongs to whoever comes after a dead process.
//
// It must never move anything by itself, know who ordered what, read a
// configuration, or wait for a network: the machine is at rest and looked after
// whoever is away.
package station

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine"
	"barista/machine/calibration"
	"barista/machine/journal"
)

// Metal is what the machine's kind can do with its wires.
type Metal interface {
	// Open takes them, at rest.
	Open(log *slog.Logger) (driver.Rig, error)
	// Rest puts every output at rest, also those that a dead process has left on.
	// The error names what may still be on.
	Rest() error
}

// Elsewhere is metal that only says when it is opened what it is.
type Elsewhere interface {
	Opened(plan machine.Plan, rig driver.Rig) (machine.Plan, error)
}

// Config is what a station needs.
type Config struct {
	Dir   string       // see Folder; made if it is not there
	Plan  machine.Plan // as the file says; what was measured here goes before it
	Metal Metal
	Text  []byte // of the file, as it was read; none: no copy is kept
	Log   *slog.Logger

	Alive func() // called at each turn of the owner loop; may be nil
	Ended func() // called when the owner loop has ended; may be nil
	// Through stands between driver and guard, for tests: it hands on what it gets,
	// or something that breaks. The program has none.
	Through func(driver.Rig) driver.Rig
}

// Station is one machine of this process.
type Station struct {
	Machine *machine.Machine
	Guard   *guard.Rig
	Swapped []string // parts that were swapped and not measured since

	ended  func()
	opened []func() error // closes what was opened, in that order
}

// Open locks the folder and takes the metal and the journal. Nothing moves. Its
// errors are for a person; a *DrivenError and a *calibration.DamagedError won't
// pass by themselves.
func Open(ctx context.Context, c Config) (*Station, error) {
	s := &Station{ended: c.Ended}
	if err := s.open(ctx, c); err != nil {
		_ = s.Close() // why it was not opened is what counts
		return nil, err
	}
	return s, nil
}

func (s *Station) open(ctx context.Context, c Config) error {
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return err
	}
	lock, err := Lock(ctx, c.Dir)
	if err != nil {
		return err
	}
	s.opened = append(s.opened, lock.Close)
	plan, here, err := InForce(c.Plan, c.Dir)
	if err != nil {
		return err
	}
	sayCalibration(c.Log, here)
	for _, p := range calibration.Parts {
		if _, so := here.Swapped(p); so && plan.Has(p) {
			s.Swapped = append(s.Swapped, string(p))
		}
	}
	if len(c.Text) > 0 {
		if err := keepRunning(c.Dir, c.Text); err != nil {
			c.Log.Warn("after a crash the outputs will be put at rest by the file as it is then, not as it is now", "err", err)
		}
		s.opened = append(s.opened, func() error { return dropRunning(c.Dir) })
	}
	metal, err := c.Metal.Open(c.Log)
	if err != nil {
		return err
	}
	if e, is := c.Metal.(Elsewhere); is {
		if plan, err = e.Opened(c.Plan, metal); err != nil {
			return errors.Join(err, metal.Close())
		}
		plan = over(plan, here)
	}
	if c.Through != nil {
		metal = c.Through(metal)
	}
	plan.Guard.State = c.Dir
	if s.Guard, err = guard.New(metal, plan.Guard); err != nil {
		return errors.Join(err, metal.Close())
	}
	s.opened = append(s.opened, s.Guard.Close)
	j, err := journal.Open(filepath.Join(c.Dir, "journal"), metal.Identity, s.Guard.Known())
	if err != nil {
		return err
	}
	s.opened = append(s.opened, j.Close)
	if err := s.Guard.Join(j); err != nil {
		return err
	}
	if what, bad := j.Damaged(); bad {
		c.Log.Error("the journal was damaged, the machine is locked until a person accepts that", "what", what)
	}
	if l, latched := s.Guard.Latched(); latched {
		c.Log.Error("the machine is locked by a fault until a person clears it", "fault", l.String(), "since", l.At)
	}
	if was, now, is := j.Moved(); is {
		c.Log.Error("the board hangs on another port than it did, and nothing tells whether it is the same one: the machine is locked until a person says so", "was", was, "now", now)
	}
	wear, err := machine.OpenWear(filepath.Join(c.Dir, "wear.json"))
	if err != nil {
		c.Log.Warn("what was counted until the next cleaning can't be read: it is counted from now on", "err", err)
	}
	s.Machine, err = machine.New(s.Guard, j, plan, machine.Config{Alive: c.Alive, Log: c.Log, Wear: wear})
	return err
}

// Run works until ctx ends: guard and machine. When it returns, every output is
// off, or the error says which is not. Once in the life of a Station.
func (s *Station) Run(ctx context.Context) error {
	machineCtx, endMachine := context.WithCancel(ctx)
	defer endMachine()
	guardCtx, endGuard := context.WithCancel(context.WithoutCancel(ctx))
	defer endGuard()
	guarded := make(chan error, 1)
	go func() { // waited for below
		err := s.Guard.Run(guardCtx)
		if err == nil && guardCtx.Err() == nil {
			err = errors.New("ended by itself")
		}
		endMachine()
		guarded <- err
	}()
	err := s.Machine.Run(machineCtx)
	if s.ended != nil {
		s.ended()
	}
	endGuard()
	if e := <-guarded; e != nil {
		err = errors.Join(err, fmt.Errorf("guard: %w", e))
	}
	return err
}

// Lend lets work have the machine, from its first look at its sensors on, and
// closes everything when work has returned. work's context ends with ctx, and
// when machine or guard end by themselves; work is not called if that comes
// first. The error says what did not end well.
func (s *Station) Lend(ctx context.Context, work func(ctx context.Context)) error {
	looked := s.Machine.Changed() // its first look changes the status
	workCtx, stop := context.WithCancel(ctx)
	defer stop()
	runCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	ran := make(chan error, 1)
	go func() { // waited for below
		err := s.Run(runCtx)
		if runCtx.Err() != nil {
			err = nil // it was told to end; what is on is the guard's to say
		}
		stop()
		ran <- err
	}()
	select {
	case <-looked:
		if workCtx.Err() == nil {
			work(workCtx)
		}
	case <-workCtx.Done():
	}
	end()
	err := <-ran
	return errors.Join(err, s.Close())
}

// Close sees everything off once more and gives back what Open took. After Run
// returned, or without Run. A second Close does nothing.
func (s *Station) Close() error {
	var errs []error
	for _, shut := range slices.Backward(s.opened) {
		errs = append(errs, shut())
	}
	s.opened = nil
	return errors.Join(errs...)
}

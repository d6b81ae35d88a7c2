package guard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/guard"
)

// computer is a boot clock that follows the bubble's time.
type computer struct {
	boot  string
	start time.Time
}

func newComputer() *computer { return &computer{"first", time.Now().Add(-time.Hour)} }

func (c *computer) clock() (string, time.Duration) { return c.boot, time.Since(c.start) }

// reboot: another id, and the clock begins anew.
func (c *computer) reboot() { c.boot, c.start = c.boot+"+", time.Now() }

var restful = map[driver.Part]guard.Limits{
	grinder: {Rest: 30 * time.Second},
	pump:    {DutyOn: 20 * time.Second, DutyWindow: time.Minute},
}

func (c *computer) run(t *testing.T, f *drivertest.Fake, dir string) house {
	t.Helper()
	g, err := guard.Open(f.Rig(), guard.Config{Parts: restful, State: dir, Name: "zoe"}, c.clock)
	if err != nil {
		t.Fatal(err)
	}
	return house{g, t, f, start(t, g)}
}

// copyState is what a kill leaves: the folder as it is at this moment.
func copyState(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err == nil {
		return to
	}
	t.Fatal("can't copy", dir)
	return ""
}

func (h house) left(p driver.Part, want time.Duration) {
	h.t.Helper()
	if got := h.RestLeft(p); got != want {
		h.t.Errorf("%s: %v left, want %v", p, got, want)
	}
}

func TestRestSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
		h.on(grinder, 5*time.Second)
		h.renew(5 * time.Second)
		h.on(pump, 15*time.Second)
		h.on(milk, time.Second)
		h.renew(15 * time.Second) // off at 20 s
		if err := errors.Join(h.stop(), h.Close()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		h = c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
		h.left(grinder, 14*time.Second)
		h.left(milk, 0)
		h.left(pump, 0)
		if got := h.RestLeftFor(pump, 10*time.Second); got != 49*time.Second {
			t.Errorf("pump for 10s: %v", got)
		}
		is[*guard.RestError](t, h.On(grinder, time.Second))
		h.on(pump, 5*time.Second)
		_ = h.stop()
	})
}

// Nobody knows how long the power was away.
func TestFullRestAfterAReboot(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
		h.on(grinder, time.Second)
		h.off(grinder)
		_ = h.stop()
		time.Sleep(time.Hour)
		c.reboot()
		time.Sleep(time.Second)
		h = c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
		h.left(grinder, 30*time.Second)
		h.left(pump, 40*time.Second+1) // a duty used up
		h.left(milk, 0)
		time.Sleep(10 * time.Second)
		_ = h.stop()
		h = c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
		h.left(grinder, 20*time.Second) // the same boot: it goes on
		_ = h.stop()

		// A clock without an id says nothing about any earlier time.
		c.boot = ""
		h = c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
		_ = h.stop()
		time.Sleep(time.Minute)
		h = c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
		h.left(grinder, 30*time.Second)
		_ = h.stop()
	})
}

// Killed while the grinder and the pump were on: they went off when the next
// process opened the rig, no matter what the file knows.
func TestKilledWhileOn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		h.on(pump, 2*time.Second)
		h.renew(10 * time.Second)
		h.on(grinder, 20*time.Second)
		h.on(pump, 10*time.Second)
		h.renew(4 * time.Second)
		killed := copyState(t, dir)
		time.Sleep(time.Second)

		again := c.run(t, drivertest.NewFake(grinder, pump), killed)
		again.left(grinder, 30*time.Second)
		// The pump was on 0 to 2 and, as far as anybody knows, 10 to 15.
		if got := again.RestLeftFor(pump, 13*time.Second); got != 0 {
			t.Errorf("13s: %v", got)
		}
		if got := again.RestLeftFor(pump, 14*time.Second); got != 46*time.Second {
			t.Errorf("14s: %v", got)
		}
		again.unlatched()
		_ = again.stop()
		_ = h.stop()
	})
}

// Killed while everything was off: what went off before is remembered.
func TestKilledAtRest(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		h.on(grinder, 5*time.Second)
		h.renew(5 * time.Second)
		killed := copyState(t, dir)
		time.Sleep(12 * time.Second)
		again := c.run(t, drivertest.NewFake(grinder, pump), killed)
		again.left(grinder, 18*time.Second)
		_ = again.stop()
		_ = h.stop()
	})
}

// A rig that can't be opened is no fault of the machine: nothing is latched.
func TestFailedNewDoesNotLatch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		f := drivertest.NewFake(grinder, pump)
		h := c.run(t, f, dir)
		if err := errors.Join(h.stop(), h.Close()); err != nil {
			t.Error(err)
		}
		release := make(chan struct{})
		for _, fault := range []drivertest.Fault{{Err: driver.ErrGone}, {Block: release}} {
			f.Fault(pump, drivertest.Off, fault)
			if _, err := guard.Open(f.Rig(), guard.Config{State: dir}, c.clock); err == nil {
				t.Error("opened")
			}
		}
		close(release)
		synctest.Wait()
		f.Fault(pump, drivertest.Off, drivertest.Fault{})
		h = c.run(t, f, dir)
		h.unlatched()
		_ = h.stop()
	})
}

// A file from a clock that was ahead of this one can't shorten a rest.
func TestStateFromTheFuture(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		h.on(grinder, time.Second)
		h.off(grinder)
		_ = h.stop()
		c.start = time.Now()
		h = c.run(t, drivertest.NewFake(grinder, pump), dir)
		h.left(grinder, 30*time.Second)
		_ = h.stop()
	})
}

func TestLatchSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		h.on(pump, time.Second)
		h.Trip(guard.Latch{Cause: "no flow"})
		l, _ := h.Latched()
		killed := copyState(t, dir) // Trip came back: it is on disk
		_ = h.stop()
		for _, dir := range []string{dir, killed} {
			c.reboot()
			h = c.run(t, drivertest.NewFake(grinder, pump), dir)
			h.latched("no flow")
			if again, _ := h.Latched(); again != l {
				t.Errorf("%v became %v", l, again)
			}
			is[*guard.LatchedError](t, h.On(pump, time.Second))
			if err := h.Clear("ann\n", "the \"tank\" was empty\nreally"); err != nil {
				t.Error(err)
			}
			killed := copyState(t, dir)
			_ = h.stop()
			h = c.run(t, drivertest.NewFake(grinder, pump), killed)
			h.unlatched()
			_ = h.stop()

			line, err := os.ReadFile(filepath.Join(dir, "guard.log"))
			if err != nil || strings.Count(string(line), "\n") != 1 {
				t.Errorf("%q, %v", line, err)
			}
			var entry map[string]string
			if err := json.Unmarshal(line, &entry); err != nil {
				t.Error(err)
			}
			if entry["by"] != "ann" || entry["why"] != "the \"tank\" was empty\nreally" || entry["cause"] != "no flow" || entry["since"] == "" || entry["at"] == "" {
				t.Errorf("%v", entry)
			}
		}
	})
}

// A trip that the guard finds itself is on disk as soon as the outputs are off.
func TestOwnTripIsStored(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		f := drivertest.NewFake(grinder, pump, milk)
		h := c.run(t, f, dir)
		h.on(pump, 10*time.Second)
		h.on(milk, 10*time.Second)
		// Milk needs 200 ms to go off; the disk waits for it.
		f.Fault(milk, drivertest.Off, drivertest.Fault{Delay: 200 * time.Millisecond})
		time.Sleep(600 * time.Millisecond)
		h.latched("no sign of life")
		early := c.run(t, drivertest.NewFake(), copyState(t, dir))
		early.unlatched()
		_ = early.stop()
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		killed := copyState(t, dir)
		_ = h.stop()
		h = c.run(t, drivertest.NewFake(), killed)
		h.latched("no sign of life")
		_ = h.stop()
	})
}

// So is one behind a port that hangs.
func TestStuckIsStored(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		f := drivertest.NewFake(grinder, pump)
		h := c.run(t, f, dir)
		release := make(chan struct{})
		f.Fault(pump, drivertest.On, drivertest.Fault{Block: release})
		is[*guard.StuckError](t, h.On(pump, time.Second))
		synctest.Wait()
		killed := copyState(t, dir)
		again := c.run(t, drivertest.NewFake(grinder, pump), killed)
		again.latched("did not come back")
		_ = again.stop()
		close(release)
		_ = h.stop()
	})
}

func TestBrokenStateMeansLatchedAndRested(t *testing.T) {
	for _, broken := range []string{"", "barista guard 1 00000000\n{}", "barista guard 2 00000000\n{}"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "guard.state"), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			c := newComputer()
			h := c.run(t, drivertest.NewFake(grinder, pump, milk), dir)
			h.latched("what the guard remembered can't be read")
			h.left(grinder, 30*time.Second)
			h.left(pump, 40*time.Second+1)
			h.left(milk, 0)
			if err := h.Clear("ann", "the card was pulled"); err != nil {
				t.Error(err)
			}
			h.left(grinder, 30*time.Second)
			_ = h.stop()
		})
	}
}

// block puts something else in the place of the state, which no write gets past, and
// gives what takes it away again.
func block(t *testing.T, dir string, put func(path string) error) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "guard.state")
	if err := errors.Join(os.Rename(path, path+".aside"), put(path)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(path), os.Rename(path+".aside", path)); err != nil {
			t.Fatal(err)
		}
	}
}

func fifo(path string) error { return syscall.Mkfifo(path, 0o600) }

func folder(path string) error { return os.Mkdir(path, 0o700) }

// A disk that fails: the machine pours on, says so, and does not forget a latch
// that it could not write down as cleared.
func TestDiskFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		free := block(t, dir, folder)
		h.on(grinder, time.Second)
		h.off(grinder)
		h.Trip(guard.Latch{Cause: "no flow"})
		if err := h.Stored(); err == nil || !strings.HasPrefix(err.Error(), "zoe: can't remember") {
			t.Errorf("%v", err)
		}
		if err := h.Clear("ann", "why not"); err == nil || !strings.Contains(err.Error(), "can't remember") {
			t.Errorf("%v", err)
		}
		h.latched("no flow")
		free()
		if err := h.stop(); err != nil {
			t.Error(err)
		}
		h = c.run(t, drivertest.NewFake(grinder, pump), dir)
		h.latched("no flow")
		if err := h.Clear("ann", "why not"); err != nil {
			t.Error(err)
		}
		h.unlatched()
		if err := h.Stored(); err != nil {
			t.Error(err)
		}
		block(t, dir, folder)
		if err := h.stop(); err == nil || !strings.Contains(err.Error(), "can't remember") {
			t.Errorf("%v", err)
		}
		// And a machine does not start on such a disk.
		f := drivertest.NewFake(grinder, pump)
		if _, err := newRig(f.Rig(), guard.Config{State: dir, Name: "zoe"}); err == nil || !strings.Contains(err.Error(), "zoe: can't remember") {
			t.Errorf("%v", err)
		}
		if _, err := newRig(f.Rig(), guard.Config{State: filepath.Join(dir, "guard.rest", "x")}); err == nil || !strings.Contains(err.Error(), "no folder to remember") {
			t.Errorf("%v", err)
		}
	})
}

// A log that can't be written keeps the fault, and the disk has it: nothing would be
// forgotten. Nor is it a fault that the disk lacks where only the rests can't be written.
func TestFaultIsKept(t *testing.T) {
	for _, name := range []string{"guard.log", "guard.rest"} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			c := newComputer()
			h := c.run(t, drivertest.NewFake(grinder, pump), dir)
			if err := errors.Join(h.Kept(), os.RemoveAll(filepath.Join(dir, name)), folder(filepath.Join(dir, name))); err != nil {
				t.Fatal(err)
			}
			h.Trip(guard.Latch{Cause: "no flow"})
			if err := h.Clear("ann", "water is back"); err == nil || h.Stored() == nil {
				t.Errorf("%s: cleared: %v", name, err)
			}
			h.latched("no flow")
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if err := h.Kept(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			killed := copyState(t, dir)
			_ = h.stop()
			if err := os.Remove(filepath.Join(killed, name)); err != nil {
				t.Fatal(err)
			}
			h = c.run(t, drivertest.NewFake(grinder, pump), killed)
			h.latched("no flow")
			_ = h.stop()
		})
	}
}

// A new machine whose first state the disk did not take is a new machine at the next
// start too: nothing was forgotten.
func TestFirstWriteFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		full := filepath.Join(dir, "guard.state.new")
		if err := folder(full); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			f := drivertest.NewFake(grinder, pump)
			if _, err := newRig(f.Rig(), guard.Config{State: dir, Name: "zoe"}); err == nil || !strings.Contains(err.Error(), "zoe: can't remember") {
				t.Errorf("%v", err)
			}
		}
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		h.unlatched()
		h.on(grinder, time.Second)
		h.off(grinder)
		_ = h.stop()
	})
}

// A fault that the disk did not take is tried again, and is on it as soon as it can
// be: nobody has to do anything at the machine for that.
func TestFaultIsKeptLater(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		free := block(t, dir, folder)
		h.Trip(guard.Latch{Cause: "no flow"})
		for range 10 {
			time.Sleep(time.Minute)
			if h.Stored() == nil || h.Kept() == nil {
				t.Fatal("it says that the fault is on disk")
			}
		}
		turns := h.Turns()
		free()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if err := errors.Join(h.Stored(), h.Kept()); err != nil {
			t.Errorf("6 s after the disk is well: %v", err)
		}
		if n := turns; n > 300 {
			t.Errorf("it looked %d times in ten minutes", n)
		}
		killed := copyState(t, dir)
		turns = h.Turns()
		time.Sleep(time.Hour)
		if n := h.Turns() - turns; n > 1 {
			t.Errorf("all is on disk, and it looked %d times in an hour", n)
		}
		_ = h.stop()
		h = c.run(t, drivertest.NewFake(grinder, pump), killed)
		h.latched("no flow")
		_ = h.stop()
	})
}

// With no byte free on its disk a fault is on it all the same, and so are a rest and
// the end of the fault's latch but for who ended it.
func TestFullDisk(t *testing.T) {
	dir := small(t)
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		before, err := h.Free()
		if err != nil || before < 4096 || before > 1<<20 {
			t.Errorf("%d bytes are free, %v", before, err)
		}
		fill(t, dir)
		if free, err := h.Free(); free != 0 || err != nil {
			t.Errorf("%d bytes are free, %v", free, err)
		}
		h.on(grinder, time.Second)
		h.off(grinder)
		h.Trip(guard.Latch{Code: "no-flow", Cause: strings.Repeat("no water came; ", 30)})
		if err := h.Stored(); err != nil {
			t.Errorf("on a full disk: %v", err)
		}
		killed := copyState(t, dir)
		if err := h.Clear("ann", "the tank was empty"); err == nil || !strings.Contains(err.Error(), "can't record who cleared") {
			t.Errorf("cleared without a record: %v", err)
		}
		_ = h.stop()
		for _, dir := range []string{killed, dir} {
			h = c.run(t, drivertest.NewFake(grinder, pump), dir)
			h.latched("no water came")
			h.left(grinder, 30*time.Second)
			_ = h.stop()
		}
	})
}

// small is a disk of 128 KiB.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k,mode=0700"); err != nil {
		t.Skip("a small disk can't be had here:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes the last byte of a disk.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 1024))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// journal is a memory beside the guard's.
type journal struct {
	sync.Mutex
	written, durable, guard guard.Place
	fails                   error
}

func (j *journal) Place() (written, durable guard.Place) { return j.written, j.durable }

func (j *journal) Guard() guard.Place {
	j.Lock()
	defer j.Unlock()
	return j.guard
}

func (j *journal) Note(p guard.Place) error {
	j.Lock()
	defer j.Unlock()
	if j.fails == nil {
		j.guard = p
	}
	return j.fails
}

// The guard knows where the journal stood: all that was written as long as the kernel
// runs, what was on disk after another boot.
func TestKnowsTheJournal(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newComputer()
		j := &journal{written: guard.Place{ID: "a", At: 5}, durable: guard.Place{ID: "a", At: 3}}
		h := c.run(t, drivertest.NewFake(grinder, pump), dir)
		if got := h.Known(); got != (guard.Place{}) {
			t.Errorf("a new machine knows %v", got)
		}
		if err := h.Join(j); err != nil || j.guard.ID == "" {
			t.Errorf("%v, it knows %v", err, j.guard)
		}
		j.written.At, j.durable.At = 9, 8
		if err := h.Note(); err != nil {
			t.Error(err)
		}
		killed := copyState(t, dir)
		_ = h.stop()
		h = c.run(t, drivertest.NewFake(grinder, pump), killed)
		if got := h.Known(); got != j.written {
			t.Errorf("killed: it knows %v, want %v", got, j.written)
		}
		_ = h.stop()
		c.reboot()
		h = c.run(t, drivertest.NewFake(grinder, pump), killed)
		if got := h.Known(); got != (guard.Place{ID: "a", At: 3}) {
			t.Errorf("after a power cut it knows %v, want what was on disk when it was written", got)
		}
		_ = h.stop()
	})
}

// A state that is not the one that the journal knows, or an earlier one of it, is a
// fault, over restarts, until a person ends it; each of its own is none.
func TestJournalKnowsTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, j := newComputer(), &journal{durable: guard.Place{ID: "a", At: 1}}
		dir := t.TempDir()
		run := func() house {
			h := c.run(t, drivertest.NewFake(grinder, pump), dir)
			if err := h.Join(j); err != nil {
				t.Error(err)
			}
			return h
		}
		h := run()
		young := copyState(t, dir)
		for range 3 {
			h.unlatched()
			_ = h.stop()
			h = run()
		}
		h.Trip(guard.Latch{Cause: "no flow"})
		synctest.Wait()
		_ = h.stop()
		mine := j.Guard()
		old := copyState(t, dir)
		for name, put := range map[string]func(){
			"an older copy": func() { dir = young },
			"deleted":       func() { dir = t.TempDir() },
		} {
			synctest.Wait() // what was stopped has noted its last
			j.guard = mine
			put()
			h = run()
			h.latched("can't be believed")
			_ = h.stop()
			h = run()
			h.latched("can't be believed")
			if l, _ := h.Latched(); l.Code != guard.CodeForgot {
				t.Errorf("%s: its code is %q", name, l.Code)
			}
			if err := h.Clear("ann", "looked at it"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			_ = h.stop()
			h = run()
			h.unlatched()
			_ = h.stop()
		}
		// Killed after the state was written and before it was noted.
		synctest.Wait()
		j.guard, dir = mine, old
		j.fails = errors.New("killed")
		h = c.run(t, drivertest.NewFake(grinder, pump), dir)
		_ = h.Join(j)
		if err := h.Clear("ann", "water is back"); err != nil {
			t.Error(err)
		}
		_ = h.stop()
		synctest.Wait()
		j.fails = nil
		h = run()
		h.unlatched()
		_ = h.stop()
	})
}

// A state of a later version of the program, and one of the version that knew no journal
// where the journal knows of a state: another version ran here, which is said as
// what it is, and once.
func TestOtherVersion(t *testing.T) {
	body := `{"boot":"b"}`
	for _, header := range []string{
		"barista guard 3 of another kind",
		fmt.Sprintf("barista guard 1 %08x", crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))),
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			c, j := newComputer(), &journal{durable: guard.Place{ID: "a", At: 1}}
			run := func() house {
				h := c.run(t, drivertest.NewFake(grinder, pump), dir)
				if err := h.Join(j); err != nil {
					t.Error(err)
				}
				return h
			}
			_ = run().stop()
			for _, name := range []string{"guard.state", "guard.rest"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(header+"\n"+body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				h := run()
				h.latched("version of barista")
				if l, _ := h.Latched(); l.Code != guard.CodeVersion {
					t.Errorf("%s: its code is %q", header, l.Code)
				}
				_ = h.stop()
			}
			h := run()
			if err := h.Clear("ann", "looked at it"); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			_ = h.stop()
			h = run()
			h.unlatched()
			_ = h.stop()
		})
	}
}

// A disk that hangs, in real time: nobody who switches waits for it, Trip and
// Clear wait a bounded time. A pipe that nobody reads stands for the disk.
func TestDiskHangs(t *testing.T) {
	dir := t.TempDir()
	f := drivertest.NewFake(grinder, pump)
	g, err := newRig(f.Rig(), guard.Config{Parts: restful, State: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	pipe := filepath.Join(dir, "guard.state")
	block(t, dir, fifo)
	g.Trip(guard.Latch{Cause: "no flow"}) // comes back
	if err := g.Kept(); err == nil || !strings.Contains(err.Error(), "the disk did not take the fault within 1s") {
		t.Errorf("kept: %v", err)
	}
	if err := g.Clear("ann", "why not"); err == nil || !strings.Contains(err.Error(), "the disk did not take the guard's state") {
		t.Errorf("%v", err)
	}
	if l, latched := g.Latched(); !latched || l.Cause != "no flow" {
		t.Errorf("%v %v", l, latched)
	}
	// The disk wakes up; what the pipe took was not a file, so the write fails
	// and the next one succeeds.
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(pipe)
	for g.Clear("ann", "the disk is back") != nil {
	}
	_ = reader.Close()
	if err := g.Stored(); err != nil {
		t.Error(err)
	}
}

// A trip in the middle of Clear wins, with its own cause.
func TestTripDuringClear(t *testing.T) {
	dir := t.TempDir()
	f := drivertest.NewFake(pump)
	g, err := newRig(f.Rig(), guard.Config{State: dir, Name: "zoe"})
	if err != nil {
		t.Fatal(err)
	}
	g.Trip(guard.Latch{Cause: "no flow"})
	pipe := filepath.Join(dir, "guard.state")
	block(t, dir, fifo)
	cleared := make(chan error)
	go func() { cleared <- g.Clear("ann", "the tank was empty") }()
	for !g.Clearing() { // it waits for its disk
		runtime.Gosched()
	}
	if err := g.Clear("bob", "me too"); err == nil || !strings.Contains(err.Error(), "by somebody else") {
		t.Errorf("%v", err)
	}
	g.Trip(guard.Latch{Cause: "too hot"})
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	_ = os.Remove(pipe)
	if err := <-cleared; err == nil || !strings.Contains(err.Error(), "zoe: a new fault came while the old one was cleared: too hot") {
		t.Errorf("%v", err)
	}
	if l, latched := g.Latched(); !latched || l.Cause != "too hot" {
		t.Errorf("%v %v", l, latched)
	}
	_ = g.Close()
	g, err = newRig(f.Rig(), guard.Config{State: dir})
	if err != nil {
		t.Fatal(err)
	}
	if l, latched := g.Latched(); !latched || l.Cause != "too hot" {
		t.Errorf("after a restart: %v %v", l, latched)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/term"
	"barista/configs"
	kindmock "barista/configs/kinds/mock"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
	"barista/driver/plant"
	measured "barista/machine/calibration"
	"barista/machine/journal"
	"barista/machine/station"
)

// stand is a machine for a person to stand at: its file, and the metal of
// whoever opened it last.
type stand struct {
	*testing.T
	dir, file string
	ctl       *mock.Control
	opens     int
	prepare   func(*mock.Control) // before anybody looks
}

// standAt makes the kind "stand": a mock whose other side the test holds.
func standAt(t *testing.T, more string) *stand {
	t.Helper()
	t.Setenv(configs.EnvNATS, "")
	s := &stand{T: t, dir: t.TempDir()}
	s.file = filepath.Join(s.dir, "zoe.yaml")
	text := fmt.Sprintf("state: %s\nnats: {servers: [\"nats://shop\"]}\nmachine:\n  name: zoe\n  driver: stand\n  serves: {beans: [arabica], milk: [free, normal], sizes: [small]}\n  cup: attended\n%s", s.dir, more)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addKind(t, handled(kindmock.Kind, "stand", func(inner configs.Settings, log *slog.Logger) (driver.Rig, error) {
		rig, err := inner.Open(log)
		if err == nil {
			s.opens++
			s.ctl = inner.(*kindmock.Settings).Control()
			if s.prepare != nil {
				s.prepare(s.ctl)
			}
		}
		return rig, err
	}))
	return s
}

func (s *stand) folder() string { return station.Folder(s.dir, "zoe") }

// barista runs one command line with these answers.
func (s *stand) barista(ctx context.Context, want int, answers string, args ...string) string {
	s.Helper()
	var out, errOut bytes.Buffer
	got := execute(ctx, append(args, "--config", s.file), strings.NewReader(answers), &out, &errOut)
	if got != want {
		s.Errorf("barista %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, &out, &errOut)
	}
	return out.String() + errOut.String()
}

func (s *stand) has(text string, wants ...string) {
	s.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			s.Errorf("no %q in\n%s", want, text)
		}
	}
}

// counts is what the metal did; everything must be off.
func (s *stand) counts() plant.Counts {
	s.Helper()
	c := s.ctl.Plant().Counts()
	if on := c.OnNow(); len(on) > 0 || len(c.Harm) > 0 {
		s.Errorf("at the end on: %v, harm: %v", on, c.Harm)
	}
	return c
}

// bubble runs a test in fake time. The one goroutine that hands out signals is
// begun outside of it, as it never ends.
func bubble(t *testing.T, f func(t *testing.T)) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	signal.Stop(c)
	synctest.Test(t, f)
}

// A whole self-test, with what the metal did for it.
func TestSelftest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := standAt(t, "  heater: on\n  outputs: {grinder: {rest: 30s}}\n")
		text := s.barista(t.Context(), 0, "y\n", "selftest")
		s.has(text,
			"temperature  20.0 °C", "put an empty vessel",
			"switch grinder, pump, heater, milk and sugar, for at most a second each? [y/N]",
			"confirmed: weight rose by 1.2 g", "confirmed: flow rose by 5.9 ml", "heater (simulated heater), 1s",
			"no sensor can see it")
		var long []string
		on := map[driver.Part]time.Duration{}
		for _, e := range s.ctl.Plant().Edges() {
			if e.On {
				on[e.Part] = e.At
				continue
			}
			long = append(long, fmt.Sprint(e.Part, " ", (e.At-on[e.Part]).Round(time.Millisecond)))
		}
		if want := []string{"grinder 1s", "pump 1s", "heater 1s", "milk 1s", "sugar 1s"}; !slices.Equal(long, want) {
			t.Errorf("the metal did %v, want %v", long, want)
		}
		if c := s.counts(); c.Drinks > 0 {
			t.Errorf("it made %d drinks", c.Drinks)
		}
	})
}

// What keeps a machine from being tried, and what to do about it; nothing moves.
func TestSelftestRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(s *stand)
		metal   func(*mock.Control)
		want    []string
	}{
		{"latched", func(s *stand) {
			rig, _, err := mock.Open(mock.Config{})
			if err != nil {
				s.Fatal(err)
			}
			g, err := guard.New(rig, guard.Config{Name: "zoe", State: s.folder()}.Of(rig))
			if err != nil {
				s.Fatal(err)
			}
			g.Trip(guard.Latch{Cause: "the pump was hot"})
			if err := g.Close(); err != nil {
				s.Fatal(err)
			}
		}, nil, []string{"zoe is locked since", "the pump was hot", `barista machine clear-fault zoe --reason`}},
		{"an open drink", func(s *stand) {
			j, err := journal.Open(filepath.Join(s.folder(), "journal"), driver.Identity{Kind: "mock", Model: "plant", Serial: "mock-zoe"}, guard.Place{})
			if err != nil {
				s.Fatal(err)
			}
			if err := j.Start(journal.Key{Order: "o1", Epoch: 1}, journal.Note{Counter: -1}); err != nil {
				s.Fatal(err)
			}
			j.Close()
		}, nil, []string{"not settled", "start the service"}},
		{"stop pressed", nil, func(c *mock.Control) { c.Plant().Fault(plant.Fault{Kind: plant.StopPressed}) }, []string{"stop         pressed", "is locked since", "emergency stop is pressed"}},
		{"door open", nil, func(c *mock.Control) { c.Plant().Fault(plant.Fault{Kind: plant.DoorOpen}) }, []string{"The door is open", "mend that first"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := standAt(t, "")
				if err := os.MkdirAll(s.folder(), 0o750); err != nil {
					t.Fatal(err)
				}
				if c.prepare != nil {
					c.prepare(s)
				}
				s.prepare = c.metal
				before, _ := os.ReadFile(filepath.Join(s.folder(), "journal"))
				s.has(s.barista(t.Context(), term.ExitRefused, "y\n", "selftest"), c.want...)
				if n := s.counts().Edges; n > 0 {
					t.Errorf("%d contacts moved", n)
				}
				// It notes who has it open and which guard is beside it, and nothing else.
				after, _ := os.ReadFile(filepath.Join(s.folder(), "journal"))
				noted, kept := bytes.CutPrefix(after, before)
				if len(before) > 0 && (!kept || bytes.Count(noted, []byte("\n")) != bytes.Count(noted, []byte(`"do":"run"`))+bytes.Count(noted, []byte(`"do":"guard"`))) {
					t.Errorf("the journal was changed: %q", noted)
				}
			})
		})
	}
}

// A fault ends the test: what comes behind is not switched.
func TestSelftestFault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := standAt(t, "")
		s.prepare = func(c *mock.Control) { c.Plant().Fault(plant.Fault{Kind: plant.NoFlow}) }
		text := s.barista(t.Context(), term.ExitFailed, "", "selftest", "--yes", "--json")
		line := text[strings.Index(text, `{"error"`):]
		var out hands.Tested
		if err := json.Unmarshal([]byte(line[:strings.Index(line, "\n")]), &out); err != nil {
			t.Fatal(err)
		}
		if n := len(out.Outputs); out.OK || n != 2 || out.Outputs[1].Result != "failed" || !strings.HasPrefix(out.Outputs[1].Reason, "no-flow") {
			t.Errorf("%+v", out.Outputs)
		}
		for _, e := range s.ctl.Plant().Edges() {
			if e.Part == driver.Milk {
				t.Error("the milk was switched after the fault")
			}
		}
		s.counts()
	})
}

// An empty tank keeps back the pump alone, and the test says so at its end.
func TestSelftestSkips(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := standAt(t, "")
		s.prepare = func(c *mock.Control) { c.Plant().Fault(plant.Fault{Kind: plant.TankEmpty}) }
		s.has(s.barista(t.Context(), term.ExitFailed, "", "selftest", "--yes"),
			"tank         the tank is empty       bad", "pump: skipped: tank: The water tank is empty.", "sugar (simulated sugar)", "1 of 4 outputs could not be tested")
		s.counts()
	})
}

// Ctrl-C in the middle: off in that moment, and its exit code.
func TestSelftestInterrupted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := standAt(t, "")
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		s.has(s.barista(ctx, term.ExitFailed, "", "selftest", "--yes"), "stopped by hand, everything is off")
		edges := s.ctl.Plant().Edges()
		if len(edges) != 2 || edges[1].On || edges[1].At-edges[0].At > 401*time.Millisecond {
			t.Errorf("%v", edges)
		}
		s.counts()
	})
}

// Grams from a person, exactly in time: rate and delay come out, old and new are
// shown, and it is kept only after a yes.
func TestCalibrate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := standAt(t, "  outputs: {grinder: {max_on: 12s, rest: 30s}}\n")
		// 1.5 g/s after 0.4 s, on a scale of tenths: 3, 6 and 9 s.
		text := s.barista(t.Context(), term.ExitRefused, "y\n3.9\ny\n8,4 g\ny\n12.9\nn\n", "calibrate", "grinder", "--by-hand")
		s.has(text, "the grinder rests …", "before: 1.20 g/s\nnow:    1.50 g/s after 0.40 s; the runs lie within 0.0 % of that line", "nothing was done")
		if _, err := os.Stat(filepath.Join(s.folder(), measured.Name)); err == nil {
			t.Error("a no was kept")
		}
		text = s.barista(t.Context(), 0, "y\n3.9\n\nyes\nx\n8,4 g\nY\n12.9\ny\n", "calibrate", "grinder", "--by-hand", "--by", "ada")
		s.has(text, `"x" is no amount`, "kept as version 1")
		here, err := measured.Open(s.folder())
		if err != nil {
			t.Fatal(err)
		}
		v, _ := here.InForce(driver.Grinder)
		if math.Abs(v.PerSecond-1.5) > 0.001 || v.DelayMS != 400 || v.By != "ada" {
			t.Errorf("%+v", v)
		}
		var long []time.Duration
		var off time.Duration
		for i, e := range s.ctl.Plant().Edges() {
			if i%2 == 1 {
				long = append(long, (e.At - off).Round(time.Millisecond))
			} else if i > 0 && e.At-off < 30*time.Second {
				t.Errorf("it rested for %v", e.At-off)
			}
			off = e.At
		}
		if want := []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}; !slices.Equal(long, want) {
			t.Errorf("runs of %v", long)
		}
		s.counts()
		// The next one starts from what was kept.
		s.has(s.barista(t.Context(), term.ExitFailed, "q\n", "calibrate", "grinder"), "grinder now: 1.50 g/s after 0.40 s, measured here, version 1, by ada")
	})
}

// The machine's own meter, and a fault in the middle.
func TestCalibrateByMeter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := standAt(t, "")
		s.has(s.barista(t.Context(), 0, "", "calibrate", "pump", "--yes"), "the machine's own flow sensor is read", "now:    6.0", "kept as version 1")
		s.counts()
		s.prepare = func(c *mock.Control) { c.Plant().Fault(plant.Fault{Kind: plant.NoFlow}) }
		s.has(s.barista(t.Context(), term.ExitFailed, "", "calibrate", "pump", "--yes"), "no-flow", "everything is off, nothing is kept")
		if on := s.ctl.Plant().Edges(); len(on) != 2 || on[1].At-on[0].At > 1600*time.Millisecond {
			t.Errorf("without water: %v", on)
		}
		s.counts()
	})
}

// What was measured makes a drink too long. calibrate does not keep such a thing;
// a service that finds one touches no line, and is not tried again.
func TestMeasuredTooSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := standAt(t, "  outputs: {grinder: {max_on: 12s, rest: 60s}}\n")
		drivers[len(drivers)-1].Simulated = false // the stand
		text := s.barista(t.Context(), term.ExitRefused, "y\n0.6\ny\n1.2\ny\n1.8\ny\n", "calibrate", "grinder", "--by-hand", "--by", "ada")
		s.has(text, "now:    0.20 g/s", "nothing is kept: with this, a drink of it could take", "and a fleet waits 5m0s", "find out why it is so slow")
		if _, err := os.Stat(filepath.Join(s.folder(), measured.Name)); err == nil {
			t.Error("it was kept")
		}
		here, err := measured.Open(s.folder())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := here.Keep(driver.Grinder, measured.Rate{PerSecond: 0.2}, "ada", time.Now()); err != nil {
			t.Fatal(err)
		}
		s.opens = 0
		s.has(s.barista(t.Context(), term.ExitConfig, "", "run"), "zoe: as it was measured, a drink of it could take", "barista calibrate grinder|pump|milk --rollback")
		if s.opens > 0 {
			t.Error("its metal was opened")
		}
		s.barista(t.Context(), 0, "", "calibrate", "grinder", "--rollback", "--by", "ada")
	})
}

// While the service holds the machine nobody else does.
func TestSelftestBesideService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "zoe.yaml")
	text := fmt.Sprintf("state: %s\nnats: {servers: [\"nats://shop\"]}\nmachine:\n  name: zoe\n  driver: mock\n  serves: {beans: [arabica], milk: [free], sizes: [small]}\n  cup: attended\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(station.Folder(dir, "zoe"), 0o750); err != nil {
		t.Fatal(err)
	}
	lock, err := station.Lock(t.Context(), station.Folder(dir, "zoe"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, args := range [][]string{{"selftest", "--yes"}, {"calibrate", "pump", "--rollback"}} {
		// A process of its own: in this one, other tests break pipes meanwhile, and
		// that is a signal to stop for whoever stands at a machine.
		var errOut bytes.Buffer
		cmd := exec.Command("barista", append(args, "--config", file)...)
		cmd.Stderr = &errOut
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != term.ExitRefused || !strings.Contains(errOut.String(), "stop it first") {
			t.Errorf("%v: %d %s", args, got, &errOut)
		}
	}
}

// metal is a plant in a process of its own, and a file for it.
func metal(t *testing.T) (file string, look *plant.Remote) {
	t.Helper()
	dir := t.TempDir()
	sock := filepath.Join(dir, "p.sock")
	sim := exec.Command("barista", "sim", "plant", "--link", sock, "--cups", "hand")
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sim.Process.Signal(os.Interrupt)
		_ = sim.Wait()
	})
	awaited(t, "a plant that answers", func() (is bool) {
		var err error
		look, err = plant.Dial(sock)
		return err == nil
	})
	t.Cleanup(func() { look.Close() })
	file = filepath.Join(dir, "zoe.yaml")
	text := fmt.Sprintf("state: %s\nnats: {servers: [\"nats://shop\"]}\nmachine:\n  name: zoe\n  driver: mock\n  plant: %s\n  serves: {beans: [arabica], milk: [free], sizes: [small]}\n  cup: attended\n", dir, sock)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, look
}

func awaited(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func isOn(t *testing.T, look *plant.Remote, p driver.Part) bool {
	c, err := look.Counts()
	if err != nil {
		t.Fatal(err)
	}
	return c.On[p]
}

// Every way to end a terminal's program is a way to switch off, on a real
// process: Ctrl-C, Ctrl-\, Ctrl-Z, a terminal that closes, kill.
func TestSignalsSwitchOff(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGHUP, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			file, look := metal(t)
			var errOut bytes.Buffer
			cmd := exec.Command("barista", "calibrate", "grinder", "--yes", "--config", file)
			cmd.Stderr = &errOut
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			awaited(t, "grinder on", func() bool { return isOn(t, look, driver.Grinder) })
			_ = cmd.Process.Signal(sig)
			err := cmd.Wait()
			if cmd.ProcessState.ExitCode() != term.ExitFailed || !strings.Contains(errOut.String(), "stopped by hand, everything is off") {
				t.Errorf("%v: %s", err, &errOut)
			}
			if isOn(t, look, driver.Grinder) {
				t.Error("the grinder is on")
			}
			edges, err := look.Edges()
			if err != nil || len(edges) != 2 || edges[1].At-edges[0].At > 2500*time.Millisecond {
				t.Errorf("%v, %v", edges, err)
			}
		})
	}
}

// A reader that goes away must not end the process before the output is off.
func TestBrokenPipeSwitchesOff(t *testing.T) {
	t.Parallel()
	file, look := metal(t)
	cmd := exec.Command("barista", "selftest", "--yes", "--config", file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaited(t, "grinder on", func() bool { return isOn(t, look, driver.Grinder) })
	out.Close()
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != term.ExitFailed {
		t.Error(err)
	}
	c, err := look.Counts()
	if err != nil || len(c.OnNow()) > 0 {
		t.Errorf("on: %v, %v", c.OnNow(), err)
	}
}

// shown is what a terminal has shown so far.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
	done chan struct{} // closed when the process has ended
}

func onScreen(screen io.Reader) *shown {
	s := &shown{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		b := make([]byte, 4096)
		for {
			n, err := screen.Read(b)
			s.mu.Lock()
			s.text.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// shows waits until a text was shown so often.
func (s *shown) shows(t *testing.T, what string, n int) {
	t.Helper()
	awaited(t, what, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Count(s.text.String(), what) >= n
	})
}

func (s *shown) all() string {
	<-s.done
	return s.text.String()
}

// What was typed before a question, on a real terminal: while the grinder rests a
// person hits Enter, and types a yes. Neither starts the next run; a yes to the
// question does, and Enter alone never.
func TestTypedAhead(t *testing.T) {
	t.Parallel()
	file, look := metal(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, "  outputs: {grinder: {max_on: 2s, rest: 3s}}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	runs := func() int {
		edges, err := look.Edges()
		if err != nil {
			t.Fatal(err)
		}
		return (len(edges) + 1) / 2
	}
	cmd := exec.Command("barista", "calibrate", "grinder", "--by-hand", "--config", file)
	screen, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	s := onScreen(screen)
	s.shows(t, "y starts", 1)
	fmt.Fprint(screen, "\n") // a question again
	s.shows(t, "y starts", 2)
	if n := runs(); n != 0 {
		t.Fatalf("Enter alone started %d runs", n)
	}
	fmt.Fprint(screen, "y\n")
	s.shows(t, "are in the vessel?", 1)
	fmt.Fprint(screen, "0.4\n")
	s.shows(t, "the grinder rests", 1)
	fmt.Fprint(screen, "\ny\ny\n")
	s.shows(t, "y starts", 3)
	// The question stands there, and nobody has answered it. What it would take for a
	// run to begin is a few milliseconds.
	<-time.After(500 * time.Millisecond)
	if n := runs(); n != 1 {
		t.Errorf("what was typed while the grinder rested started the next run: %d runs", n)
	}
	fmt.Fprint(screen, "y\n")
	awaited(t, "the second run", func() bool { return runs() == 2 })
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	if on := isOn(t, look, driver.Grinder); on || cmd.ProcessState.ExitCode() != term.ExitFailed {
		t.Errorf("on %v, exit code %d:\n%s", on, cmd.ProcessState.ExitCode(), s.all())
	}
}

// The stop key, on a real terminal.
func TestStopKey(t *testing.T) {
	t.Parallel()
	file, look := metal(t)
	cmd := exec.Command("barista", "calibrate", "grinder", "--config", file)
	screen, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	s := onScreen(screen)
	s.shows(t, "y starts", 1)
	fmt.Fprint(screen, "y\n")
	awaited(t, "grinder on", func() bool { return isOn(t, look, driver.Grinder) })
	fmt.Fprint(screen, "\n") // stop
	_ = cmd.Wait()
	text := s.all()
	if cmd.ProcessState.ExitCode() != term.ExitFailed || !strings.Contains(text, "Enter ends it at once") || !strings.Contains(text, "stopped by hand, everything is off") {
		t.Errorf("exit code %d:\n%s", cmd.ProcessState.ExitCode(), text)
	}
	edges, err := look.Edges()
	if err != nil || len(edges) != 2 || edges[1].On || edges[1].At-edges[0].At > 2500*time.Millisecond {
		t.Errorf("%v, %v", edges, err)
	}
}

// run --dry-run opens no metal, of no kind: this one fails the test if it is
// opened.
func TestDryRunOpensNothing(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	allHandled(t, func(s configs.Settings, _ *slog.Logger) (driver.Rig, error) {
		t.Errorf("%T was opened", s)
		return driver.Rig{}, errors.New("opened")
	})
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		f, err := configs.Load(file, loader())
		if err != nil || f.Machine == nil {
			continue
		}
		var out, errOut bytes.Buffer
		if got := execute(t.Context(), []string{"run", "--dry-run", "--config", file}, strings.NewReader(""), &out, &errOut); got != 0 || out.Len() == 0 {
			t.Errorf("%s: exit code %d\n%s", file, got, &errOut)
		}
		if _, err := os.Stat(f.State); err == nil && !filepath.IsAbs(f.State) {
			t.Errorf("%s made its state folder", file)
		}
	}
}

// The kernel's own witness: no device, no socket, no lock, nothing written.
func TestDryRunTouchesNothing(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	run := exec.Command(strace, "-f", "-o", trace, "-e", "trace=open,openat,openat2,creat,socket,connect,flock,mkdir,mkdirat,unlink,unlinkat,rename,renameat,ioctl",
		"barista", "run", "--dry-run", "--config", "../../configs/gpio-relays.yaml")
	if text, err := run.CombinedOutput(); err != nil {
		if bytes.Contains(text, []byte("ptrace")) {
			t.Skipf("tracing is not allowed here: %s", text)
		}
		t.Fatalf("%v\n%s", err, text)
	}
	b, err := os.ReadFile(trace)
	if err != nil || !bytes.Contains(b, []byte("gpio-relays.yaml")) {
		t.Fatalf("the trace is blind: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		for _, bad := range []string{`"/dev/gpio`, `"/dev/spi`, `"/dev/tty`, `"/dev/serial`, "socket(", "connect(", "flock(", "mkdir", "O_CREAT", "O_RDWR", "O_WRONLY", "unlink", "rename", "GPIO"} {
			if strings.Contains(line, bad) && !strings.Contains(line, "/dev/null") {
				t.Errorf("it touched something: %s", line)
			}
		}
	}
}

// A limit of the wiring, not of a complete machine: what no line measures is not
// waited for.
func TestDryRunKnowsTheWiring(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	text := `nats: {servers: ["nats://shop"]}
machine:
  name: zoe
  driver: gpio
  serves: {beans: [arabica], milk: [free], sizes: [small]}
  cup: attended
  chip: {label: [x]}
  outputs: {grinder: {line: "x:1", active: high}, pump: {line: "x:2", active: high, deadman: external}}
  inputs: {hot: {line: "x:3", active: high}, temperature: {spi: SPI0.0}}
`
	f, err := configs.Parse("zoe.yaml", []byte(text), loader())
	if err != nil {
		t.Fatal(err)
	}
	l := f.Machine.Limits()
	if l.Signals[driver.Flow] || !l.Signals[driver.Hot] || !l.Signals[driver.Temperature] {
		t.Errorf("%v", l.Signals)
	}
}

func TestOwnState(t *testing.T) {
	if err := hands.Own(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := hands.Own(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder of somebody else")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Skip(err)
	}
	err := hands.Own(dir)
	if err == nil || explain(err).Exit != term.ExitUnauthorised || !strings.Contains(explain(err).Hint, "sudo -u '#12345'") {
		t.Error(err)
	}
}

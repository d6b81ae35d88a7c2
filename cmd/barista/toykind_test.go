package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
	"barista/driver"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// The toy kind: relays that Linux shows as LEDs, each a folder with a file brightness,
// and a thermostat as a file hot. Everything that such a kind is stands here, in 120
// lines; the tree knows nothing of it.
type toy struct {
	folder string
	leds   map[driver.Part]*string
}

func newToy() (configs.Settings, *kinds.Form) {
	s := &toy{leds: map[driver.Part]*string{}}
	accepted := ""
	return s, &kinds.Form{
		Head:  "One machine on LEDs.",
		Cups:  []string{"page", "attended"},
		Parts: []driver.Part{driver.Grinder, driver.Pump, driver.Milk},
		Keys: []kinds.Key{{
			Name: "folder", Value: kinds.Text(&s.folder, "path", nil), Need: "say where its LEDs are: folder: /sys/class/leds",
			Help: "where its LEDs are", Ask: "folder of its LEDs",
		}},
		Outputs: &kinds.Rows{
			Name: "outputs", Need: "wire its LEDs: outputs: {grinder: {led: one}, pump: {led: two}}", Names: []string{"grinder", "pump", "milk"},
			Keys: func(name string) []kinds.Key {
				p := driver.Part(name)
				if s.leds[p] == nil {
					s.leds[p] = new(string)
				}
				return []kinds.Key{
					{Name: "led", Value: kinds.Name(s.leds[p]), Need: "name its LED: led: one", Help: "the LED's name", Ask: "LED of the " + name},
					{Name: "deadman", Value: kinds.Said("external", "none"), Ask: "what cuts the " + name + " off", When: func() bool { return p == driver.Pump }},
					{Name: "accept_no_deadman", Value: kinds.Text(&accepted, "who, and why", nil)},
				}
			},
		},
	}
}

func (s *toy) Complete(c *configs.Machine, m *configs.Map) {
	c.Wires = map[driver.Part]machine.Wire{}
	c.Signals = map[driver.Signal]bool{driver.Hot: true}
	for p, led := range s.leds {
		c.Wires[p] = machine.Wire{On: "led " + *led + " lit", Off: "led " + *led + " dark"}
	}
	for _, p := range []driver.Part{driver.Grinder, driver.Pump} {
		if !c.Has(p) {
			m.Get("outputs").KeyProblem("there is no "+string(p)+", so there is no coffee", "wire one")
		}
	}
	if d := c.Guard.Parts[driver.Pump].Deadman; c.Has(driver.Pump) && d == "" {
		m.Get("outputs").Map().Get("pump").KeyProblem("nothing says what switches the pump off when this computer is dead", "write deadman: external, or none")
	}
}

func (s *toy) Open(*slog.Logger) (driver.Rig, error) {
	rig := driver.Rig{
		Identity: driver.Identity{Kind: "toy", Model: "led", Serial: "1"}, Outputs: map[driver.Part]driver.Wire{},
		Sensors: map[driver.Signal]driver.Sensor{driver.Hot: toyHot{s.folder}}, OffWithin: 100 * time.Millisecond, Close: func() error { return nil },
	}
	for p, name := range s.leds {
		l := toyLED{filepath.Join(s.folder, *name, "brightness")}
		if err := l.Off(); err != nil {
			return driver.Rig{}, err
		}
		deadman := driver.DeadmanNone
		if p == driver.Pump {
			deadman = driver.DeadmanExternal
		}
		rig.Outputs[p] = driver.Wire{Output: l, Port: *name, Deadman: deadman}
	}
	return rig, nil
}

func (s *toy) Rest() error {
	var errs []error
	for _, name := range s.leds {
		errs = append(errs, toyLED{filepath.Join(s.folder, *name, "brightness")}.Off())
	}
	return errors.Join(errs...)
}

type toyLED struct{ path string }

func (l toyLED) On(time.Duration) error { return os.WriteFile(l.path, []byte("1\n"), 0o600) }
func (l toyLED) Off() error {
	if err := os.WriteFile(l.path, []byte("0\n"), 0o600); err != nil {
		return fmt.Errorf("it may be on: %w", err)
	}
	return nil
}

type toyHot struct{ folder string }

func (h toyHot) Read() (driver.Reading, error) {
	b, err := os.ReadFile(filepath.Join(h.folder, "hot"))
	if err != nil {
		return driver.Reading{}, fmt.Errorf("%w: %w", driver.ErrInvalid, err)
	}
	return driver.Reading{Value: float64(strings.Count(string(b), "1")), At: time.Now()}, nil
}

var toyKind = kinds.Kind{
	Name: "toy", Title: "relays that Linux shows as LEDs", Parts: []driver.Part{driver.Grinder, driver.Pump, driver.Milk}, New: newToy,
}

// TestToyKind takes a kind that the tree does not know through everything that a kind
// must do, by one line in the table: what driver/doc.go promises to its author.
func TestToyKind(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	addKind(t, toyKind)
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.MkdirAll(filepath.Join(dir, "leds", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("leds/hot", "1\n")
	lit := func(name string) bool {
		b, err := os.ReadFile(filepath.Join(dir, "leds", name, "brightness"))
		return err == nil && strings.HasPrefix(string(b), "1")
	}
	say := func(want int, args ...string) string {
		t.Helper()
		code, out, errOut := baristaHere(t.Context(), strings.NewReader(""), args...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", args, code, want, out, errOut)
		}
		return out + errOut
	}
	has := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%q is not in:\n%s", w, text)
			}
		}
	}

	// setup asks by its table, and what it writes is good for check and the service.
	answers := write("answers.yaml", "name: zoe\ndriver: toy\nbeans: [arabica]\nmilk: [free]\nsizes: [small]\ncup: attended\nfolder: "+dir+"/leds\n"+
		"outputs: {grinder: {led: one}, pump: {led: two, deadman: external}}\nshop: elsewhere\nnats: nats://shop.local:4222\n")
	say(term.ExitOK, "setup", "--answers", answers, "--out", dir)
	file := filepath.Join(dir, "zoe.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	has(string(text), "# One machine on LEDs.", "  driver: toy\n", "    grinder: {led: one}\n", "    pump: {led: two, deadman: external}\n")
	bad := write("bad.yaml", strings.Replace(strings.Replace(string(text), "{led: one}", "{lod: one}", 1), ", deadman: external", "", 1))
	has(say(term.ExitFailed, "check", bad), "machine.outputs.grinder: led is missing", "grinder.lod: unknown key", "nothing says what switches the pump off")
	has(say(term.ExitFailed, "setup", "--answers", write("none.yaml", "driver: toy\n"), "--dry-run"), "folder is missing")

	// What is measured makes it quick enough for a test.
	text = []byte(strings.Replace(string(text), "grinder_gps: 1.2 ", "grinder_gps: 20 ", 1))
	text = []byte(strings.Replace(string(text), "pump_mlps: 6 ", "pump_mlps: 90 ", 1))
	write("zoe.yaml", "state: "+dir+"/state\n"+string(text))
	has(say(term.ExitOK, "check", file), "good")
	plain := say(term.ExitOK, "run", "--dry-run", "--config", file)
	has(plain, "grinder on, at most", "led one lit", "led two dark")
	has(say(term.ExitOK, "selftest", "--yes", "--config", file), "led one lit", "led two lit")

	write("leds/two/brightness", "1\n") // as a dead process leaves it
	has(say(term.ExitOK, "safe-off", "--config", file), "zoe: everything is at rest")
	if lit("one") || lit("two") {
		t.Error("safe-off left a LED lit")
	}

	// A drink, on the machine as its service opens it.
	f, err := configs.Load(file, loader())
	if err != nil {
		t.Fatal(err)
	}
	st, err := openStation(t.Context(), slog.New(slog.DiscardHandler), f, f.Machine, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r machine.Report
	seen := map[string]bool{}
	err = st.Lend(t.Context(), func(ctx context.Context) {
		d := recipe.Drink{Size: "small", Grams: 9, WaterML: 40}
		for st.Machine.Able(d) != nil && ctx.Err() == nil {
			<-st.Machine.Changed()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r = st.Machine.Make(ctx, machine.Job{Order: "o", Epoch: 1, Drink: d})
		}()
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				for _, name := range []string{"one", "two"} {
					seen[name] = seen[name] || lit(name)
				}
			}
		}
	})
	if err != nil || r.Outcome != journal.Made || !seen["one"] || !seen["two"] || lit("one") || lit("two") {
		t.Errorf("%v, %+v, lit %v", err, r, seen)
	}
}

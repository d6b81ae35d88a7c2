// Package kindtest tries what a kind makes of its files: its sample with some words
// changed, and a drink made of what the sample says, on a board that a simulator
// plays. It must not be linked into the program.
package kindtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"barista/configs"
	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/guard"
	"barista/driver/plant"
	"barista/driver/serial/link"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// Text is a text with changes: pairs of old and new, each of which must be there.
func Text(t testing.TB, text string, changes ...string) []byte {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("%q is not in the file", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return []byte(text)
}

// Sample reads a sample file of the kind, with changes.
func Sample(t *testing.T, k kinds.Kind, path string, changes ...string) (*configs.File, error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(t, k, Text(t, string(b), changes...))
}

// Parse reads a text as x.yaml, where the kind is the only one.
func Parse(t *testing.T, k kinds.Kind, text []byte) (*configs.File, error) {
	t.Helper()
	t.Setenv(configs.EnvNATS, "")
	return configs.Parse("x.yaml", text, kinds.Table{k}.Loader())
}

// Refused has each row's changes made in the sample and wants these words of the
// problems; none: the file is taken.
func Refused(t *testing.T, k kinds.Kind, path string, rows map[string]Row) {
	t.Helper()
	for name, c := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := Sample(t, k, path, c.Changes...)
			if (err == nil) != (len(c.Want) == 0) {
				t.Fatal(err)
			}
			for _, w := range c.Want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("not said: %s\n%v", w, err)
				}
			}
		})
	}
}

// Row is one file that must be refused, or taken.
type Row = struct{ Changes, Want []string }

// Fast are the sample's rates for a simulated machine of five times the speed.
var Fast = []string{"grinder_gps: 1.2", "grinder_gps: 6", "pump_mlps: 6", "pump_mlps: 30", "milk_mlps: 5", "milk_mlps: 25", "sugar_dose_ps: 1", "sugar_dose_ps: 5"}

// OnBoard is the machine of a sample's file on a board that a simulator plays, and
// the plant behind it.
func OnBoard(t *testing.T, k kinds.Kind, path string, board func(plant.Handle) func(context.Context, *link.Link) error) (*machine.Machine, *plant.Plant) {
	t.Helper()
	cfg := plant.Default()
	cfg.Speed = 5
	p := plant.New(cfg)
	p.PlaceCup() // a customer in a hurry would take it between two parts: the wire is not five times as fast
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	played := make(chan error, 1)
	run := board(p.Handle())
	go func() { played <- run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-played; err != nil {
			t.Error(err)
		}
	})
	f, err := Sample(t, k, path, append(slices.Clone(Fast), "port: ./board", "port: "+l.Device())...)
	if err != nil {
		t.Fatal(err)
	}
	metal, err := f.Machine.Settings.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	plan := f.Machine.Plan
	plan.Guard.State = t.TempDir()
	rig, err := guard.New(metal, plan.Guard)
	if err != nil {
		t.Fatal(errors.Join(err, metal.Close()))
	}
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), driver.Identity{Kind: "test"}, guard.Place{})
	if err != nil {
		t.Fatal(errors.Join(err, rig.Close()))
	}
	m, err := machine.New(rig, j, plan, machine.Config{})
	if err != nil {
		t.Fatal(errors.Join(err, rig.Close()))
	}
	guarded, made := make(chan error, 1), make(chan error, 1)
	ends, end := context.WithCancel(context.Background())
	go func() { guarded <- rig.Run(ends) }()
	go func() { made <- m.Run(ends) }()
	t.Cleanup(func() {
		end()
		if err := errors.Join(<-made, <-guarded, rig.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	})
	return m, p
}

// MakeOne makes a small drink with milk and sugar on a machine, and wants it in
// a cup, once.
func MakeOne(t *testing.T, m *machine.Machine, p *plant.Plant) {
	t.Helper()
	drink := recipe.Drink{Size: "small", Grams: 9, WaterML: 40, MilkML: 30, Sugar: 2}
	late := time.Now().Add(20 * time.Second)
	for err := m.Able(drink); err != nil; err = m.Able(drink) {
		if time.Now().After(late) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.AwaitCup(ctx, "order"); err != nil {
		t.Fatal(err)
	}
	r := m.Make(ctx, machine.Job{Order: "order", Epoch: 1, Drink: drink})
	if r.Outcome != journal.Made {
		t.Fatalf("%+v", r)
	}
	c := p.Counts()
	if c.Drinks != 1 || c.InCup != 1 || len(c.OnNow()) != 0 || len(c.Harm) != 0 {
		t.Errorf("%+v", c)
	}
	d := p.Poured()[0]
	if d.GroundG < 8 || d.GroundG > 10 || d.CoffeeML < 34 || d.CoffeeML > 46 || d.MilkML < 24 || d.Sugar != 2 {
		t.Errorf("%v", d)
	}
}

// Run runs a command of a kind, as its line says, and has what it says written to
// out, made safe in the simplest way.
func Run(ctx context.Context, k kinds.Command, out io.Writer, asJSON bool, line ...string) error {
	f := pflag.NewFlagSet(k.Use, pflag.ContinueOnError)
	run := k.Flags(f)
	if err := f.Parse(line); err != nil {
		return err
	}
	return run(ctx, Console(out, asJSON), f.Args())
}

// Console writes to out.
func Console(out io.Writer, asJSON bool) kinds.Console {
	return kinds.Console{
		Show: func(v any, text func(io.Writer)) error {
			if asJSON {
				return json.NewEncoder(out).Encode(v)
			}
			text(out)
			return nil
		},
		Table: func(w io.Writer, rows [][]string) {
			for _, row := range rows {
				fmt.Fprintln(w, strings.Join(row, " "))
			}
		},
		Safe: func(s string) string { return s }, Quote: strconv.Quote,
		Machine: func(path string) (*configs.Machine, error) { return nil, fs.ErrNotExist },
	}
}

// WrongUsage wants each line refused as a wrong one.
func WrongUsage(t *testing.T, k kinds.Command, lines ...[]string) {
	t.Helper()
	for _, line := range lines {
		var wrong *kinds.Error
		if err := Run(t.Context(), k, io.Discard, false, line...); !errors.As(err, &wrong) || wrong.Why != kinds.WrongUsage {
			t.Errorf("%v: %v", line, err)
		}
	}
}

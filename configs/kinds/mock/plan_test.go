package mock

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/configs"
	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/guard"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// TestPlanIsTheMachine: what the plan of a file says is what guard and machine go by,
// and the timeline that a dry run prints is the one that runs. The rows are what was
// once worked out twice: duties, inrush, ceilings, rests, sensors that are missing.
func TestPlanIsTheMachine(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	for name, more := range map[string]string{
		"nothing said": "",
		"duty":         "  outputs: {pump: {duty: {on: 15s, within: 5m}}, grinder: {rest: 5s}}\n",
		"duty and more": "  outputs: {pump: {max_on: 20s, rest: 3s, duty: {on: 12s, within: 10m}}, milk: {max_on: 9s, rest: 2s}}\n" +
			"  forbidden: [[grinder, milk]]\n",
		"inrush":    "  outputs: {grinder: {inrush: a, max_on: 6s, rest: 4s}, pump: {inrush: a}, milk: {inrush: a}}\n",
		"heater":    "  heater: on\n  outputs: {heater: {max_on: 100s}}\n",
		"rates":     "  calibration: {grinder_gps: 1.25, pump_mlps: 6.5}\n  outputs: {grinder: {rest: 5s}}\n",
		"fast":      "  speed: 4\n",
		"dead man":  "  outputs: {pump: {deadman: board}}\n",
		"dispenser": "  cups: dispenser\n",
	} {
		for _, without := range [][]driver.Signal{nil, {driver.Flow}, {driver.Flow, driver.Weight}} {
			t.Run(fmt.Sprint(name, without), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { planIsTheMachine(t, more, without) })
			})
		}
	}
}

func planIsTheMachine(t *testing.T, more string, without []driver.Signal) {
	text := "broker: {listen: none, keys: none}\nmachine:\n  name: zoe\n  driver: mock\n  serves: {beans: [arabica], milk: [free, normal], sizes: [small]}\n  cup: attended\n" + more
	f, err := configs.Parse("x.yaml", []byte(text), kinds.Table{Kind}.Loader())
	if err != nil {
		t.Fatal(err)
	}
	m := f.Machine
	m.Settings.(*Settings).Without = without
	m.Complete(nil) // the sensors that are missing
	plan := m.Plan
	rig, err := m.Settings.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var ran strings.Builder
	begun := time.Time{}
	for part, wire := range rig.Outputs {
		wire.Output = &heard{Output: wire.Output, say: func(what string) {
			if begun.IsZero() {
				begun = time.Now()
			}
			fmt.Fprintf(&ran, "%v %s %s\n", time.Since(begun).Round(10*time.Millisecond), part, what)
		}}
		rig.Outputs[part] = wire
	}
	g, err := guard.New(rig, plan.Guard)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), driver.Identity{Kind: "mock"}, guard.Place{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := machine.New(g, j, plan, machine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	limits := plan.Limits()
	for _, p := range driver.Parts {
		have, there := g.Limits(p)
		if want, said := limits.Parts[p]; said != there || want != have {
			t.Errorf("%s: the guard keeps %+v, the plan says %+v", p, have, want)
		}
	}
	if x.Longest() != plan.Longest() {
		t.Errorf("longest %v, the plan says %v", x.Longest(), plan.Longest())
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- g.Run(ctx) }()
	inner, end := context.WithCancel(ctx)
	go func() { ended <- x.Run(inner) }()
	defer func() {
		end()
		stop()
		<-ended
		<-ended
		g.Close()
		j.Close()
	}()
	d := recipe.Drink{Size: "small", Grams: 9, WaterML: 40, MilkML: 30, Sugar: 1}
	tl, err := plan.Timeline(d)
	if err != nil {
		t.Fatal(err)
	}
	for x.Able(d) != nil {
		time.Sleep(100 * time.Millisecond)
	}
	ran.Reset()
	if r := x.Make(ctx, machine.Job{Order: "o", Epoch: 1, Drink: d}); r.Outcome != journal.Made {
		t.Fatalf("%+v\n%s", r, ran.String())
	}
	// Order and bounds are the same; when the water is there, the flow meter decides.
	var want strings.Builder
	for _, e := range tl {
		switch e.Kind {
		case recipe.On:
			fmt.Fprintf(&want, "%s on for %v\n", e.Part, e.AtMost)
		case recipe.Off:
			fmt.Fprintf(&want, "%s off\n", e.Part)
		}
	}
	var got strings.Builder
	for line := range strings.Lines(ran.String()) {
		_, rest, _ := strings.Cut(line, " ")
		got.WriteString(rest)
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Errorf("the dry run says one thing and the machine did another (-said +did):\n%s", diff)
	}
}

// heard is an output that is listened to: each on, and the off that ends it.
type heard struct {
	driver.Output
	on  bool
	say func(string)
}

func (h *heard) On(atMost time.Duration) error {
	h.on = true
	h.say("on for " + atMost.String())
	return h.Output.On(atMost)
}

func (h *heard) Off() error {
	if h.on {
		h.say("off")
	}
	h.on = false
	return h.Output.Off()
}

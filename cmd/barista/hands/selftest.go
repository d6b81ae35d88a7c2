package hands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/fleet/words"
	measured "barista/machine/calibration"
	"barista/machine/station"
)

// Tested is the result in JSON.
type Tested struct {
	Error       *term.Error       `json:"error,omitempty"`
	Machine     string            `json:"machine"`
	OK          bool              `json:"ok"`
	Identity    Identity          `json:"identity"`
	Ready       *bool             `json:"ready,omitempty"`   // of an appliance
	Why         string            `json:"why,omitempty"`     // it is not ready
	Counter     *int              `json:"counter,omitempty"` // products that it ever made
	Calibration []station.Figures `json:"calibration,omitempty"`
	Sensors     []Sensor          `json:"sensors,omitempty"`
	Outputs     []Output          `json:"outputs,omitempty"`
}

type Identity struct {
	Kind   string `json:"kind"`
	Model  string `json:"model"`
	Serial string `json:"serial"`
}

type Sensor struct {
	Signal driver.Signal `json:"signal"`
	Value  *float64      `json:"value,omitempty"` // none: it can't say
	Good   bool          `json:"good"`
	Text   string        `json:"text"`
}

type Output struct {
	Part     driver.Part   `json:"part"`
	Wire     string        `json:"wire"`
	Result   string        `json:"result"` // "confirmed" by a sensor, "switched" and nothing here could see it, "skipped", "failed"
	Reason   string        `json:"reason,omitempty"`
	OnMS     int64         `json:"on_ms"`
	Proof    driver.Signal `json:"proof,omitempty"`
	Gain     float64       `json:"gain,omitempty"`
	Feedback string        `json:"feedback,omitempty"` // the contact that followed
}

// Selftest says what the machine is, reads every sensor and tries every output for a
// moment, after a yes. What it found is in out, also where it ended early.
func (h *Hands) Selftest(ctx context.Context, out *Tested) error {
	id := h.Guard.Identity()
	out.Identity = Identity{id.Kind, id.Model, id.Number()}
	h.Person.Say("%s: %s, model %s, serial number %s", h.Name, term.Safe(id.Kind), term.Safe(known(id.Model)), term.Safe(known(out.Identity.Serial)))
	if a := h.Guard.Appliance(); a != nil {
		return h.testAppliance(ctx, a, out)
	}
	here, err := measured.Open(h.Dir)
	if err != nil {
		return err
	}
	out.Calibration = station.Calibration(h.Rates, h.Machine.Plan(), here)
	for _, x := range out.Calibration {
		h.Person.Say("  %s: %s", x.Part, FiguresText(x))
	}
	h.testSensors(out)
	if err := h.mayTry(""); err != nil {
		return err
	}
	parts := h.Machine.Parts()
	h.Person.Say("put an empty vessel under the outlet, keep hands and hair away: water can be hot")
	if err := h.Person.Agrees(ctx, "switch %s, for at most a second each?", listWords(parts)); err != nil {
		return err
	}
	skipped := 0
	for _, part := range parts {
		x, err := h.testOutput(ctx, part)
		out.Outputs = append(out.Outputs, x)
		if err != nil {
			return err
		}
		if x.Result == "skipped" {
			skipped++
		}
	}
	h.Person.Say("take the vessel away and empty it: what is in it is no drink")
	if skipped > 0 {
		return term.Fail(term.ExitFailed, "mend that, and test again", "%d of %d outputs could not be tested", skipped, len(parts))
	}
	return nil
}

// known is a word of a machine that may not have one.
func known(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func (h *Hands) testSensors(out *Tested) {
	rows := [][]string{{"SENSOR", "READS", "JUDGED"}}
	for _, s := range h.Machine.Senses() {
		x := Sensor{Signal: s.Signal, Good: !s.Bad, Text: s.Text}
		if s.Err == nil {
			x.Value = &s.Value
		}
		out.Sensors = append(out.Sensors, x)
		rows = append(rows, []string{string(s.Signal), s.Text, map[bool]string{true: "good", false: "bad"}[x.Good]})
	}
	if len(rows) == 1 {
		h.Person.Say("no sensor is wired")
	}
	term.Table(h.Person.Out, rows)
}

// senses is what a person hears and sees of a part.
var senses = map[driver.Part]string{
	driver.Grinder: "the grinder turns, a little coffee falls",
	driver.Pump:    "the pump hums, a little water runs, which can be hot",
	driver.Heater:  "the heater's relay clicks twice, there is nothing to see",
	driver.Milk:    "the milk pump turns, a little milk comes",
	driver.Sugar:   "a small motor turns, some sugar falls",
	driver.Rinse:   "water runs into the tray, which can be hot",
	driver.Cups:    "one cup falls",
}

// testOutput switches one part. Its error ends the test; one that can't be tried
// now is skipped.
func (h *Hands) testOutput(ctx context.Context, part driver.Part) (Output, error) {
	t := h.Machine.ShortTry(part)
	x := Output{Part: part, Wire: h.Machine.Plan().Wires[part].On}
	if err := h.Machine.MayTry(part); err != nil {
		x.Result, x.Reason = "skipped", term.OneLine(Sentence(err))
		h.Person.Say("  %s: skipped: %s", part, term.Safe(x.Reason))
		return x, nil
	}
	if err := h.rests(ctx, t); err != nil {
		x.Result, x.Reason = "skipped", "stopped by hand"
		return x, err
	}
	h.Person.Say("%s (%s), %v: %s", part, term.Safe(x.Wire), t.For, senses[part])
	got, err := h.Machine.Try(ctx, t)
	x.OnMS, x.Proof, x.Gain = got.On.Milliseconds(), got.Proof, got.Gain
	if err != nil {
		x.Result, x.Reason = "failed", term.OneLine(Sentence(err))
		if ctx.Err() != nil {
			x.Reason = "stopped by hand"
			return x, term.ErrStopped
		}
		return x, term.Fail(term.ExitFailed, "everything is off; "+h.afterFault(), "%s: %s", part, term.Safe(x.Reason))
	}
	x.Feedback = h.Machine.Plan().Wires[part].Feedback
	switch {
	case got.Shown && part == driver.Cups:
		x.Result = "confirmed"
		h.Person.Say("  confirmed: the sensor sees the cup")
	case got.Shown:
		x.Result = "confirmed"
		h.Person.Say("  confirmed: %s rose by %.1f %s", got.Proof, got.Gain, got.Proof.Unit())
	case x.Feedback != "":
		x.Result = "confirmed"
		h.Person.Say("  confirmed: its contact %s followed", term.Safe(x.Feedback))
	case got.Proof != "":
		x.Result = "switched"
		h.Person.Say("  switched; the %s sensor shows nothing of it yet: judge by ear", got.Proof)
	default:
		x.Result = "switched"
		h.Person.Say("  switched; no sensor can see it: judge by ear and eye")
	}
	return x, nil
}

// afterFault says what is next when something went wrong.
func (h *Hands) afterFault() string {
	if _, latched := h.Guard.Latched(); latched {
		return fmt.Sprintf("the machine is locked until somebody looked at it: start its service, then barista machine clear-fault %s --reason \"…\"", h.Name)
	}
	return "look at it, then test again"
}

func listWords(parts []driver.Part) string {
	out := ""
	for i, p := range parts {
		switch {
		case i > 0 && i == len(parts)-1:
			out += " and "
		case i > 0:
			out += ", "
		}
		out += string(p)
	}
	return out
}

const (
	askWithin  = 10 * time.Second // one question to an appliance
	readyTries = 6                // while it says "not yet", each as long as it takes
)

// testAppliance only asks: nothing that moves can be sent from here.
func (h *Hands) testAppliance(ctx context.Context, a driver.Appliance, out *Tested) error {
	if l, latched := h.Guard.Latched(); latched {
		h.Person.Say("it is locked: %s", term.Safe(words.Line("en", l.Code, l.Detail, l.Cause)))
	}
	within := func(f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, askWithin)
		defer cancel()
		return f(ctx)
	}
	var ready error
	for n := 1; ; n++ {
		if ready = within(a.Ready); n == readyTries || !errors.Is(ready, driver.ErrNotYet) || ctx.Err() != nil {
			break
		}
		why := term.Safe(term.OneLine(ready.Error()))
		h.Person.Progress("%s", why)
		h.Person.Moving("%s …", why)
	}
	h.Person.ProgressEnd("")
	is := ready == nil
	out.Ready = &is
	if is {
		h.Person.Say("ready: yes")
	} else {
		out.Why = term.OneLine(ready.Error())
		h.Person.Say("ready: no, %s", term.Safe(out.Why))
	}
	var n int
	switch err := within(func(ctx context.Context) (err error) { n, err = a.Counter(ctx); return err }); {
	case err == nil:
		out.Counter = &n
		h.Person.Say("products made: %d", n)
	case errors.Is(err, driver.ErrNoCounter):
		h.Person.Say("products made: it has no counter, so no drink can be proved")
	default:
		return term.Stopped(ctx, term.Fail(term.ExitFailed, "look at the cable, and that it is switched on", "the counter can't be read: %s", err))
	}
	if !is {
		return term.Stopped(ctx, term.Fail(term.ExitFailed, "look at its display", "the machine is not ready: %s", term.Safe(out.Why)))
	}
	return nil
}

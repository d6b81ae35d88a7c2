package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/fleet/words"
	measured "barista/machine/calibration"
	"barista/machine/station"
)

// selftested is the result in JSON.
type selftested struct {
	Error       *term.Error       `json:"error,omitempty"`
	Machine     string            `json:"machine"`
	OK          bool              `json:"ok"`
	Identity    testedIdentity    `json:"identity"`
	Ready       *bool             `json:"ready,omitempty"`   // of an appliance
	Why         string            `json:"why,omitempty"`     // it is not ready
	Counter     *int              `json:"counter,omitempty"` // products that it ever made
	Calibration []station.Figures `json:"calibration,omitempty"`
	Sensors     []testedSensor    `json:"sensors,omitempty"`
	Outputs     []testedOutput    `json:"outputs,omitempty"`
}

type testedIdentity struct {
	Kind   string `json:"kind"`
	Model  string `json:"model"`
	Serial string `json:"serial"`
}

type testedSensor struct {
	Signal driver.Signal `json:"signal"`
	Value  *float64      `json:"value,omitempty"` // none: it can't say
	Good   bool          `json:"good"`
	Text   string        `json:"text"`
}

type testedOutput struct {
	Part     driver.Part   `json:"part"`
	Wire     string        `json:"wire"`
	Result   string        `json:"result"` // "confirmed" by a sensor, "switched" and nothing here could see it, "skipped", "failed"
	Reason   string        `json:"reason,omitempty"`
	OnMS     int64         `json:"on_ms"`
	Proof    driver.Signal `json:"proof,omitempty"`
	Gain     float64       `json:"gain,omitempty"`
	Feedback string        `json:"feedback,omitempty"` // the contact that followed
}

func newSelftest(c *cli) *cobra.Command {
	var config string
	var yes bool
	cmd := &cobra.Command{
		Use:   "selftest --config FILE",
		Short: "read every sensor, then switch each output for a second",
		Long: `selftest is for a person who stands at the machine, with its service stopped. It
says which hardware this is and what every sensor reads. Then it asks, and
switches each output for at most a second, one after the other, through the same
guard as a drink; where a sensor or a feedback contact shows the part's work, it
compares. The first fault ends it. Ctrl-C, Ctrl-\ and Ctrl-Z switch everything
off at once, and so does a terminal that is closed.

A machine that is locked by a fault, has its stop pressed or its door open, or
holds a drink that is not settled, is not switched. Of a machine that owns its
parts (a Jura) it says identity, readiness and counter, and starts nothing. The
journal does not hear of any of this.`,
		Example: `  barista selftest --config /etc/barista/zoe.yaml
  barista selftest --yes --json --config configs/machine-mock.yaml`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return term.Usage("name the configuration: barista selftest --config FILE")
			}
			f, err := machineFile(config)
			if err != nil {
				return err
			}
			out := &selftested{Machine: f.Machine.Name}
			words := cmd.OutOrStdout()
			if c.json {
				words = cmd.ErrOrStderr()
			}
			p := term.NewPerson(cmd.Context(), cmd.InOrStdin(), words, yes)
			err = c.atMachine(cmd, f, p, func(ctx context.Context, h *hands) error { return h.selftest(ctx, out) })
			out.OK = err == nil
			if !c.json {
				return err
			}
			if err == nil {
				return term.JSON(cmd.OutOrStdout(), out)
			}
			out.Error = explain(err)
			if err := term.JSON(cmd.OutOrStdout(), out); err != nil {
				return err
			}
			return term.Said(out.Error.Exit)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (h *hands) selftest(ctx context.Context, out *selftested) error {
	id := h.Guard.Identity()
	out.Identity = testedIdentity(id)
	h.person.Say("%s: %s, model %s, serial number %s", h.name(), term.Safe(id.Kind), term.Safe(known(id.Model)), term.Safe(known(id.Serial)))
	if a := h.Guard.Appliance(); a != nil {
		return h.testAppliance(ctx, a, out)
	}
	here, err := measured.Open(h.dir())
	if err != nil {
		return err
	}
	out.Calibration = station.Calibration(h.file.Machine.Rates, h.Machine.Plan(), here)
	for _, x := range out.Calibration {
		h.person.Say("  %s: %s", x.Part, figuresText(x))
	}
	h.testSensors(out)
	if err := h.mayTry(""); err != nil {
		return err
	}
	parts := h.Machine.Parts()
	h.person.Say("put an empty vessel under the outlet, keep hands and hair away: water can be hot")
	if err := h.person.Agrees(ctx, "switch %s, for at most a second each?", listWords(parts)); err != nil {
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
	h.person.Say("take the vessel away and empty it: what is in it is no drink")
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

func (h *hands) testSensors(out *selftested) {
	rows := [][]string{{"SENSOR", "READS", "JUDGED"}}
	for _, s := range h.Machine.Senses() {
		x := testedSensor{Signal: s.Signal, Good: !s.Bad, Text: s.Text}
		if s.Err == nil {
			x.Value = &s.Value
		}
		out.Sensors = append(out.Sensors, x)
		rows = append(rows, []string{string(s.Signal), s.Text, map[bool]string{true: "good", false: "bad"}[x.Good]})
	}
	if len(rows) == 1 {
		h.person.Say("no sensor is wired")
	}
	term.Table(h.person.Out, rows)
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
func (h *hands) testOutput(ctx context.Context, part driver.Part) (testedOutput, error) {
	t := h.Machine.ShortTry(part)
	x := testedOutput{Part: part, Wire: h.Machine.Plan().Wires[part].On}
	if err := h.Machine.MayTry(part); err != nil {
		x.Result, x.Reason = "skipped", term.OneLine(sentence(err))
		h.person.Say("  %s: skipped: %s", part, term.Safe(x.Reason))
		return x, nil
	}
	if err := h.rests(ctx, t); err != nil {
		x.Result, x.Reason = "skipped", "stopped by hand"
		return x, err
	}
	h.person.Say("%s (%s), %v: %s", part, term.Safe(x.Wire), t.For, senses[part])
	got, err := h.Machine.Try(ctx, t)
	x.OnMS, x.Proof, x.Gain = got.On.Milliseconds(), got.Proof, got.Gain
	if err != nil {
		x.Result, x.Reason = "failed", term.OneLine(sentence(err))
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
		h.person.Say("  confirmed: the sensor sees the cup")
	case got.Shown:
		x.Result = "confirmed"
		h.person.Say("  confirmed: %s rose by %.1f %s", got.Proof, got.Gain, got.Proof.Unit())
	case x.Feedback != "":
		x.Result = "confirmed"
		h.person.Say("  confirmed: its contact %s followed", term.Safe(x.Feedback))
	case got.Proof != "":
		x.Result = "switched"
		h.person.Say("  switched; the %s sensor shows nothing of it yet: judge by ear", got.Proof)
	default:
		x.Result = "switched"
		h.person.Say("  switched; no sensor can see it: judge by ear and eye")
	}
	return x, nil
}

// afterFault says what is next when something went wrong.
func (h *hands) afterFault() string {
	if _, latched := h.Guard.Latched(); latched {
		return fmt.Sprintf("the machine is locked until somebody looked at it: start its service, then barista machine clear-fault %s --reason \"…\"", h.name())
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
func (h *hands) testAppliance(ctx context.Context, a driver.Appliance, out *selftested) error {
	if l, latched := h.Guard.Latched(); latched {
		h.person.Say("it is locked: %s", term.Safe(words.Line("en", l.Code, l.Detail, l.Cause)))
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
		h.person.Progress("%s", why)
		h.person.Moving("%s …", why)
	}
	h.person.ProgressEnd("")
	is := ready == nil
	out.Ready = &is
	if is {
		h.person.Say("ready: yes")
	} else {
		out.Why = term.OneLine(ready.Error())
		h.person.Say("ready: no, %s", term.Safe(out.Why))
	}
	var n int
	switch err := within(func(ctx context.Context) (err error) { n, err = a.Counter(ctx); return err }); {
	case err == nil:
		out.Counter = &n
		h.person.Say("products made: %d", n)
	case errors.Is(err, driver.ErrNoCounter):
		h.person.Say("products made: it has no counter, so no drink can be proved")
	default:
		return term.Stopped(ctx, term.Fail(term.ExitFailed, "look at the cable, and that it is switched on", "the counter can't be read: %s", err))
	}
	if !is {
		return term.Stopped(ctx, term.Fail(term.ExitFailed, "look at its display", "the machine is not ready: %s", term.Safe(out.Why)))
	}
	return nil
}

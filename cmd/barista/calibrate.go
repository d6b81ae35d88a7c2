package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/machine"
	measured "barista/machine/calibration"
	"barista/machine/recipe"
	"barista/machine/station"
)

// figuresText is what counts for a part, and where that is from.
func figuresText(x station.Figures) string {
	from := map[string]string{"file": "as the file says", "usual": "the usual figure, not measured"}[x.From]
	if x.From == "measured" {
		from = fmt.Sprintf("measured here, version %d, by %s on %s", x.Version, term.Safe(x.By), x.At.Local().Format("2006-01-02 15:04"))
	}
	return fmt.Sprintf("%s, %s", figures(x.PerSecond, x.Unit, time.Duration(x.DelayMS)*time.Millisecond), from)
}

// figures writes a rate and a start delay.
func figures(perSecond float64, unit string, delay time.Duration) string {
	s := fmt.Sprintf("%.2f %s/s", perSecond, unit)
	if delay > 0 {
		s += fmt.Sprintf(" after %.2f s", delay.Seconds())
	}
	return s
}

// calibrated is the result in JSON.
type calibrated struct {
	Error     *term.Error      `json:"error,omitempty"`
	Machine   string           `json:"machine"`
	Part      driver.Part      `json:"part"`
	Runs      []measuredRun    `json:"runs"`
	Before    *station.Figures `json:"before,omitempty"`
	PerSecond float64          `json:"per_second,omitempty"`
	DelayMS   int64            `json:"delay_ms"`
	Worst     float64          `json:"worst"` // how far a run lies off the line, as a share of the largest
	Kept      int              `json:"kept"`  // the version; 0: nothing was kept
}

type measuredRun struct {
	OnMS   int64   `json:"on_ms"`
	Amount float64 `json:"amount"`
}

func newCalibrate(c *cli) *cobra.Command {
	var config, by string
	var list, rollback, yes, byHand bool
	cmd := &cobra.Command{
		Use:   "calibrate grinder|pump|milk --config FILE",
		Short: "measure how fast a part is, and keep it",
		Long: `calibrate is for a person who stands at the machine, with its service stopped,
with a vessel and a scale. It runs the part three times, each time longer, within
its limits and rests, and asks what came each time: g of coffee, ml of milk or
water (1 ml of water is 1 g). A flow meter or a scale of the machine is read
instead; --by-hand asks all the same. Then it finds rate and start delay, shows
them beside those that count now, and asks whether to keep them. Runs that don't
lie on one line are refused. Enter ends a run at once, and so does Ctrl-C.

Measure the pump with a pressed puck of coffee in the group: without it water
runs almost twice as fast.

What is kept goes before the file's calibration: from the next start of the
service on, in the machine's state folder, with who and when. --list shows the
last 20; --rollback puts back what counted before.`,
		Example: `  barista calibrate grinder --config /etc/barista/zoe.yaml
  barista calibrate pump --list --config /etc/barista/zoe.yaml
  barista calibrate pump --rollback --config /etc/barista/zoe.yaml`,
		ValidArgs: []string{"grinder", "pump", "milk"},
		Args:      exactly("grinder|pump|milk"),
		RunE: func(cmd *cobra.Command, args []string) error {
			part := driver.Part(args[0])
			if measured.Unit(part) == "" {
				return term.Usage("%s can't be calibrated: grinder, pump and milk can", term.Quote(args[0]))
			}
			if config == "" {
				return term.Usage("name the configuration: barista calibrate %s --config FILE", part)
			}
			if list && rollback {
				return term.Usage("--list and --rollback are two things: give one")
			}
			f, err := machineFile(config)
			if err != nil {
				return err
			}
			if f.Machine.Appliance() {
				return term.Fail(term.ExitRefused, "set the amounts at the machine itself", "%s doses by itself: there is nothing to calibrate", f.Machine.Name)
			}
			switch {
			case list:
				return c.listCalibrations(cmd, f, part)
			case rollback:
				return c.rollBack(cmd, f, part, by)
			}
			out := &calibrated{Machine: f.Machine.Name, Part: part, Runs: []measuredRun{}}
			words := cmd.OutOrStdout()
			if c.json {
				words = cmd.ErrOrStderr()
			}
			p := term.NewPerson(cmd.Context(), cmd.InOrStdin(), words, yes)
			err = c.atMachine(cmd, f, p, func(ctx context.Context, h *hands) error { return h.calibrate(ctx, part, by, byHand, out) })
			if !c.json {
				return err
			}
			if err != nil {
				out.Error = explain(err)
			}
			if err := term.JSON(cmd.OutOrStdout(), out); err != nil || out.Error == nil {
				return err
			}
			return term.Said(out.Error.Exit)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().BoolVar(&list, "list", false, "show the versions that are kept")
	cmd.Flags().BoolVar(&rollback, "rollback", false, "put back what counted before the present version")
	cmd.Flags().BoolVar(&byHand, "by-hand", false, "ask what came, also where the machine can see it")
	cmd.Flags().BoolVar(&yes, "yes", false, "ask for nothing but what came")
	byFlag(cmd, &by)
	return cmd
}

// calibrate measures one part, and keeps what a person agrees to.
func (h *hands) calibrate(ctx context.Context, part driver.Part, by string, byHand bool, out *calibrated) error {
	if err := h.mayTry(part); err != nil {
		return err
	}
	here, err := measured.Open(h.dir())
	if err != nil {
		return err
	}
	speed := h.Machine.Calibration().Factor()
	for _, x := range station.Calibration(h.file.Machine.Rates, h.Machine.Plan(), here) {
		if x.Part == part {
			out.Before = &x
			h.person.Say("%s now: %s", part, figuresText(x))
		}
	}
	plan := measured.Plan(part, h.Machine.MaxOn(part), speed)
	sees := h.Machine.Proof(part)
	if byHand {
		sees = ""
	}
	h.person.Say("%d runs, the longest %v; put an empty vessel under the outlet before each, hands and hair away", len(plan), plan[len(plan)-1].Round(time.Millisecond))
	if sees != "" {
		h.person.Say("the machine's own %s sensor is read", sees)
	}
	var points []measured.Point
	for i, on := range plan {
		t := machine.Trial{Part: part, For: on, Measure: true}
		if err := h.rests(ctx, t); err != nil {
			return err
		}
		if !h.person.Yes {
			line, err := h.person.Ask(ctx, "run %d of %d, %v: is the empty vessel there? Enter starts, q ends:", i+1, len(plan), on.Round(time.Millisecond))
			if err != nil {
				return err
			}
			if strings.EqualFold(line, "q") {
				return term.ErrStopped
			}
		}
		got, err := h.run(ctx, t)
		if err != nil {
			return err
		}
		amount := got.Gain
		if sees == "" {
			if amount, err = h.amount(ctx, part); err != nil {
				return err
			}
		}
		h.person.Say("  %.1f %s in %.1f s", amount, measured.Unit(part), got.On.Seconds())
		out.Runs = append(out.Runs, measuredRun{got.On.Milliseconds(), amount})
		// In the machine's own time: a simulated one may be faster.
		points = append(points, measured.Point{On: time.Duration(float64(got.On) * speed), Amount: amount})
	}
	rate, err := measured.Fit(part, points)
	if err != nil {
		return term.Fail(term.ExitFailed, "what counted before still does", "nothing is kept: %v", err)
	}
	out.PerSecond, out.DelayMS, out.Worst = rate.PerSecond, rate.Delay.Milliseconds(), rate.Worst
	if out.Before != nil {
		h.person.Say("before: %s", figures(out.Before.PerSecond, out.Before.Unit, time.Duration(out.Before.DelayMS)*time.Millisecond))
	}
	h.person.Say("now:    %s; the runs lie within %.1f %% of that line", figures(rate.PerSecond, measured.Unit(part), rate.Delay), rate.Worst*100)
	if why := tooSlow(h.file.Machine, rate.Over(h.Machine.Calibration(), part)); why != "" {
		return term.Fail(term.ExitRefused, "find out why it is so slow; or shorten the rests, or take the largest size out of serves, and calibrate again", "nothing is kept: with this, %s", why)
	}
	if err := h.person.Agrees(ctx, "keep it?"); err != nil {
		return err
	}
	v, err := here.Keep(part, rate, by, time.Now())
	if err != nil {
		return err
	}
	out.Kept = v.N
	h.person.Say("kept as version %d; it counts from the next start of the service", v.N)
	return nil
}

// run is one run, which the person can end.
func (h *hands) run(ctx context.Context, t machine.Trial) (machine.Tried, error) {
	inner, stop := h.person.UntilKey(ctx)
	defer stop()
	type tried struct {
		machine.Tried
		err error
	}
	done := make(chan tried, 1)
	go func() { // its end is waited for below
		x, err := h.Machine.Try(inner, t)
		done <- tried{x, err}
	}()
	if h.person.Live {
		h.person.Say("Enter ends it at once")
	}
	h.person.Progress("the %s runs for %v", t.Part, t.For.Round(time.Millisecond))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-tick.C:
			on := min(time.Since(begun), t.For)
			h.person.Moving("%s %4.1f s of %.1f s ", t.Part, on.Seconds(), t.For.Seconds())
		case x := <-done:
			h.person.ProgressEnd("")
			switch {
			case inner.Err() != nil && x.err != nil:
				return x.Tried, term.ErrStopped
			case x.err != nil:
				return x.Tried, term.Fail(term.ExitFailed, "everything is off, nothing is kept; "+h.afterFault(), "%s: %s", t.Part, term.Safe(sentence(x.err)))
			}
			return x.Tried, nil
		}
	}
}

// amount asks what came, until it is a number.
func (h *hands) amount(ctx context.Context, part driver.Part) (float64, error) {
	unit := measured.Unit(part)
	for {
		line, err := h.person.Ask(ctx, "how many %s are in the vessel? (q ends)", unit)
		if err != nil {
			return 0, err
		}
		if strings.EqualFold(line, "q") {
			return 0, term.ErrStopped
		}
		number := strings.TrimSpace(strings.TrimSuffix(strings.ReplaceAll(line, ",", "."), unit))
		if v, err := strconv.ParseFloat(number, 64); err == nil && v >= 0 && v <= 5000 && !math.IsNaN(v) {
			return v, nil
		}
		h.person.Say("%s is no amount: give a number of %s, as 18.4", term.Quote(line), unit)
	}
}

// listCalibrations needs no machine.
func (c *cli) listCalibrations(cmd *cobra.Command, f *configs.File, part driver.Part) error {
	here, err := measured.Open(station.Folder(f.State, f.Machine.Name))
	if err != nil {
		return err
	}
	now, _ := here.InForce(part)
	type version struct {
		measured.Version
		InForce bool `json:"in_force"`
	}
	out := struct {
		Machine  string      `json:"machine"`
		Part     driver.Part `json:"part"`
		Unit     string      `json:"unit"`
		Versions []version   `json:"versions"`
	}{f.Machine.Name, part, measured.Unit(part), []version{}}
	rows := [][]string{{"VERSION", "MEASURED", "WHEN", "WHO", "COUNTS"}}
	for _, v := range here.Versions(part) {
		counts := ""
		if v.N == now.N {
			counts = "yes"
		}
		out.Versions = append(out.Versions, version{v, v.N == now.N})
		rows = append(rows, []string{fmt.Sprint(v.N), figures(v.PerSecond, out.Unit, v.Delay()), term.Time(v.At), v.By, counts})
	}
	return c.show(cmd, out, func(w io.Writer) {
		term.Table(w, rows)
		if now.N == 0 {
			fmt.Fprintf(w, "%s: the file's figure counts\n", part)
		}
	})
}

// rollBack puts the version before in force. It needs the machine's lock, not
// its metal.
func (c *cli) rollBack(cmd *cobra.Command, f *configs.File, part driver.Part, by string) error {
	if err := ownState(f.State); err != nil {
		return err
	}
	dir := station.Folder(f.State, f.Machine.Name)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return term.Fail(term.ExitRefused, "see --list", "%s: %w", part, measured.ErrNothing)
	}
	lock, err := station.Lock(cmd.Context(), dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	here, err := measured.Open(dir)
	if err != nil {
		return err
	}
	was, _ := here.InForce(part)
	v, err := here.Rollback(part, by, time.Now())
	if errors.Is(err, measured.ErrNothing) {
		return term.Fail(term.ExitRefused, "see --list", "%w", err)
	}
	if err != nil {
		return err
	}
	if v.N == 0 {
		return c.done(cmd, "%s: version %d no longer counts, the file's figure does, from the next start of the service", part, was.N)
	}
	return c.done(cmd, "%s: version %d (%s) counts again instead of version %d, from the next start of the service", part, v.N, figures(v.PerSecond, measured.Unit(part), v.Delay()), was.N)
}

// tooSlow says what a machine with this calibration could not do, as the check of
// its file does: a drink that does not fit into its limits, or takes longer than a
// fleet waits. What is simulated has a pace of its own.
func tooSlow(m *configs.Machine, c recipe.Calibration) string {
	if _, is := m.Settings.(configs.Elsewhere); is {
		return "" // nobody knows its pace yet
	}
	was := *m
	was.Calibration = c
	if unfit := was.Unfit(); len(unfit) > 0 {
		return unfit[0].Reason
	}
	if k, _ := drivers.Of(m.Driver); k.Simulated {
		return ""
	}
	return was.TooLong()
}

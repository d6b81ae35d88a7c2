package hands

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/machine"
	measured "barista/machine/calibration"
	"barista/machine/station"
)

// FiguresText is what counts for a part, and where that is from.
func FiguresText(x station.Figures) string {
	from := map[string]string{"file": "as the file says", "usual": "the usual figure, not measured"}[x.From]
	if x.From == "measured" {
		from = fmt.Sprintf("measured here, version %d, by %s on %s", x.Version, term.Safe(x.By), x.At.Local().Format("2006-01-02 15:04"))
	}
	if s := x.Swapped; s != nil {
		from += fmt.Sprintf("; it was swapped on %s by %s (%s): calibrate it", s.At.Local().Format("2006-01-02 15:04"), term.Safe(s.By), term.Safe(s.Why))
	}
	return fmt.Sprintf("%s, %s", Figures(x.PerSecond, x.Unit, time.Duration(x.DelayMS)*time.Millisecond), from)
}

// Figures writes a rate and a start delay.
func Figures(perSecond float64, unit string, delay time.Duration) string {
	s := fmt.Sprintf("%.2f %s/s", perSecond, unit)
	if delay > 0 {
		s += fmt.Sprintf(" after %.2f s", delay.Seconds())
	}
	return s
}

// Calibrated is the result in JSON.
type Calibrated struct {
	Error     *term.Error      `json:"error,omitempty"`
	Machine   string           `json:"machine"`
	Part      driver.Part      `json:"part"`
	Runs      []Run            `json:"runs"`
	Before    *station.Figures `json:"before,omitempty"`
	PerSecond float64          `json:"per_second,omitempty"`
	DelayMS   int64            `json:"delay_ms"`
	Worst     float64          `json:"worst"` // how far a run lies off the line, as a share of the largest
	Kept      int              `json:"kept"`  // the version; 0: nothing was kept
}

type Run struct {
	OnMS   int64   `json:"on_ms"`
	Amount float64 `json:"amount"`
}

// Calibrate measures one part, and keeps what a person agrees to.
func (h *Hands) Calibrate(ctx context.Context, part driver.Part, by string, byHand bool, out *Calibrated) error {
	if err := h.mayTry(part); err != nil {
		return err
	}
	here, err := measured.Open(h.Dir)
	if err != nil {
		return err
	}
	speed := h.Machine.Plan().Calibration.Factor()
	for _, x := range station.Calibration(h.Rates, h.Machine.Plan(), here) {
		if x.Part == part {
			out.Before = &x
			h.Person.Say("%s now: %s", part, FiguresText(x))
		}
	}
	plan := measured.Plan(part, h.Machine.MaxOn(part), speed)
	sees := h.Machine.Proof(part)
	if byHand {
		sees = ""
	}
	h.Person.Say("%d runs, the longest %v; put an empty vessel under the outlet before each, hands and hair away", len(plan), plan[len(plan)-1].Round(time.Millisecond))
	if sees != "" {
		h.Person.Say("the machine's own %s sensor is read", sees)
	}
	var points []measured.Point
	for i, on := range plan {
		t := machine.Trial{Part: part, For: on, Measure: true}
		if err := h.rests(ctx, t); err != nil {
			return err
		}
		if err := h.vessel(ctx, "run %d of %d, %v: is an empty vessel under the outlet? y starts, q ends:", i+1, len(plan), on.Round(time.Millisecond)); err != nil {
			return err
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
		h.Person.Say("  %.1f %s in %.1f s", amount, measured.Unit(part), got.On.Seconds())
		out.Runs = append(out.Runs, Run{got.On.Milliseconds(), amount})
		// In the machine's own time: a simulated one may be faster.
		points = append(points, measured.Point{On: time.Duration(float64(got.On) * speed), Amount: amount})
	}
	rate, err := measured.Fit(part, points)
	if err != nil {
		return term.Fail(term.ExitFailed, "what counted before still does", "nothing is kept: %v", err)
	}
	out.PerSecond, out.DelayMS, out.Worst = rate.PerSecond, rate.Delay.Milliseconds(), rate.Worst
	if out.Before != nil {
		h.Person.Say("before: %s", Figures(out.Before.PerSecond, out.Before.Unit, time.Duration(out.Before.DelayMS)*time.Millisecond))
	}
	h.Person.Say("now:    %s; the runs lie within %.1f %% of that line", Figures(rate.PerSecond, measured.Unit(part), rate.Delay), rate.Worst*100)
	if why := h.TooSlow(rate.Over(h.Machine.Plan().Calibration, part)); why != "" {
		return term.Fail(term.ExitRefused, "find out why it is so slow; or shorten the rests, or take the largest size out of serves, and calibrate again", "nothing is kept: with this, %s", why)
	}
	if err := h.Person.Agrees(ctx, "keep it?"); err != nil {
		return err
	}
	v, err := here.Keep(part, rate, by, time.Now())
	if err != nil {
		return err
	}
	out.Kept = v.N
	h.Person.Say("kept as version %d; it counts from the next start of the service", v.N)
	return nil
}

// vessel asks until the person says that it is there. Enter alone is no word: it may be
// a second one by mistake.
func (h *Hands) vessel(ctx context.Context, format string, args ...any) error {
	for !h.Person.Yes {
		line, err := h.Person.Ask(ctx, format, args...)
		switch strings.ToLower(line) {
		case "y", "yes":
			return nil
		case "q":
			return term.ErrStopped
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// run is one run, which the person can end.
func (h *Hands) run(ctx context.Context, t machine.Trial) (machine.Tried, error) {
	inner, stop := h.Person.UntilKey(ctx)
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
	if h.Person.Live {
		h.Person.Say("Enter ends it at once")
	}
	h.Person.Progress("the %s runs for %v", t.Part, t.For.Round(time.Millisecond))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-tick.C:
			on := min(time.Since(begun), t.For)
			h.Person.Moving("%s %4.1f s of %.1f s ", t.Part, on.Seconds(), t.For.Seconds())
		case x := <-done:
			h.Person.ProgressEnd("")
			switch {
			case inner.Err() != nil && x.err != nil:
				return x.Tried, term.ErrStopped
			case x.err != nil:
				return x.Tried, term.Fail(term.ExitFailed, "everything is off, nothing is kept; "+h.afterFault(), "%s: %s", t.Part, term.Safe(Sentence(x.err)))
			}
			return x.Tried, nil
		}
	}
}

// amount asks what came, until it is a number.
func (h *Hands) amount(ctx context.Context, part driver.Part) (float64, error) {
	unit := measured.Unit(part)
	for {
		line, err := h.Person.Ask(ctx, "how many %s are in the vessel? (q ends)", unit)
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
		h.Person.Say("%s is no amount: give a number of %s, as 18.4", term.Quote(line), unit)
	}
}

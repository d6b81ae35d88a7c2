package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
	"barista/machine"
	"barista/machine/recipe"
)

// careWait is how long a machine waits for a person who cleans it, or for a cup to rinse
// into. It makes no drinks meanwhile, so nobody asks for its care without going there.
const careWait = 15 * time.Minute

// tryTime bounds the trial of a part: a second on, and what its sensor needs to show it.
const tryTime = 2500 * time.Millisecond

// mine is the class of this machine's care.
func (w *Worker) mine() fleet.Class { return fleet.CareClass(w.cfg.Name) }

// cared reports whether its care waits and may be taken now. The caller holds the lock.
func (w *Worker) cared() bool { return slices.Contains(w.word.Next, w.mine()) }

// careDrink is what is done for a care by itself; the error says that this machine knows
// no such care.
func (w *Worker) careDrink(o fleet.Order) (recipe.Drink, error) {
	return w.Machine.Plan().CareDrink(machine.Care(o.Size))
}

// itself reports whether an order is a care that needs nobody at the machine.
func (w *Worker) itself(o fleet.Order) bool {
	return o.IsCare() && w.Machine.Plan().ByItself(machine.Care(o.Size))
}

// mayCare asks anew, before the first record, whether a care may be taken: what stood in
// for this machine when it pulled may be gone.
func (w *Worker) mayCare(ctx context.Context) bool {
	return slices.Contains(w.asked(ctx).Next, w.mine())
}

// await waits until an order may begin: for its cup, or for whom its care needs.
func (w *Worker) await(ctx context.Context, o fleet.Order) error {
	if o.IsCare() {
		return w.Machine.AwaitCare(ctx, o.ID, machine.Care(o.Size))
	}
	return w.Machine.AwaitCup(ctx, o.ID)
}

// attended reports whether nobody has to be waited for: a person took the risk.
func (w *Worker) attended(o fleet.Order) bool {
	return w.cfg.Cup == string(machine.CupAttended) && (!o.IsCare() || o.Size == fleet.CareRinse)
}

// patience is how long a person may take.
func patience(o fleet.Order) time.Duration {
	if o.IsCare() {
		return careWait
	}
	return fleet.CupWait
}

// try switches one part on for a moment, for a person who may be anywhere: so he must say
// that somebody has looked, and a machine that may be opened is left alone.
func (w *Worker) try(c fleet.Command) (*fleet.Tried, error) {
	parts := w.Machine.PartsFromAfar()
	i := slices.Index(w.parts(), c.What)
	// From this look on it is said of no drained machine that it may be opened, until the
	// trial is over: the next word of the shop may be a drain.
	w.mu.Lock()
	hand, drained, deaf := w.hand, w.word.Cordon != nil && w.word.Cordon.Drain, w.heardAt.IsZero()
	w.trying++
	w.mu.Unlock()
	defer w.set(func() { w.trying-- })
	switch {
	case c.By == "":
		return nil, errors.New("who tries it is missing")
	case !c.Vessel:
		return nil, errors.New("somebody must say first that a vessel stands under the spout and that nobody has his hands in the machine")
	case deaf:
		return nil, errors.New("it has not heard from the shop since its start, so it may be drained and open: try again in a moment")
	case drained:
		return nil, errors.New("it is drained, so somebody may have it open: nothing moves; end the drain first, or try the part there with barista selftest")
	case i < 0:
		return nil, fmt.Errorf("it has no part %q that can be tried from afar", fleet.Plain(c.What))
	case hand != "":
		return nil, fmt.Errorf("it has order %s in hand: wait for its end", hand)
	}
	ctx, cancel := context.WithTimeout(w.stop, tryTime)
	defer cancel()
	one := w.Machine.ShortTry(parts[i])
	one.Afar, one.For = true, min(one.For, time.Second) // a simulated machine may be slower
	got, err := w.Machine.Try(ctx, one)
	if err != nil {
		return nil, errors.New(refusal(err).Text)
	}
	return &fleet.Tried{
		Part: c.What, Seconds: got.On.Seconds(), Proof: string(got.Proof), Unit: got.Proof.Unit(), Gain: got.Gain, Shown: got.Shown,
	}, nil
}

// parts are those that can be tried from afar.
func (w *Worker) parts() (out []string) {
	for _, p := range w.Machine.PartsFromAfar() {
		out = append(out, string(p))
	}
	return out
}

// upkeep is how it stands with the machine's care.
func upkeep(st machine.Status) (out []fleet.Care) {
	for _, d := range st.Care {
		out = append(out, fleet.Care{Kind: fleet.Size(d.Care), Drinks: d.Drinks, Hours: d.Hours, Due: d.Due, Itself: d.Itself})
	}
	return out
}

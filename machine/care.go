package machine

import (
	"context"
	"slices"
	"time"

	"barista/driver"
	"barista/machine/recipe"
)

// Care is a kind of upkeep that a machine needs again and again.
type Care string

// The kinds.
const (
	Rinse   Care = "rinse"   // hot water through what coffee flows through
	Clean   Care = "clean"   // a person cleans it, and it rinses after that
	Descale Care = "descale" // a person descales it, and it rinses after that
)

// Cares lists them, what is needed most often first.
var Cares = []Care{Rinse, Clean, Descale}

// Into is where the water of a rinse goes.
type Into string

// The places. In doubt it is the cup: then somebody must have put one there.
const (
	IntoCup  Into = "cup"
	IntoTray Into = "tray" // by itself, with nothing under the spout: a person took that risk, in writing
)

// Upkeep is how a machine is cared for in one way; its zero value is by hand, with the
// usual amounts, and never due.
type Upkeep struct {
	Every   int           // due after so many drinks; 0: whatever they are
	After   time.Duration // due after so long in service; 0: however long
	WaterML float64       // of a rinse by the pump, at most 200; 60
	For     time.Duration // of a rinse by a part of its own; 5 s
	Into    Into          // with Rinse; IntoCup
}

const (
	rinseML  = 60
	rinseFor = 5 * time.Second
	// MostRinseML is what a rinse may take at most: a cup stands under it.
	MostRinseML = 200
)

// CareDrink is what the machine switches for its care, laid out and poured like a drink. An
// appliance rinses itself by its own rules; after a person has cleaned or descaled it,
// nothing is to be switched there. The error is a Reason, NoCare.
func (p Plan) CareDrink(c Care) (recipe.Drink, error) {
	p = p.Filled()
	d, up := recipe.Drink{Size: string(c), Care: string(c)}, p.Care[c]
	switch {
	case !slices.Contains(Cares, c), p.Appliance() && c == Rinse:
	case p.Appliance():
		return d, nil
	case p.Has(driver.Rinse):
		if d.Rinse = up.For; d.Rinse == 0 {
			d.Rinse = rinseFor
		}
		return d, nil
	case p.Has(driver.Pump):
		if d.WaterML = up.WaterML; d.WaterML == 0 {
			d.WaterML = rinseML
		}
		for _, one := range p.Book {
			d.TempC = max(d.TempC, one.TempC)
		}
		return d, nil
	}
	return d, why(NoCare, string(c))
}

// ByItself reports whether this care needs nobody at the machine.
func (p Plan) ByItself(c Care) bool { return c == Rinse && p.Care[c].Into == IntoTray }

// byWord reports whether it begins with the word of a person who has done his part.
func (c Care) byWord() bool { return c == Clean || c == Descale }

// fitsCare lists what is wrong with the upkeep.
func (p Plan) fitsCare(add func(section, format string, args ...any)) {
	for _, c := range driver.InOrder(p.Care, Cares) {
		up, section := p.Care[c], "care "+string(c)
		if !slices.Contains(Cares, c) {
			add(section, "there is no such care: write rinse, clean or descale")
			continue
		}
		if up.Every < 0 || up.After < 0 {
			add(section, "it can't be due before it begins: give every and after above 0, or leave them out")
		}
		if !(up.WaterML >= 0 && up.WaterML <= MostRinseML) {
			add(section, "%v ml is not within 0 to %d", up.WaterML, MostRinseML)
		}
		if up.Into != "" && (c != Rinse || up.Into != IntoCup && up.Into != IntoTray) {
			add(section, "into is for a rinse: cup or tray")
		}
		if _, err := p.CareDrink(c); err != nil {
			add(section, "this machine can't do it: it has no pump and no part for it, or sees to that itself")
		}
	}
}

// AwaitCare waits until this care may begin: nothing stands where the rinse flows, a cup
// was put there, or a person says that he has done his part (CupThere); else as AwaitCup.
func (m *Machine) AwaitCare(ctx context.Context, order string, c Care) error {
	return m.awaitGate(ctx, order, c)
}

// Cared is a person's word that he has cared for the machine by other means: with nothing
// moved here, the count begins anew. The error says that the machine knows no such care.
func (m *Machine) Cared(c Care) error {
	return m.callNow(func() error {
		if !slices.Contains(m.cares, c) {
			return why(NoCare, string(c))
		}
		m.wear.made(c)
		return nil
	})
}

// cupless reports that it needs no cup that a sensor sees.
func (m *Machine) cupless(c Care) bool { return c.byWord() || m.plan.ByItself(c) }

// caring is what the task in hand is instead of a drink.
func (m *Machine) caring() Care {
	if d, is := m.hand.(*pour); is {
		return Care(d.job.Drink.Care)
	}
	return ""
}

// byHand is the timeline of a care in which this machine switches nothing.
func byHand(d recipe.Drink) recipe.Timeline {
	return recipe.Timeline{{Kind: recipe.Step, Step: d.Care}}
}

package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"barista/fleet"
)

// cared is one kind of care on a tile.
type cared struct {
	Kind  string
	Since string // what was done since the last time
	Due   bool
}

// tryable is a part that can be tried.
type tryable struct{ ID, Word string }

// careOf fills the part of a tile about care and trials. A machine that is out of service
// gets no order; one that may be open moves nothing.
func (t *machine) careOf(p *pages, m fleet.Machine, all []*fleet.Machine, hand *order) {
	if !m.Here {
		return
	}
	if hand != nil && hand.What.IsCare() && hand.Phase == fleet.Claimed {
		if t.Asked = hand.What.Size != fleet.CareRinse || m.Cup == "page"; t.Asked {
			t.Word = p.say("care.waits")
		}
	}
	for _, c := range m.Care {
		t.Care = append(t.Care, cared{string(c.Kind), p.say("care.since", p.name("care", string(c.Kind)), c.Drinks, c.Hours), c.Due})
		t.CareDue = t.CareDue || c.Due
	}
	var only []string
	for _, class := range m.OnlyHere(all) {
		only = append(only, p.name("bean", class.Bean))
	}
	if slices.Sort(only); m.Cordon == nil {
		t.Only = strings.Join(slices.Compact(only), ", ")
	}
	if m.Cordon == nil || !m.Cordon.Drain {
		for _, name := range m.Parts {
			word, known := p.known("part", name)
			if !known {
				word = capital(name)
			}
			t.Parts = append(t.Parts, tryable{name, word})
		}
	}
}

// errVessel: nobody has said that he looked.
var errVessel = errors.New("nobody has said that a vessel stands there")

// careRoutes are the addresses of its buttons. That nobody has his hands in the machine is
// said anew with each of them that may move something at once.
func (w *Web) careRoutes() map[string]http.HandlerFunc {
	about := func(one wish) bool { return one.Machine != "" }
	button := func(what string, moves bool, do func(ctx context.Context, one wish, by string) (string, error)) http.HandlerFunc {
		return w.acts(what, actTime, about, func(ctx context.Context, one wish, by string) (http.HandlerFunc, error) {
			if moves && !one.Vessel {
				return nil, errVessel
			}
			more, err := do(ctx, one, by)
			return toFleet(what + more), err
		})
	}
	asks := func(verb string) func(context.Context, wish, string) (string, error) {
		return func(ctx context.Context, one wish, by string) (string, error) {
			a, err := w.told(ctx, verb, one, by)
			if err != nil || a.Tried == nil {
				return "", err
			}
			return sawOf(*a.Tried), nil
		}
	}
	return map[string]http.HandlerFunc{
		"POST /fleet/care": button("care", false, func(ctx context.Context, one wish, by string) (string, error) {
			_, err := w.Acts.Care(ctx, one.Machine, fleet.Size(one.What), by, one.Last)
			return "", err
		}),
		"POST /fleet/cared": button("cared", false, asks(fleet.CommandCared)),
		"POST /fleet/cup":   button("cup", true, asks(fleet.CommandCup)),
		"POST /fleet/try":   button("tried", true, asks(fleet.CommandTry)),
	}
}

// sawOf is what a trial showed, as the address of the next page carries it, and triedIn
// the sentence that is made of it there. Whoever writes such an address himself reads his
// own figures.
func sawOf(t fleet.Tried) string {
	return "&" + url.Values{"part": {t.Part}, "sensor": {t.Proof}, "unit": {t.Unit}, "gain": {strconv.FormatFloat(t.Gain, 'f', 1, 64)}, "saw": {strconv.FormatBool(t.Shown)}}.Encode()
}

func (p *pages) triedIn(q url.Values) string {
	name, known := p.known("part", q.Get("part"))
	gain, err := strconv.ParseFloat(q.Get("gain"), 64)
	sensor, named := p.known("sensor", q.Get("sensor"))
	switch unit := q.Get("unit"); {
	case !known || err != nil:
		return ""
	case !named:
		return p.say("try.blind", name)
	case q.Get("saw") != "true":
		return p.say("try.nothing", name, sensor)
	case unit == "g" || unit == "ml":
		return p.say("try.saw", name, sensor, p.decimal(gain), unit)
	}
	return p.say("try.seen", name, sensor)
}

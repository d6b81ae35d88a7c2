package homeassistant

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

var pressedAt = time.Unix(1_800_000_000, 123_456_000)

const (
	aPress  = "1800000000.123456"
	aButton = "coffee.home.order.medium.arabica.free.0"
)

// TestPress is the table of presses, and what becomes of each.
func TestPress(t *testing.T) {
	for what, c := range map[string]struct {
		subject, body string
		cups          string // of the machines
		attended      bool
		late          time.Duration
		want          string
	}{
		"a press":                                      {body: aPress, want: codeAccepted},
		"whole seconds":                                {body: "1800000000", want: codeAccepted},
		"nanoseconds":                                  {body: "1800000000.123456789", want: codeAccepted},
		"as young as may be":                           {body: aPress, late: Fresh, want: codeAccepted},
		"a clock a little ahead":                       {body: aPress, late: -Fresh, want: codeAccepted},
		"one that lay somewhere":                       {body: aPress, late: Fresh + 1, want: codeStale},
		"a clock far ahead":                            {body: aPress, late: -Fresh - 1, want: codeStale},
		"Home Assistant's own word":                    {body: "PRESS", want: codeNoMoment},
		"nothing":                                      {body: "", want: codeNoMoment},
		"a moment and more":                            {body: aPress + "\n", want: codeNoMoment},
		"another number":                               {body: "1.8e9", want: codeNoMoment},
		"a drink without a button":                     {body: aPress, subject: "coffee.home.order.small.arabica.free.0", want: codeNoButton},
		"wildcards":                                    {body: aPress, subject: "coffee.home.order.*.*.*.*", want: codeNoButton},
		"another name":                                 {body: aPress, subject: "coffee.home.order.medium.Arabica.free.0", want: codeNoButton},
		"a machine that gives cups":                    {body: aPress, cups: "dispenser", want: codeAccepted},
		"a machine whose page says it":                 {body: aPress, cups: "page", want: codeByPage},
		"one by the page, one that sees":               {body: aPress, cups: "page sensor", want: codeAccepted},
		"one that looks for none":                      {body: aPress, cups: "attended", want: codeNoWitness},
		"one that looks for none beside one that sees": {body: aPress, cups: "sensor attended", want: codeNoWitness},
		"somebody stands by":                           {body: aPress, cups: "attended", attended: true, want: codeAccepted},
		"somebody stands by, and only the page":        {body: aPress, cups: "page", attended: true, want: codeByPage},
		"no machine at all":                            {body: aPress, cups: " ", want: fleet.CodeAway},
	} {
		b := newBench(t)
		if c.cups != "" {
			b.machines = nil
		}
		for i, cup := range strings.Fields(c.cups) {
			b.machines = append(b.machines, aMachine(fmt.Sprint("m", i), cup))
		}
		b.wall = pressedAt.Add(c.late)
		subject := aButton
		if c.subject != "" {
			subject = c.subject
		}
		r := b.bridge(Config{Orders: true, Attended: c.attended, Name: "Kitchen"}).order(t.Context(), press{subject, []byte(c.body)})
		if r.code != c.want || (len(b.placed) == 1) != (c.want == codeAccepted) {
			t.Errorf("%s: %+v, placed %v; want %s", what, r, b.placed, c.want)
		}
		for _, o := range b.placed {
			if want := (fleet.Order{ID: o.ID, Name: "Kitchen", Size: fleet.Medium, Bean: "arabica", Milk: "free"}); o != want {
				t.Errorf("%s: placed %+v", what, o)
			}
		}
	}
}

// TestPressWhileAway: what a machine that looks for no cup could make once it is back is
// refused as if it were here, whatever else is.
func TestPressWhileAway(t *testing.T) {
	for cups, want := range map[string]string{"attended": codeNoWitness, "attended sensor": codeNoWitness, "page": codeByPage, "sensor": fleet.CodeAway, "sensor sensor": codeAccepted} {
		b := newBench(t)
		b.machines = nil
		for i, cup := range strings.Fields(cups) {
			b.machines = append(b.machines, aMachine(fmt.Sprint("m", i), cup))
		}
		b.wall = pressedAt
		h := b.bridge(Config{Orders: true, Name: "x"})
		h.states(t.Context(), true)
		b.machines[0] = &fleet.Machine{Presence: fleet.Presence{Machine: "m0"}} // the first is away: nothing is known but its name
		if r := h.order(t.Context(), press{aButton, []byte(aPress)}); r.code != want || (len(b.placed) == 1) != (want == codeAccepted) {
			t.Errorf("%s, the first away: %+v, placed %v; want %s", cups, r, b.placed, want)
		}
	}
}

// TestOnePressOneID: the same press is the same order in whichever process, however it
// writes its moment, and whatever was not known meanwhile; any other press is another.
func TestOnePressOneID(t *testing.T) {
	ids := map[string]string{}
	place := func(subject, body string) string {
		b := newBench(t)
		n := 0
		b.answer = func(o fleet.Order) fleet.Answer {
			if n++; n == 1 {
				return fleet.Sorry(o.ID, fleet.CodeUnavailable, "not known yet")
			}
			return fleet.Success(o.ID)
		}
		var r result
		synctest.Test(t, func(t *testing.T) {
			r = b.bridge(Config{Orders: true, Name: "x"}).order(t.Context(), press{subject, []byte(body)})
		})
		if r.code != codeAccepted || len(b.placed) != 2 || b.placed[0] != b.placed[1] {
			t.Fatalf("%s %s: %+v, placed %v", subject, body, r, b.placed)
		}
		if _, err := fleet.ParseID(r.order); err != nil {
			t.Fatal(err)
		}
		return r.order
	}
	first := place(aButton, aPress)
	for _, same := range []string{aPress, aPress + "0", aPress + "000"} {
		if id := place(aButton, same); id != first {
			t.Errorf("%s is another order than %s", same, aPress)
		}
	}
	ids[first] = aPress
	for _, other := range []string{"1800000000.123457", "1800000000.12345", "1800000000", "1800000001.123456"} {
		id := place(aButton, other)
		if was, taken := ids[id]; taken {
			t.Errorf("%s and %s are one order", other, was)
		}
		ids[id] = other
	}
	if id := place("coffee.home.order.medium.mixed.free.0", aPress); id == first {
		t.Error("two drinks at one moment are one order")
	}
}

// TestTooMany: who has the password can't fill the queue.
func TestTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		br := b.bridge(Config{Orders: true, Name: "x"})
		for i := range 100 {
			br.order(context.Background(), press{aButton, fmt.Appendf(nil, "1800000000.%06d", i)})
		}
		if len(b.placed) != orderBurst {
			t.Errorf("%d of a hundred presses at once were placed", len(b.placed))
		}
		time.Sleep(orderEvery)
		if r := br.order(t.Context(), press{aButton, []byte(aPress)}); r.code != codeAccepted {
			t.Error(r)
		}
	})
}

// FuzzPress: no message is an order that no button could have sent.
func FuzzPress(f *testing.F) {
	f.Add(aButton, []byte(aPress))
	f.Add(aButton, []byte("1800000000.1234567890"))
	f.Add("coffee.home.order.*.>", []byte("-1800000000"))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		b := newBench(t)
		r := b.bridge(Config{Orders: true, Name: "x"}).order(context.Background(), press{subject, body})
		at, ok := moment(body)
		if len(b.placed) == 0 {
			return
		}
		o := b.placed[0]
		if !ok || at.Sub(pressedAt).Abs() > Fresh || fleet.HomeOrderSubject(o) != subject || r.order != pressID(subject, at) {
			t.Errorf("%q %q was placed as %+v", subject, body, o)
		}
	})
}

package jura

import (
	"context"
	"fmt"
	"strconv"

	"barista/configs/kinds"
	"barista/driver/jura"
	"barista/driver/serial"
)

// sight asks first: TY: is noise to every board here.
var sight = kinds.Sight{
	Turn: 1, Asks: "TY:, as a Jura answers it", Ask: ask, Look: look,
	Talks: "a Jura in its debug mode",
}

func ask(ctx context.Context, l *serial.Line) (kinds.Answer, error) {
	typ, err := jura.Identify(ctx, l)
	return answer(jura.Glance{Answer: typ}), err
}

func look(ctx context.Context, port *serial.Port, a *kinds.Answer) {
	if g, err := jura.Look(ctx, port); err == nil {
		*a = answer(g)
	}
}

func answer(g jura.Glance) kinds.Answer {
	a := kinds.Answer{Kind: "jura", Text: "a Jura of a model that is not known here: it can't be ordered from"}
	m, known := jura.ModelOf(g.Answer)
	model := ""
	switch {
	case known && m.ReadOnly != "":
		a.Text = fmt.Sprintf("a Jura %v; it can only be read: %s", m, m.ReadOnly)
	case known:
		model, a.Driver = m.Type, "jura"
		a.Text = fmt.Sprintf("a Jura %v; it can be ordered from", m)
		a.Hints = map[string]string{"model": m.Type}
	}
	a.Facts = []kinds.Fact{{Name: "type", Value: g.Answer}, {Name: "model", Value: model}, {Name: "busy", Value: g.Busy}, {Name: "want", Value: g.Want}, {Name: "products", Value: max(g.Products, 0)}}
	says := "it answers " + strconv.QuoteToGraphic(g.Answer)
	switch {
	case g.Products == 1:
		says += " and has made 1 product"
	case g.Products > 1:
		says += fmt.Sprintf(" and has made %d products", g.Products)
	}
	a.More = append(a.More, says)
	if g.Busy != "" {
		a.More = append(a.More, "it is at work: "+g.Busy)
	}
	if g.Want != "" {
		a.More = append(a.More, "it wants somebody to "+g.Want)
	}
	return a
}

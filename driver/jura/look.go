package jura

import (
	"context"
	"errors"

	"barista/driver/serial"
)

// Glance is what a machine tells without moving anything.
type Glance struct {
	Answer   string // to TY:
	Model    Model
	Known    bool   // Model is a row of the table
	Busy     string // "coffee", "milk"; "" is nothing that is known
	Want     string // what a person must do
	Products int    // ever made, as far as the row knows its counters; -1
}

// Look asks whatever hangs on the port what it is, and reads the inputs and
// counters of a model that is known. The error says that nothing answers as such
// a machine would.
func Look(ctx context.Context, port *serial.Port) (Glance, error) {
	ctx, cancel := context.WithTimeout(ctx, workWithin)
	defer cancel()
	seen := make(chan Glance, 1)
	err := port.Do(ctx, func(l *serial.Line) error {
		g, err := look(ctx, l)
		seen <- g
		return err
	})
	if err != nil {
		return Glance{}, err
	}
	return <-seen, nil
}

func look(ctx context.Context, l *serial.Line) (Glance, error) {
	g := Glance{Products: -1}
	a := &appliance{}
	var err error
	if g.Answer, err = a.name.read(func() (string, error) { return ask(ctx, l, askType, typeWithin, parseType) }); err != nil {
		return g, err
	}
	if a.row = row(g.Answer); a.row == nil {
		return g, nil
	}
	g.Model, g.Known = *a.row, true
	a.count.odd = a.row.strange
	switch b, err := a.readInputs(ctx, l); {
	case err == nil:
		g.Busy = a.row.busy(b)
		if want := a.row.want(b); want != nil {
			g.Want = want.What
		}
	case !errors.Is(err, errSilent): // some models know no such question
		return g, err
	}
	if len(a.row.counts) == 0 {
		return g, nil
	}
	switch w, err := a.readCount(ctx, l); {
	case err == nil:
		g.Products = a.row.sum(w)
	case !errors.Is(err, errSilent):
		return g, err
	}
	return g, nil
}

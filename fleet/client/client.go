// Package client is what programs ask a shop: which orders there are and what
// became of one, who is here and able, what is short, what the menu says; and
// what a person asks of a machine. The verbs of the command line are made of it.
//
// It promises facts and no manners: a question is answered from the broker as it
// stands now, whole or with an error, and nothing is remembered between two
// questions. Sentences, colours and exit codes are its caller's.
//
// Whoever makes a Shop owns the connection behind it. There is nothing to start
// or stop, every call ends with its context, and any goroutine may call. It
// writes cordons and the menu, never a claim: for that it asks the controller.
package client

import (
	"context"
	"encoding/json"
	"errors"

	"barista/fleet"
)

// Parts is what a Shop is joined to.
type Parts struct {
	Claims     fleet.Claims
	Orders     fleet.Orders
	Events     fleet.Events
	Settings   fleet.Settings
	Requester  fleet.Requester
	Stock      fleet.Stock
	Controller Controller
	Machines   func(context.Context) ([]fleet.Machine, error) // by name: presence.Parts.Read
}

// Controller is what a person may ask of the controller about an order.
type Controller interface {
	Cancel(ctx context.Context, order, by string) error
	Settle(ctx context.Context, order string, made bool, by, reason string) error
	MakeAgain(ctx context.Context, order, by string) error
}

// Shop answers. Its parts may be asked directly for what needs no more than one
// of them.
type Shop struct{ Parts }

// Menu is the menu in force: the default until somebody set one.
func (s Shop) Menu(ctx context.Context) (m fleet.Menu, isSet bool, err error) {
	b, err := s.Settings.Get(ctx, fleet.KeyMenu)
	if errors.Is(err, fleet.ErrNotFound) {
		return fleet.DefaultMenu(), false, nil
	}
	if err != nil {
		return m, false, err
	}
	m, err = fleet.ParseMenu(b)
	return m, true, err
}

// SetMenu puts a menu into force. It is the caller's to check it before.
func (s Shop) SetMenu(ctx context.Context, m fleet.Menu) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.Settings.Put(ctx, fleet.KeyMenu, b)
}

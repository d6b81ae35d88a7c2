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
// writes cordons and the menu, nothing into the book: for that it asks the
// controller and the stock, and for a key that is to be good no more the door.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"barista/fleet"
)

// Parts is what a Shop is joined to.
type Parts struct {
	Book       Book
	Orders     func(context.Context) ([]fleet.Entry, error) // those that are not over, and the last day's: ledger.Read
	Live       func(ctx context.Context, each func(fleet.Event)) error
	Waiting    func(context.Context) (map[fleet.Class]int, error) // messages in the queue
	Settings   Settings
	Requester  fleet.Requester
	Stock      Stock
	Controller Controller
	Machines   func(context.Context) ([]fleet.Machine, error) // by name: presence.Parts.Read
	Door       Door                                           // nil: the shop gives nobody a key
	Dangerous  func(code string) bool                         // somebody must come for this fault at once; nil: nobody can tell
}

// Book is what a Shop reads of the book.
type Book interface {
	Read(ctx context.Context, order string) (fleet.Entry, error)
	History(ctx context.Context, order string) ([]fleet.Entry, error)
	Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error
	Since(ctx context.Context, t time.Time) (uint64, error)
	Now(ctx context.Context) (time.Time, error)
}

// Settings is what a Shop reads and sets of the settings.
type Settings interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
}

// Stock is what a person may ask of the stock. An act with a key counts once,
// however often it is sent.
type Stock interface {
	Levels(ctx context.Context) (map[string]fleet.Level, error)
	Add(ctx context.Context, item string, amount int, by, key string) (fleet.Level, error)
	Count(ctx context.Context, item string, found int, by, key string) (fleet.Level, error)
	Waste(ctx context.Context, item string, amount int, by, reason, key string) (fleet.Level, error)
}

// Controller is what a person may ask of the controller about an order.
type Controller interface {
	Cancel(ctx context.Context, order, by string) error
	Settle(ctx context.Context, order string, made bool, by, reason string) error
	MakeAgain(ctx context.Context, order, by string) error
	Care(ctx context.Context, machine string, kind fleet.Size, by string, last bool) (order string, err error)
	// Troubles is what is wrong in the shop itself.
	Troubles(ctx context.Context) ([]fleet.Trouble, error)
	// Standing says whether the shop's book is whole, AcceptLoss that what it has lost
	// is lost, GoOn that a machine which the shop awaits has made nothing.
	Standing(ctx context.Context) (fleet.Standing, error)
	AcceptLoss(ctx context.Context, by, why string) error
	GoOn(ctx context.Context, machine, by, why string) error
}

// Door is what a Shop asks of the door by which members come and are put out.
type Door interface {
	Members(ctx context.Context) ([]fleet.Member, error)
	Revoke(ctx context.Context, kind, name, by string) error
	Invite(ctx context.Context, kind, name string, ttl time.Duration, by string) (fleet.Invitation, error)
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

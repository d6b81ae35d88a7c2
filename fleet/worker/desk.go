package worker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"barista/fleet"
)

// busyPause is before a desk that had too much to do is asked again.
const busyPause = 100 * time.Millisecond

// desk asks over the broker. Each request waits on a reply subject of its own, so
// an answer that comes late is heard by nobody.
type desk struct {
	ask     fleet.Requester
	machine string
	nonce   string // of this run of the process
	seen    Memory // nil: nothing is kept
}

// Memory is where a machine keeps, over its restarts, how far it has seen the shop's
// book.
type Memory interface {
	Mark() fleet.Mark
	Raise(fleet.Mark) error
}

var _ fleet.Desk = (*desk)(nil)

// NewDesk is the desk as a machine reaches it. Each request tells what the machine has
// seen of the book, each answer what it sees now; seen may be nil.
func NewDesk(r fleet.Requester, machine string, seen Memory) fleet.Desk {
	return &desk{r, machine, nonce(), seen}
}

// nonce is a name that nobody had before.
func nonce() string { return strings.ToLower(rand.Text()) }

func (d *desk) Take(ctx context.Context, order string) (fleet.Told, error) {
	t, err := d.request(ctx, fleet.DeskTake, fleet.Ask{Order: order})
	if err == nil && t.Entry.Order.ID != order {
		err = fmt.Errorf("%w: the desk told of another order", fleet.ErrNoAnswer)
	}
	return t, err
}

func (d *desk) Ask(ctx context.Context, verb string, read fleet.Entry, a fleet.Ask) (fleet.Entry, error) {
	a.Order, a.Revision = read.Order.ID, read.Revision
	if a.Epoch == 0 {
		a.Epoch = read.Epoch
	}
	t, err := d.request(ctx, verb, a)
	if err == nil && t.Entry.Order.ID != a.Order {
		err = fmt.Errorf("%w: the desk told of another order", fleet.ErrNoAnswer)
	}
	return t.Entry, err
}

func (d *desk) Announce(ctx context.Context, p fleet.Presence) (fleet.Word, error) {
	t, err := d.request(ctx, fleet.DeskPresence, fleet.Ask{Owner: p.Owner, Presence: &p})
	if err == nil && t.Word == nil {
		err = fmt.Errorf("%w: the desk said nothing", fleet.ErrNoAnswer)
	}
	if err != nil {
		return fleet.Word{}, err
	}
	return *t.Word, nil
}

func (d *desk) Leave(ctx context.Context) error {
	_, err := d.request(ctx, fleet.DeskLeave, fleet.Ask{})
	return err
}

func (d *desk) Poison(ctx context.Context, p fleet.Poison) error {
	_, err := d.request(ctx, fleet.DeskPoison, fleet.Ask{Poison: &p})
	return err
}

// request asks, again where the desk is busy, for DeskTime in all.
func (d *desk) request(ctx context.Context, verb string, a fleet.Ask) (fleet.Told, error) {
	ctx, cancel := context.WithTimeout(ctx, fleet.DeskTime)
	defer cancel()
	a.Nonce, a.Owner.Machine = d.nonce, d.machine
	if d.seen != nil {
		a.Mark = d.seen.Mark()
	}
	body, err := json.Marshal(a)
	if err != nil {
		return fleet.Told{}, err
	}
	for {
		reply, err := d.ask.Request(ctx, fleet.DeskSubject(d.machine, verb), body)
		if err != nil {
			return fleet.Told{}, fmt.Errorf("no desk answers %s: %w", verb, err)
		}
		var t fleet.Told
		if err := json.Unmarshal(reply, &t); err != nil || t.Nonce != d.nonce {
			return fleet.Told{}, fmt.Errorf("%w: the desk's answer to %s can't be read", fleet.ErrNoAnswer, verb)
		}
		if err := t.Check(); err != nil {
			return fleet.Told{}, fmt.Errorf("%w: the desk's answer to %s makes no sense: %w", fleet.ErrNoAnswer, verb, err)
		}
		if d.seen != nil && t.Mark.Seq > 0 && d.seen.Mark().Behind(t.Mark) {
			if err := d.seen.Raise(t.Mark); err != nil { // before anything is done on this answer
				return fleet.Told{}, fmt.Errorf("%w: %w", fleet.ErrNoAnswer, err)
			}
		}
		switch t.Code {
		case "":
			return t, nil
		case fleet.DeskClosed:
			return t, fleet.Saying(t.Text, fleet.ErrClosed)
		case fleet.DeskNone:
			return t, fleet.Saying(t.Text, fleet.ErrNotFound)
		case fleet.DeskConflict:
			return t, fleet.Saying(t.Text, fleet.ErrConflict)
		case fleet.DeskRefused:
			return t, fleet.Saying(t.Text, fleet.ErrNotAllowed)
		case fleet.DeskTwin:
			return t, fleet.Saying(t.Text, fleet.ErrTwin)
		case fleet.DeskBusy:
			if fleet.Pause(ctx, jitter(busyPause)) {
				continue
			}
		}
		return t, fmt.Errorf("%w: %s: %s", fleet.ErrNoAnswer, t.Code, t.Text)
	}
}

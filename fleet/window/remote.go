package window

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"barista/fleet"
)

// Client is a shop as a controller shows it. What it answers is what the broker itself
// would answer, and its errors are those of fleet.Book, fleet.Settings and the rest;
// fleet.ErrNobody means that no controller is there. See Remote.
type Client struct{ r fleet.Requester }

// Remote asks whatever controller is there, over the network.
func Remote(r fleet.Requester) Client { return Client{r} }

const (
	tries   = 10 // of a question that finds everybody busy
	soon    = 300 * time.Millisecond
	askNext = time.Second // until the next request of a follower, where one failed
)

// once asks once.
func (c Client) once(ctx context.Context, verb string, a ask) (reply, error) {
	var r reply
	body, err := json.Marshal(a)
	if err != nil {
		return r, err
	}
	b, err := c.r.Request(ctx, fleet.WindowSubject(verb), body)
	if errors.Is(err, fleet.ErrNobody) {
		return r, fmt.Errorf("no controller shows the shop: %w", err)
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return reply{}, unreadable(err)
	}
	if r.Code == "" {
		return r, nil
	}
	if means := meanings[r.Code]; means != nil {
		return r, means
	}
	return r, fmt.Errorf("the controller says %.40q: %w", r.Code, fleet.ErrNoAnswer)
}

// errStuck: else one would ask for ever.
var errStuck = errors.New("a page does not come behind the one before it")

func unreadable(err error) error {
	return fmt.Errorf("the controller's answer can't be read: %w (%w)", fleet.ErrNoAnswer, err)
}

// ask asks again while everybody is busy. what names the question in an error.
func (c Client) ask(ctx context.Context, verb, what string, a ask) (r reply, err error) {
	for range tries {
		if r, err = c.once(ctx, verb, a); !errors.Is(err, errBusy) || !fleet.Pause(ctx, soon) {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return r, err
}

// Now is fleet.Book's.
func (c Client) Now(ctx context.Context) (time.Time, error) {
	r, err := c.ask(ctx, fleet.WindowNow, "the broker's clock", ask{})
	return r.Time, err
}

// Since is fleet.Book's.
func (c Client) Since(ctx context.Context, t time.Time) (uint64, error) {
	r, err := c.ask(ctx, fleet.WindowSince, "the book since "+t.Format(time.RFC3339), ask{Time: t})
	return r.Seq, err
}

// At is fleet.Book's.
func (c Client) At(ctx context.Context, seq uint64) (fleet.Record, error) {
	return c.one(ctx, fleet.WindowAt, fmt.Sprint("record ", seq), ask{Seq: seq})
}

// LastBalance is fleet.Book's.
func (c Client) LastBalance(ctx context.Context) (fleet.Record, error) {
	return c.one(ctx, fleet.WindowBalance, "the last balance", ask{})
}

func (c Client) one(ctx context.Context, verb, what string, a ask) (fleet.Record, error) {
	r, err := c.ask(ctx, verb, what, a)
	if err != nil {
		return fleet.Record{}, err
	}
	if len(r.Records) != 1 {
		return fleet.Record{}, unreadable(errors.New("it has no record"))
	}
	return readRecord(r.Records[0])
}

func readRecord(b []byte) (fleet.Record, error) {
	var one record
	if err := json.Unmarshal(b, &one); err != nil {
		return fleet.Record{}, unreadable(err)
	}
	r, err := one.read()
	if err != nil {
		return fleet.Record{}, unreadable(err)
	}
	return r, nil
}

// Read is fleet.Book's.
func (c Client) Read(ctx context.Context, order string) (fleet.Entry, error) {
	r, err := c.ask(ctx, fleet.WindowRead, "order "+order, ask{Order: order})
	switch {
	case errors.Is(err, fleet.ErrDamaged):
		damaged := fleet.Entry{Revision: fleet.Revision{Seq: r.Seq}}
		damaged.Order.ID = order
		return damaged, err
	case err != nil:
		return fleet.Entry{}, err
	case len(r.Records) != 1:
		return fleet.Entry{}, unreadable(errors.New("it has no record"))
	}
	return claimOf(r.Records[0], order)
}

// claimOf reads a record of that order.
func claimOf(b []byte, order string) (fleet.Entry, error) {
	one, err := readRecord(b)
	if err == nil && (!one.IsClaim || one.Order.ID != order) {
		err = unreadable(errors.New("it is not of order " + order))
	}
	if err != nil {
		return fleet.Entry{}, err
	}
	return one.Entry, nil
}

// History is fleet.Book's.
func (c Client) History(ctx context.Context, order string) (all []fleet.Entry, err error) {
	for from := uint64(0); ; {
		r, err := c.ask(ctx, fleet.WindowHistory, "the history of "+order, ask{Order: order, Seq: from})
		if err != nil {
			return nil, err
		}
		for _, b := range r.Records {
			one, err := claimOf(b, order)
			if err == nil && one.Seq < from {
				err = unreadable(errStuck)
			}
			if err != nil {
				return nil, err
			}
			all = append(all, one)
			from = one.Seq + 1
		}
		if !r.More || len(r.Records) == 0 {
			return all, nil
		}
	}
}

// Follow is fleet.Book's. It survives every controller that ends, and asks whichever is
// there; only a controller that does not know the question is an error.
func (c Client) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	if ready == nil {
		ready = func() {}
	}
	a := ask{Seq: max(from, 1), End: true}
	var end uint64
	for told := false; ctx.Err() == nil; {
		r, err := c.once(ctx, fleet.WindowRecords, a)
		switch {
		case errors.Is(err, errRefused):
			return err
		case err == nil:
			err = c.hand(ctx, r, &a.Seq, each)
		}
		if err != nil { // what was handed over is not asked for again
			fleet.Pause(ctx, askNext)
			continue
		}
		if a.End {
			a.End, a.Wait, end = false, true, r.Seq
		}
		if !told && a.Seq > end && ctx.Err() == nil {
			told = true
			ready()
		}
	}
	return ctx.Err()
}

// hand hands a page over, and moves on behind it.
func (c Client) hand(ctx context.Context, r reply, from *uint64, each func(fleet.Record)) error {
	for _, b := range r.Records {
		one, err := readRecord(b)
		if err != nil {
			return err
		}
		if one.Seq < *from {
			continue
		}
		*from = one.Seq + 1
		if each(one); ctx.Err() != nil {
			return nil
		}
	}
	*from = max(*from, r.Next)
	return nil
}

// Machines lists who is here, or is known, by name.
func (c Client) Machines(ctx context.Context) (all []fleet.Machine, err error) {
	a := ask{}
	for more := true; more; {
		r, err := c.ask(ctx, fleet.WindowMachines, "who is here", a)
		if err != nil {
			return nil, err
		}
		for _, b := range r.Machines {
			var m machine
			err := json.Unmarshal(b, &m)
			if err == nil {
				err = m.Check()
			}
			if err == nil && m.Machine <= a.After {
				err = errStuck
			}
			if err != nil {
				return nil, unreadable(err)
			}
			all = append(all, fleet.Machine(m))
			a.After = m.Machine
		}
		more = r.More && len(r.Machines) > 0
	}
	return all, nil
}

// AllSettings lists the settings, deleted ones too. Which store they are of is a matter
// of the service beside it, and is not said.
func (c Client) AllSettings(ctx context.Context) (all map[string]fleet.Setting, store string, err error) {
	all = map[string]fleet.Setting{}
	a := ask{}
	for more := true; more; {
		r, err := c.ask(ctx, fleet.WindowAll, "the settings", a)
		if err != nil {
			return nil, "", err
		}
		for _, b := range r.Settings {
			var s setting
			err := json.Unmarshal(b, &s)
			if err == nil && s.Key <= a.After {
				err = errStuck
			}
			if err != nil {
				return nil, "", unreadable(err)
			}
			all[s.Key] = s.Setting
			a.After = s.Key
		}
		more = r.More && len(r.Settings) > 0
	}
	return all, "", nil
}

// Stored lists the messages in the queue, as fleet.Orders does.
func (c Client) Stored(ctx context.Context) (all []fleet.StoredOrder, err error) {
	a := ask{}
	for more := true; more; {
		r, err := c.ask(ctx, fleet.WindowStored, "the queue", a)
		if err != nil {
			return nil, err
		}
		for _, b := range r.Stored {
			var m stored
			err := json.Unmarshal(b, &m)
			if err == nil && m.Seq < a.Seq {
				err = errStuck
			}
			if err != nil {
				return nil, unreadable(err)
			}
			all = append(all, fleet.StoredOrder(m))
			a.Seq = m.Seq + 1
		}
		more = r.More && len(r.Stored) > 0
	}
	return all, nil
}

// Waiting is fleet.Orders's.
func (c Client) Waiting(ctx context.Context) (map[fleet.Class]int, error) {
	r, err := c.ask(ctx, fleet.WindowWaiting, "the queue", ask{})
	if err != nil {
		return nil, err
	}
	out := map[fleet.Class]int{}
	for _, one := range r.Waiting {
		out[one.Class] = one.N
	}
	return out, nil
}

// Told is fleet.Events's.
func (c Client) Told(ctx context.Context) (uint64, error) {
	r, err := c.ask(ctx, fleet.WindowTold, "what was told", ask{})
	return r.Seq, err
}

// Get is fleet.Settings's.
func (c Client) Get(ctx context.Context, key string) ([]byte, error) {
	r, err := c.ask(ctx, fleet.WindowGet, "setting "+key, ask{Key: key})
	if err != nil {
		return nil, err
	}
	return append([]byte{}, r.Value...), nil
}

// Put sets the menu or a machine's cordon. fleet.ErrNotAllowed: nothing else is set
// here, nor to what is none.
func (c Client) Put(ctx context.Context, key string, value []byte) error {
	return c.set(ctx, fleet.WindowPut, ask{Key: key, Value: value})
}

// Delete takes a machine's cordon back.
func (c Client) Delete(ctx context.Context, key string) error {
	return c.set(ctx, fleet.WindowDelete, ask{Key: key})
}

func (c Client) set(ctx context.Context, verb string, a ask) error {
	_, err := c.ask(ctx, verb, "setting "+a.Key, a)
	if errors.Is(err, fleet.ErrNotAllowed) {
		return fleet.Saying(fmt.Sprintf("setting %s is not changed: an operator sets the menu and takes machines out of service, and that to what makes sense", a.Key), err)
	}
	return err
}

// Package doctor compares what a shop has written down in more than one place: the
// book with the queue, with the events that were told of it, and the settings with a
// copy that is kept beside the store. A store that was damaged, or put back from an
// older copy, says nothing of it by itself; what stands twice does.
//
// Parts.Look is one look, from anywhere, and changes nothing. A Doctor looks at the
// start of a service and once an hour, names what it finds, keeps the copy of the
// settings, and puts back of them what the store has lost; orders are put before a
// person by the controller's sweep, which sees their records all the time. Run
// returns when its goroutines have ended. Any goroutine may ask.
//
// What it must never do: take a side where both could be right, or make an order go
// on. What is not surely mended is named, with what a person types next.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"barista/fleet"
)

// old is how old must be what others may have left half done.
const old = time.Minute

// Parts is what a shop's records are read by.
type Parts struct {
	Book interface {
		Read(ctx context.Context, order string) (fleet.Entry, error)
		Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error
		Now(ctx context.Context) (time.Time, error)
	}
	Stored func(context.Context) ([]fleet.StoredOrder, error)
	// Told is the record of the book up to which events are told.
	Told func(context.Context) (uint64, error)
	// Settings are all keys as they are now, deleted ones too, and which store it is.
	Settings func(context.Context) (all map[string]fleet.Setting, store string, err error)
}

// Look compares once. It takes as long as reading the whole book.
func (p Parts) Look(ctx context.Context) ([]fleet.Finding, error) {
	found, err := p.records(ctx)
	if err != nil {
		return nil, err
	}
	all, _, err := p.Settings(ctx)
	if err != nil {
		return nil, fmt.Errorf("the settings could not be read: %w", err)
	}
	l := look{list: found}
	l.settings(all)
	return l.list, nil
}

// records compares book, queue and events.
func (p Parts) records(ctx context.Context) ([]fleet.Finding, error) {
	now, err := p.Book.Now(ctx)
	if err != nil {
		return nil, err
	}
	told, err := p.Told(ctx) // first: what is told later is written later
	if err != nil {
		return nil, err
	}
	l := look{open: map[string]fleet.Entry{}}
	err = fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error { return p.Book.Follow(ctx, 1, l.record, ready) })
	if err != nil {
		return nil, fmt.Errorf("the book could not be read: %w", err)
	}
	if told > l.last {
		l.found(fleet.Finding{Code: fleet.FoundAhead, Seq: told, Detail: fmt.Sprintf("told up to record %d, the book ends at %d", told, l.last)})
	}
	if err := l.queue(ctx, p, now); err != nil {
		return nil, fmt.Errorf("the queue could not be read: %w", err)
	}
	return l.list, nil
}

// look is one look as it goes.
type look struct {
	last uint64                 // the book's newest record
	open map[string]fleet.Entry // orders that are not over, as the book says it
	list []fleet.Finding
}

func (l *look) found(f fleet.Finding) { l.list = append(l.list, f) }

func (l *look) record(r fleet.Record) {
	l.last = r.Seq
	switch {
	case r.Unread != "":
		l.found(fleet.Finding{Code: fleet.FoundUnread, Order: r.Order.ID, Seq: r.Seq, Detail: r.Unread, Next: why(r.Order.ID)})
	case r.IsClaim && r.Phase.Ended():
		delete(l.open, r.Order.ID)
	case r.IsClaim:
		l.open[r.Order.ID] = r.Entry
	}
}

// why is the verb that tells an order's story.
func why(order string) string {
	if order == "" {
		return ""
	}
	return "barista why " + order
}

// queue holds the queue against the book.
func (l *look) queue(ctx context.Context, p Parts, now time.Time) error {
	stored, err := p.Stored(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, m := range stored {
		there[m.Order] = true
		l.message(m)
	}
	for _, id := range slices.Sorted(maps.Keys(l.open)) {
		e := l.open[id]
		// What can't be read is no record here, and an older one is the last: of an order
		// that was over, too.
		if _, err := p.Book.Read(ctx, id); errors.Is(err, fleet.ErrDamaged) {
			l.found(fleet.Finding{Code: fleet.FoundUnread, Order: id, Seq: e.Seq, Detail: "what the book said of it after this", Next: why(id)})
			continue
		}
		switch {
		case e.Phase == fleet.Unknown && slices.Contains([]string{fleet.CodeLost, fleet.CodeOrphan, fleet.CodeBookBack}, e.Code):
			l.found(fleet.Finding{Code: e.Code, Order: id, Seq: e.Seq, Detail: e.Detail,
				Next: fmt.Sprintf(`barista settle %s made|not-made --reason "how it is known", or barista again %s`, id, id)})
		case e.Phase.Open() && e.Phase != fleet.Again && !there[id] && now.Sub(e.Written) >= old:
			if again, err := p.Book.Read(ctx, id); err == nil && again.Seq > e.Seq {
				continue // it has moved on since
			}
			l.found(fleet.Finding{Code: fleet.FoundUnqueued, Order: id, Seq: e.Seq, Next: why(id)})
		}
	}
	for _, m := range stored {
		if m.Order == "" || l.open[m.Order].Seq > 0 || now.Sub(m.Stored) < old {
			continue
		}
		switch _, err := p.Book.Read(ctx, m.Order); {
		case errors.Is(err, fleet.ErrNotFound):
			l.found(fleet.Finding{Code: fleet.CodeOrphan, Order: m.Order, Seq: m.Seq})
		case errors.Is(err, fleet.ErrDamaged):
			l.found(fleet.Finding{Code: fleet.CodeLost, Order: m.Order, Seq: m.Seq})
		case err != nil:
			return err
		}
	}
	return nil
}

// message looks whether a message is an order.
func (l *look) message(m fleet.StoredOrder) {
	o, err := fleet.DecodeOrder(m.Body, nil)
	if err == nil && o.ID != m.Order {
		err = fmt.Errorf("it is of order %.40q and stands there as %.40q", o.ID, m.Order)
	}
	if err != nil {
		l.found(fleet.Finding{Code: fleet.FoundMessage, Order: m.Order, Seq: m.Seq, Detail: err.Error(), Next: "barista doctor --repair"})
	}
}

// settings looks at the keys that the shop reads.
func (l *look) settings(all map[string]fleet.Setting) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		v := all[key].Value
		if v == nil {
			continue
		}
		var err error
		next := ""
		machine, cordon := fleet.CordonedBy(key)
		switch {
		case key == fleet.KeyMenu:
			_, err = fleet.ParseMenu(v)
			next = "barista menu set"
		case cordon:
			err = json.Unmarshal(v, new(fleet.Cordon))
			next = "barista machine uncordon " + machine + ", or cordon it again"
		}
		if err != nil {
			l.found(fleet.Finding{Code: fleet.FoundSetting, Key: key, Detail: strconv.QuoteToGraphic(err.Error()), Next: next})
		}
	}
}

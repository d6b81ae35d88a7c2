package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"barista/fleet"
)

// Order is one order in a list.
type Order struct {
	ID       string      `json:"order_id"`
	Phase    fleet.Phase `json:"phase"`
	Name     string      `json:"name"`
	Size     fleet.Size  `json:"size"`
	Bean     string      `json:"bean_type"`
	Milk     string      `json:"milk"`
	Sugar    int         `json:"sugar_count"`
	Machine  string      `json:"machine,omitempty"`
	Attempts int         `json:"attempts"`
	Epoch    int         `json:"epoch"`
	fleet.Reason
	By      string    `json:"by,omitempty"`
	Changed time.Time `json:"changed"` // the broker's clock
}

// OrderOf is the line of a claim.
func OrderOf(e fleet.Entry) Order {
	return Order{
		ID: e.Order.ID, Phase: e.Phase, Name: e.Order.Name, Size: e.Order.Size, Bean: e.Order.Bean, Milk: e.Order.Milk,
		Sugar: e.Order.Sugar, Machine: e.Machine(), Attempts: e.Attempts, Epoch: e.Epoch, Reason: e.Reason, By: e.By, Changed: e.Written,
	}
}

// List lists the orders of the last day, or only the open ones, the one that
// changed last at the end; of more than limit the last ones. 0: all.
func (s Shop) List(ctx context.Context, open bool, limit int) ([]Order, error) {
	list, err := s.orders(ctx)
	if err != nil {
		return nil, err
	}
	out := []Order{}
	for _, e := range list {
		if !open || !e.Phase.Ended() {
			out = append(out, OrderOf(e))
		}
	}
	if limit > 0 && len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out, nil
}

// askAgain is the pause before an order is sent again.
const askAgain = 500 * time.Millisecond

// asked is an order as it is sent. The article's controller, where that serves in place
// of ours, takes the sugar as a string and nothing else; ours takes both.
func asked(o fleet.Order) []byte {
	b, _ := json.Marshal(struct {
		fleet.Order
		Sugar string `json:"sugar_count"`
	}{o, strconv.Itoa(o.Sugar)})
	return b
}

// Place sends an order until there is an answer other than "not known yet", or
// ctx ends. The id makes that safe. ErrNobody: nobody takes orders;
// ErrNoAnswer: nobody knows whether it was taken.
func (s Shop) Place(ctx context.Context, o fleet.Order) (fleet.Answer, error) {
	var a fleet.Answer
	for {
		b, err := s.Requester.Request(ctx, fleet.SubjectRequests, asked(o))
		switch {
		case errors.Is(err, fleet.ErrNobody):
			return a, err
		case err == nil:
			a = fleet.Answer{} // a success says no code: that of the last try must not stay
			if err := json.Unmarshal(b, &a); err != nil {
				return a, fmt.Errorf("the answer of the shop can't be read: %w", err)
			}
			if a.Code != fleet.CodeUnavailable {
				return a, nil
			}
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			if a.Code != "" {
				return a, nil
			}
			return a, fleet.ErrNoAnswer
		}
	}
}

// Follow tells what happened to an order and what happens, until it has ended or
// is in doubt, tell fails, or ctx ends. The steps of a drink are told from now on
// only: they are stored nowhere. last is the event that it ended with; nil if it
// did not.
func (s Shop) Follow(ctx context.Context, id string, tell func(fleet.Event) error) (last *fleet.Event, err error) {
	past, err := s.Book.History(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(past) == 0 {
		return nil, noOrder(id)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var broken error
	hear := func(e fleet.Event, more bool) {
		if last != nil || broken != nil {
			return
		}
		broken = tell(e)
		if !more && (fleet.Phase(e.Kind).Ended() || e.Kind == fleet.EvUnknown) { // nothing follows, or only a person's decision
			last = &e
		}
		if broken != nil || last != nil {
			cancel()
		}
	}
	for i, record := range past {
		for _, e := range EventsOf(record) {
			hear(e, i < len(past)-1)
		}
	}
	if ctx.Err() == nil {
		err = s.news(ctx, past[len(past)-1].Seq+1, func(e fleet.Event, live bool) {
			if e.Order == id && (!live || e.Kind == fleet.EvStep) { // its record tells all else better
				hear(e, false)
			}
		})
	}
	if broken != nil || last != nil {
		return last, broken
	}
	return nil, err
}

// News hands over what happens to any order from now on, and what machines tell of
// their work, one at a time, until ctx ends.
func (s Shop) News(ctx context.Context, each func(fleet.Event)) error {
	from, err := s.next(ctx)
	if err != nil {
		return err
	}
	return s.news(ctx, from, func(e fleet.Event, _ bool) { each(e) })
}

// news hands over what the records from the sequence on tell, and what is told live.
func (s Shop) news(ctx context.Context, from uint64, each func(e fleet.Event, live bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // one at a time
	var told sync.WaitGroup
	told.Go(func() {
		_ = s.Live(ctx, func(e fleet.Event) { // it may get lost
			mu.Lock()
			defer mu.Unlock()
			each(e, true)
		})
	})
	err := s.Book.Follow(ctx, from, func(r fleet.Record) {
		if !r.IsClaim {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, e := range EventsOf(r.Entry) {
			each(e, false)
		}
	}, func() {})
	cancel()
	told.Wait()
	return err
}

// next is the sequence that the book's next record has, or one a little before.
func (s Shop) next(ctx context.Context) (uint64, error) {
	now, err := s.Book.Now(ctx)
	if err != nil {
		return 0, err
	}
	return s.Book.Since(ctx, now)
}

// Watch hands over the orders that List lists, and then every change; ready is
// called once, between the two.
func (s Shop) Watch(ctx context.Context, each func(fleet.Entry), ready func()) error {
	from, err := s.next(ctx) // before the list is read, so that nothing is missed
	if err != nil {
		return err
	}
	list, err := s.orders(ctx)
	if err != nil {
		return err
	}
	var upto uint64
	for _, e := range list {
		upto = max(upto, e.Seq)
		each(e)
	}
	ready()
	return s.Book.Follow(ctx, max(from, upto+1), func(r fleet.Record) {
		if r.IsClaim {
			each(r.Entry)
		}
	}, func() {})
}

func noOrder(id string) error { return fleet.Saying("there is no order "+id, fleet.ErrNotFound) }

// orders lists those that are not over and the last day's, the one that changed
// last at the end. What was carried over from a former layout is none of them.
func (s Shop) orders(ctx context.Context) ([]fleet.Entry, error) {
	list, err := s.Orders(ctx)
	if err != nil {
		return nil, fmt.Errorf("the orders could not be read: %w", err)
	}
	return slices.DeleteFunc(list, func(e fleet.Entry) bool { return e.Via == fleet.ViaOld }), nil
}

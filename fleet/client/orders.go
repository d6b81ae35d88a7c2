package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
func OrderOf(e fleet.ClaimEntry) Order {
	return Order{
		ID: e.Order.ID, Phase: e.Phase, Name: e.Order.Name, Size: e.Order.Size, Bean: e.Order.Bean, Milk: e.Order.Milk,
		Sugar: e.Order.Sugar, Machine: e.Machine(), Attempts: e.Attempts, Epoch: e.Epoch, Reason: e.Reason, By: e.By, Changed: e.Created,
	}
}

// List lists the orders, or only the open ones, the one that changed last at the
// end; of more than limit the last ones. 0: all.
func (s Shop) List(ctx context.Context, open bool, limit int) ([]Order, error) {
	list, err := s.claims(ctx)
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

// Why no order is found, beside fleet.ErrNotFound.
var (
	ErrNoRef    = errors.New("no reference to an order: give its id, the last 4 or more characters of it, or last")
	ErrNoOrders = errors.New("there is no order yet")
	ErrSeveral  = errors.New("more than one order is meant")
)

// Last means the order that changed last.
const Last = "last"

// CheckRef returns ErrNoRef for what can't mean an order.
func CheckRef(ref string) error {
	if _, err := fleet.ParseID(ref); err == nil || ref == Last {
		return nil
	}
	if len(ref) < 4 || len(ref) > 25 || strings.Trim(strings.ToUpper(ref), "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return ErrNoRef
	}
	return nil
}

// Find reads the claim that a person means: a whole id, the last four or more of
// its characters if only one order ends so, or Last.
func (s Shop) Find(ctx context.Context, ref string) (fleet.ClaimEntry, error) {
	if id, err := fleet.ParseID(ref); err == nil {
		e, err := s.Claims.Get(ctx, id)
		if errors.Is(err, fleet.ErrNotFound) {
			return e, fleet.Saying("there is no order "+id, fleet.ErrNotFound)
		}
		return e, err
	}
	if err := CheckRef(ref); err != nil {
		return fleet.ClaimEntry{}, err
	}
	list, err := s.claims(ctx)
	if err != nil {
		return fleet.ClaimEntry{}, err
	}
	if ref == Last {
		if len(list) == 0 {
			return fleet.ClaimEntry{}, ErrNoOrders
		}
		return list[len(list)-1], nil
	}
	tail := strings.ToUpper(ref)
	var found []fleet.ClaimEntry
	var ids []string
	for _, e := range list {
		if strings.HasSuffix(e.Order.ID, tail) {
			found = append(found, e)
			ids = append(ids, e.Order.ID)
		}
	}
	switch len(found) {
	case 0:
		return fleet.ClaimEntry{}, fleet.Saying("no order ends with "+tail, fleet.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return fleet.ClaimEntry{}, fleet.Saying(
		fmt.Sprintf("%d orders end with %s: give more of the id (%s)", len(found), tail, strings.Join(ids[:min(len(ids), 5)], ", ")), ErrSeveral)
}

// askAgain is the pause before an order is sent again.
const askAgain = 500 * time.Millisecond

// Place sends an order until there is an answer other than "not known yet", or
// ctx ends. The id makes that safe. ErrNobody: nobody takes orders;
// ErrNoAnswer: nobody knows whether it was taken.
func (s Shop) Place(ctx context.Context, o fleet.Order) (fleet.Answer, error) {
	var a fleet.Answer
	for {
		b, err := s.Requester.Request(ctx, fleet.SubjectRequests, o.Encode())
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
// is in doubt, tell fails, or ctx ends. last is the event that it ended with;
// nil if it did not.
func (s Shop) Follow(ctx context.Context, id string, tell func(fleet.StoredEvent) error) (last *fleet.StoredEvent, err error) {
	past, err := s.Events.Of(ctx, id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var broken error
	from := uint64(1)
	each := func(e fleet.StoredEvent) {
		if e.Order != id || e.Seq < from || last != nil || broken != nil {
			return
		}
		from = e.Seq + 1
		broken = tell(e)
		if fleet.Phase(e.Kind).Ended() || e.Kind == fleet.EvUnknown { // nothing follows, or only a person's decision
			last = &e
		}
		if broken != nil || last != nil {
			cancel()
		}
	}
	for _, e := range past {
		each(e)
	}
	if ctx.Err() == nil {
		err = s.Events.Follow(ctx, from, each, func() {})
	}
	if broken != nil || last != nil {
		return last, broken
	}
	return nil, err
}

// claims lists every claim that is kept, the one that changed last at the end.
func (s Shop) claims(ctx context.Context) ([]fleet.ClaimEntry, error) {
	byID := map[string]fleet.ClaimEntry{}
	err := fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
		return s.Claims.Watch(ctx, func(e fleet.ClaimEntry) { byID[e.Order.ID] = e }, ready)
	})
	if err != nil {
		return nil, fmt.Errorf("the orders could not be read: %w", err)
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b fleet.ClaimEntry) int { return cmp.Compare(a.Revision, b.Revision) }), nil
}

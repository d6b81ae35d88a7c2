package client

import (
	"context"

	"barista/fleet"
)

// Account is everything that the shop knows of one order.
type Account struct {
	Order    fleet.Order   `json:"order"`
	Phase    fleet.Phase   `json:"phase"`
	Cause    string        `json:"cause"` // in a sentence, for who tells it to fill in
	Tries    []Try         `json:"tries"`
	Consumed fleet.Items   `json:"consumed,omitempty"` // of the stock
	Wasted   fleet.Items   `json:"wasted,omitempty"`
	Reserved fleet.Items   `json:"reserved,omitempty"`
	Told     fleet.Answer  `json:"told"` // to the customer
	Via      string        `json:"via,omitempty"`
	By       string        `json:"by,omitempty"`
	Events   []fleet.Event `json:"events"`
}

// Try is one machine's hand at the order.
type Try struct {
	Epoch   int           `json:"epoch"`
	Machine string        `json:"machine,omitempty"`
	Outcome fleet.Outcome `json:"outcome,omitempty"`
	fleet.Reason
}

// Why tells what became of an order; events are those of the account, with the
// broker's times.
func (s Shop) Why(ctx context.Context, c fleet.Claim) (a Account, events []fleet.StoredEvent, err error) {
	events, err = s.Events.Of(ctx, c.Order.ID)
	a = accountOf(c)
	for _, e := range events {
		a.Events = append(a.Events, e.Event)
	}
	return a, events, err
}

func accountOf(c fleet.Claim) Account {
	a := Account{Order: c.Order, Phase: c.Phase, Told: c.Answer, Via: c.Via, By: c.By, Tries: []Try{}, Events: []fleet.Event{}}
	for _, p := range c.Past {
		a.Tries = append(a.Tries, Try{p.Epoch, p.Machine, p.Outcome, p.Reason})
	}
	if c.Owner != nil {
		a.Tries = append(a.Tries, Try{c.Epoch, c.Owner.Machine, c.Outcome, c.Reason})
	}
	add := func(to *fleet.Items, items fleet.Items) {
		if *to == nil {
			*to = fleet.Items{}
		}
		for item, n := range items {
			(*to)[item] += n
		}
	}
	booked := map[int]bool{}
	for _, b := range c.Bookings() {
		booked[b.Use] = true
		switch b.Act {
		case fleet.Consume:
			add(&a.Consumed, b.Items)
		case fleet.Waste:
			add(&a.Wasted, b.Items)
		case fleet.Reserve:
			add(&a.Reserved, b.Items)
		}
	}
	if !booked[c.Use] && !c.Phase.Ended() && c.Said() {
		add(&a.Reserved, c.Portion)
	}
	return a
}

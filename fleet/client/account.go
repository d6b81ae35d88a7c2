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
	Story    string        `json:"story,omitempty"` // in a paragraph, for who tells it to fill in
	Next     []Next        `json:"next,omitempty"`  // what a person types next, the likeliest first; filled in likewise
}

// Next is a command that a person may type now.
type Next struct {
	Command string `json:"command"` // a whole line for a shell
	When    string `json:"when"`    // under which condition, or what it shows
}

// Try is one machine's hand at the order.
type Try struct {
	Epoch   int           `json:"epoch"`
	Machine string        `json:"machine,omitempty"`
	Outcome fleet.Outcome `json:"outcome,omitempty"`
	fleet.Reason
}

// Why tells what became of an order.
func (s Shop) Why(ctx context.Context, c fleet.Claim) (Account, error) {
	a := accountOf(c)
	records, err := s.Book.History(ctx, c.Order.ID)
	for _, e := range records {
		for _, ev := range EventsOf(e) {
			if first := records[0]; ev.Kind == fleet.EvServed && first.Phase == fleet.Accepted && first.Epoch == 1 {
				if missed, told := e.Scored(first.Written, e.Written); told {
					ev.ETAError = &missed
				}
			}
			a.Events = append(a.Events, ev)
		}
	}
	return a, err
}

// EventsOf are what a record tells, at the time of the broker's clock.
func EventsOf(e fleet.Entry) []fleet.Event {
	out := e.Claim.Events()
	for i := range out {
		out[i].At = e.Written
	}
	return out
}

func accountOf(c fleet.Claim) Account {
	a := Account{Order: c.Order, Phase: c.Phase, Told: c.Answer, Via: c.Via, By: c.By, Tries: []Try{}, Events: []fleet.Event{}}
	for _, p := range c.Past {
		a.Tries = append(a.Tries, Try{p.Epoch, p.Machine, p.Outcome, p.Reason})
	}
	if c.Owner != nil {
		a.Tries = append(a.Tries, Try{c.Epoch, c.Owner.Machine, c.Outcome, c.Reason})
	}
	reserved, used, wasted := c.Portions()
	times := func(n int) fleet.Items {
		out := fleet.Items{}
		for item, dose := range c.Portion {
			if n*dose > 0 {
				out[item] = n * dose
			}
		}
		return out
	}
	a.Reserved, a.Consumed, a.Wasted = times(reserved), times(used), times(wasted)
	return a
}

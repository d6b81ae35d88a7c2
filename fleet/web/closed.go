package web

import (
	"barista/fleet"
	"barista/fleet/words"
)

// closedBody is what a shop says that has nothing to offer.
type closedBody struct {
	Why  string // in three words
	When string // what can honestly be said of when it opens
}

// closed says why nothing at all can be ordered and what may be hoped; nil where
// something can. What is in the way of most coffees is told, once; but what is missing on
// the shelf only where that alone is in the way: where a coffee is not made of which there
// is enough, no refill opens the shop.
func (p *pages) closed(o *offer) *closedBody {
	count := map[lack]int{}
	var most lack
	open := false
	o.each(func(order fleet.Order) {
		l, ok := o.can(order)
		if open = open || ok; ok || l.Code == fleet.CodeNotOnMenu {
			return
		}
		count[l]++
		if machines, so := l.Item == "", most.Item == "" && most.Code != ""; machines && !so || machines == so && count[l] > count[most] {
			most = l
		}
	})
	if open {
		return nil
	}
	c := &closedBody{Why: p.lack(most)}
	switch {
	case len(count) == 0:
		c.Why, c.When = words.Now(p.Lang, fleet.CodeNotOnMenu), p.say("closed.nobody")
	case most.Item != "":
		c.When = p.say("closed.refill")
	default:
		switch most.Code {
		case fleet.CodeOpening, fleet.CodeStarting, fleet.CodeUnsynced:
			c.When = p.say("closed.soon")
		case fleet.CodeSilent:
			c.When = p.say("closed.silent")
		case fleet.CodeShut:
			c.When = p.say("closed.shop")
		default:
			c.When = p.say("closed.hand")
		}
	}
	return c
}

package roles

import (
	"fmt"
	"strings"

	"barista/fleet"
)

// left is what the table does not close, and why that may be. The tests try each, so that
// nothing is in the list that is closed, and nothing open is not in it.
var left = []struct {
	what, why string
	seen      []string // as the test of aimed answers sees it; none: tried by itself
}{
	{
		"A machine can end, or put back, another machine's delivery of a class that both serve.",
		"The two pull from one queue, and an ack names a delivery and no machine. The book decides what is made: nothing is poured by it, and the sweep puts the order back within 60 s.", nil,
	},
	{
		"A machine can fill the list of waiting pulls of a class that it serves; others of that class then hear that it is full.",
		"The broker bounds the list, not what one machine has in it. Its account has few connections, the shop sees it, and whoever revokes its key ends all of its pulls.", nil,
	},
	{
		"An operator can have an answer sent to an inbox of another operator, a web to one of another web, and who comes without a key to whoever else comes without.",
		"They share an account, and may hear their own inboxes only. An answer has a token that nobody else knows; one without it is thrown away.",
		[]string{"operator: an answer is heard at an inbox by operator", "web: an answer is heard at an inbox by web", "foreign: an answer is heard at an inbox by foreign"},
	},
	{
		"An operator, or a web, can have an answer shown as a live message to another of its kind.",
		"The answer is a service's and no live message, and is left out by who reads it. Nothing is decided by live messages.",
		[]string{"operator: an answer is heard at coffee.live by operator", "web: an answer is heard at coffee.live by web"},
	},
	{
		"A site's link can settle any delivery of the hub's own queues, and what it sends to the hub as a stream's flow control is answered wherever it says.",
		"Over a link the server asks no rights of an ack (2.15.2), and the link ends in SHOP. At a hub with a shop of its own a site's key is worth as much as the admin's: keep the hub's broker for the hub.", nil,
	},
	{
		"A key of SHOP (controller, stock, admin) may do all.",
		"They ask JetStream, and its answers go where they are sent. Such a key stays on the shop's own computer.", nil,
	},
}

// Page is the table as a page: what each role may do, and what stays open.
func Page() string {
	var w strings.Builder
	w.WriteString(`# Who may do what

Made from the table in this folder; ` + "`go test ./fleet/roles -run TestPage -update`" + ` writes it anew.
Each row was tried both ways, on the broker inside barista and on a NATS server of its own: what is
allowed comes to exactly those that the table names, what is not is refused and comes to nobody.

A broker with keys has these accounts. Only SHOP has the shop's streams. What an account does not offer to
another, that one can't reach, whatever a key in it asks.

| account | whose | connections | subscriptions | largest message |
|---|---|---|---|---|
`)
	row := func(name, who string, l Limits) {
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s |\n", name, who, bound(l.Connections, 1, ""), bound(l.Subscriptions, 1, ""), bound(l.Payload, 1<<10, " KiB"))
	}
	row(fleet.AccountShop, "controller, stock, admin; a site's link", Limits{})
	row("M_`<id>`", "one machine each", limits[Machine])
	for _, k := range []Kind{Web, Operator, Monitor} {
		row(Member{Kind: k}.account(), string(k), limits[k])
	}
	row("G_`<id>`", "one invitation each", limits[Guest])
	row(Member{Kind: Foreign}.account(), "who has no key, in a shop that lets them in", limits[Foreign])
	row(accountSystem, "the server itself; nobody has a key", Limits{})
	for _, k := range []struct {
		Kind
		what string
	}{
		{Machine, "One machine, here zoe, which serves arabica without milk. It makes no queue, reads no stream and sees no order but the one in its hand."},
		{Web, "The pages. They order, show and cancel, and say that a cup is there; they stop no machine and change no stock."},
		{Operator, "A person, here lea. Each run of a verb has an inbox of its own under hers."},
		{Monitor, "Sees how it goes. JetStream's figures are under " + monitorAPI + ": `nats --js-api-prefix " + monitorAPI + " stream ls`."},
		{Guest, "Who holds an invitation, and knocks under its id; nothing else is open to him until an operator lets him in."},
		{Foreign, "Whoever has no key, if the shop lets them in: the programs of the article."},
		{Controller, "Decides: controller, desk and stock in one. Of SHOP."},
		{Stock, "The stock as a process of its own. Of SHOP."},
		{Admin, "Makes streams, mends, removes. Of SHOP."},
		{Hub, "A site's link to the hub, here site1: over the leaf port only, which no other key opens. The hub reads the site's events by it, and the site reads nothing."},
	} {
		k.write(&w, k.what)
	}
	w.WriteString("\n## What stays open\n\n")
	for _, o := range left {
		fmt.Fprintf(&w, "- **%s** %s\n", o.what, o.why)
	}
	return w.String()
}

func bound(n, unit int, name string) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprint(n/unit, name)
}

// examples are the names on the page.
var examples = map[Kind]Member{
	Machine:  {Name: "zoe", Classes: []fleet.Class{{Bean: "arabica", Milk: fleet.NoMilk}}},
	Operator: {Name: "lea"},
	Hub:      {Name: "site1"},
}

func (k Kind) write(w *strings.Builder, what string) {
	m := examples[k]
	if m.Kind = k; m.Name == "" {
		m.Name = string(k)
	}
	r := m.Rights()
	title := string(k)
	fmt.Fprintf(w, "\n## %s\n\n%s\n\nAccount %s, inbox `%s.>`", strings.ToUpper(title[:1])+title[1:], what, r.Account, r.Inbox)
	if r.Responses {
		w.WriteString(", answers requests")
	}
	w.WriteString(".\n\n| | subject | |\n|---|---|---|\n")
	list := func(verb string, subjects []string) {
		var row []string
		for i, s := range subjects {
			row = append(row, "`"+s+"`")
			what := k.purpose(m, s)
			if i+1 == len(subjects) || k.purpose(m, subjects[i+1]) != what { // one row for all of a purpose
				fmt.Fprintf(w, "| %s | %s | %s |\n", verb, strings.Join(row, " "), what)
				row = nil
			}
		}
	}
	list("sends", r.Publish)
	list("hears", r.Subscribe)
}

// purpose says what a subject is for, if it is offered to the kind.
func (k Kind) purpose(m Member, subject string) string {
	for _, o := range offers {
		for _, to := range o.to {
			for _, s := range o.seen(m) {
				if to == k && s == subject {
					return o.what
				}
			}
		}
	}
	return ""
}

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
		"A site's key can do away with what the hub has of that site.",
		"Over a link the server asks no rights of an ack, and what it sends to the hub as a stream's flow control is answered wherever it says (2.15.2): a purge, for instance. In the site's account there is nothing but its copies, and the site has the last 90 days itself.", nil,
	},
	{
		"A key of SHOP (controller, stock, admin, article) may do all.",
		"They ask JetStream, and its answers go where they are sent. Such a key stays on the shop's own computer. That of the article's programs is let in only where the shop's file names it, and is trusted like the shop's own.", nil,
	},
}

// Page is the table as a page: what each role may do, and what stays open.
func Page() string {
	var w strings.Builder
	w.WriteString(`# Who may do what

Made from the table in this folder; ` + "`go test ./fleet/roles -run TestPage -update`" + ` writes it anew.
Each row was tried both ways, on the broker inside barista and on a NATS server of its own: what is
allowed comes to exactly those that the table names, what is not is refused and comes to nobody.

A broker with keys has these accounts. Only SHOP has the streams of the shop. What an account does not offer to
another, that one can't reach, whatever a key in it asks.

| account | whose | connections | subscriptions | largest message |
|---|---|---|---|---|
`)
	row := func(name, who string, l Limits) {
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s |\n", name, who, bound(l.Connections, 1, ""), bound(l.Subscriptions, 1, ""), bound(l.Payload, 1<<10, " KiB"))
	}
	row(fleet.AccountShop, "controller, stock, admin; the article's programs", Limits{})
	row("M_`<id>`", "one machine each", limits[Machine])
	for _, k := range []Kind{Web, Operator, Monitor, Archive} {
		row(Member{Kind: k}.account(), string(k), limits[k])
	}
	row("G_`<id>`", "one invitation each", limits[Guest])
	row("S_`<site>`", "one site each, at a hub: its link ends here, and here are the copies of its events; there is nothing else", Limits{})
	row(Member{Kind: Foreign}.account(), "who has no key, in a shop that lets them in", limits[Foreign])
	row(Member{Kind: HomeAssistant}.account(), "Home Assistant, in a shop that speaks MQTT; with streams of the broker's for its sessions, at most "+fmt.Sprint(limits[HomeAssistant].Store>>20)+" MiB, and nothing of the shop", limits[HomeAssistant])
	row(accountSystem, "the server itself; nobody has a key", Limits{})
	for _, k := range []struct {
		Kind
		what string
	}{
		{Machine, "One machine, here zoe, which serves arabica without milk. It makes no queue, reads no stream and sees no order but the one in its hand."},
		{Web, "The pages. They order, show and cancel, say that a cup is there and that its customer wants a drink no more; they stop nothing else and change no stock."},
		{Operator, "A person, here lea. Each run of a verb has an inbox of its own under hers."},
		{Monitor, "Sees how it goes. JetStream's figures are under " + monitorAPI + ": `nats --js-api-prefix " + monitorAPI + " stream ls`."},
		{Archive, "Keeps the events in a database, where that is a process of its own. It reads them, customers' names among them, and nothing else; it can say that some are kept that are not, and then they are missing there."},
		{Guest, "Who holds an invitation, and knocks under its id; nothing else is open to him until an operator lets him in."},
		{Foreign, "Whoever has no key, if the shop lets them in: the programs of the article."},
		{HomeAssistant, "Home Assistant, by name and password and over MQTT only, where a dot is a slash. It sees the machines and presses buttons; no request, no order of others and no stream is within its reach."},
		{Controller, "Decides: controller, desk and stock in one. Of SHOP."},
		{Stock, "The stock as a process of its own. Of SHOP."},
		{Article, "The public article's website, and its controller beside a shop with `requests: off`, by the key that `broker: {article: U…}` names. Of SHOP: the website makes the bucket " + fleet.BucketValues + " by itself, and for that has to be where JetStream is. So this key is trusted like the shop's own, whatever the list says."},
		{Admin, "Makes streams, mends, removes. Of SHOP."},
		{Hub, "A site's link to the hub, here site1: over the leaf port only, which no other key opens. The hub reads the site's events by it, and the site reads nothing; the hub's admin asks for them under " + fleet.SiteAPI + ".site1."},
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
	fmt.Fprintf(w, "\n## %s\n\n%s\n\nAccount %s", strings.ToUpper(title[:1])+title[1:], what, r.Account)
	if !r.MQTT {
		fmt.Fprintf(w, ", inbox `%s.>`", r.Inbox)
	}
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

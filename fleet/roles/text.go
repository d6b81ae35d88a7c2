package roles

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"barista/fleet"
)

// account is one account of the text.
type account struct {
	name      string
	jetstream bool
	limits    Limits
	users     []Member
	exports   map[string]*export // by subject
	imports   []taken
}

// export is what an account offers, and to which accounts.
type export struct {
	offer
	to []string
}

// taken is what an account imports.
type taken struct {
	from    string
	subject string
	as      string
	stream  bool
}

// Text is the table in the server's configuration language: accounts, system_account
// and no_auth_user, the same text for the same members in whatever order. Errors: those
// of Check.
func (t Table) Text() (string, error) {
	if err := t.Check(); err != nil {
		return "", err
	}
	var w strings.Builder
	w.WriteString("# Made from the table of roles: change the members, not this text.\naccounts {\n")
	for _, a := range t.accounts() {
		a.write(&w)
	}
	fmt.Fprintf(&w, "}\nsystem_account: %s\n", accountSystem)
	if t.Foreign {
		fmt.Fprintf(&w, "no_auth_user: %s\n", Foreign)
	}
	return w.String(), nil
}

// accounts are all of a table, in the order of the text.
func (t Table) accounts() []*account {
	members := slices.Clone(t.Members)
	if t.Foreign {
		members = append(members, Member{Kind: Foreign, Name: string(Foreign)})
	}
	slices.SortFunc(members, func(a, b Member) int {
		return strings.Compare(string(a.Kind)+" "+a.Name+" "+a.id(), string(b.Kind)+" "+b.Name+" "+b.id())
	})

	by := map[string]*account{}
	var order []*account
	add := func(name string, l Limits) {
		if by[name] == nil {
			by[name] = &account{name: name, limits: l, exports: map[string]*export{}}
			order = append(order, by[name])
		}
	}
	// Accounts of services are always there: a reload leaves the imports of a new one
	// dead until the next.
	add(fleet.AccountShop, Limits{})
	by[fleet.AccountShop].jetstream = true
	for _, k := range []Kind{Web, Operator, Monitor, Archive} {
		add(Member{Kind: k}.account(), limits[k])
	}
	for _, m := range members {
		add(m.account(), limits[m.Kind])
		by[m.account()].users = append(by[m.account()].users, m)
	}
	for _, name := range t.sites() {
		account := Member{Kind: Hub, Name: name}.account()
		add(account, limits[Hub])
		by[account].jetstream = true
	}
	add(accountSystem, Limits{})
	for _, o := range offers {
		t.join(o, members, by)
	}
	return order
}

// sites are all that have an account, by name.
func (t Table) sites() []string {
	names := slices.Clone(t.Sites)
	for _, m := range t.Members {
		if m.Kind == Hub {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// join writes an offer into the accounts that it joins.
func (t Table) join(o offer, members []Member, by map[string]*account) {
	share := func(from, to *account, subject, site string) {
		e := from.exports[subject]
		if e == nil {
			e = &export{offer: o}
			from.exports[subject] = e
		}
		as := o.local(subject, site)
		if slices.Contains(e.to, to.name) {
			return
		}
		e.to = append(e.to, to.name)
		to.imports = append(to.imports, taken{from.name, subject, as, o.stream})
	}
	same := func(s string) string { return s }
	for _, k := range o.to {
		switch {
		case o.by == Hub:
			for _, site := range t.sites() {
				share(by[Member{Kind: Hub, Name: site}.account()], by[Member{Kind: k}.account()], o.subject, site)
			}
		case o.by == Machine:
			for _, m := range members {
				if m.Kind == Machine {
					share(by[m.account()], by[Member{Kind: k}.account()], o.named(m.Name, nil, same)[0], "")
				}
			}
		case k == Machine, k == Guest:
			for _, m := range members {
				if m.Kind == k {
					for _, s := range o.named(m.Name, m.pulls(), same) {
						share(by[fleet.AccountShop], by[m.account()], s, "")
					}
				}
			}
		case k == Foreign && !t.Foreign:
		case o.by == HomeAssistant:
			if from := by[Member{Kind: o.by}.account()]; from != nil {
				share(from, by[Member{Kind: k}.account()], o.subject, "")
			}
		case by[Member{Kind: k}.account()] == nil: // nobody of that kind belongs to the shop
		default:
			share(by[fleet.AccountShop], by[Member{Kind: k}.account()], o.subject, "")
		}
	}
}

func (a *account) write(w *strings.Builder) {
	fmt.Fprintf(w, "  %s {\n", quoted(a.name))
	if a.jetstream {
		w.WriteString("    jetstream: enabled\n")
	}
	if l := a.limits; l != (Limits{}) {
		fmt.Fprintf(w, "    limits: {max_connections: %d, max_subscriptions: %d, max_payload: %d}\n", l.Connections, l.Subscriptions, l.Payload)
	}
	if l := a.limits; l.Store > 0 {
		fmt.Fprintf(w, "    jetstream: {max_file: %d, max_mem: %d, max_streams: %d, max_consumers: %d}\n", l.Store, l.Memory, l.Streams, l.Consumers)
	}
	if len(a.users) > 0 {
		w.WriteString("    users: [\n")
		for _, m := range a.users {
			m.write(w)
		}
		w.WriteString("    ]\n")
	}
	if len(a.exports) > 0 {
		w.WriteString("    exports: [\n")
		for _, s := range slices.Sorted(maps.Keys(a.exports)) {
			a.exports[s].write(w, s)
		}
		w.WriteString("    ]\n")
	}
	if len(a.imports) > 0 {
		w.WriteString("    imports: [\n")
		for _, i := range a.imports {
			i.write(w)
		}
		w.WriteString("    ]\n")
	}
	w.WriteString("  }\n")
}

func (i taken) write(w *strings.Builder) {
	what := "service"
	if i.stream {
		what = "stream"
	}
	fmt.Fprintf(w, "      {%s: {account: %s, subject: %s}", what, quoted(i.from), quoted(i.subject))
	if i.as != i.subject {
		fmt.Fprintf(w, ", to: %s", quoted(i.as))
	}
	w.WriteString("}\n")
}

func (e *export) write(w *strings.Builder, subject string) {
	if e.stream {
		fmt.Fprintf(w, "      {stream: %s, accounts: %s}\n", quoted(subject), list(e.to))
		return
	}
	fmt.Fprintf(w, "      {service: %s, accounts: %s, response_threshold: %s", quoted(subject), list(e.to), quoted(e.within))
	if e.many {
		w.WriteString(", response_type: stream")
	}
	w.WriteString("}\n")
}

// mostResponses is how often a connection may answer one request. It is not once: all
// services of a connection answer one $SRV.PING, and the server counts a request that
// comes to a second of them as an answer, too (2.15.2). A request from another account is
// answered once in any case: the way back ends with the first answer.
const mostResponses = 200

// Site is what a site needs at a hub whose accounts others have written, in the server's
// language: its account, and what account SHOP, in which the hub's admin is, imports of it.
// Errors: those of Table.Check.
func Site(name, key string) (account, imports string, err error) {
	t := Table{Members: []Member{{Kind: Hub, Name: name, Key: key}}}
	if err := t.Check(); err != nil {
		return "", "", err
	}
	var a, i strings.Builder
	for _, one := range t.accounts() {
		if one.name == t.Members[0].account() {
			one.write(&a)
		}
		for _, from := range one.imports {
			if from.from == t.Members[0].account() {
				from.write(&i)
			}
		}
	}
	return a.String(), i.String(), nil
}

// write writes a member as a user.
func (m Member) write(w *strings.Builder) {
	r := m.Rights()
	who := "nkey: " + m.Key // a bare word: the form is checked
	switch {
	case m.Kind == Foreign:
		who = "user: " + quoted(m.Name) + `, password: ""`
	case m.Kind == HomeAssistant:
		who = "user: " + quoted(m.Name) + ", password: " + quoted(m.Password)
	case m.Subject != "":
		who = "user: " + quoted(m.Subject)
	}
	ways := `["STANDARD", "IN_PROCESS"]` // the leaf port lets replies through that would act on the broker
	if r.Leaf {
		ways = `["LEAFNODE"]`
	}
	if r.MQTT {
		ways = `["MQTT"]`
	}
	fmt.Fprintf(w, "      # %s %s\n      {%s, allowed_connection_types: %s, permissions: {", m.Kind, m.Name, who, ways)
	fmt.Fprintf(w, "publish: {allow: %s}, subscribe: {allow: %s}", list(r.Publish), list(r.Subscribe))
	if r.Responses {
		fmt.Fprintf(w, `, allow_responses: {max: %d, expires: "1m"}`, mostResponses)
	}
	w.WriteString("}}\n")
}

func list(what []string) string {
	out := make([]string, len(what))
	for i, s := range what {
		out[i] = quoted(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// quoted is a string of the language. What comes here has been checked: it has nothing
// that a quote would have to escape.
func quoted(s string) string { return strconv.Quote(s) }

package roles

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"barista/fleet"
)

const anOrder = "01JD0000000000000000000AAA"

// subjects are those of the table, of a machine that one is and of one that one is not,
// and those that nobody but a service of SHOP has business with.
func subjects() []string {
	all := map[string]bool{}
	put := func(s string) {
		for _, id := range []string{"zoe", "leo"} {
			for _, maker := range []string{fleet.MakerDurable(arabica), fleet.MakerDurable(robusta)} {
				one := strings.NewReplacer("<id>", id, "<name>", id, "<maker>", maker).Replace(s)
				// What a wildcard stands for: a word that is allowed in every place.
				one = strings.ReplaceAll(strings.ReplaceAll(one, ".>", ".some.thing"), "*", "some")
				all[one] = true
			}
		}
	}
	for _, o := range offers {
		put(o.subject)
		put(o.local(o.subject, "site1"))
		put(o.local(o.subject, "site2"))
	}
	for _, p := range permissions {
		for _, s := range slices.Concat(p.publish, p.subscribe) {
			if s != ">" {
				put(s)
			}
		}
	}
	for _, s := range []string{
		"coffee.controller.marks", "coffee.controller.without", "coffee.stock.arabica.dec.small", "coffee.stock.arabica.get", "coffee.orders.arabica.free",
		"coffee.book.new-0." + anOrder, "coffee.book.now." + anOrder, "coffee.events." + anOrder + ".served", "coffee.wake.arabica.free",
		"$KV.coffee-settings.menu", "$KV.coffee-machines.zoe", "$KV.coffee-machines.leo", "$KV.coffee-stock.levels", "$KV.orders-values.orders.pending",
		"$JS.API.STREAM.PURGE.coffee-book", "$JS.API.STREAM.DELETE.coffee-events", "$JS.API.STREAM.CREATE.mine", "$JS.API.STREAM.UPDATE.coffee-orders",
		"$JS.API.STREAM.MSG.GET.coffee-book", "$JS.API.STREAM.MSG.DELETE.coffee-orders", "$JS.API.DIRECT.GET.coffee-book",
		"$JS.API.CONSUMER.CREATE.coffee-book.mine", "$JS.API.CONSUMER.DELETE.coffee-orders.maker-arabica-free", "$JS.API.CONSUMER.PAUSE.coffee-orders.maker-arabica-free",
		"$JS.API.CONSUMER.MSG.NEXT.coffee-intake.intake", "$JS.API.CONSUMER.CREATE.coffee-events.archive", "$JS.API.CONSUMER.DURABLE.CREATE.coffee-events.archive", "$JS.API.CONSUMER.INFO.coffee-events.archive", "$JS.API.CONSUMER.MSG.NEXT.coffee-events.mine", "$JS.ACK.coffee-events.mine.1.1.1.1.0", "_INBOX_archive.a", "$JS.ACK.coffee-intake.intake.1.1.1.1.0",
		"$SRV.PING", "$SRV.INFO.zoe", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.SHOP.CONNZ", "$SYS.ACCOUNT.SHOP.CONNECT", "sync.site1.x", "sync.site2.x", "elsewhere",
		"_INBOX_zoe.a", "_INBOX_leo.a", "_INBOX_controller.a", "_INBOX_stock.a", "_INBOX_web.a", "_INBOX_web-counter.a", "_INBOX_op.lea.run.a", "_INBOX_op.max.run.a", "_INBOX_monitor.a", "_INBOX.a", "_INBOX_guest-first.a", "_INBOX_guest-second.a", "$JS.hub.API.STREAM.PURGE.coffee-book", "$JS.ACK.coffee-site-site2.reader.1.1.1.1.0", "coffee.door.knock.first", "coffee.door.knock.second", "coffee.door.revoke",
		"coffee.machines.zoe.0123456789abcdef", "coffee.machines.leo.0123456789abcdef", "coffee.live.zoe." + anOrder + ".step-1", "coffee.live.leo." + anOrder + ".step-1",
	} {
		all[s] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// wide are the subscriptions by which one would hear what is not his.
var wide = []string{
	">", "*", "*.>", "coffee.>", "coffee.*.>", "coffee.book.>", "coffee.desk.>", "coffee.desk.*.*", "coffee.machines.*.*", "coffee.machines.*.cmd", "coffee.live.>", "coffee.live.*.*.*",
	"coffee.events.>", "coffee.orders.>", "$KV.>", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "$SRV.>", "_INBOX.>", "_INBOX_op.>", "_INBOX_op.max.>", "_INBOX_leo.>",
	"_INBOX_zoe.>", "_INBOX_controller.>", "_R_.>", "$JSC.>",
}

// stand is a server with everybody at it.
type stand struct {
	url   string
	table Table
	by    map[string]*account // by name
	ears  []*ear
}

func (s *stand) ear(name string) *ear {
	return s.ears[slices.IndexFunc(s.ears, func(e *ear) bool { return e.Name == name })]
}

// everywhere runs f at a stand on an embedded broker and on an external server.
func everywhere(t *testing.T, f func(t *testing.T, s *stand)) {
	for _, kind := range slices.Sorted(maps.Keys(servers)) {
		t.Run(kind, func(t *testing.T) {
			all, table := everybody(t)
			text, err := table.Text()
			if err != nil {
				t.Fatal(err)
			}
			s := &stand{url: servers[kind](t, store(t), text), table: table, by: map[string]*account{}}
			for _, a := range table.accounts() {
				s.by[a.name] = a
			}
			s.setUp(t, all)
			for _, p := range all {
				e, err := join(t, s.url, p)
				if p.Kind == Hub {
					if err == nil {
						t.Errorf("a site's key opens the port of clients")
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", p.Name, err)
				}
				s.ears = append(s.ears, e)
			}
			f(t, s)
		})
	}
}

// setUp makes what the shop has in memory, as its controller does at each start.
func (s *stand) setUp(t *testing.T, all []person) {
	t.Helper()
	c := as(t, nil, s.url, all[slices.IndexFunc(all, func(p person) bool { return p.Kind == Controller })])
	if _, err := c.Setup(t.Context(), fleet.DefaultMenu()); err != nil {
		t.Fatal(err)
	}
}

// hears subscribes everybody to everything, and looks at each refusal. Services answer
// with nothing, which is the worst that can go astray.
func (s *stand) hears(t *testing.T) (cells int) {
	t.Helper()
	for _, e := range s.ears {
		for _, subject := range append(slices.Clone(wide), subjects()...) {
			cells++
			if got, want := e.listen(t, subject), anyMatches(e.rights.Subscribe, subject); got != want {
				t.Errorf("%s %s listens at %s: %v, by the table %v", e.Kind, e.Name, subject, got, want)
			}
		}
		if e.rights.Responses {
			e.answer = func(m *nats.Msg) {
				if strings.HasPrefix(m.Subject, "coffee.") {
					_ = m.Respond(nil)
				}
			}
		}
	}
	return cells
}

// settle lets all that is under way arrive.
func (s *stand) settle(t *testing.T) {
	t.Helper()
	for range 2 { // requests, then answers
		for _, e := range s.ears {
			e.flush(t)
		}
	}
}

// reach lists the ears that a message of a member must come to, by the accounts.
func (s *stand) reach(from *ear, subject string) (names []string) {
	for _, e := range s.ears {
		if s.arrives(from.rights.Account, e.rights.Account, subject, e.rights.Subscribe) {
			names = append(names, e.Name)
		}
	}
	return names
}

func (s *stand) arrives(from, to, subject string, patterns []string) bool {
	if from == to {
		return anyMatches(patterns, subject)
	}
	for _, i := range s.by[from].imports { // services: the message goes where the import leads
		if !i.stream && i.from == to && matches(i.as, subject) {
			there := subject
			if i.as != i.subject {
				there = "$JS.API" + strings.TrimPrefix(subject, monitorAPI)
			}
			return anyMatches(patterns, there)
		}
	}
	for _, i := range s.by[to].imports { // streams: who imports hears
		if i.stream && i.from == from && matches(i.subject, subject) {
			return anyMatches(patterns, subject)
		}
	}
	return false
}

// TestMatrix tries every cell of the table both ways: what is allowed comes to exactly
// those whom the table names, and is answered; what is not is refused, and comes to
// nobody.
func TestMatrix(t *testing.T) {
	everywhere(t, func(t *testing.T, s *stand) {
		subs := s.hears(t)
		allowed, refused := 0, 0
		for _, e := range s.ears {
			a, r := s.row(t, e)
			allowed, refused = allowed+a, refused+r
		}
		t.Logf("%d subscriptions, %d allowed and %d refused messages", subs, allowed, refused)
	})
}

// row has one member send a request to every subject, and counts those that the table
// allows and the others.
func (s *stand) row(t *testing.T, e *ear) (allowed, refused int) {
	t.Helper()
	inbox := e.NewInbox()
	answers := make(chan *nats.Msg, 1<<12)
	sub, err := e.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	for _, subject := range subjects() {
		if err := e.PublishRequest(subject, inbox+"."+reply(subject), []byte("cell "+subject)); err != nil {
			t.Fatal(err)
		}
		e.flush(t)
		may := anyMatches(e.rights.Publish, subject)
		if no := e.refused("Publish", subject); no == may {
			t.Errorf("%s %s sends to %s: refused %v, by the table allowed %v", e.Kind, e.Name, subject, no, may)
		}
		if may {
			allowed++
		} else {
			refused++
		}
	}
	s.settle(t)
	came := map[string][]string{} // by body
	for _, at := range s.ears {
		for _, m := range at.forget() {
			if strings.HasPrefix(m.Reply, "$JS.ACK.") {
				continue // a pull of this row brought what this row has stored
			}
			if body := string(m.Data); !slices.Contains(came[body], at.Name) {
				came[body] = append(came[body], at.Name)
			}
		}
	}
	answered := map[string]bool{}
	for len(answers) > 0 {
		m := <-answers
		if m.Header.Get("Status") == "" { // else it is the server's word that nobody is there
			answered[strings.TrimPrefix(m.Subject, inbox+".")] = true
		}
	}
	for _, subject := range subjects() {
		var want []string
		may := anyMatches(e.rights.Publish, subject)
		if may {
			want = s.reach(e, subject)
		}
		got := came["cell "+subject]
		if !slices.Equal(got, want) {
			t.Errorf("%s %s sends to %s: it came to %v, by the table to %v", e.Kind, e.Name, subject, got, want)
		}
		asks := strings.HasPrefix(subject, "coffee.") && !strings.HasPrefix(subject, "coffee.live.") &&
			slices.ContainsFunc(got, func(name string) bool { return s.ear(name).answer != nil })
		if has := answered[reply(subject)]; asks && !has || has && !may {
			t.Errorf("%s %s asks at %s: answered %v, by the table allowed %v", e.Kind, e.Name, subject, has, may)
		}
	}
	return allowed, refused
}

// reply is a token for the answer from a subject.
func reply(subject string) string {
	return strings.NewReplacer(".", "-", ">", "all", "$", "s").Replace(subject)
}

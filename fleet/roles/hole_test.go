package roles

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// direct marks what somebody sent himself. What comes to an ear without it was sent by
// another one in his place.
const direct = "Direct"

// aims are where an answer would do harm.
func aims() []string {
	return []string{
		"$JS.API.STREAM.PURGE.coffee-book", "$JS.API.STREAM.DELETE.coffee-events", "$JS.API.STREAM.INFO.coffee-book", "$JS.API.CONSUMER.DELETE.coffee-orders.maker-arabica-free",
		"$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-robusta-free", "$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-arabica-free", "$JS.API.DIRECT.GET.coffee-book",
		"shop.js.STREAM.INFO.coffee-book",
		"$JS.ACK.coffee-orders.maker-robusta-free.1.1.1.1.0", "$JS.ACK.coffee-orders.maker-arabica-free.1.1.1.1.0", "$JS.ACK.coffee-intake.intake.1.1.1.1.0", "$JS.FC.some.thing",
		"_R_.abc123.XyZ456", "$SRV.PING", "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.RELOAD", "$SYS.REQ.ACCOUNT.PING.CONNZ",
		"coffee.book.new-0.refill", "coffee.book.now." + anOrder, "coffee.events." + anOrder + ".served", "coffee.orders.arabica.free", "coffee.orders.robusta.free", "coffee.orders.arabica",
		"$KV.coffee-settings.menu", "$KV.coffee-settings.cordon.leo", "$KV.coffee-machines.leo", "$KV.coffee-stock.levels", "$KV.orders-values.orders.pending",
		"coffee.web.requests", "coffee.controller.cancel", "coffee.controller.loss", "coffee.controller.marks", "coffee.stock.add", "coffee.stock.waste", "coffee.stock.arabica.get", "coffee.doctor.repair", "coffee.window.op.put",
		"coffee.machines.zoe.cmd", "coffee.machines.leo.cmd", "coffee.machines.leo.cup", "coffee.machines.leo.0123456789abcdef", "coffee.desk.zoe.end", "coffee.desk.leo.end",
		"coffee.live.zoe." + anOrder + ".step-1", "coffee.live.leo." + anOrder + ".step-1",
		"_INBOX_zoe.a", "_INBOX_leo.a", "_INBOX_controller.a", "_INBOX_stock.a", "_INBOX_admin.a", "_INBOX_web.a", "_INBOX_web-counter.a", "_INBOX_op.lea.run.a", "_INBOX_op.max.run.a", "_INBOX_monitor.a", "_INBOX.a",
		"_INBOX_guest-first.a", "_INBOX_guest-second.a", "coffee.door.revoke", "coffee.door.knock.second",
	}
}

// requests are what a request can say so that its answer is of another kind: an order or
// none (404), a wait that ends (408), the confirmation of an ack, an error, an answer of a
// service.
var requests = []string{"", `{"batch":1,"no_wait":true}`, `{"batch":1,"expires":1000000}`, "+WPI", "+TERM", "{}", "nonsense"}

// TestDeputies has everybody who is not of SHOP ask all that he may, and have the answer
// sent where it would do harm. What comes of it is in the list of what is open.
func TestDeputies(t *testing.T) {
	everywhere(t, func(t *testing.T, s *stand) {
		js := s.orders(t, 40)
		s.listens(t)
		before := s.shop(t, js)
		sent, open := 0, map[string]bool{}
		for _, e := range s.ears {
			if e.rights.Account == fleet.AccountShop || slices.Contains([]string{"leo", "counter", "max", "stranger", "second"}, e.Name) {
				continue // SHOP's own, and those who may no more than another one here
			}
			mine := slices.DeleteFunc(subjects(), func(subject string) bool { return !anyMatches(e.rights.Publish, subject) })
			for _, subject := range append(mine, "$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-arabica-free") {
				bodies := requests
				if strings.HasPrefix(subject, "coffee.") { // here, the same answer to all
					bodies = requests[:1]
				}
				for _, body := range bodies {
					for _, aim := range aims() {
						m := &nats.Msg{Subject: subject, Reply: aim, Data: []byte(body), Header: nats.Header{direct: {e.Name}}}
						if err := e.PublishMsg(m); err != nil {
							t.Fatal(err)
						}
						sent++
					}
				}
				s.settle(t)
			}
			s.quiet(t, js)
			for _, at := range s.ears {
				for _, m := range at.forget() {
					if at.Name != e.Name && m.Header.Get(direct) == "" && !anyMatches(e.rights.Publish, m.Sub.Subject) {
						open[fmt.Sprintf("%s: an answer is heard at %s by %s", e.Kind, someone(m.Sub.Subject), at.Kind)] = true
					}
				}
			}
		}
		if d := cmp.Diff(before, s.shop(t, js)); d != "" {
			t.Errorf("the shop has changed:\n%s", d)
		}
		want := map[string]bool{}
		for _, o := range left {
			for _, seen := range o.seen {
				want[seen] = true
			}
		}
		if d := cmp.Diff(want, open); d != "" {
			t.Errorf("what is open (-said +seen):\n%s", d)
		}
		t.Logf("%d requests with an answer aimed elsewhere", sent)
	})
}

func someone(subject string) string {
	switch {
	case strings.HasPrefix(subject, "_INBOX"):
		return "an inbox"
	case strings.HasPrefix(subject, "coffee.live."):
		return "coffee.live"
	}
	return subject
}

// orders puts some orders into the queue and returns the admin's JetStream.
func (s *stand) orders(t *testing.T, n int) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(s.ear("admin").Conn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for _, c := range []fleet.Class{arabica, robusta} {
			if _, err := js.Publish(t.Context(), fleet.OrderSubject(c), fmt.Appendf(nil, "order %d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := js.Publish(t.Context(), "coffee.book.now."+anOrder, []byte("a record")); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "coffee.events."+anOrder+".accepted", []byte("an event")); err != nil {
		t.Fatal(err)
	}
	return js
}

// listens has each one listen where an answer may be aimed, and services answer what is
// asked of them with nothing.
func (s *stand) listens(t *testing.T) {
	t.Helper()
	for _, e := range s.ears {
		for _, subject := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(aims(), subjects())))) {
			if anyMatches(e.rights.Subscribe, subject) && !(e.Kind == Admin && anyMatches(served, subject)) && !e.listen(t, subject) {
				t.Fatalf("%s can't listen at %s", e.Name, subject)
			}
		}
		if e.rights.Responses {
			e.answer = func(m *nats.Msg) {
				// A stream keeps its reply across accounts, unlike a service: who answered
				// live messages would be anybody's deputy. Nobody does.
				if m.Header.Get(direct) != "" && !strings.HasPrefix(m.Subject, "coffee.live.") {
					_ = m.Respond(nil)
				}
			}
		}
	}
}

// served are the subjects of which JetStream itself takes what comes: a request there is
// seen by what it does.
var served = []string{"$JS.>", "$SYS.>"}

// shop is how SHOP's streams and consumers are.
func (s *stand) shop(t *testing.T, js jetstream.JetStream) map[string]string {
	t.Helper()
	out := map[string]string{}
	for info := range js.ListStreams(t.Context()).Info() {
		st := info.State
		switch info.Config.Name {
		case fleet.StreamOrders: // a machine may end an order of its class
			st.Msgs, st.FirstSeq = 0, 0
		case fleet.StreamIntake: // anybody drops orders in
			st.Msgs, st.FirstSeq, st.LastSeq = 0, 0, 0
		}
		out[info.Config.Name] = fmt.Sprint(st.Msgs, " ", st.FirstSeq, " ", st.LastSeq)
		stream, err := js.Stream(t.Context(), info.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for c := range stream.ConsumerNames(t.Context()).Name() {
			names = append(names, c)
		}
		slices.Sort(names)
		out[info.Config.Name] += " " + strings.Join(names, ",")
	}
	if len(out) < 8 {
		t.Fatalf("only %d streams: %v", len(out), slices.Sorted(maps.Keys(out)))
	}
	return out
}

// quiet waits until JetStream has sent what it had to say: it answers in the order in
// which it is asked.
func (s *stand) quiet(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	admin := s.ear("admin")
	for _, c := range []fleet.Class{arabica, robusta} {
		if _, err := admin.Request("$JS.API.CONSUMER.MSG.NEXT."+fleet.StreamOrders+"."+fleet.MakerDurable(c), []byte(`{"batch":1,"expires":2000000}`), 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.settle(t)
}

// TestHoles tries, one by one and with their own keys, what was possible while everybody
// was in one account.
func TestHoles(t *testing.T) {
	everywhere(t, func(t *testing.T, s *stand) {
		js := s.orders(t, 3)
		zoe, leo, web, lea, monitor := s.ear("zoe"), s.ear("leo"), s.ear("web"), s.ear("lea"), s.ear("monitor")
		before := s.shop(t, js)
		no := func(e *ear, hole, subject, body string) {
			t.Helper()
			if err := e.PublishRequest(subject, e.rights.Inbox+".answers", []byte(body)); err != nil {
				t.Fatal(err)
			}
			e.flush(t)
			if !e.refused("Publish", subject) {
				t.Errorf("%s: %s at %s: %v", hole, e.Name, subject, e.LastError())
			}
		}
		for _, e := range s.ears {
			if !e.listen(t, e.rights.Inbox+".answers") {
				t.Fatal(e.LastError())
			}
		}
		for _, e := range []*ear{zoe, web, lea, monitor, s.ear("foreign")} {
			consumer := `{"stream_name":"KV_coffee-machines","config":{"deliver_subject":"coffee.book.new-0.refill","ack_policy":"none"}}`
			no(e, "a consumer that writes the book", "$JS.API.CONSUMER.CREATE.KV_coffee-machines", consumer)
			no(e, "overwrites an order", "coffee.book.now."+anOrder, `{}`)
			no(e, "purges", "$JS.API.STREAM.PURGE.coffee-book", "")
			no(e, "deletes", "$JS.API.STREAM.DELETE.coffee-book", "")
			no(e, "reads orders", "$JS.API.STREAM.MSG.GET.coffee-book", `{"last_by_subj":"coffee.book.now.`+anOrder+`"}`)
			no(e, "reads orders", "$JS.API.DIRECT.GET.coffee-book", `{"last_by_subj":"coffee.book.now.`+anOrder+`"}`)
			no(e, "an event of another's order", "coffee.events."+anOrder+".served", "forged")
			no(e, "settles another class", "$JS.ACK.coffee-orders.maker-robusta-free.1.2.1.1.0", "+TERM")
			for _, subject := range []string{"*.>", ">", "_INBOX_op.>", "_INBOX_leo.>", "_R_.>", "coffee.book.>"} {
				if e.listen(t, subject) {
					t.Errorf("%s listens at %s", e.Name, subject)
				}
			}
		}
		no(web, "stops a machine", "coffee.machines.zoe.cmd", `{"verb":"stop","by":"web"}`)
		no(web, "refills", "coffee.stock.add", `{}`)
		no(web, "throws away", "coffee.stock.waste", `{}`)
		no(web, "changes settings", "coffee.window.op.put", `{}`)
		no(monitor, "stops a machine", "coffee.machines.zoe.cmd", `{"verb":"stop","by":"web"}`)
		no(zoe, "another's desk", "coffee.desk.leo.end", "{}")
		no(zoe, "commands another", "coffee.machines.leo.cmd", "{}")
		no(zoe, "counts the queue", "$JS.API.STREAM.INFO.coffee-orders", "")
		no(zoe, "another class", "$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-robusta-free", "1")
		if d := cmp.Diff(before, s.shop(t, js)); d != "" {
			t.Errorf("the shop has changed:\n%s", d)
		}
		s.quiet(t, js)
		for _, e := range s.ears {
			for _, m := range e.forget() {
				t.Errorf("%s heard %q at %s", e.Name, m.Data, m.Subject)
			}
		}
		s.openOnes(t, js, zoe, leo)
		s.strangers(t)
	})
}

// openOnes shows the two that are known to be open: else the page says something that is
// not so.
func (s *stand) openOnes(t *testing.T, js jetstream.JetStream, zoe, leo *ear) {
	t.Helper()
	next := "$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-arabica-free"
	order, err := leo.Request(next, []byte(`{"batch":1}`), 10*time.Second)
	if err != nil || order.Reply == "" {
		t.Fatal(order, err)
	}
	pending := func() int {
		c, err := js.Consumer(t.Context(), fleet.StreamOrders, fleet.MakerDurable(arabica))
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().NumAckPending
	}
	had := pending()
	if _, err := zoe.Request(order.Reply, []byte("+TERM"), 10*time.Second); err != nil || pending() != had-1 {
		t.Errorf("a machine no longer ends another's delivery of a class that both serve (%v, %d of %d pending): take it from what is open", err, pending(), had)
	}
	for range 40 { // all that is left
		m, err := leo.Request(next, []byte(`{"batch":1,"no_wait":true}`), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if m.Reply == "" {
			break
		}
	}
	inbox := zoe.NewInbox()
	if !zoe.listen(t, inbox+".*") {
		t.Fatal(zoe.LastError())
	}
	for i := range 10_000 {
		_ = zoe.PublishRequest(next, fmt.Sprint(inbox, ".", i), []byte(`{"batch":1,"expires":30000000000}`))
	}
	zoe.flush(t)
	// His own stands behind all of those, which a slow computer takes seconds for.
	m, err := leo.Request(next, []byte(`{"batch":1,"expires":5000000000}`), 30*time.Second)
	if err != nil || m.Header.Get("Status") != "409" {
		t.Errorf("a machine no longer fills the list of waiting pulls (%v %v): take it from what is open", m, err)
	}
}

// strangers are those whom no key proves.
func (s *stand) strangers(t *testing.T) {
	t.Helper()
	key, pub := newKey(t)
	if _, err := join(t, s.url, person{Member{Kind: Admin, Name: "admin", Key: pub}, key}); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a key that nobody knows: %v", err)
	}
	zoe := s.ear("zoe").person
	zoe.key = key // another's public half
	if _, err := join(t, s.url, zoe); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("another's name without his key: %v", err)
	}
	keyless := Member{Kind: Foreign, Name: "foreign"}
	if _, err := join(t, s.url, person{Member: keyless}, nats.UserInfo("admin", "admin")); err == nil {
		t.Error("a password lets in")
	}
}

// TestClosedShop: without Foreign, who has no key does not come in at all.
func TestClosedShop(t *testing.T) {
	all, table := everybody(t)
	table.Foreign = false
	text, err := table.Text()
	if err != nil {
		t.Fatal(err)
	}
	url := servers["embedded"](t, store(t), text)
	if _, err := join(t, url, person{Member: Member{Kind: Foreign, Name: "foreign"}}); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := join(t, url, person{Member: Member{Kind: Foreign, Name: "foreign"}}, nats.UserInfo("foreign", "")); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("as foreign: %v", err)
	}
	if _, err := join(t, url, all[0]); err != nil {
		t.Error(err)
	}
}

package window_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/broker"
	"barista/fleet/keys"
	"barista/fleet/queue"
	"barista/fleet/roles"
	"barista/fleet/window"
	"barista/fleet/window/windowtest"
)

// TestWithKeys: over a broker with accounts an operator's key and a web's see the shop
// through the window, answers that are larger than what they may send included; a web
// reads the pages' part, and sets nothing.
func TestWithKeys(t *testing.T) {
	t.Parallel()
	var table roles.Table
	var who []*keys.Key
	for _, m := range []roles.Member{{Kind: roles.Controller, Name: "controller"}, {Kind: roles.Operator, Name: "lea"}, {Kind: roles.Web, Name: "web"}} {
		k, err := keys.New(string(m.Kind), m.Name)
		if err != nil {
			t.Fatal(err)
		}
		m.Key = k.Public()
		table.Members, who = append(table.Members, m), append(who, k)
	}
	text, err := table.Text()
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(t.Context(), broker.Config{Name: "test", Store: t.TempDir(), MaxStore: 2 << 30, Ours: queue.StreamNames(), Accounts: text})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	var conns []*queue.Conn
	for i, m := range table.Members {
		c, err := queue.Connect(t.Context(), queue.Config{Name: m.Name, InProcess: b, Key: who[i], Inbox: m.Rights().Inbox})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		conns = append(conns, c)
	}
	if _, err := conns[0].Setup(t.Context(), fleet.DefaultMenu()); err != nil {
		t.Fatal(err)
	}
	w := &writer{t: t, book: conns[0].Book()}
	for range 60 {
		w.order()
	}
	windowtest.On(t, conns[0], nil)
	ctx := t.Context()
	// What a key may not ask has no answer.
	denied := func(what string, ask func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := ask(ctx); !errors.Is(err, fleet.ErrNoAnswer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range conns[1:] {
		show := window.Remote(c.Requester())
		if all := until(t, show, 1); len(all) != 60 {
			t.Errorf("%d records of 60", len(all))
		}
		if _, err := show.Machines(ctx); err != nil {
			t.Error(err)
		}
		denied("look at the book itself", func(ctx context.Context) error { _, err := c.Book().Now(ctx); return err })
	}
	lea, web := window.Remote(conns[1].Requester()), window.Remote(conns[2].Requester())
	cordon := []byte(`{"by":"lea","reason":"new grinder"}`)
	if err := lea.Put(ctx, fleet.CordonKey("zoe"), cordon); err != nil {
		t.Error(err)
	}
	if b, err := lea.Get(ctx, fleet.CordonKey("zoe")); string(b) != string(cordon) || err != nil {
		t.Errorf("%s %v", b, err)
	}
	denied("a web puts a machine back into service", func(ctx context.Context) error { return web.Delete(ctx, fleet.CordonKey("zoe")) })
	denied("a web reads settings", func(ctx context.Context) error { _, err := web.Get(ctx, fleet.KeyMenu); return err })
	if _, err := conns[0].Settings().Get(ctx, fleet.CordonKey("zoe")); err != nil {
		t.Error(err)
	}
}

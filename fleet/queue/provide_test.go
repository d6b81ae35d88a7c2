package queue_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// TestProvide: a person hears what was made, what was there, and what is another since.
func TestProvide(t *testing.T) {
	ctx := t.Context()
	b := brokertest.Bare(t)
	provide := func(perDay int) map[string]queue.Provided {
		t.Helper()
		c, err := queue.Connect(ctx, queue.Config{Name: "setup", InProcess: b, OrdersPerDay: perDay, KeepSizes: perDay == 0})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		list, err := c.Provide(ctx, fleet.DefaultMenu())
		if err != nil {
			t.Fatal(err)
		}
		out, queues := map[string]queue.Provided{}, false
		for _, p := range list {
			is := strings.Contains(p.Name, "/")
			if queues && !is || is != (p.Wanted == 0) {
				t.Errorf("%s: the streams come first", p.Name)
			}
			queues = is
			out[p.Name] = p
		}
		if len(out) != 8+1+len(fleet.DefaultMenu().Classes()) {
			t.Errorf("%d: %+v", len(out), list)
		}
		return out
	}
	// only has these be made, and those be changed.
	only := func(got map[string]queue.Provided, made, changed string) {
		t.Helper()
		for name, p := range got {
			if p.Made != (made == "all" || name == made) || (len(p.Changes) > 0) != (name == changed || changed == "sizes" && (name == fleet.StreamBook || name == fleet.StreamEvents)) {
				t.Errorf("%+v", p)
			}
		}
	}
	only(provide(500), "all", "")
	only(provide(500), "", "")
	only(provide(2000), "", "sizes")
	only(provide(0), "", "") // not the 500 of new ones
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	gone := fleet.MakerDurable(fleet.Class{Bean: "arabica", Milk: "free"})
	if err := js.DeleteConsumer(ctx, fleet.StreamOrders, gone); err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(ctx, fleet.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	cfg := st.CachedInfo().Config
	cfg.MaxAge = 0
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	got := provide(0)
	only(got, fleet.StreamOrders+"/"+gone, fleet.StreamEvents)
	if c := got[fleet.StreamEvents].Changes; len(c) != 1 || c[0].Figure != "MaxAge" || c[0].Is != "2160h0m0s" {
		t.Errorf("%+v", c)
	}
}

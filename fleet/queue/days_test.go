package queue_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestDays: the streams have the room for the days that they say: of orders as a shop
// with a busy day has them, each of which had to wait for its cup. Beyond that the
// events lose their oldest by themselves; the book, which loses nothing, is twice as
// large.
func TestDays(t *testing.T) {
	const perDay = 500 // what the test's broker is made for, as the shop by default
	ctx := t.Context()
	b := brokertest.Start(t)
	c := b.Connect("shop")
	nc, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	info := func(name string) *jetstream.StreamInfo {
		t.Helper()
		s, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo()
	}
	zoe := fleet.Owner{Machine: "zoe", Journal: "01JD0000000000000000000001", Boot: "6ab9bb1e-7b8a-4b8a-9f0e-1f2d3c4b5a69"}
	const orders = 20
	was := map[string]uint64{fleet.StreamEvents: info(fleet.StreamEvents).State.Bytes, fleet.StreamBook: info(fleet.StreamBook).State.Bytes}
	last := uint64(0)
	for i := range orders {
		o := fleet.Order{ID: fmt.Sprintf("01JD00000000000000000%05d", i), Name: "Ada Lovelace", Size: fleet.Medium, Bean: "arabica", Milk: "normal", Sugar: 2}
		a := fleet.Success(o.ID)
		a.Position, a.ETA = 3, []int{45, 75}
		now := fleet.Create(o, fleet.Items{"arabica": 17, "milk-normal": 100, "sugar": 2}, a, "web")
		rev, err := c.Book().Act(ctx, fleet.Record{Act: true, IsClaim: true, Entry: fleet.Entry{Claim: now}}, last)
		if last = rev.Seq; err != nil {
			t.Fatal(err)
		}
		for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
			nil,
			func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) },
			func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) },
			func(c fleet.Claim) (fleet.Claim, error) { return c.End(zoe, fleet.Made, fleet.Reason{}, 42.5, nil) },
		} {
			if arrow != nil {
				if now, err = arrow(now); err != nil {
					t.Fatal(err)
				}
				e, err := c.Book().Next(ctx, rev, now)
				if rev = e.Revision; err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range now.Events() {
				if err := c.Events().Publish(ctx, e, 100_000+rev.Seq); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, want := range map[string]struct{ days, most uint64 }{fleet.StreamEvents: {90, 150}, fleet.StreamBook: {2 * 30, 130}} {
		i := info(name)
		each := (i.State.Bytes - was[name]) / orders
		days := uint64(i.Config.MaxBytes) / (each * perDay)
		t.Logf("%s: %d bytes an order, room for %d days", name, each, days)
		if days < want.days || days > want.most {
			t.Errorf("%s: %d bytes an order, room for %d days, want %d to %d", name, each, days, want.days, want.most)
		}
	}
}

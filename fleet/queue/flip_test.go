package queue_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestDamagedRecord flips a bit of a record. Nobody may be told that there is none, or
// be given an older one in its place; what stands around it can be read as before, a
// follower comes to the end, and the next act can be written. The broker itself says
// nothing of it.
func TestDamagedRecord(t *testing.T) {
	owner := fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}
	for _, c := range []struct {
		name string
		n    int    // the order
		what string // its record
		left int    // of its records
	}{
		{"in the middle", 1, "coffee.book.now.", 1},
		{"a create that was followed", 1, "coffee.book.new-0.", 1},
		{"the last", 3, "coffee.book.now.", 1},
		{"the last act", 4, "coffee.book.new-0.", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := brokertest.Start(t)
			ctx := t.Context()
			book := b.Connect("shop").Book()
			var last uint64
			for n := range 5 {
				e := fleet.Entry{Claim: entryN(n).Claim}
				rev, err := book.Act(ctx, fleet.Record{IsClaim: true, Entry: e}, last)
				if err != nil {
					t.Fatal(err)
				}
				last = rev.Seq
				brewing, _ := e.Fence(owner)
				if n == 4 {
					break // its create is all there is
				}
				if _, err := book.Next(ctx, rev, brewing); err != nil {
					t.Fatal(err)
				}
			}
			id := orderN(c.n).ID
			b.Stop()
			brokertest.Flip(t, b.Store(), fleet.StreamBook, c.what+id, "\"phase\":")
			b.Again()
			book = b.Connect("another").Book() // knows nothing of before
			e, err := book.Read(ctx, id)
			followed := c.what == "coffee.book.new-0." && c.left == 1
			switch {
			case followed && (err != nil || e.Phase != fleet.Brewing):
				t.Errorf("its last record is whole: %s %v", e.Phase, err)
			case !followed && (!errors.Is(err, fleet.ErrDamaged) || e.Order.ID != id):
				t.Errorf("read: %s %v", e.Phase, err)
			}
			if h, err := book.History(ctx, id); err != nil || len(h) != c.left {
				t.Errorf("of its history %d, %v", len(h), err)
			}
			var seen []uint64
			newest := uint64(0)
			err = fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
				return book.Follow(ctx, 1, func(r fleet.Record) {
					if seen = append(seen, r.Seq); r.Act {
						newest = r.Seq
					}
				}, ready)
			})
			if err != nil || len(seen) != 8 || !slices.IsSorted(seen) {
				t.Errorf("followed %v, %v", seen, err)
			}
			if _, err := book.Read(ctx, orderN(7).ID); !errors.Is(err, fleet.ErrNotFound) {
				t.Errorf("an order that never was: %v", err)
			}
			rev, err := book.Act(ctx, fleet.Record{IsClaim: true, Entry: fleet.Entry{Claim: entryN(5).Claim}}, newest)
			if err != nil {
				t.Fatalf("the next act behind %d: %v", newest, err)
			}
			if _, err := book.Act(ctx, fleet.Record{IsClaim: true, Entry: fleet.Entry{Claim: entryN(6).Claim}}, newest); !errors.Is(err, fleet.ErrConflict) {
				t.Errorf("two acts behind %d: %v", newest, err)
			}
			if e, err := book.Read(ctx, orderN(5).ID); err != nil || e.Seq != rev.Seq {
				t.Errorf("%+v %v", e, err)
			}
		})
	}
}

// TestDamagedSetting flips a bit of one key: the others are all heard, in whichever
// order they stand, and so is the end of what is there.
func TestDamagedSetting(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	s := b.Connect("shop").Settings()
	for _, key := range []string{"cordon.ann", "cordon.bob", "cordon.carl"} {
		if err := s.Put(ctx, key, []byte(`{"by":"eve"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(ctx, "cordon.carl"); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	brokertest.Flip(t, b.Store(), "KV_"+fleet.BucketSettings, "$KV.coffee-settings.cordon.ann", "eve")
	b.Again()
	conn := b.Connect("another")
	got := map[string]string{}
	err := fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
		return conn.Settings().Watch(ctx, func(key string, v []byte) { got[key] = string(v) }, ready)
	})
	if err != nil || len(got) != 2 || got["cordon.bob"] == "" || got["cordon.carl"] != "" {
		t.Errorf("%v %v", got, err)
	}
	all, store, err := conn.AllSettings(ctx)
	if err != nil || store == "" || all["cordon.ann"].Rev != 0 || all["cordon.bob"].Rev == 0 || all["cordon.carl"].Rev == 0 || all["cordon.carl"].Value != nil {
		t.Errorf("%v %q %v", all, store, err)
	} // Damaged is not the same as never set.
	if v, err := conn.Settings().Get(ctx, "cordon.ann"); !errors.Is(err, fleet.ErrDamaged) || errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("%q %v", v, err)
	}
	for _, key := range []string{"cordon.carl", "cordon.dave"} {
		if v, err := conn.Settings().Get(ctx, key); !errors.Is(err, fleet.ErrNotFound) || errors.Is(err, fleet.ErrDamaged) {
			t.Errorf("%s: %q %v", key, v, err)
		}
	}
	if v, err := conn.Settings().Get(ctx, "cordon.bob"); err != nil || string(v) != `{"by":"eve"}` {
		t.Errorf("%q %v", v, err)
	}
}

// TestDamagedSettingIsReplaced: all settings are written anew to be rid of the damaged
// one, and what others write or remove meanwhile is not undone by it.
func TestDamagedSettingIsReplaced(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	s := b.Connect("shop").Settings()
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		if err := s.Put(ctx, key, []byte("first "+key)); err != nil {
			t.Fatal(err)
		}
	}
	b.Stop()
	brokertest.Flip(t, b.Store(), "KV_"+fleet.BucketSettings, "$KV.coffee-settings.c", "first c")
	b.Again()
	other := b.Connect("other").Settings()
	do := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	read, again := false, false
	link := b.Link()
	link.Filter = func(toBroker bool, p []byte) []byte {
		switch {
		case !toBroker:
		case !read && bytes.Contains(p, []byte("STREAM.PURGE.")):
			read = true
			do(other.Put(ctx, "a", []byte("second a")))
			do(other.Put(ctx, "f", []byte("first f")))
		case read && !again && bytes.Contains(p, []byte("$KV.coffee-settings.")):
			again = true
			do(other.Put(ctx, "b", []byte("second b")))
			do(other.Delete(ctx, "d"))
		}
		return p
	}
	if err := b.ConnectOver("mender", link).Settings().Put(ctx, "c", []byte("second c")); err != nil || !again {
		t.Fatal(again, err)
	}
	for key, want := range map[string]string{"a": "second a", "b": "second b", "c": "second c", "e": "first e", "f": "first f"} {
		if got, err := other.Get(ctx, key); err != nil || string(got) != want {
			t.Errorf("%s: %q %v, wanted %q", key, got, err, want)
		}
	}
	if got, err := other.Get(ctx, "d"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("removed, and came back: %q %v", got, err)
	}
}

// TestDamagedMenu: with a menu that can't be read the shop opens with the default one,
// as with one that is wrong, and a person sets it anew.
func TestDamagedMenu(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	menu, err := fleet.DefaultMenu().Change([]string{"small.grams=10"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(menu)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Connect("shop").Settings().Put(ctx, fleet.KeyMenu, body); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	brokertest.Flip(t, b.Store(), "KV_"+fleet.BucketSettings, "$KV.coffee-settings."+fleet.KeyMenu, "grams")
	b.Again()
	c := b.Connect("another")
	if got, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil || got.Sizes[fleet.Small] != fleet.DefaultMenu().Sizes[fleet.Small] {
		t.Errorf("%+v %v", got, err)
	}
	if err := c.Settings().Put(ctx, fleet.KeyMenu, body); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil || got.Sizes[fleet.Small].Grams != 10 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestFollowAnEmptied: where everything has gone by its age, the end is not searched
// for among all that ever was.
func TestFollowAnEmptied(t *testing.T) {
	b := brokertest.Bare(t)
	js, err := jetstream.New(raw(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: fleet.StreamBook, Subjects: []string{"coffee.book.>"}, FirstSeq: 1_000_000}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asked atomic.Int32
	link := b.Link()
	link.Filter = func(toBroker bool, p []byte) []byte {
		if toBroker && bytes.Contains(p, []byte("STREAM.MSG.GET.")) && asked.Add(1) > 10 {
			stop()
		}
		return p
	}
	ready := false
	b.ConnectOver("reader", link).Book().Follow(ctx, 1, func(fleet.Record) {}, func() { ready = true; stop() })
	if !ready || asked.Load() > 1 {
		t.Errorf("ready %t after %d messages were asked for", ready, asked.Load())
	}
}

package queue_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestWordSaidAgain: a word that is said again is handed over again, as a later one,
// and read once; any other one is read anew.
func TestWordSaidAgain(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx, stop := context.WithCancel(t.Context())
		c := b.Connect("shop")
		var mu sync.Mutex
		var heard []fleet.Presence
		var here []bool
		var watching sync.WaitGroup
		watching.Go(func() {
			c.Fleet().Watch(ctx, func(p fleet.Presence, is bool) {
				mu.Lock()
				defer mu.Unlock()
				heard, here = append(heard, p), append(here, is)
			}, nil)
		})
		defer watching.Wait()
		defer stop()
		say := func(p fleet.Presence) {
			t.Helper()
			if err := c.Fleet().Announce(ctx, p); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		zoe := fleet.Presence{Machine: "zoe", Classes: []fleet.Class{arabica}, Drinks: 1}
		max := zoe
		max.Machine = "max"
		busy := zoe
		busy.Drinks = 2
		for _, p := range []fleet.Presence{zoe, max, zoe, busy, zoe} {
			say(p)
		}
		if err := c.Fleet().Leave(ctx, "zoe"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // else the bucket has only what came after it
		say(zoe)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(here, []bool{true, true, true, true, true, false, true}) {
			t.Fatalf("%v %+v", here, heard)
		}
		var last uint64
		for i, want := range []fleet.Presence{zoe, max, zoe, busy, zoe, {}, zoe} {
			got := heard[i]
			if !here[i] {
				continue
			}
			if got.Machine != want.Machine || got.Drinks != want.Drinks || !slices.Equal(got.Classes, want.Classes) || got.Said <= last {
				t.Errorf("%d: %+v after %d, want %+v", i, got, last, want)
			}
			last = got.Said
		}
		if &heard[0].Classes[0] != &heard[2].Classes[0] {
			t.Error("it was read again")
		}
	})
}

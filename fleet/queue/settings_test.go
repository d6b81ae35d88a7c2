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

// TestWordCounts: the broker keeps a word for as long as it says. One that stands is
// said again only where nothing else was said since, and nothing that went comes back.
func TestWordCounts(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		c := b.Connect("shop")
		here := func() map[string]fleet.Presence {
			t.Helper()
			all, err := c.Fleet().Present(ctx)
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]fleet.Presence{}
			for _, p := range all {
				out[p.Machine] = p
			}
			return out
		}
		say := func(p fleet.Presence) {
			t.Helper()
			if err := c.Fleet().Announce(ctx, p); err != nil {
				t.Fatal(err)
			}
		}
		again := func(words ...fleet.Presence) {
			t.Helper()
			if err := c.Fleet().Again(ctx, words); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		zoe, leo := fleet.Presence{Machine: "zoe", Drinks: 1}, fleet.Presence{Machine: "leo", Drinks: 1, Lasts: 35}
		say(zoe)
		say(leo)
		time.Sleep(fleet.PresenceTTL - 2*time.Second)
		if now := here(); len(now) != 2 {
			t.Fatalf("too early: %v", now)
		}
		time.Sleep(4 * time.Second)
		if now := here(); len(now) != 1 || now["leo"].Lasts != 35 {
			t.Fatalf("zoe's word counts 15 s: %v", now)
		}
		time.Sleep(16 * time.Second)
		leo = here()["leo"]
		say(zoe)
		zoe = here()["zoe"]
		again(leo, zoe)
		time.Sleep(10 * time.Second)
		if now := here(); len(now) != 2 || now["leo"].Said <= leo.Said || now["zoe"].Said <= zoe.Said {
			t.Fatalf("said again: %v after %v", now, zoe)
		}
		busy := zoe
		busy.Drinks = 2
		say(busy)
		again(leo, zoe) // as they stood then
		if now := here(); now["zoe"].Drinks != 2 {
			t.Error("an earlier word has overtaken a later one")
		}
		leo = here()["leo"]
		if err := c.Fleet().Leave(ctx, "leo"); err != nil {
			t.Fatal(err)
		}
		again(leo)
		if now := here(); len(now) != 1 {
			t.Errorf("who left is here: %v", now)
		}
		time.Sleep(20 * time.Second)
		again(busy)
		if now := here(); len(now) != 0 {
			t.Errorf("who is silent is here: %v", now)
		}
		b.Stop()
		time.Sleep(time.Second)
		if err := c.Fleet().Again(ctx, []fleet.Presence{zoe}); err == nil {
			t.Error("nobody heard it, and nobody says so")
		}
	})
}

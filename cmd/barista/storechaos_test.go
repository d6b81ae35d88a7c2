package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barista/driver"
	"barista/fleet"
	"barista/fleet/brokertest"
)

var storeDraws = flag.Int("store", 10, "how often TestStoreChaos harms the store; make chaos takes 100")

// harm is something that happens to the store while the shop's process is dead. waits
// is the last round's order that no machine has begun.
type harm struct {
	name string
	do   func(s *site, waits string)
}

var harms = []harm{
	{"a bit of a message in the queue", func(s *site, waits string) {
		brokertest.Flip(s.t, s.store(), fleet.StreamOrders, waits, `"name"`)
	}},
	{"a bit of a cordon", func(s *site, _ string) {
		brokertest.Flip(s.t, s.store(), "KV_"+fleet.BucketSettings, fleet.CordonKey("leo"), "limescale")
	}},
	{"the book's index", func(s *site, _ string) {
		_ = os.Remove(filepath.Join(filepath.Dir(brokertest.Blocks(s.t, s.store(), fleet.StreamBook)[0]), "index.db")) // if it was written
	}},
	{"the queue", func(s *site, _ string) { s.remove(fleet.StreamOrders) }},
	{"the events", func(s *site, _ string) { s.remove(fleet.StreamEvents) }},
}

// store is the folder of the shop's broker.
func (s *site) store() string {
	found, err := filepath.Glob(filepath.Join(s.dir, "shop", "*", "jetstream"))
	if err != nil || len(found) != 1 {
		s.t.Fatal(found, err)
	}
	return filepath.Dir(found[0])
}

func (s *site) remove(stream string) {
	found, err := filepath.Glob(filepath.Join(s.store(), "jetstream", "*", "streams", stream))
	if err != nil || len(found) != 1 {
		s.t.Fatal(found, err)
	}
	if err := os.RemoveAll(found[0]); err != nil {
		s.t.Fatal(err)
	}
}

// poured counts how often a process told the pump to go on, by order.
func poured(t *testing.T, trace string) map[string]int {
	out := map[string]int{}
	for _, l := range pourLines(t, trace) {
		if l.part == driver.Pump {
			out[l.order]++
		}
	}
	return out
}

// TestStoreChaos harms the store of a shop of real processes, again and again, each
// time while the shop is down: what stands in the queue, the events and the settings,
// and the book's index; the book's own records are TestStorePutBack's. Whatever is lost, no order is poured twice, also when its
// customer asks again, and within a minute of the start each one has come to its end,
// waits as it did, or is put before a person and named in the log.
func TestStoreChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	rnd := rand.New(rand.NewPCG(*chaosSeed, 7))
	for n := 0; n < *storeDraws; n += eachShop {
		t.Run(fmt.Sprint("shop ", n/eachShop), func(t *testing.T) { storeChaos(t, rnd, min(eachShop, *storeDraws-n)) })
	}
}

// eachShop is how many draws one shop lives through.
const eachShop = 10

func storeChaos(t *testing.T, rnd *rand.Rand, draws int) {
	s := newSite(t)
	beans := []string{"arabica", "robusta"}
	shop := s.shop("", beans)
	metal, zoes := s.plant("zoe", killSpeed)
	_, leos := s.plant("leo", killSpeed)
	zoe := s.machine("zoe", zoes, "", beans[:1])
	leo := s.machine("leo", leos, "", beans[1:])
	zoe.kill()
	zoe.spec.Trace = filepath.Join(s.dir, "zoe.trace")
	zoe.again()
	s.order(testID(9999), "robusta") // leo is known
	s.eventually("leo's order", func() bool { return s.phase(testID(9999)) == fleet.Served })
	leo.kill() // from now on its orders wait
	cordon, _ := json.Marshal(fleet.Cordon{By: "eve", Reason: "limescale"})
	s.eventually("the cordon", func() bool {
		return s.conn.Settings().Put(t.Context(), fleet.CordonKey("leo"), cordon) == nil
	})
	var all []string
	for n := range draws {
		h := harms[n%len(harms)]
		if *storeDraws > eachShop {
			h = harms[rnd.IntN(len(harms))]
		}
		served, begun, waits := testID(10*n), testID(10*n+1), testID(10*n+2)
		all = append(all, served, begun, waits)
		s.order(served, "arabica")
		s.eventually("a served order", func() bool { return s.phase(served) == fleet.Served })
		s.order(waits, "robusta")
		s.order(begun, "arabica")
		fleet.Pause(t.Context(), time.Duration(rnd.IntN(1500))*time.Millisecond) // the moment is the draw
		shop.kill()
		h.do(s, waits)
		shop.again()
		began := time.Now()
		s.within(time.Minute, h.name+": the shop", func() bool { _, err := s.conn.Book().Now(t.Context()); return err == nil })
		for _, id := range all[max(0, len(all)-3):] {
			s.within(time.Minute, h.name+": a word of "+id, func() bool {
				switch s.phase(id) {
				case fleet.Served:
					return id != waits
				case fleet.Accepted:
					return id == waits
				case fleet.Unknown:
					return strings.Contains(shop.log(), "order="+id)
				}
				return false
			})
			s.ask(id) // a customer who did not hear
		}
		if v, err := s.conn.Settings().Get(t.Context(), fleet.CordonKey("leo")); err != nil || !strings.Contains(string(v), "limescale") {
			t.Errorf("%s: the cordon is %q, %v", h.name, v, err)
		}
		t.Logf("%-34s %v: served %s, begun %s, waits %s", h.name, time.Since(began).Round(time.Millisecond), s.phase(served), s.phase(begun), s.phase(waits))
	}
	// What would be poured again stands before a new order in zoe's queue, or in her hand.
	last := testID(5000)
	s.order(last, "arabica")
	s.eventually("the last order", func() bool { return s.phase(last) == fleet.Served })
	did := poured(t, zoe.spec.Trace)
	for _, id := range append(all, last) {
		if did[id] > 1 {
			t.Errorf("%s was poured %d times", id, did[id])
		}
	}
	if got := drinks(metal); got != len(did) {
		t.Errorf("%d drinks came of %d orders", got, len(did))
	}
	if len(did) < draws {
		t.Errorf("%d orders were poured: the test is blind", len(did))
	}
}

package main

import (
	"encoding/json"
	"errors"
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

// harm is something that happens to the store while the shop's process is dead.
// orders are the last round's: served, begun, waiting.
type harm struct {
	name string
	do   func(d *storeDay, served, begun, waits string)
}

var harms = []harm{
	{"a bit of a message in the queue", func(d *storeDay, _, _, waits string) {
		brokertest.Flip(d.t, d.store(), fleet.StreamOrders, waits, `"name"`)
	}},
	{"a bit of a cordon", func(d *storeDay, _, _, _ string) {
		brokertest.Flip(d.t, d.store(), "KV_"+fleet.BucketSettings, fleet.CordonKey("leo"), "limescale")
	}},
	{"the book's index", func(d *storeDay, _, _, _ string) {
		_ = os.Remove(filepath.Join(filepath.Dir(brokertest.Blocks(d.t, d.store(), fleet.StreamBook)[0]), "index.db")) // if it was written
	}},
	{"the queue", func(d *storeDay, _, _, _ string) { d.remove(fleet.StreamOrders) }},
	{"the events", func(d *storeDay, _, _, _ string) { d.remove(fleet.StreamEvents) }},
}

// storeDay is the test as it goes.
type storeDay struct {
	*site
}

func (d *storeDay) store() string {
	found, err := filepath.Glob(filepath.Join(d.dir, "shop", "*", "jetstream"))
	if err != nil || len(found) != 1 {
		d.t.Fatal(found, err)
	}
	return filepath.Dir(found[0])
}

func (d *storeDay) remove(stream string) {
	found, err := filepath.Glob(filepath.Join(d.store(), "jetstream", "*", "streams", stream))
	if err != nil || len(found) != 1 {
		d.t.Fatal(found, err)
	}
	if err := os.RemoveAll(found[0]); err != nil {
		d.t.Fatal(err)
	}
}

// phase is what the book says of an order; empty where nobody knows now.
func (d *storeDay) phase(id string) fleet.Phase {
	e, err := d.conn.Book().Read(d.t.Context(), id)
	if err != nil {
		return ""
	}
	return e.Phase
}

// poured counts how often a process told the pump to go on, by order.
func poured(t *testing.T, trace string) map[string]int {
	raw, err := os.ReadFile(trace)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	out := map[string]int{}
	for l := range strings.Lines(string(raw)) {
		var at int64
		var part driver.Part
		var order string
		var epoch int
		if _, err := fmt.Sscanf(l, "%d %s %s %d\n", &at, &part, &order, &epoch); err == nil && part == driver.Pump {
			out[order]++
		}
	}
	return out
}

// TestStoreChaos harms the store of a shop of real processes, again and again, each
// time while the shop is down. Whatever is lost, no order is poured twice, also when its
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
	d := &storeDay{site: s}
	beans := []string{"arabica", "robusta"}
	shop := s.shop("", beans)
	_, zoes := s.plant("zoe", killSpeed)
	_, leos := s.plant("leo", killSpeed)
	zoe := s.machine("zoe", zoes, "", beans[:1])
	leo := s.machine("leo", leos, "", beans[1:])
	zoe.kill()
	zoe.spec.Trace = filepath.Join(s.dir, "zoe.trace")
	zoe.again()
	s.order(testID(9999), "robusta") // leo is known
	s.eventually("leo's order", func() bool { return d.phase(testID(9999)) == fleet.Served })
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
		s.eventually("a served order", func() bool { return d.phase(served) == fleet.Served })
		s.order(waits, "robusta")
		s.order(begun, "arabica")
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond) // the moment is the draw
		shop.kill()
		h.do(d, served, begun, waits)
		shop.again()
		began := time.Now()
		s.within(time.Minute, h.name+": the shop", func() bool { _, err := s.conn.Book().Now(t.Context()); return err == nil })
		for _, id := range all[max(0, len(all)-3):] {
			s.within(time.Minute, h.name+": a word of "+id, func() bool {
				switch d.phase(id) {
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
		t.Logf("%-34s %v: served %s, begun %s, waits %s", h.name, time.Since(began).Round(time.Millisecond), d.phase(served), d.phase(begun), d.phase(waits))
	}
	time.Sleep(2 * time.Second) // whatever would be poured again, is
	did := poured(t, zoe.spec.Trace)
	for _, id := range all {
		if did[id] > 1 {
			t.Errorf("%s was poured %d times", id, did[id])
		}
	}
	if len(did) < draws {
		t.Errorf("%d orders were poured: the test is blind", len(did))
	}
}

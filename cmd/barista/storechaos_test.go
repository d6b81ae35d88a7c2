package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/brokertest"
)

var storeDraws = flag.Int("store", 10, "how often TestStoreChaos harms the store; make chaos takes 100")
var storeHarm = flag.String("harm", "", "TestStoreChaos does only those whose name contains this, in turn")

// harm is something that happens to the store of a shop: while its process is dead,
// or while it runs.
type harm struct {
	name string
	live bool
	do   func(d *storeDay)
}

const settingsStream = "KV_" + fleet.BucketSettings

// harms are what happens to stores, by kind. Each kind has its turn; which of its
// harms it is, is drawn.
var harms = [][]harm{
	{ // one bit
		{"a bit of a message in the queue", false, func(d *storeDay) { d.flip(fleet.StreamOrders, d.waits, `"name"`) }},
		{"a bit of a cordon", false, func(d *storeDay) { d.flip(settingsStream, fleet.CordonKey("leo"), "limescale") }},
		{"a bit of a served order", false, func(d *storeDay) { d.flip(fleet.StreamBook, d.served, `"phase"`) }},
		{"a bit of an order that was begun", false, func(d *storeDay) { d.flip(fleet.StreamBook, d.begun, `"phase"`) }},
		{"a bit of an order that waits", false, func(d *storeDay) { d.flip(fleet.StreamBook, d.waits, `"phase"`) }},
	},
	{ // the end of a file that never came to the disk
		{"the end of the book", false, func(d *storeDay) { d.cut(fleet.StreamBook) }},
		{"the end of the queue", false, func(d *storeDay) { d.cut(fleet.StreamOrders) }},
		{"the end of the settings", false, func(d *storeDay) { d.cut(settingsStream) }},
	},
	{ // a sector that reads as zeros
		{"zeros in the book", false, func(d *storeDay) { d.zero(fleet.StreamBook) }},
		{"zeros in the queue", false, func(d *storeDay) { d.zero(fleet.StreamOrders) }},
		{"zeros in the events", false, func(d *storeDay) { d.zero(fleet.StreamEvents) }},
		{"zeros in the settings", false, func(d *storeDay) { d.zero(settingsStream) }},
	},
	{ // a slip of the hand, or fsck
		{"the book's index is gone", false, func(d *storeDay) {
			_ = os.Remove(filepath.Join(filepath.Dir(brokertest.Blocks(d.t, d.store(), fleet.StreamBook)[0]), "index.db")) // if it was written
		}},
		{"the book's last file is gone", false, func(d *storeDay) {
			blocks := brokertest.Blocks(d.t, d.store(), fleet.StreamBook)
			d.must(os.Remove(blocks[len(blocks)-1]))
		}},
		{"the book is gone", false, func(d *storeDay) { d.remove(fleet.StreamBook) }},
		{"the queue is gone", false, func(d *storeDay) { d.remove(fleet.StreamOrders) }},
		{"the events are gone", false, func(d *storeDay) { d.remove(fleet.StreamEvents) }},
		{"the settings are gone", false, func(d *storeDay) { d.remove(settingsStream) }},
		{"the store is gone", false, func(d *storeDay) { d.must(os.RemoveAll(d.store())) }},
	},
	{ // an older copy
		{"an older copy of the store", false, func(d *storeDay) { d.back(d.store(), "") }},
		{"an older copy of the book", false, func(d *storeDay) { d.back(d.stream(fleet.StreamBook), fleet.StreamBook) }},
		{"an older copy of the queue", false, func(d *storeDay) { d.back(d.stream(fleet.StreamOrders), fleet.StreamOrders) }},
	},
	{ // the nats command line tool
		{"the book is purged", true, func(d *storeDay) { d.purge(fleet.StreamBook) }},
		{"the queue is purged", true, func(d *storeDay) { d.purge(fleet.StreamOrders) }},
		{"the settings are purged", true, func(d *storeDay) { d.purge(settingsStream) }},
		{"the queue is deleted", true, func(d *storeDay) {
			d.admin(func(js jetstream.JetStream) error { return js.DeleteStream(d.t.Context(), fleet.StreamOrders) })
		}},
		{"the machines' consumer is deleted", true, func(d *storeDay) {
			d.admin(func(js jetstream.JetStream) error {
				return js.DeleteConsumer(d.t.Context(), fleet.StreamOrders, fleet.MakerDurable(fleet.Class{Bean: "arabica", Milk: fleet.NoMilk}))
			})
		}},
	},
	{ // no byte is free, and some time later there are some
		{"the disk is full", true, func(d *storeDay) { d.fill() }},
	},
}

// storeDay is a shop whose store is harmed, and what was ordered last: an order that
// was served, one that a machine was told to begin, one that waits.
type storeDay struct {
	*site
	rnd                  *rand.Rand
	disk                 string // a small disk under the shop; empty where none can be had
	shop                 *running
	served, begun, waits string
	copied               string            // the store as it was at an earlier draw
	all                  map[string]string // the bean of each order
	accepted             int               // how often a person accepted a loss
}

func (d *storeDay) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *storeDay) flip(stream string, parts ...string) {
	brokertest.Flip(d.t, d.store(), stream, parts...)
}

// last is the newest file of a stream's messages.
func (d *storeDay) last(stream string) (path string, raw []byte) {
	blocks := brokertest.Blocks(d.t, d.store(), stream)
	path = blocks[len(blocks)-1]
	raw, err := os.ReadFile(path)
	d.must(err)
	return path, raw
}

func (d *storeDay) cut(stream string) {
	if path, raw := d.last(stream); len(raw) > 0 {
		d.must(os.Truncate(path, int64(len(raw)-1-d.rnd.IntN(min(len(raw), 1500)))))
	}
}

func (d *storeDay) zero(stream string) {
	path, raw := d.last(stream)
	if len(raw) == 0 {
		return
	}
	at := d.rnd.IntN(len(raw)) &^ 511
	clear(raw[at:min(len(raw), at+512)])
	d.must(os.WriteFile(path, raw, 0o600))
}

func (d *storeDay) back(folder, stream string) {
	from := d.copied
	if stream != "" {
		found, err := filepath.Glob(filepath.Join(from, "jetstream", "*", "streams", stream))
		if err != nil || len(found) != 1 {
			d.t.Fatal(found, err)
		}
		from = found[0]
	}
	d.must(os.RemoveAll(folder))
	d.copy(folder, from)
}

// admin does what a person with the nats command line tool may. Whether the broker
// lets it be done is not the question.
func (d *storeDay) admin(do func(js jetstream.JetStream) error) {
	nc, err := nats.Connect(d.url())
	d.must(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	d.must(err)
	if err := do(js); err != nil {
		d.t.Log(err)
	}
}

// purge asks for it.
func (d *storeDay) purge(stream string) {
	d.admin(func(js jetstream.JetStream) error {
		s, err := js.Stream(d.t.Context(), stream)
		if err != nil {
			return err
		}
		return s.Purge(d.t.Context())
	})
}

// fill takes the last byte of the shop's disk, has somebody order, and gives it back.
func (d *storeDay) fill() {
	if d.disk == "" {
		d.t.Log("no small disk can be had here")
		return
	}
	ballast := filepath.Join(d.disk, "ballast")
	f, err := os.Create(ballast)
	d.must(err)
	defer f.Close()
	for _, piece := range []int{1 << 20, 1 << 10} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, piece))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	id := newID()
	d.all[id] = "arabica"
	body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":"small","bean_type":"arabica","milk":"free"}`, id)
	b, err := d.conn.Requester().Request(ctx, fleet.SubjectRequests, []byte(body))
	d.t.Logf("asked on a full disk: %s %v", b, err)
	fleet.Pause(d.t.Context(), time.Duration(d.rnd.IntN(1500))*time.Millisecond)
	d.must(os.Remove(ballast))
}

// stream is the folder of one.
func (s *site) stream(name string) string {
	found, err := filepath.Glob(filepath.Join(s.store(), "jetstream", "*", "streams", name))
	if err != nil || len(found) != 1 {
		s.t.Fatal(found, err)
	}
	return found[0]
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
	if err := os.RemoveAll(s.stream(stream)); err != nil {
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

// TestStoreChaos harms the store of a shop of real processes, again and again, while
// the shop is down and while it runs. Whatever is lost, no order is poured twice, also
// when its customer asks again, and within a minute each one has come to its end,
// waits as it did, is put before a person and named in the log, or lies in the part of
// the book that the shop says is lost, and is refused.
func TestStoreChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	rnd := rand.New(rand.NewPCG(*chaosSeed, 7))
	for n := 0; n < *storeDraws; n += eachShop {
		t.Run(fmt.Sprint("shop ", n/eachShop), func(t *testing.T) { storeChaos(t, rnd, n, min(eachShop, *storeDraws-n)) })
	}
}

// eachShop is how many draws one shop lives through.
const eachShop = 10

func storeChaos(t *testing.T, rnd *rand.Rand, before, draws int) {
	s := newSite(t)
	d := &storeDay{site: s, rnd: rnd, disk: filepath.Join(s.dir, "shop"), copied: filepath.Join(s.dir, "copy"), all: map[string]string{}}
	d.must(os.Mkdir(d.disk, 0o700))
	if err := syscall.Mount("tmpfs", d.disk, "tmpfs", 0, "size=160m,mode=0700"); err != nil {
		d.disk = ""
	} else {
		t.Cleanup(func() { _ = syscall.Unmount(d.disk, syscall.MNT_DETACH) })
	}
	beans := []string{"arabica", "robusta"}
	shop := s.shop("", beans)
	d.shop = shop
	zoeMetal, zoes := s.plant("zoe", killSpeed)
	leoMetal, leos := s.plant("leo", killSpeed)
	zoe := s.machine("zoe", zoes, "", beans[:1])
	leo := s.machine("leo", leos, "", beans[1:])
	for _, m := range []*running{zoe, leo} {
		m.kill()
		m.spec.Trace = filepath.Join(s.dir, m.name+".trace")
		m.again()
	}
	known := newID()
	s.order(known, "robusta") // leo is known
	s.eventually("leo's order", func() bool { return s.phase(known) == fleet.Served })
	leo.kill() // from now on its orders wait
	cordon, _ := json.Marshal(fleet.Cordon{By: "eve", Reason: "limescale"})
	s.eventually("the cordon", func() bool {
		return s.conn.Settings().Put(t.Context(), fleet.CordonKey("leo"), cordon) == nil
	})
	shop.kill()
	s.copy(d.copied, s.store())
	shop.again()
	for n := range draws {
		kind := harms[(before+n)%len(harms)]
		h := kind[rnd.IntN(len(kind))]
		if *storeHarm != "" {
			kind = slices.DeleteFunc(slices.Concat(harms...), func(h harm) bool { return !strings.Contains(h.name, *storeHarm) })
			h = kind[n%len(kind)]
		}
		d.served, d.begun, d.waits = newID(), newID(), newID()
		d.all[d.served], d.all[d.begun], d.all[d.waits] = "arabica", "arabica", "robusta"
		s.order(d.served, "arabica")
		s.eventually("a served order", func() bool { return s.phase(d.served) == fleet.Served })
		s.order(d.waits, "robusta")
		s.order(d.begun, "arabica")
		fleet.Pause(t.Context(), time.Duration(rnd.IntN(1500))*time.Millisecond) // the moment is the draw
		if h.live {
			h.do(d)
		} else {
			shop.kill()
			younger := filepath.Join(s.dir, "younger")
			s.copy(younger, s.store())
			h.do(d)
			d.must(os.RemoveAll(d.copied))
			d.must(os.Rename(younger, d.copied))
			shop.again()
		}
		began := time.Now()
		closed := d.heals()
		t.Logf("%-34s %v: served %s, begun %s, waits %s%s", h.name, time.Since(began).Round(time.Millisecond), s.phase(d.served), s.phase(d.begun), s.phase(d.waits), closed)
	}
	// What would be poured again stands before a new order in zoe's queue, or in her hand.
	last := newID()
	d.all[last] = "arabica"
	s.order(last, "arabica")
	s.eventually("the last order", func() bool { return s.phase(last) == fleet.Served })
	// Nor has what waited been lost on the way.
	var waited []string
	for id, bean := range d.all {
		if bean == "robusta" && s.phase(id) == fleet.Accepted {
			waited = append(waited, id)
		}
	}
	d.must(s.conn.Settings().Delete(t.Context(), fleet.CordonKey("leo")))
	leo.again()
	for _, id := range waited {
		s.eventually("the cup of "+id+", which waited", func() bool { return s.phase(id) == fleet.Served })
	}
	t.Logf("%d orders waited to the end, a loss was accepted %d times", len(waited), d.accepted)
	makes := map[*running]string{zoe: beans[0], leo: beans[1]}
	for m, metal := range map[*running]*plant.Plant{zoe: zoeMetal, leo: leoMetal} {
		did := poured(t, m.spec.Trace)
		for id := range did {
			if did[id] > 1 || id != known && d.all[id] != makes[m] {
				t.Errorf("%s was poured %d times by %s", id, did[id], m.name)
			}
		}
		if got := drinks(metal); got != len(did) {
			t.Errorf("%s: %d drinks came of %d orders", m.name, got, len(did))
		}
		if m == zoe && len(did) < draws || m == leo && len(did) != len(waited)+1 {
			t.Errorf("%d orders were poured by %s", len(did), m.name)
		}
	}
}

// heals waits until every order has its word, and does what the shop asks of a person;
// each customer asks again meanwhile.
func (d *storeDay) heals() (closed string) {
	d.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for len(d.wordless()) > 0 {
		if time.Now().After(deadline) {
			out, _ := d.verb("status")
			for _, p := range d.site.all {
				d.t.Logf("--- %s:\n%s", p.name, p.log())
			}
			d.t.Fatalf("no word of %q within a minute\n%s", d.wordless(), out)
		}
		if d.shop.ended() { // as systemd does
			d.shop.again()
		}
		out, _ := d.verb("status")
		if strings.Contains(out, "barista broker accept-loss") {
			for l := range strings.Lines(out) {
				if strings.Contains(l, "accept-loss") {
					closed = "; " + strings.TrimSpace(l)
				}
			}
			// It may answer that it is not known yet and is to be asked again.
			if out, code := d.verb("broker", "accept-loss", "--reason", "the card was restored", "--by", "eve", "--yes"); code == term.ExitOK {
				d.accepted++
				deadline = time.Now().Add(time.Minute)
			} else {
				d.t.Log(strings.TrimSpace(out))
			}
		}
		if strings.Contains(out, "barista doctor --repair") {
			d.verb("doctor", "--repair", "--by", "eve", "--reason", "the card was restored")
		}
		// Each customer for himself: a shop whose book is out of reach takes 2 s for its answer,
		// and whoever looks after it must not stand behind all of them.
		var customers sync.WaitGroup
		for id, bean := range d.all {
			customers.Go(func() { d.asks(id, bean) })
		}
		customers.Wait()
		fleet.Pause(d.t.Context(), 100*time.Millisecond)
	}
	return closed
}

func (d *storeDay) asks(id, bean string) (a fleet.Answer) {
	body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":"small","bean_type":%q,"milk":"free","sugar_count":0}`, id, bean)
	if b, err := d.conn.Requester().Request(d.t.Context(), fleet.SubjectRequests, []byte(body)); err == nil {
		_ = json.Unmarshal(b, &a)
	}
	return a
}

// wordless are the orders of which the shop has said nothing yet.
func (d *storeDay) wordless() (ids []string) {
	for id, bean := range d.all {
		switch d.phase(id) {
		case fleet.Served:
			if bean == "arabica" {
				continue
			}
		case fleet.Accepted:
			if bean == "robusta" {
				continue
			}
		case fleet.Unknown:
			if strings.Contains(d.shop.log(), "order="+id) {
				continue
			}
		case "":
			if d.accepted > 0 && d.asks(id, bean).Code == fleet.CodeConflict {
				continue
			}
		}
		ids = append(ids, id)
	}
	if v, err := d.conn.Settings().Get(d.t.Context(), fleet.CordonKey("leo")); err != nil || !strings.Contains(string(v), "limescale") {
		ids = append(ids, fleet.CordonKey("leo"))
	}
	return ids
}

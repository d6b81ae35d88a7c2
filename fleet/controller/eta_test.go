package controller_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/driver/mock"
	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/controller"
	"barista/fleet/desk"
	"barista/fleet/ledger"
	"barista/fleet/presence"
	"barista/fleet/stock"
	"barista/fleet/worker"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// cafe is a whole shop under fake time: the real broker, a controller with its desk, and
// machines with plants, at the pace of real metal.
type cafe struct {
	*testing.T
	b     *brokertest.Broker
	ctl   *controller.Controller
	rigs  map[string]*guard.Rig
	plant map[string]*mock.Control

	mu   sync.Mutex // guards what follows
	ways map[string]*way
}

// way is what an order was told, and how it went.
type way struct {
	when                           string
	n                              int // among the accepted
	answer                         fleet.Answer
	asked, placed, begun, servedAt time.Time
}

// loop runs something until the test ends, and waits for it.
func (c *cafe) loop(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = run(ctx) })
	c.Cleanup(func() { cancel(); done.Wait() })
}

func (c *cafe) open() {
	conn := c.b.Connect("shop")
	l := ledger.New(ledger.Parts{Book: conn.Book(), Shelf: stock.NewShelf(nil), Settings: conn.Settings()}, ledger.Config{})
	roll := presence.New(presence.Parts{Fleet: conn.Fleet(), Settings: conn.Settings(), Now: conn.Book().Now})
	if _, err := conn.Book().Act(c.Context(), fleet.Record{Stock: &fleet.StockAct{Act: fleet.Refill, Key: "initial", Items: fleet.Items{
		"arabica": 9000, "robusta": 9000, "mixed": 9000, fleet.MilkItem("normal"): 9000, fleet.MilkItem("soja"): 9000, fleet.ItemSugar: 900,
	}}}, 0); err != nil {
		c.Fatal(err)
	}
	c.ctl = controller.New(controller.Parts{
		Book: conn.Book(), Ledger: l, Orders: conn.Orders(), Events: conn.Events(), Settings: conn.Settings(), Roll: roll, Server: conn.Server(),
	}, controller.Config{ExpireAfter: time.Hour})
	c.loop(l.Run)
	c.loop(roll.Run)
	c.loop(desk.New(desk.Parts{
		Book: conn.Book(), Events: conn.Events(), Fleet: conn.Fleet(), Roll: roll, Settings: conn.Settings(), Server: conn.Server(), Requester: conn.Requester(),
		Wrote: l.Wrote, Age: l.Age, Waiting: l.Waiting, Queue: l.Queue,
	}).Run)
	c.loop(c.ctl.Run)
	c.loop(func(ctx context.Context) error {
		return conn.Book().Follow(ctx, 1, func(r fleet.Record) {
			c.mu.Lock()
			defer c.mu.Unlock()
			w := c.ways[r.Order.ID]
			switch {
			case w == nil:
			case (r.Phase == fleet.Brewing || r.Phase == fleet.Claimed) && w.begun.IsZero():
				w.begun = time.Now()
			case r.Phase == fleet.Served:
				w.servedAt = time.Now()
			}
		}, nil)
	})
}

// machine starts one.
func (c *cafe) machine(name string, m mock.Config, spare int) {
	conn := c.b.Connect(name)
	m.Cups = "auto"
	rig, ctl, err := mock.Open(m)
	if err != nil {
		c.Fatal(err)
	}
	plan := machine.Plan{Name: name, Cup: machine.CupSensor, Calibration: recipe.DefaultCalibration()}
	plan.Guard.Parts = map[driver.Part]guard.Limits{driver.Grinder: {MaxOn: 20 * time.Second, Rest: 10 * time.Second}}
	plan = plan.Of(rig)
	g, err := guard.New(rig, plan.Guard)
	if err != nil {
		c.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(c.TempDir(), "journal"), driver.Identity{Kind: "mock"}, guard.Place{})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { j.Close() })
	mach, err := machine.New(g, j, plan, machine.Config{})
	if err != nil {
		c.Fatal(err)
	}
	w, err := worker.New(worker.Parts{
		Desk: worker.NewDesk(conn.Requester(), name, nil), Live: conn.Events(), Tickets: conn.Tickets(), Server: conn.Server(), Machine: mach, Log: slog.New(slog.DiscardHandler),
	}, worker.Config{
		Name: name, Driver: "mock", Cup: string(machine.CupSensor), Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes,
		MinWaiting: spare, Boot: "boot-1", Menu: fleet.DefaultMenu(),
	})
	if err != nil {
		c.Fatal(err)
	}
	ctl.Plant().PlaceCup()
	c.loop(g.Run)
	c.loop(mach.Run)
	c.loop(w.Run)
	c.rigs[name], c.plant[name] = g, ctl
}

// order places the next one, of whatever size and kind.
func (c *cafe) order(when string, draw *rand.Rand) {
	menu := fleet.DefaultMenu()
	o := fleet.Order{
		ID: fmt.Sprintf("01JD%022d", len(c.ways)+1), Name: "Ada", Size: fleet.Sizes[draw.IntN(3)], Bean: menu.Beans[draw.IntN(len(menu.Beans))],
		Milk: menu.Milks[draw.IntN(len(menu.Milks))], Sugar: draw.IntN(4),
	}
	w := &way{when: when, asked: time.Now()}
	c.mu.Lock()
	w.n = len(c.ways)
	c.ways[o.ID] = w
	c.mu.Unlock()
	a := c.ctl.Place(c.Context(), o.Encode(), "web")
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.answer, w.placed = a, time.Now(); !a.OK() || len(a.ETA) != 2 {
		c.Fatalf("%s: %+v", o.ID, a)
	}
}

// served waits until all that were placed are.
func (c *cafe) served() {
	deadline := time.After(time.Hour)
	for {
		c.mu.Lock()
		open := 0
		for _, w := range c.ways {
			if w.servedAt.IsZero() {
				open++
			}
		}
		c.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-deadline:
			c.Fatalf("%d orders are not served", open)
		}
	}
}

// TestTrueWait: sixty orders of all sizes on five machines at the pace of real metal,
// one of them cold, one a spare, one locked. The range that was promised holds at least
// nine of ten, it is never wider than its lower end, and each place is that in which they
// were begun. A range is read strictly: its upper end is at most twice its lower one, so
// whatever comes true within it, at most twice that was said.
func TestTrueWait(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		c := &cafe{T: t, b: b, rigs: map[string]*guard.Rig{}, plant: map[string]*mock.Control{}, ways: map[string]*way{}}
		c.open()
		c.machine("zoe", mock.Config{}, 0)
		c.machine("leo", mock.Config{}, 0)
		c.machine("ivy", mock.Config{Heater: true}, 0)
		c.machine("sam", mock.Config{}, 4)
		c.machine("max", mock.Config{}, 0)
		time.Sleep(5 * time.Second)
		draw := rand.New(rand.NewPCG(1, 2))
		for range 12 {
			c.order("idle", draw)
			time.Sleep(2*time.Minute + time.Duration(draw.IntN(60))*time.Second)
		}
		for range 24 {
			c.order("busy", draw)
			time.Sleep(time.Duration(4+draw.IntN(14)) * time.Second)
		}
		c.served()
		time.Sleep(20 * time.Minute)
		for range 6 {
			c.order("a burst after a pause, one cold", draw)
			time.Sleep(300 * time.Millisecond)
		}
		c.served()
		c.rigs["max"].Trip(guard.Latch{Code: "no-flow"})
		c.rigs["leo"].Trip(guard.Latch{Code: "no-flow"})
		time.Sleep(10 * time.Second)
		for range 10 {
			c.order("two locked", draw)
			time.Sleep(time.Duration(20+draw.IntN(20)) * time.Second)
		}
		c.served()
		c.rigs["zoe"].Trip(guard.Latch{Code: "no-flow"})
		c.rigs["ivy"].Trip(guard.Latch{Code: "no-flow"})
		time.Sleep(10 * time.Second)
		for range 8 {
			c.order("the spare alone", draw)
			time.Sleep(time.Duration(20+draw.IntN(40)) * time.Second)
		}
		c.served()
		c.judge()
	})
}

func (c *cafe) judge() {
	type sum struct{ n, held, right, wide int }
	all, by, order := sum{}, map[string]*sum{}, []string{}
	list := make([]*way, len(c.ways))
	for _, w := range c.ways {
		list[w.n] = w
	}
	var misses strings.Builder
	for _, w := range list {
		if by[w.when] == nil {
			by[w.when] = &sum{}
			order = append(order, w.when)
		}
		place := 1
		for _, older := range list[:w.n] {
			if older.begun.After(w.asked) && older.begun.Before(w.begun) {
				place++
			}
		}
		low, high := w.answer.ETA[0], w.answer.ETA[1]
		took := w.servedAt.Sub(w.placed)
		missed, _ := fleet.Missed(w.answer.ETA, took)
		for _, s := range []*sum{&all, by[w.when]} {
			s.n++
			if missed == 0 {
				s.held++
			}
			if place == w.answer.Position {
				s.right++
			}
			if high > max(2*low, low+2) {
				s.wide++
			}
		}
		if missed != 0 || place != w.answer.Position {
			fmt.Fprintf(&misses, "\n%2d %s: %d–%d s told, took %.1f; place %d told, was %d", w.n+1, w.when, low, high, took.Seconds(), w.answer.Position, place)
		}
	}
	for _, when := range order {
		s := by[when]
		c.Logf("%-32s %2d orders, %2d held, %2d places right", when, s.n, s.held, s.right)
	}
	c.Logf("%-32s %2d orders, %2d held, %2d places right, %d too wide%s", "all", all.n, all.held, all.right, all.wide, misses.String())
	if all.n < 60 || 10*all.held < 9*all.n || all.right < all.n || all.wide > 0 {
		c.Errorf("of %d promised ranges %d held, %d are too wide; %d places were right", all.n, all.held, all.wide, all.right)
	}
}

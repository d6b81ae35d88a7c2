package queue_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// countPulls counts what the fleet asks of the queue.
func countPulls(t *testing.T, b *brokertest.Broker) *atomic.Int64 {
	t.Helper()
	var n atomic.Int64
	nc := raw(t, b)
	if _, err := nc.Subscribe("$JS.API.CONSUMER.MSG.NEXT.coffee-orders.>", func(*nats.Msg) { n.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return &n
}

// TestPullsPerOrder: in a fleet of idle machines one order costs three pulls at
// most, however many they are, and idling costs one in half a minute for each
// machine and class. BARISTA_FLEET sets how many.
func TestPullsPerOrder(t *testing.T) {
	fleetOf := 40
	if n, err := strconv.Atoi(os.Getenv("BARISTA_FLEET")); err == nil {
		fleetOf = n
	}
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		pulls := countPulls(t, b)
		o := b.Connect("shop").Orders()
		classes := fleet.DefaultMenu().Classes()[:3]
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var made atomic.Int64
		for i := range fleetOf {
			tk := b.Connect(fmt.Sprint("m", i)).Tickets()
			wg.Go(func() {
				for {
					x, err := tk.Next(ctx, classes, nil)
					if err != nil {
						return
					}
					fleet.Pause(ctx, 5*time.Second) // it is made
					if err := x.Done(t.Context()); err != nil {
						t.Error(err)
					}
					made.Add(1)
				}
			})
		}
		time.Sleep(time.Minute)
		pulls.Store(0)
		const window = 330 * time.Second // of whole half minutes
		time.Sleep(window)
		if idle, most := pulls.Load(), int64(fleetOf*len(classes)*11); idle > most {
			t.Errorf("idle for %v: %d pulls, at most %d wanted", window, idle, most)
		}
		idle := pulls.Load()
		pulls.Store(0)
		const n = 60
		for i := range n {
			e := entryN(i)
			e.Order.Bean, e.Order.Milk = classes[i%3].Bean, classes[i%3].Milk
			if err := o.Publish(ctx, e, e.Order.ID); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
		}
		time.Sleep(30 * time.Second)
		pulled := pulls.Load() - idle
		if made.Load() != n || pulled > 3*n {
			t.Errorf("%d of %d made; %d pulls above %d of idling", made.Load(), n, pulled, idle)
		}
		t.Logf("%d machines: %.2f pulls an order, %.2f a second idle", fleetOf, float64(pulled)/n, float64(idle)/window.Seconds())
		stop()
		wg.Wait()
	})
}

// TestSurplusGoesOn: a machine that has its order gives back at once what another
// of its parked pulls brings, and one that was told to stop what comes after that.
func TestSurplusGoesOn(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		o := b.Connect("shop").Orders()
		other := entryN(2)
		other.Order.Bean = "robusta"
		both := []fleet.Class{arabica, other.Order.Class()}
		one, two := b.Connect("one").Tickets(), b.Connect("two").Tickets()
		time.AfterFunc(time.Second, func() { put(t, o, 1, "m1") })
		if x, err := one.Next(ctx, both, nil); err != nil || x.MessageID != "m1" {
			t.Fatal(x, err)
		}
		// Its pull for robusta is still parked, and is the first in the line.
		time.AfterFunc(time.Second, func() { o.Publish(context.Background(), other, "m2") })
		begin := time.Now()
		x, err := two.Next(ctx, both, nil)
		if took := time.Since(begin); err != nil || x.MessageID != "m2" || took > 1500*time.Millisecond {
			t.Fatal(x, err, took)
		}
		// It stops waiting with its pulls parked; a third takes what comes then.
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if x, err := one.Next(short, both, nil); err == nil {
			t.Fatal(x)
		}
		put(t, o, 3, "m3")
		begin = time.Now()
		x, err = b.Connect("three").Tickets().Next(ctx, both, nil)
		if took := time.Since(begin); err != nil || x.MessageID != "m3" || took > 500*time.Millisecond {
			t.Fatal(x, err, took)
		}
	})
}

// TestParkedPullsEnd: a pull is parked anew when the broker has ended it, and when
// it is gone with a link or a broker.
func TestParkedPullsEnd(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		o := b.Connect("shop").Orders()
		link := b.Link()
		tk := b.ConnectOver("one", link).Tickets()
		n := 0
		comes := func(after, within time.Duration) {
			t.Helper()
			n++
			var begin time.Time
			time.AfterFunc(after, func() {
				begin = time.Now()
				put(t, o, n, fmt.Sprint("m", n))
			})
			x, err := tk.Next(t.Context(), []fleet.Class{arabica}, nil)
			if took := time.Since(begin); err != nil || took > within {
				t.Fatalf("%v after %v, wanted at most %v", err, took, within)
			}
			if err := x.Done(t.Context()); err != nil {
				t.Error(err)
			}
		}
		for _, after := range []time.Duration{time.Second, 29 * time.Second, 31 * time.Second, 95 * time.Second} {
			comes(after, 100*time.Millisecond)
		}
		time.AfterFunc(10*time.Second, func() { link.Cut(true); link.Cut(false) })
		comes(15*time.Second, 100*time.Millisecond)
		time.AfterFunc(10*time.Second, b.Restart)
		comes(15*time.Second, 100*time.Millisecond)
		// While the machine was at work the broker was away, and its pull with it.
		x := make(chan struct{})
		time.AfterFunc(time.Second, func() { b.Restart(); close(x) })
		<-x
		time.Sleep(5 * time.Second)
		comes(time.Second, 100*time.Millisecond)
	})
}

// TestSilentParkedPull: a machine whose link fell silent keeps one order from the
// others, for AckWait.
func TestSilentParkedPull(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx, stop := context.WithCancel(t.Context())
		o := b.Connect("shop").Orders()
		link := b.Link()
		var wg sync.WaitGroup
		one := b.ConnectOver("one", link).Tickets()
		wg.Go(func() { one.Next(ctx, []fleet.Class{arabica}, nil) })
		time.Sleep(time.Second)
		link.Silence(true)
		two := b.Connect("two").Tickets()
		begin := time.Now().Add(time.Second)
		time.AfterFunc(time.Second, func() { put(t, o, 1, "m1"); put(t, o, 2, "m2") })
		for i, within := range []time.Duration{time.Second, fleet.AckWait + time.Second} {
			x, err := two.Next(ctx, []fleet.Class{arabica}, nil)
			if took := time.Since(begin); err != nil || took > within {
				t.Errorf("order %d: %v after %v, wanted at most %v", i+1, err, took, within)
			} else if err := x.Done(ctx); err != nil {
				t.Error(err)
			}
		}
		stop()
		wg.Wait()
	})
}

// TestOlderFirst: of two classes in which orders wait, a machine gets the one that it asks
// for first, also where that one was given back before, so that the broker is slower with
// it, and where pulls of the machine have ended while it was at work.
func TestOlderFirst(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		o := b.Connect("shop").Orders()
		newer := entryN(2)
		newer.Order.Bean = "robusta"
		beans := []fleet.Class{arabica, newer.Order.Class()}
		tk := b.Connect("one").Tickets()
		take := func(want string) {
			t.Helper()
			x, err := tk.Next(ctx, beans, nil, beans...)
			if err != nil || x.MessageID != want {
				t.Fatalf("got %v, %v; want %s", x, err, want)
			}
			if err := x.Done(ctx); err != nil {
				t.Error(err)
			}
		}
		for i := range 20 {
			time.AfterFunc(time.Second, func() { put(t, o, 10*i, fmt.Sprint("before", i)) })
			take(fmt.Sprint("before", i)) // the pull for the other class stays parked
			older := fmt.Sprint("older", i)
			put(t, o, 10*i+1, older)
			time.Sleep(40 * time.Second) // the parked one ends
			x, err := b.Connect("two").Tickets().Next(ctx, beans[:1], nil)
			if err != nil || x.MessageID != older {
				t.Fatal(x, err)
			}
			if err := x.Return(ctx, 0); err != nil {
				t.Fatal(err)
			}
			newer.Order.ID = entryN(10*i + 2).Order.ID
			if err := o.Publish(ctx, newer, fmt.Sprint("newer", i)); err != nil {
				t.Fatal(err)
			}
			take(older)
			take(fmt.Sprint("newer", i))
		}
	})
}

package machine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// A start that came too late stays in hand over a fault, a clear and a stop, and
// keeps everything else out: only who asked for it goes on with it.
func TestLateStartStaysInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) {
			b.plan.Cup = CupDispenser
			b.fake = drivertest.NewFake(driver.Grinder, driver.Pump, driver.Milk, driver.Sugar, driver.Cups)
		}))
		job := Job{Order: "o1", Epoch: 1, Drink: small, Deadline: time.Now()}
		if r := b.make(job); !r.Late {
			t.Fatalf("%+v", r)
		}
		b.m.Stop("by Zoe")
		b.fake.Set(driver.Stop, 0)
		after(2 * s)
		b.status("fault")
		b.fake.Set(driver.Stop, 1)
		if err := b.m.ClearFault("zoe", "looked"); err != nil {
			t.Fatal(err)
		}
		if err := b.m.MayTry(driver.Milk); err == nil || err.Error() != "busy" {
			t.Error(err)
		}
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "other-start: o1#1")
		// No cup is dropped for another order.
		b.fake.Set(driver.Cup, 0)
		done := make(chan error, 1)
		go func() { done <- b.patient("o2") }()
		after(3 * time.Minute)
		if err := <-done; err == nil || b.edges() != "" {
			t.Errorf("%v, %s", err, b.edges())
		}
		b.fake.Set(driver.Cup, 1)
		b.journalled("o1", 1, journal.Started, "")
		job.Deadline = time.Now().Add(2 * s)
		b.expect(b.make(job), journal.Made, "")
	})
}

// A fault whose drink can't be recorded any more locks twice: the latch, and the
// journal, which only a restart mends. Neither calls for the other.
func TestFaultThatIsNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(3 * s)
		b.j.Close()
		b.fake.Set(driver.Door, 0)
		report := <-r
		synctest.Wait() // the answer goes before the status
		b.expect(report, journal.Spoiled, "door")
		b.expect(report, journal.Spoiled, "not recorded")
		if b.fake.AnyOn() || b.m.Status().Reason.Code != string(DoorOpen) {
			t.Errorf("%v, %+v", b.fake.Levels(), b.m.Status())
		}
		b.fake.Set(driver.Door, 1)
		if err := b.m.ClearFault("zoe", "closed it"); err == nil || !strings.HasPrefix(err.Error(), "record: ") {
			t.Errorf("cleared without a restart: %v", err)
		}
	})
}

// The timeline by which an order was taken is the one that is poured; what is kept
// is bounded.
func TestCompiledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		var taken, poured recipe.Timeline
		look := func(f func()) {
			if err := b.m.call(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		look(func() { taken, _ = b.m.able(small, b.m.read()) })
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		look(func() { poured = b.m.hand.(*pour).walk.tl })
		if len(taken) == 0 || &taken[0] != &poured[0] {
			t.Error("compiled again")
		}
		b.expect(<-r, journal.Made, "")
		for n := range 3 * mostLaid {
			d := small
			d.WaterML += float64(n) / 10
			if err := b.m.Able(d); err != nil {
				t.Fatal(err)
			}
		}
		look(func() {
			if n := len(b.m.laid); n == 0 || n > mostLaid {
				t.Errorf("%d timelines are kept", n)
			}
		})
	})
}

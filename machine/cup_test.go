package machine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/machine/journal"
)

// patient waits for a cup as long as a shop does.
func (b *bench) patient(order string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return b.m.AwaitCup(ctx, order)
}

// serve waits for a cup and makes the drink, as a worker does.
func (b *bench) serve(order string) (Report, error) {
	if err := b.patient(order); err != nil {
		return Report{}, err
	}
	return b.m.Make(context.Background(), Job{Order: order, Epoch: 1, Drink: small, Deadline: time.Now().Add(2 * s)}), nil
}

func (b *bench) pours() int { return strings.Count(b.edges(), "pump on") }

// Two orders and one cup that nobody takes: one pour. Over a restart too.
func TestOneCupOnePour(t *testing.T) {
	for _, kind := range []Cup{CupSensor, CupDispenser} {
		for _, restart := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b := setUp(t, with(func(b *bench) {
					b.plan.Cup = kind
					b.fake = drivertest.NewFake(driver.Grinder, driver.Pump, driver.Sugar, driver.Cups)
				}))
				r, err := b.serve("o1")
				if err != nil {
					t.Fatal(err)
				}
				b.expect(r, journal.Made, "")
				if restart {
					b.stop()
					b.run()
				}
				begun := time.Now()
				if _, err = b.serve("o2"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 2*time.Minute {
					t.Errorf("%s: the second order: %v after %v", kind, err, time.Since(begun))
				}
				b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "cup-stands")
				b.journalled("o2", 1, journal.None, "")
				if b.pours() != 1 || b.fake.Rises(driver.Cups) != 0 {
					t.Errorf("%s: %d pours into one cup:\n%s", kind, b.pours(), b.edges())
				}
				// Taken, and another one put there: the second order is made.
				b.fake.Set(driver.Cup, 0)
				after(s)
				b.fake.Set(driver.Cup, 1)
				if r, err = b.serve("o2"); err != nil || r.Outcome != journal.Made {
					t.Errorf("%s: %+v, %v", kind, r, err)
				}
			})
		}
	}
}

// A cup that was taken before a restart was taken.
func TestTakenBeforeRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.serve("o1")
		b.fake.Set(driver.Cup, 0)
		after(s)
		b.stop()
		b.fake.Set(driver.Cup, 1)
		b.run()
		if r, err := b.serve("o2"); err != nil || r.Outcome != journal.Made {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// While it waits, the status says for what; a cup that comes late is enough.
func TestWaitsForCup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.fake.Set(driver.Cup, 0)
		done := make(chan error, 1)
		go func() { done <- b.patient("o1") }()
		after(s)
		b.status("waiting")
		if err := b.m.AwaitCup(t.Context(), "o2"); err == nil || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("two at once: %v", err)
		}
		after(time.Minute)
		b.fake.Set(driver.Cup, 1)
		after(s)
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the cup was not seen")
		}
		b.status("ready")
		// A sensor that can't say is not a cup.
		b.fake.Break(driver.Cup)
		if err := b.patient("o2"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a broken sensor: %v", err)
		}
		if b.edges() != "" {
			t.Error("waiting moved something")
		}
	})
}

// The dispenser drops one cup for each waiting order and then believes its
// sensor only.
func TestDispenser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) {
			b.plan.Cup = CupDispenser
			f := drivertest.NewFake(driver.Grinder, driver.Pump, driver.Sugar, driver.Cups)
			b.fake = f
			f.SetFunc(driver.Cup, func() (float64, error) {
				if f.OnFor(driver.Cups) >= 300*time.Millisecond && f.Rises(driver.Cups) == 1 {
					return 1, nil
				}
				return 0, nil
			})
		}))
		r, err := b.serve("o1")
		if err != nil || r.Outcome != journal.Made || b.fake.Rises(driver.Cups) != 1 || b.fake.OnFor(driver.Cups) != 500*time.Millisecond {
			t.Fatalf("%+v, %v\n%s", r, err, b.edges())
		}
		b.fake.Set(driver.Cup, 0) // taken; and the dispenser is empty now
		after(time.Hour)
		if b.fake.Rises(driver.Cups) != 1 {
			t.Error("a cup was dropped for nobody")
		}
		done := make(chan error, 1)
		go func() { done <- b.patient("o2") }()
		after(10 * s)
		if st := b.m.Status(); st.State != "waiting" || !strings.Contains(st.Reason.Error(), "cup-not-given") {
			t.Errorf("%+v", st)
		}
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) || b.fake.Rises(driver.Cups) != 2 {
			t.Errorf("%v, %d pulses", err, b.fake.Rises(driver.Cups))
		}
	})
}

// A dispenser that fails is a fault like any other.
func TestDispenserFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) {
			b.plan.Cup = CupDispenser
			b.fake = drivertest.NewFake(driver.Grinder, driver.Pump, driver.Cups)
			b.fake.Set(driver.Cup, 0)
			b.fake.Fault(driver.Cups, drivertest.On, drivertest.Fault{Err: driver.ErrGone})
		}))
		if err := b.patient("o1"); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		b.status("fault")
	})
}

// The button counts for exactly the order that waits here, and for one attempt.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupPage; b.fake.Remove(driver.Cup) }))
		if b.m.CupThere("o1") == nil {
			t.Error("a button for an order that doesn't wait")
		}
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, "cup-asked")
		done := make(chan error, 1)
		go func() { done <- b.patient("o1") }()
		after(s)
		if b.m.CupThere("o2") == nil {
			t.Error("another one's button")
		}
		b.status("waiting")
		if err := b.m.CupThere("o1"); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b.expect(b.make(Job{Order: "o2", Epoch: 1, Drink: small}), journal.Untouched, "cup-asked")
		// A late start keeps the word, the end of the attempt uses it up.
		if r := b.make(Job{Order: "o1", Epoch: 1, Drink: small, Deadline: time.Now()}); !r.Late {
			t.Errorf("%+v", r)
		}
		r := b.begin(Job{Order: "o1", Epoch: 1, Drink: small})
		after(s)
		b.m.Stop("wrong milk")
		b.expect(<-r, journal.Spoiled, "wrong milk")
		b.expect(b.make(Job{Order: "o1", Epoch: 2, Drink: small}), journal.Untouched, "cup-asked")
	})
}

// A press that came and went with its wait does not serve the next order.
func TestPageForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupPage }))
		go func() { after(s); b.m.CupThere("o1") }()
		if err := b.patient("o1"); err != nil {
			t.Fatal(err)
		}
		if err := b.patient("o2"); err == nil {
			t.Error("o1's cup for o2")
		}
		b.expect(b.make(Job{Order: "o1", Epoch: 1, Drink: small}), journal.Untouched, "cup-asked")
	})
}

func TestAttended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t, with(func(b *bench) { b.plan.Cup = CupAttended; b.fake.Set(driver.Cup, 0) }))
		for _, o := range []string{"o1", "o2"} {
			if r, err := b.serve(o); err != nil || r.Outcome != journal.Made {
				t.Errorf("%+v, %v", r, err)
			}
		}
		if b.m.CupThere("o1") == nil {
			t.Error("a button that nobody has")
		}
	})
}

// Whoever waits when the service ends is told.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.fake.Set(driver.Cup, 0)
		done := make(chan error, 1)
		go func() { done <- b.patient("o1") }()
		after(s)
		b.stop()
		if err := <-done; !errors.Is(err, errEnded) {
			t.Error(err)
		}
	})
}

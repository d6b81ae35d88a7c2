package queue_test

import (
	"context"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestTold: what was told is known from the last event, also when that one
// is of no record, and in the same slot nothing is stored twice.
func TestTold(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		s := b.Connect("one").Events()
		told := func(want uint64) {
			t.Helper()
			if got, err := s.Told(ctx); err != nil || got != want {
				t.Errorf("told up to %d, %v; wanted %d", got, err, want)
			}
		}
		tell := func(e fleet.Event, seq uint64) {
			t.Helper()
			if err := s.Publish(ctx, e, seq); err != nil {
				t.Fatal(err)
			}
		}
		told(0)
		poison := fleet.Event{Order: fleet.PoisonID(fleet.StreamIntake, 3), Kind: fleet.EvRefused}
		tell(poison, 0)
		told(0)
		tell(fleet.Event{Order: id, Kind: fleet.EvAccepted}, 4)
		tell(fleet.Event{Order: id, Kind: fleet.EvServed}, 7)
		told(7)
		tell(fleet.Event{Order: id, Kind: fleet.EvAccepted}, 9) // dropped: its slot is taken
		told(7)
		poison.Order = fleet.PoisonID(fleet.StreamIntake, 4)
		tell(poison, 0)
		tell(poison, 0)
		told(7)
		time.Sleep(time.Second) // what is not synced leaves at once, all the same
		b.Restart()
		brokertest.Eventually(t, "the broker", func() bool { _, err := s.Told(ctx); return err == nil })
		told(7)
		tell(fleet.Event{Order: id, Kind: fleet.EvUnknown, Epoch: 3}, 11) // and the broker ends with it
	})
}

func TestLive(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	b := brokertest.Start(t)
	got := make(chan fleet.Event, 10)
	go b.Connect("web").Events().FollowLive(ctx, func(e fleet.Event) {
		select {
		case got <- e:
		default:
		}
	})
	s := b.Connect("zoe").Events()
	want := fleet.Event{Order: id, Kind: fleet.EvStep, Epoch: 1, N: 2, Machine: "zoe", Step: "pour"}
	brokertest.Eventually(t, "a step", func() bool {
		s.Live(want)
		select {
		case e := <-got:
			if e.Machine != want.Machine || e.Step != want.Step || e.Order != want.Order {
				t.Fatalf("%+v", e)
			}
			return true
		default:
			return false
		}
	})
}

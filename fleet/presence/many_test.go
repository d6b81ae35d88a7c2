package presence

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/desk"
	"barista/fleet/worker"
)

// lossy loses what is asked, or its answer, now and then.
type lossy struct {
	fleet.Requester
	mu   sync.Mutex
	dice *rand.Rand
}

func (l *lossy) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	l.mu.Lock()
	lose := l.dice.Intn(20)
	l.mu.Unlock()
	if lose == 0 {
		return nil, fleet.ErrNoAnswer
	}
	answer, err := l.Requester.Request(ctx, subject, body)
	if lose == 1 {
		return nil, fleet.ErrNoAnswer
	}
	return answer, err
}

// TestManyMachines: of seven hundred machines at two desks, of whose words and answers
// one in ten gets lost, none is ever absent, they come as seldom as they are asked to,
// and the one that falls silent is missed. Who looks from outside sees the same.
func TestManyMachines(t *testing.T) {
	const machines = 700
	brokertest.InBubble(t, func(t *testing.T, br *brokertest.Broker) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer stop()
		var rolls []*Roll
		set := newPlace()
		for i := range 2 {
			c := br.Connect(fmt.Sprint("shop-", i))
			roll := New(Parts{Fleet: c.Fleet(), Settings: memSettings{set}, Now: set.now})
			wg.Go(func() { roll.Run(ctx) })
			d := desk.New(desk.Parts{Fleet: c.Fleet(), Roll: roll, Settings: memSettings{set}, Server: c.Server(), Requester: c.Requester()})
			wg.Go(func() { d.Run(ctx) })
			rolls = append(rolls, roll)
		}
		ask := &lossy{Requester: br.Connect("machines").Requester(), dice: rand.New(rand.NewSource(1))}
		var words atomic.Int64
		machine := func(ctx context.Context, i int) {
			name := fmt.Sprintf("m-%d", i)
			door := worker.NewDesk(ask, name, nil)
			p := fleet.Presence{Machine: name, Owner: fleet.Owner{Machine: name, Journal: "j", Boot: "b"}, Classes: []fleet.Class{black}, State: fleet.StateReady}
			for wait := time.Duration(i) * 7 * time.Millisecond; fleet.Pause(ctx, wait); {
				word, err := door.Announce(ctx, p)
				if wait = max(word.Again, fleet.PresenceEvery); err != nil {
					wait = time.Second
				} else {
					words.Add(1)
				}
			}
		}
		alone, silent := context.WithCancel(ctx)
		wg.Go(func() { machine(alone, 0) })
		for i := 1; i < machines; i++ {
			wg.Go(func() { machine(ctx, i) })
		}
		time.Sleep(20 * time.Second)
		words.Store(0)
		for range 60 {
			time.Sleep(time.Second)
			for i, r := range rolls {
				if n := present(r); n != machines {
					t.Fatalf("%d of %d are here at desk %d", n, machines, i)
				}
			}
		}
		if n := words.Load(); n < 60*machines/16 || n > 60*machines/15*11/10 {
			t.Errorf("%d words of %d machines in a minute", n, machines)
		}
		if here, err := br.Connect("outside").Fleet().Present(ctx); err != nil || len(here) != machines {
			t.Errorf("from outside %d are here: %v", len(here), err)
		}
		silent()
		time.Sleep(fleet.PresenceMost + 2*time.Second)
		for i, r := range rolls {
			if n := present(r); n != machines-1 {
				t.Errorf("one is silent, and %d are here at desk %d", n, i)
			}
		}
	})
}

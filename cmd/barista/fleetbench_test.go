package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/queue"
	"barista/fleet/worker"
)

const (
	benchFleet  = 1000 // machines that only say that they are here
	aimPresence = 5.0  // percent of a core of the shop's process
)

// TestBenchFleet measures what the presence of many machines costs the shop's
// process, embedded broker and all. It fails where a word is not taken, never on
// time.
func TestBenchFleet(t *testing.T) {
	if !*benchOrders {
		t.Skip("measures for a minute; make bench runs it")
	}
	const settled, measured = 6 * time.Second, 30 * time.Second
	shop := startShop(t, "barista", t.TempDir())
	defer shop.stop(t)
	pid := shop.cmd.Process.Pid
	c, err := queue.Connect(t.Context(), queue.Config{Name: "bench", Servers: []string{shop.url}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := c.Requester()

	cost := func() float64 {
		<-time.After(settled)
		start, cpu := time.Now(), cpuOf(t, pid)
		<-time.After(measured)
		return 100 * float64(cpuOf(t, pid)-cpu) / float64(time.Since(start))
	}
	alone := cost()

	var here sync.WaitGroup
	var words, unheard atomic.Int64
	end := make(chan struct{})
	menu := fleet.DefaultMenu()
	var classes []fleet.Class
	for _, b := range menu.Beans {
		for _, m := range menu.Milks {
			classes = append(classes, fleet.Class{Bean: b, Milk: m})
		}
	}
	for i := range benchFleet {
		name := fmt.Sprintf("m-%d", i)
		desk := worker.NewDesk(ask, name, nil)
		p := fleet.Presence{
			Machine: name, Owner: fleet.Owner{Machine: name, Journal: "j" + name, Boot: "b"}, Classes: slices.Clone(classes), Sizes: fleet.Sizes,
			State: fleet.StateReady, Cup: "sensor", Driver: "mock", Version: "bench",
		}
		here.Go(func() {
			// Not all at once: as machines that were started one after the other.
			next := time.NewTimer(fleet.PresenceEvery * time.Duration(i) / benchFleet)
			defer next.Stop()
			for {
				select {
				case <-end:
					return
				case <-next.C:
				}
				words.Add(1)
				word, err := desk.Announce(t.Context(), p)
				if err != nil {
					unheard.Add(1)
				}
				next.Reset(max(word.Again, fleet.PresenceEvery)) // as the worker does
			}
		})
	}
	<-time.After(2 * fleet.PresenceEvery)
	said, lost := words.Load(), unheard.Load()
	with := cost()
	said, lost = words.Load()-said, unheard.Load()-lost
	close(end)
	here.Wait()
	if lost > 0 {
		t.Errorf("%d of %d words were not heard", lost, said)
	}
	fmt.Fprintf(os.Stdout, "\n| %d machines that say every %v that they are here | | aim | |\n|---|---:|---:|---|\n| CPU of the shop's process | %.1f %% of a core, %.1f without them | ≤ %.0f more | %s |\n\n",
		benchFleet, fleet.PresenceEvery, with, alone, aimPresence, atMost(with-alone, aimPresence))
}

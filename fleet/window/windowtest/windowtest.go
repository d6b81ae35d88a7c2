// Package windowtest opens a window on a test's broker, as a controller does. It is for
// tests only; what it starts ends with the test.
package windowtest

import (
	"context"
	"sync"
	"testing"

	"barista/fleet/brokertest"
	"barista/fleet/presence"
	"barista/fleet/queue"
	"barista/fleet/window"
)

// Open has a window show what the broker has, over a connection of that name, until
// stop is called or the test ends. change may be nil.
func Open(t testing.TB, b *brokertest.Broker, name string, change func(*window.Parts)) (stop func()) {
	t.Helper()
	return On(t, b.Connect(name), change)
}

// On is Open over a connection that is there.
func On(t testing.TB, c *queue.Conn, change func(*window.Parts)) (stop func()) {
	t.Helper()
	roll := presence.New(presence.Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: c.Book().Now})
	p := window.Parts{
		Book: c.Book(), Follow: c.Book().Follow, Roll: roll, Settings: c.Settings(), All: c.AllSettings, Waiting: c.Orders().Waiting,
		Stored: c.Orders().Stored, Told: c.Events().Told, Server: c.Server(), MaxPayload: c.MaxPayload,
	}
	if change != nil {
		change(&p)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { roll.Run(ctx) })
	wg.Go(func() { window.New(p).Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	brokertest.Eventually(t, "the window", func() bool {
		_, err := window.Remote(c.Requester()).Machines(ctx)
		return err == nil
	})
	return stop
}

package queue_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestHubAway: a site says since when its hub is away and how many events wait, once that
// is longer than a link takes to come back; and no order is refused because of it.
func TestHubAway(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		c := b.Connect("shop")
		var up atomic.Bool
		up.Store(true)
		ctx, end := context.WithCancel(t.Context())
		defer end()
		hub, ended := c.Hub(up.Load), make(chan error, 1)
		go func() { ended <- hub.Run(ctx) }()
		say := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			var got string
			for _, one := range hub.Troubles() {
				got = one.Detail
				if one.Code != fleet.CodeHubAway || one.Closed || one.Text == "" {
					t.Errorf("%+v", one)
				}
			}
			if got != want {
				t.Errorf("it says %q, wanted %q", got, want)
			}
		}
		load(t, c, 0, 3)
		say(time.Minute, "")
		up.Store(false)
		gone := time.Now()
		say(5*time.Second, "")
		at := gone.Add(2 * time.Second).Format("15:04")
		load(t, c, 3, 10)
		say(time.Minute, "since "+at+", 28 events wait")
		say(13*time.Hour, "since "+gone.Add(2*time.Second).Format(time.DateOnly)+" "+at+", 28 events wait")
		up.Store(true)
		say(3*time.Second, "")
		up.Store(false)
		load(t, c, 10, 11)
		say(2*time.Second, "")
		up.Store(true)
		say(20*time.Second, "")
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

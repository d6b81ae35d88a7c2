package queue_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"barista/fleet/brokertest"
)

// TestFlood: of requests that come quicker than they are answered a bounded number
// waits; the others get no answer, and who asks when it is over is answered.
func TestFlood(t *testing.T) {
	const most = 64 + 1 + 2048 // answered at once, in hand, and waiting
	b := brokertest.Start(t)
	shop := b.Connect("shop")
	ctx, stop := context.WithCancel(t.Context())
	release, up := make(chan struct{}), make(chan struct{})
	var answered atomic.Int32
	var once sync.Once
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = shop.Server().Serve(ctx, "coffee.web.requests", true, func(_ context.Context, _ string, body []byte) []byte {
			once.Do(func() { close(up) })
			<-release
			if len(body) > 0 {
				answered.Add(1)
			}
			return []byte("ok")
		})
	}()
	nc, err := nats.Connect("", nats.InProcessServer(b), nats.CustomInboxPrefix("_INBOX_flood"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	began := false
	for !began { // until it is served
		if err := nc.PublishRequest("coffee.web.requests", "_INBOX_flood.x", nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-up:
			began = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	for range 20_000 {
		if err := nc.PublishRequest("coffee.web.requests", "_INBOX_flood.x", make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	// What the shop's connection hears now it hears after all of that.
	if _, err := shop.Book().Now(ctx); err != nil {
		t.Fatal(err)
	}
	close(release)
	brokertest.Eventually(t, "an answer", func() bool {
		_, err := nc.Request("coffee.web.requests", nil, time.Second)
		return err == nil
	})
	if n := answered.Load(); n < 64 || n > most {
		t.Errorf("%d of 20,000 were kept, at most %d may wait", n, most)
	}
	stop()
	<-done
}

package queue

import (
	"crypto/tls"
	"log/slog"
	"testing"
	"time"
)

// TestPause: who is refused tries soon at first, because a reload may be under way, and
// then ever more seldom, because only a person heals it. Who finds nobody tries soon.
func TestPause(t *testing.T) {
	c := &Conn{cfg: Config{TLS: &tls.Config{}}, log: slog.New(slog.DiscardHandler)}
	soon := tryAgain + spreadTLS
	for n := range 2000 {
		d := c.pause()
		switch {
		case n <= fewTries && d > soon:
			t.Errorf("after %d tries: %v", n, d)
		case n > 20 && d < tryLater/2, d > 3*tryLater/2:
			t.Fatalf("after %d tries: %v", n, d)
		}
		c.complain(&Unusable{Class: ErrRefused})
	}
	for what, do := range map[string]func(){"nobody is there": c.unheard, "it is let in": c.well} {
		for range 20 {
			c.complain(&Unusable{Class: ErrRefused})
		}
		do()
		if d := c.pause(); d > soon {
			t.Errorf("%s: %v", what, d)
		}
	}
	var all time.Duration
	for range 60 {
		all += c.pause()
		c.complain(&Unusable{Class: ErrRefused})
	}
	if all < 5*time.Minute {
		t.Errorf("60 tries in %v", all)
	}
}

package fleet

import (
	"testing"
	"time"
)

// TestPresencePace: up to a few hundred machines nothing is stretched; beyond, a shop hears
// about as many words a second, and of two that follow each other one may be lost.
func TestPresencePace(t *testing.T) {
	last := PresenceEvery
	for n := range 5000 {
		every, lasts := PresencePace(n)
		switch {
		case n <= aFew && (every != PresenceEvery || lasts != PresenceTTL):
			t.Fatalf("%d machines: every %v for %v", n, every, lasts)
		case every < last || every > slowest || lasts > PresenceMost || lasts < 2*every+PresenceEvery/2:
			t.Fatalf("%d machines: every %v for %v, after %v", n, every, lasts, last)
		case n <= 3*aFew+10 && float64(n)/every.Seconds() > 68:
			t.Fatalf("%d machines: every %v is %.0f words a second", n, every, float64(n)/every.Seconds())
		}
		last = every
	}
	if every, lasts := PresencePace(1000); every != slowest || lasts != PresenceMost {
		t.Errorf("a thousand machines: every %v for %v", every, lasts)
	}
	if (Presence{}).Counts() != PresenceTTL || (Presence{Lasts: 35}).Counts() != 35*time.Second {
		t.Error("how long a word counts")
	}
}

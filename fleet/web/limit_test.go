package web

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func address(n int) netip.Prefix {
	return household(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}))
}

// Some who ask without end do not keep out who asks little.
func TestPaceOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRates(asking, askingAll)
		l.kind = true
		const busy = 20
		served := 0
		for range 60 { // a minute
			for who := range busy {
				for range 100 {
					if l.allow(address(who)) {
						served++
					}
				}
			}
			for range 6 {
				if !l.allow(address(200)) {
					t.Fatal("who loads a page every second was sent away")
				}
			}
			time.Sleep(time.Second)
		}
		most := 60*int(time.Second/askingAll.every) + askingAll.burst + busy*asking.burst/2
		if served > most {
			t.Errorf("%d served, want at most %d", served, most)
		}
	})
}

func TestSeats(t *testing.T) {
	s := newSeats(8, 40)
	var leave []func()
	take := func(who int) (n int) {
		for n < 100 {
			l, ok := s.enter(address(who))
			if !ok {
				return n
			}
			leave = append(leave, l)
			n++
		}
		return n
	}
	for who := range 3 {
		if n := take(who); n != 8 {
			t.Errorf("address %d got %d, want 8", who, n)
		}
	}
	if n := take(3); n != 6 {
		t.Errorf("the last before the reserve got %d, want 6", n)
	}
	if n := take(0); n != 0 {
		t.Errorf("a busy one got %d of the reserve", n)
	}
	for who := 10; who < 15; who++ {
		if n := take(who); n != few {
			t.Errorf("a newcomer got %d of the reserve, want %d", n, few)
		}
	}
	if n := take(99); n != 0 {
		t.Errorf("%d more than all", n)
	}
	for _, l := range leave {
		l()
	}
	if s.taken != 0 || len(s.by) != 0 {
		t.Errorf("left behind: %d %v", s.taken, s.by)
	}
}

package web

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses is how many addresses a limit remembers.
const maxAddresses = 4096

// pace is how often something may be done: a rate, and how much at once.
type pace struct {
	every time.Duration
	burst int
}

// The paces. A page with all that it loads is six requests; a phone that follows
// an order without a stream asks every ten seconds.
var (
	asking     = pace{50 * time.Millisecond, 120} // requests of an address
	askingAll  = pace{2500 * time.Microsecond, 800}
	ordering   = pace{12 * time.Second, 10} // orders of an address
	orderAll   = pace{time.Second, 60}
	kioskOrder = pace{4 * time.Second, 24} // orders of a kiosk of the house: two cups every 8 s
	guessing   = pace{12 * time.Second, 5} // PINs of an address
	guessAll   = pace{2 * time.Second, 30}
	healthAll  = pace{100 * time.Millisecond, 50} // looks at the shop for those who ask how it is
	retryOrder = "12"                             // seconds, with an order that came too soon
)

// rates counts what each address does.
type rates struct {
	each pace
	// kind: who has done little lately is served though all together do too much,
	// so that a crowd of requests from some does not shut out the others.
	kind bool

	mu    sync.Mutex
	all   *rate.Limiter
	by    map[netip.Prefix]*rate.Limiter
	swept time.Time // when by was last looked through
}

func newRates(each, all pace) *rates {
	return &rates{each: each, all: all.limiter(), by: map[netip.Prefix]*rate.Limiter{}}
}

func (p pace) limiter() *rate.Limiter { return rate.NewLimiter(rate.Every(p.every), p.burst) }

// allow reports whether an address may do it once more now. Who has none can't be
// told apart: a kind limit takes all of them for one, another lets none.
func (l *rates) allow(who netip.Prefix) bool {
	if !who.IsValid() && !l.kind {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.by[who]
	if one == nil {
		if len(l.by) >= maxAddresses && time.Since(l.swept) > time.Second {
			l.forget() // not for every stranger of a flood
		}
		if len(l.by) >= maxAddresses {
			return false
		}
		one = l.each.limiter()
		l.by[who] = one
	}
	return one.Allow() && (l.all.Allow() || l.kind && one.Tokens() >= float64(l.each.burst)/2)
}

// forget drops the addresses that have been quiet long enough to have their
// whole burst again.
func (l *rates) forget() {
	l.swept = time.Now()
	for key, one := range l.by {
		if one.Tokens() >= float64(l.each.burst) {
			delete(l.by, key)
		}
	}
}

// seats are so many things at once: of an address, and in all. The last quarter
// is for addresses that have next to none, so that a few busy ones do not take
// all.
type seats struct {
	each, all int

	mu    sync.Mutex
	taken int
	by    map[netip.Prefix]int
}

func newSeats(each, all int) *seats { return &seats{each: each, all: all, by: map[netip.Prefix]int{}} }

// few is what an address may have of the last quarter.
const few = 2

// enter takes a seat; leave must be called once if ok.
func (s *seats) enter(who netip.Prefix) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.by[who]
	if n >= s.each || s.taken >= s.all || s.taken >= s.all*3/4 && n >= few {
		return nil, false
	}
	s.taken++
	s.by[who]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		if s.by[who]--; s.by[who] == 0 {
			delete(s.by, who)
		}
	}, true
}

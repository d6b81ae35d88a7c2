package operators

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Who guesses waits: a few attempts are free, then each costs twice the time of the
// one before, up to a bound, until it has been quiet for a while.
const (
	freeByName    = 10
	freeByAddress = 5
	mostByName    = time.Minute
	mostByAddress = 5 * time.Minute
	quiet         = 30 * time.Minute // after which the attempts are forgotten

	allPerMinute = 30 // of all strangers together
	allBurst     = 20

	slots    = 1024
	maxHomes = 8 // addresses that are remembered for a name
)

// tries is what is known of one name or address.
type tries struct {
	n    int
	last time.Time
	open time.Time // no attempt before
}

// attempts counts the failed ones. Names and addresses share a fixed number of slots,
// by a hash that nobody outside can know: the memory is bounded, and no flood of
// invented ones makes room for more guesses at a real one. Who shares a slot with a
// guesser waits with them.
type attempts struct {
	seed maphash.Seed

	mu    sync.Mutex // guards what follows
	names [slots]tries
	froms [slots]tries
	all   *rate.Limiter
	homes map[string][]netip.Prefix // by name: where its password was given, lately first
}

func newAttempts() *attempts {
	return &attempts{seed: maphash.MakeSeed(), all: rate.NewLimiter(rate.Every(time.Minute/allPerMinute), allBurst), homes: map[string][]netip.Prefix{}}
}

// begin counts an attempt as failed until succeed says otherwise, and returns 0; or
// counts nothing and returns how long to wait. An address from which the name's
// password was given before waits for its own mistakes only: strangers can't lock its
// owner out.
func (a *attempts) begin(name string, from netip.Prefix) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	byFrom := &a.froms[a.slot(from.String())]
	byName := &a.names[a.slot(name)]
	wait := byFrom.wait(now)
	home := slices.Contains(a.homes[name], from)
	if !home {
		wait = max(wait, byName.wait(now))
	}
	if wait > 0 {
		return wait
	}
	if !home {
		if r := a.all.ReserveN(now, 1); r.DelayFrom(now) > 0 {
			wait = r.DelayFrom(now)
			r.CancelAt(now)
			return wait
		}
		byName.failed(now, freeByName, mostByName)
	}
	byFrom.failed(now, freeByAddress, mostByAddress)
	return 0
}

// succeed forgets the attempts of a person who had the password after all.
func (a *attempts) succeed(name string, from netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.homes[name], from) { // else the attempts were strangers'
		a.names[a.slot(name)] = tries{}
	}
	a.froms[a.slot(from.String())] = tries{}
	homes := slices.DeleteFunc(a.homes[name], func(p netip.Prefix) bool { return p == from })
	a.homes[name] = slices.Insert(homes[:min(len(homes), maxHomes-1)], 0, from)
}

func (a *attempts) slot(key string) int { return int(maphash.String(a.seed, key) % slots) }

func (t *tries) wait(now time.Time) time.Duration {
	if now.Sub(t.last) > quiet {
		*t = tries{}
	}
	return max(0, t.open.Sub(now))
}

func (t *tries) failed(now time.Time, free int, most time.Duration) {
	t.n++
	t.last = now
	if over := t.n - free; over >= 0 {
		t.open = now.Add(min(most, time.Second<<min(over, 20)))
	}
}

// place is the household of an address: an IPv6 one has a whole network. What is no
// address is one household.
func place(from string) netip.Prefix {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the bits fit
	return p
}

package homeassistant

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"regexp"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"barista/fleet"
)

// Moment is the template by which Home Assistant writes into each press when it was made:
// seconds since 1970 with a fraction.
const Moment = "{{ now().timestamp() }}"

// via is this room, as an order's entrance.
const via = "homeassistant"

// press is one that came.
type press struct {
	subject string
	body    []byte
}

// result is what became of one.
type result struct {
	code  string // "accepted", an answer's code, or one of those below
	why   string
	order string
}

// The codes of a press that is no order.
const (
	codeNone      = "none" // there was no press since the shop's start
	codeAccepted  = "accepted"
	codeNoButton  = "no_button"
	codeNoMoment  = "no_moment"
	codeStale     = "stale"
	codeTooMany   = "too_many"
	codeByPage    = "cup_by_page"
	codeNoWitness = "nobody_there"
)

// runOrders takes presses, one after the other.
func (b *Bridge) runOrders(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-b.pressed:
			r := b.order(ctx, p)
			if r.code != codeAccepted {
				b.p.Log.Warn("a press in Home Assistant is no order", "code", r.code, "why", r.why, "subject", fleet.Plain(p.subject))
			}
			b.mu.Lock()
			b.last = r
			b.mu.Unlock()
			poke(b.news)
		}
	}
}

// order makes an order of a press, and says what became of it.
func (b *Bridge) order(ctx context.Context, p press) result {
	var o fleet.Order
	for _, one := range b.drinks() {
		if fleet.HomeOrderSubject(one) == p.subject {
			o = one
		}
	}
	if o.Bean == "" {
		return result{code: codeNoButton, why: "there is no button for this drink here"}
	}
	at, ok := moment(p.body)
	if !ok {
		return result{code: codeNoMoment, why: "it does not say when it was made, so that nobody could tell it from its own repetition: send seconds since 1970 (date +%s.%N)"}
	}
	if old := b.p.Wall().Sub(at); old > Fresh || old < -Fresh {
		return result{code: codeStale, why: "it was made " + old.Round(time.Second).String() + " ago by its own clock: press again, or set the clocks of both computers"}
	}
	o.ID, o.Name = pressID(p.subject, at), b.cfg.Name
	if o.ID == b.taken { // the book says the same of older ones
		return result{code: codeAccepted, order: o.ID}
	}
	if code, why := b.gate(o); code != "" {
		return result{code: code, why: why}
	}
	if !b.pace.Allow() {
		return result{code: codeTooMany, why: "too many orders in a short time: wait a moment"}
	}
	a := b.p.Place(ctx, o.Encode(), via)
	for try := 0; a.Code == fleet.CodeUnavailable && try < 5 && fleet.Pause(ctx, time.Second); try++ {
		a = b.p.Place(ctx, o.Encode(), via) // the same id: at most one order comes of it
	}
	if a.OK() {
		b.taken = o.ID
		b.p.Log.Info("ordered by Home Assistant", "order", o.ID, "subject", p.subject)
		return result{code: codeAccepted, order: o.ID}
	}
	return result{code: short(a.Code), why: fleet.Plain(a.Message), order: o.ID}
}

// gate says why nobody may be at the machine that would make it, now or when it is back;
// empty: the cup is the gate. It goes by what machines say of themselves, so it is advice: what keeps a machine
// from pouring without a cup is that machine.
func (b *Bridge) gate(o fleet.Order) (code, why string) {
	here, page, sees := false, false, false
	for _, now := range b.p.Machines() {
		m := b.was(now)
		makes := m.Makes(o)
		here = here || makes && now.Here
		switch {
		case !makes:
		case m.Cup == "attended" && b.cfg.Attended:
			sees = true
		case m.Cup == "attended":
			return codeNoWitness, "machine " + m.Machine + " could make it, and looks for no cup: the shop's file would have to say that somebody stands by (homeassistant: {attended: true})"
		case m.Cup == "page":
			page = true
		default:
			sees = true
		}
	}
	switch {
	case page && !sees:
		return codeByPage, "only machines make it to which a cup is announced on the order's page: order there"
	case !here: // whichever comes back may be one that looks for no cup, when nobody is there any more
		return fleet.CodeAway, "no machine that makes it is here: press again when one is"
	}
	return "", ""
}

// written is how a moment may be written: Home Assistant has six digits of a second, the
// shell's clock nine.
var written = regexp.MustCompile(`^([0-9]{10})(?:\.([0-9]{1,9}))?$`)

// moment reads when a press was made.
func moment(body []byte) (at time.Time, ok bool) {
	m := written.FindSubmatch(body)
	if m == nil {
		return time.Time{}, false
	}
	s, _ := strconv.ParseInt(string(m[1]), 10, 64) // ten digits
	fraction := (string(m[2]) + "000000000")[:9]
	ns, _ := strconv.ParseInt(fraction, 10, 64)
	return time.Unix(s, ns), true
}

// pressID makes the order's id of the press alone: its moment, and a hash of that and of
// the drink.
func pressID(subject string, at time.Time) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(subject+" "), uint64(at.UnixNano())))
	var id ulid.ULID
	_ = id.SetTime(uint64(at.UnixMilli())) // ten digits of seconds are within it
	_ = id.SetEntropy(sum[:10])            // always ten bytes
	return id.String()
}

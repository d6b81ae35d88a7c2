package fleet

import (
	"math"
	"slices"
	"time"
)

// Pace is what a machine says of its own times, in seconds. How long a cup takes is the
// length of the timeline that it would walk, put right by how long its last ones really
// took; so whoever predicts calls what the doer calls. It is advice.
type Pace struct {
	Cups []CupTime `json:"cups,omitempty"`
	// Free is until it could begin the next drink: the rest of the drink in hand, the
	// pause of its parts, a step back, its warming up. With a state that is not able, more
	// than 0 says that this passes by itself, and when.
	Free float64 `json:"free,omitempty"`
	// Left is until the drink in hand is ready.
	Left float64 `json:"left,omitempty"`
	// Heat is how long its own heater heats before the next drink; Reheat before each
	// further one of a series. The times of its cups are without.
	Heat   float64 `json:"heat,omitempty"`
	Reheat float64 `json:"reheat,omitempty"`
	// Cup is from when it has an order until it begins: the customer brings his cup.
	Cup float64 `json:"cup,omitempty"`
	// Fetch is from the end of a drink until its cup is taken away: before that the next
	// one does not begin.
	Fetch float64 `json:"fetch,omitempty"`
}

// CupTime is how long a machine takes for a cup of a size, from its first movement to
// its last.
type CupTime struct {
	Size    Size      `json:"size"`
	Milk    bool      `json:"milk,omitempty"` // with milk of any kind
	Seconds []float64 `json:"seconds"`        // by doses of sugar, from none on; those beyond can't be made
	Rest    float64   `json:"rest,omitempty"` // after it, until the next drink may begin
}

// Of is how long the order takes; false where the machine does not say.
func (p *Pace) Of(o Order) (takes, rest float64, known bool) {
	if p == nil {
		return 0, 0, false
	}
	for _, c := range p.Cups {
		if c.Size == o.Size && c.Milk == (o.Milk != NoMilk) && o.Sugar >= 0 && o.Sugar < len(c.Seconds) {
			return c.Seconds[o.Sugar], c.Rest, true
		}
	}
	return 0, 0, false
}

// Forecast is an open order's way from this moment on, as a controller sees it: a
// simulation of what the machines will do with the orders that wait. It is made anew
// whenever the book or a machine's word changes, so a page may count down from the
// moment at which it came and take the next one as it is. Seconds are from that moment;
// what is counted to is the end of the pouring.
//
// Where Known, the range is one that can be promised: High is at most twice Low, but for
// the last seconds (see Promise).
type Forecast struct {
	Order   string  `json:"order"`
	Place   int     `json:"place,omitempty"`   // one more than the orders that begin before it; 0: it has begun
	Machine string  `json:"machine,omitempty"` // that has it, or will as things stand; empty: nobody can say
	Known   bool    `json:"known"`             // the figures below rest on machines that are able
	Begin   float64 `json:"begin_seconds"`     // until it begins
	Low     float64 `json:"low_seconds"`       // until it is ready, at the earliest
	High    float64 `json:"high_seconds"`      // at the latest
}

// finest is how wide a promised range may be however short the wait, in seconds: less
// says nothing.
const finest = 2

// Promise is a range in whole seconds, such as is told to a customer. It holds the given
// one as far as a promise may be wide: its upper end is at most twice its lower one, so
// wherever in it the truth is, the latest that was said is at most twice that; below two
// seconds it may be two seconds wide. Of a wider one it keeps what lies about likely.
func Promise(low, likely, high float64) []int {
	low, likely = max(0, min(low, likely)), max(0, likely)
	high = max(high, likely)
	l, h := math.Floor(low), math.Ceil(high)
	if h > max(2*l, l+finest) {
		// So that likely stands in it as it stands in what was given.
		l = max(l, math.Floor(likely/math.Sqrt2))
		if max(2*l, l+finest) < likely { // whole seconds: just above four
			l = math.Ceil(likely / 2)
		}
		h = min(h, max(2*l, l+finest))
	}
	return []int{int(l), int(h)}
}

// Missed is by how much a wait left the range that was told: 0 within it, in seconds,
// below 0 where it was ready earlier than told, above where later; false where nothing
// was told.
func Missed(eta []int, waited time.Duration) (seconds float64, told bool) {
	if len(eta) != 2 {
		return 0, false
	}
	s := waited.Seconds()
	return s - min(max(s, float64(eta[0])), float64(eta[1])), true
}

// Scored is Missed of an order that a record tells as served, from its acceptance on;
// false where a person's word ended it, which may come hours after the cup.
func (c Claim) Scored(accepted, served time.Time) (seconds float64, told bool) {
	if c.Phase != Served || c.By != "" || served.Before(accepted) {
		return 0, false
	}
	return Missed(c.Answer.ETA, served.Sub(accepted))
}

func (p *Pace) check() error {
	var out problems
	for what, s := range map[string]float64{"free": p.Free, "left": p.Left, "heat": p.Heat, "reheat": p.Reheat, "cup": p.Cup, "fetch": p.Fetch} {
		out.seconds(what, s)
	}
	out.unless(len(p.Cups) <= 2*mostSizes, "%d kinds of cups, at most %d", len(p.Cups), 2*mostSizes)
	for _, c := range p.Cups {
		out.unless(slices.Contains(Sizes, c.Size), "there is no size %.20q", c.Size)
		out.unless(len(c.Seconds) <= MaxSugar+1, "%d times of one cup, at most %d", len(c.Seconds), MaxSugar+1)
		out.seconds("rest", c.Rest)
		for _, s := range c.Seconds {
			out.seconds("a cup", s)
		}
	}
	return out.err()
}

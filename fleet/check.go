package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The bounds of what is written down. Figures beyond them were written by no shop:
// a slip of the hand with a foreign program, a mistake, a damaged byte. What fails
// a Check is named and not followed, and nothing that fails one is written. They are
// wide, because an old record must stay readable, and fit an int of 32 bits.
const (
	maxSum     = 1 << 30 // of an item, ever
	maxCount   = 1_000_000
	maxText    = 4 << 10
	maxItems   = 100
	maxTook    = 24 * 3600 // seconds
	maxWord    = 64        // of a name that the shop makes itself: a boot, a key
	mostSizes  = 8
	maxClasses = 64
)

// problems collects what is wrong; the first is enough to name it.
type problems []error

func (p *problems) unless(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (p *problems) of(what string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", what, err))
	}
}

// figure wants 0 to most.
func (p *problems) figure(what string, n, most int) {
	p.unless(n >= 0 && n <= most, "%s %d: 0 to %d", what, n, most)
}

// seconds wants a time that a drink may take.
func (p *problems) seconds(what string, s float64) {
	p.unless(s >= 0 && s <= maxTook, "%s %g: 0 to %d seconds", what, s, maxTook)
}

func (p *problems) text(what, s string, most int) {
	p.unless(len(s) <= most, "%s: %d bytes, at most %d", what, len(s), most)
}

func (p *problems) token(what, s string) {
	p.unless(s == "" || IsToken(s), "%s %.40q: 1 to 32 of a-z, 0-9 and -", what, s)
}

func (p problems) err() error { return errors.Join(p...) }

// Check says why these can't be amounts of the stock; all problems, joined.
func (items Items) Check() error {
	var p problems
	p.unless(len(items) <= maxItems, "%d items, at most %d", len(items), maxItems)
	for item, n := range items {
		p.unless(IsToken(item), "item %.40q: must be 1 to 32 of a-z, 0-9 and -", item)
		p.unless(n >= 0 && n <= MaxAmount, "%.40s: the amount must be 0 to %d", item, MaxAmount)
	}
	slices.SortFunc(p, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return p.err()
}

// Check says why this can't be the record of the book that stands at a sequence.
func (r Record) Check(seq uint64) error {
	switch {
	case r.IsClaim:
		return r.Claim.Check()
	case r.Stock != nil:
		return r.Stock.Check()
	case r.Refusals != nil:
		return r.Refusals.Check(seq)
	case r.Balance != nil:
		return r.Balance.Check(seq)
	case r.Loss != nil:
		return r.Loss.Check()
	}
	return errors.New("it says nothing")
}

// Check says why a claim can't be one that a shop wrote.
func (c Claim) Check() error {
	var p problems
	p.unless(slices.Contains([]Phase{Accepted, Claimed, Brewing, Again, Unknown}, c.Phase) || c.Phase.Ended(), "there is no phase %.20q", c.Phase)
	p.unless(isID(c.Order.ID), "order %.40q: not an id", c.Order.ID)
	p.of("order", c.Order.check())
	p.of("doses", c.Portion.Check())
	p.of("answer", c.Answer.check())
	p.unless(c.Epoch >= 1 && c.Epoch <= maxCount, "epoch %d: 1 to %d", c.Epoch, maxCount)
	p.figure("attempts", c.Attempts, maxCount)
	p.outcome(c.Outcome)
	p.seconds("took", c.Took)
	p.token("via", c.Via)
	if c.Owner != nil {
		p.of("owner", c.Owner.check())
	}
	if c.Avoid != nil {
		p.token("avoid", c.Avoid.Machine)
	}
	for _, one := range c.Past {
		p.unless(one.Epoch >= 1 && one.Epoch <= c.Epoch, "past epoch %d of %d", one.Epoch, c.Epoch)
		p.token("past machine", one.Machine)
		p.outcome(one.Outcome)
		p.seconds("past took", one.Took)
	}
	return p.err()
}

func (p *problems) outcome(o Outcome) {
	p.unless(slices.Contains([]Outcome{"", Made, Spoiled, Untouched, OutcomeUnknown}, o), "there is no outcome %.20q", o)
}

// check looks at an order in canonical form. Its name is only bounded: what a name
// may be has changed before, and an old order stays one.
func (o Order) check() error {
	var p problems
	p.unless(o.sized(), "there is no size %.20q", o.Size)
	p.unless(IsToken(o.Bean), "bean %.40q: 1 to 32 of a-z, 0-9 and -", o.Bean)
	p.unless(IsToken(o.Milk), "milk %.40q: 1 to 32 of a-z, 0-9 and -", o.Milk)
	p.figure("sugar", o.Sugar, MaxSugar)
	p.text("name", o.Name, maxText)
	return p.err()
}

func (a Answer) check() error {
	var p problems
	p.figure("position", a.Position, maxCount)
	p.unless(len(a.ETA) <= 2, "%d times to wait", len(a.ETA))
	for _, s := range a.ETA {
		p.figure("wait", s, maxSum)
	}
	p.text("message", a.Message, maxText)
	return p.err()
}

func (o Owner) check() error {
	var p problems
	p.unless(IsToken(o.Machine), "machine %.40q: 1 to 32 of a-z, 0-9 and -", o.Machine)
	p.text("journal", o.Journal, maxWord)
	p.text("boot", o.Boot, maxWord)
	return p.err()
}

// Check says why an act of the stock is none.
func (a StockAct) Check() error {
	var p problems
	p.unless(slices.Contains([]Act{Refill, Count, Consume, Waste}, a.Act), "there is no act %.20q", a.Act)
	p.of("items", a.Items.Check())
	p.text("key", a.Key, maxWord)
	p.text("by", a.By, maxText)
	p.text("note", a.Note, maxText)
	return p.err()
}

// Check says why this can't be the record of refusals that stands at a sequence:
// each refusal before it took one.
func (r Refusals) Check(seq uint64) error {
	var p problems
	p.unless(r.Before < seq, "%d refusals before record %d", r.Before, seq)
	for _, one := range r.List {
		p.unless(isID(one.Order), "order %.40q: not an id", one.Order)
		p.of("answer", one.Answer.check())
	}
	if r.What != nil {
		p.unless(isID(r.What.ID), "order %.40q: not an id", r.What.ID)
		p.of("order", r.What.check())
	}
	return p.err()
}

// Check says why this can't be the balance that stands at a sequence. One that
// claims to know what comes after it would hide that.
func (b Balance) Check(seq uint64) error {
	var p problems
	p.unless(b.Upto < seq, "balance up to %d in record %d", b.Upto, seq)
	p.unless(b.Acts <= b.Upto, "last act %d beyond %d", b.Acts, b.Upto)
	for item, l := range b.Levels {
		p.unless(IsToken(item), "item %.40q: 1 to 32 of a-z, 0-9 and -", item)
		for what, n := range map[string]int{"on hand": l.OnHand, "reserved": l.Reserved, "refilled": l.Refilled, "consumed": l.Consumed, "wasted": l.Wasted} {
			p.figure(fmt.Sprintf("%.40s %s", item, what), n, maxSum)
		}
	}
	for item, at := range b.Counted {
		p.unless(IsToken(item) && at <= b.Upto, "%.40q counted by record %d", item, at)
	}
	for _, s := range b.Open {
		p.unless(isID(s.Order) && s.Seq <= b.Upto && s.At <= b.Upto, "open order %.40q at record %d", s.Order, s.Seq)
		p.of("taken", s.Taken.Check())
	}
	for _, k := range b.Keys {
		p.of("key", StockAct{Act: k.Act, Items: k.Items, Key: k.Key}.Check())
	}
	p.of("refusals", b.Refusals.Check(seq))
	return p.err()
}

// Check says why a machine can't have said this of itself.
func (p Presence) Check() error {
	var out problems
	out.unless(IsToken(p.Machine), "machine %.40q: 1 to 32 of a-z, 0-9 and -", p.Machine)
	if p.Owner != (Owner{}) {
		out.of("owner", p.Owner.check())
	}
	out.unless(len(p.Classes) <= maxClasses, "%d classes, at most %d", len(p.Classes), maxClasses)
	for _, c := range p.Classes {
		out.unless(IsToken(c.Bean) && IsToken(c.Milk), "class %.40q can't be on a menu", c.String())
	}
	out.unless(len(p.Sizes) <= mostSizes, "%d sizes", len(p.Sizes))
	for _, s := range p.Sizes {
		out.unless(slices.Contains(Sizes, s), "there is no size %.20q", s)
	}
	out.unless(len(p.Never) <= maxItems, "%d drinks that it could never make", len(p.Never))
	for _, n := range p.Never {
		out.unless(n.Size == "" || slices.Contains(Sizes, n.Size), "it never makes a size %.20q", n.Size)
		out.token("it never makes milk", n.Milk)
		out.figure("it never makes sugar", n.Sugar, MaxSugar)
	}
	out.unless(p.Order == "" || isID(p.Order), "the order in its hand %.40q: not an id", p.Order)
	out.figure("min_waiting", p.MinWaiting, maxCount)
	out.figure("drinks", p.Drinks, maxSum)
	out.figure("percent", p.Percent, 100)
	out.figure("lasts", p.Lasts, int(PresenceMost/time.Second))
	out.seconds("seconds", p.Seconds)
	if p.Pace != nil {
		out.of("pace", p.Pace.check())
	}
	out.text("state", string(p.State), maxWord)
	for what, s := range map[string]string{"code": p.Code, "detail": p.Detail, "quote": p.Quote, "note": p.Note, "cup": p.Cup, "driver": p.Driver, "version": p.Version, "drained": p.Drained} {
		out.text(what, s, maxText)
	}
	for what, g := range map[string]Gauge{"beans": p.Gauges.Beans, "water": p.Gauges.Water, "tray": p.Gauges.Tray} {
		out.text(what, string(g), maxWord)
	}
	out.unless(len(p.Lacks) <= maxItems, "it lacks %d things", len(p.Lacks))
	for _, s := range p.Lacks {
		out.text("lacks", s, maxText)
	}
	out.unless(len(p.Care) <= maxItems, "%d kinds of care", len(p.Care))
	for _, c := range p.Care {
		out.unless(slices.Contains(CareKinds, c.Kind), "there is no care %.20q", c.Kind)
		out.figure("drinks since the last care", c.Drinks, maxSum)
		out.figure("hours since the last care", c.Hours, maxSum)
	}
	out.unless(len(p.Parts) <= maxItems, "%d parts", len(p.Parts))
	for _, s := range p.Parts {
		out.unless(IsToken(s), "there is no part %.40q", s)
	}
	for _, h := range []*Happened{p.LastFault, p.LastAct} {
		if h != nil {
			for _, s := range []string{h.What, h.Detail, h.By, h.Why, h.At} {
				out.text("what came about there", s, maxText)
			}
		}
	}
	out.unless(len(p.Swapped) <= maxItems, "%d parts of it were swapped", len(p.Swapped))
	for _, s := range p.Swapped {
		out.unless(IsToken(s), "the part %.40q was swapped", s)
	}
	return out.err()
}

// Check says why no machine of ours would ask this; what it says of the asker and
// of the order is the desk's to look at.
func (a Ask) Check() error {
	var p problems
	p.figure("epoch", a.Epoch, maxCount)
	p.outcome(a.Outcome)
	p.seconds("took", a.Took)
	p.unless(a.Poison == nil || len(a.Poison.Payload) <= MaxOrder, "more payload than is kept")
	if a.Presence != nil {
		p.of("presence", a.Presence.Check())
	}
	return p.err()
}

// Check says why no desk of ours would answer this.
func (t Told) Check() error {
	var p problems
	if t.Entry.Order.ID != "" {
		p.of("entry", t.Entry.Claim.Check())
	}
	p.unless(t.Age >= 0, "age %v", t.Age)
	p.unless(t.Left >= 0 && t.Left <= LongestBrew+UnknownAfter, "left %v", t.Left)
	p.figure("others", t.Others, maxCount)
	if t.Word != nil {
		p.figure("waiting", t.Word.Waiting, maxCount)
		for _, list := range [][]Class{t.Word.Next, t.Word.Alone} {
			p.unless(len(list) <= maxClasses, "%d classes wait, at most %d", len(list), maxClasses)
			for _, c := range list {
				p.unless(IsToken(c.Bean) && IsToken(c.Milk), "class %.40q can't be on a menu", c.String())
			}
		}
		p.unless(t.Word.Again >= 0 && t.Word.Again <= slowest, "heard again in %v: 0 to %v", t.Word.Again, slowest)
		if t.Word.Menu != nil {
			p.of("menu", t.Word.Menu.Check())
		}
	}
	return p.err()
}

// mostStages is more than any drink has: pieces and rests between them.
const mostStages = 128

// Check says why an event is none that a shop tells.
func (e Event) Check() error {
	var p problems
	p.figure("epoch", e.Epoch, maxCount)
	p.figure("n", e.N, maxCount)
	p.figure("of", e.Of, maxCount)
	p.figure("percent", e.Percent, 100)
	p.unless(len(e.Stages) <= mostStages, "%d stages, at most %d", len(e.Stages), mostStages)
	for _, s := range e.Stages {
		p.token("stage", s.Step)
		p.figure("stage from", s.From, 100)
	}
	p.token("machine", e.Machine)
	p.outcome(e.Outcome)
	p.seconds("seconds", e.Seconds)
	p.unless(e.ETAError == nil || *e.ETAError >= -maxSum && *e.ETAError <= maxSum, "eta_error: beyond all sense")
	p.of("doses", e.Portion.Check())
	return p.err()
}

// Check says why this can't be an accepted loss. Why is never empty: a person said it.
func (l Loss) Check() error {
	var p problems
	p.unless(l.By != "" && l.Why != "", "who accepted it, and why, is not said")
	p.text("by", l.By, maxText)
	p.text("why", l.Why, maxText)
	p.unless(len(l.Eras) <= maxCount/1000, "%d eras, at most %d", len(l.Eras), maxCount/1000)
	for _, era := range l.Eras {
		p.text("era", era, maxWord)
	}
	return p.err()
}

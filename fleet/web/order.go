package web

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"barista/fleet"
	"barista/fleet/words"
)

// The states of a step on an order's way. A page shows them by more than a colour.
const (
	stepDone = "done"
	stepNow  = "now"
	stepNext = "next"
	stepCut  = "cut" // the drink was stopped in it
)

// step is a line of an order's way, from the order to the cup that was taken away.
type step struct {
	Name  string
	State string
}

// orderBody is what the live part of an order's page shows.
type orderBody struct {
	Path      string // of the page, for its buttons
	Mood      string // the picture: "waiting", "cup", "making", "served", "away", "sorry", "unknown"
	Name      string
	Number    int    // called beside the name
	Head      string // what is, in a few words
	Text      string // the same in a sentence
	Hint      string // where to have the cup, before it starts
	Reason    string // the customer's sentence
	Used      string // whether something was used, for an order that failed
	Queue     int
	Span      string // how long it may still take; empty where nobody can say
	Late      bool   // longer than was said
	Machine   string
	Way       []step
	N, Of     int
	Step      string
	Percent   int
	Cup       bool   // offer "my cup is there"
	CanCancel bool   // before its fence
	CanStop   bool   // while it is made
	CanSay    bool   // the customer may say what came of it
	CanTake   bool   // offer "I have it"
	Until     int64  // Unix milliseconds to which a cup is waited for; 0: none is
	Left      string // the same as minutes and seconds, for a page without script
	Ended     bool
	Over      bool   // nothing will follow
	What      string // what was ordered
	Say       string // for screen readers, when it changes
	Stale     bool
	Error     string // of a button that was just pressed
	Pot       pot
}

// orderBody puts an order's state into words.
func (w *Web) orderBody(ctx context.Context, p *pages, s sight) orderBody {
	b := orderBody{
		Path: w.pathOf(s.ID), Name: s.What.Name, Number: s.number(), Queue: s.Queue, Machine: capital(s.Machine), N: s.N, Of: s.Of,
		Percent: s.Percent, Ended: s.Phase.Ended(), Stale: s.Stale && !s.Phase.Ended(),
	}
	b.Over = b.Ended && (s.Phase != fleet.Served || s.Taken || w.Wall().Sub(s.Ended) >= keepCall)
	if s.What.Size != "" {
		b.What = p.what(s.What)
	}
	kind := w.cupKind(ctx, s.Machine, s.Phase)
	w.sayPhase(&b, p, s)
	if s.waits() && !b.Stale {
		// Nobody who can be served by another machine is before it, and who begins first may
		// have come later: the shop knows.
		if f, ok := w.outlook.of(ctx, w.book.changed, s.ID); ok && f.Place > 0 {
			b.Queue = f.Place
			if f.Known && b.Span == "" { // nothing was told, or what was told is over
				b.Span = p.span(time.Duration(f.Low)*time.Second, time.Duration(f.High)*time.Second)
			}
		}
	}
	switch {
	case s.waits() && !b.Stale:
		names, own := w.makers(ctx, s.What)
		if s.Phase == fleet.Accepted {
			b.Hint = p.where(names, own)
		}
		if own > 0 && own == len(names) {
			kind = cupDispenser // whichever makes it, its customer brings none
		}
	case s.Phase == fleet.Claimed:
		w.sayCup(&b, p, s, kind)
	case s.Phase == fleet.Brewing:
		if text, ok := p.known("text.brewing", kind); ok {
			b.Text = fmt.Sprintf(text, b.Machine)
		}
	}
	if s.Phase != fleet.Cancelled && s.Phase != fleet.Expired { // else the text says it
		b.Reason = words.Customer(p.Lang, s.Reason.Code)
	}
	b.Way = p.way(s, kind)
	b.Pot = inCup(s)
	b.Say = cmp.Or(b.Step, b.Head)
	return b
}

// sayPhase adds the picture, the words and the buttons of the order's phase.
func (w *Web) sayPhase(b *orderBody, p *pages, s sight) {
	said := func(mood, key string, args ...any) {
		b.Mood, b.Head, b.Text = mood, p.say("head."+key, args...), p.say("text."+key, args...)
	}
	switch s.Phase {
	case fleet.Accepted, fleet.Again:
		b.CanCancel = true
		if s.Again {
			said("waiting", "again")
		} else {
			said("waiting", "taken", cmp.Or(b.Name, p.say("order.you")))
		}
		b.Span, b.Late = w.left(p, s)
	case fleet.Claimed:
		b.CanCancel = true
		said("cup", "cup", b.Machine)
		b.Span, b.Late = w.left(p, s)
	case fleet.Brewing:
		b.CanStop = fleet.IsToken(s.Machine)
		said("making", "brewing", b.Machine)
		b.Span, b.Late = w.left(p, s)
		if s.Step != "" {
			b.Step = p.step(s.Step)
		}
	case fleet.Served:
		b.CanTake = !b.Over
		switch {
		case s.Taken:
			said("away", "away", b.Name)
		case b.Machine == "":
			said("served", "served_somewhere", b.Name)
		default:
			said("served", "served", b.Name, b.Machine)
		}
	case fleet.Failed:
		sayFailed(b, p, s, said)
	case fleet.Cancelled:
		said("sorry", "cancelled")
	case fleet.Expired:
		said("sorry", "expired")
	default: // unknown, or what a later version says
		b.Machine = cmp.Or(b.Machine, p.say("order.machine"))
		if b.CanSay = w.CustomersSettle && s.Phase == fleet.Unknown; b.CanSay {
			said("unknown", "unknown_tell", b.Machine)
		} else {
			said("unknown", "unknown", b.Machine)
		}
	}
}

// sayFailed says whether something was used. A person's word on a drink in doubt gives
// back what was put by for it, and says nothing of what was used.
func sayFailed(b *orderBody, p *pages, s sight, said func(mood, key string, args ...any)) {
	stopped := s.Reason.Code == fleet.CodeUnwanted
	if stopped {
		said("sorry", "stopped", b.Machine)
	} else {
		said("sorry", "failed")
	}
	switch {
	case s.Reason.Code == fleet.CodeSaid, s.Reason.Code == fleet.CodeSettled:
	case s.Outcome == fleet.Untouched:
		b.Used = p.say("used.nothing")
	case s.Outcome == fleet.Spoiled && stopped:
		b.Used = p.say("used.stopped")
	case s.Outcome == fleet.Spoiled:
		b.Used = p.say("used.some")
	default:
		b.Used = p.say("used.unknown")
	}
}

// sayCup says how the machine knows of the cup, and until when it waits for it.
func (w *Web) sayCup(b *orderBody, p *pages, s sight, kind string) {
	if text, ok := p.known("text.cup", kind); ok {
		b.Text = fmt.Sprintf(text, b.Machine)
	}
	switch kind {
	case cupSensor:
	case cupDispenser, cupAttended:
		b.Mood, b.Head = "waiting", p.say("head.cup."+kind, b.Machine)
		return
	default: // by the page, or nobody can say how
		b.Cup = fleet.IsToken(s.Machine)
	}
	if s.Since.IsZero() {
		return
	}
	until := s.Since.Add(fleet.CupWait)
	left := until.Sub(w.Wall()).Truncate(heartbeat) // a page without script asks every ten seconds
	if left <= 0 {
		return
	}
	b.Until, b.Left = until.UnixMilli(), fmt.Sprintf("%d:%02d", int(left.Minutes()), int(left.Seconds())%60)
}

// The ways in which a machine knows of a cup, as it says them.
const (
	cupSensor    = "sensor"
	cupDispenser = "dispenser"
	cupAttended  = "attended"
)

// cupKind is how the machine of an order that is under way knows of its cup; empty where
// nobody can say.
func (w *Web) cupKind(ctx context.Context, machine string, phase fleet.Phase) string {
	if machine == "" || !phase.Open() {
		return ""
	}
	for _, m := range w.around(ctx) {
		if m.Machine == machine {
			return m.Cup
		}
	}
	return ""
}

// caredFor reports whether nobody has to bring a cup to a machine: it gives one itself,
// or a person of the shop does.
func caredFor(kind string) bool { return kind == cupDispenser || kind == cupAttended }

// makers are the machines that may take the order next, spares only where no other can;
// and to how many of them nobody brings a cup.
func (w *Web) makers(ctx context.Context, o fleet.Order) (names []string, own int) {
	var spare []string
	spareOwn := 0
	for _, m := range w.around(ctx) {
		list, n := &names, &own
		switch {
		case m.Serves(o):
		case m.Able() && m.Makes(o):
			list, n = &spare, &spareOwn
		default:
			continue
		}
		*list = append(*list, capital(m.Machine))
		if caredFor(m.Cup) {
			*n++
		}
	}
	if len(names) == 0 {
		return spare, spareOwn
	}
	return names, own
}

// where says where to have the cup ready, while that is not settled yet; own is to how
// many of the machines nobody brings one.
func (p *pages) where(makers []string, own int) string {
	switch n := len(makers); {
	case n == own || n > 4:
		return ""
	case n == 1:
		return p.say("hint.one", makers[0])
	case own > 0:
		return p.say("hint.mixed", strings.Join(makers[:n-1], ", "), makers[n-1])
	default:
		return p.say("hint.many", strings.Join(makers[:n-1], ", "), makers[n-1])
	}
}

// step is a step's name. Machines send a word in English; one that the catalogue does not
// know is told as it is in English, and in general in another language.
func (p *pages) step(word string) string {
	if text, ok := p.known("step", word); ok {
		return text
	}
	if p.Lang != languages[0] || word == "" {
		return p.say("step.other")
	}
	return capital(word)
}

// what is what was ordered.
func (p *pages) what(o fleet.Order) string {
	if o.IsCare() {
		return p.say("care.of", p.name("care", string(o.Size)), capital(o.CareOf()))
	}
	return p.say("order.what", p.name("size", string(o.Size)), p.name("bean", o.Bean),
		p.name("milk", o.Milk), p.say("sugar."+string(rune('0'+min(max(o.Sugar, 0), fleet.MaxSugar)))))
}

// way is everything that happens to an order, what is behind it and what is to come.
// After an end without a drink it is what was done.
func (p *pages) way(s sight, kind string) []step {
	at := 0 // how many of the four stations are behind it: taken, cup, made, taken away
	switch s.Phase {
	case fleet.Accepted, fleet.Again, fleet.Claimed:
		at = 1
	case fleet.Brewing:
		at = 2
	case fleet.Served:
		at = 3
	case fleet.Failed:
		if s.Reason.Code != fleet.CodeUnwanted {
			return nil
		}
		return p.work(s, stepCut)
	default:
		return nil
	}
	state := func(station int) string {
		switch {
		case station < at:
			return stepDone
		case station == at && (s.Phase == fleet.Claimed || at > 1):
			return stepNow
		}
		return stepNext
	}
	out := []step{{p.say("way.taken"), stepDone}}
	if !caredFor(kind) {
		name := p.say("way.cup.somewhere")
		if s.Machine != "" {
			name = p.say("way.cup", capital(s.Machine))
		}
		out = append(out, step{name, state(1)})
	}
	if work := p.work(s, state(2)); at < 3 && len(work) > 0 {
		out = append(out, work...)
	} else {
		out = append(out, step{p.say("way.made"), state(2)})
	}
	ready, away := stepNext, stepNext
	if at == 3 {
		ready, away = stepDone, stepNow
		if s.Taken {
			away = stepDone
		}
	}
	return append(out, step{p.say("way.ready"), ready}, step{p.say("way.away"), away})
}

// work is the steps of the drink itself, none skipped, as its machine lists them; from
// one that does not, those that were heard of.
func (p *pages) work(s sight, now string) []step {
	var out []step
	names, n := s.Steps, len(s.Steps)
	if len(s.Stages) > 0 {
		names, n = nil, s.N
		for _, one := range s.Stages {
			names = append(names, one.Step)
		}
	}
	for i, name := range names {
		one := step{p.step(name), stepNext}
		switch {
		case i < n-1 || s.Percent == 100:
			one.State = stepDone
		case i == n-1:
			one.State = now
		}
		out = append(out, one)
	}
	return out
}

// around is who is here. While one page asks, the others go by the last answer: a shop
// that does not answer must not hold them all.
func (w *Web) around(ctx context.Context) []fleet.Machine {
	l := &w.roll
	if l.mu.TryLock() {
		l.mu.Unlock()
		list, err := w.machines(ctx)
		if err != nil {
			return nil
		}
		l.lately.Store(&list)
		return list
	}
	if list := l.lately.Load(); list != nil {
		return *list
	}
	return nil
}

// left is how much of the promised wait is left.
func (w *Web) left(p *pages, s sight) (span string, late bool) {
	if len(s.ETA) != 2 || s.Accepted.IsZero() || s.Again {
		return "", false
	}
	// Two hosts' clocks may differ a little, and a span that was just told
	// should not be another one a moment later.
	gone := max(0, w.Wall().Sub(s.Accepted)).Truncate(heartbeat)
	low := time.Duration(s.ETA[0])*time.Second - gone
	high := time.Duration(s.ETA[1])*time.Second - gone
	if high <= 0 {
		return "", true
	}
	return p.span(max(low, 0), high), false
}

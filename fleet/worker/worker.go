// Package worker takes one ticket at a time from the queue to its machine, and
// the outcome back into the claim. It is where the promise is kept that an
// order never pours twice, never vanishes, and says honestly when the outcome
// is unknown; the rules are those of fleet.Claim.
//
// It writes to no store. What it wants of a claim it asks of a desk, with the
// record that it read; while no desk answers it begins nothing, and finishes what
// it has: the end stays in the journal until a desk took it.
//
// One goroutine, Run, does everything in order: first the outcomes that the
// journal still owes, then one order after the other. Beside it run the beat
// (fed by the machine's own loop, so a machine that hangs loses its order), the
// presence, which brings back what the shop wants of the machine, and the
// commands. When ctx ends the drink in hand is finished and settled, then Run
// returns: a stop never cuts a drink.
//
// The worker never creates a claim, never says made or not made for another
// machine, and switches nothing: machine.Machine does.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"barista/fleet"
	"barista/fleet/words"
	"barista/machine"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// The times of the worker; those of the queue are in package fleet.
const (
	cupSoon    = 250 * time.Millisecond // before the customer is asked for one
	saySoon    = 250 * time.Millisecond // at least, between two words of presence
	sayAgain   = time.Second            // after one that nobody heard
	spareLook  = 2 * time.Second        // between two looks of a spare at how many wait
	fresh      = 500 * time.Millisecond // is a word about what waits
	cupLook    = 2 * time.Second        // between two looks at others, while an old cup stands here
	cupHope    = 15 * time.Second       // that others under which an old cup stands are ready before this one
	stepBack   = 10 * time.Second       // a machine that failed lets another try first
	notNow     = 5 * time.Second        // at least, before an order that can't be made now comes again
	passTime   = time.Second            // until an order that another machine can make comes to it
	lookAgain  = 20 * time.Second       // at an order that another machine is making
	settleTime = 20 * time.Second       // after a stop, to settle what was made
	pushPause  = time.Second            // between tries to confirm an outcome
	saidAgain  = time.Minute            // what goes on being so
	rivalTime  = time.Minute            // that another process of this name is spoken of
	syncAfter  = time.Second            // an outcome that is not confirmed by then is on the disk
)

// Config is what this machine serves.
type Config struct {
	Name       string
	Driver     string
	Cup        string // how it knows that a cup is there
	Classes    []fleet.Class
	Sizes      []fleet.Size
	Swapped    []string   // parts that were swapped and not measured since
	MinWaiting int        // a spare takes only while at least so many wait; 0: always
	Boot       string     // the kernel's boot id
	Version    string     // of the program
	Menu       fleet.Menu // until the shop has said which
}

// Parts are the rooms that the worker joins.
type Parts struct {
	Desk    fleet.Desk
	Live    Live
	Tickets fleet.Tickets
	Server  fleet.Server
	Machine *machine.Machine
	Log     *slog.Logger
}

// Live takes what passes at the machine: steps, percents, a cup that is waited for.
type Live interface{ Live(e fleet.Event) }

// Worker is one machine's hand in the queue.
type Worker struct {
	Parts
	cfg   Config
	owner fleet.Owner
	pass  chan fleet.Event // on its way to Live
	look  chan struct{}    // has the shop asked anew what it wants
	stop  context.Context  // done when Run must end; it cuts only the wait for a cup
	leave context.CancelFunc

	mu      sync.Mutex    // guards what the page and the presence read
	hand    string        // order in hand
	came    time.Time     // when it came
	owes    bool          // an outcome is not confirmed yet
	word    fleet.Word    // the shop's last
	heard   chan struct{} // closed at the next one
	heardAt time.Time     // when it came
	leaving bool
	reaches bool      // for an order: one may come, whatever the shop has said meanwhile
	twin    bool      // another process works under this name: nothing is begun
	rival   time.Time // when another one asked to, last
	menu    fleet.Menu
	offer   fleet.Presence  // classes, sizes and what of them is never made, by that menu
	unfit   *machine.Reason // why that is not all that its file lists; nil: it is
	drinks  int
	busy    time.Duration // over all drinks
	pace    pace
	lately  lately
	trying  int // trials of parts that are asked for or under way
	at      step
	shuns   map[fleet.Class]time.Time // classes that are left to others, and until when
	changed chan struct{}             // closed when one of these changes

	// Run's own.
	hoping time.Time            // since when an old cup stands under every machine
	kept   map[journal.Key]*end // outcomes that a closed shop does not hear
}

// step is how far the drink in hand is, as it was last told.
type step struct{ n, percent int }

// New joins the parts. It starts nothing.
func New(p Parts, cfg Config) (*Worker, error) {
	var errs []error
	if !fleet.IsMachine(cfg.Name) {
		errs = append(errs, fmt.Errorf("machine name %q: 1 to 32 of a-z, 0-9 and -, and no name of the shop's own", cfg.Name))
	}
	if len(cfg.Classes) == 0 || len(cfg.Sizes) == 0 {
		errs = append(errs, errors.New("the machine serves nothing: give it beans, milk and sizes"))
	}
	if l := p.Machine.Longest(); l > fleet.LongestBrew {
		errs = append(errs, fmt.Errorf("a drink could take %v, at most %v is allowed: raise the rates or shorten the rests", l.Round(time.Second), fleet.LongestBrew))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	p.Log = p.Log.With("machine", cfg.Name)
	stop, leave := context.WithCancel(context.Background())
	w := &Worker{
		Parts: p, stop: stop, leave: leave, cfg: cfg, shuns: map[fleet.Class]time.Time{}, changed: make(chan struct{}), pace: pace{off: map[cupKind]*seconds{}},
		owner: fleet.Owner{Machine: cfg.Name, Journal: p.Machine.Journal().ID(), Boot: cfg.Boot, Nonce: nonce()},
		kept:  map[journal.Key]*end{}, heard: make(chan struct{}), pass: make(chan fleet.Event, 64), look: make(chan struct{}, 1),
	}
	w.offers(cfg.Menu)
	return w, nil
}

// Run works until ctx ends and the drink in hand is settled.
func (w *Worker) Run(ctx context.Context) error {
	// What stands beside the work lasts until the last drink is settled.
	aside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	known := make(chan struct{})
	wg.Go(func() { w.tell(aside) })
	wg.Go(func() { w.announce(aside, sync.OnceFunc(func() { close(known) })) })
	wg.Go(func() { w.serve(aside, fleet.CommandSubject(w.cfg.Name), w.command) })
	for _, verb := range []string{fleet.CommandCup, fleet.CommandEnough} {
		wg.Go(func() { w.serve(aside, fleet.Command{Verb: verb}.Subject(w.cfg.Name), w.customer(verb)) })
	}
	wg.Go(func() { w.lives(aside) })
	defer wg.Wait()
	defer stop()
	defer context.AfterFunc(ctx, func() {
		w.leave()
		w.set(func() { w.leaving = true })
	})()
	select {
	case <-known: // the cordon counts before the first order
	case <-ctx.Done():
		return nil
	}
	if err := w.settleJournal(ctx); err != nil {
		return err
	}
	for w.waitReady(ctx) {
		w.pushKept(ctx)
		if !w.cupTaken(ctx) || !w.rested(ctx) {
			continue
		}
		w.reach(true)
		if t, err := w.nextTicket(ctx); err == nil { // else not ready any more, or leaving
			work, done := afterStop(ctx, settleTime) // a stop does not cut the talk about it
			w.handle(work, t)
			done()
		}
		w.reach(false)
	}
	return nil
}

// settleJournal confirms what earlier runs left open, before anything is
// pulled.
func (w *Worker) settleJournal(ctx context.Context) error {
	open, err := w.Machine.Recover(ctx)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, r := range open {
		w.Log.Warn("an earlier drink is not settled yet", "order", r.Key.Order, "epoch", r.Key.Epoch, "outcome", r.Outcome, "reason", r.Reason.Error())
		w.push(r.Key, r.Outcome, reasonOf(r.Reason), 0, nil)
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// set changes what presence and readiness are made of.
func (w *Worker) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.stir()
}

// reach notes that from now on an order may come, or that none can.
func (w *Worker) reach(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reaches = on; w.word.Cordon != nil {
		w.stir()
	}
}

// parked is whether a drain has come to its end: nothing is in hand, everything is off,
// what was made is told, and nothing can begin. The caller holds the lock.
func (w *Worker) parked(st machine.Status) bool {
	c := w.word.Cordon
	return c != nil && c.Drain && w.hand == "" && w.trying == 0 && !w.reaches && !w.owes && !w.twin && st.Order == "" && st.State != machine.StateBusy && st.State != machine.StateWaiting
}

// stir tells whoever looks at that. The caller holds the lock.
func (w *Worker) stir() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// free reports whether another order may be taken, and a channel that closes
// when that may have changed.
func (w *Worker) free() (bool, <-chan struct{}, <-chan struct{}) {
	machineChanged := w.Machine.Changed()
	st := w.Machine.Status()
	w.mu.Lock()
	defer w.mu.Unlock()
	return st.State == machine.StateReady && w.word.Cordon == nil && !w.leaving && !w.owes && !w.twin && !w.useless(), w.changed, machineChanged
}

// waitReady waits until an order may be taken; false when ctx ends.
func (w *Worker) waitReady(ctx context.Context) bool {
	for {
		ok, changed, machineChanged := w.free()
		if ctx.Err() != nil {
			return false
		}
		if ok {
			return true
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-machineChanged:
		}
	}
}

// cupTaken waits while the cup of an earlier drink stands under the machine, as
// long as another machine could begin whatever comes meanwhile: an order that is
// taken here would wait for a customer who fetches his coffee, or for one whose
// drink was cut off, for up to two minutes beside a machine that is ready. Where
// there is no other one, or the same holds for all of them for some seconds, it
// is taken, so that its customer is told what stands in the way. False when the
// machine is not ready any more.
func (w *Worker) cupTaken(ctx context.Context) bool {
	for {
		changed := w.Machine.Changed()
		if !w.Machine.Status().CupStands {
			w.hoping = time.Time{}
			return true
		}
		switch word := w.asked(ctx); {
		case word.Able:
			w.hoping = time.Time{}
		case !word.Soon || !w.hoping.IsZero() && time.Since(w.hoping) > cupHope:
			return true
		case w.hoping.IsZero():
			w.hoping = time.Now()
		}
		ok, mine, _ := w.free()
		if !ok {
			return false
		}
		again := time.NewTimer(cupLook)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-mine:
		case <-again.C:
		}
		again.Stop()
	}
}

// rested waits until the machine could make the smallest drink that it serves,
// if all it lacks is time: a grinder that rests must not take orders that others
// could begin at once. False when that changed meanwhile.
func (w *Worker) rested(ctx context.Context) bool {
	w.mu.Lock()
	menu, sizes := w.menu, w.offer.Sizes
	w.mu.Unlock()
	if len(sizes) == 0 {
		return false // the menu has changed
	}
	size := sizes[0]
	for _, s := range sizes {
		if menu.Sizes[s].Grams < menu.Sizes[size].Grams {
			size = s
		}
	}
	d := menu.Sizes[size]
	probe := recipe.Drink{Size: string(size), Grams: float64(d.Grams), WaterML: float64(d.Water)}
	begun := time.Now()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var not *machine.NotAble
		if err := w.Machine.Able(probe); !errors.As(err, &not) || not.Person || time.Since(begun) > time.Minute {
			return true // what is amiss is said when an order comes
		}
		if ok, _, _ := w.free(); !ok || !fleet.Pause(ctx, pause) {
			return false
		}
	}
}

// nextTicket waits for an order while the machine stays ready.
func (w *Worker) nextTicket(ctx context.Context) (*fleet.Ticket, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	classes, soon := w.classes()
	helps, same := classes, func() bool { return true }
	if w.cfg.MinWaiting > 0 {
		helps, same = w.helps(classes)
	}
	care := slices.Contains(classes, w.mine())
	still := func() bool {
		w.mu.Lock()
		now := w.cared()
		w.mu.Unlock()
		return now == care && same()
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	wg.Go(func() {
		for {
			ok, changed, machineChanged := w.free()
			if !ok || !still() {
				cancel()
				return
			}
			select {
			case <-done:
				return
			case <-changed:
			case <-machineChanged:
			}
		}
	})
	if w.Machine.Status().CupStands && (soon == 0 || soon > cupLook) {
		soon = cupLook // then another machine may be ready
	}
	if len(w.kept) > 0 && (soon == 0 || soon > notNow) {
		soon = notNow // then the shop may be open again
	}
	if soon > 0 { // then one more class counts
		var c context.CancelFunc
		ctx, c = context.WithTimeout(ctx, soon)
		defer c()
	}
	var wanted func() bool
	if w.cfg.MinWaiting > 0 {
		wanted = func() bool { return len(helps) > 0 && still() }
	}
	return w.Tickets.Next(ctx, helps, wanted, w.oldest(ctx)...)
}

// helps is what a spare takes: all it makes while enough orders wait, else only what
// nobody else makes, which may be nothing; and whether that is still so.
func (w *Worker) helps(all []fleet.Class) (classes []fleet.Class, still func() bool) {
	now := func() (enough bool, alone []fleet.Class) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.word.Waiting >= w.cfg.MinWaiting, w.word.Alone
	}
	enough, alone := now()
	still = func() bool {
		e, a := now()
		return e == enough && (e || slices.Equal(a, alone))
	}
	if enough {
		return all, still
	}
	return slices.DeleteFunc(slices.Clone(all), func(c fleet.Class) bool { return !slices.Contains(alone, c) }), still
}

// oldest are the classes of which orders wait, the one that waits for longest first. Only
// where several do, the word about that must be a fresh one.
func (w *Worker) oldest(ctx context.Context) []fleet.Class {
	w.mu.Lock()
	word, at := w.word, w.heardAt
	w.mu.Unlock()
	if len(word.Next) > 1 && time.Since(at) > fresh {
		word = w.asked(ctx)
	}
	return word.Next
}

// classes are those that the machine takes now, and how long that holds if some
// are left to others for a while.
func (w *Worker) classes() (now []fleet.Class, soon time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.offer.Classes {
		if left := time.Until(w.shuns[c]); left > 0 {
			if soon == 0 || left < soon {
				soon = left
			}
			continue
		}
		delete(w.shuns, c)
		now = append(now, c)
	}
	if w.cared() {
		now = append(now, w.mine())
	}
	return now, soon
}

// reasonOf is a machine's reason, with its text for foreign readers.
func reasonOf(r machine.Reason) fleet.Reason {
	return fleet.Reason{Code: r.Code, Detail: r.Detail, Quote: r.Quote, Text: words.Line("en", r.Code, r.Detail, r.Quote)}
}

// because is a reason of the worker's own.
func because(code, detail string) fleet.Reason {
	return reasonOf(machine.Reason{Code: code, Detail: detail})
}

// drink is the recipe of an order, by the doses of its claim.
func (w *Worker) drink(c fleet.Claim) recipe.Drink {
	if c.Order.IsCare() {
		d, _ := w.careDrink(c.Order) // what is not known here was not taken
		return d
	}
	w.mu.Lock()
	menu := w.menu
	w.mu.Unlock()
	return Drink(c.Order, c.Portion, menu)
}

// Drink is what a machine is asked for: what was taken from the stock for the
// order, and the menu's water.
func Drink(o fleet.Order, taken fleet.Items, menu fleet.Menu) recipe.Drink {
	return recipe.Drink{
		Size:    string(o.Size),
		Grams:   float64(taken[o.Bean]),
		WaterML: float64(menu.Sizes[o.Size].Water),
		MilkML:  float64(taken[fleet.MilkItem(o.Milk)]),
		Sugar:   o.Sugar,
	}
}

// beat tells the queue that the order is being worked on, as long as the
// machine's own loop turns. It is stopped by its returned function, which
// waits.
func (w *Worker) beat(t *fleet.Ticket) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(fleet.BeatEvery)
		defer tick.Stop()
		turns := w.Machine.Beat()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := w.Machine.Beat()
			if now == turns {
				w.Log.Error("the machine's loop stands still, its order is left to others", "order", t.MessageID)
				return
			}
			turns = now
			if err := t.Beat(); errors.Is(err, fleet.ErrStale) {
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// jitter spreads what several machines would do at the same moment.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/2) }

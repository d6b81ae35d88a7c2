// Package witness keeps, outside of the broker's store, how far the shop has seen
// its book, and says whether the store is still the one that was seen. A store may be
// an older copy that was put back, may have been wiped, or may have lost records; by
// itself it says nothing of that.
//
// What it promises: before anything is answered that rests on a record, that record
// is in the shop's own mark. At each connection the mark, the other controllers' and
// the book's own records are looked at, and nothing is written before. A book that
// does not keep a mark, the shop's or at any time a machine's, or that has gaps,
// closes the shop, over restarts, until a person accepts the loss. Where the shop's
// own mark proves nothing (another boot of the kernel, no mark) the machines are
// asked by a roll call: orders that were made since the start flow, older ones wait.
// A first start, an empty book that nobody has seen anything of, opens at once.
//
// Everything that reads or writes the book in this process does it by Book, which
// raises the mark and refuses what may not be written; who answers somebody asks
// Flows before, and the desk hands over what machines know by Heard.
//
// New reads the files and starts nothing; Run looks, and returns when its context
// ends, or with an error where the process must read the book anew: then it is
// started again, and finds the shop closed. It never mends anything, and decides
// nothing about an order.
package witness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"barista/fleet"
)

const (
	// quiet is how long nothing is written after a connection: whatever was answered
	// over an earlier one is too late then.
	quiet = fleet.FenceTime
	// lookEvery is how often the book is looked at, and how long a look may take: one
	// comes to no end where the broker loses, meanwhile, what it was to end with.
	lookEvery = 45 * time.Second
	// barAhead is how far ahead of the shop's clock ids may be barred: for as long as the
	// answer to one is kept, and asked for.
	barAhead = 30 * 24 * time.Hour
	// again is the pause after the broker did not answer.
	again = time.Second
)

// Link is the connection to the broker.
type Link interface {
	// Reconnects counts the connections; another count is another connection.
	Reconnects() uint64
	// Reconnected is closed at the next one.
	Reconnected() <-chan struct{}
}

// Parts is what a witness looks at.
type Parts struct {
	Book fleet.Book
	Made func(context.Context) (time.Time, error) // when the book's stream was made
	Link Link
	// Ask asks everybody who listens, and Server answers such a question: the other
	// controllers tell their marks. Both may be nil: there are none.
	Ask    func(ctx context.Context, subject string, body []byte) ([][]byte, error)
	Server fleet.Server
	// Known are the machines that were here lately, for a shop that has no roster yet;
	// may be nil.
	Known func(context.Context) ([]string, error)
	Wall  func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: none
}

// Config is how.
type Config struct {
	Dir  string               // where the files are; "": nothing is kept over a restart, and nothing missed
	Boot string               // the kernel's boot id
	Up   func() time.Duration // since then, sleep included; nil: since New
	// Alone: the broker ends with this process. Then nothing of an earlier one can be
	// under way at the start, and what it answered is in its mark.
	Alone bool
}

// since is where a roll call began.
type since struct {
	Seq uint64        `json:"seq"` // the book's last record
	At  time.Time     `json:"at"`  // by the shop's clock
	Up  time.Duration `json:"up_ns"`
}

// saved is what outlasts the process, beside the mark.
type saved struct {
	Roster []string    `json:"roster"` // machines that have told their mark once
	Boot   string      `json:"boot,omitempty"`
	Era    string      `json:"era,omitempty"`
	Roll   bool        `json:"roll_call,omitempty"`
	Since  since       `json:"since,omitzero"`
	Gone   *fleet.Gone `json:"gone,omitempty"`
}

// Witness is one process's. See New.
type Witness struct {
	p    Parts
	cfg  Config
	log  *slog.Logger
	file *File // nil: memory only

	mu       sync.Mutex // guards what follows
	state    string
	link     uint64  // the connection that was looked at
	quieted  *uint64 // the connection on which it was quiet for long enough; nil: none
	made     time.Time
	loss     *fleet.LossEntry
	pending  bool       // orders that the loss covers may not be unknown yet
	mark     fleet.Mark // the shop's own, as kept
	boot     string     // under which it was
	ahead    fleet.Mark // seen while it was looked
	recs     map[uint64]string
	saved    saved
	missing  bool // no file said who is in the roster
	since    since
	reported map[string]bool
	news     map[string]bool // orders that were made since
	eras     []string        // of the marks that the book does not keep
	broken   error           // the mark could not be kept ...
	due      fleet.Mark      // ... which is this one
	changed  chan struct{}
}

// New reads what was kept.
func New(p Parts, cfg Config) (*Witness, error) {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if cfg.Up == nil {
		began := time.Now()
		cfg.Up = func() time.Duration { return time.Since(began) }
	}
	w := &Witness{
		p: p, cfg: cfg, log: p.Log, state: fleet.StandLooking, recs: map[uint64]string{}, reported: map[string]bool{}, news: map[string]bool{},
		changed: make(chan struct{}),
	}
	if cfg.Dir == "" {
		return w, nil
	}
	var err error
	if w.file, err = OpenFile(filepath.Join(cfg.Dir, "book.mark"), w.log); err != nil {
		return nil, err
	}
	w.mark, w.boot = w.file.Mark(), w.file.Boot()
	b, err := os.ReadFile(w.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.missing = true
	case err == nil:
		if err = json.Unmarshal(b, &w.saved); err != nil {
			w.log.Error("what was kept of the machines can't be read; it begins anew with a roll call", "file", w.path(), "err", err)
			w.saved, w.missing, w.boot = saved{}, true, "unreadable"
		}
	default:
		w.file.Close()
		return nil, fmt.Errorf("the roster of machines: %w", err)
	}
	return w, nil
}

// Close gives the files free.
func (w *Witness) Close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}

func (w *Witness) path() string { return filepath.Join(w.cfg.Dir, "book.json") }

// save keeps what outlasts the process. The caller holds the lock.
func (w *Witness) save() error {
	if w.file == nil {
		return nil
	}
	b, err := json.Marshal(w.saved)
	if err == nil {
		err = renameio.WriteFile(w.path(), append(b, '\n'), 0o640, renameio.WithTempDir(w.cfg.Dir))
	}
	if err != nil {
		return fmt.Errorf("the roster of machines: %w", err)
	}
	w.missing = false
	return nil
}

// turn changes the state. The caller holds the lock.
func (w *Witness) turn(state string) {
	w.state = state
	if state != fleet.StandRollCall {
		clear(w.news)
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// Where controllers tell each other their marks, and whom they go on without.
var (
	marks   = fleet.Subject("coffee", "controller", "marks")
	leavers = fleet.Subject("coffee", "controller", "without")
)

// Run looks at the book at each connection and every 45 s.
func (w *Witness) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	first := true
	for ctx.Err() == nil {
		back := w.p.Link.Reconnected()
		if err := w.connect(ctx, first); err != nil {
			if errors.Is(err, errStale) {
				return err
			}
			if ctx.Err() == nil {
				w.log.Warn("the book can't be looked at; trying again", "err", err)
			}
			fleet.Pause(ctx, again)
			continue
		}
		if first && w.p.Server != nil { // from now on, so that the first question has no answer of its own
			for subject, answer := range map[string]func(context.Context, []byte) []byte{marks: w.answer, leavers: w.leave} {
				wg.Go(func() {
					fleet.Keep(ctx, w.log, subject, func() error {
						return w.p.Server.Serve(ctx, subject, false, func(ctx context.Context, _ string, body []byte) []byte { return answer(ctx, body) })
					})
				})
			}
		}
		first = false
		for next := false; !next && ctx.Err() == nil; {
			t := time.NewTimer(lookEvery)
			select {
			case <-ctx.Done():
			case <-back:
				next = true
			case <-t.C:
				if err := w.lookAgain(ctx); errors.Is(err, errStale) {
					return err
				} else if err != nil && ctx.Err() == nil {
					w.log.Warn("the book can't be looked at; trying again in a minute", "err", err)
				}
			}
			t.Stop()
		}
	}
	return nil
}

// errStale: this process has followed a book that is no more.
var errStale = errors.New("the book was lost in part while it was followed: the service must be started again, and reads it anew")

// connect looks at the book of a new connection; until it has, nothing is written.
func (w *Witness) connect(ctx context.Context, first bool) error {
	link := w.p.Link.Reconnects()
	w.mu.Lock()
	w.ahead = fleet.Mark{}
	clear(w.recs)
	w.turn(fleet.StandLooking)
	calm := first && w.cfg.Alone || w.quieted != nil && *w.quieted == link
	w.mu.Unlock()
	if !calm {
		if !fleet.Pause(ctx, quiet) {
			return ctx.Err()
		}
		w.mu.Lock()
		w.quieted = &link // a look that fails, as while nobody leads, begins no other connection
		w.mu.Unlock()
	}
	f, err := w.read(ctx)
	if err != nil {
		return err
	}
	gone, err := w.lost(ctx, f)
	if err != nil {
		return err
	}
	var roster []string
	if w.missing && w.p.Known != nil && w.cfg.Dir != "" {
		if roster, err = w.p.Known(ctx); err != nil {
			return fmt.Errorf("the machines that were here: %w", err)
		}
	}
	if w.p.Link.Reconnects() != link {
		return fmt.Errorf("%w: the connection broke meanwhile", fleet.ErrNoAnswer)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !first && f.loss.Era() != w.loss.Era() { // accepted while nobody looked from here: what was followed may be lost
		return errStale
	}
	if first {
		w.since = since{Seq: f.end, At: w.p.Wall().UTC(), Up: w.cfg.Up()}
		w.saved.Roster = union(w.saved.Roster, roster)
		w.pending = f.loss != nil // until the sweep was there, which says so once
	}
	w.made, w.link, w.loss = f.made, link, f.loss
	return w.open(gone, f, first)
}

// open decides, by what was found. The caller holds the lock.
func (w *Witness) open(gone *fleet.Gone, f facts, first bool) error {
	s := &w.saved
	era := f.loss.Era()
	if s.Era != era { // a loss was accepted since
		s.Roll, s.Gone, s.Era = false, nil, era
	}
	if (s.Roll || s.Gone != nil) && s.Boot == w.cfg.Boot {
		w.since = s.Since // it goes on
	}
	roll := s.Roll
	if first && w.cfg.Dir != "" {
		fresh := w.mark.Seq == 0 && f.end == 0 && len(s.Roster) == 0
		roll = roll || !fresh && (w.mark.Seq == 0 || w.boot != w.cfg.Boot)
	}
	if s.Gone != nil {
		gone = s.Gone
	}
	state := fleet.StandOpen
	switch {
	case gone != nil:
		s.Gone, state = gone, fleet.StandClosed
	case roll && len(w.awaited()) > 0:
		state = fleet.StandRollCall
	default:
		roll = false
	}
	was := s.Roll
	s.Roll, s.Boot, s.Since = roll, w.cfg.Boot, w.since
	if state != fleet.StandOpen || was {
		if err := w.save(); err != nil { // before the first write
			return err
		}
	}
	if state == fleet.StandClosed {
		w.log.Error("the shop is closed: "+gone.String()+"; a person must accept the loss (barista broker accept-loss)", "by", gone.By)
		w.turn(state)
		if !first {
			return errStale
		}
		return nil
	}
	if state == fleet.StandRollCall {
		w.log.Warn("orders from before this start wait until the machines have said what they know of them", "awaited", strings.Join(w.awaited(), " "))
	}
	top := f.last
	if w.ahead.Seq > top.Seq {
		top = w.ahead
	}
	if err := w.keep(top); err != nil {
		return err
	}
	w.turn(state)
	return nil
}

// lookAgain looks at the book of the same connection once more.
func (w *Witness) lookAgain(ctx context.Context) error {
	w.mu.Lock()
	link, closed := w.link, w.state == fleet.StandClosed
	w.mu.Unlock()
	if closed {
		return nil
	}
	f, err := w.read(ctx)
	if err != nil {
		return err
	}
	gone, err := w.lost(ctx, f)
	if err != nil || gone == nil || w.p.Link.Reconnects() != link {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open(gone, f, false)
}

// facts is what the book says of itself.
type facts struct {
	made time.Time
	loss *fleet.LossEntry
	last fleet.Mark // the newest record that could be read, refusals aside
	end  uint64     // the last record that there is
	need uint64     // the oldest record that the last balance refers to
	lost []fleet.Span
}

// read reads the book from its last balance on, or from the last accepted loss.
func (w *Witness) read(ctx context.Context) (f facts, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	if f.made, err = w.p.Made(ctx); err != nil {
		return f, err
	}
	end, err := w.p.Book.Since(ctx, time.Unix(1<<33, 0)) // long after all that is written
	if err != nil {
		return f, err
	}
	f.end = end - 1
	gaps, from := fleet.GapsAfter(0, 0), uint64(1)
	b, err := w.p.Book.LastBalance(ctx)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
	case err != nil:
		return f, err
	case b.Balance != nil:
		from, f.loss, f.need = b.Balance.Upto+1, b.Balance.Loss, b.Balance.Upto+1
		gaps = fleet.GapsAfter(b.Balance.Upto, b.Balance.Refusals.Written())
		for _, s := range b.Balance.Open {
			f.need = min(f.need, s.Seq)
		}
	}
	recs := map[uint64]string{}
	err = fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
		return w.p.Book.Follow(ctx, from, func(r fleet.Record) {
			if gaps.Take(r); r.Loss != nil {
				f.loss = &fleet.LossEntry{Loss: *r.Loss, Revision: r.Revision}
				gaps = fleet.GapsAfter(r.Seq, max(r.Rolled, 1)-1) // what was missing before is accepted
			}
			if r.Rec != "" && r.Refusals == nil {
				recs[r.Seq] = r.Rec
				f.last = fleet.Mark{Made: f.made, Revision: r.Revision, At: r.Written.UTC()}
			}
		}, ready)
	})
	if err != nil {
		return f, fmt.Errorf("the book could not be read: %w", err)
	}
	f.last.Era = f.loss.Era()
	f.lost = gaps.Lost(f.end)
	f.end = max(f.end, gaps.At())
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.recs) // what was there once may be lost by now
	for seq, rec := range recs {
		w.remember(seq, rec)
	}
	return f, nil
}

// remember knows a record for a while, so that most marks need not be looked up. The
// caller holds the lock.
func (w *Witness) remember(seq uint64, rec string) {
	if len(w.recs) >= 4096 {
		clear(w.recs)
	}
	w.recs[seq] = rec
}

// lost says what shows that the book lost something; nil: nothing does. A record that
// was damaged on the disk counts: the broker answers as if there had never been one, and
// after a start without its index as if the book ended before it.
func (w *Witness) lost(ctx context.Context, f facts) (*fleet.Gone, error) {
	w.mu.Lock()
	own := w.mark
	w.mu.Unlock()
	theirs, err := w.others(ctx, own)
	if err != nil {
		return nil, err
	}
	for _, m := range append([]fleet.Mark{own}, theirs...) {
		kept, err := w.keeps(ctx, m, f)
		if err != nil {
			return nil, err
		}
		if !kept {
			return w.gone(fleet.ByShop, m, f.last), nil
		}
	}
	if len(f.lost) > 0 {
		g := w.gone(fleet.ByGaps, fleet.Mark{}, f.last)
		g.Known, g.Lost = nil, f.lost
		return g, nil
	}
	return nil, nil
}

func (w *Witness) gone(by string, m, ends fleet.Mark) *fleet.Gone {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.eras, m.Era) {
		w.eras = append(w.eras, m.Era)
	}
	return &fleet.Gone{By: by, Known: &m, Ends: &ends, At: w.p.Wall().UTC()}
}

// keeps reports whether the book has the record that a mark is of.
func (w *Witness) keeps(ctx context.Context, m fleet.Mark, f facts) (bool, error) {
	switch {
	case m.Seq == 0 || f.loss.Over(m):
		return true, nil
	case !m.Made.Equal(f.made) || m.Era != f.loss.Era():
		return false, nil
	}
	w.mu.Lock()
	rec, known := w.recs[m.Seq]
	w.mu.Unlock()
	if known {
		return rec == m.Rec, nil
	}
	r, err := w.p.Book.At(ctx, m.Seq)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return w.trimmed(ctx, m.Seq, f)
	case err != nil:
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remember(m.Seq, r.Rec)
	return r.Rec == m.Rec, nil
}

// trimmed reports whether a record that the book does not have was too old for it:
// no balance needs it, and nothing before it is there.
func (w *Witness) trimmed(ctx context.Context, seq uint64, f facts) (bool, error) {
	if seq >= f.need {
		return false, nil
	}
	first, err := w.p.Book.Since(ctx, time.Unix(0, 0))
	return first > seq, err
}

// union adds what is not there yet.
func union(list, more []string) []string {
	list = slices.Clone(list)
	for _, x := range more {
		if !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	slices.Sort(list)
	return list
}

// awaited are the machines of the roster that have not told their mark. The caller
// holds the lock.
func (w *Witness) awaited() (out []string) {
	for _, m := range w.saved.Roster {
		if !w.reported[m] {
			out = append(out, m)
		}
	}
	return out
}

package witness_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
	"barista/fleet/witness"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// site is a shop's store and the folder beside it, under fake time.
type site struct {
	*testing.T
	b    *brokertest.Broker
	conn *queue.Conn
	dir  string
	boot string
	wall func() time.Time
	born time.Time // of the kernel
	hide *sync.Map // of records that the store has lost without a word
	last uint64    // the last act
	n    int

	hangs atomic.Bool   // the next look at the book comes to no end
	ends  atomic.Uint64 // the book ends with this record; 0: where it does
	reads atomic.Int64  // of orders
}

func inSite(t *testing.T, f func(s *site)) {
	t.Helper()
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		f(&site{T: t, b: b, conn: b.Connect("shop"), dir: t.TempDir(), boot: "monday", born: time.Now(), hide: new(sync.Map)})
	})
}

// open runs a witness until the returned function is called, which returns what Run
// did.
func (s *site) open(change ...func(*witness.Parts, *witness.Config)) (*witness.Witness, func() error) {
	s.Helper()
	p := witness.Parts{Book: holed{s.conn.Book(), s}, Made: s.conn.BookMade, Link: s.conn, Wall: s.wall}
	cfg := witness.Config{Dir: s.dir, Boot: s.boot, Alone: true, Up: func() time.Duration { return time.Since(s.born) }}
	for _, c := range change {
		c(&p, &cfg)
	}
	w, err := witness.New(p, cfg)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }() // waited for by stop
	stop := sync.OnceValue(func() error {
		cancel()
		err := <-done
		return errors.Join(err, w.Close())
	})
	s.Cleanup(func() { _ = stop() })
	return w, stop
}

// holed is the book of a damaged store.
type holed struct {
	fleet.Book
	s *site
}

func (h holed) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	if h.s.hangs.CompareAndSwap(true, false) {
		<-ctx.Done() // its last record is gone since it was asked which that is
		return ctx.Err()
	}
	return h.Book.Follow(ctx, from, func(r fleet.Record) {
		if !h.hidden(r.Seq) {
			each(r)
		}
	}, ready)
}

func (h holed) Read(ctx context.Context, order string) (fleet.Entry, error) {
	h.s.reads.Add(1)
	return h.Book.Read(ctx, order)
}

func (h holed) At(ctx context.Context, seq uint64) (fleet.Record, error) {
	if h.hidden(seq) {
		return fleet.Record{}, fleet.ErrNotFound
	}
	return h.Book.At(ctx, seq)
}

func (h holed) Since(ctx context.Context, t time.Time) (uint64, error) {
	n, err := h.Book.Since(ctx, t)
	if end := h.s.ends.Load(); end > 0 {
		n = min(n, end+1)
	}
	return n, err
}

func (h holed) hidden(seq uint64) bool {
	_, hidden := h.s.hide.Load(seq)
	end := h.s.ends.Load()
	return hidden || end > 0 && seq > end
}

// id is one that was made now.
func (s *site) id(at time.Time) string {
	const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	ms, id := at.UnixMilli(), make([]byte, 10)
	for i := range id {
		id[9-i] = crockford[ms>>(5*i)&31]
	}
	s.n++
	return string(id) + fmt.Sprintf("%016d", s.n)
}

// create has an order accepted; ErrClosed where it may not.
func (s *site) create(book fleet.Book, id string) (fleet.Entry, error) {
	o := fleet.Order{ID: id, Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}
	c := fleet.Create(o, fleet.Items{"arabica": 9}, fleet.Success(id), "web")
	rev, err := book.Act(s.Context(), fleet.Record{Act: true, IsClaim: true, Rolled: 1, Entry: fleet.Entry{Claim: c}}, s.last)
	if err == nil {
		s.last = rev.Seq
	}
	return fleet.Entry{Claim: c, Revision: rev}, err
}

func (s *site) must(e fleet.Entry, err error) fleet.Entry {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return e
}

// copied is a copy of the store, and what puts it back.
func (s *site) copied() (restore func()) {
	s.Helper()
	old := s.TempDir()
	s.b.Stop()
	if err := os.CopyFS(old, os.DirFS(s.b.Store())); err != nil {
		s.Fatal(err)
	}
	s.b.Again()
	s.reached()
	return func() {
		s.Helper()
		s.b.Stop()
		s.wipe()
		if err := os.CopyFS(s.b.Store(), os.DirFS(old)); err != nil {
			s.Fatal(err)
		}
		s.b.Again()
		s.reached()
	}
}

func (s *site) wipe() {
	s.Helper()
	list, err := filepath.Glob(filepath.Join(s.b.Store(), "*"))
	if err != nil {
		s.Fatal(err)
	}
	for _, f := range list {
		if err := os.RemoveAll(f); err != nil {
			s.Fatal(err)
		}
	}
}

// reached waits until the broker answers again.
func (s *site) reached() {
	s.Helper()
	brokertest.Eventually(s, "the broker", func() bool { _, err := s.conn.Book().Now(s.Context()); return err == nil })
}

// stands waits for a state.
func (s *site) stands(w *witness.Witness, state string) fleet.Standing {
	s.Helper()
	begun := time.Now()
	for w.Standing().State != state {
		if time.Since(begun) > time.Minute {
			s.Fatalf("the shop is %+v, want %s", w.Standing(), state)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return w.Standing()
}

func (s *site) flows(w *witness.Witness, id string, want error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	if err := w.Flows(ctx, id, false); !errors.Is(err, want) || want == nil && err != nil {
		s.Errorf("order %s: %v, want %v", id, err, want)
	}
}

// TestOpensAtOnce: a first start, and the next one under the same boot, with orders in
// between, know no ceremony.
func TestOpensAtOnce(t *testing.T) {
	inSite(t, func(s *site) {
		begun := time.Now()
		w, stop := s.open()
		e := s.must(s.create(w.Book(), s.id(time.Now())))
		if m := w.Mark(); m.Seq != e.Seq || m.Rec != e.Rec {
			s.Errorf("answered on record %d with the mark %s", e.Seq, m)
		}
		if err := w.Heard(s.Context(), "zoe", fleet.Mark{}); err != nil {
			s.Error(err)
		}
		if err := stop(); err != nil {
			s.Error(err)
		}
		w, _ = s.open()
		e, err := w.Book().Next(s.Context(), e.Revision, must(e.Fence(fleet.Owner{Machine: "zoe"})))
		if err != nil || w.Mark().Seq != e.Seq {
			s.Errorf("%v, mark %s", err, w.Mark())
		}
		if d := time.Since(begun); d > 100*time.Millisecond {
			s.Errorf("it took %v", d)
		}
	})
}

func must(c fleet.Claim, err error) fleet.Claim {
	if err != nil {
		panic(err)
	}
	return c
}

// TestOlderCopy: an older copy of the store closes the shop, from where to where, over
// restarts, until a person accepts the loss. Then what was open there is covered, ids
// from before are barred, marks from before prove nothing, and the copy can't come
// back a second time.
func TestOlderCopy(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		old := s.must(s.create(w.Book(), s.id(time.Now())))
		restore := s.copied()
		s.stands(w, fleet.StandOpen)
		lost := s.must(s.create(w.Book(), s.id(time.Now())))
		zoe := w.Mark()
		if err := stop(); err != nil {
			s.Error(err)
		}
		restore()
		s.last = old.Seq
		for range 2 {
			w, stop = s.open()
			st := s.stands(w, fleet.StandClosed)
			if g := st.Gone; g.By != fleet.ByShop || g.Known.Seq != lost.Seq || g.Ends.Seq != old.Seq {
				s.Errorf("%s", g)
			}
			if !strings.Contains(st.Why, "the shop knows of record 2 of 20") || !strings.Contains(st.Why, "ends with record 1 of 20") {
				s.Errorf("from where to where: %s", st.Why)
			}
			s.flows(w, old.Order.ID, fleet.ErrClosed)
			s.flows(w, s.id(time.Now()), fleet.ErrClosed)
			if _, err := s.create(w.Book(), s.id(time.Now())); !errors.Is(err, fleet.ErrClosed) {
				s.Errorf("written into a closed book: %v", err)
			}
			if _, err := w.Book().Next(s.Context(), old.Revision, must(old.Fence(fleet.Owner{Machine: "zoe"}))); !errors.Is(err, fleet.ErrClosed) {
				s.Errorf("a fence in a closed book: %v", err)
			}
			if err := w.Heard(s.Context(), "zoe", zoe); !errors.Is(err, fleet.ErrClosed) || w.Mark().Seq != 0 {
				s.Errorf("a machine heard %v, and the mark %s", err, w.Mark())
			}
			if err := stop(); err != nil {
				s.Error(err)
			}
		}
		w, _ = s.open()
		s.stands(w, fleet.StandClosed)
		s.accept(w)
		s.stands(w, fleet.StandOpen)
		a := s.loss()
		if !a.All || !a.Bars(lost.Order.ID) || a.Bars(s.id(time.Now().Add(time.Millisecond))) {
			s.Errorf("%+v", a.Loss)
		}
		s.flows(w, old.Order.ID, fleet.ErrClosed) // until the sweep was there
		old, err := w.Book().Next(s.Context(), old.Revision, old.Lose("controller", fleet.Reason{}))
		if err != nil {
			s.Fatal(err)
		}
		w.Settled(a.Seq)
		s.flows(w, old.Order.ID, nil)
		if err := w.Heard(s.Context(), "zoe", zoe); err != nil || w.Mark().Era != a.Rec {
			s.Errorf("a mark from before the loss that was accepted: %v; mark %s", err, w.Mark())
		}
	})
}

// TestOlderCopyTwice: the same copy put back once more, over a loss that was accepted in
// between, closes the shop as the first time: the record of that acceptance is lost with
// the rest. Marks from before both prove nothing once that is accepted too.
func TestOlderCopyTwice(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		old := s.must(s.create(w.Book(), s.id(time.Now())))
		restore := s.copied()
		s.stands(w, fleet.StandOpen)
		var lost []fleet.Entry
		var marks []fleet.Mark
		for n := range 2 {
			lost = append(lost, s.must(s.create(w.Book(), s.id(time.Now()))))
			marks = append(marks, w.Mark())
			if err := stop(); err != nil {
				s.Error(err)
			}
			restore()
			s.last = old.Seq
			for range 2 { // over a restart, too
				w, stop = s.open()
				if g := s.stands(w, fleet.StandClosed).Gone; g.By != fleet.ByShop || g.Known.Seq != lost[n].Seq {
					s.Errorf("time %d: %s", n+1, g)
				}
				if err := stop(); err != nil {
					s.Error(err)
				}
			}
			w, stop = s.open()
			s.stands(w, fleet.StandClosed)
			s.accept(w)
			s.stands(w, fleet.StandOpen)
			a := s.loss()
			for i, e := range lost {
				if !a.Bars(e.Order.ID) || !a.Over(marks[i]) {
					s.Errorf("time %d: %s of time %d: %+v", n+1, e.Order.ID, i+1, a.Loss)
				}
			}
			for _, m := range marks {
				if err := w.Heard(s.Context(), "zoe", m); err != nil {
					s.Errorf("time %d: a mark from before: %v", n+1, err)
				}
			}
			time.Sleep(time.Second) // what is ordered now is no older than the loss
		}
	})
}

// accept accepts what is lost, as a controller does.
func (s *site) accept(w *witness.Witness) {
	s.Helper()
	l, err := w.Loss("eve", "the card was restored")
	if err != nil {
		s.Fatal(err)
	}
	rev, err := w.Book().Act(s.Context(), fleet.Record{Act: true, Rolled: 1, Loss: l}, s.last)
	if err != nil {
		s.Fatal(err)
	}
	s.last = rev.Seq
	if _, err := w.Loss("eve", "again"); !errors.Is(err, fleet.ErrNotAllowed) {
		s.Errorf("accepted twice: %v", err)
	}
}

// loss is the last accepted one, as the book has it.
func (s *site) loss() *fleet.LossEntry {
	s.Helper()
	r, err := s.conn.Book().At(s.Context(), s.last)
	if err != nil || r.Loss == nil {
		s.Fatalf("%+v %v", r, err)
	}
	return &fleet.LossEntry{Loss: *r.Loss, Revision: r.Revision}
}

// TestWipedStore: a new store beside a mark of the old one is no first start.
func TestWipedStore(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		e := s.must(s.create(w.Book(), s.id(time.Now())))
		if err := stop(); err != nil {
			s.Error(err)
		}
		s.b.Stop()
		s.wipe()
		s.b.Again()
		brokertest.Eventually(s, "a new store", func() bool { _, err := s.conn.Setup(s.Context(), fleet.DefaultMenu()); return err == nil })
		s.last = 0
		w, _ = s.open()
		st := s.stands(w, fleet.StandClosed)
		if !strings.Contains(st.Why, "the shop knows of record 1") || !strings.Contains(st.Why, "the book is empty") {
			s.Error(st.Why)
		}
		s.flows(w, e.Order.ID, fleet.ErrClosed)
		s.accept(w)
		if !s.loss().Bars(e.Order.ID) {
			s.Error("an id of the wiped store is not barred")
		}
	})
}

// TestRollCall: under another boot of the kernel the shop's mark proves nothing, and
// the machines are asked. Orders made since the start flow meanwhile, older ones wait,
// over a restart of the process too.
func TestRollCall(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		old := s.must(s.create(w.Book(), s.id(time.Now())))
		for _, m := range []string{"zoe", "maya"} {
			if err := w.Heard(s.Context(), m, w.Mark()); err != nil {
				s.Fatal(err)
			}
		}
		known := w.Mark()
		never := s.id(time.Now()) // not asked yet
		if err := stop(); err != nil {
			s.Error(err)
		}
		time.Sleep(time.Minute)
		s.boot = "tuesday"
		w, stop = s.open()
		st := s.stands(w, fleet.StandRollCall)
		if strings.Join(st.Missing, " ") != "maya zoe" {
			s.Errorf("%+v", st)
		}
		time.Sleep(time.Second)
		fresh := s.must(s.create(w.Book(), s.id(time.Now())))
		s.flows(w, old.Order.ID, fleet.ErrClosed)
		s.flows(w, never, fleet.ErrClosed)
		s.flows(w, s.id(time.Now().Add(time.Minute)), fleet.ErrClosed) // ahead of the clock
		s.flows(w, fresh.Order.ID, nil)
		if _, err := w.Book().Next(s.Context(), old.Revision, must(old.Fence(fleet.Owner{Machine: "zoe"}))); !errors.Is(err, fleet.ErrClosed) {
			s.Errorf("a fence of an old order: %v", err)
		}
		if err := w.Heard(s.Context(), "zoe", known); err != nil {
			s.Fatal(err)
		}
		// A new order wrote the mark under this boot: that must not end the roll call.
		if err := stop(); err != nil {
			s.Error(err)
		}
		w, _ = s.open()
		s.stands(w, fleet.StandRollCall)
		s.flows(w, old.Order.ID, fleet.ErrClosed)
		s.flows(w, fresh.Order.ID, nil)
		if err := w.Heard(s.Context(), "zoe", known); err != nil {
			s.Fatal(err)
		}
		s.stands(w, fleet.StandRollCall)
		if err := w.GoOn(s.Context(), "nobody", "eve", "sold"); !errors.Is(err, fleet.ErrNotFound) {
			s.Errorf("%v", err)
		}
		if err := w.GoOn(s.Context(), "maya", "eve", "sold"); err != nil {
			s.Fatal(err)
		}
		s.stands(w, fleet.StandOpen)
		s.flows(w, old.Order.ID, nil)
		s.flows(w, never, nil)
	})
}

// TestRollCallFindsALoss: the whole shop went back, its mark too, and only a machine
// knows. What was made since the start is kept; what lay there before is covered.
func TestRollCallFindsALoss(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		old := s.must(s.create(w.Book(), s.id(time.Now())))
		if err := w.Heard(s.Context(), "zoe", w.Mark()); err != nil {
			s.Fatal(err)
		}
		if err := stop(); err != nil {
			s.Error(err)
		}
		restore := s.copied()
		files := s.TempDir()
		if err := os.CopyFS(files, os.DirFS(s.dir)); err != nil {
			s.Fatal(err)
		}
		w, stop = s.open()
		lost := s.must(s.create(w.Book(), s.id(time.Now())))
		zoe := w.Mark()
		if err := stop(); err != nil {
			s.Error(err)
		}
		time.Sleep(time.Minute)
		restore()
		s.last, s.dir, s.boot = old.Seq, files, "tuesday"
		w, stop = s.open()
		s.stands(w, fleet.StandRollCall)
		time.Sleep(time.Second)
		fresh := s.must(s.create(w.Book(), s.id(time.Now())))
		if err := w.Heard(s.Context(), "zoe", zoe); !errors.Is(err, fleet.ErrClosed) {
			s.Fatalf("%v", err)
		}
		s.flows(w, fresh.Order.ID, fleet.ErrClosed)
		if err := stop(); err != nil {
			s.Error(err)
		}
		w, _ = s.open() // the machine has not come yet
		st := s.stands(w, fleet.StandClosed)
		if !strings.Contains(st.Why, "zoe knows of record 2") {
			s.Error(st.Why)
		}
		s.accept(w)
		a := s.loss()
		if a.All || a.Boundary != old.Seq || !a.Bars(lost.Order.ID) || a.Bars(fresh.Order.ID) {
			s.Errorf("%+v", a.Loss)
		}
		s.flows(w, old.Order.ID, fleet.ErrClosed)
		s.flows(w, fresh.Order.ID, nil)
		if err := w.Heard(s.Context(), "zoe", zoe); err != nil {
			s.Errorf("%v", err)
		}
	})
}

// TestBarredInReason: a mark may say any time, of a clock that was wrong once or of a
// machine that is broken. A clock that is behind lets no id through that may be lost;
// but nothing bars new ids for years.
func TestBarredInReason(t *testing.T) {
	for ahead, want := range map[time.Duration]time.Duration{
		-time.Hour:                 0,
		9 * 24 * time.Hour:         9 * 24 * time.Hour,
		200 * 365 * 24 * time.Hour: 30 * 24 * time.Hour,
	} {
		inSite(t, func(s *site) {
			w, _ := s.open()
			s.must(s.create(w.Book(), s.id(time.Now())))
			m := w.Mark()
			m.Seq, m.Rec, m.At = 7, "anotherword", m.At.Add(ahead)
			if err := w.Heard(s.Context(), "zoe", m); !errors.Is(err, fleet.ErrClosed) {
				s.Fatal(err)
			}
			s.accept(w)
			if got := time.Until(s.loss().Barred); got.Round(time.Hour) != want {
				s.Errorf("a mark that is %v ahead bars ids of the next %v, want %v", ahead, got, want)
			}
		})
	}
}

// TestMachinesWithOddNames: a machine may be called as the shop calls itself, or what is
// missing. What it knows is a machine's word all the same: it covers what is older than
// the start, and the reason says whose it is.
func TestMachinesWithOddNames(t *testing.T) {
	for _, name := range []string{fleet.ByShop, fleet.ByGaps} {
		inSite(t, func(s *site) {
			w, _ := s.open()
			e := s.must(s.create(w.Book(), s.id(time.Now())))
			ahead := w.Mark()
			ahead.Seq, ahead.Rec = 7, "anotherword"
			if err := w.Heard(s.Context(), name, ahead); !errors.Is(err, fleet.ErrClosed) || !strings.Contains(err.Error(), "machine "+name+" knows of record 7") {
				s.Errorf("%s: %v", name, err)
			}
			s.accept(w)
			if a := s.loss(); a.All || a.Boundary != 0 {
				s.Errorf("%s: %+v", name, a.Loss)
			}
			s.flows(w, e.Order.ID, nil) // made since the start
		})
	}
}

// TestGapCloses: a record that the store has lost without a word closes the shop at the
// next look, and the process is started again, because it has followed another book.
func TestGapCloses(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		for range 3 {
			s.must(s.create(w.Book(), s.id(time.Now())))
		}
		time.Sleep(2 * time.Minute)
		s.stands(w, fleet.StandOpen)
		s.hide.Store(uint64(2), true)
		time.Sleep(2 * time.Minute)
		st := s.stands(w, fleet.StandClosed)
		if st.Gone.By != fleet.ByGaps || !strings.Contains(st.Why, "the book has lost record 2") {
			s.Error(st.Why)
		}
		if err := stop(); err == nil {
			s.Error("the service goes on with a book that is no more")
		}
		w, _ = s.open()
		s.stands(w, fleet.StandClosed)
		s.accept(w)
		s.stands(w, fleet.StandOpen)
		time.Sleep(2 * time.Minute) // accepted is accepted
		s.stands(w, fleet.StandOpen)
	})
}

// beside opens the witness of another controller, over its own link and with its own
// folder; both tell each other their marks.
func (s *site) beside(dir string, link *brokertest.Link) (*witness.Witness, func() error) {
	s.Helper()
	conn := s.b.ConnectOver("another", link)
	return s.open(s.together, func(p *witness.Parts, cfg *witness.Config) {
		p.Book, p.Made, p.Link, p.Ask, p.Server = conn.Book(), conn.BookMade, conn, conn.AskAll, conn.Server()
		cfg.Dir = dir
	})
}

// together is a witness that is not the only one.
func (s *site) together(p *witness.Parts, cfg *witness.Config) {
	p.Ask, p.Server, cfg.Alone = s.conn.AskAll, s.conn.Server(), false
}

// TestTwoWitnesses: of two on one book each knows what the other has seen. What a
// machine told one of them closes both, and what a person accepts at one opens both.
func TestTwoWitnesses(t *testing.T) {
	inSite(t, func(s *site) {
		a, _ := s.open(s.together)
		s.stands(a, fleet.StandOpen)
		b, _ := s.beside(s.TempDir(), s.b.Link())
		s.stands(b, fleet.StandOpen)
		old := s.must(s.create(a.Book(), s.id(time.Now())))
		ahead := a.Mark()
		ahead.Seq, ahead.Rec = 7, "anotherword"
		if err := b.Heard(s.Context(), "zoe", ahead); !errors.Is(err, fleet.ErrClosed) {
			s.Fatal(err)
		}
		for _, w := range []*witness.Witness{a, b} {
			s.stands(w, fleet.StandClosed)
			s.flows(w, old.Order.ID, fleet.ErrClosed)
		}
		ctx, cancel := context.WithCancel(s.Context())
		defer cancel()
		var follows sync.WaitGroup
		defer follows.Wait()
		defer cancel()
		follows.Go(func() { _ = a.Book().Follow(ctx, 1, func(fleet.Record) {}, func() {}) })
		s.accept(b)
		s.stands(b, fleet.StandOpen)
		s.stands(a, fleet.StandOpen)
		if a.Mark() != b.Mark() {
			s.Errorf("%s and %s", a.Mark(), b.Mark())
		}
	})
}

// TestGoOnEverywhere: each controller calls its own roll. A person who goes on without a
// machine tells one of them, whichever hears it, and all go on.
func TestGoOnEverywhere(t *testing.T) {
	inSite(t, func(s *site) {
		away := s.TempDir()
		a, stopA := s.open(s.together)
		s.stands(a, fleet.StandOpen)
		b, stopB := s.beside(away, s.b.Link())
		s.stands(b, fleet.StandOpen)
		s.must(s.create(a.Book(), s.id(time.Now())))
		for _, w := range []*witness.Witness{a, b} {
			if err := w.Heard(s.Context(), "zoe", a.Mark()); err != nil {
				s.Fatal(err)
			}
		}
		if err := b.Heard(s.Context(), "maya", a.Mark()); err != nil { // a never met her
			s.Fatal(err)
		}
		if err := errors.Join(stopA(), stopB()); err != nil {
			s.Fatal(err)
		}
		s.boot = "tuesday"
		a, _ = s.open(s.together)
		s.stands(a, fleet.StandRollCall)
		b, _ = s.beside(away, s.b.Link())
		s.stands(b, fleet.StandRollCall)
		for _, name := range []string{"nobody", "Zoe\n", "", ">"} {
			if err := a.GoOn(s.Context(), name, "eve", "sold"); !errors.Is(err, fleet.ErrNotFound) || strings.ContainsAny(err.Error(), "\n>") {
				s.Errorf("%q: %v", name, err)
			}
		}
		if err := a.GoOn(s.Context(), "zoe", "eve", "sold"); err != nil {
			s.Fatal(err)
		}
		s.stands(a, fleet.StandOpen)
		if m := b.Standing().Missing; len(m) != 1 || m[0] != "maya" {
			s.Errorf("the other one awaits %v", m)
		}
		if err := a.GoOn(s.Context(), "maya", "eve", "sold"); err != nil {
			s.Error(err)
		}
		s.stands(b, fleet.StandOpen)
	})
}

// TestAcceptedElsewhere: a controller that was offline while the store was put back and
// the loss was accepted by another one has followed a book that is no more, and is
// started again.
func TestAcceptedElsewhere(t *testing.T) {
	inSite(t, func(s *site) {
		a, stop := s.open(s.together)
		s.stands(a, fleet.StandOpen)
		link := s.b.Link()
		away := s.TempDir()
		b, stopped := s.beside(away, link)
		s.stands(b, fleet.StandOpen)
		old := s.must(s.create(a.Book(), s.id(time.Now())))
		restore := s.copied()
		s.stands(a, fleet.StandOpen)
		s.stands(b, fleet.StandOpen)
		s.must(s.create(a.Book(), s.id(time.Now())))
		s.must(s.create(b.Book(), s.id(time.Now())))
		link.Cut(true)
		if err := stop(); err != nil {
			s.Error(err)
		}
		restore()
		s.last = old.Seq
		a, _ = s.open(s.together)
		s.stands(a, fleet.StandClosed)
		s.accept(a)
		s.stands(a, fleet.StandOpen)
		link.Cut(false)
		time.Sleep(time.Minute)
		if err := stopped(); err == nil {
			s.Errorf("it goes on, %+v, with what it knew of the book that was put back", b.Standing())
		}
		b, _ = s.beside(away, s.b.Link())
		s.stands(b, fleet.StandOpen)
		s.flows(b, old.Order.ID, fleet.ErrClosed) // until the sweep was there
	})
}

// TestDamagedRecordCloses: the broker answers of a record whose bytes changed on the disk
// while it runs as if there had never been one, which may be an older copy, too. The
// next look closes the shop, and the process is started again and finds it closed.
func TestDamagedRecordCloses(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		var all []fleet.Entry
		for range 3 {
			all = append(all, s.must(s.create(w.Book(), s.id(time.Now()))))
		}
		time.Sleep(2 * time.Minute) // the broker has nothing in its memory any more
		s.stands(w, fleet.StandOpen)
		brokertest.Flip(s, s.b.Store(), fleet.StreamBook, "coffee.book.new-0."+all[1].Order.ID, "\"phase\":")
		time.Sleep(3 * time.Minute)
		st := s.stands(w, fleet.StandClosed)
		// The broker goes on without this record, cuts its file off before it, or
		// forgets all of it.
		if by := st.Gone.By; by != fleet.ByGaps && by != fleet.ByShop {
			s.Error(st.Why)
		}
		for _, e := range all {
			s.flows(w, e.Order.ID, fleet.ErrClosed)
		}
		if err := stop(); err == nil {
			s.Error("the service goes on with a book that it can't read")
		}
		w, _ = s.open()
		s.stands(w, fleet.StandClosed)
		for s.last > 0 { // the last act that can be read, as a ledger finds it
			if _, err := s.conn.Book().At(s.Context(), s.last); err == nil {
				break
			}
			s.last--
		}
		s.accept(w)
		s.stands(w, fleet.StandOpen)
		s.must(s.create(w.Book(), s.id(time.Now())))
	})
}

// TestBookEndsEarlier: the broker cuts off what stands behind damage while it runs, and
// nothing is missing within the book then. What this process has seen there is no proof
// that it is still there.
func TestBookEndsEarlier(t *testing.T) {
	inSite(t, func(s *site) {
		w, _ := s.open()
		for range 3 {
			s.must(s.create(w.Book(), s.id(time.Now())))
		}
		s.stands(w, fleet.StandOpen)
		s.ends.Store(2)
		time.Sleep(2 * time.Minute)
		if st := s.stands(w, fleet.StandClosed); !strings.Contains(st.Why, "the shop knows of record 3") {
			s.Error(st.Why)
		}
	})
}

// TestLookThatHangs: a look that comes to no end, because the broker lost what it was to
// end with meanwhile, does not keep the next one from finding that.
func TestLookThatHangs(t *testing.T) {
	inSite(t, func(s *site) {
		w, _ := s.open()
		for range 3 {
			s.must(s.create(w.Book(), s.id(time.Now())))
		}
		s.stands(w, fleet.StandOpen)
		s.hide.Store(uint64(2), true)
		s.hangs.Store(true)
		time.Sleep(4 * time.Minute)
		s.stands(w, fleet.StandClosed)
	})
}

// TestSettledOnce: what a loss covers is looked for until it is unknown, and not again
// after each broken link: the sweep says once that it is.
func TestSettledOnce(t *testing.T) {
	inSite(t, func(s *site) {
		w, stop := s.open()
		e := s.must(s.create(w.Book(), s.id(time.Now())))
		s.hide.Store(uint64(1), true)
		time.Sleep(2 * time.Minute)
		s.stands(w, fleet.StandClosed)
		_ = stop()
		s.hide.Clear()
		w, stop = s.open()
		s.stands(w, fleet.StandClosed)
		s.accept(w)
		s.stands(w, fleet.StandOpen)
		s.flows(w, e.Order.ID, fleet.ErrClosed)
		e, err := w.Book().Next(s.Context(), e.Revision, e.Lose("controller", fleet.Reason{}))
		if err != nil {
			s.Fatal(err)
		}
		for range 2 {
			w.Settled(s.loss().Seq)
			for range 2 {
				reads := s.reads.Load()
				s.flows(w, e.Order.ID, nil)
				if n := s.reads.Load() - reads; n > 0 {
					s.Errorf("the book was read %d times for an order that no loss covers", n)
				}
				s.b.Restart()
				s.reached()
				s.stands(w, fleet.StandOpen)
			}
			if err := stop(); err != nil {
				s.Error(err)
			}
			w, stop = s.open() // and the sweep looks once more
			s.stands(w, fleet.StandOpen)
		}
	})
}

// TestReconnect: after a broken link nothing is written for two seconds.
func TestReconnect(t *testing.T) {
	inSite(t, func(s *site) {
		w, _ := s.open()
		s.must(s.create(w.Book(), s.id(time.Now())))
		s.b.Restart()
		s.reached()
		back := time.Now()
		if w.Standing().State != fleet.StandLooking {
			s.Errorf("%+v", w.Standing())
		}
		s.must(s.create(w.Book(), s.id(time.Now())))
		if d := time.Since(back); d < 1500*time.Millisecond || d > 5*time.Second {
			s.Errorf("written after %v", d)
		}
	})
}

// TestLooksAnew: servers that can't be asked yet, as while nobody leads them, are asked
// anew each second; two seconds are waited once, after the connection.
func TestLooksAnew(t *testing.T) {
	inSite(t, func(s *site) {
		var unled atomic.Bool
		w, _ := s.open(func(p *witness.Parts, _ *witness.Config) {
			p.Made = func(ctx context.Context) (time.Time, error) {
				if unled.Load() {
					return time.Time{}, fleet.ErrNoAnswer
				}
				return s.conn.BookMade(ctx)
			}
		})
		s.must(s.create(w.Book(), s.id(time.Now())))
		for _, long := range []time.Duration{2500 * time.Millisecond, 3700 * time.Millisecond, 5200 * time.Millisecond, 6900 * time.Millisecond} {
			unled.Store(true)
			s.b.Restart()
			s.reached()
			time.Sleep(long)
			unled.Store(false)
			led := time.Now()
			s.must(s.create(w.Book(), s.id(time.Now())))
			if d := time.Since(led); d > 1200*time.Millisecond {
				s.Errorf("led %v after the connection, and looked at %v later", long, d)
			}
		}
	})
}

// TestKeptFile: the mark outlasts a file of which one copy was cut off.
func TestKeptFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.mark")
	mark := func(n uint64) fleet.Mark {
		return fleet.Mark{Made: time.Unix(1, 0).UTC(), Era: "era", Revision: fleet.Revision{Seq: n, Rec: "r"}, At: time.Unix(2, 0).UTC()}
	}
	log := &strings.Builder{}
	f, err := witness.OpenFile(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Mark() != (fleet.Mark{}) || f.Boot() != "" || log.Len() > 0 {
		t.Errorf("%s, %s", f.Mark(), log)
	}
	for n := range uint64(3) {
		if err := f.Raise(mark(n+1), "monday"); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) != 1024 {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	for name, c := range map[string]struct {
		spoil func([]byte)
		want  uint64
	}{
		"whole":              {func([]byte) {}, 3},
		"the last cut off":   {func(b []byte) { clear(b[600:]) }, 2},
		"the former cut off": {func(b []byte) { clear(b[100:512]) }, 3},
		"a byte flipped":     {func(b []byte) { b[530] ^= 4 }, 2},
		"both":               {func(b []byte) { clear(b[20:]) }, 0},
	} {
		b := append([]byte(nil), whole...)
		c.spoil(b)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		f, err := witness.OpenFile(path, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if named := strings.Contains(log.String(), path); named != (c.want == 0) {
			t.Errorf("%s: the log says %q", name, log)
		}
		if got := f.Mark(); got.Seq != c.want || c.want > 0 && (got != mark(c.want) || f.Boot() != "monday") {
			t.Errorf("%s: %+v", name, got)
		}
		f.Close()
	}
}

package worker_test

import (
	"context"
	"log/slog"
	"sync"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/desk"
	"barista/fleet/ledger"
	"barista/fleet/presence"
)

// counter is a process with a desk, on a link of its own.
type counter struct {
	c    *cafe
	name string
	link *brokertest.Link
	stop func() // ends it and waits; what it began is answered

	mu    sync.Mutex
	dead  chan struct{}                  // closed when it was killed
	over  chan struct{}                  // closed when the test is over
	wrote int                            // records
	at    map[fleet.Phase]func(*counter) // called once, when a record of the phase was written and nobody was told yet
}

// desk starts a process with a desk.
func (c *cafe) desk(name string) *counter {
	c.Helper()
	d := &counter{c: c, name: name, link: c.b.Link(), dead: make(chan struct{}), over: make(chan struct{}), at: map[fleet.Phase]func(*counter){}}
	conn := c.b.ConnectOver(name, d.link)
	known := ledger.New(ledger.Parts{Book: conn.Book()}, ledger.Config{})
	roll := presence.New(presence.Parts{Fleet: conn.Fleet(), Settings: conn.Settings(), Now: conn.Book().Now})
	p := desk.New(desk.Parts{
		Book: counted{d, conn.Book()}, Events: tells{c, conn.Events()}, Fleet: conn.Fleet(), Roll: roll, Settings: conn.Settings(),
		Server: conn.Server(), Requester: conn.Requester(), Age: known.Age, Waiting: c.waiting, Queue: func() []fleet.Entry { return c.inTurn(known.Queue()) }, Witness: standing{c}, Log: slog.New(slog.NewTextHandler(note{c, name}, &slog.HandlerOptions{ReplaceAttr: noTime})),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = known.Run(ctx) })
	wg.Go(func() { _ = roll.Run(ctx) })
	wg.Go(func() { _ = p.Run(ctx) })
	d.stop = func() {
		cancel()
		wg.Wait()
	}
	c.desks = append(c.desks, d)
	return d
}

// after has something happen when the desk has written a phase for the first time,
// before anybody is told.
func (d *counter) after(p fleet.Phase, do func(*counter)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at[p] = do
}

// die ends the process: what it was about to say is never heard.
func (d *counter) die() {
	d.c.note(d.name, "DIES")
	d.link.Cut(true)
	close(d.dead)
}

func (d *counter) close() {
	close(d.over)
	d.stop()
}

// inTurn is what the desk tells of the queue: nothing, unless the test wants it. Then
// all that counts for a spare is how many wait.
func (c *cafe) inTurn(queue []fleet.Entry) []fleet.Entry {
	if !c.turns.Load() {
		return nil
	}
	return queue
}

// waiting counts the accepted orders of some classes.
func (c *cafe) waiting(classes []fleet.Class) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, past := range c.seen {
		e := past[len(past)-1]
		for _, class := range classes {
			if e.Phase == fleet.Accepted && e.Order.Class() == class {
				n++
			}
		}
	}
	return n
}

// standing says for which orders the shop is closed.
type standing struct{ c *cafe }

func (standing) Heard(context.Context, string, fleet.Mark) error { return nil }
func (standing) Mark() fleet.Mark                                { return fleet.Mark{} }
func (s standing) Flows(_ context.Context, order string, _ bool) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.shut[order] {
		return fleet.Saying("the book went back", fleet.ErrClosed)
	}
	return nil
}

// close closes the shop for an order, or opens it.
func (c *cafe) close(order string, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut[order] = on
}

// counted is the book of a process that may die over it.
type counted struct {
	d *counter
	fleet.Book
}

func (x counted) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	e, err := x.Book.Next(ctx, read, c)
	if err == nil {
		x.d.mu.Lock()
		x.d.wrote++
		do := x.d.at[c.Phase]
		delete(x.d.at, c.Phase)
		x.d.mu.Unlock()
		if do != nil {
			do(x.d)
		}
	}
	select {
	case <-x.d.dead:
		<-x.d.over
	default:
	}
	return e, err
}

func (d *counter) written() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wrote
}

// tells is where desks tell what no record says.
type tells struct {
	c *cafe
	fleet.Events
}

func (x tells) Publish(ctx context.Context, e fleet.Event, seq uint64) error {
	err := x.Events.Publish(ctx, e, seq)
	if err == nil {
		x.c.note("told", "%s %s %s", e.Order, e.Slot(), e.Outcome)
		x.c.mu.Lock()
		x.c.told = append(x.c.told, e)
		x.c.mu.Unlock()
	}
	return err
}

// note writes a log into the diary.
type note struct {
	c    *cafe
	name string
}

func (n note) Write(b []byte) (int, error) {
	n.c.note(n.name, "log: %s", b)
	return len(b), nil
}

package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// The times of pulling.
const (
	// parkedFor is how long a pull waits at the broker, the longest that a consumer
	// allows; the broker itself ends it then.
	parkedFor = 30 * time.Second
	// mostParked is how many pulls may wait at one consumer: one for each machine. The
	// broker's own limit of 512 would make the others ask for ever.
	mostParked = 10_000
	// moment is given to the broker after each pull to hand over what waits, so that
	// it rarely gives two.
	moment = 5 * time.Millisecond
	// waiting is given instead where an order is known to wait, so that an older one is
	// not left behind because a newer one's consumer is the faster to answer: one that was
	// given back comes a little later than one that is new.
	waiting = 50 * time.Millisecond
	// pullLate is how long after its time a pull may answer before it counts as lost.
	pullLate = 2 * time.Second
	// askAgain is the pause after a pull that the broker refused, such as while the
	// consumer is made anew.
	askAgain = time.Second
	// lookEvery is how often a spare looks.
	lookEvery = 2 * time.Second
)

var (
	askParked = []byte(`{"batch":1,"expires":30000000000}`) // ns
	askNow    = []byte(`{"batch":1,"no_wait":true}`)
)

// puller takes one message at a time from several durables. It keeps one pull
// parked at each, so that an order wakes one idle machine and costs one pull,
// however many wait. A pull is never cancelled (a third of the orders that arrived
// at that moment were stranded until AckWait, measured): they all answer into one
// inbox that lives as long as the puller, and what comes while nobody waits, or
// beside another, is given back at once. A machine whose link fell silent with a
// pull parked keeps one order from the others for AckWait.
type puller struct {
	c      *Conn
	stream string
	inbox  *nats.Subscription
	n      int // number of the last pull

	got  chan arrival    // the one that was taken; room for one
	news chan struct{}   // a pull ended
	back <-chan struct{} // closed when the broker was away since the pulls were sent

	mu    sync.Mutex // guards the following: answers come on the client's goroutine
	open  bool       // somebody waits, and nothing was taken for him yet
	spare bool       // he takes only what he asked for this moment
	lines []*line
	first []string // durables that are asked before the others, in this order
}

// line is a durable and the pull that was sent to it last.
type line struct {
	durable string
	reply   string    // of the pull that has not ended; empty: none
	parked  bool      // it waits at the broker
	due     time.Time // to be asked again; with a pull that has not ended, when it counts as lost
	served  time.Time // when it gave an order last
}

func (c *Conn) newPuller(stream string) *puller {
	return &puller{c: c, stream: stream, got: make(chan arrival, 1), news: make(chan struct{}, 1), back: c.Reconnected()}
}

// next waits for one message of the durables. With wanted, which is asked before each
// look, it is a spare: nothing is parked, and false leaves the work to others for now.
// When ctx ends, nothing is stranded.
func (p *puller) next(ctx context.Context, durables []string, wanted func() bool, first ...string) (arrival, error) {
	if err := p.begin(durables, wanted != nil, first); err != nil {
		return arrival{}, err
	}
	defer p.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var asked time.Time // until then the last pull may be answered
	for {
		select {
		case <-ctx.Done():
			return arrival{}, ctx.Err()
		case a := <-p.got:
			return a, nil
		case <-p.back: // what was parked is gone
			p.back = p.c.Reconnected()
			p.forget()
		case <-p.news:
		case <-timer.C:
		}
		due, wait := p.due()
		if wanted != nil && len(due) > 0 && !wanted() {
			due, wait = nil, lookEvery
		}
		switch left := time.Until(asked); {
		case len(due) == 0:
		case left > 0: // an earlier pull has ended meanwhile
			wait = left
		default:
			if err := p.ask(due[0], wanted == nil); err != nil {
				p.c.log.Debug("pull", "durable", due[0].durable, "err", err)
			}
			if wait = moment; slices.Contains(first, due[0].durable) {
				wait = waiting
			}
			asked = time.Now().Add(wait)
		}
		timer.Reset(wait)
	}
}

// begin opens the inbox, and the door for one message.
func (p *puller) begin(durables []string, spare bool, first []string) error {
	if p.inbox == nil {
		sub, err := p.c.nc.Subscribe(p.c.nc.NewInbox()+".*", p.answered)
		if err != nil {
			return fmt.Errorf("pull: %w", err)
		}
		p.inbox = sub
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// A line that is wanted no more may have a pull parked; what comes of it is given
	// back.
	p.lines = slices.DeleteFunc(p.lines, func(l *line) bool { return !slices.Contains(durables, l.durable) })
	for _, d := range durables {
		if p.line(d) == nil {
			p.lines = append(p.lines, &line{durable: d})
		}
	}
	p.open, p.spare, p.first = true, spare, first
	return nil
}

// end closes the door; what came in meanwhile is given back.
func (p *puller) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	select {
	case a := <-p.got:
		p.giveBack(a.msg)
	default:
	}
}

// line is the one of a durable, or nil.
func (p *puller) line(durable string) *line {
	i := slices.IndexFunc(p.lines, func(l *line) bool { return l.durable == durable })
	if i < 0 {
		return nil
	}
	return p.lines[i]
}

// due lists the lines to ask now, those that shall be first in front, then the one that
// gave nothing for longest, so that none starves behind a busy one; and how long until
// the next is due.
func (p *puller) due() ([]*line, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, wait := time.Now(), parkedFor
	if !p.open {
		return nil, wait // it is in p.got
	}
	var due []*line
	for _, l := range p.lines {
		if l.due.After(now) {
			wait = min(wait, l.due.Sub(now))
		} else {
			due = append(due, l)
		}
	}
	rank := func(l *line) int {
		if i := slices.Index(p.first, l.durable); i >= 0 {
			return i
		}
		return len(p.first)
	}
	slices.SortStableFunc(due, func(a, b *line) int { return cmp.Or(rank(a)-rank(b), a.served.Compare(b.served)) })
	return due, wait
}

// ask sends a pull.
func (p *puller) ask(l *line, park bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	reply := strings.TrimSuffix(p.inbox.Subject, "*") + strconv.Itoa(p.n)
	what, lasts := askNow, time.Duration(0)
	if park {
		what, lasts = askParked, parkedFor
	}
	if err := p.c.nc.PublishRequest(p.c.api("CONSUMER.MSG.NEXT.")+p.stream+"."+l.durable, reply, what); err != nil {
		l.reply, l.due = "", time.Now().Add(askAgain)
		return err
	}
	l.reply, l.parked, l.due = reply, park, time.Now().Add(lasts+pullLate)
	return nil
}

// forget gives up all pulls.
func (p *puller) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		l.reply, l.due = "", time.Time{}
	}
}

// answered takes what comes into the inbox: a message, or the end of a pull.
func (p *puller) answered(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if meta, err := metaOf(m.Reply); err == nil {
		l := p.line(meta.durable)
		take := p.open && l != nil && !(p.spare && l.parked)
		if l != nil {
			l.reply, l.due = "", time.Time{}
		}
		if !take {
			p.giveBack(m)
			return
		}
		p.open, l.served = false, time.Now()
		p.got <- arrival{m, l.served} // there is room: the door was open
		return
	}
	i := slices.IndexFunc(p.lines, func(l *line) bool { return l.reply == m.Subject })
	if i < 0 {
		return // of a pull that was given up
	}
	l := p.lines[i]
	l.reply, l.due = "", time.Now()
	switch m.Header.Get("Status") {
	case "408": // its time is over
	case "404": // nothing there
		l.due = l.due.Add(lookEvery)
	default: // nobody there, or the consumer went away under it
		l.due = l.due.Add(askAgain)
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// giveBack lets the next one have a message that nobody waits for here.
func (p *puller) giveBack(m *nats.Msg) {
	_ = p.c.nc.Publish(m.Reply, []byte("-NAK")) // lost, it comes again after AckWait
}

// arrival is a delivery and when it came.
type arrival struct {
	msg *nats.Msg
	at  time.Time
}

// meta is what the ack subject tells of a delivery:
// $JS.ACK[.<domain>.<account>].<stream>.<consumer>.<delivered>.<seq>.<cseq>.<nanoseconds>.<pending>[.<token>]
type meta struct {
	durable   string
	seq       uint64
	nth       uint64 // of all that its consumer has sent
	delivered int
	stored    time.Time
}

func metaOf(reply string) (meta, error) {
	t := strings.Split(reply, ".")
	switch {
	case t[0] != "$JS" || len(t) < 9:
		return meta{}, fmt.Errorf("not an ack subject: %.80q", reply)
	case len(t) == 9:
	case len(t) >= 11:
		t = append(t[:2:2], t[4:]...)
	default:
		return meta{}, fmt.Errorf("not an ack subject: %.80q", reply)
	}
	delivered, err1 := strconv.Atoi(t[4])
	seq, err2 := strconv.ParseUint(t[5], 10, 64)
	nth, err3 := strconv.ParseUint(t[6], 10, 64)
	ns, err4 := strconv.ParseInt(t[7], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return meta{}, fmt.Errorf("not an ack subject: %w", err)
	}
	return meta{t[3], seq, nth, delivered, time.Unix(0, ns)}, nil
}

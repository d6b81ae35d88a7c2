package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"barista/fleet"
)

// The times of pulling. A wake-up outruns the consumer (seen nearly always, by
// some 0.2 ms), so after one the broker is given 10 ms to find the message, and
// is asked once more later. The broker itself ends such a pull.
const (
	lookEvery  = 2 * time.Second
	pullAnswer = 2 * time.Second
	askAgain   = 100 * time.Millisecond
)

var (
	askNow  = []byte(`{"batch":1,"no_wait":true}`)
	askSoon = []byte(`{"batch":1,"expires":10000000}`) // ns
)

// source is one durable to pull from.
type source struct {
	durable string
	wake    string // subject whose messages mean that there may be work
}

// puller takes one message at a time from several durables. It asks the broker
// without waiting there, or for 10 ms after a wake-up, over one inbox that lives as long as the
// puller: a pull is never cancelled (a third of the orders that arrived at that
// moment were stranded until AckWait, measured), and what comes late is taken
// or, when it is too old, left to come again.
type puller struct {
	c      *Conn
	stream string

	got  chan arrival  // what arrived in the inbox
	news chan struct{} // somebody was woken

	inbox *nats.Subscription
	n     int // number of the last pull

	lines []*line // in rotating order

	mu    sync.Mutex // guards woken: wake-ups come on the client's goroutine
	woken map[string]time.Time
}

// line is a source and when it is due to be asked.
type line struct {
	source
	sub   *nats.Subscription
	asked time.Time
	woken bool // since it was asked
	again bool // asked again after the last wake-up
	next  time.Time
}

type arrival struct {
	msg *nats.Msg
	at  time.Time
}

func (c *Conn) newPuller(stream string) *puller {
	return &puller{c: c, stream: stream, got: make(chan arrival, 64), news: make(chan struct{}, 1), woken: map[string]time.Time{}}
}

// listen opens the inbox and one wake-up per source, and closes those that are
// no longer wanted.
func (p *puller) listen(sources []source) error {
	if p.inbox == nil {
		sub, err := p.c.nc.Subscribe(p.c.nc.NewInbox()+".*", func(m *nats.Msg) {
			select {
			case p.got <- arrival{m, time.Now()}:
			default: // nobody takes: the message comes again
			}
		})
		if err != nil {
			return fmt.Errorf("pull: %w", err)
		}
		p.inbox = sub
	}
	p.lines = slices.DeleteFunc(p.lines, func(l *line) bool {
		if slices.Contains(sources, l.source) {
			return false
		}
		_ = l.sub.Unsubscribe()
		return true
	})
	for _, s := range sources {
		if slices.ContainsFunc(p.lines, func(l *line) bool { return l.source == s }) {
			continue
		}
		sub, err := p.c.nc.Subscribe(s.wake, func(*nats.Msg) {
			p.mu.Lock()
			if _, ok := p.woken[s.durable]; !ok {
				p.woken[s.durable] = time.Now()
			}
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
		})
		if err != nil {
			return fmt.Errorf("pull: %w", err)
		}
		p.lines = append(p.lines, &line{source: s, sub: sub})
	}
	return nil
}

// next waits for one message. ready is asked before each sweep; false leaves
// the work to others for now.
func (p *puller) next(ctx context.Context, sources []source, ready func(context.Context) bool) (arrival, error) {
	if err := p.listen(sources); err != nil {
		return arrival{}, err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return arrival{}, ctx.Err()
		case a := <-p.got: // of an earlier pull, or of one that answered late
			if p.fresh(a) {
				return a, nil
			}
			continue
		case <-p.news:
		case <-timer.C:
		}
		due := p.due()
		if len(due) > 0 && (ready == nil || ready(ctx)) {
			for _, l := range due {
				a, ok, err := p.pull(l)
				if err != nil {
					p.c.log.Debug("pull", "durable", l.durable, "err", err)
					break // the link: the others would not answer either
				}
				if ok {
					return a, nil
				}
				if ctx.Err() != nil {
					return arrival{}, ctx.Err()
				}
			}
		}
		timer.Reset(p.wait())
	}
}

// due lists the lines to ask now, the one that waits longest first. A line
// without wake-up is due 2 s after it was asked, so none starves behind a busy
// one.
func (p *puller) due() []*line {
	now := time.Now()
	p.mu.Lock()
	for _, l := range p.lines {
		if at, ok := p.woken[l.durable]; ok {
			l.next, l.woken, l.again = at, true, false
			delete(p.woken, l.durable)
		}
	}
	p.mu.Unlock()
	var due []*line
	for _, l := range p.lines {
		if !l.next.After(now) {
			due = append(due, l)
		}
	}
	slices.SortStableFunc(due, func(a, b *line) int { return a.next.Compare(b.next) })
	return due
}

// wait is how long until a line is due.
func (p *puller) wait() time.Duration {
	d := lookEvery
	for _, l := range p.lines {
		d = min(d, time.Until(l.next))
	}
	return max(d, time.Millisecond)
}

// pull asks one durable and waits for its answer, whatever happens meanwhile.
func (p *puller) pull(l *line) (arrival, bool, error) {
	ask := askNow
	if l.woken {
		ask = askSoon
	}
	l.asked = time.Now()
	l.next = l.asked.Add(lookEvery)
	p.n++
	reply := strings.TrimSuffix(p.inbox.Subject, "*") + strconv.Itoa(p.n)
	subject := "$JS.API.CONSUMER.MSG.NEXT." + p.stream + "." + l.durable
	if err := p.c.nc.PublishRequest(subject, reply, ask); err != nil {
		return arrival{}, false, err
	}
	t := time.NewTimer(pullAnswer)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return arrival{}, false, errors.New("no answer to a pull")
		case a := <-p.got:
			if strings.HasPrefix(a.msg.Reply, "$JS.ACK.") {
				if !p.fresh(a) {
					continue
				}
				l.woken, l.again, l.next = false, false, l.asked // there may be more, but the others come first
				return a, true, nil
			}
			if a.msg.Subject != reply {
				continue // the answer to an earlier pull
			}
			if s := a.msg.Header.Get("Status"); s != "404" && s != "408" { // nothing there; nothing came
				return arrival{}, false, fmt.Errorf("%s %s", s, a.msg.Header.Get("Description"))
			}
			if l.woken && !l.again {
				l.again, l.next = true, l.asked.Add(askAgain)
			} else {
				l.woken = false
			}
			return arrival{}, false, nil
		}
	}
}

// fresh reports whether an arrival is a message that still has most of its
// time. The others come again by themselves.
func (p *puller) fresh(a arrival) bool {
	return strings.HasPrefix(a.msg.Reply, "$JS.ACK.") && time.Since(a.at) < fleet.BeatEvery
}

// meta is what the ack subject tells of a delivery:
// $JS.ACK[.<domain>.<account>].<stream>.<consumer>.<delivered>.<seq>.<cseq>.<nanoseconds>.<pending>[.<token>]
type meta struct {
	seq       uint64
	delivered int
	stored    time.Time
}

func metaOf(reply string) (meta, error) {
	t := strings.Split(reply, ".")
	switch {
	case len(t) == 9:
	case len(t) >= 11:
		t = append(t[:2:2], t[4:]...)
	default:
		return meta{}, fmt.Errorf("not an ack subject: %q", reply)
	}
	delivered, err1 := strconv.Atoi(t[4])
	seq, err2 := strconv.ParseUint(t[5], 10, 64)
	ns, err3 := strconv.ParseInt(t[7], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return meta{}, fmt.Errorf("not an ack subject: %w", err)
	}
	return meta{seq, delivered, time.Unix(0, ns)}, nil
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

type tickets struct {
	c *Conn
	p *puller
}

var _ fleet.Tickets = (*tickets)(nil)

// Tickets is where a worker takes its work. One caller at a time.
func (c *Conn) Tickets() fleet.Tickets {
	return &tickets{c: c, p: c.newPuller(fleet.StreamOrders)}
}

func (t *tickets) Next(ctx context.Context, classes []fleet.Class, wanted func() bool, first ...fleet.Class) (*fleet.Ticket, error) {
	durablesOf := func(classes []fleet.Class) []string {
		out := make([]string, len(classes))
		for i, c := range classes {
			out[i] = fleet.MakerDurable(c)
		}
		return out
	}
	for {
		a, err := t.p.next(ctx, durablesOf(classes), wanted, durablesOf(first)...)
		if err != nil {
			return nil, err
		}
		m, err := metaOf(a.msg.Reply)
		if err != nil {
			t.c.log.Error("a delivery can't be read", "err", err)
			continue
		}
		class, _ := fleet.ClassOfSubject(a.msg.Subject)
		portion, created := ofBook(a.msg.Header)
		return &fleet.Ticket{
			Class: class, Subject: a.msg.Subject, Body: a.msg.Data, MessageID: a.msg.Header.Get(jetstream.MsgIDHeader),
			Portion: portion, Created: created, Seq: m.seq, Delivered: m.delivered, Stored: m.stored, Settlement: t.c.settle(a),
		}, nil
	}
}

type intake struct {
	c *Conn
	p *puller
}

// Intake hands over what foreign programs dropped. One caller at a time.
func (c *Conn) Intake() fleet.Intake { return &intake{c: c, p: c.newPuller(fleet.StreamIntake)} }

func (i *intake) NextDrop(ctx context.Context) (*fleet.Drop, error) {
	for {
		a, err := i.p.next(ctx, []string{fleet.IntakeDurable}, nil)
		if err != nil {
			return nil, err
		}
		m, err := metaOf(a.msg.Reply)
		if err != nil {
			i.c.log.Error("a delivery can't be read", "err", err)
			continue
		}
		st, err := i.c.open(ctx, fleet.StreamIntake)
		if err != nil {
			continue // it comes again
		}
		bean, _ := fleet.BeanOfSubject(a.msg.Subject)
		return &fleet.Drop{
			Bean: bean, Subject: a.msg.Subject, Body: a.msg.Data, Seq: m.seq, Stored: m.stored,
			Created: st.CachedInfo().Created, Settlement: i.c.settle(a),
		}, nil
	}
}

// settlement is the reply subject of one delivery. Acks carry no ownership: the
// broker takes a late one of a former holder for the present one, so after a
// silence this side keeps quiet.
type settlement struct {
	c     *Conn
	reply string

	mu   sync.Mutex // guards last: Beat comes from another goroutine
	last time.Time
}

func (c *Conn) settle(a arrival) *settlement {
	return &settlement{c: c, reply: a.msg.Reply, last: a.at}
}

// awake renews the holder's time, or says that it was silent for too long.
func (s *settlement) awake(send func() error) error {
	now := time.Now()
	s.mu.Lock()
	stale := now.Sub(s.last) > fleet.AckWait
	s.mu.Unlock()
	if stale {
		return fleet.ErrStale
	}
	if err := send(); err != nil {
		return unsure("ticket", err)
	}
	s.mu.Lock()
	s.last = now
	s.mu.Unlock()
	return nil
}

func (s *settlement) Beat() error {
	return s.awake(func() error { return s.c.nc.Publish(s.reply, []byte("+WPI")) })
}

func (s *settlement) Done(ctx context.Context) error { return s.insist(ctx, "+ACK", true) }

func (s *settlement) Terminate(ctx context.Context, reason string, ended bool) error {
	return s.insist(ctx, "+TERM "+strings.ToValidUTF8(strings.Join(strings.Fields(reason), " "), ""), ended)
}

func (s *settlement) Return(ctx context.Context, after time.Duration) error {
	if after <= 0 {
		return s.insist(ctx, "-NAK", false)
	}
	return s.insist(ctx, fmt.Sprintf(`-NAK {"delay": %d}`, after.Nanoseconds()), false)
}

// insist sends until the broker confirms. "no responders" is what an election
// answers, and it passes. A broker that started anew has forgotten the delivery and
// says nothing to it; when it was seen to be there and silent twice, it is left:
// the message comes again, and the claim says that it is over.
func (s *settlement) insist(ctx context.Context, what string, always bool) error {
	wait := 50 * time.Millisecond
	for ignored := 0; ; {
		err := s.awake(func() error { return s.request(ctx, what) })
		if always && err == fleet.ErrStale {
			err = s.request(ctx, what)
		}
		if err == nil || err == fleet.ErrStale {
			return err
		}
		if errors.Is(err, context.DeadlineExceeded) && s.there(ctx) {
			if ignored++; ignored == 2 {
				return unsure("ticket", errForgotten)
			}
		}
		if !fleet.Pause(ctx, wait) {
			return unsure("ticket", err)
		}
		wait = min(2*wait, 5*time.Second)
	}
}

var errForgotten = errors.New("the broker does not know the delivery any more; the message comes again")

// there reports whether the broker answers, and so has had what was sent before.
func (s *settlement) there(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.c.nc.FlushWithContext(ctx) == nil
}

func (s *settlement) request(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := s.c.nc.RequestWithContext(ctx, s.reply, []byte(what))
	return err
}

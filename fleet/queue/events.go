package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

type events struct{ c *Conn }

var _ fleet.Events = events{}

// Events is the stream of events.
func (c *Conn) Events() fleet.Events { return events{c} }

func (s events) Publish(ctx context.Context, e fleet.Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = s.c.js.Publish(ctx, fleet.EventSubject(e.Order, e.Slot()), b, jetstream.WithExpectLastSequencePerSubject(0))
	if err == nil || wrongSequence(err) { // the second is already there
		return nil
	}
	return unsure("event "+e.Slot()+" of "+e.Order, err)
}

func (s events) Live(e fleet.Event) {
	if b, err := json.Marshal(e); err == nil {
		_ = s.c.nc.Publish(fleet.LiveSubject(e.Order, e.Slot()), b) // may get lost
	}
}

func (s events) Of(ctx context.Context, order string) ([]fleet.StoredEvent, error) {
	subject := fleet.EventSubject(order, "*")
	var out []fleet.StoredEvent
	err := s.c.each(ctx, fleet.StreamEvents, subject, 1, func(m *jetstream.RawStreamMsg) {
		if e, ok := s.c.stored(m.Data, m.Sequence, m.Time); ok {
			out = append(out, e)
		}
	})
	return out, err
}

// each walks the stored messages of a subject from a sequence on, one request
// per message: for short lists.
func (c *Conn) each(ctx context.Context, stream, subject string, from uint64, do func(*jetstream.RawStreamMsg)) error {
	st, err := c.js.Stream(ctx, stream)
	if err != nil {
		return unsure("read "+stream, err)
	}
	for {
		m, err := st.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return unsure("read "+stream, err)
		}
		do(m)
		from = m.Sequence + 1
	}
}

func (c *Conn) stored(data []byte, seq uint64, at time.Time) (fleet.StoredEvent, bool) {
	e := fleet.StoredEvent{Seq: seq, Stored: at}
	if err := json.Unmarshal(data, &e.Event); err != nil {
		c.log.Error("an event can't be read", "seq", seq, "err", err)
		return e, false
	}
	return e, true
}

func (s events) Follow(ctx context.Context, from uint64, each func(fleet.StoredEvent), ready func()) error {
	return s.c.follow(ctx, fleet.StreamEvents, from, func(seq uint64, at time.Time, data []byte) {
		if e, ok := s.c.stored(data, seq, at); ok {
			each(e)
		}
	}, ready)
}

// follow hands over a stream from a sequence on until ctx ends. The client
// renews a broken ordered consumer by itself; what it can't mend begins anew
// behind the last message that was handed over.
func (c *Conn) follow(ctx context.Context, stream string, from uint64, each func(seq uint64, at time.Time, data []byte), ready func()) error {
	var once sync.Once
	if ready == nil {
		ready = func() {}
	}
	fleet.Keep(ctx, c.log, stream, func() error {
		return c.followOnce(ctx, stream, &from, each, func() { once.Do(ready) })
	})
	return ctx.Err()
}

func (c *Conn) followOnce(ctx context.Context, stream string, from *uint64, each func(uint64, time.Time, []byte), ready func()) error {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if *from > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, *from
	}
	cons, err := c.js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return err
	}
	if cons.CachedInfo().NumPending == 0 {
		ready()
	}
	it, err := cons.Messages()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, it.Stop)
	defer stop()
	defer it.Stop()
	for {
		m, err := it.Next()
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		*from = meta.Sequence.Stream + 1
		each(meta.Sequence.Stream, meta.Timestamp, m.Data())
		if meta.NumPending == 0 {
			ready()
		}
	}
}

func (s events) FollowLive(ctx context.Context, each func(fleet.StoredEvent)) error {
	msgs := make(chan *nats.Msg, 1024) // a slow reader loses, and nobody waits
	sub, err := s.c.nc.ChanSubscribe("coffee.live.>", msgs)
	if err != nil {
		return fmt.Errorf("live events: %w", err)
	}
	defer sub.Unsubscribe()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-msgs:
			var seq uint64
			fmt.Sscanf(m.Header.Get("Nats-Sequence"), "%d", &seq)
			if e, ok := s.c.stored(m.Data, seq, time.Now()); ok {
				each(e)
			}
		}
	}
}

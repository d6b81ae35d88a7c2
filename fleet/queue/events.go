package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

type events struct{ c *Conn }

var _ fleet.Events = events{}

// Events is the stream of events.
func (c *Conn) Events() fleet.Events { return events{c} }

func (s events) Publish(ctx context.Context, e fleet.Event, seq uint64) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if seq == 0 { // then it says how far was told before it, so that the last one always says it
		if seq, err = s.Told(ctx); err != nil {
			return err
		}
	}
	m := nats.NewMsg(fleet.EventSubject(e.Order, e.Slot()))
	m.Data = b
	m.Header.Set(headerSeq, strconv.FormatUint(seq, 10))
	_, err = s.c.js.PublishMsg(ctx, m, jetstream.WithExpectStream(fleet.StreamEvents), jetstream.WithExpectLastSequencePerSubject(0))
	if err == nil || wrongSequence(err) { // the second is already there
		return nil
	}
	return unsure("event "+e.Slot()+" of "+e.Order, err)
}

// Told is what the last event says. One that says nothing is of the former layout
// and told nothing of the book.
func (s events) Told(ctx context.Context) (uint64, error) {
	m, err := s.c.get(ctx, fleet.StreamEvents, ask{Last: ">"})
	if errors.Is(err, fleet.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, unsure("what was told", err)
	}
	seq, _ := strconv.ParseUint(m.header().Get(headerSeq), 10, 64)
	return seq, nil
}

func (s events) Live(e fleet.Event) {
	if b, err := json.Marshal(e); err == nil {
		_ = s.c.nc.Publish(fleet.LiveSubject(e.Machine, e.Order, e.Slot()), b) // may get lost
	}
}

func (s events) FollowLive(ctx context.Context, each func(fleet.Event)) error {
	msgs := make(chan *nats.Msg, 1024) // a slow reader loses, and nobody waits
	sub, err := s.c.nc.ChanSubscribe(fleet.LiveSubject("*", "*", "*"), msgs)
	if err != nil {
		return fmt.Errorf("live events: %w", err)
	}
	defer sub.Unsubscribe()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-msgs:
			var e fleet.Event
			err := json.Unmarshal(m.Data, &e)
			if err == nil {
				err = e.Check()
			}
			if err != nil {
				s.c.log.Warn("what a machine tells can't be read", "subject", m.Subject, "err", err)
				continue
			}
			each(e)
		}
	}
}

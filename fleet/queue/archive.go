package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// archivist is the durable consumer of whoever keeps events. It stays where it was when
// nobody asks, so that nothing is missed for as long as the stream keeps it.
const archivist = "archive"

const (
	// archiveWait is how long a batch may take to be kept before it comes again.
	archiveWait  = time.Minute
	archiveFetch = 5 * time.Second // an empty stream is asked again
	sooner       = time.Second     // a batch that was not kept comes again after that
	confirmed    = 5 * time.Second
)

// KeepEvents hands over every stored event, at most so many at a time, from where the
// last one who was here left off, until ctx ends or it breaks off. A batch counts as
// kept only when keep has returned nil; it may come twice, as events do, by the same id:
// after a crash between the two, for example. What can't be read is told in the log and
// left out.
func (c *Conn) KeepEvents(ctx context.Context, most int, keep func(context.Context, []fleet.StoredEvent) error) error {
	cons, err := c.js.CreateOrUpdateConsumer(ctx, fleet.StreamEvents, jetstream.ConsumerConfig{
		Durable: archivist, Description: "events that somebody keeps in a database", AckPolicy: jetstream.AckExplicitPolicy, AckWait: archiveWait, MaxAckPending: 4 * most,
	})
	if err != nil {
		return unsure("the consumer "+archivist, err)
	}
	for ctx.Err() == nil {
		batch, err := fetch(ctx, cons, most)
		if err != nil {
			return unsure("events", err)
		}
		if len(batch) == 0 {
			continue
		}
		if err := keep(ctx, c.stored(batch)); err != nil {
			for _, m := range batch {
				_ = m.NakWithDelay(sooner) // one that is lost comes again after archiveWait
			}
			return fmt.Errorf("%d events: %w", len(batch), err)
		}
		if err := settle(ctx, batch); err != nil {
			return unsure("that events were kept", err)
		}
	}
	return ctx.Err()
}

// fetch waits a while for messages, and not when ctx ends.
func fetch(ctx context.Context, cons jetstream.Consumer, most int) (batch []jetstream.Msg, err error) {
	while, cancel := context.WithTimeout(ctx, archiveFetch)
	defer cancel()
	msgs, err := cons.Fetch(most, jetstream.FetchContext(while))
	if err != nil {
		return nil, err
	}
	for m := range msgs.Messages() {
		batch = append(batch, m)
	}
	err = msgs.Error()
	if len(batch) > 0 || errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil
	}
	return batch, err
}

// settle acknowledges a batch; the last one's answer comes after the others were taken.
func settle(ctx context.Context, batch []jetstream.Msg) error {
	for _, m := range batch[:len(batch)-1] {
		if err := m.Ack(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, confirmed)
	defer cancel()
	return batch[len(batch)-1].DoubleAck(ctx)
}

// stored reads a batch.
func (c *Conn) stored(batch []jetstream.Msg) (out []fleet.StoredEvent) {
	for _, m := range batch {
		e, err := storedEvent(m)
		if err != nil {
			c.log.Error("an event can't be read, and is not kept", "subject", m.Subject(), "err", err)
			continue
		}
		out = append(out, e)
	}
	return out
}

func storedEvent(m jetstream.Msg) (fleet.StoredEvent, error) {
	meta, err := m.Metadata()
	if err != nil {
		return fleet.StoredEvent{}, err
	}
	e, err := decodeEvent(m.Subject(), m.Data())
	if err != nil {
		return e, err
	}
	e.Seq, e.Stored = meta.Sequence.Stream, meta.Timestamp
	return e, nil
}

// decodeEvent reads an event where it stands. Its id is of the subject, which is there
// once; one that says that it is of another order, or something else, is none.
func decodeEvent(subject string, body []byte) (fleet.StoredEvent, error) {
	at := strings.Split(subject, ".")
	if len(at) != 4 || at[2] == "" || at[3] == "" {
		return fleet.StoredEvent{}, errors.New("it is none of ours")
	}
	var e fleet.Event
	if err := json.Unmarshal(body, &e); err != nil {
		return fleet.StoredEvent{}, err
	}
	if kind, _, _ := strings.Cut(at[3], "-"); e.Order != at[2] || string(e.Kind) != kind {
		return fleet.StoredEvent{}, fmt.Errorf("it says that it is %.20q of order %.80q", e.Kind, e.Order)
	}
	if err := e.Check(); err != nil {
		return fleet.StoredEvent{}, err
	}
	return fleet.StoredEvent{ID: at[2] + "." + at[3], Event: e}, nil
}

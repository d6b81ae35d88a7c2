package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

const (
	// archiveWait is how long a batch may take to be kept before it comes again.
	archiveWait = time.Minute
	// mostKept is how many may be on their way to be kept.
	mostKept     = 1024
	archiveFetch = 5 * time.Second // an empty stream is asked again
	sooner       = time.Second     // a batch that was not kept comes again after that
	confirmed    = 5 * time.Second
)

// archivist makes the queue of whoever keeps events. It stays where it was when nobody
// asks, so that nothing is missed for as long as the stream keeps it. The shop makes it,
// because who may make a consumer may have it send to any subject; the archive's own key
// may pull from it and no more.
func (c *Conn) archivist(ctx context.Context) error {
	_, err := c.js.Consumer(ctx, fleet.StreamEvents, fleet.ArchiveDurable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = c.js.CreateOrUpdateConsumer(ctx, fleet.StreamEvents, jetstream.ConsumerConfig{
			Durable: fleet.ArchiveDurable, Description: "events that somebody keeps in a database", AckPolicy: jetstream.AckExplicitPolicy, AckWait: archiveWait, MaxAckPending: mostKept,
		})
	}
	if err != nil {
		return said("the queue "+fleet.ArchiveDurable, err)
	}
	return nil
}

// KeepEvents hands over every stored event, at most so many at a time, from where the
// last one who was here left off, until ctx ends or it breaks off. A batch counts as
// kept only when keep has returned nil; it may come twice, as events do, by the same id:
// after a crash between the two, for example. What can't be read is told in the log and
// left out.
func (c *Conn) KeepEvents(ctx context.Context, most int, keep func(context.Context, []fleet.StoredEvent) error) error {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return unsure("events", err)
	}
	defer sub.Unsubscribe()
	for n := 1; ctx.Err() == nil; n++ {
		batch, err := c.fetch(ctx, sub, fmt.Sprint(inbox, ".", n), most)
		if err != nil {
			return unsure("events", err)
		}
		if len(batch) == 0 {
			continue
		}
		if err := keep(ctx, c.stored(batch)); err != nil {
			c.notKept(batch)
			return fmt.Errorf("%d events: %w", len(batch), err)
		}
		if err := c.kept(ctx, batch); err != nil {
			return unsure("that events were kept", err)
		}
	}
	return ctx.Err()
}

// fetch asks for messages once, and waits a while for them, and not when ctx ends. What
// comes of an earlier pull counts, too.
func (c *Conn) fetch(ctx context.Context, sub *nats.Subscription, reply string, most int) (batch []*nats.Msg, err error) {
	ask := fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, most, archiveFetch.Nanoseconds())
	if err := c.nc.PublishRequest(c.api("CONSUMER.MSG.NEXT.")+fleet.StreamEvents+"."+fleet.ArchiveDurable, reply, ask); err != nil {
		return nil, err
	}
	while, cancel := context.WithTimeout(ctx, archiveFetch+pullLate)
	defer cancel()
	for len(batch) < most {
		m, err := sub.NextMsgWithContext(while)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return batch, nil // the end of the pull was lost
		case err != nil:
			c.notKept(batch)
			return nil, err
		}
		if _, err := metaOf(m.Reply); err == nil {
			batch = append(batch, m)
			continue
		}
		switch status := m.Header.Get("Status"); {
		case m.Subject != reply: // the end of an earlier pull
		case status == "503" && len(batch) == 0:
			return nil, errors.New("there is no queue of them: a controller makes it when it starts")
		case status == "404", status == "408", len(batch) > 0: // nothing more for now
			return batch, nil
		default:
			return nil, fmt.Errorf("the broker says: %.10q %.80q", status, m.Header.Get("Description"))
		}
	}
	return batch, nil
}

// notKept has a batch come again soon; what of that is lost comes after archiveWait.
func (c *Conn) notKept(batch []*nats.Msg) {
	for _, m := range batch {
		_ = c.nc.Publish(m.Reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, sooner.Nanoseconds()))
	}
}

// kept acknowledges a batch; the last one's answer comes after the others were taken.
func (c *Conn) kept(ctx context.Context, batch []*nats.Msg) error {
	last := len(batch) - 1
	for _, m := range batch[:last] {
		if err := c.nc.Publish(m.Reply, []byte("+ACK")); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, confirmed)
	defer cancel()
	_, err := c.nc.RequestWithContext(ctx, batch[last].Reply, []byte("+ACK"))
	return err
}

// stored reads a batch.
func (c *Conn) stored(batch []*nats.Msg) (out []fleet.StoredEvent) {
	for _, m := range batch {
		e, err := storedEvent(m)
		if err != nil {
			c.log.Error("an event can't be read, and is not kept", "subject", m.Subject, "err", err)
			continue
		}
		out = append(out, e)
	}
	return out
}

func storedEvent(m *nats.Msg) (fleet.StoredEvent, error) {
	meta, err := metaOf(m.Reply)
	if err != nil {
		return fleet.StoredEvent{}, err
	}
	e, err := decodeEvent(m.Subject, m.Data)
	if err != nil {
		return e, err
	}
	e.Seq, e.Stored = meta.seq, meta.stored
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

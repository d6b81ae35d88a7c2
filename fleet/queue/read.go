package queue

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// message is a stored message as the leader reads it out.
type message struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`

	heads nats.Header // of one that was delivered
}

// header is the message's; what can't be read of it is as if it were not there.
func (m message) header() nats.Header {
	if m.heads != nil {
		return m.heads
	}
	h, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		return nats.Header{}
	}
	return h
}

// ask is which message.
type ask struct {
	Seq  uint64     `json:"seq,omitempty"`
	Last string     `json:"last_by_subj,omitempty"`
	Next string     `json:"next_by_subj,omitempty"` // the first from Seq or From on
	From *time.Time `json:"start_time,omitempty"`
}

// get reads one message from the stream's leader. The client's own call asks for
// the stream's configuration first, each time, and knows no time to begin at.
// ErrNotFound is the leader's word.
func (c *Conn) get(ctx context.Context, stream string, a ask) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	body, err := json.Marshal(a)
	if err != nil {
		return message{}, err
	}
	var m *nats.Msg
	err = c.repeat(ctx, func(ctx context.Context) (err error) {
		m, err = c.nc.RequestWithContext(ctx, c.api("STREAM.MSG.GET.")+stream, body)
		return err
	})
	if err != nil {
		return message{}, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *message            `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return message{}, err
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return message{}, fleet.ErrNotFound
	case answer.Error != nil:
		return message{}, answer.Error
	case answer.Message == nil:
		return message{}, errors.New("an answer without a message")
	}
	return *answer.Message, nil
}

// counted is how many messages the leader's index has of each subject. It may count
// one that can't be read out.
func (c *Conn) counted(ctx context.Context, stream, subjects string) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	body, err := json.Marshal(map[string]string{"subjects_filter": subjects})
	if err != nil {
		return nil, err
	}
	m, err := c.nc.RequestWithContext(ctx, c.api("STREAM.INFO.")+stream, body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return answer.State.Subjects, nil
}

// missing says why the leader has no last message of these subjects. It answers in
// the same way of one that it can't read out, which its index still counts.
func (c *Conn) missing(ctx context.Context, stream, subjects string) error {
	counted, err := c.counted(ctx, stream, subjects)
	switch {
	case err != nil:
		return err
	case len(counted) > 0:
		return fleet.ErrDamaged
	}
	return fleet.ErrNotFound
}

// each walks the stored messages of a subject, one request per message: for short
// lists.
func (c *Conn) each(ctx context.Context, stream, subject string, do func(message)) error {
	for from := uint64(1); ; {
		m, err := c.get(ctx, stream, ask{Seq: from, Next: subject})
		if errors.Is(err, fleet.ErrNotFound) {
			return nil
		}
		if err != nil {
			return unsure("read "+stream, err)
		}
		do(m)
		from = m.Seq + 1
	}
}

// sure lets ErrNotFound stand and wraps everything else as unsure.
func sure(what string, err error) error {
	if errors.Is(err, fleet.ErrNotFound) {
		return fleet.ErrNotFound
	}
	return unsure(what, err)
}

// follow hands over a stream from a sequence on until ctx ends. The client renews
// a broken ordered consumer by itself; what it can't mend begins anew behind the
// last message that was handed over.
func (c *Conn) follow(ctx context.Context, stream string, from uint64, each func(message), ready func()) error {
	if ready == nil {
		ready = func() {}
	}
	ready = sync.OnceFunc(ready)
	fleet.Keep(ctx, c.log, stream, func() error { return c.followOnce(ctx, stream, &from, each, ready) })
	return ctx.Err()
}

// heardEvery is how often the broker says that it has nothing; twice that after a reader's
// server is gone it is read on at another. By itself the client would wait for half a
// minute, and who reads would not know the last orders for as long.
const heardEvery = 3 * time.Second

func (c *Conn) followOnce(ctx context.Context, stream string, from *uint64, each func(message), ready func()) error {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if *from > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, *from
	}
	end, err := c.end(ctx, stream, *from)
	if err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, askFor)
	cons, err := c.js.OrderedConsumer(soon, stream, cfg)
	cancel()
	if err != nil {
		return err
	}
	defer c.leave(ctx, stream, cons)
	if end < *from {
		ready()
	}
	it, err := cons.Messages(jetstream.PullHeartbeat(heardEvery))
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
		each(message{Subject: m.Subject(), Seq: meta.Sequence.Stream, Time: meta.Timestamp, Data: m.Data(), heads: m.Headers()})
		if meta.Sequence.Stream >= end {
			ready()
		}
	}
}

// leaveFor bounds how long the broker is told that nobody reads any more.
const leaveFor = 500 * time.Millisecond

// leave removes a reader's consumer. The client leaves it there for five minutes, and
// whoever reads in pages leaves one for each.
func (c *Conn) leave(ctx context.Context, stream string, cons jetstream.Consumer) {
	info := cons.CachedInfo()
	if info == nil || !c.Up() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	_ = c.js.DeleteConsumer(ctx, stream, info.Name) // one that stays goes by itself
}

// open looks at a stream. The client itself waits as long as its context lets it: a
// question that nobody heard, because no server led just then, would hold up for that
// long what could be asked again.
func (c *Conn) open(ctx context.Context, stream string) (st jetstream.Stream, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	err = c.repeat(ctx, func(ctx context.Context) (err error) {
		st, err = c.js.Stream(ctx, stream)
		return err
	})
	return st, err
}

// repeatAfter is when a question that only reads is asked anew.
const repeatAfter = time.Second

// repeat asks what only reads, and of a cluster once a second anew: while nobody leads
// nobody hears it, and who was just elected has not heard what was asked before.
func (c *Conn) repeat(ctx context.Context, ask func(context.Context) error) error {
	if c.nc.ConnectedClusterName() == "" {
		return ask(ctx)
	}
	for {
		one, cancel := context.WithTimeout(ctx, repeatAfter)
		err := ask(one)
		late := err != nil && one.Err() != nil && ctx.Err() == nil
		cancel()
		if !late {
			return err
		}
	}
}

// end is the last message of a stream that can be read now, not before from; 0 if
// there is none. What a consumer counts as pending would not do: it counts what can't
// be read, and never comes to nought.
func (c *Conn) end(ctx context.Context, stream string, from uint64) (uint64, error) {
	st, err := c.open(ctx, stream)
	if err != nil {
		return 0, unsure("look at "+stream, err)
	}
	state := st.CachedInfo().State
	for at := state.LastSeq; at >= max(from, state.FirstSeq, 1); at-- {
		if _, err := c.get(ctx, stream, ask{Seq: at}); !errors.Is(err, fleet.ErrNotFound) {
			return at, err
		}
	}
	return 0, nil
}

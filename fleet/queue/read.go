package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
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
func (c *Conn) get(ctx context.Context, stream string, a ask) (m message, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	body, err := json.Marshal(a)
	if err != nil {
		return m, err
	}
	err = c.repeat(ctx, func(ctx context.Context) error {
		got, err := c.nc.RequestWithContext(ctx, c.api("STREAM.MSG.GET.")+stream, body)
		if err != nil {
			return err
		}
		var answer struct {
			Error   *jetstream.APIError `json:"error"`
			Message *message            `json:"message"`
		}
		if err := json.Unmarshal(got.Data, &answer); err != nil {
			return err
		}
		switch {
		case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
			return fleet.ErrNotFound
		case answer.Error != nil:
			return answer.Error
		case answer.Message == nil:
			return errors.New("an answer without a message")
		}
		m = *answer.Message
		return nil
	})
	return m, err
}

// counted is how many messages the leader's index has of each subject. It may count
// one that can't be read out.
func (c *Conn) counted(ctx context.Context, stream, subjects string) (count map[string]uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	body, err := json.Marshal(map[string]string{"subjects_filter": subjects})
	if err != nil {
		return nil, err
	}
	err = c.repeat(ctx, func(ctx context.Context) error {
		got, err := c.nc.RequestWithContext(ctx, c.api("STREAM.INFO.")+stream, body)
		if err != nil {
			return err
		}
		var answer struct {
			Error *jetstream.APIError `json:"error"`
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		if err := json.Unmarshal(got.Data, &answer); err != nil {
			return err
		}
		if answer.Error != nil {
			return answer.Error
		}
		count = answer.State.Subjects
		return nil
	})
	return count, err
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

// follow hands over a stream from a sequence on until ctx ends. What breaks off begins
// anew behind the last message that was handed over.
func (c *Conn) follow(ctx context.Context, stream string, from uint64, each func(message), ready func()) error {
	if ready == nil {
		ready = func() {}
	}
	ready = sync.OnceFunc(ready)
	c.keep(ctx, stream, func(back <-chan struct{}) error {
		return c.followOnce(ctx, stream, &from, each, ready, back)
	})
	return ctx.Err()
}

// keep is fleet.Keep for what rests on one connection, until back is closed: on the next
// one it begins anew at once, and while there is none it waits for it.
func (c *Conn) keep(ctx context.Context, what string, once func(back <-chan struct{}) error) {
	fleet.Keep(ctx, c.log, what, func() error {
		for {
			back := c.Reconnected()
			var err error
			if c.Up() {
				err = once(back)
			}
			if c.Up() {
				select {
				case <-back:
				default:
					return err
				}
			}
			select {
			case <-back:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// The times of a reader.
const (
	// heardEvery is how often the broker says that it has nothing; twice that after a
	// reader's server is gone it is read on at another. Until the last records are known
	// no order is taken, where one of them was written without an answer. The servers of
	// a cluster agree on who leads in four seconds at best.
	heardEvery = 2 * time.Second
	// forgetReader is when the broker drops a reader of which it hears nothing.
	forgetReader = 5 * time.Minute
	// atOneTime is how many messages a reader asks for.
	atOneTime = 500
)

var askMore = fmt.Appendf(nil, `{"batch":%d,"expires":%d,"idle_heartbeat":%d}`, atOneTime, parkedFor, heardEvery) // ns

// reader makes a consumer for one reader, which the servers' leader gives to one of the
// servers, and names it. Of a cluster that is asked each second, for as long as nobody
// leads and hears it; and after askFor, see followOnce, under another name: the leader
// counts a server that was killed as one of them for minutes, and what was given to that
// one never answers. The client's own ordered consumer asks for ten seconds, and always
// under the same name: seen, it read nothing for a minute, until the server was back.
func (c *Conn) reader(ctx context.Context, stream string, from uint64) (jetstream.Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckNonePolicy,
		Name: rand.Text(), MemoryStorage: true, Replicas: 1, InactiveThreshold: forgetReader,
	}
	if from > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	var cons jetstream.Consumer
	err := c.repeat(ctx, func(ctx context.Context) (err error) {
		cons, err = c.js.CreateOrUpdateConsumer(ctx, stream, cfg)
		return err
	})
	return cons, err
}

// errAnotherLink: what was asked over the former connection nobody answers.
var errAnotherLink = errors.New("the connection is another one")

// followOnce reads until something breaks off, or back is closed. It pulls by itself: the
// client takes no notice of an answer that nobody is there, nor of what the broker says
// that it has sent, and reads nothing until the next message, or for four seconds.
func (c *Conn) followOnce(ctx context.Context, stream string, from *uint64, each func(message), ready func(), back <-chan struct{}) error {
	end, err := c.end(ctx, stream, *from)
	if err != nil {
		return err
	}
	cons, err := c.reader(ctx, stream, *from)
	if err != nil {
		return err
	}
	defer c.leave(ctx, stream, cons)
	in := make(chan *nats.Msg, 2*atOneTime)
	sub, err := c.nc.ChanSubscribe(c.nc.NewInbox(), in)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	if end < *from {
		ready()
	}
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	heard := time.Now()
	for got, left := uint64(0), 0; ; {
		if left == 0 {
			if err := c.nc.PublishRequest(c.api("CONSUMER.MSG.NEXT.")+stream+"."+cons.CachedInfo().Name, sub.Subject, askMore); err != nil {
				return err
			}
			left = atOneTime
		}
		quiet.Reset(2 * heardEvery)
		var m *nats.Msg
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-back:
			return errAnotherLink
		case <-quiet.C:
			return fmt.Errorf("nothing was heard of the broker for %v", 2*heardEvery)
		case m = <-in:
		}
		meta, err := metaOf(m.Reply)
		if err != nil { // no message
			switch over, err := endOfPull(m, got); {
			case err != nil && over && time.Since(heard) < heardEvery && fleet.Pause(ctx, repeatSoon): // not yet
				left = 0
				continue
			case err != nil:
				return err
			case over:
				left = 0
			}
			heard = time.Now()
			continue
		}
		if got, left, heard = got+1, left-1, time.Now(); meta.nth != got { // one was lost on the way: it is read again
			return fmt.Errorf("message %d is the %d. that was sent, and the %d. that came", meta.seq, meta.nth, got)
		}
		*from = meta.seq + 1
		each(message{Subject: m.Subject, Seq: meta.seq, Time: meta.stored, Data: m.Data, heads: m.Header})
		if meta.seq >= end {
			ready()
		}
	}
}

// endOfPull reads what the broker says beside messages: whether that is the end of what it
// was asked. An error at the end: nobody is there; else it is for good. got is how many
// messages came.
func endOfPull(m *nats.Msg, got uint64) (over bool, err error) {
	switch status := m.Header.Get("Status"); status {
	case "100": // it has nothing, and says how many it has sent
		if sent, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64); err == nil && sent > got {
			return false, fmt.Errorf("%d messages were sent, and %d came", sent, got)
		}
		return false, nil
	case "408": // its time is over
		return true, nil
	case "503":
		return true, nats.ErrNoResponders
	default:
		return false, fmt.Errorf("the broker ends it: %.20q %.80q", status, m.Header.Get("Description"))
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
		if st, err = c.js.Stream(ctx, stream); err != nil {
			return err
		}
		if in := st.CachedInfo().Cluster; in != nil && in.Leader == "" {
			return errUnled
		}
		return nil
	})
	return st, err
}

// errUnled: while nobody leads a stream, any server answers what it knows of it itself,
// which may be less than what was acknowledged (nats-server 2.15.2). Of a message it says
// then that it can't.
var errUnled = &jetstream.APIError{Code: 503, ErrorCode: codeNotNow, Description: "nobody leads the stream"}

// When a question that only reads is asked anew.
const (
	repeatAfter = time.Second            // nobody heard it
	repeatSoon  = 100 * time.Millisecond // somebody did, who is about to lead
)

// repeat asks what only reads, and of a cluster anew until ctx ends: while nobody leads
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
		switch {
		case late:
		case !later(apiCode(err)) || !fleet.Pause(ctx, repeatSoon):
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

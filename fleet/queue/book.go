package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// What the book's acts that belong to no order stand under, beside the ids.
const (
	actStock   = "stock"
	actBalance = "balance"
	actRefusal = "refusal"
)

var (
	allActs   = fleet.Subject("coffee", "book", "new", ">")
	wholeBook = fleet.Subject("coffee", "book", ">")
)

// bothOf are the two subjects of an order.
func bothOf(order string) string { return fleet.Subject("coffee", "book", "*", order) }

type book struct{ c *Conn }

var _ fleet.Book = book{}

// Book is the store of the truth. It is read from the leader only: the stream has
// direct reads off. A record that can't be read is logged once and handed over
// empty.
func (c *Conn) Book() fleet.Book { return book{c} }

// word is the random word in each record. It tells two records with one sequence
// apart, of a store that went back, and guards nothing else.
type word struct {
	Rec string `json:"rec"`
}

const wordBytes = 12

// encode is a record's subject and bytes, under its word, or a new one: who must
// find out whether an act was written gives one of his own.
func encode(r fleet.Record) (subject, rec string, body []byte, err error) {
	rec = cmp.Or(r.Rec, rand.Text()[:wordBytes])
	act := func(what string) string { return fleet.Subject("coffee", "book", "new", what) }
	w := word{rec}
	switch {
	case r.IsClaim:
		subject = fleet.StateSubject(r.Order.ID)
		if r.Act {
			subject = fleet.ActSubject(r.Order.ID)
		}
		body, err = json.Marshal(struct {
			fleet.Claim
			word
		}{r.Claim, w})
	case r.Stock != nil:
		subject = act(actStock)
		body, err = json.Marshal(struct {
			*fleet.StockAct
			word
		}{r.Stock, w})
	case r.Refusals != nil:
		subject = act(actRefusal)
		body, err = json.Marshal(struct {
			*fleet.Refusals
			word
		}{r.Refusals, w})
	case r.Balance != nil:
		subject = act(actBalance)
		body, err = json.Marshal(struct {
			*fleet.Balance
			word
		}{r.Balance, w})
	default:
		err = errors.New("a record that says nothing")
	}
	return subject, rec, body, err
}

// decode is the other way. What does not say clearly what it is, is no record.
func decode(subject string, body []byte) (fleet.Record, error) {
	var r fleet.Record
	t := strings.Split(subject, ".")
	if len(t) != 4 || t[0] != "coffee" || t[1] != "book" || t[2] != "new" && t[2] != "now" {
		return r, fmt.Errorf("subject %.80q is none of the book's", subject)
	}
	r.Act = t[2] == "new"
	var w word
	read := func(v any) error { return errors.Join(json.Unmarshal(body, &w), json.Unmarshal(body, v)) }
	var err error
	switch {
	case r.Act && t[3] == actStock:
		r.Stock = new(fleet.StockAct)
		err = read(r.Stock)
	case r.Act && t[3] == actRefusal:
		r.Refusals = new(fleet.Refusals)
		err = read(r.Refusals)
	case r.Act && t[3] == actBalance:
		r.Balance = new(fleet.Balance)
		err = read(r.Balance)
	default:
		r.IsClaim = true
		if err = read(&r.Claim); err == nil {
			err = whole(r.Claim, t[3])
		}
	}
	if err == nil && w.Rec == "" {
		err = errors.New("it has no word of its writer")
	}
	if err != nil {
		return fleet.Record{Act: r.Act}, err
	}
	r.Rec = w.Rec
	return r, nil
}

// whole says why a claim can't be the one of this order.
func whole(c fleet.Claim, order string) error {
	switch c.Phase {
	case fleet.Accepted, fleet.Claimed, fleet.Brewing, fleet.Again, fleet.Unknown, fleet.Served, fleet.Failed, fleet.Cancelled, fleet.Expired:
	default:
		return fmt.Errorf("there is no phase %.20q", c.Phase)
	}
	if id, err := fleet.ParseID(order); err != nil || id != order || c.Order.ID != order {
		return fmt.Errorf("it stands under %.40q and is of order %.40q", order, c.Order.ID)
	}
	if c.Epoch < 1 {
		return fmt.Errorf("epoch %d: they begin at 1", c.Epoch)
	}
	return nil
}

// record reads a stored message; err is nil only if it could be read.
func (b book) record(m message) (fleet.Record, error) {
	r, err := decode(m.Subject, m.Data)
	r.Seq, r.Written = m.Seq, m.Time
	if err != nil {
		b.c.once(m.Seq, func() {
			b.c.log.Error("a record of the book can't be read and counts for nothing", "seq", m.Seq, "subject", m.Subject, "err", err)
		})
	}
	return r, err
}

// saidMost bounds the memory of what was said already.
const saidMost = 1000

// once says something of a record, once.
func (c *Conn) once(seq uint64, say func()) {
	c.mu.Lock()
	said := c.said[seq]
	if !said && len(c.said) < saidMost {
		c.said[seq] = true
	}
	c.mu.Unlock()
	if !said {
		say()
	}
}

func (b book) Read(ctx context.Context, order string) (fleet.Entry, error) {
	m, err := b.c.get(ctx, fleet.StreamBook, ask{Last: bothOf(order)})
	if err != nil {
		return fleet.Entry{}, sure("order "+order, err)
	}
	r, err := b.record(m)
	if err != nil {
		return fleet.Entry{}, unsure("order "+order, err)
	}
	return r.Entry, nil
}

func (b book) At(ctx context.Context, seq uint64) (fleet.Record, error) {
	if seq == 0 {
		return fleet.Record{}, fleet.ErrNotFound
	}
	m, err := b.c.get(ctx, fleet.StreamBook, ask{Seq: seq})
	if err != nil {
		return fleet.Record{}, sure(fmt.Sprint("record ", seq), err)
	}
	r, _ := b.record(m)
	return r, nil
}

func (b book) History(ctx context.Context, order string) ([]fleet.Entry, error) {
	both := bothOf(order)
	last, err := b.c.get(ctx, fleet.StreamBook, ask{Last: both}) // so that the end of the book is never searched for more
	if errors.Is(err, fleet.ErrNotFound) {
		return nil, nil
	}
	var out []fleet.Entry
	for from := uint64(1); err == nil && from <= last.Seq; {
		var m message
		if m, err = b.c.get(ctx, fleet.StreamBook, ask{Seq: from, Next: both}); err == nil {
			if r, bad := b.record(m); bad == nil {
				out = append(out, r.Entry)
			}
			from = m.Seq + 1
		}
	}
	if err != nil {
		return nil, unsure("the history of "+order, err)
	}
	return out, nil
}

func (b book) Act(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	r.Act = true
	return b.write(ctx, r, last, allActs)
}

func (b book) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	e := fleet.Entry{Claim: c}
	rev, err := b.write(ctx, fleet.Record{Entry: e, IsClaim: true}, read.Seq, bothOf(c.Order.ID))
	e.Revision = rev
	return e, err
}

// write stores a record if the last one of the subjects is what the writer
// thinks. It is sent once: a second try could find the first one's record and
// call it somebody else's.
func (b book) write(ctx context.Context, r fleet.Record, last uint64, compared string) (fleet.Revision, error) {
	subject, rec, body, err := encode(r)
	if err != nil {
		return fleet.Revision{}, err
	}
	m := nats.NewMsg(subject)
	m.Data = body
	if r.Refusals != nil {
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	ack, err := b.c.js.PublishMsg(ctx, m, jetstream.WithExpectStream(fleet.StreamBook),
		jetstream.WithExpectLastSequenceForSubject(last, compared), jetstream.WithRetryAttempts(0))
	switch {
	case err == nil:
		return fleet.Revision{Seq: ack.Sequence, Rec: rec}, nil
	case wrongSequence(err):
		return fleet.Revision{}, fleet.ErrConflict
	}
	return fleet.Revision{}, unsure("write "+subject, err)
}

func (b book) Follow(ctx context.Context, from uint64, each func(fleet.Record), ready func()) error {
	return b.c.follow(ctx, fleet.StreamBook, from, func(m message) {
		r, _ := b.record(m)
		each(r)
	}, ready)
}

func (b book) LastBalance(ctx context.Context) (fleet.Record, error) {
	m, err := b.c.get(ctx, fleet.StreamBook, ask{Last: fleet.Subject("coffee", "book", "new", actBalance)})
	if err != nil {
		return fleet.Record{}, sure("the last balance", err)
	}
	r, err := b.record(m)
	if err != nil {
		return fleet.Record{}, unsure("the last balance", err)
	}
	return r, nil
}

func (b book) Since(ctx context.Context, t time.Time) (uint64, error) {
	info, err := b.info(ctx) // first: what is written meanwhile comes after its end
	if err != nil {
		return 0, err
	}
	m, err := b.c.get(ctx, fleet.StreamBook, ask{From: &t, Next: wholeBook})
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return info.State.LastSeq + 1, nil
	case err != nil:
		return 0, unsure("the book since "+t.Format(time.RFC3339), err)
	}
	return m.Seq, nil
}

func (b book) Now(ctx context.Context) (time.Time, error) {
	info, err := b.info(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return info.TimeStamp, nil
}

func (b book) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	st, err := b.c.js.Stream(ctx, fleet.StreamBook)
	if err != nil {
		return nil, unsure("look at the book", err)
	}
	return st.CachedInfo(), nil
}

func (b book) Trim(ctx context.Context, before uint64) error {
	st, err := b.c.js.Stream(ctx, fleet.StreamBook)
	if err == nil && before > 1 {
		err = st.Purge(ctx, jetstream.WithPurgeSequence(before))
	}
	if err != nil {
		return unsure(fmt.Sprint("trim the book before ", before), err)
	}
	return nil
}

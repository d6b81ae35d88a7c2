package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
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
	actLoss    = "loss"
)

var (
	wholeBook = fleet.Subject("coffee", "book", ">")
	balances  = fleet.Subject("coffee", "book", "*", actBalance)
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
	Rec    string `json:"rec"`
	Rolled uint64 `json:"rolled,omitempty"` // see fleet.Record
}

const wordBytes = 12

// encode is a record's subject and bytes, under its word, or a new one: who must
// find out whether an act was written gives one of his own. An act stands on the
// leaf.
func encode(r fleet.Record, leaf uint64) (subject, rec string, body []byte, err error) {
	if err := r.Check(math.MaxUint64); err != nil {
		return "", "", nil, fmt.Errorf("a record that nobody would read: %w", err)
	}
	rec = cmp.Or(r.Rec, rand.Text()[:wordBytes])
	act := func(what string) string { return fleet.ActSubject(leaf, what) }
	w := word{rec, r.Rolled}
	switch {
	case r.IsClaim:
		subject = fleet.StateSubject(r.Order.ID)
		if r.Act {
			subject = act(r.Order.ID)
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
	case r.Loss != nil:
		subject = act(actLoss)
		body, err = json.Marshal(struct {
			*fleet.Loss
			word
		}{r.Loss, w})
	}
	return subject, rec, body, err
}

// decode is the other way, of what stands at a sequence. What does not say clearly
// what it is, or what no shop could mean, is no record; it keeps the order whose
// subject it stands under.
func decode(subject string, seq uint64, body []byte) (fleet.Record, error) {
	var r fleet.Record
	t := strings.Split(subject, ".")
	if len(t) != 4 || t[0] != "coffee" || t[1] != "book" {
		return r, fmt.Errorf("subject %.80q is none of the book's", subject)
	}
	if _, r.Act = leafOf(t[2]); !r.Act && t[2] != "now" {
		return r, fmt.Errorf("subject %.80q is none of the book's", subject)
	}
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
	case r.Act && t[3] == actLoss:
		r.Loss = new(fleet.Loss)
		err = read(r.Loss)
	default:
		r.IsClaim = true
		if err = read(&r.Claim); err == nil && r.Order.ID != t[3] {
			err = fmt.Errorf("it stands under %.40q and is of order %.40q", t[3], r.Order.ID)
		}
	}
	if err == nil {
		err = r.Check(seq)
	}
	if err == nil && w.Rec == "" {
		err = errors.New("it has no word of its writer")
	}
	if err != nil {
		bad := fleet.Record{Act: r.Act, Unread: err.Error()}
		if id, no := fleet.ParseID(t[3]); no == nil && id == t[3] {
			bad.Order.ID = id
		}
		return bad, err
	}
	r.Rec = w.Rec
	if r.Act {
		r.Rolled = w.Rolled
	}
	return r, nil
}

// leafOf reads a leaf's number from its token.
func leafOf(token string) (uint64, bool) {
	digits, is := strings.CutPrefix(token, "new-")
	leaf, err := strconv.ParseUint(digits, 10, 64)
	return leaf, is && err == nil && digits == strconv.FormatUint(leaf, 10)
}

// record reads a stored message; err is nil only if it could be read.
func (b book) record(m message) (fleet.Record, error) {
	b.c.turn(m)
	r, err := decode(m.Subject, m.Seq, m.Data)
	r.Seq, r.Written = m.Seq, m.Time
	if err != nil {
		b.c.once(fmt.Sprint("record ", m.Seq), func() {
			b.c.log.Error("a record of the book can't be read and counts for nothing", "seq", m.Seq, "subject", m.Subject, "err", err)
		})
	}
	return r, err
}

// turn notes the leaf after the newest act that was seen, so that the next one need
// not ask.
func (c *Conn) turn(m message) {
	if leaf, err := leafBehind(m); err == nil {
		c.mu.Lock()
		if m.Seq >= c.turned.act {
			c.turned = turn{m.Seq, leaf}
		}
		c.mu.Unlock()
	}
}

// saidMost bounds the memory of what was said already.
const saidMost = 1000

// once says something of a thing, once.
func (c *Conn) once(what string, say func()) {
	c.mu.Lock()
	said := c.said[what]
	if !said && len(c.said) < saidMost {
		c.said[what] = true
	}
	c.mu.Unlock()
	if !said {
		say()
	}
}

func (b book) Read(ctx context.Context, order string) (fleet.Entry, error) {
	m, err := b.c.get(ctx, fleet.StreamBook, ask{Last: bothOf(order)})
	if errors.Is(err, fleet.ErrNotFound) {
		err = b.c.missing(ctx, fleet.StreamBook, bothOf(order))
	}
	damaged := fleet.Entry{Revision: fleet.Revision{Seq: m.Seq}}
	damaged.Order.ID = order
	if errors.Is(err, fleet.ErrDamaged) {
		return damaged, fmt.Errorf("order %s: %w", order, err)
	}
	if err != nil {
		return fleet.Entry{}, sure("order "+order, err)
	}
	r, err := b.record(m)
	if err != nil {
		return damaged, fmt.Errorf("order %s, record %d: %w: %w", order, m.Seq, fleet.ErrDamaged, err)
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
	end := uint64(math.MaxUint64)
	last, err := b.c.get(ctx, fleet.StreamBook, ask{Last: both}) // so that the end of the book is never searched for more
	if err == nil {
		end = last.Seq
	} else if errors.Is(err, fleet.ErrNotFound) {
		if err = b.c.missing(ctx, fleet.StreamBook, both); errors.Is(err, fleet.ErrDamaged) {
			err = nil
		}
	}
	var out []fleet.Entry
	for from := uint64(1); err == nil && from <= end; {
		var m message
		if m, err = b.c.get(ctx, fleet.StreamBook, ask{Seq: from, Next: both}); err == nil {
			if r, bad := b.record(m); bad == nil {
				out = append(out, r.Entry)
			}
			from = m.Seq + 1
		}
	}
	if err != nil && !errors.Is(err, fleet.ErrNotFound) { // no further one can be read
		return nil, unsure("the history of "+order, err)
	}
	return out, nil
}

func (b book) Act(ctx context.Context, r fleet.Record, last uint64) (fleet.Revision, error) {
	if isNew(r) {
		if err := b.roomForNew(ctx); err != nil {
			return fleet.Revision{}, err
		}
	}
	leaf, err := b.leafAfter(ctx, last)
	if err != nil {
		return fleet.Revision{}, err
	}
	compared := last
	if leaf == last {
		compared = 0 // nothing stands on the new leaf yet
	}
	r.Act = true
	rev, err := b.write(ctx, r, leaf, compared, fleet.ActSubject(leaf, ">"))
	if errors.Is(err, fleet.ErrConflict) && compared > 0 && b.unseen(ctx, leaf, last) {
		// The last act of the leaf can't be read, so the leader compares with nothing.
		return b.write(ctx, r, leaf, 0, fleet.ActSubject(leaf, ">"))
	}
	return rev, err
}

// unseen reports whether the acts of a leaf end, behind this one, with what can't be
// read: then no later one that can be was written. The compare with nothing keeps two
// writers apart all the same, because what is written now can be read.
func (b book) unseen(ctx context.Context, leaf, last uint64) bool {
	acts := fleet.ActSubject(leaf, ">")
	if _, err := b.c.get(ctx, fleet.StreamBook, ask{Last: acts}); !errors.Is(err, fleet.ErrNotFound) {
		return false
	}
	if !errors.Is(b.c.missing(ctx, fleet.StreamBook, acts), fleet.ErrDamaged) {
		return false
	}
	_, err := b.c.get(ctx, fleet.StreamBook, ask{Seq: last + 1, Next: acts})
	if !errors.Is(err, fleet.ErrNotFound) {
		return false
	}
	b.c.once(fmt.Sprint("leaf ", leaf), func() {
		b.c.log.Error("the last act of the book can't be read and counts for nothing; the next one is written behind it", "after", last)
	})
	return true
}

// isNew reports whether a record is of something new: an order, or an act of the
// stock. Every other one belongs to orders that are there.
func isNew(r fleet.Record) bool {
	return r.Stock != nil || r.IsClaim && r.Phase == fleet.Accepted && r.Epoch == 1
}

// roomForNew says ErrFull when only the reserve is left. The broker itself knows no
// reserve; so it is asked how full the book is, and what is written between two
// looks is little.
func (b book) roomForNew(ctx context.Context) error {
	r := b.c.state.bookRoom()
	if time.Since(r.at) > roomFor {
		info, err := b.info(ctx)
		if err != nil {
			return err
		}
		r = b.c.state.filled(info)
	}
	if r.most > 0 && r.full() {
		return fleet.ErrFull
	}
	return nil
}

// turn is what the book's leaf is after an act.
type turn struct{ act, leaf uint64 }

// leafAfter is the leaf that is written on after an act. The act itself says it: a
// balance turns the leaf, every other one stands on its own. So of two writers who
// know the same last act both mean the same leaf, and who does not know the balance
// that turned it finds the balance itself where he looks for his last act.
func (b book) leafAfter(ctx context.Context, act uint64) (uint64, error) {
	if act == 0 {
		return 0, nil
	}
	b.c.mu.Lock()
	known := b.c.turned
	b.c.mu.Unlock()
	if known.act == act {
		return known.leaf, nil
	}
	m, err := b.c.get(ctx, fleet.StreamBook, ask{Seq: act})
	if errors.Is(err, fleet.ErrNotFound) {
		turned, err := b.c.get(ctx, fleet.StreamBook, ask{Last: balances})
		if (err == nil && turned.Seq < act || errors.Is(err, fleet.ErrNotFound)) && b.unseen(ctx, turned.Seq, act) {
			return turned.Seq, nil
		}
		return 0, fleet.ErrConflict // rolled away by a later refusal: it is not the last
	}
	if err != nil {
		return 0, unsure("the book's leaf", err)
	}
	return leafBehind(m)
}

// leafBehind is the leaf that is written on after an act as it stands in the book.
func leafBehind(m message) (uint64, error) {
	t := strings.Split(m.Subject, ".")
	leaf, is := uint64(0), false
	if len(t) == 4 {
		leaf, is = leafOf(t[2])
	}
	switch {
	case !is:
		return 0, fleet.ErrConflict // a state: not the last act
	case t[3] == actBalance:
		return m.Seq, nil
	}
	return leaf, nil
}

// lastAct is the sequence of the last act, 0 where there is none.
func (b book) lastAct(ctx context.Context) (uint64, error) {
	turned, err := b.c.get(ctx, fleet.StreamBook, ask{Last: balances})
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return 0, unsure("the last act", err)
	}
	m, err := b.c.get(ctx, fleet.StreamBook, ask{Last: fleet.ActSubject(turned.Seq, ">")})
	if errors.Is(err, fleet.ErrNotFound) {
		return turned.Seq, nil
	}
	if err != nil {
		return 0, unsure("the last act", err)
	}
	return m.Seq, nil
}

func (b book) Next(ctx context.Context, read fleet.Revision, c fleet.Claim) (fleet.Entry, error) {
	e := fleet.Entry{Claim: c}
	rev, err := b.write(ctx, fleet.Record{Entry: e, IsClaim: true}, 0, read.Seq, bothOf(c.Order.ID))
	e.Revision = rev
	return e, err
}

// write stores a record if the last one of the subjects is what the writer
// thinks. It is sent once: a second try could find the first one's record and
// call it somebody else's.
func (b book) write(ctx context.Context, r fleet.Record, leaf, last uint64, among string) (fleet.Revision, error) {
	subject, rec, body, err := encode(r, leaf)
	if err != nil {
		return fleet.Revision{}, err
	}
	m := nats.NewMsg(subject)
	m.Data = body
	if r.Refusals != nil {
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	ack, err := b.c.js.PublishMsg(ctx, m, jetstream.WithExpectStream(fleet.StreamBook),
		jetstream.WithExpectLastSequenceForSubject(last, among), jetstream.WithRetryAttempts(0))
	switch {
	case err == nil:
		b.c.turn(message{Subject: subject, Seq: ack.Sequence})
		return fleet.Revision{Seq: ack.Sequence, Rec: rec}, nil
	case wrongSequence(err):
		return fleet.Revision{}, fleet.ErrConflict
	case full(err):
		return fleet.Revision{}, fleet.ErrFull
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
	m, err := b.c.get(ctx, fleet.StreamBook, ask{Last: balances})
	if err == nil {
		if r, bad := b.record(m); bad == nil {
			return r, nil
		}
	} else if !errors.Is(err, fleet.ErrNotFound) {
		return fleet.Record{}, unsure("the last balance", err)
	}
	return b.olderBalance(ctx)
}

// olderBalance is the newest balance that can be read, where the last can't be. From
// there it is only more to fold.
func (b book) olderBalance(ctx context.Context) (fleet.Record, error) {
	counted, err := b.c.counted(ctx, fleet.StreamBook, balances)
	if err != nil {
		return fleet.Record{}, unsure("the last balance", err)
	}
	if len(counted) == 0 {
		return fleet.Record{}, fleet.ErrNotFound
	}
	leaf := func(subject string) uint64 { n, _ := leafOf(strings.Split(subject, ".")[2]); return n }
	subjects := slices.SortedFunc(maps.Keys(counted), func(x, y string) int { return cmp.Compare(leaf(y), leaf(x)) })
	for i, subject := range subjects {
		m, err := b.c.get(ctx, fleet.StreamBook, ask{Last: subject})
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return fleet.Record{}, unsure("a balance", err)
		}
		if err == nil {
			if r, bad := b.record(m); bad == nil {
				b.c.once(fmt.Sprint("balance ", r.Seq), func() {
					b.c.log.Error("the last balance of the book can't be read; an older one is taken", "seq", r.Seq, "unread", i)
				})
				return r, nil
			}
		}
	}
	info, err := b.info(ctx)
	switch {
	case err != nil:
		return fleet.Record{}, err
	case info.State.FirstSeq <= 1: // nothing was removed yet: all of it can be folded
		return fleet.Record{}, fleet.ErrNotFound
	}
	return fleet.Record{}, fmt.Errorf("every balance of the book: %w", fleet.ErrDamaged)
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
	st, err := b.c.open(ctx, fleet.StreamBook)
	if err != nil {
		return nil, unsure("look at the book", err)
	}
	return st.CachedInfo(), nil
}

// BookMade is when the book's stream was made, by the broker's clock: another one
// has another book.
func (c *Conn) BookMade(ctx context.Context) (time.Time, error) {
	info, err := book{c}.info(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return info.Created, nil
}

func (b book) Trim(ctx context.Context, before uint64) error {
	st, err := b.c.open(ctx, fleet.StreamBook)
	if err == nil && before > 1 {
		err = st.Purge(ctx, jetstream.WithPurgeSequence(before))
	}
	if err != nil {
		return unsure(fmt.Sprint("trim the book before ", before), err)
	}
	return nil
}

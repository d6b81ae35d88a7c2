package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

type orders struct{ c *Conn }

var _ fleet.Orders = orders{}

// Orders is the writing end of the queue, for the controller alone.
func (c *Conn) Orders() fleet.Orders { return orders{c} }

// The headers of an order's message: what the book says of it, so that each of
// the two can make anew what the other lost.
const (
	headerOrder   = "Order-Id"
	headerSeq     = "Book-Seq"
	headerRec     = "Book-Rec"
	headerPortion = "Doses"
)

func (o orders) Publish(ctx context.Context, e fleet.Entry, messageID string) error {
	portion, err := json.Marshal(e.Portion)
	if err != nil {
		return err
	}
	m := nats.NewMsg(fleet.OrderSubject(e.Order.Class()))
	m.Data = e.Order.Encode()
	m.Header.Set(headerOrder, e.Order.ID)
	m.Header.Set(headerSeq, strconv.FormatUint(e.Seq, 10))
	m.Header.Set(headerRec, e.Rec)
	m.Header.Set(headerPortion, string(portion))
	_, err = o.c.js.PublishMsg(ctx, m, jetstream.WithMsgID(messageID), jetstream.WithExpectStream(fleet.StreamOrders), jetstream.WithRetryAttempts(0))
	switch code := apiCode(err); {
	case err == nil:
		return nil
	case full(err):
		return fleet.ErrFull
	case code == codeTooLarge:
		return fmt.Errorf("%w: the order is too large for the queue", fleet.ErrUnlisted)
	case errors.Is(err, jetstream.ErrNoStreamResponse) && o.unlisted(ctx, e.Order.Class()):
		return fleet.ErrUnlisted
	}
	return unsure("publish "+e.Order.ID, err)
}

// ofBook reads the headers back; what is absent or can't be read is zero.
func ofBook(h nats.Header) (portion fleet.Items, created fleet.Revision) {
	if json.Unmarshal([]byte(h.Get(headerPortion)), &portion) != nil {
		portion = nil
	}
	if portion.Check() != nil {
		portion = nil
	}
	seq, err := strconv.ParseUint(h.Get(headerSeq), 10, 64)
	if rec := h.Get(headerRec); err == nil && seq > 0 && rec != "" {
		created = fleet.Revision{Seq: seq, Rec: rec}
	}
	return portion, created
}

// unlisted makes sure that "no stream takes it" means the class, not the link.
func (o orders) unlisted(ctx context.Context, c fleet.Class) bool {
	st, err := o.c.open(ctx, fleet.StreamOrders)
	return err == nil && !slices.Contains(st.CachedInfo().Config.Subjects, fleet.OrderSubject(c))
}

func (o orders) Stored(ctx context.Context) ([]fleet.StoredOrder, error) {
	var out []fleet.StoredOrder
	err := o.c.each(ctx, fleet.StreamOrders, "coffee.orders.*.*", func(m message) {
		h := m.header()
		s := fleet.StoredOrder{MessageID: h.Get(jetstream.MsgIDHeader), Seq: m.Seq, Body: m.Data, Stored: m.Time}
		s.Class, _ = fleet.ClassOfSubject(m.Subject)
		s.Portion, _ = ofBook(h)
		if id, ours := fleet.OrderOfMessage(s.MessageID); ours {
			s.Order = id
		}
		out = append(out, s)
	})
	return out, err
}

func (o orders) Remove(ctx context.Context, seq uint64) error {
	st, err := o.c.open(ctx, fleet.StreamOrders)
	if err != nil {
		return unsure("remove an order", err)
	}
	if err := st.DeleteMsg(ctx, seq); err != nil {
		if _, gone := st.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
			return nil
		}
		return unsure("remove an order", err)
	}
	return nil
}

func (o orders) Waiting(ctx context.Context) (map[fleet.Class]int, error) {
	st, err := o.c.open(ctx, fleet.StreamOrders)
	if err != nil {
		return nil, unsure("the queue", err)
	}
	info, err := st.Info(ctx, jetstream.WithSubjectFilter("coffee.orders.*.*"))
	if err != nil {
		return nil, unsure("the queue", err)
	}
	out := map[fleet.Class]int{}
	for subject, n := range info.State.Subjects {
		if c, ok := fleet.ClassOfSubject(subject); ok {
			out[c] += int(n)
		}
	}
	return out, nil
}

func (o orders) Given(ctx context.Context) (map[fleet.Class]uint64, error) {
	st, err := o.c.open(ctx, fleet.StreamOrders)
	if err != nil {
		return nil, unsure("the queue", err)
	}
	out := map[fleet.Class]uint64{}
	list := st.ListConsumers(ctx)
	for info := range list.Info() {
		if c, ok := fleet.ClassOfSubject(info.Config.FilterSubject); ok {
			out[c] = info.Delivered.Stream
		}
	}
	if err := list.Err(); err != nil {
		return nil, unsure("the queue", err)
	}
	return out, nil
}

// IntakeWaiting is the number of foreign drops that nobody took yet.
func (c *Conn) IntakeWaiting(ctx context.Context) (int, error) {
	st, err := c.open(ctx, fleet.StreamIntake)
	if err != nil {
		return 0, unsure("the intake", err)
	}
	return int(st.CachedInfo().State.Msgs), nil
}

func (o orders) List(ctx context.Context, classes []fleet.Class) error {
	st, err := o.c.open(ctx, fleet.StreamOrders)
	if err != nil {
		return unsure("list classes", err)
	}
	waiting, err := o.Waiting(ctx)
	if err != nil {
		return err
	}
	cfg := st.CachedInfo().Config
	want := map[string]bool{}
	var subjects []string
	for _, c := range classes {
		s := fleet.OrderSubject(c)
		want[s] = true
		subjects = append(subjects, s)
	}
	var leave []fleet.Class
	for _, s := range cfg.Subjects {
		c, ok := fleet.ClassOfSubject(s)
		switch {
		case want[s]:
		case !ok || waiting[c] > 0:
			subjects = append(subjects, s) // a class leaves only when it is empty
		default:
			leave = append(leave, c)
		}
	}
	slices.Sort(subjects)
	if now := slices.Sorted(slices.Values(cfg.Subjects)); !slices.Equal(subjects, now) {
		cfg.Subjects = subjects
		if _, err := o.c.js.UpdateStream(ctx, cfg); err != nil {
			return unsure("list classes", err)
		}
	}
	for _, c := range leave {
		if err := st.DeleteConsumer(ctx, fleet.MakerDurable(c)); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return unsure("remove the queue of "+c.String(), err)
		}
	}
	for _, c := range classes {
		if err := o.c.durable(ctx, fleet.StreamOrders, fleet.MakerDurable(c), fleet.OrderSubject(c)); err != nil {
			return err
		}
	}
	return nil
}

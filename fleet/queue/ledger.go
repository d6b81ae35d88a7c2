package queue

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

const ledgerSubject = "coffee.ledger"

type ledger struct{ c *Conn }

var _ fleet.Ledger = ledger{}

// Ledger is the truth of the stock.
func (c *Conn) Ledger() fleet.Ledger { return ledger{c} }

func (l ledger) Append(ctx context.Context, e fleet.Entry, last uint64) (uint64, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	ack, err := l.c.js.Publish(ctx, ledgerSubject, b, jetstream.WithExpectLastSequence(last))
	switch {
	case err == nil:
		return ack.Sequence, nil
	case wrongSequence(err):
		return 0, fleet.ErrConflict
	}
	return 0, unsure("ledger", err)
}

// few is how many entries are read one by one; more are read as a stream.
const few = 16

func (l ledger) Read(ctx context.Context, after uint64, each func(uint64, fleet.Entry)) (uint64, error) {
	st, err := l.c.js.Stream(ctx, fleet.StreamLedger)
	if err != nil {
		return after, unsure("read the ledger", err)
	}
	last := st.CachedInfo().State.LastSeq
	// What can't be read is handed over empty: it books nothing, and must not
	// stop the stock for ever.
	take := func(seq uint64, data []byte) {
		var e fleet.Entry
		if err := json.Unmarshal(data, &e); err != nil {
			l.c.log.Error("a ledger entry can't be read and books nothing", "seq", seq, "err", err)
			e = fleet.Entry{}
		}
		each(seq, e)
	}
	if last <= after {
		return after, nil
	}
	if last-after <= few {
		for seq := after + 1; seq <= last; seq++ {
			m, err := st.GetMsg(ctx, seq)
			if err != nil {
				return seq - 1, unsure("read the ledger", err)
			}
			take(seq, m.Data)
		}
		return last, nil
	}
	cons, err := l.c.js.OrderedConsumer(ctx, fleet.StreamLedger, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
	})
	if err != nil {
		return after, unsure("read the ledger", err)
	}
	it, err := cons.Messages()
	if err != nil {
		return after, unsure("read the ledger", err)
	}
	defer it.Stop()
	stop := context.AfterFunc(ctx, it.Stop)
	defer stop()
	for after < last {
		m, err := it.Next()
		if err != nil {
			return after, unsure("read the ledger", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return after, unsure("read the ledger", err)
		}
		take(meta.Sequence.Stream, m.Data())
		after = meta.Sequence.Stream
	}
	return after, nil
}

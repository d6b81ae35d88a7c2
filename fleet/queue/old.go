package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
	"barista/fleet/queue/former"
)

// The streams of the layout before the book: a bucket of claims, and a ledger of
// the stock. They stay as they are until a person removes them.
const (
	oldClaims = "KV_coffee-claims"
	oldLedger = "coffee-ledger"
	oldValues = "KV_" + fleet.BucketValues // with a bound, so that no foreign program finds it as it makes it

	// keyCarried stands in the settings when all was carried over. It is never
	// removed: nothing is carried over twice.
	keyCarried = "carried-over"
	// oldKept is how long an id is remembered.
	oldKept = 30 * day
)

// Old is what a store of the former layout holds that is not carried over yet.
type Old struct {
	There  bool          // there is one
	Open   []string      // ids of orders that are not over
	OnHand fleet.Items   // by its ledger
	Ended  []fleet.Claim // of the last 30 days, as the book will hold them
}

// Old looks for the former layout and reads what must be carried over.
func (c *Conn) Old(ctx context.Context) (Old, error) {
	claims, err1 := c.exists(ctx, oldClaims)
	ledger, err2 := c.exists(ctx, oldLedger)
	if err := errors.Join(err1, err2); err != nil {
		return Old{}, err
	}
	if !claims && !ledger {
		return Old{}, nil
	}
	if done, err := c.carried(ctx); err != nil || done {
		return Old{}, err
	}
	o := Old{There: true, OnHand: fleet.Items{}}
	if claims {
		if err := c.readClaims(ctx, &o); err != nil {
			return Old{}, err
		}
	}
	if ledger {
		f := former.NewLedger(o.OnHand)
		err := fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
			return c.follow(ctx, oldLedger, 1, func(m message) { f.Take(m.Seq, m.Data) }, ready)
		})
		if err != nil {
			return Old{}, unsure("the former ledger", err)
		}
	}
	return o, nil
}

// ready says why it can't be carried over.
func (o Old) ready() error {
	if len(o.Open) == 0 {
		return nil
	}
	some := strings.Join(o.Open[:min(len(o.Open), 5)], " ")
	return fmt.Errorf("the store is of the former layout, and %d of its orders are not over (%s): nothing was changed; "+
		"start the former version of barista again, let it finish or cancel them (barista cancel ORDER), say of those in doubt what came of them "+
		"(barista settle ORDER), and start this version when barista orders shows none open", len(o.Open), some)
}

func (c *Conn) exists(ctx context.Context, stream string) (bool, error) {
	_, err := c.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	if err != nil {
		return false, said("look at "+stream, err)
	}
	return true, nil
}

// carried reports whether all was carried over. The book shows it too, should the
// settings be lost: the roles start after it, so whatever stands beside the ended
// orders was written at its end or later.
func (c *Conn) carried(ctx context.Context) (bool, error) {
	_, err := c.Settings().Get(ctx, keyCarried)
	if !errors.Is(err, fleet.ErrNotFound) && !errors.Is(err, fleet.ErrDamaged) && !errors.Is(err, jetstream.ErrBucketNotFound) {
		return err == nil, err
	}
	if there, err := c.exists(ctx, fleet.StreamBook); err != nil || !there {
		return false, err
	}
	for from := uint64(1); ; {
		m, err := c.get(ctx, fleet.StreamBook, ask{Seq: from, Next: wholeBook})
		if errors.Is(err, fleet.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, unsure("look at the book", err)
		}
		if r, bad := (book{c}).record(m); bad == nil && r.Via != fleet.ViaOld {
			return true, nil
		}
		from = m.Seq + 1
	}
}

// readClaims lists the orders of the former bucket.
func (c *Conn) readClaims(ctx context.Context, o *Old) error {
	since := time.Now().Add(-oldKept)
	err := fleet.UntilReady(ctx, func(ctx context.Context, ready func()) error {
		return c.follow(ctx, oldClaims, 1, func(m message) {
			if len(m.Data) == 0 {
				return // removed
			}
			claim, err := former.Claim(m.Data)
			if err == nil && claim.Phase != former.Refused {
				if err = claim.Check(); err == nil && m.Subject != "$KV.coffee-claims."+claim.Order.ID {
					err = fmt.Errorf("it stands under %.80q and is of order %.40q", m.Subject, claim.Order.ID)
				}
			}
			switch {
			case err != nil:
				c.log.Error("a record of the former layout can't be read and is left behind", "subject", m.Subject, "err", err)
			case claim.Phase == former.Refused:
			case claim.Phase.Open() || claim.Phase == fleet.Unknown:
				o.Open = append(o.Open, claim.Order.ID)
			case claim.Phase.Ended() && m.Time.After(since):
				o.Ended = append(o.Ended, claim)
			}
		}, ready)
	})
	if err != nil {
		return unsure("the former claims", err)
	}
	return nil
}

// makeRoom lets the former streams hold what they hold and no more, so that the
// book finds its room.
func (c *Conn) makeRoom(ctx context.Context) error {
	for _, name := range []string{oldClaims, oldLedger, oldValues} {
		st, err := c.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return unsure("look at "+name, err)
		}
		cfg := st.CachedInfo().Config
		if cfg.MaxBytes = -1; name != oldValues {
			cfg.MaxBytes = max(1, int64(st.CachedInfo().State.Bytes))
		}
		if _, err := c.js.UpdateStream(ctx, cfg); err != nil {
			return said("make room", err)
		}
	}
	return nil
}

// carryOver writes into the book what the former layout held, once: each ended
// order of the last 30 days, then the stock, then the word that it is done. Broken
// off, it goes on at the next start; the roles start after it.
func (c *Conn) carryOver(ctx context.Context, o Old) error {
	if !o.There {
		return nil
	}
	c.log.Info("the former layout is carried over; its events stay, and each new one costs a sync, until it is removed (barista broker forget-old)",
		"orders", len(o.Ended), "items", len(o.OnHand))
	b := book{c}
	for _, claim := range o.Ended {
		r := fleet.Record{Entry: fleet.Entry{Claim: claim}, IsClaim: true}
		err := b.carry(ctx, r, func() (bool, error) {
			_, err := b.Read(ctx, claim.Order.ID)
			return err == nil, err
		})
		if err != nil {
			return fmt.Errorf("carry over the order %s: %w; start again", claim.Order.ID, err)
		}
	}
	stock := &fleet.StockAct{Act: fleet.Count, Items: o.OnHand, By: "barista", Note: "carried over from the former layout", Key: keyCarried, At: time.Now().UTC()}
	err := b.carry(ctx, fleet.Record{Stock: stock}, func() (bool, error) {
		m, err := c.get(ctx, fleet.StreamBook, ask{Last: fleet.Subject("coffee", "book", "*", actStock)})
		if err != nil {
			return false, err
		}
		r, err := b.record(m)
		return err == nil && r.Stock.Key == keyCarried, err
	})
	if err != nil {
		return fmt.Errorf("carry over the stock: %w; start again", err)
	}
	return c.Settings().Put(ctx, keyCarried, []byte(time.Now().UTC().Format(time.RFC3339)))
}

// carry writes an act unless it is there.
func (b book) carry(ctx context.Context, r fleet.Record, there func() (bool, error)) error {
	for {
		last, err := b.lastAct(ctx)
		if err != nil {
			return err
		}
		if done, err := there(); done || err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		if _, err = b.Act(ctx, r, last); !errors.Is(err, fleet.ErrConflict) {
			return err
		}
	}
}

// Forget removes the former layout for good, after it was carried over: claims,
// ledger, and its stream of events, which can't be changed into the present kind;
// that one is made anew and told from the book.
func (c *Conn) Forget(ctx context.Context) error {
	if o, err := c.Old(ctx); err != nil {
		return err
	} else if o.There {
		return errors.New("the former layout was not carried over yet: start the shop once with this version, then forget it")
	}
	if err := c.replicate(ctx); err != nil {
		return err
	}
	gone := []string{oldClaims, oldLedger}
	if st, err := c.js.Stream(ctx, fleet.StreamEvents); err == nil && st.CachedInfo().Config.PersistMode != jetstream.AsyncPersistMode && !c.state.clustered() {
		gone = append(gone, fleet.StreamEvents)
	}
	for _, name := range gone {
		if err := c.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return unsure("remove "+name, err)
		}
	}
	i := slices.IndexFunc(c.streams(nil), func(s jetstream.StreamConfig) bool { return s.Name == fleet.StreamEvents })
	return c.stream(ctx, c.streams(nil)[i], true)
}

package queue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

type claims struct{ c *Conn }

var _ fleet.Claims = claims{}

// Claims is the store of claims. It reads from the leader only: the bucket has
// direct reads off, so that "not found" is certain.
func (c *Conn) Claims() fleet.Claims { return claims{c} }

func (s claims) Create(ctx context.Context, c fleet.Claim) (fleet.ClaimEntry, error) {
	return s.put(ctx, c, 0)
}

func (s claims) Update(ctx context.Context, read fleet.ClaimEntry, c fleet.Claim) (fleet.ClaimEntry, error) {
	return s.put(ctx, c, read.Revision)
}

// put writes where the last revision of the key is rev; 0: where there is none.
func (s claims) put(ctx context.Context, c fleet.Claim, rev uint64) (fleet.ClaimEntry, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return fleet.ClaimEntry{}, err
	}
	ack, err := s.c.js.Publish(ctx, "$KV."+fleet.BucketClaims+"."+c.Order.ID, b, jetstream.WithExpectLastSequencePerSubject(rev))
	switch {
	case err == nil:
		return fleet.ClaimEntry{Claim: c, Revision: ack.Sequence}, nil
	case wrongSequence(err) && rev == 0:
		return fleet.ClaimEntry{}, fleet.ErrExists
	case wrongSequence(err):
		return fleet.ClaimEntry{}, fleet.ErrConflict
	}
	return fleet.ClaimEntry{}, unsure("claim of "+c.Order.ID, err)
}

func (s claims) Get(ctx context.Context, order string) (fleet.ClaimEntry, error) {
	kv, err := s.c.bucket(ctx, fleet.BucketClaims)
	if err != nil {
		return fleet.ClaimEntry{}, err
	}
	e, err := kv.Get(ctx, order)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return fleet.ClaimEntry{}, fleet.ErrNotFound
	}
	if err != nil {
		return fleet.ClaimEntry{}, unsure("claim of "+order, err)
	}
	return entry(e)
}

func entry(e jetstream.KeyValueEntry) (fleet.ClaimEntry, error) {
	out := fleet.ClaimEntry{Revision: e.Revision(), Created: e.Created()}
	if err := json.Unmarshal(e.Value(), &out.Claim); err != nil {
		return out, unsure("claim of "+e.Key()+" can't be read", err)
	}
	return out, nil
}

func (s claims) Watch(ctx context.Context, each func(fleet.ClaimEntry), ready func()) error {
	return s.c.watch(ctx, fleet.BucketClaims, func(e jetstream.KeyValueEntry) {
		if e.Operation() != jetstream.KeyValuePut {
			return
		}
		ce, err := entry(e)
		if err != nil {
			s.c.log.Error("a claim can't be read", "key", e.Key(), "err", err)
			return
		}
		each(ce)
	}, ready)
}

func (s claims) Now(ctx context.Context) (time.Time, error) {
	st, err := s.c.js.Stream(ctx, "KV_"+fleet.BucketClaims)
	if err != nil {
		return time.Time{}, unsure("the broker's clock", err)
	}
	return st.CachedInfo().TimeStamp, nil
}

func (s claims) Purge(ctx context.Context, order string) error {
	return s.c.inBucket(ctx, fleet.BucketClaims, "purge the claim of "+order, func(kv jetstream.KeyValue) error { return kv.Purge(ctx, order) })
}

// watch follows a bucket until ctx ends; a broken watch is begun anew, and what
// is there then is handed over again.
func (c *Conn) watch(ctx context.Context, bucket string, each func(jetstream.KeyValueEntry), ready func()) error {
	said := false
	fleet.Keep(ctx, c.log, bucket, func() error {
		return c.watchOnce(ctx, bucket, each, func() {
			if !said && ready != nil {
				said = true
				ready()
			}
		})
	})
	return ctx.Err()
}

func (c *Conn) watchOnce(ctx context.Context, bucket string, each func(jetstream.KeyValueEntry), ready func()) error {
	kv, err := c.bucket(ctx, bucket)
	if err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("the watch ended")
			case e == nil:
				ready()
			default:
				each(e)
			}
		}
	}
}

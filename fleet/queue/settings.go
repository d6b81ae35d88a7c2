package queue

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

type settings struct{ c *Conn }

var _ fleet.Settings = settings{}

// Settings is the operating state of the fleet.
func (c *Conn) Settings() fleet.Settings { return settings{c} }

func (s settings) Get(ctx context.Context, key string) ([]byte, error) {
	kv, err := s.c.bucket(ctx, fleet.BucketSettings)
	if err != nil {
		return nil, err
	}
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fleet.ErrNotFound
	}
	if err != nil {
		return nil, unsure("setting "+key, err)
	}
	return e.Value(), nil
}

func (s settings) Put(ctx context.Context, key string, value []byte) error {
	return s.c.putKey(ctx, fleet.BucketSettings, key, value)
}

func (c *Conn) putKey(ctx context.Context, bucket, key string, value []byte) error {
	return c.inBucket(ctx, bucket, bucket+" "+key, func(kv jetstream.KeyValue) error {
		_, err := kv.Put(ctx, key, value)
		return err
	})
}

func (s settings) Delete(ctx context.Context, key string) error {
	return s.c.inBucket(ctx, fleet.BucketSettings, "setting "+key, func(kv jetstream.KeyValue) error { return kv.Delete(ctx, key) })
}

func (s settings) Watch(ctx context.Context, each func(string, []byte), ready func()) error {
	return s.c.watch(ctx, fleet.BucketSettings, func(e jetstream.KeyValueEntry) {
		if e.Operation() == jetstream.KeyValuePut {
			each(e.Key(), e.Value())
		} else {
			each(e.Key(), nil)
		}
	}, ready)
}

// Snapshot puts the stock's snapshot, for readers only.
func (c *Conn) Snapshot(ctx context.Context, b []byte) error {
	return c.putKey(ctx, fleet.BucketStock, "levels", b)
}

// Pending puts the number of waiting orders where the public article's programs
// look for it. One writer: the controller.
func (c *Conn) Pending(ctx context.Context, n int) error {
	return c.putKey(ctx, fleet.BucketValues, fleet.KeyPending, []byte(strconv.Itoa(n)))
}

// watch follows a bucket until ctx ends; a broken watch is begun anew, and what
// is there then is handed over again.
func (c *Conn) watch(ctx context.Context, bucket string, each func(jetstream.KeyValueEntry), ready func()) error {
	if ready == nil {
		ready = func() {}
	}
	ready = sync.OnceFunc(ready)
	fleet.Keep(ctx, c.log, bucket, func() error { return c.watchOnce(ctx, bucket, each, ready) })
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

type presences struct{ c *Conn }

var _ fleet.Fleet = presences{}

// Fleet is who is here.
func (c *Conn) Fleet() fleet.Fleet { return presences{c} }

func (p presences) Announce(ctx context.Context, w fleet.Presence) error {
	b, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return p.c.putKey(ctx, fleet.BucketMachines, fleet.Subject(w.Machine), b)
}

func (p presences) Leave(ctx context.Context, machine string) error {
	return p.c.inBucket(ctx, fleet.BucketMachines, "presence of "+machine, func(kv jetstream.KeyValue) error { return kv.Delete(ctx, fleet.Subject(machine)) })
}

func (p presences) Present(ctx context.Context) ([]fleet.Presence, error) {
	kv, err := p.c.bucket(ctx, fleet.BucketMachines)
	if err != nil {
		return nil, err
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, unsure("who is here", err)
	}
	defer w.Stop()
	var out []fleet.Presence
	for {
		select {
		case <-ctx.Done():
			return nil, unsure("who is here", ctx.Err())
		case e, ok := <-w.Updates():
			if !ok || e == nil {
				return out, nil
			}
			var one fleet.Presence
			if json.Unmarshal(e.Value(), &one) == nil && one.Machine == e.Key() {
				one.Said = e.Revision()
				out = append(out, one)
			}
		}
	}
}

func (p presences) Watch(ctx context.Context, each func(fleet.Presence, bool), ready func()) error {
	return p.c.watch(ctx, fleet.BucketMachines, func(e jetstream.KeyValueEntry) {
		var one fleet.Presence
		switch op := e.Operation(); {
		case op == jetstream.KeyValueDelete: // it left; a purge is the broker's, by its clock
			each(fleet.Presence{Machine: e.Key()}, false)
		case op == jetstream.KeyValuePut && json.Unmarshal(e.Value(), &one) == nil && one.Machine == e.Key():
			one.Said = e.Revision()
			each(one, true)
		}
	}, ready)
}

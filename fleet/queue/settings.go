package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

type settings struct{ c *Conn }

var _ fleet.Settings = settings{}

// Settings is the operating state of the fleet.
func (c *Conn) Settings() fleet.Settings { return settings{c} }

// Get asks the leader: a client's own read takes what is damaged for what was never set.
func (s settings) Get(ctx context.Context, key string) ([]byte, error) {
	if _, err := s.c.bucket(ctx, fleet.BucketSettings); err != nil {
		return nil, err
	}
	subject := settingsPrefix + key
	m, err := s.c.get(ctx, settingsStream, ask{Last: subject})
	if errors.Is(err, fleet.ErrNotFound) {
		err = s.c.missing(ctx, settingsStream, subject)
	}
	switch {
	case errors.Is(err, fleet.ErrDamaged):
		return nil, fmt.Errorf("setting %s: %w: set it anew", key, err)
	case err != nil:
		return nil, sure("setting "+key, err)
	}
	if _, one, _ := setting(m); one.Value != nil {
		return one.Value, nil
	}
	return nil, fleet.ErrNotFound
}

// Put sets a key. What can't be read of it takes no other value, because the store
// would have to remove it first; that is done here.
func (s settings) Put(ctx context.Context, key string, value []byte) error {
	if err := s.clear(ctx, key); err != nil {
		return err
	}
	return s.c.putKey(ctx, fleet.BucketSettings, key, value)
}

// clear removes what stands under a key and can't be read. The store can't remove one
// message that it can't read, but all of them: the others are set anew, unless
// somebody has set them meanwhile. What a crash in between takes, the copy that is kept
// beside the store brings back.
func (s settings) clear(ctx context.Context, key string) error {
	subject := settingsPrefix + key
	_, err := s.c.get(ctx, settingsStream, ask{Last: subject})
	if !errors.Is(err, fleet.ErrNotFound) {
		return nil // whatever it is, the write will show it
	}
	if err := s.c.missing(ctx, settingsStream, subject); !errors.Is(err, fleet.ErrDamaged) {
		if errors.Is(err, fleet.ErrNotFound) {
			return nil
		}
		return err
	}
	s.c.log.Error("a setting is damaged; all of them are written anew", "key", key)
	others := map[string]fleet.Setting{}
	for tries := 0; ; tries++ {
		_, upto, err := s.all(ctx, func(key string, one fleet.Setting) { others[key] = one })
		if err != nil {
			return err
		}
		st, err := s.c.open(ctx, settingsStream)
		if err == nil {
			err = st.Purge(ctx, jetstream.WithPurgeSequence(upto+1))
		}
		if err != nil {
			return unsure("remove the damaged setting "+key, err)
		}
		// It goes only with the last message: what was written behind it meanwhile is
		// taken along the next time.
		err = s.c.missing(ctx, settingsStream, subject)
		if errors.Is(err, fleet.ErrNotFound) {
			break
		}
		if !errors.Is(err, fleet.ErrDamaged) || tries > seenTries {
			return unsure("remove the damaged setting "+key, err)
		}
	}
	for _, other := range slices.Sorted(maps.Keys(others)) {
		v := others[other].Value
		if v == nil {
			continue
		}
		err := s.c.inBucket(ctx, fleet.BucketSettings, "setting "+other, func(kv jetstream.KeyValue) error {
			_, err := kv.Update(ctx, other, v, 0) // not Create, which writes over a removal
			if wrongSequence(err) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) putKey(ctx context.Context, bucket, key string, value []byte) error {
	return c.inBucket(ctx, bucket, bucket+" "+key, func(kv jetstream.KeyValue) error {
		_, err := kv.Put(ctx, key, value)
		return err
	})
}

func (s settings) Delete(ctx context.Context, key string) error {
	if err := s.clear(ctx, key); err != nil {
		return err
	}
	return s.c.inBucket(ctx, fleet.BucketSettings, "setting "+key, func(kv jetstream.KeyValue) error { return kv.Delete(ctx, key) })
}

// Watch asks for each key by itself and then follows: of a message that can't be read
// a watch of the client waits for ever, and with it for every key behind it.
func (s settings) Watch(ctx context.Context, each func(string, []byte), ready func()) error {
	if ready == nil {
		ready = func() {}
	}
	ready = sync.OnceFunc(ready)
	s.c.keep(ctx, fleet.BucketSettings, func(back <-chan struct{}) error {
		ctx, stop := context.WithCancel(ctx)
		var other sync.WaitGroup
		defer other.Wait()
		defer stop()
		store, upto, err := s.all(ctx, func(key string, one fleet.Setting) { each(key, one.Value) })
		if err != nil {
			return err
		}
		ready()
		other.Go(func() {
			defer stop()
			for fleet.Pause(ctx, lookAgain/2) {
				if st, err := s.c.open(ctx, settingsStream); err == nil && made(st) != store {
					return // it was made anew, and numbers its messages anew
				}
			}
		})
		from := upto + 1
		return s.c.followOnce(ctx, settingsStream, &from, func(m message) {
			if key, one, is := setting(m); is {
				each(key, one.Value)
			}
		}, func() {}, back)
	})
	return ctx.Err()
}

const (
	settingsStream = "KV_" + fleet.BucketSettings
	settingsPrefix = "$KV." + fleet.BucketSettings + "."
)

// made says which store a stream is of.
func made(st jetstream.Stream) string { return st.CachedInfo().Created.Format(time.RFC3339Nano) }

// all hands over every key as it stands, which store that is of, and how far it goes.
func (s settings) all(ctx context.Context, each func(key string, one fleet.Setting)) (store string, upto uint64, err error) {
	st, err := s.c.open(ctx, settingsStream)
	if err != nil {
		return "", 0, unsure("the settings", err)
	}
	store, upto = made(st), st.CachedInfo().State.LastSeq
	counted, err := s.c.counted(ctx, settingsStream, settingsPrefix+">")
	if err != nil {
		return "", 0, unsure("the settings", err)
	}
	for _, subject := range slices.Sorted(maps.Keys(counted)) {
		m, err := s.c.get(ctx, settingsStream, ask{Last: subject})
		if errors.Is(err, fleet.ErrNotFound) {
			s.c.once(subject, func() {
				s.c.log.Error("a setting is damaged and can't be read", "key", strings.TrimPrefix(subject, settingsPrefix))
			})
			continue
		}
		if err != nil {
			return "", 0, unsure("the settings", err)
		}
		if key, one, is := setting(m); is {
			each(key, one)
		}
	}
	return store, upto, nil
}

// setting reads a message of the settings; without a value it says that the key was
// deleted.
func setting(m message) (key string, one fleet.Setting, is bool) {
	key, is = strings.CutPrefix(m.Subject, settingsPrefix)
	one.Rev = m.Seq
	if op := m.header().Get("KV-Operation"); op == "" {
		one.Value = append([]byte{}, m.Data...)
	}
	return key, one, is
}

// AllSettings are the keys as the store has them, deleted ones too, and which store
// it is: one that was made anew numbers its messages anew.
func (c *Conn) AllSettings(ctx context.Context) (all map[string]fleet.Setting, store string, err error) {
	all = map[string]fleet.Setting{}
	store, _, err = settings{c}.all(ctx, func(key string, one fleet.Setting) { all[key] = one })
	return all, store, err
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
	m, err := p.message(w)
	if err != nil {
		return err
	}
	return p.c.inBucket(ctx, fleet.BucketMachines, "presence of "+w.Machine, func(jetstream.KeyValue) error {
		_, err := p.c.js.PublishMsg(ctx, m)
		return err
	})
}

// Again compares by the broker and waits for no answer: what comes of it is seen by
// whoever follows the words.
func (p presences) Again(ctx context.Context, words []fleet.Presence) error {
	for _, w := range words {
		m, err := p.message(w)
		if err != nil {
			return err
		}
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(w.Said, 10))
		if err := p.c.nc.PublishMsg(m); err != nil {
			return unsure("who is here", err)
		}
	}
	return nil
}

// message is a word as the bucket has it. The client's Put knows no time that a value
// counts.
func (p presences) message(w fleet.Presence) (*nats.Msg, error) {
	m := nats.NewMsg("$KV." + fleet.BucketMachines + "." + fleet.Subject(w.Machine))
	if p.c.cfg.Domain != "" {
		m.Subject = p.c.api(m.Subject)
	}
	m.Header.Set(jetstream.MsgTTLHeader, w.Counts().String())
	var err error
	m.Data, err = json.Marshal(w)
	return m, err
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
			if one, ok := p.read(e); ok {
				out = append(out, one)
			}
		}
	}
}

func (p presences) Watch(ctx context.Context, each func(fleet.Presence, bool), ready func()) error {
	// Most words are the machine's last one, said again: what it says is known.
	type word struct {
		value []byte
		says  fleet.Presence
	}
	last := map[string]word{}
	return p.c.watch(ctx, fleet.BucketMachines, func(e jetstream.KeyValueEntry) {
		w, again := last[e.Key()]
		delete(last, e.Key())
		if op := e.Operation(); op == jetstream.KeyValueDelete { // it left; a purge is the broker's, by its clock
			each(fleet.Presence{Machine: e.Key()}, false)
			return
		} else if op != jetstream.KeyValuePut {
			return
		} else if !again || !bytes.Equal(w.value, e.Value()) {
			says, ok := p.read(e)
			if !ok {
				return
			}
			w = word{e.Value(), says}
		}
		w.says.Said = e.Revision()
		last[e.Key()] = w
		each(w.says, true)
	}, ready)
}

// read is what a machine said of itself, if it can have said that. What it can't is
// said once, however often it is repeated.
func (p presences) read(e jetstream.KeyValueEntry) (one fleet.Presence, ok bool) {
	err := json.Unmarshal(e.Value(), &one)
	if err == nil {
		err = one.Check()
	}
	if err == nil && one.Machine != e.Key() {
		err = fmt.Errorf("it is of machine %.40q", one.Machine)
	}
	if err != nil {
		p.c.once("presence of "+e.Key(), func() {
			p.c.log.Error("what a machine says of itself can't be read and counts for nothing", "machine", e.Key(), "err", err)
		})
	}
	one.Said = e.Revision()
	return one, err == nil
}

package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// Provided is a stream of the shop, or a queue of one, as Provide has left it. A bucket is
// a stream.
type Provided struct {
	Name    string   // of the stream; of a queue, the stream's, a slash and its own
	Made    bool     // it was not there; or, of a queue, it was made anew
	Changes []Change // of a stream that was there
	// Replicas is how many servers keep it, and Wanted how many were to: fewer where some
	// are away or have no room. 0 for a queue, which is where its stream is.
	Replicas, Wanted int
}

// Change is a figure of a stream that was there, before and after.
type Change struct {
	Figure string `json:"figure"` // by the broker's name
	Was    string `json:"was"`
	Is     string `json:"is"`
}

// Provide does what Setup does, for a person who wants to know what was done: all of the
// streams, with their buckets, then their queues, in the order of their names. Errors:
// those of Setup.
func (c *Conn) Provide(ctx context.Context, def fleet.Menu) (out []Provided, err error) {
	ctx, ended := c.refusedAs(ctx)
	var before, after map[string]found
	err = c.patiently(ctx, func() (err error) {
		if err = c.usable(ctx); err == nil {
			before, err = c.there(ctx)
		}
		return err
	})
	if err == nil {
		err = c.patiently(ctx, func() (err error) { _, err = c.setup(ctx, def); return err })
	}
	if err == nil {
		err = c.patiently(ctx, func() (err error) { after, err = c.there(ctx); return err })
	}
	if err = ended(err); err != nil {
		return nil, err
	}
	for name, now := range after {
		was, is := before[name]
		p := Provided{Name: name, Made: !is || now.queue && !now.made.Equal(was.made)}
		if !now.queue {
			p.Replicas, p.Wanted = max(1, now.cfg.Replicas), c.state.copies()
			if alone(now.cfg) || name == oldValues {
				p.Wanted = p.Replicas
			}
		}
		if is && !now.queue {
			for _, d := range differences(now.cfg, was.cfg, slices.Concat(sizes, figures)...) {
				p.Changes = append(p.Changes, Change{d.name, d.is, d.wanted})
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, byKindAndName)
	return out, nil
}

// byKindAndName has the streams first.
func byKindAndName(a, b Provided) int {
	if q := (a.Wanted == 0); q != (b.Wanted == 0) {
		if q {
			return 1
		}
		return -1
	}
	if a.Name < b.Name {
		return -1
	}
	return 1
}

// found is a stream, or a queue, as the broker has it.
type found struct {
	queue bool
	made  time.Time
	cfg   jetstream.StreamConfig // of a stream
}

// there is what the broker has of the shop's.
func (c *Conn) there(ctx context.Context) (map[string]found, error) {
	out := map[string]found{}
	names := []string{oldValues}
	for _, s := range c.streams(nil) {
		names = append(names, s.Name)
	}
	for _, name := range names {
		st, err := c.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, said("look at "+name, err)
		}
		info := st.CachedInfo()
		out[name] = found{made: info.Created, cfg: info.Config}
		if name != fleet.StreamOrders && name != fleet.StreamIntake {
			continue // what reads the others comes and goes
		}
		list := st.ListConsumers(ctx)
		for q := range list.Info() {
			out[name+"/"+q.Name] = found{queue: true, made: q.Created}
		}
		if err := list.Err(); err != nil {
			return nil, said("look at the queues of "+name, err)
		}
	}
	return out, nil
}

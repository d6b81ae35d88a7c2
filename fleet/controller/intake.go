package controller

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/text/unicode/norm"

	"barista/fleet"
)

const (
	// dropAgain is when a drop comes back that found the queue full or the
	// outcome in doubt.
	dropAgain = 5 * time.Second
	// maxPayload is how much of a message that is no order is kept, in bytes.
	maxPayload = 4 << 10
)

// runIntake takes what foreign programs dropped, one at a time.
func (c *Controller) runIntake(ctx context.Context) {
	for {
		d, err := c.p.Intake.NextDrop(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.log.Warn("no drop could be taken; trying again", "err", err)
			if !fleet.Pause(ctx, time.Second) {
				return
			}
			continue
		}
		c.moved.raise()
		// A drop in hand is finished even when the shop closes: a few seconds.
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		if err := c.takeDrop(work, d); err != nil && ctx.Err() == nil {
			c.log.Warn("a drop was not settled; it comes again", "seq", d.Seq, "err", err)
		}
		cancel()
	}
}

// takeDrop passes a drop on as an order, and settles it only then. A crash in
// between repeats the same id, so the order is found to be there.
func (c *Controller) takeDrop(ctx context.Context, d *fleet.Drop) error {
	if err := d.Beat(); err != nil {
		return err
	}
	o, err := fleet.DecodeOrder(d.Body, norm.NFC.String)
	if err != nil {
		return c.poison(ctx, d, err.Error())
	}
	if fleet.Lower(d.Bean) != o.Bean {
		return c.poison(ctx, d, fmt.Sprintf("bean_type: the message says %s, its subject another bean", o.Bean))
	}
	o.ID = dropID(d)
	switch a := c.place(ctx, o, viaIntake); {
	case a.OK():
		return d.Done(ctx)
	case a.Code == fleet.CodeQueueFull && c.tooOld(d):
		return c.poison(ctx, d, a.Code+": it waited longer than "+c.cfg.ExpireAfter.String())
	case a.Code == fleet.CodeUnavailable, a.Code == fleet.CodeQueueFull:
		return d.Return(ctx, dropAgain)
	case a.Code == fleet.CodeConflict: // the stream's numbers began anew
		return c.poison(ctx, d, a.Message)
	default: // refused: the book and the event say so
		return d.Terminate(ctx, a.Code+": "+a.Message, true)
	}
}

// tooOld reports whether a drop came back for as long as an order may wait, as far as
// this controller saw it. runIntake's own.
func (c *Controller) tooOld(d *fleet.Drop) bool {
	since, known := c.drops[d.Seq]
	if !known {
		since = time.Now()
		if c.drops == nil {
			c.drops = map[uint64]time.Time{}
		}
		maps.DeleteFunc(c.drops, func(_ uint64, at time.Time) bool { return time.Since(at) > 2*c.cfg.ExpireAfter })
		c.drops[d.Seq] = since
	}
	return time.Since(since) > c.cfg.ExpireAfter
}

// poison keeps a message that can't be an order as an event, and removes it
// then. Text of the message stays data: it becomes no part of the subject.
func (c *Controller) poison(ctx context.Context, d *fleet.Drop, reason string) error {
	err := c.p.Events.Publish(ctx, fleet.Event{
		Order: fleet.PoisonID(fleet.StreamIntake, d.Seq), Kind: fleet.EvRefused, At: c.p.Wall(),
		Reason: fleet.Reason{Code: fleet.CodeInvalid, Quote: reason, Text: fleet.CodeInvalid + ": " + reason}, Subject: clip(d.Subject, 256), Payload: d.Body[:min(len(d.Body), maxPayload)],
	}, 0)
	if err != nil {
		return d.Return(ctx, dropAgain)
	}
	return d.Terminate(ctx, reason, false)
}

// dropID makes the order's id from the drop alone: the time is the stream's
// timestamp, the rest a hash of when the stream was made and of the sequence.
// An id that the body names does not count, so that nobody takes another's.
func dropID(d *fleet.Drop) string {
	var seed [16]byte
	binary.BigEndian.PutUint64(seed[:8], uint64(d.Created.UnixNano()))
	binary.BigEndian.PutUint64(seed[8:], d.Seq)
	sum := sha256.Sum256(seed[:])
	var id ulid.ULID
	ms := uint64(max(0, d.Stored.UnixMilli()))
	_ = id.SetTime(min(ms, ulid.MaxTime())) // never beyond
	_ = id.SetEntropy(sum[:10])             // always ten bytes
	return id.String()
}

// clip bounds a text in bytes and keeps it valid.
func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

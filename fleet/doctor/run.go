package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/fleet"
	"barista/fleet/words"
)

const (
	// every is how often a service looks.
	every = time.Hour
	// sooner is the pause after a look that failed, or that found what passes by itself.
	sooner = time.Minute
	// unasked is after which the settings are looked at although nothing of them was
	// heard: a store that lost all of them says nothing.
	unasked = 30 * time.Second
	// settled is how long a change of the settings is waited on for the next one.
	settled = 500 * time.Millisecond
	// within bounds a look.
	within = 5 * time.Minute
)

// Config is what a service's doctor works with beside what it reads.
type Config struct {
	Copy   string                                      // file of the copy of the settings, outside of the store
	Keys   fleet.Settings                              // to put back into, and to hear of changes
	Remove func(ctx context.Context, seq uint64) error // takes a message out of the queue
	Server fleet.Server
	Log    *slog.Logger // nil: none
}

// Doctor looks for a service. See New.
type Doctor struct {
	p   Parts
	cfg Config
	log *slog.Logger

	copying sync.Mutex // one at a time compares with the copy and writes it
	store   string     // which one this service has used; under copying

	again chan struct{} // a look is wanted; holds at most one token

	mu       sync.Mutex      // guards what follows
	records  []fleet.Finding // in book, queue and events: found at the last look
	settings []fleet.Finding // found whenever one changed
}

// New makes a doctor that does nothing until Mend or Run.
func New(p Parts, cfg Config) *Doctor {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Doctor{p: p, cfg: cfg, log: cfg.Log, again: make(chan struct{}, 1)}
}

// Run looks at once and every hour, keeps the copy of the settings, and answers,
// until ctx ends.
func (d *Doctor) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { d.follow(ctx) })
	for _, v := range []string{verbKnown, verbRepair} {
		wg.Go(func() {
			fleet.Keep(ctx, d.log, "the doctor", func() error {
				return d.cfg.Server.Serve(ctx, subject(v), true, func(ctx context.Context, _ string, body []byte) []byte { return d.hear(ctx, v, body) })
			})
		})
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		case <-d.again:
		}
		wait := every
		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("the shop's records could not be compared; tried again", "err", err)
			wait = sooner
		}
		if slices.ContainsFunc(d.known(), passes) {
			wait = sooner
		}
		next.Reset(wait)
	}
}

// passes reports whether the shop mends it by itself, so that it need not stand for an
// hour.
func passes(f fleet.Finding) bool {
	return slices.Contains([]string{fleet.FoundAhead, fleet.FoundUnqueued, fleet.CodeOrphan}, f.Code)
}

// follow keeps the copy of the settings.
func (d *Doctor) follow(ctx context.Context) {
	changed := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		fleet.Keep(ctx, d.log, "settings", func() error {
			return d.cfg.Keys.Watch(ctx, func(string, []byte) {
				select {
				case changed <- struct{}{}:
				default:
				}
			}, nil)
		})
	})
	for fleet.Pause(ctx, settled) {
		unheard := time.NewTimer(unasked)
		select {
		case <-changed:
		case <-unheard.C:
		case <-ctx.Done():
			unheard.Stop()
			return
		}
		unheard.Stop()
		if err := d.Mend(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("the settings could not be copied; tried again", "err", err)
			fleet.Pause(ctx, time.Second)
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
}

// look looks at what Mend does not.
func (d *Doctor) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found, err := d.p.records(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = found
	return nil
}

// repair does what only a person may decide: it puts back settings of another store,
// and takes out of the queue what is no order. What is left is looked for afterwards,
// which may take longer than whoever asks waits.
func (d *Doctor) repair(ctx context.Context) (found []fleet.Finding, err error) {
	defer func() { d.name(found) }()
	if found, err = d.mend(ctx, true); err != nil {
		return found, err
	}
	stored, err := d.p.Stored(ctx)
	if err != nil {
		return found, err
	}
	var l look
	for _, m := range stored {
		l.message(m)
	}
	for _, f := range l.list {
		if err := d.cfg.Remove(ctx, f.Seq); err != nil {
			return found, err
		}
		f.Mended, f.Next = true, ""
		found = append(found, f)
	}
	select {
	case d.again <- struct{}{}:
	default:
	}
	return found, nil
}

// name says in the log what was put back or taken away. What stands is a trouble of
// the shop, which the controller says.
func (d *Doctor) name(found []fleet.Finding) {
	for _, f := range found {
		if f.Mended {
			d.log.Error("the shop's records were not whole, and this is mended", "what", words.Line("en", f.Code, f.Detail, ""), "key", f.Key, "order", f.Order, "seq", f.Seq)
		}
	}
}

// Troubles is what was found last and stands, but for orders in doubt: those say so
// themselves.
func (d *Doctor) Troubles() (out []fleet.Trouble) {
	for _, f := range d.known() {
		switch f.Code {
		case fleet.CodeLost, fleet.CodeOrphan, fleet.CodeBookBack, fleet.FoundUnqueued:
			continue
		}
		about := cmp.Or(f.Key, f.Order)
		if f.Seq > 0 {
			about = strings.TrimPrefix(fmt.Sprintf("%s record %d", about, f.Seq), " ")
		}
		out = append(out, fleet.Trouble{Reason: fleet.Reason{Code: f.Code, Detail: f.Detail, Text: words.Line("en", f.Code, f.Detail, "")}, About: about})
	}
	return out
}

// known is what was found last and stands.
func (d *Doctor) known() []fleet.Finding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Concat(d.records, d.settings)
}

// What other processes ask, on coffee.doctor.<verb>: known {} is what was found last
// and stands, repair {"by","reason"} what was mended; both → {"findings"} or
// {"error"}.
const (
	verbKnown  = "known"
	verbRepair = "repair"
)

func subject(verb string) string { return fleet.Subject("coffee", "doctor", verb) }

type ask struct {
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

type reply struct {
	Findings []fleet.Finding `json:"findings"`
	Error    string          `json:"error,omitempty"`
}

func (d *Doctor) hear(ctx context.Context, verb string, body []byte) []byte {
	var a ask
	var r reply
	err := json.Unmarshal(body, &a)
	by, reason := fleet.Plain(a.By), fleet.Plain(a.Reason)
	switch {
	case err != nil:
	case verb == verbKnown:
		r.Findings = d.known()
	case by == "" || reason == "":
		err = errors.New("who repairs, and why, must be said")
	default:
		d.log.Warn("a person has the shop's records repaired", "by", by, "reason", reason)
		r.Findings, err = d.repair(ctx)
	}
	if err != nil {
		r.Error = err.Error()
	}
	b, _ := json.Marshal(r)
	return b
}

// Client is a doctor in another process. See Remote.
type Client struct{ r fleet.Requester }

// Remote asks the service over the network. fleet.ErrNobody: no service has one.
func Remote(r fleet.Requester) Client { return Client{r} }

// Known is what the service found last and stands.
func (c Client) Known(ctx context.Context) ([]fleet.Finding, error) {
	return c.ask(ctx, verbKnown, ask{})
}

// Repair has the service mend what a person must decide, and says what that was.
func (c Client) Repair(ctx context.Context, by, reason string) ([]fleet.Finding, error) {
	return c.ask(ctx, verbRepair, ask{By: by, Reason: reason})
}

func (c Client) ask(ctx context.Context, verb string, a ask) ([]fleet.Finding, error) {
	body, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	b, err := c.r.Request(ctx, subject(verb), body)
	if err != nil {
		return nil, err
	}
	var r reply
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("the service's answer can't be read: %w", err)
	}
	if r.Error != "" {
		return r.Findings, errors.New(r.Error)
	}
	return r.Findings, nil
}

// Together is what was mended, what one look finds, and what the service knows beside
// that; a shop without a service is looked at all the same.
func Together(ctx context.Context, p Parts, r fleet.Requester, mended []fleet.Finding) ([]fleet.Finding, error) {
	found, err := p.Look(ctx)
	if err != nil {
		return nil, err
	}
	known, err := Remote(r).Known(ctx)
	if err != nil && !errors.Is(err, fleet.ErrNobody) {
		return nil, err
	}
	for _, f := range known {
		if f.Code == fleet.FoundOtherStore { // of what only the service has
			found = append(found, f)
		}
	}
	return append(mended, found...), nil
}

// Amiss reports whether something is left to do.
func Amiss(found []fleet.Finding) bool {
	return slices.ContainsFunc(found, func(f fleet.Finding) bool { return !f.Mended })
}

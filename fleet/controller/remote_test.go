package controller

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// shops is what web and command line ask of a controller, near or far.
type shops interface {
	Place(ctx context.Context, body []byte, via string) fleet.Answer
	Cancel(ctx context.Context, order, by string) error
	Settle(ctx context.Context, order string, made bool, by, reason string) error
	MakeAgain(ctx context.Context, order, by string) error
	Wait(ctx context.Context, class fleet.Class, size fleet.Size) fleet.Wait
	Menu() fleet.Menu
}

var (
	_ shops = (*Controller)(nil)
	_ shops = (*Client)(nil)
)

// TestRemote: over the network every answer and every error is the same.
func TestRemote(t *testing.T) {
	inShop(t, func(t *testing.T, s *shop, c *Controller) {
		ctx := t.Context()
		far := Remote(s)
		synctest.Wait()
		if d := cmp.Diff(c.Menu(), far.Menu()); d != "" {
			t.Error(d)
		}
		a := far.Place(ctx, order(id1).Encode(), "web")
		if d := cmp.Diff(c.Place(ctx, order(id1).Encode(), "web"), a); d != "" || s.claim(id1).Via != "web" {
			t.Error(d)
		}
		if a := far.Place(ctx, order("").Encode(), "web"); !a.OK() || a.OrderID == "" {
			t.Error(a)
		}
		for _, body := range []string{``, `null`, `{"size":`, string(make([]byte, 5000)), `{"name":"A","size":"small","bean_type":"arabica","milk":"free","id":"x"}`} {
			if d := cmp.Diff(c.Place(ctx, []byte(body), "web"), far.Place(ctx, []byte(body), "web")); d != "" {
				t.Errorf("%.20q: %s", body, d)
			}
		}
		near := c.Wait(ctx, plain1, fleet.Small)
		near.Ahead = 0 // is no affair of theirs
		if d := cmp.Diff(near, far.Wait(ctx, plain1, fleet.Small)); d != "" || !near.Known {
			t.Error(d)
		}
		brewing(t, s, id2)
		for _, call := range []func(shops) error{
			func(x shops) error { return x.Cancel(ctx, id2, "Ada") },
			func(x shops) error { return x.Cancel(ctx, "01JD0000000000000000000009", "Ada") },
			func(x shops) error { return x.Cancel(ctx, id1, "") },
			func(x shops) error { return x.Settle(ctx, id1, true, "boss", "seen") },
			func(x shops) error { return x.MakeAgain(ctx, id1, "boss") },
		} {
			near, remote := call(c), call(far)
			if near == nil || remote == nil || near.Error() != remote.Error() || errors.Is(near, fleet.ErrNotFound) != errors.Is(remote, fleet.ErrNotFound) {
				t.Errorf("near %v, far %v", near, remote)
			}
			var n, r *StateError
			if errors.As(near, &n) != errors.As(remote, &r) || n != nil && *n != *r {
				t.Errorf("near %+v, far %+v", n, r)
			}
		}
		if err := far.Cancel(ctx, id1, "Ada"); err != nil || s.claim(id1).Phase != fleet.Cancelled {
			t.Error(err)
		}
	})
}

// TestNoController: without one, an order is unavailable and not refused.
func TestNoController(t *testing.T) {
	far := Remote(newShop())
	if a := far.Place(t.Context(), order(id1).Encode(), "web"); a.Code != fleet.CodeUnavailable || a.OrderID != id1 {
		t.Errorf("%+v", a)
	}
	if err := far.Cancel(t.Context(), id1, "Ada"); !errors.Is(err, fleet.ErrNobody) {
		t.Error(err)
	}
	if w := far.Wait(t.Context(), plain1, fleet.Small); w.Known || w.Code != fleet.CodeSilent {
		t.Errorf("%+v", w)
	}
	if m := far.Menu(); len(m.Beans) != 0 {
		t.Error(m)
	}
}

// FuzzHear: whatever another process sends, the answer is JSON and nothing
// panics.
func FuzzHear(f *testing.F) {
	for _, s := range []string{`{}`, `{"order":"x","by":"y"}`, `{"body":"e30="}`, `{"class":{"bean":"*","milk":">"},"size":"\n"}`, `[`, `{"order":"` + id1 + `","by":"a","reason":"b","made":true}`} {
		f.Add(s)
	}
	s := newShop()
	s.machine("zoe")
	c, _ := s.wire(nil).open(f, func(_ *Parts, cfg *Config) { cfg.Grace = time.Nanosecond })
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, body string) {
		for _, verb := range []string{verbPlace, verbCancel, verbSettle, verbAgain, verbWait, verbMenu} {
			if b := encode(c.hear(ctx, verb, []byte(body))); !json.Valid(b) {
				t.Errorf("%s %q: %s", verb, body, b)
			}
		}
	})
}

package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"barista/fleet"
)

// Hub is the hub as a site sees it: there or away, and how much it has missed.
type Hub struct {
	c  *Conn
	up func() bool

	mu    sync.Mutex // guards the following
	since time.Time  // it is away; zero: it is there
	from  uint64     // the last event before
	last  uint64     // the last event now
}

const (
	lookAtHub = 2 * time.Second
	// silentHub is how long a hub is away before that is worth a word: a link that broke is
	// up again after a second or two.
	silentHub = 10 * time.Second
)

// Hub watches the hub of this site; up reports whether the link stands.
func (c *Conn) Hub(up func() bool) *Hub { return &Hub{c: c, up: up} }

// Run looks until ctx ends. It returns nil.
func (h *Hub) Run(ctx context.Context) error {
	tick := time.NewTicker(lookAtHub)
	defer tick.Stop()
	for {
		h.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (h *Hub) look(ctx context.Context) {
	up := h.up()
	var last uint64
	if !up {
		st, err := h.c.open(ctx, fleet.StreamEvents)
		if err != nil {
			return // what is wrong with the store, others say
		}
		last = st.CachedInfo().State.LastSeq
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case up:
		h.since = time.Time{}
		return
	case h.since.IsZero():
		h.since, h.from = time.Now(), last
	}
	h.last = last
}

// Troubles says since when the hub is away, and how many events wait since then. The
// site goes on meanwhile: nothing is closed by it.
func (h *Hub) Troubles() []fleet.Trouble {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() || time.Since(h.since) < silentHub {
		return nil
	}
	at := "15:04"
	if time.Since(h.since) > 12*time.Hour {
		at = time.DateOnly + " 15:04"
	}
	return []fleet.Trouble{trouble("", fleet.CodeHubAway, fmt.Sprintf("since %s, %d events wait", h.since.Format(at), h.last-min(h.from, h.last)), "")}
}

package web

import (
	"context"
	"sync"
	"time"

	"barista/fleet"
)

// shortOf is under how many of the largest drink an item is shown as running short: it
// is also the gauge's whole scale, because nobody knows how much a hopper holds.
const shortOf = 10

// scarce is an item of the shop's stock that runs short.
type scarce struct {
	ID    string // as the book has it
	Name  string
	Large int // for so many of the largest drink it is enough, below Of
	Of    int
	High  int // up to here the gauge is in the colour of what is not enough
}

// levelsOnce are the stock's levels, asked at most once in levelsAge however many pages
// look.
type levelsOnce struct {
	mu     sync.Mutex
	at     time.Time
	levels map[string]fleet.Level
	err    error
}

const levelsAge = 2 * time.Second

func (w *Web) levelsLately(ctx context.Context) (map[string]fleet.Level, error) {
	l := &w.shelved
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || time.Since(l.at) >= levelsAge {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		l.levels, l.err = w.Levels(ctx)
		l.at = time.Now()
	}
	return l.levels, l.err
}

// forget has the next page ask anew.
func (l *levelsOnce) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Time{}
}

// short lists what runs short of what the shop has and sells. An item that the stock
// never had is none of it, and where the stock does not answer nothing is said.
func (w *Web) short(ctx context.Context, p *pages) (out []scarce) {
	levels, err := w.levelsLately(ctx)
	if err != nil {
		return nil
	}
	menu := w.Shop.Menu()
	most := largest(menu)
	for _, id := range menu.Items() {
		l, known := levels[id]
		if !known || most[id] == 0 {
			continue
		}
		if n := max(l.Available(), 0) / most[id]; n < shortOf {
			out = append(out, scarce{id, p.item(menu, id), n, shortOf, shortOf - 1})
		}
	}
	return out
}

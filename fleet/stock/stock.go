package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"
	"unicode"
	"unicode/utf8"

	"barista/fleet"
)

// Ledger is what the stock asks of the book (package ledger).
type Ledger interface {
	fleet.Ledger
	// Upto is the sequence of the newest record that is folded.
	Upto() uint64
}

// Parts is what the stock works with.
type Parts struct {
	Ledger   Ledger                              // with a Shelf
	Settings fleet.Settings                      // for the menu's doses; nil: the default menu
	Server   fleet.Server                        // asked by Run; nil: no subject is served
	Snapshot func(context.Context, []byte) error // keeps the levels for readers; may be nil
	Wall     func() time.Time                    // for display only; nil is time.Now
	Log      *slog.Logger                        // nil is silence
}

// Config is what the owner decides.
type Config struct {
	// Initial fills the stock once, at the very first start, when the book has no
	// act of the stock: grams of beans, millilitres of milk, doses of sugar.
	Initial fleet.Items
}

// Check returns every problem of the configuration, joined.
func (c Config) Check() error {
	if err := c.Initial.Check(); err != nil {
		return fmt.Errorf("initial stock: %w", err)
	}
	return nil
}

// Stock is one stock service on a book. Any goroutine may use it.
type Stock struct {
	parts  Parts
	cfg    Config
	log    *slog.Logger
	filled chan struct{}
}

// New returns a stock on the book that the ledger follows.
func New(p Parts, cfg Config) *Stock {
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Stock{parts: p, cfg: cfg, log: p.Log, filled: make(chan struct{})}
}

// Levels is what is there now, by item.
func (s *Stock) Levels(ctx context.Context) (map[string]fleet.Level, error) {
	if !fleet.Await(ctx, s.parts.Ledger.Ready()) {
		return nil, fmt.Errorf("stock: the book is not read yet: %w", fleet.ErrNoAnswer)
	}
	return s.parts.Ledger.Levels(), nil
}

// Add refills an item by an amount of 1 to 1,000,000 (grams, millilitres or
// doses) and makes the item if there is none. by says who did it. With a key,
// the same call made again counts once; so a caller who got no answer asks
// again with the same key. It returns the item's level.
func (s *Stock) Add(ctx context.Context, item string, amount int, by, key string) (fleet.Level, error) {
	if amount < 1 {
		return fleet.Level{}, fmt.Errorf("stock: %w", &invalid{fmt.Errorf("%.40q: add at least 1; to take away, count", item)})
	}
	return s.person(ctx, fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{item: amount}, By: by, Key: key}, item, nil)
}

// Count sets what is on hand of an item to what a person found, 0 to 1,000,000;
// the difference becomes refilled or wasted. Keys are as with Add. An item that
// was never added is refused with fleet.ErrNotFound: it may be a slip of the pen.
func (s *Stock) Count(ctx context.Context, item string, found int, by, key string) (fleet.Level, error) {
	return s.person(ctx, fleet.StockAct{Act: fleet.Count, Items: fleet.Items{item: found}, By: by, Key: key}, item, func(v fleet.View) error {
		return known(v, item)
	})
}

// Waste books that so much of an item was thrown away, spilled or stale, 1 to what is
// on hand: more is refused with fleet.ErrNotAllowed, because then nobody knows what is
// left and a count must say it. What is promised to orders may go, too: it is gone.
// reason says what happened. Keys are as with Add.
func (s *Stock) Waste(ctx context.Context, item string, amount int, by, reason, key string) (fleet.Level, error) {
	reason = fleet.Plain(reason)
	switch {
	case amount < 1:
		return fleet.Level{}, fmt.Errorf("stock: %w", &invalid{fmt.Errorf("%.40q: throw away at least 1", item)})
	case reason == "":
		return fleet.Level{}, fmt.Errorf("stock: %w", &invalid{errors.New("reason: say what happened to it")})
	}
	return s.person(ctx, fleet.StockAct{Act: fleet.Waste, Items: fleet.Items{item: amount}, By: by, Note: reason, Key: key}, item, func(v fleet.View) error {
		if err := known(v, item); err != nil {
			return err
		}
		if has := v.Levels()[item].OnHand; amount > has {
			unit := fleet.Unit(item)
			return fleet.Saying(fmt.Sprintf("there are %d %s of %s, so %d %s were not thrown away: count what is left", has, unit, item, amount, unit), fleet.ErrNotAllowed)
		}
		return nil
	})
}

// Take is a decrement by hand: it consumes one dose of a size, by the menu, of a
// bean or a milk. It never takes what is promised to an order: then the error is
// *fleet.OutOfStockError. Keys are as with Add.
func (s *Stock) Take(ctx context.Context, item string, size fleet.Size, by, key string) error {
	menu, err := s.menu(ctx)
	if err != nil {
		return err
	}
	doses, ok := menu.Sizes[size]
	if !ok {
		return fmt.Errorf("stock: %w", &invalid{fmt.Errorf("size %.40q: is not on the menu", size)})
	}
	n := doses.Grams
	switch rank(item) {
	case 1:
		n = doses.MilkML
	case 2:
		return fmt.Errorf("stock: %w", &invalid{errors.New("sugar: has no dose by size")})
	}
	if n < 1 {
		return fmt.Errorf("stock: %w", &invalid{fmt.Errorf("%.40q: a %s cup takes none", item, size)})
	}
	items := fleet.Items{item: n}
	_, err = s.person(ctx, fleet.StockAct{Act: fleet.Consume, Items: items, By: by, Note: "by hand", Key: key}, item, func(v fleet.View) error {
		if err := known(v, item); err != nil {
			return err
		}
		if v.Short(items) != "" {
			return &fleet.OutOfStockError{Item: item}
		}
		return nil
	})
	return err
}

// known refuses an item that was never added.
func known(v fleet.View, item string) error {
	if _, there := v.Levels()[item]; !there {
		return fmt.Errorf("there is no %s in the stock: %w", item, fleet.ErrNotFound)
	}
	return nil
}

func (s *Stock) menu(ctx context.Context) (fleet.Menu, error) {
	if s.parts.Settings == nil {
		return fleet.DefaultMenu(), nil
	}
	b, err := s.parts.Settings.Get(ctx, fleet.KeyMenu)
	if errors.Is(err, fleet.ErrNotFound) {
		return fleet.DefaultMenu(), nil
	}
	if err != nil {
		return fleet.Menu{}, fmt.Errorf("stock: the menu can't be read: %w", err)
	}
	return fleet.ParseMenu(b)
}

// person writes an act that belongs to no order.
func (s *Stock) person(ctx context.Context, a fleet.StockAct, item string, refuse func(fleet.View) error) (fleet.Level, error) {
	if err := a.Check(); err != nil {
		return fleet.Level{}, fmt.Errorf("stock: %w", &invalid{err})
	}
	if err := checkBy(a.By); err != nil {
		return fleet.Level{}, fmt.Errorf("stock: %w", &invalid{err})
	}
	if a.Key != "" && !isKey(a.Key) {
		return fleet.Level{}, fmt.Errorf("stock: %w", &invalid{fmt.Errorf("key %.70q: must be 1 to 64 letters, digits, - and _", a.Key)})
	}
	a.At = s.parts.Wall().UTC()
	_, err := s.parts.Ledger.Act(ctx, func(v fleet.View) (*fleet.Record, error) {
		if a.Key != "" {
			if act, items, twice := v.Seen(a.Key); twice {
				if act != a.Act || !maps.Equal(items, a.Items) {
					b, _ := json.Marshal(items) // tokens and numbers: cannot fail
					return nil, &invalid{fmt.Errorf("key %s: was given before with another act: %s %s", a.Key, act, b)}
				}
				return nil, nil
			}
		}
		if refuse != nil {
			if err := refuse(v); err != nil {
				return nil, err
			}
		}
		return &fleet.Record{Act: true, Stock: &a}, nil
	})
	return s.parts.Ledger.Levels()[item], err
}

// isKey reports whether s may be the key of an act.
func isKey(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// checkBy refuses a person's name that could act where it is shown.
func checkBy(by string) error {
	if !utf8.ValidString(by) || utf8.RuneCountInString(by) > 64 {
		return errors.New("by: must be at most 64 characters")
	}
	for _, r := range by {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return fmt.Errorf("by: has a control character (%U)", r)
		}
	}
	return nil
}

// invalid marks a request that can never succeed.
type invalid struct{ err error }

func (e *invalid) Error() string { return e.err.Error() }
func (e *invalid) Unwrap() error { return e.err }

package stock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

// Parts is what the stock works with.
type Parts struct {
	Ledger   fleet.Ledger
	Claims   fleet.Claims                        // followed by Run
	Settings fleet.Settings                      // for the menu's doses; nil: the default menu
	Server   fleet.Server                        // asked by Run; nil: no subject is served
	Snapshot func(context.Context, []byte) error // keeps the levels for readers; may be nil
	Wall     func() time.Time                    // for display only; nil is time.Now
	Log      *slog.Logger                        // nil is silence
}

// Config is what the owner decides.
type Config struct {
	// Initial fills the stock once, at the very first start, when the ledger is
	// empty: grams of beans, millilitres of milk, doses of sugar.
	Initial fleet.Items
}

// Check returns every problem of the configuration, joined.
func (c Config) Check() error {
	if err := checkItems(c.Initial); err != nil {
		return fmt.Errorf("initial stock: %w", err)
	}
	return nil
}

// Stock is one stock service on a ledger. Any goroutine may use it.
type Stock struct {
	parts Parts
	cfg   Config
	log   *slog.Logger

	turn  chan struct{} // holds one token: whoever has it may use fold and begun
	fold  *fold
	begun bool // the ledger was read once, and filled if it was empty

	news chan struct{} // the fold moved on; holds at most one token
	due  due           // bookings that claims demand
}

var _ fleet.Stock = (*Stock)(nil)

// New returns a stock on the ledger. Nothing is read before the first call.
func New(p Parts, cfg Config) *Stock { return withMemory(p, cfg, closedUses) }

// withMemory is New with another bound on the ended uses.
func withMemory(p Parts, cfg Config, uses int) *Stock {
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return &Stock{
		parts: p, cfg: cfg, log: p.Log,
		turn: make(chan struct{}, 1),
		fold: newFold(uses),
		news: make(chan struct{}, 1),
		due:  due{claims: map[string][]fleet.Booking{}, wake: make(chan struct{}, 1)},
	}
}

// Reserve opens a use of stock with all of its items or with none; a use that
// is open is left as it is. It costs one append to the ledger. Errors:
// *fleet.OutOfStockError names the first item that is short, beans before milk
// before sugar; fleet.ErrUseClosed; any other leaves open whether it was
// reserved.
func (s *Stock) Reserve(ctx context.Context, order string, use int, items fleet.Items) error {
	e := fleet.Entry{Act: fleet.Reserve, Order: order, Use: use, Items: items}
	if err := checkEntry(e); err != nil {
		return fmt.Errorf("stock: %w", &invalid{err})
	}
	k := keyOf(order, use)
	return s.write(ctx, func(f *fold) (*fleet.Entry, error) {
		if f.isOpen(k) {
			return nil, nil
		}
		if _, over := f.closed.get(k); over {
			return nil, fleet.ErrUseClosed
		}
		if item := f.short(items); item != "" {
			return nil, &fleet.OutOfStockError{Item: item}
		}
		return &e, nil
	})
}

// Book writes what a claim demands: the end of a use, even if nothing was
// reserved, or a reservation (as Reserve does). A use that ended otherwise is
// corrected. Every error leaves open whether it was written.
func (s *Stock) Book(ctx context.Context, b fleet.Booking) error {
	if b.Act == fleet.Reserve {
		return s.Reserve(ctx, b.Order, b.Use, b.Items)
	}
	if err := checkEntry(entryOf(b)); err != nil {
		return fmt.Errorf("stock: %w", &invalid{err})
	} else if b.Order == "" {
		return fmt.Errorf("stock: %w", &invalid{fmt.Errorf("a booking needs an order")})
	}
	known, err := s.recall(ctx, []fleet.Booking{b})
	if err != nil || known[keyOf(b.Order, b.Use)] {
		return err
	}
	return s.end(ctx, b)
}

func entryOf(b fleet.Booking) fleet.Entry {
	return fleet.Entry{Act: b.Act, Order: b.Order, Use: b.Use, Items: b.Items}
}

// end books an end that is surely not a forgotten one.
func (s *Stock) end(ctx context.Context, b fleet.Booking) error {
	return s.write(ctx, func(f *fold) (*fleet.Entry, error) {
		if !f.missing(b) {
			return nil, nil
		}
		e := entryOf(b)
		if b.Act != fleet.Release {
			e.Items = f.taken(keyOf(b.Order, b.Use), b.Act, b.Items)
			e.Note = clipped(b.Items, e.Items)
		}
		return &e, nil
	})
}

// missing reports whether the ledger lacks what the claim demands.
func (f *fold) missing(b fleet.Booking) bool {
	k := keyOf(b.Order, b.Use)
	was, over := f.closed.get(k)
	if b.Act == fleet.Reserve {
		return !over && !f.isOpen(k)
	}
	return !over || was.act != b.Act
}

// clipped says what was asked for and not there.
func clipped(asked, taken fleet.Items) string {
	var lack []string
	for _, item := range slices.Sorted(maps.Keys(asked)) {
		if asked[item] > taken[item] {
			lack = append(lack, fmt.Sprintf("%s: %d asked, %d there", item, asked[item], taken[item]))
		}
	}
	return strings.Join(lack, "; ")
}

// recall looks up in the ledger which of the bookings were made so long ago that
// the fold has forgotten them. That costs a reading of the whole ledger, and
// comes up only for a drink that was used, is not in the memory, and would be
// taken from on hand a second time. What is found is not booked again, whatever
// the end: other services have forgotten it too, and could not undo it.
func (s *Stock) recall(ctx context.Context, bs []fleet.Booking) (map[useKey]bool, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	doubtful := map[useKey]bool{}
	if s.fold.closed.forgot > 0 {
		for _, b := range bs {
			k := keyOf(b.Order, b.Use)
			if _, known := s.fold.closed.get(k); !known && !s.fold.isOpen(k) && (b.Act == fleet.Consume || b.Act == fleet.Waste) {
				doubtful[k] = true
			}
		}
	}
	s.leave()
	if len(doubtful) == 0 {
		return nil, nil
	}
	found := map[useKey]bool{}
	if _, err := s.parts.Ledger.Read(ctx, 0, func(_ uint64, e fleet.Entry) {
		k := keyOf(e.Order, e.Use)
		if doubtful[k] && e.Act != fleet.Reserve && checkEntry(e) == nil {
			found[k] = true
		}
	}); err != nil {
		return nil, fmt.Errorf("stock: the ledger can't be read: %w", err)
	}
	return found, nil
}

// Levels is what is there now, by item, everything folded that the ledger holds.
func (s *Stock) Levels(ctx context.Context) (map[string]fleet.Level, error) {
	_, levels, err := s.view(ctx)
	return levels, err
}

func (s *Stock) view(ctx context.Context) (uint64, map[string]fleet.Level, error) {
	if err := s.enter(ctx); err != nil {
		return 0, nil, err
	}
	defer s.leave()
	if err := s.readOn(ctx); err != nil {
		return 0, nil, err
	}
	return s.fold.seq, s.fold.view(), nil
}

// Add refills an item by an amount of 1 to 1,000,000 (grams, millilitres or
// doses) and makes the item if there is none. by says who did it. With a key,
// the same call made again counts once; so a caller who got no answer asks
// again with the same key. It returns the item's level.
func (s *Stock) Add(ctx context.Context, item string, amount int, by, key string) (fleet.Level, error) {
	if amount < 1 {
		return fleet.Level{}, fmt.Errorf("stock: %w", &invalid{fmt.Errorf("%.40q: add at least 1; to take away, count", item)})
	}
	return s.person(ctx, fleet.Entry{Act: fleet.Refill, Items: fleet.Items{item: amount}, By: by, Key: key}, item, nil)
}

// Count sets what is on hand of an item to what a person found, 0 to 1,000,000;
// the difference becomes refilled or wasted. Keys are as with Add. An item that
// was never added is refused with fleet.ErrNotFound: it may be a slip of the pen.
func (s *Stock) Count(ctx context.Context, item string, found int, by, key string) (fleet.Level, error) {
	return s.person(ctx, fleet.Entry{Act: fleet.Count, Items: fleet.Items{item: found}, By: by, Key: key}, item, func(f *fold) error {
		return f.known(item)
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
	_, err = s.person(ctx, fleet.Entry{Act: fleet.Consume, Items: items, By: by, Note: "by hand", Key: key}, item, func(f *fold) error {
		if err := f.known(item); err != nil {
			return err
		}
		if f.short(items) != "" {
			return &fleet.OutOfStockError{Item: item}
		}
		return nil
	})
	return err
}

// known refuses an item that was never added.
func (f *fold) known(item string) error {
	if f.levels[item] == nil {
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

// person writes an act that belongs to no order. Each has a key, if only one of
// our own, by which an act is found that was stored without an answer.
func (s *Stock) person(ctx context.Context, e fleet.Entry, item string, refuse func(*fold) error) (fleet.Level, error) {
	var after fleet.Level
	if err := checkEntry(e); err != nil {
		return after, fmt.Errorf("stock: %w", &invalid{err})
	}
	if err := checkBy(e.By); err != nil {
		return after, fmt.Errorf("stock: %w", &invalid{err})
	}
	if e.Key == "" {
		e.Key = rand.Text()
	} else if !isKey(e.Key) {
		return after, fmt.Errorf("stock: %w", &invalid{fmt.Errorf("key %.70q: must be 1 to 64 letters, digits, - and _", e.Key)})
	}
	asked := keyed{e.Act, pack(e.Items)}
	err := s.writeThen(ctx, func(f *fold) (*fleet.Entry, error) {
		if before, twice := f.keys.get(e.Key); twice {
			if before != asked {
				return nil, &invalid{fmt.Errorf("key %s: was given before with another act: %s %s", e.Key, before.act, before.items.Value())}
			}
			return nil, nil
		}
		if refuse != nil {
			if err := refuse(f); err != nil {
				return nil, err
			}
		}
		return &e, nil
	}, func(f *fold) { after = f.level(item).Level })
	return after, err
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

// invalid marks a request that can never succeed.
type invalid struct{ err error }

func (e *invalid) Error() string { return e.err.Error() }
func (e *invalid) Unwrap() error { return e.err }

// due is what claims demand and was not looked at yet.
type due struct {
	mu     sync.Mutex // guards claims
	claims map[string][]fleet.Booking
	wake   chan struct{} // holds at most one token
}

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Menu is what the shop sells. It lives in coffee-settings under KeyMenu.
type Menu struct {
	Beans []string         `json:"beans"`
	Milks []string         `json:"milks"`
	Sizes map[Size]Amounts `json:"sizes"`
}

// Amounts is what a cup of one size takes.
type Amounts struct {
	Grams  int `json:"grams"`    // of beans, 1–60
	MilkML int `json:"milk_ml"`  // when the order has milk, 0–250
	Water  int `json:"water_ml"` // through the coffee, 10–400
}

// KeyMenu is the menu's key in coffee-settings.
const KeyMenu = "menu"

// DefaultMenu has the beans, milks and grams of the public article; millilitres
// are ours.
func DefaultMenu() Menu {
	return Menu{
		Beans: []string{"arabica", "robusta", "mixed"},
		Milks: []string{NoMilk, "normal", "soja"},
		Sizes: map[Size]Amounts{
			Small:  {Grams: 9, MilkML: 30, Water: 40},
			Medium: {Grams: 17, MilkML: 60, Water: 110},
			Large:  {Grams: 30, MilkML: 90, Water: 180},
		},
	}
}

// ItemSugar is the stock item of sugar, in doses.
const ItemSugar = "sugar"

// MilkItem is the stock item of a milk, in millilitres.
func MilkItem(milk string) string { return milkPrefix + milk }

const milkPrefix = "milk-"

// Unit is what an item is counted in.
func Unit(item string) string {
	switch {
	case item == ItemSugar:
		return "doses"
	case strings.HasPrefix(item, milkPrefix):
		return "ml"
	}
	return "g"
}

// Check returns every problem of the menu, joined.
func (m Menu) Check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(m.Beans) == 0 {
		add("beans: at least one is needed")
	}
	if len(m.Milks) == 0 {
		add("milks: at least one is needed, %q for black coffee", NoMilk)
	}
	if len(m.Beans)*len(m.Milks) > 64 {
		add("%d beans × %d milks: at most 64 classes are served", len(m.Beans), len(m.Milks))
	}
	seen := map[string]bool{ItemSugar: true}
	for _, b := range m.Beans {
		switch {
		case !IsToken(b):
			add("bean %s: 1 to 32 of a-z, 0-9 and -", clip(b))
		case IsCareName(b):
			add("bean %s: the care of machines is called so, give the bean another name", b)
		case seen[b]:
			add("bean %s: the name is taken", b)
		}
		seen[b] = true
	}
	milks := map[string]bool{}
	for _, k := range m.Milks {
		switch {
		case !IsToken(k) || len(k) > 27: // "milk-" goes before it
			add("milk %s: 1 to 27 of a-z, 0-9 and -", clip(k))
		case milks[k] || seen[MilkItem(k)]:
			add("milk %s: the name is taken", k)
		}
		milks[k] = true
	}
	durables := map[string]Class{}
	for _, c := range m.Classes() {
		name := MakerDurable(c)
		if other, taken := durables[name]; taken && other != c {
			add("%s and %s would share the queue %s: rename one of them", other, c, name)
		}
		durables[name] = c
	}
	if len(m.Sizes) == 0 {
		add("sizes: at least one of small, medium, large is needed")
	}
	for size, d := range m.Sizes {
		if !slices.Contains(Sizes, size) {
			add("size %s: must be small, medium or large", clip(string(size)))
		}
		if d.Grams < 1 || d.Grams > 60 {
			add("size %s: grams must be 1 to 60", clip(string(size)))
		}
		if d.MilkML < 0 || d.MilkML > 250 {
			add("size %s: milk_ml must be 0 to 250", clip(string(size)))
		}
		if d.Water < 10 || d.Water > 400 {
			add("size %s: water_ml must be 10 to 400", clip(string(size)))
		}
	}
	return errors.Join(errs...)
}

// Classes lists every pair of bean and milk on the menu.
func (m Menu) Classes() []Class {
	var out []Class
	for _, b := range m.Beans {
		for _, k := range m.Milks {
			out = append(out, Class{b, k})
		}
	}
	return out
}

// Items lists every stock item that the menu can use.
func (m Menu) Items() []string {
	out := slices.Clone(m.Beans)
	for _, k := range m.Milks {
		if k != NoMilk {
			out = append(out, MilkItem(k))
		}
	}
	return append(out, ItemSugar)
}

// Portion is what one cup of the order takes from the stock; false if it is not
// on the menu.
func (m Menu) Portion(o Order) (Items, bool) {
	d, ok := m.Sizes[o.Size]
	if !ok || !slices.Contains(m.Beans, o.Bean) || !slices.Contains(m.Milks, o.Milk) {
		return nil, false
	}
	items := Items{o.Bean: d.Grams}
	if o.Milk != NoMilk && d.MilkML > 0 {
		items[MilkItem(o.Milk)] = d.MilkML
	}
	if o.Sugar > 0 {
		items[ItemSugar] = o.Sugar
	}
	return items, true
}

// ParseMenu reads and checks a menu.
func ParseMenu(b []byte) (Menu, error) {
	var m Menu
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("the menu is not JSON of the right form: %w", err)
	}
	return m, m.Check()
}

// Settings is the operating state of the fleet: menu, cordons, calibrations.
type Settings interface {
	// Get reads a key; ErrNotFound if it is not set, ErrDamaged if what was set can't
	// be read.
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	// Watch hands over every key that is set and then every change, until ctx
	// ends; a deleted key has a nil value. ready is called once, when what was
	// there is over.
	Watch(ctx context.Context, each func(key string, value []byte), ready func()) error
}

// Change is the menu with KEY=VALUE applied, as a person writes them: beans, milks,
// small.grams, small=off. It is not checked yet. All mistakes come back joined.
func (m Menu) Change(args []string) (Menu, error) {
	sizes := map[Size]Amounts{}
	for s, d := range m.Sizes {
		sizes[s] = d
	}
	m.Sizes = sizes
	var errs []error
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			errs = append(errs, fmt.Errorf("%s: write KEY=VALUE", strconv.QuoteToGraphic(arg)))
			continue
		}
		size, dose, dotted := strings.Cut(key, ".")
		isSize := slices.Contains(Sizes, Size(size))
		switch {
		case key == "beans":
			m.Beans = listed(value)
		case key == "milks":
			m.Milks = listed(value)
		case isSize && !dotted && value == "off":
			delete(m.Sizes, Size(size))
		case isSize && dotted:
			d := m.Sizes[Size(size)]
			n, err := strconv.Atoi(value)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s is no whole number", key, strconv.QuoteToGraphic(value)))
				continue
			}
			switch dose {
			case "grams":
				d.Grams = n
			case "water_ml":
				d.Water = n
			case "milk_ml":
				d.MilkML = n
			default:
				errs = append(errs, fmt.Errorf("%s is no key: write %s.grams, %s.water_ml or %s.milk_ml", strconv.QuoteToGraphic(key), size, size, size))
				continue
			}
			m.Sizes[Size(size)] = d
		default:
			errs = append(errs, fmt.Errorf("%s is no key: write beans, milks, small.grams, small=off, …", strconv.QuoteToGraphic(key)))
		}
	}
	return m, errors.Join(errs...)
}

func listed(list string) []string {
	out := []string{}
	for w := range strings.SplitSeq(list, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

package fleet_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

// bounded sets each figure of a value to what no shop could mean, wherever it stands,
// and reports those that pass.
func bounded[T any](t *testing.T, v T, check func(T) error, but ...string) {
	t.Helper()
	whole, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(v); err != nil {
		t.Fatalf("%T as it should be: %v", v, err)
	}
	var tree any
	if err := json.Unmarshal(whole, &tree); err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(path string, at any, set func(any))
	walk = func(path string, at any, set func(any)) {
		switch x := at.(type) {
		case map[string]any:
			for k := range x {
				walk(path+"."+k, x[k], func(v any) { x[k] = v })
			}
		case []any:
			for i := range x {
				walk(fmt.Sprint(path, "[]"), x[i], func(v any) { x[i] = v })
			}
		case float64:
			for _, excused := range but {
				if strings.HasSuffix(path, excused) {
					return
				}
			}
			n++
			for _, absurd := range []float64{-1, 4e12, 1e19, 1e300} {
				set(absurd)
				b, err := json.Marshal(tree)
				if err != nil {
					t.Fatal(err)
				}
				var got T
				if json.Unmarshal(b, &got) == nil && check(got) == nil {
					t.Errorf("%T%s: %g passes", v, path, absurd)
				}
			}
			set(x)
		}
	}
	walk("", tree, nil)
	if n < 3 {
		t.Fatalf("%T has %d figures: the test is blind", v, n)
	}
}

// full are values in which every figure is set.
var (
	fullOrder = fleet.Order{ID: "01JD0000000000000000000001", Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: "free", Sugar: 2}
	fullItems = fleet.Items{"arabica": 9, "sugar": 2}
	fullClaim = fleet.Claim{
		Phase: fleet.Served, Order: fullOrder, Hash: fullOrder.Hash(), Portion: fullItems, Epoch: 3, Attempts: 2, Took: 41.5, Outcome: fleet.Made,
		Answer: fleet.Answer{Status: "success", Message: fleet.Scheduled, OrderID: fullOrder.ID, Position: 3, ETA: []int{45, 75}},
		Owner:  &fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}, Avoid: &fleet.Avoid{Machine: "leo"}, Via: "web",
		Past: []fleet.Past{{Epoch: 1, Machine: "leo", Outcome: fleet.Spoiled, Took: 12}},
	}
	fullRefusals = fleet.Refusals{Before: 7, What: &fullOrder, List: []fleet.Refusal{{Order: fullOrder.ID, Answer: fullClaim.Answer}}}
)

// TestNoAbsurdFigure: whatever figure of a record, a machine's word or a setting is
// beyond all sense, it is not followed.
func TestNoAbsurdFigure(t *testing.T) {
	bounded(t, fullClaim, fleet.Claim.Check)
	bounded(t, fleet.StockAct{Act: fleet.Count, Items: fleet.Items{"arabica": 1, "sugar": 2, "milk-soja": 3}, Key: "k"}, fleet.StockAct.Check)
	bounded(t, fullRefusals, func(r fleet.Refusals) error { return r.Check(100) })
	bounded(t, fleet.Balance{
		Upto: 90, Acts: 80, Levels: map[string]fleet.Level{"arabica": {OnHand: 1, Reserved: 2, Refilled: 3, Consumed: 4, Wasted: 5}},
		Counted: map[string]uint64{"arabica": 4}, Open: []fleet.Share{{Order: fullOrder.ID, Seq: 5, Taken: fullItems, At: 6}},
		Keys: []fleet.Keyed{{Key: "k", Act: fleet.Refill, Items: fullItems}}, Refusals: fullRefusals,
	}, func(b fleet.Balance) error { return b.Check(100) })
	presence := fleet.Presence{
		Machine: "zoe", Owner: *fullClaim.Owner, Classes: []fleet.Class{{Bean: "arabica", Milk: "free"}}, Sizes: fleet.Sizes, State: fleet.StateBusy,
		Order: fullOrder.ID, MinWaiting: 2, Drinks: 3, Seconds: 40, Percent: 50, Lacks: []string{"water"}, Swapped: []string{"grinder"},
		Pace: &fleet.Pace{Cups: []fleet.CupTime{{Size: fleet.Small, Milk: true, Seconds: []float64{14.5, 15.5}, Rest: 3}}, Free: 20, Left: 10, Heat: 1, Reheat: 3, Cup: 2, Fetch: 4},
	}
	bounded(t, presence, fleet.Presence.Check)
	bounded(t, fleet.Ask{Epoch: 1, Took: 3, Presence: &presence}, fleet.Ask.Check, ".seq")
	menu := fleet.DefaultMenu()
	bounded(t, menu, fleet.Menu.Check)
	told := fleet.Told{Age: time.Second, Left: time.Minute, Sight: fleet.Sight{Others: 1}, Word: &fleet.Word{Waiting: 3, Menu: &menu}}
	told.Entry.Claim = fullClaim
	bounded(t, told, fleet.Told.Check, ".age_ns", ".entry.seq")                                                                                                       // a record may be as old as it likes, and stand anywhere
	bounded(t, fleet.Event{Epoch: 1, N: 2, Of: 3, Percent: 4, Seconds: 5, ETAError: new(6.5), Portion: fullItems}, fleet.Event.Check, ".eta_seconds[]", ".eta_error") // that may be below 0
}

// TestNoAbsurdWord: what becomes part of a subject or a key is a token, or it is not
// followed.
func TestNoAbsurdWord(t *testing.T) {
	for name, spoil := range map[string]func(*fleet.Claim){
		"phase":   func(c *fleet.Claim) { c.Phase = "poured" },
		"id":      func(c *fleet.Claim) { c.Order.ID = ">" },
		"bean":    func(c *fleet.Claim) { c.Order.Bean = "a.b" },
		"milk":    func(c *fleet.Claim) { c.Order.Milk = "*" },
		"size":    func(c *fleet.Claim) { c.Order.Size = "bucket" },
		"item":    func(c *fleet.Claim) { c.Portion = fleet.Items{"a b": 1} },
		"machine": func(c *fleet.Claim) { c.Owner = &fleet.Owner{Machine: "zoe.cmd"} },
		"avoid":   func(c *fleet.Claim) { c.Avoid = &fleet.Avoid{Machine: ">"} },
		"outcome": func(c *fleet.Claim) { c.Outcome = "perfect" },
		"past":    func(c *fleet.Claim) { c.Past = []fleet.Past{{Epoch: 4, Outcome: fleet.Made}} },
		"name":    func(c *fleet.Claim) { c.Order.Name = strings.Repeat("a", 5000) },
		"took":    func(c *fleet.Claim) { c.Took = math.NaN() },
	} {
		c := fullClaim
		if spoil(&c); c.Check() == nil {
			t.Errorf("%s passes: %+v", name, c)
		}
	}
	if (fleet.Presence{Machine: "zoe", Gauges: fleet.Gauges{Tray: fleet.Gauge(strings.Repeat("a", 5000))}}).Check() == nil {
		t.Error("a gauge of 5000 bytes passes")
	}
	many := fleet.Items{}
	for i := range 101 {
		many[fmt.Sprint("item-", i)] = 1
	}
	if many.Check() == nil {
		t.Error("101 items pass")
	}
}

// FuzzWord: what a machine says of itself is read or left out; what passes names
// subjects and keys without harm.
func FuzzWord(f *testing.F) {
	f.Add([]byte(`{"machine":"zoe","owner":{"machine":"zoe","journal":"j","boot":"b"},"classes":[{"bean":"a","milk":"free"}],"sizes":["small"],"state":"ready","percent":7}`))
	f.Add([]byte(`{"machine":"zoe.cmd","percent":4000000000000}`))
	f.Add([]byte(`{"machine":"zoe","classes":[{"bean":"*","milk":">"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p fleet.Presence
		if json.Unmarshal(b, &p) != nil || p.Check() != nil {
			return
		}
		fleet.CommandSubject(p.Machine)
		for _, c := range p.Classes {
			fleet.OrderSubject(c)
		}
		if p.Order != "" {
			fleet.StateSubject(p.Order)
		}
		if p.Percent < 0 || p.Percent > 100 || !(p.Seconds >= 0) || p.Drinks < 0 {
			t.Errorf("%+v", p)
		}
	})
}

package stock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/fleet"
)

var zoe = fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}

func idN(n int) string { return fmt.Sprintf("01JD%022d", n) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pages is a shelf with the book that it folds, and the plain reference beside it.
type pages struct {
	shelf *Shelf
	plain *reference
	seq   uint64
	now   time.Time
	last  map[string]fleet.Entry // of each order
	rec   fleet.Record           // the newest
}

func opened(initial fleet.Items) *pages {
	p := &pages{shelf: NewShelf(nil), plain: newReference(), now: time.Unix(1e9, 0), last: map[string]fleet.Entry{}}
	p.act(fleet.StockAct{Act: fleet.Refill, Items: initial, Key: "initial"})
	return p
}

func (p *pages) write(r fleet.Record) {
	p.seq++
	p.now = p.now.Add(time.Second)
	r.Seq, r.Written = p.seq, p.now
	if r.IsClaim {
		p.last[r.Order.ID] = r.Entry
	}
	p.rec = r
	p.shelf.Take(r)
	p.plain.take(r)
}

func (p *pages) act(a fleet.StockAct) { p.write(fleet.Record{Act: true, Stock: &a}) }

func (p *pages) claim(act bool, c fleet.Claim) {
	p.write(fleet.Record{Entry: fleet.Entry{Claim: c}, IsClaim: true, Act: act})
}

// do makes an arrow of an order's claim.
func (p *pages) do(n int, arrow func(fleet.Claim) (fleet.Claim, error)) error {
	c := p.last[idN(n)].Claim
	next, err := arrow(c)
	if err == nil {
		p.claim(c.Phase == fleet.Again, next)
	}
	return err
}

// check holds the shelf against the reference and against itself.
func (p *pages) check() error {
	got := p.shelf.Levels()
	if d := cmp.Diff(p.plain.levels(), filled(maps.Clone(got))); d != "" {
		return fmt.Errorf("record %d, -plain +shelf: %s", p.seq, d)
	}
	reserved := fleet.Items{}
	for _, e := range p.last {
		n, _, _ := e.Portions()
		for item, amount := range e.Portion {
			reserved[item] += n * amount
		}
	}
	for item, l := range got {
		if l.OnHand < 0 || l.OnHand != l.Refilled-l.Consumed-l.Wasted || l.Reserved != reserved[item] {
			return fmt.Errorf("record %d: %s is %+v, %d promised", p.seq, item, l, reserved[item])
		}
	}
	return nil
}

// restored is a shelf that began at a balance of this one, through the bytes of a
// record.
func (p *pages) restored() (*Shelf, error) {
	var b fleet.Balance
	p.shelf.Balance(&b)
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	b = fleet.Balance{}
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, err
	}
	var open []fleet.Entry
	for _, s := range b.Open {
		e := p.last[s.Order]
		if e.Seq != s.Seq {
			return nil, fmt.Errorf("order %s stands in record %d, the balance says %d", s.Order, e.Seq, s.Seq)
		}
		open = append(open, e)
	}
	s := NewShelf(nil)
	s.Restore(b, open)
	return s, nil
}

// reference is the stock told plainly: each order has uses, one after the other,
// and each use is reserved, then taken, wasted or given back.
type reference struct {
	level map[string]*fleet.Level
	count map[string]uint64
	uses  map[string][]*use
}

type use struct {
	state string // "reserve", "consume", "waste", "release"
	took  fleet.Items
	at    uint64
}

func newReference() *reference {
	return &reference{map[string]*fleet.Level{}, map[string]uint64{}, map[string][]*use{}}
}

func (r *reference) levels() map[string]fleet.Level {
	out := map[string]fleet.Level{}
	for item, l := range r.level {
		out[item] = *l
	}
	return filled(out)
}

// filled leaves out items that there never were.
func filled(levels map[string]fleet.Level) map[string]fleet.Level {
	maps.DeleteFunc(levels, func(_ string, l fleet.Level) bool { return l == fleet.Level{} })
	return levels
}

func (r *reference) of(item string) *fleet.Level {
	if r.level[item] == nil {
		r.level[item] = &fleet.Level{}
	}
	return r.level[item]
}

func (r *reference) take(rec fleet.Record) {
	switch a := rec.Stock; {
	case rec.IsClaim:
		for i, state := range said(rec.Claim) {
			r.use(rec.Seq, rec.Order.ID, i, state, rec.Portion)
		}
	case a != nil && a.Check() == nil:
		for item, n := range a.Items {
			switch l := r.of(item); a.Act {
			case fleet.Refill:
				l.OnHand, l.Refilled = l.OnHand+n, l.Refilled+n
			case fleet.Count:
				l.Refilled += max(0, n-l.OnHand)
				l.Wasted += max(0, l.OnHand-n)
				l.OnHand, r.count[item] = n, rec.Seq
			case fleet.Consume:
				n = min(n, l.OnHand)
				l.OnHand, l.Consumed = l.OnHand-n, l.Consumed+n
			case fleet.Waste:
				n = min(n, l.OnHand)
				l.OnHand, l.Wasted = l.OnHand-n, l.Wasted+n
			}
		}
	}
}

// said is what a claim says of each of its uses.
func said(c fleet.Claim) (uses []string) {
	for _, p := range c.Past {
		switch p.Outcome {
		case fleet.Spoiled:
			uses = append(uses, "waste")
		case fleet.OutcomeUnknown:
			uses = append(uses, "consume")
		}
	}
	switch c.Phase {
	case fleet.Accepted, fleet.Claimed, fleet.Brewing:
		return append(uses, "reserve")
	case fleet.Served, fleet.Unknown:
		return append(uses, "consume")
	case fleet.Failed:
		if c.Outcome == fleet.Spoiled {
			return append(uses, "waste")
		}
	case fleet.Again:
		return uses
	}
	return append(uses, "release")
}

func (r *reference) use(seq uint64, order string, i int, state string, portion fleet.Items) {
	if i == len(r.uses[order]) {
		r.uses[order] = append(r.uses[order], &use{})
	}
	u := r.uses[order][i]
	if u.state == state {
		return
	}
	for item, n := range portion {
		l := r.of(item)
		if u.state == "reserve" {
			l.Reserved -= n
		}
		switch had := u.took[item]; {
		case state == "reserve":
			l.Reserved += n
		case u.state == "consume" && state == "waste":
			l.Consumed, l.Wasted = l.Consumed-had, l.Wasted+had
		case u.state == "consume" && r.count[item] > u.at:
			l.Consumed, l.Wasted = l.Consumed-had, l.Wasted+had
		case u.state == "consume":
			l.Consumed, l.OnHand = l.Consumed-had, l.OnHand+had
		case state == "consume", state == "waste":
			n = min(n, l.OnHand)
			l.OnHand -= n
			if state == "waste" {
				l.Wasted += n
			} else {
				l.Consumed += n
			}
			if u.took == nil || u.at != seq {
				u.took, u.at = fleet.Items{}, seq
			}
			u.took[item] = n
		}
	}
	u.state = state
}

// arrow tries one of the claim's arrows.
func arrow(c fleet.Claim, n int) (fleet.Claim, error) {
	switch n {
	case 0, 1:
		return c.Take(zoe)
	case 2, 3, 4:
		return c.Fence(zoe)
	case 5:
		return c.Release(fleet.Reason{Text: "no cup"}, nil)
	case 6, 7:
		return c.End(zoe, fleet.Made, fleet.Reason{}, 30, nil)
	case 8:
		return c.End(zoe, fleet.Spoiled, fleet.Reason{Text: "no flow"}, 30, nil)
	case 9:
		return c.End(zoe, fleet.Untouched, fleet.Reason{}, 0, nil)
	case 10, 11:
		return c.Park("test", fleet.Reason{Text: "gone"})
	case 12:
		return c.Settle(true, "lea", fleet.Reason{})
	case 13:
		return c.Settle(false, "lea", fleet.Reason{})
	case 14:
		return c.MakeAgain("lea")
	case 15:
		return c.Doubt(zoe, fleet.Reason{Text: "its journal knows it"})
	case 16:
		return c.FailStock(fleet.Reason{Text: "no beans"})
	case 17:
		return c.Stop(fleet.Cancelled, "lea", fleet.Reason{})
	case 18:
		return c.GiveUp(zoe)
	}
	return c.Remake()
}

const arrows = 20

// TestPromiseNine: whatever becomes of a shop's orders and whatever people do to
// the shelf, it is what the book says: against a plain reference, from any balance
// on, never below zero; and a record that is no act makes no less available.
func TestPromiseNine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := opened(fleet.Items{"arabica": rapid.IntRange(0, 200).Draw(t, "beans"), "milk-soja": 60})
		others := []*Shelf{}
		portions := []fleet.Items{{"arabica": 9}, {"arabica": 17, "milk-soja": 30}, {"arabica": 9, "sugar": 1}, {"robusta": 30}, {}}
		orders, written := 0, p.seq
		create := func(c fleet.Claim) {
			p.claim(true, c)
			orders++
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			before, acted := p.shelf.Levels(), true
			portion := rapid.SampledFrom(portions).Draw(t, "portion")
			o := fleet.Order{ID: idN(orders)}
			switch rapid.IntRange(0, 11).Draw(t, "act") {
			case 0, 1:
				if item := p.shelf.Short(portion); item == "" {
					create(fleet.Create(o, portion, fleet.Success(o.ID), "web"))
				} else if before[item].Available() >= portion[item] {
					t.Fatalf("%s was said to be short: %+v", item, before[item])
				}
			case 2:
				create(fleet.Orphan(o, portion, "sweep", fleet.Reason{}))
			case 3:
				a := fleet.StockAct{
					Act:   rapid.SampledFrom([]fleet.Act{fleet.Refill, fleet.Count, fleet.Count, fleet.Consume, fleet.Waste}).Draw(t, "stock"),
					Items: fleet.Items{rapid.SampledFrom([]string{"arabica", "robusta", "sugar"}).Draw(t, "item"): rapid.IntRange(0, 50).Draw(t, "amount")},
					Key:   rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "key"),
				}
				p.act(a)
				if act, items, seen := p.shelf.Seen(a.Key); a.Key != "" && (!seen || act != a.Act || !cmp.Equal(items, a.Items)) {
					t.Fatalf("the key %s is not known: %v %v %v", a.Key, act, items, seen)
				}
			case 4:
				s, err := p.restored()
				if err != nil {
					t.Fatal(err)
				}
				others = append(others, s)
				continue
			default:
				if orders == 0 {
					continue
				}
				n := rapid.IntRange(0, orders-1).Draw(t, "order")
				step := rapid.IntRange(0, arrows-1).Draw(t, "arrow")
				if e := p.last[idN(n)]; step == arrows-1 && p.shelf.Short(e.Portion) != "" {
					continue // a remake is decided as a create is
				} else {
					acted = e.Phase == fleet.Again
				}
				if err := p.do(n, func(c fleet.Claim) (fleet.Claim, error) { return arrow(c, step) }); err != nil {
					continue
				}
			}
			if p.seq > written {
				written = p.seq
				for _, s := range others {
					s.Take(p.rec)
				}
			}
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
			for item, l := range p.shelf.Levels() {
				if !acted && l.Available() < before[item].Available() {
					t.Fatalf("%s: available %d, and was %d, by no act", item, l.Available(), before[item].Available())
				}
			}
			for _, s := range others {
				if d := cmp.Diff(p.shelf.Levels(), s.Levels()); d != "" {
					t.Fatalf("from a balance on it comes to something else: %s", d)
				}
			}
		}
		for n := range orders { // the shop closes
			_ = p.do(n, func(c fleet.Claim) (fleet.Claim, error) { return c.Park("test", fleet.Reason{}) })
			_ = p.do(n, func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(true, "lea", fleet.Reason{}) })
			_ = p.do(n, func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Expired, "test", fleet.Reason{}) })
		}
		for item, l := range p.shelf.Levels() {
			if l.Reserved != 0 {
				t.Fatalf("after the last order %s is %+v", item, l)
			}
		}
		if len(p.shelf.open) > 0 {
			t.Fatalf("ended orders are kept: %v", p.shelf.open)
		}
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestEndsAreCorrected: what becomes of the shelf where an unknown drink is settled
// later, with and without a count in between.
func TestEndsAreCorrected(t *testing.T) {
	level := func(hand, refilled, consumed, wasted int) fleet.Level {
		return fleet.Level{OnHand: hand, Refilled: refilled, Consumed: consumed, Wasted: wasted}
	}
	for _, test := range []struct {
		name string
		ends string // u unknown, m made, n not made, s spoiled; a person counts: = it was made, ~ it was not, - hardly anything is left
		want fleet.Level
	}{
		{"served", "m", level(91, 100, 9, 0)},
		{"spoiled", "s", level(91, 100, 0, 9)},
		{"unknown, then not made", "un", level(100, 100, 0, 0)},
		{"unknown, then spoiled", "us", level(91, 100, 0, 9)},
		{"unknown, then made", "um", level(91, 100, 9, 0)},
		// A count between the two is the truth, and is left alone.
		{"unknown, found used, then not made", "u=n", level(91, 100, 0, 9)},
		{"unknown, found not used, then not made", "u~n", level(100, 109, 0, 9)},
		{"unknown, found used, then spoiled", "u=s", level(91, 100, 0, 9)},
		{"found before it was unknown, then not made", "~un", level(100, 100, 0, 0)},
		{"found nearly empty, then unknown, then not made", "-un", level(2, 100, 0, 98)},
		{"found nearly empty, then unknown, found so, then made", "-u-m", level(2, 102, 2, 98)},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := opened(fleet.Items{"arabica": 100})
			p.claim(true, fleet.Create(fleet.Order{ID: idN(1)}, fleet.Items{"arabica": 9}, fleet.Success(idN(1)), "web"))
			must(t, p.do(1, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) }))
			if s := test.ends; strings.HasSuffix(s, "s") { // the second spoiled drink ends it
				e := p.last[idN(1)]
				e.Attempts = fleet.MaxAttempts
				p.claim(false, e.Claim)
			}
			count := map[rune]int{'=': 91, '~': 100, '-': 2}
			for _, c := range test.ends {
				if n, is := count[c]; is {
					p.act(fleet.StockAct{Act: fleet.Count, Items: fleet.Items{"arabica": n}})
					continue
				}
				must(t, p.do(1, func(cl fleet.Claim) (fleet.Claim, error) {
					switch c {
					case 'u':
						return cl.Park("test", fleet.Reason{})
					case 'n':
						return cl.Settle(false, "lea", fleet.Reason{})
					case 's':
						return cl.End(zoe, fleet.Spoiled, fleet.Reason{}, 0, nil)
					}
					return cl.End(zoe, fleet.Made, fleet.Reason{}, 0, nil)
				}))
				must(t, p.check())
				// It comes to the same where the order is written anew, and from a
				// balance on.
				if e := p.last[idN(1)]; !e.Phase.Ended() {
					p.claim(false, e.Claim)
					s, err := p.restored()
					must(t, err)
					p.shelf = s
				}
			}
			must(t, p.check())
			if d := cmp.Diff(test.want, p.shelf.Levels()["arabica"]); d != "" {
				t.Fatal(d)
			}
		})
	}
}

// TestWhatIsNotThereIsNotUsed: an end takes what there is, and what comes later is
// not eaten by the former lack.
func TestWhatIsNotThereIsNotUsed(t *testing.T) {
	p := opened(fleet.Items{"arabica": 4, "sugar": 3})
	p.claim(true, fleet.Orphan(fleet.Order{ID: idN(1)}, fleet.Items{"arabica": 9, "sugar": 1, "milk-soja": 30}, "sweep", fleet.Reason{}))
	want := map[string]fleet.Level{"arabica": {Refilled: 4, Consumed: 4}, "sugar": {OnHand: 2, Refilled: 3, Consumed: 1}}
	if d := cmp.Diff(want, p.shelf.Levels()); d != "" {
		t.Fatal(d)
	}
	p.act(fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": 100}})
	must(t, p.do(1, func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(false, "lea", fleet.Reason{}) }))
	want = map[string]fleet.Level{"arabica": {OnHand: 104, Refilled: 104}, "sugar": {OnHand: 3, Refilled: 3}}
	if d := cmp.Diff(want, p.shelf.Levels()); d != "" {
		t.Fatal(d)
	}
}

// TestTheFirstShortItem is what a customer hears of: beans, then milk, then sugar.
func TestTheFirstShortItem(t *testing.T) {
	p := opened(fleet.Items{"arabica": 20, "milk-soja": 10, "sugar": 5})
	for _, c := range []struct {
		items fleet.Items
		want  string
	}{
		{fleet.Items{"arabica": 9, "milk-soja": 30, "sugar": 9}, "milk-soja"},
		{fleet.Items{"arabica": 21, "milk-soja": 30}, "arabica"},
		{fleet.Items{"arabica": 20, "milk-soja": 10, "sugar": 6}, "sugar"},
		{fleet.Items{"arabica": 20, "milk-soja": 10, "sugar": 5}, ""},
		{fleet.Items{"liberica": 1}, "liberica"},
		{fleet.Items{"liberica": 0}, ""},
		{nil, ""},
	} {
		if got := p.shelf.Short(c.items); got != c.want {
			t.Errorf("%v: %q is short, wanted %q", c.items, got, c.want)
		}
	}
}

// TestTheShelfForgives: what makes no sense changes nothing, and is said.
func TestTheShelfForgives(t *testing.T) {
	p := opened(fleet.Items{"arabica": 100})
	var said bytes.Buffer
	p.shelf.log = slog.New(slog.NewTextHandler(&said, nil))
	before := p.shelf.Levels()
	for _, r := range []fleet.Record{
		{Stock: &fleet.StockAct{Act: "steal", Items: fleet.Items{"arabica": 5}}},
		{Stock: &fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": -5}}},
		{Stock: &fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"a b": 5}}},
		{Stock: &fleet.StockAct{Act: fleet.Count, Items: fleet.Items{"arabica": fleet.MaxAmount + 1}}},
		{Entry: fleet.Entry{Claim: fleet.Claim{Phase: fleet.Served, Order: fleet.Order{ID: idN(1)}, Portion: fleet.Items{"arabica": -9}}}, IsClaim: true},
	} {
		said.Reset()
		p.shelf.Take(r)
		if d := cmp.Diff(before, p.shelf.Levels()); d != "" {
			t.Errorf("%+v was taken: %s", r, d)
		}
		if !strings.Contains(said.String(), "makes no sense") {
			t.Errorf("%+v: nobody was told: %s", r, said.String())
		}
	}
	// An order that has nothing of the shelf is an order all the same.
	odd := fleet.Create(fleet.Order{ID: idN(2)}, fleet.Items{"a b": 9}, fleet.Success(idN(2)), "web")
	p.shelf.Take(fleet.Record{Entry: fleet.Entry{Claim: odd, Revision: fleet.Revision{Seq: 77}}, IsClaim: true})
	var b fleet.Balance
	if p.shelf.Balance(&b); len(b.Open) != 1 || b.Open[0].Seq != 77 || !cmp.Equal(before, b.Levels) {
		t.Errorf("%+v", b)
	}
	again := NewShelf(nil)
	again.Restore(b, []fleet.Entry{{Claim: odd, Revision: fleet.Revision{Seq: 77}}})
	if again.Balance(&b); len(b.Open) != 1 || !cmp.Equal(before, again.Levels()) {
		t.Errorf("%+v", b)
	}
	for _, r := range []fleet.Record{{}, {Refusals: &fleet.Refusals{}}, {Balance: &fleet.Balance{Levels: map[string]fleet.Level{"arabica": {}}}}} {
		said.Reset()
		if p.shelf.Take(r); said.Len() > 0 || !cmp.Equal(before, p.shelf.Levels()) {
			t.Errorf("%+v means nothing to the shelf: %s", r, said.String())
		}
	}
}

// TestKeysAreRemembered: the last ten thousand, and from a balance on those of the
// last day that may still be asked again.
func TestKeysAreRemembered(t *testing.T) {
	p := opened(fleet.Items{"arabica": 1})
	p.now = p.now.Add(-keysFor)
	for i := range actKeys + 1 {
		if i == actKeys-maxKeys-9 {
			p.now = p.now.Add(keysFor)
		}
		p.act(fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": i}, Key: fmt.Sprint("k", i)})
	}
	if _, _, seen := p.shelf.Seen("k0"); seen {
		t.Error("the memory has no bound")
	}
	if _, items, seen := p.shelf.Seen("k1"); !seen || items["arabica"] != 1 {
		t.Errorf("the last %d are to be remembered: %v %v", actKeys, items, seen)
	}
	s, err := p.restored()
	must(t, err)
	if n := len(s.keys.ring); n != maxKeys {
		t.Errorf("%d keys in the balance", n)
	}
	if act, items, seen := s.Seen(fmt.Sprint("k", actKeys)); !seen || act != fleet.Refill || items["arabica"] != actKeys {
		t.Errorf("the last one is not known again: %v %v %v", act, items, seen)
	}
	// A day later, or a clock later that was set forward: an act may be asked again
	// now, so the last ones are still known.
	p.now = p.now.Add(keysFor)
	p.act(fleet.StockAct{Act: fleet.Refill, Items: fleet.Items{"arabica": 1}})
	if s, err = p.restored(); err != nil || len(s.keys.ring) != fewKeys {
		t.Errorf("a day later %d keys are in the balance, %v", len(s.keys.ring), err)
	}
	if _, items, seen := s.Seen(fmt.Sprint("k", actKeys)); !seen || items["arabica"] != actKeys {
		t.Error("the last one is forgotten, and would be booked twice")
	}
}

func FuzzShelf(f *testing.F) {
	f.Add([]byte{0, 1, 9, 1, 1, 9, 2, 1, 9, 3, 1, 9, 4, 0, 50, 5, 0, 3, 3, 1, 9})
	phases := []fleet.Phase{fleet.Accepted, fleet.Claimed, fleet.Brewing, fleet.Again, fleet.Unknown, fleet.Served, fleet.Failed, fleet.Cancelled, fleet.Expired, "other"}
	acts := []fleet.Act{fleet.Refill, fleet.Consume, fleet.Waste, fleet.Count, "other"}
	outcomes := []fleet.Outcome{fleet.Spoiled, fleet.OutcomeUnknown, fleet.Untouched, ""}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewShelf(nil)
		for seq := uint64(1); len(b) >= 3; seq++ {
			items := fleet.Items{[]string{"arabica", "sugar", ""}[int(b[0]/16)%3]: int(int8(b[2]))}
			r := fleet.Record{Entry: fleet.Entry{Revision: fleet.Revision{Seq: seq}}}
			if b[1] > 0 {
				r.IsClaim = true
				r.Claim = fleet.Claim{Phase: phases[int(b[0])%len(phases)], Order: fleet.Order{ID: idN(int(b[1]) % 5)}, Portion: items, Outcome: outcomes[int(b[1]/8)%4]}
				for i := range int(b[1] / 64) {
					r.Past = append(r.Past, fleet.Past{Outcome: outcomes[(int(b[2])+i)%4]})
				}
			} else {
				r.Stock = &fleet.StockAct{Act: acts[int(b[0])%len(acts)], Items: items}
			}
			s.Take(r)
			b = b[3:]
			for item, l := range s.levels {
				if l.OnHand < 0 || l.Reserved < 0 || l.OnHand != l.Refilled-l.Consumed-l.Wasted {
					t.Fatalf("after record %d %s is %+v", seq, item, l.Level)
				}
			}
		}
	})
}

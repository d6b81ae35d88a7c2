package jura

import (
	"slices"
	"strings"
	"testing"

	"barista/driver"
)

func TestModels(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range models {
		if seen[m.Type] || m.Type == "" || strings.Contains(m.Type, " ") || m.Machine == "" || len(m.Facts) == 0 {
			t.Errorf("%+v: a row of its own, with a type of one word, a name and facts", m)
		}
		seen[m.Type] = true
		for _, a := range m.Answers {
			if whole, ok := parseType("ty:" + a); !ok || whole != a || row(a) != m {
				t.Errorf("%s: the answer %q does not lead to it", m.Type, a)
			}
		}
		for _, f := range m.Facts {
			if f.What == "" || f.Source == "" || !slices.Contains([]Sure{Twice, Once, Contradicted}, f.Sure) {
				t.Errorf("%s: %+v", m.Type, f)
			}
		}
		if m.ReadOnly != "" {
			if len(m.products) > 0 {
				t.Errorf("%s is read only and has products", m.Type)
			}
			continue
		}
		// What it takes to order, and to prove.
		if !m.coffee.known || !m.noWater.known || !m.noTray.known || len(m.products) == 0 {
			t.Errorf("%s: nothing tells that it is busy, or what it wants", m.Type)
		}
		keys := map[command]bool{}
		for _, p := range m.products {
			if keys[p.key] || p.key < key04 || !slices.Contains(m.counts, p.word) {
				t.Errorf("%s: %+v: a key of its own and a word that counts", m.Type, p)
			}
			keys[p.key] = true
		}
	}
	for _, s := range models {
		for _, x := range []sense{s.noTray, s.noWater, s.noDrawer, s.coffee, s.milk} {
			if x.at >= inputBytes || x.bit > 7 {
				t.Errorf("%s: %+v", s.Type, x)
			}
		}
	}
	if got := Orderable(); !slices.Equal(got, []string{"EF532M"}) {
		t.Errorf("orderable: %q", got)
	}
	if _, known := ModelOf("EF999X V01.00"); known {
		t.Error("an unknown model is known")
	}
}

// Inputs flip their polarity from model to model: the same answers, read by two
// rows.
func TestPolarity(t *testing.T) {
	wants := func(m *Model, b inputBits) (string, []driver.Signal) {
		if e := m.want(b); e != nil {
			return e.What, e.Signals
		}
		return "", nil
	}
	tray, tank := []driver.Signal{driver.Tray}, []driver.Signal{driver.Tank}
	for _, c := range []struct {
		model, answer, busy, want string
		not                       []driver.Signal
	}{
		{"EF532M", "ic:1400", "", "", nil},
		{"EF532M", "ic:0400", "", "put the drip tray in", tray},
		{"EF532M", "ic:1420", "", "fill the water tank", tank},
		{"EF532M", "ic:0420", "", "put the drip tray in, fill the water tank", []driver.Signal{driver.Tray, driver.Tank}},
		{"EF532M", "ic:1000", "coffee", "", nil},
		{"EF532M", "ic:1440", "milk", "", nil},
		{"EF532M", "ic:1040", "coffee and milk", "", nil},
		{"PIM", "ic:1400", "", "put the drip tray in", tray},
		{"PIM", "ic:0420", "", "", nil},
		{"PIM", "ic:2400", "", "fill the water tank", tank},
		{"EF658M", "ic:0301EE", "", "", nil},
		{"EF658M", "ic:0303EE", "", "put the grounds drawer in", nil},
		{"E30", "ic:FFFF", "", "", nil},
	} {
		m := row(c.model)
		b, ok := parseInputs(c.answer)
		if !ok || !m.enough(b) || m.busy(b) != c.busy {
			t.Errorf("%s %s: busy %q", c.model, c.answer, m.busy(b))
		}
		if p := m.plain(b); m.busy(p) != c.busy {
			t.Errorf("%s %s: without the other bits: busy %q", c.model, c.answer, m.busy(p))
		}
		for _, b := range []inputBits{b, m.plain(b)} {
			if what, not := wants(m, b); what != c.want || !slices.Equal(not, c.not) {
				t.Errorf("%s %s: wants %q, not good %v", c.model, c.answer, what, not)
			}
		}
	}
}

// What a row sees only one way it does not watch: a tray that is in may be full.
func TestWatches(t *testing.T) {
	for _, m := range models {
		var want []driver.Signal
		if m.Type == "EF532M" || m.Type == "PIM" {
			want = []driver.Signal{driver.Tank}
		}
		if got := m.watches(); !slices.Equal(got, want) {
			t.Errorf("%s watches %v, want %v", m.Type, got, want)
		}
	}
}

package jura

import (
	"slices"
	"strings"
	"testing"
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
	for _, c := range []struct{ model, answer, busy, want string }{
		{"EF532M", "ic:1400", "", ""},
		{"EF532M", "ic:0400", "", "put the drip tray in"},
		{"EF532M", "ic:1420", "", "fill the water tank"},
		{"EF532M", "ic:0420", "", "put the drip tray in, fill the water tank"},
		{"EF532M", "ic:1000", "coffee", ""},
		{"EF532M", "ic:1440", "milk", ""},
		{"EF532M", "ic:1040", "coffee and milk", ""},
		{"PIM", "ic:1400", "", "put the drip tray in"},
		{"PIM", "ic:0420", "", ""},
		{"PIM", "ic:2400", "", "fill the water tank"},
		{"EF658M", "ic:0301EE", "", ""},
		{"EF658M", "ic:0303EE", "", "put the grounds drawer in"},
		{"E30", "ic:FFFF", "", ""},
	} {
		m := row(c.model)
		b, ok := parseInputs(c.answer)
		if !ok || !m.enough(b) || m.busy(b) != c.busy || m.want(b) != c.want {
			t.Errorf("%s %s: busy %q, wants %q", c.model, c.answer, m.busy(b), m.want(b))
		}
		if p := m.plain(b); m.busy(p) != c.busy || m.want(p) != c.want {
			t.Errorf("%s %s: without the other bits: busy %q, wants %q", c.model, c.answer, m.busy(p), m.want(p))
		}
	}
}

package web

import (
	"strconv"
	"strings"

	"barista/fleet"
)

// A drink is a size, with milk or without: what people ask for at a counter. Which
// milk, which beans and how much sugar are chosen beside it. Its word in the form is
// the size, with a suffix where there is milk in it.
const withMilk = "-milk"

// drink is a tile of the form: a name, and a picture of what is in the cup.
type drink struct {
	option
	Milky bool
	Cup   glass
}

// glass is where the layers of a drink stand in its picture, from the top, in the
// picture's own units. All are of the same scale, so that a large one looks large.
type glass struct {
	Top, Wide           int // of the glass: its brim, and half its width there
	Coffee, CoffeeDepth int
	Milk, MilkDepth     int
	Foam, FoamDepth     int
}

// glassFloor is where every glass stands.
const glassFloor = 58

// pour draws so much coffee and milk, in millilitres; most is that of the largest
// drink of the menu.
func pour(water, milk, most int) glass {
	// Twice as much looks twice as much only if the glass grows in width, too.
	full := 16 + 30*(water+milk)/max(most, 1)
	g := glass{Wide: 12 + full/5}
	g.MilkDepth = full * milk / max(water+milk, 1)
	g.CoffeeDepth = full - g.MilkDepth
	g.FoamDepth = 3 // crema, or the milk's
	if milk > 0 {
		g.FoamDepth = 5
	}
	g.Coffee = glassFloor - g.CoffeeDepth
	g.Milk = g.Coffee - g.MilkDepth
	g.Foam = g.Milk - g.FoamDepth
	g.Top = g.Foam - 4
	return g
}

// Side is where the wall of the glass is at its brim, left or right, and at its floor.
func (g glass) Left() int       { return 32 - g.Wide }
func (g glass) Right() int      { return 32 + g.Wide }
func (g glass) FloorLeft() int  { return 36 - g.Wide }
func (g glass) FloorRight() int { return 28 + g.Wide }

// called is the key of the name that people have for so much coffee and milk.
func called(water, milk int) string {
	switch {
	case milk == 0 && water <= 60:
		return "espresso"
	case milk == 0 && water <= 140:
		return "lungo"
	case milk == 0:
		return "americano"
	case water <= 60 && 2*milk <= 3*water:
		return "macchiato"
	case 2*milk > 3*water || water > 140:
		return "latte"
	case 4*milk >= 3*water:
		return "cappuccino"
	}
	return "creme"
}

// drinkOf is what people call an order, in the page's language. Where two sizes of the
// menu have one name, the size is said too.
func (p *pages) drinkOf(m fleet.Menu, size fleet.Size, milky bool) string {
	name := func(s fleet.Size) string {
		d, milk := m.Sizes[s], 0
		if milky {
			milk = d.MilkML
		}
		return called(d.Water, milk)
	}
	said := p.say("drink." + name(size))
	for other := range m.Sizes {
		if other != size && name(other) == name(size) {
			return p.say("drink.sized", said, p.say("size."+string(size)))
		}
	}
	return said
}

// drinks are the tiles of what somebody here makes.
func (p *pages) drinks(o *offer, chosen string) (tiles []drink) {
	most := 0
	for _, d := range o.menu.Sizes {
		most = max(most, d.Water+d.MilkML)
	}
	for _, milky := range []bool{false, true} {
		for _, size := range fleet.Sizes {
			d, sold := o.menu.Sizes[size]
			fits := func(x fleet.Order) bool { return x.Size == size && (x.Milk != fleet.NoMilk) == milky }
			if !sold || milky && d.MilkML == 0 || !o.lists(0, fits) {
				continue
			}
			t := drink{Milky: milky, option: option{Name: "drink", Value: string(size), Label: p.drinkOf(o.menu, size, milky)}}
			milk := 0
			if milky {
				t.Value += withMilk
				milk = d.MilkML
			}
			t.Note, t.Cup = p.say("size.ml", d.Water+milk), pour(d.Water, milk, most)
			t.Checked = t.Value == chosen
			t.close(p, o, fits, func(string) bool { return false })
			tiles = append(tiles, t)
		}
	}
	return tiles
}

// close marks a tile of which nothing can be had now, and says why.
func (t *option) close(p *pages, o *offer, fits func(fleet.Order) bool, about func(item string) bool) {
	if l, ok := o.any(fits, about); !ok {
		t.Gone, t.Checked, t.Why = true, false, p.lack(l)
	}
}

// chosenDrink is the tile of what was chosen.
func (t typed) chosenDrink() string {
	if t.Size != "" && t.Milk != "" && t.Milk != fleet.NoMilk {
		return t.Size + withMilk
	}
	return t.Size
}

// drunk makes size and milk of the tile that was chosen and of the milk beside it, which
// only counts for a drink with milk.
func (t *typed) drunk(word string) {
	if word == "" {
		return // a form without tiles: it says both
	}
	size, milky := strings.CutSuffix(word, withMilk)
	t.Size = size
	switch {
	case !milky:
		t.Milk = fleet.NoMilk
	case t.Milk == fleet.NoMilk:
		t.Milk = "" // and the form asks for one
	}
}

// summary is the order in a line: what the customer is about to get.
func (p *pages) summary(m fleet.Menu, o fleet.Order) string {
	d, sold := m.Sizes[o.Size]
	if !sold {
		return ""
	}
	parts := []string{p.drinkOf(m, o.Size, o.Milk != fleet.NoMilk && d.MilkML > 0), p.name("bean", o.Bean)}
	if o.Milk != fleet.NoMilk {
		parts = append(parts, p.name("milk", o.Milk))
	}
	if o.Sugar > 0 && o.Sugar <= fleet.MaxSugar {
		parts = append(parts, p.say("sugar."+strconv.Itoa(o.Sugar)))
	}
	return strings.Join(parts, " · ")
}

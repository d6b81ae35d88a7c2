package web

import (
	"slices"

	"barista/fleet"
)

// pot is what is in the cup of the picture: nothing while beans are ground, coffee while
// water flows, milk as a layer of its own, as far as the machine has told it. The
// numbers are units of the picture; see view/cup.html.
type pot struct {
	Doing          string // the step that moves in the picture; "work" where none is told
	Coffee, Milk   int    // how deep they are
	CoffeeY, MilkY int    // where they begin, from above
	Stream         int    // how far what flows falls, from the spout
	Of             string // tells its picture from others on the page; empty where it is alone
}

// Of the cup in the picture: its floor, its room, and the end of the spout.
const (
	potFloor = 168
	potRoom  = 64
	spout    = 66
)

// drawn are the steps that the picture knows.
var drawn = []string{"grind", "heat", "pour", "milk", "sugar", "rest"}

// fullness is how much of the cup a size fills, in percent.
var fullness = map[fleet.Size]int{fleet.Small: 56, fleet.Medium: 76, fleet.Large: 94}

// milkShare is how much of a drink with milk is milk, in percent.
const milkShare = 36

// inCup works out what is in the cup of an order now.
func inCup(s sight) pot {
	var p pot
	coffee, milk := 0, 0 // of theirs, in percent
	switch s.Phase {
	case fleet.Served:
		coffee, milk = 100, 100
	case fleet.Brewing, fleet.Failed:
		coffee, milk = s.flowed("pour"), s.flowed("milk")
	}
	if s.Phase == fleet.Brewing {
		p.Doing = "work"
		if len(s.Stages) > 0 && slices.Contains(drawn, s.Step) {
			p.Doing = s.Step
		}
	}
	room, white := fullness[s.What.Size], 0
	if room == 0 {
		room = fullness[fleet.Medium]
	}
	if s.What.Milk != fleet.NoMilk && s.What.Milk != "" {
		white = milkShare
	}
	p.Milk = potRoom * room * white * milk / 1_000_000
	p.Coffee = potRoom * room * (100 - white) * coffee / 1_000_000
	p.CoffeeY = potFloor - p.Coffee
	p.MilkY = p.CoffeeY - p.Milk
	p.Stream = p.MilkY - spout
	return p
}

// flowed is how much of all the time for such a step is behind the drink, in percent.
func (w *work) flowed(step string) int {
	whole, done := 0, 0
	for i, one := range w.Stages {
		end := 100
		if i+1 < len(w.Stages) {
			end = w.Stages[i+1].From
		}
		if one.Step != step {
			continue
		}
		whole += end - one.From
		switch {
		case i < w.N-1:
			done += end - one.From
		case i == w.N-1:
			done += min(max(w.Percent-one.From, 0), end-one.From)
		}
	}
	if whole <= 0 {
		return 0
	}
	return 100 * done / whole
}

package sim

import (
	"fmt"
	"maps"
	"slices"

	"barista/driver"
)

// model is what one machine does with the codes. It is written down a second
// time here, from the same sources as the driver's rows but without looking at
// them, and with the keys that the driver must never press.
type model struct {
	answer string
	pages  []map[byte]drink // by FA: code, for each page of the display
	turn   byte             // the key that turns the page; 0 is none
	off    byte             // the key that switches off
	dumb   []byte           // keys that do nothing we know of
	deadly map[byte]string  // keys that do harm
	parts  map[byte]part    // FN: codes
	memory int              // where the counters begin
	inputs func(state) string
}

// drink is a product of the machine.
type drink struct {
	name  string
	grams float64
	water float64 // ml through the coffee
	milk  float64 // ml
	word  int     // of the counters; -1 is none
}

// part is what an FN: code does.
type part struct {
	out driver.Part
	on  bool
	act string // instead: "init", "press", "brewing", "elsewhere", "off"
}

// state is what the inputs show.
type state struct {
	tray, water, drawer bool // there
	coffee, milk        bool // being made
	tick                int  // counts answers, for inputs that toggle
}

func bit(on bool, n int) byte {
	if on {
		return 1 << n
	}
	return 0
}

var models = map[string]*model{
	// As one source has the E6 of 2019. Another machine that gives the same answer
	// has ristretto on 05 and coffee on 07.
	"EF532M": {
		answer: "EF532M V02.03",
		pages: []map[byte]drink{
			{
				0x04: {"espresso", 8, 45, 0, 0},
				0x05: {"coffee", 9, 100, 0, 2},
				0x06: {"hot water", 0, 200, 0, -1},
				0x07: {"cappuccino", 8, 45, 60, 5},
				0x08: {"milk foam", 0, 0, 60, -1},
			},
			{
				0x04: {"caffè barista", 9, 120, 0, 11},
				0x05: {"lungo barista", 9, 150, 0, 12},
				0x07: {"espresso doppio", 10, 90, 0, 1},
				0x08: {"macchiato", 8, 45, 30, 6},
			},
		},
		turn: 0x09, dumb: []byte{0x01},
		parts: map[byte]part{
			0x01: {out: driver.Pump, on: true}, 0x02: {out: driver.Pump},
			0x03: {out: driver.Heater, on: true}, 0x04: {out: driver.Heater},
			0x07: {out: driver.Grinder, on: true}, 0x08: {out: driver.Grinder},
			0x0B: {act: "press"}, 0x0C: {act: "release"},
			0x0D: {act: "init"}, 0x0E: {act: "elsewhere"}, 0x0F: {act: "elsewhere"},
			0x13: {act: "elsewhere"}, 0x1C: {act: "elsewhere"}, 0x22: {act: "brewing"}, 0x51: {act: "off"},
		},
		inputs: func(s state) string {
			a := 0x83 | bit(s.tray, 4) | bit(!s.coffee, 2) | bit(s.tick%2 == 0, 3)
			b := 0x01 | bit(!s.water, 5) | bit(s.milk, 6)
			return fmt.Sprintf("%02X%02X", a, b)
		},
	},
	"PIM": {
		answer: "PIM V01.01",
		pages: []map[byte]drink{{
			0x06: {"hot water", 0, 200, 0, -1},
			0x07: {"espresso", 8, 45, 0, 0}, 0x08: {"two espressi", 10, 90, 0, 1},
			0x09: {"coffee", 9, 100, 0, 2}, 0x0A: {"two coffees", 10, 200, 0, 3},
		}},
		off: 0x01, dumb: []byte{0x02, 0x03, 0x0B, 0x0C, 0x0D, 0x0E},
		deadly: map[byte]string{0x0F: "FA:0F hangs a J6"},
		inputs: func(s state) string {
			return fmt.Sprintf("%02X%02X", 0x04|bit(!s.tray, 4)|bit(!s.water, 5), 0x80)
		},
	},
	"EF658M": {
		answer: "EF658M V03.03",
		pages: []map[byte]drink{{
			0x01: {"ristretto", 8, 30, 0, 1}, 0x02: {"espresso", 8, 45, 0, 0}, 0x03: {"coffee", 9, 100, 0, 2},
			0x08: {"hot water", 0, 200, 0, -1},
		}},
		dumb: []byte{0x04, 0x05, 0x06, 0x07, 0x09, 0x0B},
		parts: map[byte]part{
			0x01: {out: driver.Pump, on: true}, 0x02: {out: driver.Pump},
			0x03: {out: driver.Heater, on: true}, 0x04: {out: driver.Heater},
			0x07: {out: driver.Grinder, on: true}, 0x08: {out: driver.Grinder},
			0x09: {out: driver.Grinder, on: true}, 0x0A: {out: driver.Grinder}, // the right one: the plant has one
			0x0D: {act: "init"}, 0x0F: {act: "elsewhere"}, 0x13: {act: "brewing"},
		},
		memory: 0x280,
		inputs: func(s state) string { return fmt.Sprintf("03%02XEE", 0x01|bit(!s.drawer, 1)) },
	},
	"EF516M": {
		answer: "EF516M V01.25",
		pages: []map[byte]drink{{
			0x03: {"espresso", 8, 45, 0, 0}, 0x04: {"two espressi", 10, 90, 0, -1},
			0x05: {"coffee", 9, 100, 0, 2}, 0x06: {"two coffees", 10, 200, 0, -1},
			0x09: {"cappuccino", 8, 45, 60, 4}, 0x0A: {"latte", 8, 45, 120, 5},
			0x0C: {"hot water", 0, 200, 0, -1}, 0x0E: {"milk", 0, 0, 60, -1},
		}},
		off: 0x01, dumb: []byte{0x02, 0x07, 0x08, 0x0B, 0x0D, 0x10, 0x11, 0x12, 0x13},
		inputs: func(s state) string { return fmt.Sprintf("%06X", 0x001006|s.tick%2<<3|s.tick/2%2<<10) },
	},
	"E30": {
		answer: "E30   MASK 3",
		pages:  []map[byte]drink{{}},
		inputs: func(state) string { return "0000" },
	},
}

// Models lists the types that can be played.
func Models() []string { return slices.Sorted(maps.Keys(models)) }

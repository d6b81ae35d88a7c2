package gpio

import (
	"barista/configs/kinds"
	"barista/driver/gpio"
)

// pins are the GPIO chips of this computer.
var pins = kinds.Pins{Board: gpio.Board, Chips: func() ([]kinds.Chip, error) {
	chips, err := gpio.List()
	var out []kinds.Chip
	for _, c := range chips {
		out = append(out, seen(c))
	}
	return out, err
}}

func seen(c gpio.Chip) kinds.Chip {
	d := kinds.Chip{Label: c.Label, Device: c.Device, Lines: len(c.Lines)}
	if c.Header() {
		d.Header = "the 40-pin header of a Raspberry Pi: GPIO0 to GPIO27"
	}
	for _, l := range c.Lines {
		if l.Used {
			d.Held = append(d.Held, kinds.Held{Offset: l.Offset, Name: l.Name, By: l.By})
		}
	}
	return d
}

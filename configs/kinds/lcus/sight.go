package lcus

import (
	"barista/configs/kinds"
	"barista/driver/serial"
)

// sight asks nothing. An LCUS board has a question, FF, but few boards know it, and
// to boards of another make it begins a command.
var sight = kinds.Sight{
	Asks: "An LCUS relay board never answers: a CH340 without a serial number may be one.",
	Mute: func(a serial.Adapter) string {
		if a.Mute() {
			return "it may be an LCUS relay board: these have such an adapter and never answer"
		}
		return ""
	},
}

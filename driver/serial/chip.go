package serial

import (
	"fmt"
	"strings"
)

// chips are the USB adapters that coffee machines and relay boards are wired to,
// by the numbers of those who make the chips.
var chips = map[string]string{
	"1a86:7522": "CH340", "1a86:7523": "CH340", "1a86:5523": "CH341", "4348:5523": "CH340",
	"0403:6001": "FTDI FT232", "0403:6010": "FTDI FT2232", "0403:6011": "FTDI FT4232",
	"0403:6014": "FTDI FT232H", "0403:6015": "FTDI FT230X",
	"10c4:ea60": "CP210x", "10c4:ea70": "CP2105", "10c4:ea71": "CP2108",
	"067b:2303": "PL2303", "067b:23a3": "PL2303", "067b:23c3": "PL2303",
}

// Chip is the name of the adapter's chip, if it is one of those that coffee
// machines and relay boards are wired to; else "".
func (a Adapter) Chip() string {
	return chips[strings.ToLower(a.Vendor+":"+a.Product)]
}

// trades are words in an adapter's own name by which it belongs to somebody
// else's work.
var trades = []string{"zigbee", "z-wave", "zwave", "thread", "conbee", "sonoff", "gps", "gnss", "modem", "arduino", "printer", "obd"}

// Stranger says why a port is better not asked anything, unless a person names
// it: opening a port raises its DTR and RTS lines, and boards of other trades
// take that, or our question, for something. "" is a port that may be asked.
func (s Seen) Stranger() string {
	name := strings.ToLower(s.Text + " " + s.ByID)
	for _, t := range trades {
		if strings.Contains(name, t) {
			return fmt.Sprintf("its name has %q in it: it looks like something else", t)
		}
	}
	switch {
	case s.OnBoard:
		return "it is on the board itself, where a console or a radio may hang"
	case s.Adapter.Chip() == "":
		return "no coffee machine or relay board is known with this adapter"
	}
	return ""
}

// Mute reports an adapter that LCUS boards are made with: a CH340 without a
// serial number.
func (a Adapter) Mute() bool { return strings.HasPrefix(a.Chip(), "CH34") && a.Serial == "" }

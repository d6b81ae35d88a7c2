package modbus

import (
	"context"
	"fmt"
	"strconv"

	"barista/configs/kinds"
	"barista/driver/modbus"
	"barista/driver/serial"
)

// sight asks after a Jura was: its question is a frame with a sum, which a Jura
// drops as half a line.
var sight = kinds.Sight{Turn: 2, Asks: "the relays of a Modbus board at address 1", Ask: ask}

func ask(_ context.Context, l *serial.Line) (kinds.Answer, error) {
	s, err := modbus.Identify(l)
	a := kinds.Answer{Kind: "modbus", Facts: []kinds.Fact{{Name: "address", Value: s.Address}}}
	if s.Refused != 0 {
		a.Text = fmt.Sprintf("a Modbus device at address %d that has no relays (%v)", s.Address, s.Refused)
		return a, err
	}
	relays := "1 relay"
	if s.Relays != 1 {
		relays = fmt.Sprintf("%d relays", s.Relays)
	}
	a.Driver = "modbus"
	a.Text = fmt.Sprintf("a Modbus relay board at address %d; it answers for %s, counted from %d", s.Address, relays, s.First)
	a.Facts = append(a.Facts, kinds.Fact{Name: "relays", Value: s.Relays}, kinds.Fact{Name: "first", Value: s.First})
	a.Hints = map[string]string{"relays": strconv.Itoa(s.Relays), "first": strconv.Itoa(s.First)}
	return a, err
}

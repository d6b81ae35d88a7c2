package gpio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// max31855 is a thermocouple amplifier: it is only read, 32 bits at a time. The
// figures are those of its data sheet.
type max31855 struct {
	port spi.PortCloser
	conn conn.Conn
}

// openMAX31855 may use the port at up to 5 MHz; long wires want less.
func openMAX31855(port spi.PortCloser) (*max31855, error) {
	c, err := port.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	return &max31855{port, c}, nil
}

// period: a conversion takes up to 100 ms and begins anew with each reading.
func (m *max31855) period() time.Duration { return 250 * time.Millisecond }

func (m *max31855) close() error { return m.port.Close() }

func (m *max31855) read() (float64, error) {
	var out, in [4]byte
	if err := m.conn.Tx(out[:], in[:]); err != nil {
		return 0, err
	}
	return decodeMAX31855(binary.BigEndian.Uint32(in[:]))
}

const (
	maxFault    = 1 << 16
	maxOpen     = 1 << 0
	maxGround   = 1 << 1
	maxSupply   = 1 << 2
	maxReserved = 1<<17 | 1<<3 // always 0

	// What a type K thermocouple can say.
	maxLowest, maxHighest = -200.0, 1350.0
)

// decodeMAX31855 reads the chip's word: bits 31 to 18 are the thermocouple in
// steps of 0.25 °C, 15 to 4 the chip itself in steps of 1/16 °C.
func decodeMAX31855(word uint32) (float64, error) {
	switch {
	case word == 0 || word == 1<<32-1:
		// Both lie on a wire that nobody drives. (The thermocouple and the chip at
		// 0.00 °C at once would be the first; not in a coffee machine.)
		return 0, errors.New("the MAX31855 does not answer: wiring, or another chip select?")
	case word&maxReserved != 0:
		return 0, fmt.Errorf("%w: MAX31855 word %08x", errGarbled, word)
	}
	if faults := word & (maxOpen | maxGround | maxSupply); faults != 0 || word&maxFault != 0 {
		switch {
		case faults == 0 || word&maxFault == 0:
			return 0, fmt.Errorf("%w: MAX31855 word %08x", errGarbled, word)
		case faults&maxOpen != 0:
			return 0, errors.New("the thermocouple is open: a broken wire")
		case faults&maxGround != 0:
			return 0, errors.New("the thermocouple is short to ground")
		}
		return 0, errors.New("the thermocouple is short to the supply")
	}
	c := float64(int32(word)>>18) / 4
	if c < maxLowest || c > maxHighest {
		return 0, fmt.Errorf("%w: MAX31855 says %.2f °C", errGarbled, c)
	}
	return c, nil
}

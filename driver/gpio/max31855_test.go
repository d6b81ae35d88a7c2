package gpio

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/conn/v3/spi/spitest"

	"barista/driver"
)

// inside is 25 °C in the chip, so that no word is all zeros.
const inside = 0x1900

// The temperatures are the table of the data sheet.
func TestDecodeMAX31855(t *testing.T) {
	for _, c := range []struct {
		word uint32
		want float64
	}{
		{0b00111110100000<<18 | inside, 1000},
		{0b00000110010011<<18 | inside, 100.75},
		{0b00000001100100<<18 | inside, 25},
		{0b00000000000000<<18 | inside, 0},
		{0b11111111111111<<18 | inside, -0.25},
		{0b11111111111100<<18 | inside, -1},
		{0x05c01a90, 92},
	} {
		if got, err := decodeMAX31855(c.word); err != nil || got != c.want {
			t.Errorf("%08x: %v (%v), want %v", c.word, got, err, c.want)
		}
	}
	for _, c := range []struct {
		word    uint32
		says    string
		garbled bool
	}{
		{0, "the MAX31855 does not answer: wiring, or another chip select?", false},
		{0xffffffff, "the MAX31855 does not answer: wiring, or another chip select?", false},
		{0x7ffc<<16 | 1<<16 | inside | 1, "the thermocouple is open: a broken wire", false},
		{1<<16 | inside | 2, "the thermocouple is short to ground", false},
		{1<<16 | inside | 4, "the thermocouple is short to the supply", false},
		{1<<16 | inside, "the answer is garbled: MAX31855 word 00011900", true},
		{inside | 1, "the answer is garbled: MAX31855 word 00001901", true},
		{1<<17 | inside, "the answer is garbled: MAX31855 word 00021900", true},
		{1<<3 | inside, "the answer is garbled: MAX31855 word 00001908", true},
		{0b01100100000000<<18 | inside, "the answer is garbled: MAX31855 says 1600.00 °C", true},
		{0b11110000011000<<18 | inside, "the answer is garbled: MAX31855 says -250.00 °C", true},
	} {
		_, err := decodeMAX31855(c.word)
		if err == nil || err.Error() != c.says || errors.Is(err, errGarbled) != c.garbled {
			t.Errorf("%08x: %v, want %s", c.word, err, c.says)
		}
	}
}

// A temperature that is taken is in the thermocouple's range, has the chip's
// steps, and no bit of the word says otherwise.
func FuzzMAX31855(f *testing.F) {
	for _, w := range []uint32{0, 0x05c01a90, 0x00010001, 0xffffffff, 0x80000000} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word uint32) {
		c, err := decodeMAX31855(word)
		if err != nil {
			return
		}
		if word&(maxFault|maxReserved|7) != 0 || c < maxLowest || c > maxHighest {
			t.Fatalf("%08x is %v", word, c)
		}
		if back := uint32(int32(c*4))<<18 | word&(1<<18-1); back != word {
			t.Fatalf("%08x is %v, and that is %08x", word, c, back)
		}
	})
}

// The chip is only clocked, four bytes at a time, and never more often than it
// can measure.
func TestMAX31855OverSPI(t *testing.T) {
	answer := func(word uint32) conntest.IO {
		return conntest.IO{W: make([]byte, 4), R: binary.BigEndian.AppendUint32(nil, word)}
	}
	port := &spitest.Playback{Playback: conntest.Playback{Ops: []conntest.IO{answer(0x05c01a90), answer(1<<16 | inside | 1)}, DontPanic: true}}
	f := newFake(t)
	f.port = func(bus, cs int) (spi.PortCloser, error) {
		if bus != 0 || cs != 1 {
			t.Errorf("port %d.%d was opened", bus, cs)
		}
		return port, nil
	}
	cfg := wiring()
	cfg.Temperature = &Temperature{SPI: "SPI0.1"}
	rig := mustOpen(t, f, cfg)
	r, err := rig.Sensors[driver.Temperature].Read()
	if err != nil || r.Value != 92 {
		t.Errorf("%v (%v), want 92", r.Value, err)
	}
	p, err := openMAX31855(&spitest.Playback{Playback: conntest.Playback{DontPanic: true}})
	if err != nil {
		t.Fatal(err)
	}
	if p.period() < 100*time.Millisecond {
		t.Errorf("it is read every %v: each reading begins its measurement anew, which takes 100ms", p.period())
	}
	if _, err := p.read(); err == nil {
		t.Error("a bus that fails")
	}
	late := time.NewTimer(5 * time.Second)
	defer late.Stop()
	for { // the broken wire of the second answer
		if _, err = rig.Sensors[driver.Temperature].Read(); err != nil {
			break
		}
		select {
		case <-late.C:
			t.Fatal("there is no second reading")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a broken wire: %v", err)
	}
	if err := rig.Close(); err != nil {
		t.Error(err)
	}
	if _, err := openMAX31855(port); err == nil {
		t.Error("a port was connected twice")
	}
}

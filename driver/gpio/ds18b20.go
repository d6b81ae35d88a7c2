package gpio

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"periph.io/x/conn/v3/onewire"
)

// ds18b20 is a thermometer on the 1-Wire bus, read through the file in which the
// kernel's w1_therm shows its memory. Each reading of the file is a measurement
// of 750 ms. The figures are those of its data sheet.
type ds18b20 struct {
	files fs.FS
	file  string
}

const oneWireDevices = "sys/bus/w1/devices"

// openDS18B20 sees that the sensor is there.
func openDS18B20(files fs.FS, id string) (*ds18b20, error) {
	d := &ds18b20{files, path.Join(oneWireDevices, id, "w1_slave")}
	if _, err := fs.Stat(files, d.file); err == nil {
		return d, nil
	}
	entries, err := fs.ReadDir(files, oneWireDevices)
	if err != nil {
		return nil, errors.New("there is no 1-Wire bus here: add dtoverlay=w1-gpio to config.txt and start the computer anew")
	}
	var others []string
	for _, e := range entries {
		if oneWireID.MatchString(e.Name()) {
			others = append(others, e.Name())
		}
	}
	if len(others) == 0 {
		return nil, fmt.Errorf("there is no sensor %s on the 1-Wire bus, nor any other: look at the wires and the resistor of 4.7 kΩ", id)
	}
	return nil, fmt.Errorf("there is no sensor %s on the 1-Wire bus, but %s: correct the file", id, strings.Join(others, ", "))
}

func (d *ds18b20) period() time.Duration { return time.Second }

func (d *ds18b20) close() error { return nil }

func (d *ds18b20) read() (float64, error) {
	b, err := fs.ReadFile(d.files, d.file)
	if err != nil {
		return 0, fmt.Errorf("the DS18B20 does not answer: %w", err)
	}
	return decodeDS18B20(b)
}

// decodeDS18B20 reads the kernel's text:
//
//	72 01 4b 46 7f ff 0e 10 57 : crc=57 YES
//	72 01 4b 46 7f ff 0e 10 57 t=23125
//
// Only the nine bytes of the first line count: the second one may be older.
func decodeDS18B20(text []byte) (float64, error) {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	dump, rest, found := strings.Cut(string(first), " : crc=")
	digits := strings.ReplaceAll(dump, " ", "")
	memory, err := hex.DecodeString(digits)
	if !found || err != nil || len(memory) != 9 || len(dump) != 9*3-1 {
		return 0, fmt.Errorf("%w: 1-Wire file %.80q", errGarbled, first)
	}
	if !strings.HasSuffix(rest, " YES") || !onewire.CheckCRC(memory) {
		return 0, fmt.Errorf("%w: the checksum of % x does not fit", errGarbled, memory)
	}
	// A bus that is short to ground reads as zeros, and their checksum fits. Byte
	// 4 holds the resolution, from 9 to 12 bits, between bits that never change.
	if memory[4]&0x9f != 0x1f {
		return 0, fmt.Errorf("%w: % x is no answer of a DS18B20", errGarbled, memory)
	}
	raw := int16(uint16(memory[1])<<8 | uint16(memory[0]))
	if raw == 85*16 && memory[6] == 0x0c {
		// 85 °C is what it holds after power-up, before it has measured; byte 6
		// tells that from a boiler at 85 °C.
		return 0, fmt.Errorf("%w: the DS18B20 has not measured: it lost its power for a moment", errGarbled)
	}
	undefined := 3 - memory[4]>>5&3 // low bits, at less than 12 bits
	c := float64(raw&^(1<<undefined-1)) / 16
	if c < -55 || c > 125 {
		return 0, fmt.Errorf("%w: the DS18B20 says %.2f °C", errGarbled, c)
	}
	return c, nil
}

package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"periph.io/x/conn/v3/onewire"

	"barista/driver"
)

// w1 is the kernel's text for a sensor's memory, its checksum made right.
func w1(temp uint16, config, reserved byte) string {
	m := []byte{byte(temp), byte(temp >> 8), 0x4b, 0x46, config, 0xff, reserved, 0x10}
	m = append(m, onewire.CalcCRC(m))
	return fmt.Sprintf("% x : crc=%02x YES\n% x t=%d\n", m, m[8], m, int(int16(temp))*1000/16)
}

func TestDecodeDS18B20(t *testing.T) {
	for text, want := range map[string]float64{
		// As the kernel's documentation shows it; the checksum is the chip's.
		"72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n": 23.125,
		// The table of the data sheet.
		w1(0x07d0, 0x7f, 0x10): 125,
		w1(0x0550, 0x7f, 0x10): 85, // measured
		w1(0x0191, 0x7f, 0x0f): 25.0625,
		w1(0x00a2, 0x7f, 0x0e): 10.125,
		w1(0x0008, 0x7f, 0x08): 0.5,
		w1(0x0000, 0x7f, 0x10): 0,
		w1(0xfff8, 0x7f, 0x08): -0.5,
		w1(0xff5e, 0x7f, 0x02): -10.125,
		w1(0xfe6f, 0x7f, 0x01): -25.0625,
		w1(0xfc90, 0x7f, 0x10): -55,
		// With 9 bits the low ones say nothing.
		w1(0x0197, 0x1f, 0x0f): 25,
		w1(0x019f, 0x3f, 0x0f): 25.75,
	} {
		if got, err := decodeDS18B20([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"",
		"\n",
		"72 01 4b 46 7f ff 0e 10 57 : crc=57 NO\n72 01 4b 46 7f ff 0e 10 57 t=23125\n",
		"72 01 4b 46 7f ff 0e 10 57 : crc=57\n",
		"73 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n", // a bit turned over
		"72 01 4b 46 7f ff 0e 10 : crc=57 YES\n",
		"72 01 4b 46 7f ff 0e 10 57 00 : crc=57 YES\n",
		"7201 4b 46 7f ff 0e 10 57 : crc=57 YES\n",
		"72 01 4b 46 7f ff 0e 10 xx : crc=57 YES\n",
		"00 00 00 00 00 00 00 00 00 : crc=00 YES\n00 00 00 00 00 00 00 00 00 t=0\n",     // short to ground
		"ff ff ff ff ff ff ff ff ff : crc=c9 NO\n",                                      // nobody there
		"50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n", // has not measured
		w1(0x07d1, 0x7f, 0x10),                                                          // 125.0625
		w1(0xfc8f, 0x7f, 0x10),
		w1(0x0191, 0x00, 0x10),
	} {
		if got, err := decodeDS18B20([]byte(text)); !errors.Is(err, errGarbled) {
			t.Errorf("%q: %v (%v), want no reading", text, got, err)
		}
	}
}

// A temperature that is taken is in the sensor's range and in its steps.
func FuzzDS18B20(f *testing.F) {
	f.Add([]byte(w1(0x0191, 0x7f, 0x0f)))
	f.Add([]byte(w1(0xfe6f, 0x1f, 0x0f)))
	f.Add([]byte("00 00 00 00 00 00 00 00 00 : crc=00 YES\n"))
	f.Add([]byte(" : crc= YES"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := decodeDS18B20(text)
		if err != nil {
			return
		}
		if c < -55 || c > 125 || c*16 != float64(int(c*16)) {
			t.Fatalf("%q is %v", text, c)
		}
	})
}

func TestDS18B20(t *testing.T) {
	f := newFake(t)
	cfg := wiring()
	cfg.Temperature = &Temperature{OneWire: "28-0316a2794cff"}
	fails := func(want string) {
		t.Helper()
		if _, err := open(f.host(), cfg, nil); err == nil || err.Error() != "gpio machine: temperature: "+want {
			t.Errorf("err %v, want %s", err, want)
		}
		if f.line(17).used {
			t.Error("held after a failed open")
		}
	}
	fails("there is no 1-Wire bus here: add dtoverlay=w1-gpio to config.txt and start the computer anew")
	f.files["sys/bus/w1/devices/w1_bus_master1/w1_master_slaves"] = &fstest.MapFile{}
	fails("there is no sensor 28-0316a2794cff on the 1-Wire bus, nor any other: look at the wires and the resistor of 4.7 kΩ")
	f.files["sys/bus/w1/devices/28-000000000001/w1_slave"] = &fstest.MapFile{}
	fails("there is no sensor 28-0316a2794cff on the 1-Wire bus, but 28-000000000001: correct the file")

	const file = "sys/bus/w1/devices/28-0316a2794cff/w1_slave"
	f.files[file] = &fstest.MapFile{Data: []byte(w1(0x0550, 0x7f, 0x10))}
	rig := mustOpen(t, f, cfg)
	r, err := rig.Sensors[driver.Temperature].Read()
	if err != nil || r.Value != 85 {
		t.Errorf("%v (%v), want 85", r.Value, err)
	}

	d, err := openDS18B20(f.files, "28-0316a2794cff")
	if err != nil {
		t.Fatal(err)
	}
	d.files = fstest.MapFS{}
	if _, err := d.read(); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, errGarbled) {
		t.Errorf("a sensor that was unplugged: %v", err)
	}
}

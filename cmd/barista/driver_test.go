package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/jura"
	jurasim "barista/driver/jura/sim"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
	"barista/driver/serial/serialtest"
)

// recordedBy runs the command and returns what it said.
func recordedBy(t *testing.T, args ...string) (recorded, int) {
	t.Helper()
	var out, errs bytes.Buffer
	code := execute(t.Context(), append([]string{"driver", "record", "--json"}, args...), strings.NewReader(""), &out, &errs)
	var r recorded
	if code == 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, &out)
		}
	} else {
		t.Logf("%s%s", &out, &errs)
	}
	return r, code
}

// plays runs a simulator's end of a link, until stop.
func plays(t *testing.T, l *link.Link, run func(context.Context, io.ReadWriteCloser) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
}

// replayed plays a recording in place of the device, and complains about every
// byte that was left over.
func replayed(t *testing.T, path string, baud int, look func(*serial.Port) error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, err := serialtest.ReadRecording(f)
	if err != nil {
		t.Fatal(err)
	}
	tape := serialtest.NewReplay(events)
	port, err := serial.Open(serial.Config{Baud: baud, Dial: tape.Dial})
	if err != nil {
		t.Fatal(err)
	}
	if err := look(port); err != nil {
		t.Error(err)
	}
	_ = port.Close()
	if err := tape.Done(); err != nil {
		t.Error(err)
	}
}

func TestRecordJura(t *testing.T) {
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	m, err := jurasim.New(jurasim.Config{Count: 7})
	if err != nil {
		t.Fatal(err)
	}
	plays(t, l, m.Serve)
	path := filepath.Join(t.TempDir(), "e6.jsonl")
	got, code := recordedBy(t, "--kind", "jura", "--port", l.Device(), "--out", path)
	if code != 0 || got.Answer != "EF532M V02.03, the E6 (2019) (EF532M), 21 products made" {
		t.Errorf("%d: %+v", code, got)
	}
	if len(m.Presses()) > 0 {
		t.Error("recording pressed a key")
	}
	// The recording is the machine now.
	replayed(t, path, 9600, func(p *serial.Port) error {
		g, err := jura.Look(t.Context(), p)
		if g.Products != 21 || g.Answer != "EF532M V02.03" {
			t.Errorf("played again: %+v", g)
		}
		return err
	})
	if _, code := recordedBy(t, "--kind", "jura", "--port", l.Device(), "--out", path); code != term.ExitRefused {
		t.Errorf("over an older recording: %d", code)
	}
}

func TestRecordModbus(t *testing.T) {
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	b := modbussim.New(modbussim.Config{
		Plant: plant.New(plant.Default()).Handle(), Relays: []driver.Part{driver.Grinder, driver.Pump}, Inputs: []driver.Signal{driver.Tank},
		Executed: func(q modbus.Request) {
			if q.Function != modbus.ReadCoils && q.Function != modbus.ReadInputs {
				t.Errorf("recording sent %v", q)
			}
		},
	})
	if err := b.Force(5, true); err != nil {
		t.Fatal(err)
	}
	plays(t, l, b.Run)
	dir := t.TempDir()
	path := filepath.Join(dir, "board.jsonl")
	got, code := recordedBy(t, "--kind", "modbus", "--port", l.Device(), "--out", path)
	if code != 0 || got.Answer != "relays 5 closed, contacts 1 closed" {
		t.Errorf("%d: %+v", code, got)
	}
	replayed(t, path, 9600, func(p *serial.Port) error {
		g, err := modbus.Look(t.Context(), p, modbus.Config{Relays: 8})
		if len(g.Relays) != 8 || !g.Relays[4] || g.Relays[0] || !g.Contacts[0] {
			t.Errorf("played again: %+v", g)
		}
		return err
	})
	// A port that another program has is left alone, and no file stays.
	held, err := serial.Open(serial.Config{Device: l.Device()})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	none := filepath.Join(dir, "none.jsonl")
	if _, code := recordedBy(t, "--kind", "modbus", "--port", l.Device(), "--out", none); code != term.ExitRefused {
		t.Errorf("a port that is held: %d", code)
	}
	if _, code := recordedBy(t, "--kind", "modbus", "--port", filepath.Join(dir, "gone"), "--out", none); code != term.ExitNotFound {
		t.Errorf("a port that is not there: %d", code)
	}
	for _, args := range [][]string{
		{"--kind", "lcus", "--port", l.Device(), "--out", none}, {"--kind", "jura", "--port", "/dev/ttyUSB0", "--out", none},
		{"--kind", "jura", "--out", none}, {"--kind", "jura", "--port", l.Device()}, {"--kind", "jura", "--baud", "19200", "--port", l.Device(), "--out", none},
		{"--kind", "modbus", "--address", "0", "--port", l.Device(), "--out", none},
	} {
		if _, code := recordedBy(t, args...); code != term.ExitUsage {
			t.Errorf("%q: %d", args, code)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a file was left")
	}
}

package modbus_test

import (
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/modbus"
	"barista/driver/serial"
	"barista/driver/serial/link"
)

// python is one that has pymodbus, which is Debian's python3-pymodbus.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import pymodbus.server").Run() == nil {
			return name
		}
	}
	t.Skip("no python3 with pymodbus and serial_asyncio here: apt-get install python3-pymodbus python3-serial-asyncio")
	return ""
}

// TestForeignServer drives a Modbus server that others wrote.
func TestForeignServer(t *testing.T) {
	t.Parallel()
	name := python(t)
	ours, theirs := wire(t), wire(t)
	var cable sync.WaitGroup
	cable.Go(func() { _, _ = io.Copy(onlyWriter{ours}, onlyReader{theirs}) })
	cable.Go(func() { _, _ = io.Copy(onlyWriter{theirs}, onlyReader{ours}) })
	var said strings.Builder
	server := exec.Command(name, "testdata/server.py", theirs.Device())
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_, _ = ours.Close(), theirs.Close()
		cable.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	cfg := modbus.Config{
		Port:   serial.Config{Device: ours.Device()},
		Relays: 8, Timer: modbus.TimerNone,
		Outputs: map[driver.Part]modbus.Relay{driver.Pump: {Number: 2}, driver.Milk: {Number: 8}},
		Inputs:  map[driver.Signal]modbus.Contact{driver.Cup: {Number: 1}, driver.Tank: {Number: 2}, driver.Beans: {Number: 3}},
	}
	var rig driver.Rig
	var err error
	for late := time.Now().Add(30 * time.Second); ; { // it needs a second to start
		if rig, err = modbus.Open(cfg); err == nil {
			break
		}
		if time.Now().After(late) {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
	}
	defer rig.Close()
	// A server in Python on a busy computer is slower than a board now and then:
	// then they are an error, and it is done again.
	again := func(what string, f func() error) {
		t.Helper()
		err := f()
		for late := time.Now().Add(30 * time.Second); err != nil; err = f() {
			if time.Now().After(late) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	for s, want := range map[driver.Signal]bool{driver.Cup: true, driver.Tank: false, driver.Beans: true} {
		again("reading "+string(s), func() error {
			r, err := rig.Sensors[s].Read()
			if err == nil && r.Yes() != want {
				t.Fatalf("%s: %v", s, r)
			}
			return err
		})
	}
	// On and Off read back what the server keeps: their word is the proof.
	for _, p := range []driver.Part{driver.Pump, driver.Milk, driver.Pump} {
		again("on", func() error { return rig.Outputs[p].On(time.Second) })
		again("off", rig.Outputs[p].Off)
	}
	cfg.Relays, cfg.Outputs = 9, map[driver.Part]modbus.Relay{driver.Pump: {Number: 9}}
	_ = rig.Close()
	again("a relay that is not there", func() error {
		_, err := modbus.Open(cfg)
		if err == nil || strings.Contains(err.Error(), "exception 2") {
			return nil
		}
		return err
	})
}

func wire(t *testing.T) *link.Link {
	t.Helper()
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// onlyReader and onlyWriter keep io.Copy to one side of a link.
type (
	onlyReader struct{ r io.Reader }
	onlyWriter struct{ w io.Writer }
)

func (x onlyReader) Read(p []byte) (int, error)  { return x.r.Read(p) }
func (x onlyWriter) Write(p []byte) (int, error) { return x.w.Write(p) }

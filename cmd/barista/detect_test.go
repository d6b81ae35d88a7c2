package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/gpio"
	"barista/driver/jura"
	jurasim "barista/driver/jura/sim"
	"barista/driver/lcus"
	lcussim "barista/driver/lcus/sim"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

// standIn is a tree of files that stands for a computer, with ports that
// programs play.
type standIn struct {
	t    *testing.T
	root string
}

func newStandIn(t *testing.T) standIn {
	t.Helper()
	c := standIn{t, t.TempDir()}
	for _, dir := range []string{"dev", "sys/class/tty", "proc"} {
		c.must(os.MkdirAll(filepath.Join(c.root, dir), 0o700))
	}
	return c
}

func (c standIn) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c standIn) put(path, text string) {
	c.t.Helper()
	path = filepath.Join(c.root, path)
	c.must(os.MkdirAll(filepath.Dir(path), 0o700))
	c.must(os.WriteFile(path, []byte(text+"\n"), 0o600))
}

func (c standIn) link(to, path string) {
	c.t.Helper()
	path = filepath.Join(c.root, path)
	c.must(os.MkdirAll(filepath.Dir(path), 0o700))
	c.must(os.Symlink(to, path))
}

// plug plugs an adapter with a device behind it in, and returns the name that
// detect should give it.
func (c standIn) plug(tty, vendor, product, number, text, device string) string {
	c.t.Helper()
	usb := "sys/devices/usb1/" + tty
	c.put(usb+"/idVendor", vendor)
	c.put(usb+"/idProduct", product)
	c.put(usb+"/product", text)
	if number != "" {
		c.put(usb+"/serial", number)
	}
	c.put(usb+"/1:1.0/"+tty+"/port_number", "0")
	c.link(filepath.Join(c.root, usb+"/1:1.0/"+tty), "sys/class/tty/"+tty+"/device")
	c.link(device, "dev/"+tty)
	c.link("../../"+tty, "dev/serial/by-path/platform-usb-0:"+tty+"-port0")
	if number != "" {
		c.link("../../"+tty, "dev/serial/by-id/usb-"+number+"-port0")
		return filepath.Join(c.root, "dev/serial/by-id/usb-"+number+"-port0")
	}
	return filepath.Join(c.root, "dev/serial/by-path/platform-usb-0:"+tty+"-port0")
}

// playing runs a simulator on a port of its own.
func playing(t *testing.T, run func(context.Context, io.ReadWriteCloser) error) (device string) {
	t.Helper()
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("harm: %v", err)
		}
	})
	return l.Device()
}

// ear notes what it is sent and says nothing, or speaks first.
type ear struct {
	mu    sync.Mutex
	heard []byte
	first string
}

func (e *ear) run(ctx context.Context, conn io.ReadWriteCloser) error {
	var all sync.WaitGroup
	all.Go(func() {
		buf := make([]byte, 256)
		for {
			n, err := conn.Read(buf)
			e.mu.Lock()
			e.heard = append(e.heard, buf[:n]...)
			e.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for ctx.Err() == nil {
		if e.first != "" {
			_, _ = io.WriteString(conn, e.first)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
	err := conn.Close()
	all.Wait()
	return err
}

func (e *ear) bytes() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.heard)
}

// untouched wants a plant in which no contact ever moved.
func untouched(t *testing.T, p *plant.Plant, what string) {
	t.Helper()
	if n := p.Counts(); n.Edges > 0 || n.Drinks > 0 || len(n.Harm) > 0 || len(n.OnNow()) > 0 {
		t.Errorf("%s: %+v", what, n)
	}
}

// TestDetect finds real simulators behind a computer made of files: a Jura, a
// Modbus board, an LCUS board, one that is silent, one that talks, one that is
// held, one of another trade. Nothing moves.
func TestDetect(t *testing.T) {
	c := newStandIn(t)
	m, err := jurasim.New(jurasim.Config{Count: 5})
	c.must(err)
	life, die := context.WithCancel(context.Background())
	lived := make(chan error, 1)
	go func() { lived <- m.Run(life) }()
	t.Cleanup(func() {
		die()
		if err := <-lived; err != nil {
			t.Errorf("harm: %v", err)
		}
	})
	var mu sync.Mutex
	var asked []modbus.Request
	var obeyed []lcus.Frame
	parts := []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar}
	mp, lp := plant.New(plant.Default()), plant.New(plant.Default())
	board := modbussim.New(modbussim.Config{Plant: mp.Handle(), Relays: parts, Executed: func(r modbus.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r)
	}})
	cheap := lcussim.New(lcussim.Config{Plant: lp.Handle(), Relays: parts, Answers: lcus.AnswersText, Executed: func(f lcus.Frame) {
		mu.Lock()
		defer mu.Unlock()
		obeyed = append(obeyed, f)
	}})
	silent, talker, held, stick, onBoard := &ear{}, &ear{first: "$GPGGA,1,2,3\r\n"}, &ear{}, &ear{}, &ear{}

	names := map[string]string{
		"jura":   c.plug("ttyUSB0", "0403", "6001", "A1", "FT232R USB UART", playing(t, m.Serve)),
		"modbus": c.plug("ttyUSB1", "10c4", "ea60", "B2", "CP2102 USB to UART", playing(t, board.Run)),
		"lcus":   c.plug("ttyUSB2", "1a86", "7523", "", "USB Serial", playing(t, cheap.Run)),
		"silent": c.plug("ttyUSB3", "067b", "2303", "C3", "USB-Serial\x1b[2J Controller", playing(t, silent.run)),
		"talker": c.plug("ttyUSB4", "067b", "2303", "D4", "USB-Serial Controller", playing(t, talker.run)),
		"stick":  c.plug("ttyUSB6", "10c4", "ea60", "F6", "Sonoff Zigbee 3.0 USB Dongle Plus", playing(t, stick.run)),
	}
	busy := playing(t, held.run)
	names["held"] = c.plug("ttyUSB5", "0403", "6001", "E5", "FT232R USB UART", busy)
	c.link(busy, "proc/711/fd/3")
	c.put("proc/711/comm", "screen")
	c.link(playing(t, onBoard.run), "dev/ttyAMA0")
	c.put("sys/devices/platform/uart/uevent", "")
	c.link(filepath.Join(c.root, "sys/devices/platform/uart"), "sys/class/tty/ttyAMA0/device")
	names["board"] = filepath.Join(c.root, "dev/ttyAMA0")

	h := hereBelow(c.root)
	h.board = func() string { return "Raspberry Pi 4 Model B Rev 1.4" }
	h.chips = func() ([]gpio.Chip, error) {
		lines := make([]gpio.LineInfo, 58)
		lines[17] = gpio.LineInfo{Offset: 17, Name: "GPIO17", Used: true, By: "barista grinder"}
		lines[40] = gpio.LineInfo{Offset: 40, Used: true}
		return []gpio.Chip{{Label: "pinctrl-bcm2711", Device: "gpiochip0", Lines: lines}, {Label: "raspberrypi-exp-gpio", Lines: make([]gpio.LineInfo, 8)}}, errors.New("cannot open /dev/gpiochip2: permission denied")
	}
	began := time.Now()
	var said []string
	found, err := h.detect(t.Context(), nil, probeKnown, func(format string, a ...any) { said = append(said, format) })
	c.must(err)
	t.Logf("%v", time.Since(began))
	by := map[string]detectedPort{}
	for _, p := range found.Ports {
		by[p.Port] = p
	}
	if len(by) != len(names) || len(said) != 6 {
		t.Errorf("%d ports, %d lines of progress", len(by), len(said))
	}
	if a := by[names["jura"]].Answer; a == nil || a.Kind != "jura" || a.Model != "EF532M" || a.Type != "EF532M V02.03" || a.Driver != "jura" || a.Products != 15 {
		t.Errorf("jura: %+v, %s", a, by[names["jura"]].Trouble)
	}
	if a := by[names["modbus"]].Answer; a == nil || a.Kind != "modbus" || a.Relays != 8 || a.First != 0 || a.Driver != "modbus" {
		t.Errorf("modbus: %+v", a)
	}
	if p := by[names["lcus"]]; p.Answer != nil || !p.Asked || !strings.Contains(p.Guess, "may be an LCUS relay board") {
		t.Errorf("lcus: %+v", p)
	}
	if p := by[names["silent"]]; p.Answer != nil || !p.Asked || p.Guess != "" || p.Trouble != "" {
		t.Errorf("silent: %+v", p)
	}
	if p := by[names["talker"]]; !strings.Contains(p.Trouble, "talks without being asked") {
		t.Errorf("talker: %+v", p)
	}
	if p := by[names["held"]]; p.Asked || len(p.HeldBy) != 1 || !strings.Contains(p.NotAsked, `open in "screen" (711)`) {
		t.Errorf("held: %+v", p)
	}
	for _, who := range []string{"stick", "board"} {
		if p := by[names[who]]; p.Asked || !strings.Contains(p.NotAsked, "name the port, or give --probe") {
			t.Errorf("%s: %+v", who, p)
		}
	}
	for what, e := range map[string]*ear{"the talker": talker, "the held port": held, "the stick": stick, "the port on the board": onBoard} {
		if b := e.bytes(); len(b) > 0 {
			t.Errorf("%s was sent % X", what, b)
		}
	}

	var text strings.Builder
	found.text(&text)
	for _, want := range []string{
		"a Jura E6 (2019) (EF532M); it can be ordered from", "has made 15 products", "barista setup makes a machine of it, driver: jura",
		"a Modbus relay board at address 1; it answers for 8 relays, counted from 0",
		"GPIO chip pinctrl-bcm2711: 58 lines; the 40-pin header", "GPIO17 is held by barista grinder", "line 40 is held by somebody who gave no name",
		"this computer: Raspberry Pi 4 Model B Rev 1.4", "not seen: cannot open /dev/gpiochip2",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Error("an adapter's name acts on the terminal")
	}

	// What nobody wanted is not asked; what is named is, but not if it is held.
	if found, err := h.detect(t.Context(), nil, probeNone, func(string, ...any) {}); err != nil || slices.ContainsFunc(found.Ports, func(p detectedPort) bool { return p.Asked }) {
		t.Errorf("%v", err)
	}
	two, err := h.detect(t.Context(), []string{names["board"], names["held"]}, probeKnown, func(string, ...any) {})
	c.must(err)
	if !two.Ports[0].Asked || two.Ports[1].Asked || len(onBoard.bytes()) == 0 || len(held.bytes()) > 0 {
		t.Errorf("named: %+v", two.Ports)
	}
	if _, err := h.detect(t.Context(), []string{"/dev/none"}, probeKnown, func(string, ...any) {}); explain(err).Exit != term.ExitNotFound {
		t.Errorf("a port that is not there: %v", err)
	}

	untouched(t, m.Plant(), "jura")
	untouched(t, mp, "modbus")
	untouched(t, lp, "lcus")
	mu.Lock()
	defer mu.Unlock()
	for _, r := range asked {
		if r.Function != modbus.ReadCoils {
			t.Errorf("the board was told: %v", r)
		}
	}
	if len(asked) == 0 || len(obeyed) > 0 || len(m.Presses()) > 0 {
		t.Errorf("modbus %v, lcus %v, jura %v", asked, obeyed, m.Presses())
	}
	harmless(t, silent.bytes())
}

// harmless holds what a silent device was sent against every decoder: nothing in
// it, wherever one begins to read, is a command of a board, and it ends no line of
// a device that reads lines.
func harmless(t *testing.T, sent []byte) {
	t.Helper()
	question := jura.AppendLine(nil, "TY:", jura.LowFiller)
	if n := bytes.Count(sent, question); n != 2 {
		t.Errorf("TY: was sent %d times in % X", n, sent)
	}
	for _, b := range []byte("\r\n\xA0\xFF") {
		if bytes.IndexByte(sent, b) >= 0 {
			t.Errorf("%02X is a line's end, or the beginning of a frame: % X", b, sent)
		}
	}
	reads := 0
	for i := range sent {
		for j := i + 1; j <= min(len(sent), i+64); j++ {
			if f, err := lcus.DecodeFrame(sent[i:j]); err == nil {
				t.Errorf("%d: %v", i, f)
			}
			if r, err := modbus.DecodeRequest(sent[i:j]); err == nil {
				reads++
				if r.Function != modbus.ReadCoils || r.Address != 1 {
					t.Errorf("%d: %v", i, r)
				}
			}
		}
		// A Jura that takes what was meant for a board: it can't know where a
		// character begins, so at any byte.
		var lines jura.Lines
		for _, b := range bytes.ReplaceAll(sent, question, nil)[min(i, len(sent)-2*len(question)):] {
			if line, whole := lines.Feed(b); whole {
				t.Errorf("a Jura would read %q", line)
			}
		}
	}
	// What a board that answers is asked beyond that.
	for first := range uint16(2) {
		for n := uint16(1); n <= modbus.MaxRelays; n *= 2 {
			frame := modbus.Read(1, modbus.ReadCoils, first, n).Append(nil)
			for i := range frame {
				for j := i + 1; j <= len(frame); j++ {
					if f, err := lcus.DecodeFrame(frame[i:j]); err == nil {
						t.Errorf("%v in % X", f, frame)
					}
				}
			}
		}
	}
	if reads == 0 {
		t.Error("no question for relays was found: the test is blind")
	}
}

// TestDetectIsInTime: silent ports take three seconds at most, all at once.
func TestDetectIsInTime(t *testing.T) {
	c := newStandIn(t)
	for _, n := range []string{"1", "2", "3"} {
		c.plug("ttyUSB"+n, "0403", "6001", "A"+n, "FT232R", playing(t, (&ear{}).run))
	}
	began := time.Now()
	found, err := hereBelow(c.root).detect(t.Context(), nil, probeKnown, func(string, ...any) {})
	c.must(err)
	if took := time.Since(began); took > silentWithin+time.Second || len(found.Ports) != 3 {
		t.Errorf("%v, %+v", took, found.Ports)
	}
}

// TestDetectStops: an interrupt ends it at once.
func TestDetectStops(t *testing.T) {
	c := newStandIn(t)
	c.plug("ttyUSB1", "0403", "6001", "A1", "FT232R", playing(t, (&ear{}).run))
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	_, err := hereBelow(c.root).detect(ctx, nil, probeKnown, func(string, ...any) { cancel() })
	if err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

package detect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/cmd/barista/detect/detecttest"
	"barista/cmd/barista/term"
	"barista/configs/kinds"
	kindjura "barista/configs/kinds/jura"
	kindlcus "barista/configs/kinds/lcus"
	kindmodbus "barista/configs/kinds/modbus"
	"barista/driver"
	"barista/driver/jura"
	jurasim "barista/driver/jura/sim"
	"barista/driver/lcus"
	lcussim "barista/driver/lcus/sim"
	"barista/driver/modbus"
	modbussim "barista/driver/modbus/sim"
	"barista/driver/plant"
)

// table has the kinds out of their turn.
var table = kinds.Table{kindmodbus.Kind, kindlcus.Kind, kindjura.Kind}

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

// TestDetect finds real simulators behind a computer made of files: a Jura, a
// Modbus board, an LCUS board, one that is silent, one that talks, one that is
// held, one of another trade. Nothing moves.
func TestDetect(t *testing.T) {
	c := detecttest.New(t)
	m, err := jurasim.New(jurasim.Config{Count: 5})
	c.Must(err)
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
		"jura":   c.Plug("ttyUSB0", "0403", "6001", "A1", "FT232R USB UART", detecttest.Play(t, m.Serve)),
		"modbus": c.Plug("ttyUSB1", "10c4", "ea60", "B2", "CP2102 USB to UART", detecttest.Play(t, board.Run)),
		"lcus":   c.Plug("ttyUSB2", "1a86", "7523", "", "USB Serial", detecttest.Play(t, cheap.Run)),
		"silent": c.Plug("ttyUSB3", "067b", "2303", "C3", "USB-Serial\x1b[2J Controller", detecttest.Play(t, silent.run)),
		"talker": c.Plug("ttyUSB4", "067b", "2303", "D4", "USB-Serial Controller", detecttest.Play(t, talker.run)),
		"stick":  c.Plug("ttyUSB6", "10c4", "ea60", "F6", "Sonoff Zigbee 3.0 USB Dongle Plus", detecttest.Play(t, stick.run)),
	}
	busy := detecttest.Play(t, held.run)
	names["held"] = c.Plug("ttyUSB5", "0403", "6001", "E5", "FT232R USB UART", busy)
	c.Link(busy, "proc/711/fd/3")
	c.Put("proc/711/comm", "screen")
	c.Link(detecttest.Play(t, onBoard.run), "dev/ttyAMA0")
	c.Put("sys/devices/platform/uart/uevent", "")
	c.Link(filepath.Join(c.Root, "sys/devices/platform/uart"), "sys/class/tty/ttyAMA0/device")
	names["board"] = filepath.Join(c.Root, "dev/ttyAMA0")

	h := Below(c.Root, table)
	lines := []kinds.Held{{Offset: 17, Name: "GPIO17", By: "barista grinder"}, {Offset: 40}}
	h.pins = []kinds.Pins{{
		Board: func() string { return "Raspberry Pi 4 Model B Rev 1.4" },
		Chips: func() ([]kinds.Chip, error) {
			return []kinds.Chip{
				{Label: "pinctrl-bcm2711", Device: "gpiochip0", Lines: 58, Header: "the 40-pin header of a Raspberry Pi", Held: lines},
				{Label: "raspberrypi-exp-gpio", Lines: 8},
			}, errors.New("cannot open /dev/gpiochip2: permission denied")
		},
	}}
	began := time.Now()
	var said []string
	found, err := h.Look(t.Context(), nil, Known, func(format string, a ...any) { said = append(said, format) })
	c.Must(err)
	t.Logf("%v", time.Since(began))
	by := map[string]Port{}
	for _, p := range found.Ports {
		by[p.Port] = p
	}
	if len(by) != len(names) || len(said) != 6 {
		t.Errorf("%d ports, %d lines of progress", len(by), len(said))
	}
	if a := by[names["jura"]].Answer; a == nil || a.Kind != "jura" || a.Driver != "jura" || a.Hints["model"] != "EF532M" {
		t.Errorf("jura: %+v, %s", a, by[names["jura"]].Trouble)
	}
	if a := by[names["modbus"]].Answer; a == nil || a.Kind != "modbus" || a.Driver != "modbus" || a.Hints["relays"] != "8" || a.Hints["first"] != "0" {
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

	for who, want := range map[string]string{
		"jura":   `{"kind":"jura","driver":"jura","text":"a Jura E6 (2019) (EF532M); it can be ordered from","type":"EF532M V02.03","model":"EF532M","products":15}`,
		"modbus": `{"kind":"modbus","driver":"modbus","text":"a Modbus relay board at address 1; it answers for 8 relays, counted from 0","address":1,"relays":8}`,
	} {
		if got, err := json.Marshal(by[names[who]].Answer); err != nil || string(got) != want {
			t.Errorf("%s in JSON: %s, %v", who, got, err)
		}
	}

	var text strings.Builder
	found.Text(&text)
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
	if found, err := h.Look(t.Context(), nil, None, func(string, ...any) {}); err != nil || slices.ContainsFunc(found.Ports, func(p Port) bool { return p.Asked }) {
		t.Errorf("%v", err)
	}
	two, err := h.Look(t.Context(), []string{names["board"], names["held"]}, Known, func(string, ...any) {})
	c.Must(err)
	if !two.Ports[0].Asked || two.Ports[1].Asked || len(onBoard.bytes()) == 0 || len(held.bytes()) > 0 {
		t.Errorf("named: %+v", two.Ports)
	}
	var gone *term.Error
	if _, err := h.Look(t.Context(), []string{"/dev/none"}, Known, func(string, ...any) {}); !errors.As(err, &gone) || gone.Exit != term.ExitNotFound {
		t.Errorf("a port that is not there: %v", err)
	}

	detecttest.Untouched(t, m.Plant(), "jura")
	detecttest.Untouched(t, mp, "modbus")
	detecttest.Untouched(t, lp, "lcus")
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
	if n := bytes.Count(sent, question); n != 2 || !bytes.HasPrefix(sent, question) {
		t.Errorf("TY: was sent %d times in % X, wanted 2, and before anything else", n, sent)
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
	c := detecttest.New(t)
	for _, n := range []string{"1", "2", "3"} {
		c.Plug("ttyUSB"+n, "0403", "6001", "A"+n, "FT232R", detecttest.Play(t, (&ear{}).run))
	}
	began := time.Now()
	found, err := Below(c.Root, table).Look(t.Context(), nil, Known, func(string, ...any) {})
	c.Must(err)
	if took := time.Since(began); took > silentWithin+time.Second || len(found.Ports) != 3 {
		t.Errorf("%v, %+v", took, found.Ports)
	}
}

// TestDetectStops: an interrupt ends it at once.
func TestDetectStops(t *testing.T) {
	c := detecttest.New(t)
	c.Plug("ttyUSB1", "0403", "6001", "A1", "FT232R", detecttest.Play(t, (&ear{}).run))
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	_, err := Below(c.Root, table).Look(ctx, nil, Known, func(string, ...any) { cancel() })
	if err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

package sim_test

import (
	"context"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/modbus/sim"
	"barista/driver/plant"
	"barista/driver/serial/serialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// played is a board on a cable in memory. say sends bytes and returns what came
// within a second.
type played struct {
	t     *testing.T
	plant *plant.Plant
	board *sim.Board
	cable *serialtest.Cable
	heard []string
	ended chan error
	stop  context.CancelFunc
}

func play(t *testing.T, cfg sim.Config) *played {
	p := &played{t: t, plant: plant.New(plant.Default()), cable: serialtest.New(1), ended: make(chan error, 1)}
	cfg.Plant = p.plant.Handle()
	cfg.Relays = []driver.Part{driver.Grinder, driver.Pump}
	p.board = sim.New(cfg)
	p.cable.Device().Tap(func(b []byte) { p.heard = append(p.heard, strings.ToUpper(hex.EncodeToString(b))) })
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	go func() { p.ended <- p.board.Run(ctx, p.cable.Device()) }()
	return p
}

func (p *played) say(texts ...string) []string {
	p.t.Helper()
	p.heard = nil
	for _, text := range texts {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.cable.Host().Write(b); err != nil {
			p.t.Fatal(err)
		}
	}
	p.pass(time.Second)
	return p.heard
}

// pass lets time pass, and the board come to rest.
func (p *played) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (p *played) end(want string) {
	p.t.Helper()
	p.stop()
	if err := <-p.ended; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		p.t.Errorf("the board ended with %v, want %q", err, want)
	}
}

const (
	read8   = "01 01 00 00 00 08 3D CC"
	relay1  = "01 05 00 00 FF 00 8C 3A"
	flash07 = "01 05 02 00 00 07 8D B0"
)

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, sim.Config{})
		for _, c := range []struct {
			say, want string
		}{
			{read8, "010101005188"},
			{relay1, "01050000FF008C3A"},
			{read8, "010101019048"},
			{"01 0F 00 00 00 08 01 00 FE 95", "010F00000008540D"},
			{read8, "010101005188"},
			{"01 05 00 C8 FF 00 0D C4", "018502C351"}, // there is no coil 200
			{"02 01 00 00 00 08 3D FF", ""},           // another board's
			{"01 05 00 00 FF 00 8C 3B", ""},           // damaged
			{"01 05 00 00 FF", ""},                    // half
			{"00 05 00 FF 00 00 FC 2B", ""},           // for everybody: nobody answers
		} {
			if diff := cmp.Diff(c.want, strings.Join(p.say(c.say), "")); diff != "" {
				t.Errorf("%s: %s", c.say, diff)
			}
		}
		p.end("")
	})
}

// Two frames without a silence between them are one broken frame; a frame that
// comes while the one before is still on the wire spoils both.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, sim.Config{})
		if got := p.say(read8 + relay1); len(got) != 0 {
			t.Errorf("together: %v", got)
		}
		p.heard = nil
		b, _ := hex.DecodeString(strings.ReplaceAll(read8, " ", ""))
		for _, pause := range []time.Duration{12 * time.Millisecond, 14 * time.Millisecond} { // the frame takes 9.2 ms, the silence 4
			p.heard = nil
			_, _ = p.cable.Host().Write(b)
			time.Sleep(pause)
			_, _ = p.cable.Host().Write(b)
			p.pass(time.Second)
			if got, want := len(p.heard), map[bool]int{true: 2}[pause > 13*time.Millisecond]; got != want {
				t.Errorf("%v apart: %d answers, want %d", pause, got, want)
			}
		}
		if _, err := io.ReadFull(p.cable.Host(), make([]byte, 12)); err != nil {
			t.Fatal(err)
		}
		// Nor may it come at once behind the board's own answer.
		for _, pause := range []time.Duration{2 * time.Millisecond, 5 * time.Millisecond} {
			p.heard = nil
			_, _ = p.cable.Host().Write(b)
			answer := make([]byte, 6)
			if _, err := io.ReadFull(p.cable.Host(), answer); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
			_, _ = p.cable.Host().Write(b)
			p.pass(time.Second)
			if got, want := len(p.heard), map[bool]int{true: 2, false: 1}[pause > 4*time.Millisecond]; got != want {
				t.Errorf("%v behind an answer: %d answers, want %d", pause, got, want)
			}
			if len(p.heard) == 2 {
				_, _ = io.ReadFull(p.cable.Host(), answer)
			}
		}
		p.end("")
	})
}

// Flash-on ends by itself, with nobody there.
func TestFlashEndsWithoutHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, sim.Config{})
		p.heard = nil
		b, _ := hex.DecodeString(strings.ReplaceAll(flash07, " ", ""))
		_, _ = p.cable.Host().Write(b)
		time.Sleep(100 * time.Millisecond)
		p.cable.Cut()
		p.end("")
		if !p.plant.On(driver.Grinder) || !p.board.On(1) {
			t.Error("off when the host went")
		}
		time.Sleep(590 * time.Millisecond)
		if !p.board.On(1) {
			t.Error("off too early")
		}
		time.Sleep(30 * time.Millisecond)
		if p.plant.On(driver.Grinder) || p.board.On(1) {
			t.Error("on after its time")
		}
	})
}

func TestHoldsWithoutHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, sim.Config{})
		p.say(relay1)
		p.cable.Cut()
		p.end("")
		time.Sleep(10 * time.Second)
		if !p.plant.On(driver.Grinder) {
			t.Error("a relay fell when its host went")
		}
	})
}

// What harms ends the board with an error.
func TestHarm(t *testing.T) {
	for name, c := range map[string]struct{ say, want string }{
		"toggle":                {"01 05 00 00 55 00 F2 9A", "harm: a relay was toggled"},
		"all on":                {"01 05 00 FF FF 00 BC 0A", "harm: all relays were switched on at once"},
		"a grinder without end": {relay1, "harm: the grinder turned for"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, sim.Config{})
				p.say(c.say)
				time.Sleep(10 * time.Minute)
				p.end(c.want)
			})
		})
	}
}

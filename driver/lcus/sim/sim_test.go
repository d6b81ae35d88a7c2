package sim_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/lcus"
	"barista/driver/lcus/sim"
	"barista/driver/plant"
	"barista/driver/serial/serialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// play runs a board on a cable in memory; end stops it and returns its error.
func play(t *testing.T, cfg sim.Config) (p *plant.Plant, b *sim.Board, c *serialtest.Cable, end func() error) {
	p, c = plant.New(plant.Default()), serialtest.New(1)
	cfg.Plant = p.Handle()
	cfg.Relays = []driver.Part{driver.Grinder, driver.Pump}
	b = sim.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, c.Device()) }()
	return p, b, c, func() error { cancel(); return <-ended }
}

// The relay holds when the host is gone; the plant's harm ends the board.
func TestHoldsAndHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, c, end := play(t, sim.Config{})
		_, _ = c.Host().Write(lcus.Frame{Channel: 1, On: true}.Append(nil))
		time.Sleep(time.Second)
		if !p.On(driver.Grinder) || !b.On(1) || b.On(2) {
			t.Error("relay 1 is not on")
		}
		time.Sleep(10 * time.Minute)
		if err := end(); err == nil || !strings.Contains(err.Error(), "harm: the grinder turned for") {
			t.Error(err)
		}
		if !p.On(driver.Grinder) {
			t.Error("the relay fell when the host went")
		}
	})
}

// busy is a line on a computer that has not looked at it for so long.
type busy struct {
	*serialtest.End
	unseen time.Duration
}

func (b busy) Since() time.Time { return time.Now().Add(-b.unseen) }

// Frames that are read at once are taken as far as they can have kept their
// distance, each to the one before it.
func TestReadAtOnce(t *testing.T) {
	for unseen, want := range map[time.Duration]int{ // a frame takes 4.2 ms, and 10 ms of distance
		0: 1, 14 * time.Millisecond: 1, 15 * time.Millisecond: 2, 28 * time.Millisecond: 2, 29 * time.Millisecond: 3, time.Minute: 3,
	} {
		synctest.Test(t, func(t *testing.T) {
			p, c := plant.New(plant.Endless()), serialtest.New(1)
			done := 0
			b := sim.New(sim.Config{Plant: p.Handle(), Executed: func(lcus.Frame) { done++ }})
			ended := make(chan error, 1)
			go func() { ended <- b.Run(t.Context(), busy{c.Device(), unseen}) }()
			var three []byte
			for n := range 3 {
				three = lcus.Frame{Channel: n + 1, On: true}.Append(three)
			}
			_, _ = c.Host().Write(three)
			time.Sleep(time.Second)
			synctest.Wait()
			if done != want {
				t.Errorf("not looked for %v: %d frames were taken, want %d", unseen, done, want)
			}
			c.Cut()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDialects(t *testing.T) {
	for dialect, want := range map[lcus.Answers]string{
		"": "", lcus.AnswersNone: "", lcus.AnswersBytes: "\x00\x01", lcus.AnswersText: "CH1:OFF\r\nCH2: ON\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			_, _, c, end := play(t, sim.Config{Answers: dialect, Count: 2})
			var got string
			c.Device().Tap(func(b []byte) { got += string(b) })
			_, _ = c.Host().Write(lcus.Frame{Channel: 2, On: true}.Append(nil))
			time.Sleep(time.Second)
			_, _ = c.Host().Write([]byte{lcus.Query})
			time.Sleep(time.Second)
			synctest.Wait()
			if got != want {
				t.Errorf("%s: %q, want %q", dialect, got, want)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
		})
	}
}

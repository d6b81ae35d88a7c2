package jura_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/jura"
	"barista/driver/jura/sim"
	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

func (b *bench) a() driver.Appliance { return b.rig.Appliance }

func (b *bench) start(name string) error {
	return b.a().Start(context.Background(), driver.Product{Key: name, Cycles: 1})
}

// count reads the counter.
func (b *bench) count() int {
	b.t.Helper()
	n, err := b.a().Counter(context.Background())
	if err != nil {
		b.t.Errorf("counter: %v", err)
	}
	return n
}

// rest waits for the end of a product.
func (b *bench) rest() {
	b.t.Helper()
	begin := time.Now()
	for worked := false; time.Since(begin) < 10*time.Minute; time.Sleep(500 * time.Millisecond) {
		busy, err := b.a().Busy(context.Background())
		if err == nil && !busy && (worked || time.Since(begin) > 20*time.Second) {
			return
		}
		worked = worked || busy
	}
	b.t.Error("it does not come to rest")
}

func (b *bench) ready(want string) {
	b.t.Helper()
	if want == "" {
		b.prove()
		return
	}
	err := b.a().Ready(context.Background())
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		b.t.Errorf("ready: %v, want %q", err, want)
	}
}

func TestReadyInWords(t *testing.T) {
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		b.ready("")
		for _, c := range []struct {
			fault sim.Fault
			want  string
		}{
			{sim.NoTray, "put the drip tray in"}, {"tank-empty", "fill the water tank"},
			{sim.Off, "does not answer: is it switched on"}, {sim.Debug, "pull its mains plug"},
		} {
			b.sim.Fault(c.fault)
			time.Sleep(5 * time.Second)
			b.ready(c.want)
			b.sim.Mend(c.fault)
			time.Sleep(time.Minute)
			b.ready("")
		}
		b.sim.Press(0x07)
		time.Sleep(5 * time.Second)
		b.ready("busy making coffee")
		time.Sleep(20 * time.Second)
		b.ready("busy making milk")
		time.Sleep(time.Minute)
		b.ready("")
	})
}

// A machine that is off when the service starts is found when it is switched on.
func TestOffAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := set(t, sim.Config{}, false)
		b.sim.Fault(sim.Off)
		var err error
		if b.rig, err = jura.Open(b.config()); err != nil {
			t.Fatal(err)
		}
		defer b.close()
		if id := b.rig.Identity; id != (driver.Identity{Kind: "jura", Model: "EF532M", Serial: "15326-1"}) {
			t.Errorf("%+v", id)
		}
		b.ready("does not answer")
		b.sim.Mend(sim.Off)
		b.ready("")
	})
}

func TestWrongMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := set(t, sim.Config{Model: "PIM"}, true)
		defer b.close()
		b.ready(`another machine is connected: it answers "PIM V01.01" and not EF532M`)
		if err := b.start("espresso"); err == nil || errors.Is(err, driver.ErrUncertain) || b.keys() > 0 {
			t.Errorf("start on another machine: %v", err)
		}
		if _, err := b.a().Counter(context.Background()); err == nil {
			t.Error("the counter of another machine was read")
		}
		// Asked again after each plugging, and only then.
		if n := strings.Count(strings.Join(b.lines(), " "), "TY:"); n < 6 {
			t.Errorf("asked %d times who it is, and believed it", n)
		}
	})
}

func TestConfig(t *testing.T) {
	port := serial.Config{Device: "/dev/serial/by-id/x"}
	for want, c := range map[string]jura.Config{
		"":                     {Model: "EF532M", Serial: "1", Port: port},
		`model "E6" is not kn`: {Model: "E6", Serial: "1", Port: port},
		"can only be read: nothing is known that tells whether it is busy": {Model: "PIM", Serial: "1", Port: port},
		"write the number of the machine's type plate":                     {Model: "EF532M", Port: port},
		"is another device whenever":                                       {Model: "EF532M", Serial: "1", Port: serial.Config{Device: "/dev/ttyUSB0"}},
		`model "EF532M V02.03"`:                                            {Model: "EF532M V02.03", Serial: "1", Port: port},
	} {
		err := driver.Refusal(c.Problems())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := jura.Open(c); err == nil {
			t.Error("opened")
		}
	}
	all := jura.Config{Model: "x", Port: serial.Config{Baud: 1}}.Problems()
	if len(all) != 4 {
		t.Errorf("%d problems at once: %v", len(all), all)
	}
}

// Somebody left the display on its second page, or a key was bent on the wire:
// another drink is poured, and it is not called ours.
func TestAnotherDrinkProvesNothing(t *testing.T) {
	in(t, sim.Config{Count: 10}, func(t *testing.T, b *bench) {
		b.ready("")
		before := b.count()
		b.sim.Fault(sim.Page2)
		if err := b.start("espresso"); err != nil {
			t.Error(err)
		}
		b.rest()
		if rose := b.count() - before; rose != 0 || b.sim.Counter("caffè barista") != 11 {
			t.Errorf("a drink of the second page counts %d", rose)
		}
	})
	in(t, sim.Config{Count: 10}, func(t *testing.T, b *bench) {
		b.ready("")
		before := b.count()
		b.sim.Fault(sim.LostKey)
		if err := b.start("espresso"); !errors.Is(err, driver.ErrUncertain) {
			t.Error(err)
		}
		b.sim.Mend(sim.LostKey)
		b.sim.Press(0x05) // somebody takes a coffee meanwhile
		b.rest()
		if rose := b.count() - before; rose != 0 {
			t.Errorf("somebody else's drink counts %d", rose)
		}
		b.ready("")
		if rose := b.count() - before; rose != 0 {
			t.Errorf("when it is ready again, a drink that can't be ordered counts: %d", rose)
		}
	})
	// A drink that somebody takes before our key, when the caller has counted.
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		before := b.count()
		b.sim.Press(0x04)
		time.Sleep(2 * time.Minute)
		if err := b.start("espresso"); err != nil {
			t.Error(err)
		}
		if rose := b.count() - before; rose != 0 {
			t.Errorf("our drink counts %d before it is made", rose)
		}
		b.rest()
		if rose := b.count() - before; rose != 1 {
			t.Errorf("our drink counts %d", rose)
		}
	})
}

// The counter begins anew after 65535; what Counter tells goes on.
func TestCounterStartsOver(t *testing.T) {
	in(t, sim.Config{Count: 0xFFFF}, func(t *testing.T, b *bench) {
		before := b.count()
		if before != 0xFFFF {
			t.Errorf("the counter is %d", before)
		}
		if err := b.start("espresso"); err != nil {
			t.Error(err)
		}
		b.rest()
		if rose := b.count() - before; rose != 1 || b.sim.Counter("espresso") != 0 {
			t.Errorf("rose by %d", rose)
		}
	})
}

func TestNotCountedIsNotMade(t *testing.T) {
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		for _, f := range []sim.Fault{sim.NoCount, "no-flow", "jam"} {
			b.ready("")
			before := b.count()
			b.sim.Fault(f)
			if err := b.start("espresso"); err != nil {
				t.Error(err)
			}
			b.rest()
			if rose := b.count() - before; rose != 0 {
				t.Errorf("%s: rose by %d", f, rose)
			}
			b.sim.Mend(f)
			b.ready("")
		}
	})
}

// Answers that come when nobody waits for them any more are not taken for the
// answers to later questions.
func TestLateAndDouble(t *testing.T) {
	for _, f := range []sim.Fault{sim.Late, sim.Doubled, sim.Damaged} {
		in(t, sim.Config{}, func(t *testing.T, b *bench) {
			b.sim.Fault(f)
			for n := 1; n <= 5; n++ {
				var before int
				for range 3 {
					if err := b.a().Ready(context.Background()); err == nil {
						break
					}
				}
				before = b.count()
				err := b.start("espresso")
				b.rest()
				rose := b.count() - before
				poured := b.sim.Plant().Counts().Drinks
				if rose != 1 && err == nil || rose == 0 && poured == n {
					t.Errorf("%s: %v, rose by %d, %d drinks after %d starts", f, err, rose, poured, n)
				}
				if err != nil {
					t.Logf("%s: %v", f, err)
					break
				}
			}
		})
	}
}

// A computer whose port takes no bytes: nothing hangs, and the half key is none.
func TestBlockedWrite(t *testing.T) {
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		b.ready("")
		b.mu.Lock()
		host := b.cable.Host()
		b.mu.Unlock()
		sent := 0
		host.Tap(func(p []byte) {
			b.tap(p)
			if sent++; sent == 5+4 { // the question before it, then FA:0
				go host.Stall(true)
			}
		})
		began := time.Now()
		err := b.start("espresso")
		if err == nil || errors.Is(err, driver.ErrUncertain) || !errors.Is(err, driver.ErrGone) || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		b.ready("")
		if len(b.sim.Presses()) > 0 || b.sim.Plant().Counts().Drinks > 0 {
			t.Error("a key was pressed")
		}
	})
}

// From the call to the key it takes less than two seconds when the caller has
// just asked for readiness and counter, as a machine under a fence does.
func TestSoonEnough(t *testing.T) {
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		b.ready("")
		b.count() // read once at least
		time.Sleep(time.Hour)
		began := time.Now()
		b.ready("")
		b.count()
		var took time.Duration
		b.mu.Lock()
		b.cable.Host().Tap(func(p []byte) { b.tap(p); took = time.Since(began) })
		b.mu.Unlock()
		if err := b.start("espresso"); err != nil {
			t.Error(err)
		}
		if took > 1900*time.Millisecond {
			t.Errorf("the key was through after %v", took)
		}
		t.Logf("ready, counted and pressed in %v", took)
	})
}

func TestNewFirmwareIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		b := set(t, sim.Config{Answer: "EF532M V02.05"}, false)
		cfg := b.config()
		cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
		var err error
		if b.rig, err = jura.Open(cfg); err != nil {
			t.Fatal(err)
		}
		defer b.close()
		b.ready("")
		b.ready("")
		if n := strings.Count(said.String(), "firmware was not seen before"); n != 1 {
			t.Errorf("said %d times: %s", n, said.String())
		}
	})
}

func TestLook(t *testing.T) {
	for model, want := range map[string]jura.Glance{
		"EF532M": {Answer: "EF532M V02.03", Known: true, Products: 3 * 7, Want: "put the drip tray in"},
		"PIM":    {Answer: "PIM V01.01", Known: true, Products: 4 * 7, Want: "put the drip tray in"},
		"EF658M": {Answer: "EF658M V03.03", Known: true, Products: -1},
		"EF516M": {Answer: "EF516M V01.25", Known: true, Products: 4 * 7},
		"E30":    {Answer: "E30 MASK 3", Known: true, Products: -1},
		"new":    {Answer: "EF999M V09.99", Products: -1},
	} {
		t.Run(model, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := sim.Config{Model: model, Count: 7}
				if model == "new" {
					cfg.Model, cfg.Answer = "EF532M", want.Answer
				}
				b := set(t, cfg, false)
				defer b.close()
				b.sim.Fault(sim.NoTray)
				port, err := serial.Open(serial.Config{Dial: b.dial})
				if err != nil {
					t.Fatal(err)
				}
				defer port.Close()
				got, err := jura.Look(context.Background(), port)
				if err != nil {
					t.Fatal(err)
				}
				if got.Known != (model != "new") || got.Known && got.Model.Type != model {
					t.Errorf("%+v", got.Model)
				}
				got.Model = jura.Model{}
				if got.Answer != want.Answer || got.Want != want.Want || got.Products != want.Products || got.Busy != "" {
					t.Errorf("%+v, want %+v", got, want)
				}
				if len(b.sim.Presses()) > 0 || b.keys() > 0 {
					t.Error("looking pressed a key")
				}
				b.sim.Fault(sim.Off)
				if _, err := jura.Look(context.Background(), port); err == nil {
					t.Error("a machine that is off was seen")
				}
			})
		})
	}
}

func TestCallsWithoutPatience(t *testing.T) {
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := b.a().Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := b.a().Stop(context.Background()); err == nil || b.keys() > 0 {
			t.Error("stop pressed something")
		}
		b.ready("")
	})
}

// A machine may not show at once what it is at.
func TestNoSecondKeySoon(t *testing.T) {
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		b.sim.Fault(sim.LostKey)
		if err := b.start("espresso"); !errors.Is(err, driver.ErrUncertain) {
			t.Error(err)
		}
		b.sim.Mend(sim.LostKey)
		if err := b.start("espresso"); err == nil || !strings.Contains(err.Error(), "a key was pressed just now") || b.keys() != 1 {
			t.Errorf("%v, %d keys", err, b.keys())
		}
		b.prove()
		if err := b.start("espresso"); err != nil || b.keys() != 2 {
			t.Errorf("%v, %d keys", err, b.keys())
		}
		b.rest()
	})
}

// Bad answers before a key of ours are remembered, though the machine was seen at
// work within half a minute after them.
func TestNoiseBeforeAKey(t *testing.T) {
	in(t, sim.Config{}, func(t *testing.T, b *bench) {
		for range 520 { // until the wire is known
			b.ready("")
		}
		for _, after := range []string{"", "its wire is noisy: 6 of"} {
			b.noise(serialtest.Noise{Damage: 1}, serialtest.Noise{})
			b.ready("damaged") // three answers
			b.noise(serialtest.Noise{}, serialtest.Noise{})
			b.ready(after)
			if after == "" {
				if err := b.start("espresso"); err != nil {
					t.Error(err)
				}
				b.rest()
				b.ready("")
			}
		}
	})
}

// lying is a wire that sends the n-th character from now and says that it
// failed, as a cable does that is pulled before the computer heard of it.
type lying struct {
	serial.Wire
	n *int
}

func (w lying) Write(p []byte) (int, error) {
	n, err := w.Wire.Write(p)
	if *w.n--; *w.n == 0 {
		return 0, errors.New("input/output error")
	}
	return n, err
}

// TestCutInsideTheKey: without the end of the line the machine has no key; with
// any of the end, nobody knows.
func TestCutInsideTheKey(t *testing.T) {
	for n := 1; n <= len("IC:\r\nFA:04\r\n"); n++ {
		synctest.Test(t, func(t *testing.T) {
			b := set(t, sim.Config{}, false)
			left := 0
			cfg := b.config()
			cfg.Port.Dial = func() (serial.Wire, error) {
				w, err := b.dial()
				return lying{w, &left}, err
			}
			var err error
			if b.rig, err = jura.Open(cfg); err != nil {
				t.Fatal(err)
			}
			defer b.close()
			b.ready("")
			before := b.count()
			left = n
			err = b.start("espresso")
			end := n - len("IC:\r\nFA:04")
			if err == nil || errors.Is(err, driver.ErrUncertain) != (end > 0) || !errors.Is(err, driver.ErrGone) {
				t.Errorf("cut in character %d: %v", n, err)
			}
			time.Sleep(time.Minute)
			want := 0
			if end == 2 {
				want = 1
			}
			if rose, poured := b.count()-before, b.sim.Plant().Counts().Drinks; rose != want || poured != want {
				t.Errorf("cut in character %d: %d drinks, rose by %d", n, poured, rose)
			}
			b.ready("")
		})
	}
}

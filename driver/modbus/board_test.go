package modbus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/board"
	"barista/driver/modbus"
	"barista/driver/modbus/sim"
	"barista/driver/serial/serialtest"
)

func TestOnAndOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		pump := rig.Outputs[driver.Pump]
		if pump.Deadman != driver.DeadmanBoard || rig.OffWithin != 250*time.Millisecond || rig.Identity.String() != "modbus/rtu-8/board/1" {
			t.Errorf("%v %v %v", pump.Deadman, rig.OffWithin, rig.Identity)
		}
		began := time.Now()
		if err := pump.On(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("on took %v", took)
		}
		r.on(driver.Pump, true, "after on")
		began = time.Now()
		if err := pump.Off(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("off took %v", took)
		}
		r.on(driver.Pump, false, "after off")
	})
}

// The board's own timer: rounded down to 100 ms, never to nothing.
func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		for asked, want := range map[time.Duration]time.Duration{
			1500 * time.Millisecond: 1500 * time.Millisecond,
			1599 * time.Millisecond: 1500 * time.Millisecond,
			time.Millisecond:        100 * time.Millisecond,
		} {
			if err := rig.Outputs[driver.Milk].On(asked); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Second) // nobody switches off
			if got := lasted(r.plant, driver.Milk); got != want {
				t.Errorf("on for %v lasted %v, want %v", asked, got, want)
			}
			if err := rig.Outputs[driver.Milk].Off(); err != nil {
				t.Errorf("after the board's timer: %v", err)
			}
		}
	})
}

// The spare relay proves the timer; a board without one is not taken for one
// that has it.
func TestTimerIsProved(t *testing.T) {
	for name, c := range map[string]struct {
		faults sim.Faults
		want   string
	}{
		"there":        {sim.Faults{}, ""},
		"old firmware": {sim.Faults{NoFlash: true}, "spare relay 8: the board refuses: it has no relay or contact of this number (exception 2): old firmware has none"},
		"stuck":        {sim.Faults{Stuck: true}, "it did not open by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRack(t, func(s *sim.Config, _ *modbus.Config) { s.Faults = c.faults })
				rig, err := modbus.Open(r.cfg)
				if err == nil {
					defer rig.Close()
				}
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Error(err)
				}
				if r.board.On(8) {
					t.Error("the spare relay stays closed")
				}
			})
		})
	}
}

// At opening a lost answer is no reason to give up: nothing is on yet, and there
// is time.
func TestOpensOnABadWire(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := newRack(t, func(s *sim.Config, _ *modbus.Config) {
				s.Seed, s.Faults = seed, sim.Faults{Drop: 0.2, Damage: 0.1}
			})
			rig, err := modbus.Open(r.cfg)
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return
			}
			if err := rig.Close(); err != nil {
				t.Error(err)
			}
			for i := range 8 {
				if r.board.On(i + 1) {
					t.Errorf("seed %d: relay %d is on", seed, i+1)
				}
			}
		})
	}
}

func TestWithoutTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, func(s *sim.Config, c *modbus.Config) {
			s.Faults.NoFlash = true
			c.Timer, c.Spare = modbus.TimerNone, 0
			c.Outputs[driver.Pump] = modbus.Relay{Number: 2, Deadman: driver.DeadmanExternal}
		})
		rig := r.open()
		if d := rig.Outputs[driver.Pump].Deadman; d != driver.DeadmanExternal {
			t.Error(d)
		}
		if d := rig.Outputs[driver.Milk].Deadman; d != driver.DeadmanNone {
			t.Error(d)
		}
		if err := rig.Outputs[driver.Milk].On(time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		r.on(driver.Milk, true, "without a timer")
		if err := rig.Outputs[driver.Milk].Off(); err != nil {
			t.Error(err)
		}
		r.on(driver.Milk, false, "after off")
	})
}

// A board that counts its relays from 1 is found out at opening, and works when
// the file says so.
func TestCountsFromOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for simulated := range 2 {
			for configured := range 2 {
				r := newRack(t, func(s *sim.Config, c *modbus.Config) { s.First, c.First = simulated, configured })
				rig, err := modbus.Open(r.cfg)
				if simulated != configured {
					if err == nil || !strings.Contains(err.Error(), "counts them from") {
						t.Errorf("from %d, configured %d: %v", simulated, configured, err)
					}
				} else if err != nil {
					t.Error(err)
				} else {
					if err := rig.Outputs[driver.Grinder].On(time.Second); err != nil {
						t.Error(err)
					}
					r.on(driver.Grinder, true, "counting from "+string(rune('0'+simulated)))
				}
				if err == nil {
					rig.Close()
				}
			}
		}
	})
}

func TestNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, func(_ *sim.Config, c *modbus.Config) { c.Address = 9 })
		if _, err := modbus.Open(r.cfg); err == nil || !strings.Contains(err.Error(), "modbus board 9 at /dev/serial/by-id/board: the board does not answer: check its power") {
			t.Error(err)
		}
	})
}

// What a process that died left on is off before anybody may use the rig.
func TestOpenFindsRelaysOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		for _, p := range wired {
			if err := rig.Outputs[p].On(20 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		r.Cut() // the process is gone, the board goes on
		for _, p := range wired {
			r.on(p, true, "without its host")
		}
		_ = rig.Close()
		r.Plug(2)
		r.open()
		for _, p := range wired {
			r.on(p, false, "after a new start")
		}
	})
}

// A cable that was out while a part was on: it is switched off when the board is
// back, and its Off says once that nobody knows how long it ran.
func TestReplugWhileOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		pump := rig.Outputs[driver.Pump]
		if err := pump.On(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		r.Cut()
		time.Sleep(time.Second)
		if err := pump.Off(); !errors.Is(err, driver.ErrGone) {
			t.Errorf("off without a cable: %v", err)
		}
		r.on(driver.Pump, true, "without its host")
		n := r.plant.Rises(driver.Pump)
		r.Plug(2)
		time.Sleep(3 * time.Second)
		r.on(driver.Pump, false, "plugged in again")
		if err := pump.Off(); err == nil || !strings.Contains(err.Error(), "the cable was out while it was on") {
			t.Error(err)
		}
		if err := pump.Off(); err != nil {
			t.Error(err)
		}
		if r.plant.Rises(driver.Pump) != n {
			t.Error("it was switched on again")
		}
		if err := pump.On(time.Second); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestBoardLosesItsPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		pump := rig.Outputs[driver.Pump]
		if err := pump.On(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := r.board.Lose(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := pump.Off(); err == nil || !strings.Contains(err.Error(), "opened by itself") {
			t.Error(err)
		}
		if err := pump.Off(); err != nil {
			t.Error(err)
		}
	})
}

func TestContacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, func(_ *sim.Config, c *modbus.Config) {
			c.Inputs[driver.Beans] = modbus.Contact{Number: 3, Low: true} // open contact: good
		})
		rig := r.open()
		read := func(s driver.Signal) bool {
			t.Helper()
			x, err := rig.Sensors[s].Read()
			if err != nil || time.Since(x.At) > 400*time.Millisecond {
				t.Errorf("%s: %v, %v", s, x, err)
			}
			return x.Yes()
		}
		time.Sleep(time.Second)
		if read(driver.Cup) || !read(driver.Tank) || !read(driver.Beans) {
			t.Error("at first")
		}
		r.plant.PlaceCup()
		time.Sleep(time.Second)
		if !read(driver.Cup) {
			t.Error("the cup was not seen")
		}
		r.Cut()
		time.Sleep(1500 * time.Millisecond)
		if _, err := rig.Sensors[driver.Cup].Read(); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("without a cable: %v", err)
		}
	})
}

// Answers that come late, into the next question, are not believed.
func TestLateAnswers(t *testing.T) {
	for _, late := range []time.Duration{20 * time.Millisecond, 90 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			r := newRack(t, nil)
			rig := r.open()
			r.board.SetFaults(sim.Faults{Late: late})
			pump := rig.Outputs[driver.Pump]
			for range 20 {
				if err := pump.On(20 * time.Second); err == nil {
					r.on(driver.Pump, true, "on, answers late by "+late.String())
				}
				if err := pump.Off(); err == nil {
					r.on(driver.Pump, false, "off, answers late by "+late.String())
				}
			}
			r.board.SetFaults(sim.Faults{})
			time.Sleep(time.Second)
			if err := pump.Off(); err != nil {
				t.Error(err)
			}
			r.on(driver.Pump, false, "at the end")
		})
	}
}

// The answer to an off from before the newest on proves nothing; one that would be a
// second late does not come any more.
func TestAnswerFromBeforeTheOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var on bool
		var tried, deaf atomic.Bool // an off by WriteCoil; it does not obey, and answers that one only
		pump := played(t, func(q modbus.Request, a *modbus.Answer) bool {
			off := q.Function != modbus.ReadCoils && !q.Closes()
			switch {
			case q.Closes():
				on = true
			case off && q.Function == modbus.WriteCoil && !tried.Swap(true): // obeyed, and not answered
				on = false
				return false
			case off && deaf.Load() && q.Function == modbus.WriteCoils:
				return false
			case off:
				on = on && deaf.Load()
			default:
				a.Bits = make([]bool, q.Count)
				a.Bits[1] = on && !deaf.Load()
			}
			return true
		}).Outputs[driver.Pump]
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(pump.On(20 * time.Second))
		must(pump.Off())
		if !tried.Load() {
			t.Fatal("no off was tried by WriteCoil")
		}
		must(pump.On(20 * time.Second))
		deaf.Store(true)
		if err := pump.Off(); !errors.Is(err, board.ErrNoAnswer) {
			t.Errorf("an off that may be proved by an old answer: %v", err)
		}
		deaf.Store(false)
		must(pump.Off())
		must(pump.On(20 * time.Second))
		time.Sleep(2 * time.Second)
		must(pump.Off())
	})
}

func TestBrokenAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		faults sim.Faults
		off    bool // an off can be proved
	}{
		"mute":                {sim.Faults{Mute: true}, false},
		"deaf":                {sim.Faults{Deaf: true}, false},
		"doubled":             {sim.Faults{Double: 1}, true},
		"without function 0F": {sim.Faults{NoRow: true, Drop: 0.3}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRack(t, nil)
				rig := r.open()
				pump := rig.Outputs[driver.Pump]
				if err := pump.On(20 * time.Second); err != nil {
					t.Fatal(err)
				}
				r.board.SetFaults(c.faults)
				began := time.Now()
				var err error
				for range 5 { // as the guard does
					if err = pump.Off(); err == nil {
						break
					}
				}
				if took := time.Since(began); took > 5*250*time.Millisecond {
					t.Errorf("took %v", took)
				}
				if c.off {
					r.on(driver.Pump, false, "after off")
				}
				if (err == nil) != c.off {
					t.Errorf("off: %v", err)
				}
				if err != nil && !strings.Contains(err.Error(), "does not answer") {
					t.Error(err)
				}
			})
		})
	}
}

// An adapter that sends us our own bytes back is no board.
func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		r.Cable().Host().Tap(func(b []byte) { go r.Cable().Device().Write(b) })
		rig := r.open()
		pump := rig.Outputs[driver.Pump]
		if err := pump.On(time.Second); err != nil {
			t.Error(err)
		}
		r.on(driver.Pump, true, "behind an echo")
		if err := pump.Off(); err != nil {
			t.Error(err)
		}
		r.board.SetFaults(sim.Faults{Deaf: true})
		if err := pump.On(time.Second); err == nil {
			t.Error("the echo alone passed for a board")
		}
	})
}

// played is a board of which the test answers: answer gets each request with what a
// board repeats of it, and says whether anything goes out.
func played(t *testing.T, answer func(q modbus.Request, a *modbus.Answer) bool) driver.Rig {
	r := newRack(t, func(_ *sim.Config, c *modbus.Config) { c.Timer, c.Spare, c.Inputs = modbus.TimerNone, 0, nil })
	r.Cut()
	r.Bench = serialtest.NewBench(t, func(_ context.Context, c *serialtest.End) error {
		for b := make([]byte, 64); ; {
			n, err := c.Read(b)
			if err != nil {
				return nil
			}
			q, err := modbus.DecodeRequest(b[:n])
			if err != nil {
				t.Error(err)
			}
			a := modbus.Answer{Address: 1, Function: q.Function, Start: q.Start, Value: q.Value, Count: q.Count}
			if answer(q, &a) {
				_, _ = c.Write(a.Append(nil))
			}
		}
	})
	return r.open()
}

// A board that lies: it answers reads with every relay as given, and repeats
// what is written to it or not.
func liar(t *testing.T, closed, repeats bool) (rig driver.Rig, sent func() []modbus.Request) {
	told := false
	var mu sync.Mutex
	var list []modbus.Request
	rig = played(t, func(q modbus.Request, a *modbus.Answer) bool {
		mu.Lock()
		list = append(list, q)
		mu.Unlock()
		if q.Function != modbus.ReadCoils {
			told = true
			return repeats
		}
		a.Bits = make([]bool, q.Count)
		a.Bits[1] = closed && told // the pump
		return true
	})
	return rig, func() []modbus.Request {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

// An off counts only when the board has confirmed the command and then says that
// the relay is open; an on only when it says that the relay is closed.
func TestLies(t *testing.T) {
	for _, c := range []struct {
		closed, repeats, on, off bool // on, off: they may succeed
	}{
		{false, true, false, true},
		{true, true, true, false},
		{false, false, false, false}, // reads alone prove no off: they may be old
		{true, false, true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			rig, sent := liar(t, c.closed, c.repeats)
			pump := rig.Outputs[driver.Pump]
			on := pump.On(time.Second)
			ons := len(slices.DeleteFunc(sent(), func(q modbus.Request) bool { return !q.Closes() }))
			if ons < 1 || ons > 2 {
				t.Errorf("%+v: on was sent %d times", c, ons)
			}
			off := pump.Off()
			// An off that got no answer is repeated in another form.
			last := modbus.Function(0)
			for _, q := range sent() {
				if !c.repeats && q.Function != modbus.ReadCoils && !q.Closes() {
					if q.Function == last {
						t.Errorf("%+v: off was sent twice as %02X", c, last)
					}
					last = q.Function
				}
			}
			if (on == nil) != c.on || (off == nil) != c.off {
				t.Errorf("%+v: on %v, off %v", c, on, off)
			}
		})
	}
}

// Another program on the bus closed a relay of ours.
func TestSomebodyElseSwitches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRack(t, nil)
		rig := r.open()
		if err := r.board.Force(3, true); err != nil {
			t.Fatal(err)
		}
		if err := rig.Outputs[driver.Pump].On(time.Second); err == nil || !strings.Contains(err.Error(), "relay 3 (milk) is on, and nobody told it to") {
			t.Error(err)
		}
	})
}

func TestConfigProblems(t *testing.T) {
	_, err := modbus.Open(modbus.Config{Address: 300, Relays: 4, First: 2, Timer: modbus.TimerFlash, Outputs: map[driver.Part]modbus.Relay{
		driver.Pump: {Number: 1}, driver.Milk: {Number: 1}, driver.Sugar: {Number: 5},
	}, Inputs: map[driver.Signal]modbus.Contact{driver.Flow: {Number: 1}, driver.Cup: {}}})
	want := []string{"name the serial port", "address 300", "from 0 or from 1", "milk and pump are both on relay 1", "sugar: the board has no relay 5", "proved at every start", "flow: a contact says yes or no", "cup: there is no contact 0"}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("not said: %s: %v", w, err)
		}
	}
	ok := modbus.Config{Relays: 8, Outputs: map[driver.Part]modbus.Relay{driver.Pump: {Number: 1, Deadman: driver.DeadmanBoard}}}
	ok.Port.Device, ok.Port.Baud, ok.Spare = "/dev/ttyAMA0", 2400, 3
	for _, w := range []string{"2400 baud", "deadman board needs", "a spare relay is for"} {
		if err := driver.Refusal(ok.Problems()); err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("not said: %s: %v", w, err)
		}
	}
}

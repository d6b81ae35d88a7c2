package drivertest

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The suite on a driver that keeps the contract.
func TestFakePasses(t *testing.T) {
	Actuators(t, func(*testing.T) Bench { return NewFake().Bench() })
	Actuators(t, func(*testing.T) Bench {
		f := NewFake(driver.Pump, driver.Milk)
		f.SetContact(driver.Pump, nil)
		return f.Bench()
	})
}

// One port for all, a timer on the board, nobody to count the rises.
func TestTimedBoardPasses(t *testing.T) {
	Actuators(t, func(*testing.T) Bench {
		f := NewFake(driver.Pump, driver.Heater)
		f.SetPort("board", driver.Pump, driver.Heater)
		f.SetDeadman(driver.Pump, driver.DeadmanBoard)
		b := f.Bench()
		b.Rises = nil
		timed(b, f, driver.Pump)
		return b
	})
}

// No cable to pull, nothing to close, a bench that must be stopped.
func TestLinesPass(t *testing.T) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			r, stopped := &recorder{}, false
			synctest.Test(t, func(t *testing.T) {
				c.on(r, func() Bench {
					b := NewFake(driver.Grinder).Bench()
					b.Unplug = nil
					stop := make(chan struct{})
					go func() { <-stop }()
					b.Stop = func() { stopped = true; close(stop) }
					return b
				})
			})
			if len(r.errs) > 0 {
				t.Errorf("a good driver fails: %q", r.errs)
			}
			if !stopped {
				t.Error("the bench was not stopped")
			}
			if skipped := strings.HasPrefix(c.name, "unplugged") || c.name == "board timer" || c.name == "contacts follow their parts"; skipped != (r.skips > 0) {
				t.Errorf("skipped %d times", r.skips)
			}
		})
	}
}

func TestNothingToClose(t *testing.T) {
	if err := closeOnce(nil)(); err != nil {
		t.Error(err)
	}
}

// recorder stands in for testing.T.
type recorder struct {
	mu    sync.Mutex
	errs  []string
	skips int
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, fmt.Sprintf(format, a...))
}

func (r *recorder) Skip(...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skips++
}

// output is an output whose two methods can be planted one by one.
type output struct {
	on  func(time.Duration) error
	off func() error
}

func (o output) On(atMost time.Duration) error { return o.on(atMost) }
func (o output) Off() error                    { return o.off() }

// plant changes one output of a bench.
func plant(b Bench, p driver.Part, change func(o *output)) Bench {
	b.Rig.Outputs = maps.Clone(b.Rig.Outputs)
	w := b.Rig.Outputs[p]
	o := output{w.On, w.Off}
	change(&o)
	w.Output = o
	b.Rig.Outputs[p] = w
	return b
}

// timed gives a part a timer on its board, as far as the fake goes.
func timed(b Bench, f *Fake, p driver.Part) {
	var mu sync.Mutex
	var timer *time.Timer
	plant(b, p, func(o *output) {
		on, off := o.on, o.off
		o.on = func(d time.Duration) error {
			err := on(d)
			mu.Lock()
			defer mu.Unlock()
			if timer != nil {
				timer.Stop()
			}
			timer = time.AfterFunc(d, func() { f.Force(p, false) })
			return err
		}
		o.off = func() error {
			mu.Lock()
			defer mu.Unlock()
			if timer != nil {
				timer.Stop()
			}
			return off()
		}
		w := b.Rig.Outputs[p]
		w.Output = *o
		b.Rig.Outputs[p] = w
	})
}

// Every check goes red with a driver that breaks its rule, and says why.
func TestBadDriversAreFound(t *testing.T) {
	const pump = driver.Pump
	offDoesNothing := func(t *testing.T, f *Fake) Bench {
		return plant(f.Bench(), pump, func(o *output) { o.off = func() error { return nil } })
	}
	unpluggedIsFine := func(t *testing.T, f *Fake) Bench {
		b := f.Bench()
		gone := false
		b.Unplug = func() { gone = true; f.Unplug() }
		return plant(b, pump, func(o *output) {
			off := o.off
			o.off = func() error {
				if err := off(); !gone {
					return err
				}
				return nil
			}
		})
	}
	hangs := func(when Op) func(t *testing.T, f *Fake) Bench {
		return func(t *testing.T, f *Fake) Bench {
			b := f.Bench()
			release := make(chan struct{})
			b.Unplug = func() { f.Fault(pump, when, Fault{Block: release}); f.Unplug() }
			b.Stop = func() { close(release) }
			return b
		}
	}
	for _, bad := range []struct {
		check, driver, want string
		open                func(t *testing.T, f *Fake) Bench
	}{
		{"accepted by the guard", "off without a bound", "the guard refuses the rig", func(t *testing.T, f *Fake) Bench {
			f.SetOffWithin(0)
			return f.Bench()
		}},
		{"accepted by the guard", "no kind", "does not say what kind", func(t *testing.T, f *Fake) Bench {
			b := f.Bench()
			b.Rig.Identity.Kind = ""
			return b
		}},
		{"accepted by the guard", "first off fails", "the guard refuses the rig", func(t *testing.T, f *Fake) Bench {
			f.Fault(pump, Off, Fault{Err: errors.New("busy"), Times: 1})
			return f.Bench()
		}},
		{"at rest after open", "opens with a relay on", "went on by itself", func(t *testing.T, f *Fake) Bench {
			f.Force(pump, true)
			return f.Bench()
		}},
		{"at rest after open", "pulses a relay at open", "more than it was told", func(t *testing.T, f *Fake) Bench {
			f.Force(pump, true)
			f.Force(pump, false)
			return f.Bench()
		}},
		{"on and off reach the metal", "on does nothing", "does not go on", func(t *testing.T, f *Fake) Bench {
			return plant(f.Bench(), pump, func(o *output) { o.on = func(time.Duration) error { return nil } })
		}},
		{"on and off reach the metal", "off does nothing", "does not go off", offDoesNothing},
		{"on and off reach the metal", "crossed wires", "while only grinder was switched on: pump is on", func(t *testing.T, f *Fake) Bench {
			return plant(f.Bench(), driver.Grinder, func(o *output) {
				on := o.on
				o.on = func(d time.Duration) error { f.Force(pump, true); return on(d) }
			})
		}},
		{"on and off reach the metal", "switches through off and on again", "more than it was told", func(t *testing.T, f *Fake) Bench {
			return plant(f.Bench(), pump, func(o *output) {
				on := o.on
				o.on = func(d time.Duration) error {
					err := on(d)
					f.Force(pump, false)
					f.Force(pump, true)
					return err
				}
			})
		}},
		{"on and off reach the metal", "on panics", "panic: no such register", func(t *testing.T, f *Fake) Bench {
			f.Fault(pump, On, Fault{Panic: "no such register"})
			return f.Bench()
		}},
		{"safe twice", "a toggle", "does not go on", func(t *testing.T, f *Fake) Bench {
			return plant(f.Bench(), pump, func(o *output) {
				o.on = func(time.Duration) error { f.Force(pump, !f.Level(pump)); return nil }
			})
		}},
		{"safe twice", "the second off is an error", "off twice: off already", func(t *testing.T, f *Fake) Bench {
			return plant(f.Bench(), pump, func(o *output) {
				off := o.off
				o.off = func() error {
					if !f.Level(pump) {
						return errors.New("off already")
					}
					return off()
				}
			})
		}},
		{"off within its bound", "waits for an answer that boards don't send", "declared is 250ms", func(t *testing.T, f *Fake) Bench {
			f.Fault(pump, Off, Fault{Delay: 1300 * time.Millisecond})
			return f.Bench()
		}},
		{"off during on", "drops an off that comes soon after an on", "does not go off", func(t *testing.T, f *Fake) Bench {
			var last time.Time
			return plant(f.Bench(), pump, func(o *output) {
				on, off := o.on, o.off
				o.on = func(d time.Duration) error { last = time.Now(); return on(d) }
				o.off = func() error {
					if time.Since(last) < time.Second {
						return nil
					}
					return off()
				}
			})
		}},
		{"off during on", "an error when switched fast", "the guard tripped", func(t *testing.T, f *Fake) Bench {
			var last time.Time
			return plant(f.Bench(), pump, func(o *output) {
				on := o.on
				o.on = func(d time.Duration) error {
					defer func() { last = time.Now() }()
					if time.Since(last) < time.Second {
						return errors.New("too fast")
					}
					return on(d)
				}
			})
		}},
		{"off after the guard was cancelled", "off does nothing", "does not go off", offDoesNothing},
		{"off after the caller panicked", "off does nothing", "does not go off", offDoesNothing},
		{"ceiling kept through the guard", "off does nothing", "stays on beyond its time", offDoesNothing},
		{"ceiling kept through the guard", "clicks twice", "went on 2 times for one on", func(t *testing.T, f *Fake) Bench {
			return plant(f.Bench(), pump, func(o *output) {
				on := o.on
				o.on = func(d time.Duration) error {
					err := on(d)
					f.Force(pump, false)
					f.Force(pump, true)
					return err
				}
			})
		}},
		{"board timer", "a board without its timer", "does not go off", func(t *testing.T, f *Fake) Bench {
			f.SetDeadman(pump, driver.DeadmanBoard)
			return f.Bench()
		}},
		{"unplugged at rest", "no error from off", "no error", unpluggedIsFine},
		{"unplugged at rest", "hangs", "did not come back", hangs(Off)},
		{"unplugged at rest", "the board goes on later by itself", "went on by itself", func(t *testing.T, f *Fake) Bench {
			b := f.Bench()
			gone := false
			b.Unplug = func() { gone = true; f.Unplug() }
			return plant(b, pump, func(o *output) {
				on := o.on
				o.on = func(d time.Duration) error {
					if gone { // kept for the moment when the cable is back
						time.AfterFunc(10*time.Millisecond, func() { f.Force(pump, true) })
					}
					return on(d)
				}
			})
		}},
		{"unplugged while on", "no error from off", "no error", unpluggedIsFine},
		{"unplugged while switching", "hangs in on", "did not come back", hangs(On)},
		{"unplugged while switching", "does not switch at all", "pump does not switch", func(t *testing.T, f *Fake) Bench {
			return plant(f.Bench(), pump, func(o *output) { o.on = func(time.Duration) error { return driver.ErrGone } })
		}},
		{"unplugged behind the guard", "no error from off", "did not notice", func(t *testing.T, f *Fake) Bench {
			return unpluggedIsFine(t, NewFake(pump))
		}},
		{"reading changes nothing", "turns an output into an input to read it", "after reading every sensor: pump is off", func(t *testing.T, f *Fake) Bench {
			f.SetFunc(driver.Flow, func() (float64, error) { f.Force(pump, false); return 0, nil })
			return f.Bench()
		}},
		{"reading changes nothing", "pulses an output while it reads", "reading the sensors switched pump", func(t *testing.T, f *Fake) Bench {
			f.SetFunc(driver.Flow, func() (float64, error) {
				was := f.Level(pump)
				f.Force(pump, !was)
				f.Force(pump, was)
				return 0, nil
			})
			return f.Bench()
		}},
		{"reading changes nothing", "a default value", "does not say since when", func(t *testing.T, f *Fake) Bench {
			b := f.Bench()
			b.Rig.Sensors[driver.Tank] = thirtyPercent{}
			return b
		}},
		{"contacts follow their parts", "one that is not wired", "the contact of pump reads", func(t *testing.T, f *Fake) Bench {
			f.SetContact(pump, func() (float64, error) { return 0, nil })
			return f.Bench()
		}},
		{"contacts follow their parts", "crossed", "the contact of pump reads", func(t *testing.T, f *Fake) Bench {
			f.SetContact(driver.Grinder, nil)
			f.SetContact(pump, func() (float64, error) {
				if f.Level(driver.Grinder) {
					return 1, nil
				}
				return 0, nil
			})
			return f.Bench()
		}},
		{"reading changes nothing", "a contact that pulls its relay", "reading the sensors switched pump", func(t *testing.T, f *Fake) Bench {
			f.SetContact(pump, func() (float64, error) {
				was := f.Level(pump)
				f.Force(pump, !was)
				f.Force(pump, was)
				return 0, nil
			})
			return f.Bench()
		}},
		{"close after off", "drives lines low at close, active-low relays", "went on by itself", func(t *testing.T, f *Fake) Bench {
			b := f.Bench()
			b.Rig.Close = func() error { f.Force(pump, true); return nil }
			return b
		}},
		{"close after off", "close fails", "close: in use", func(t *testing.T, f *Fake) Bench {
			b := f.Bench()
			b.Rig.Close = func() error { return errors.New("in use") }
			return b
		}},
		{"close after off", "goes on after close", "on after close: no error", func(t *testing.T, f *Fake) Bench {
			b := f.Bench()
			b.Rig.Close = nil
			return b
		}},
		{"at rest after open", "a reader that nobody ends", "goroutines were left", func(t *testing.T, f *Fake) Bench {
			end := make(chan struct{})
			t.Cleanup(func() { close(end) })
			go func() { <-end }()
			return f.Bench()
		}},
	} {
		t.Run(bad.check+"/"+bad.driver, func(t *testing.T) {
			r := &recorder{}
			synctest.Test(t, func(t *testing.T) { // so that its patience costs nothing
				for _, c := range checks {
					if c.name == bad.check {
						c.on(r, func() Bench { return bad.open(t, NewFake(driver.Grinder, pump)) })
					}
				}
			})
			if !strings.Contains(strings.Join(r.errs, "\n"), bad.want) {
				t.Errorf("the check did not find it: want %q among %q", bad.want, r.errs)
			}
		})
		delete(unproven, bad.check)
	}
	if len(unproven) > 0 {
		t.Errorf("checks that were never seen red: %v", unproven)
	}
}

// unproven are the checks that no bad driver was planted for yet.
var unproven = func() map[string]bool {
	m := map[string]bool{}
	for _, c := range checks {
		m[c.name] = true
	}
	return m
}()

// thirtyPercent is what a level sensor that isn't connected reads in one
// firmware in the field.
type thirtyPercent struct{}

func (thirtyPercent) Read() (driver.Reading, error) { return driver.Reading{Value: 0.3}, nil }

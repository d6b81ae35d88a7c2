package jura_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver/jura"
	"barista/driver/jura/sim"
	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

// TestIdentify: the type is said as the machine says it, in time, and nothing but
// TY: is sent.
func TestIdentify(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    sim.Config
		fault  sim.Fault
		answer string
		noise  serialtest.Noise
	}{
		"an E6":         {answer: "EF532M V02.03"},
		"a model unmet": {cfg: sim.Config{Answer: "EF999M V01.00"}, answer: "EF999M V01.00"},
		"high filler":   {cfg: sim.Config{Filler: jura.HighFiller}, answer: "EF532M V02.03"},
		"doubled":       {fault: sim.Doubled, answer: "EF532M V02.03"},
		"off":           {fault: sim.Off},
		"mute":          {fault: sim.Mute},
		"noise only":    {noise: serialtest.Noise{Damage: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := set(t, c.cfg, false)
				defer b.close()
				b.noise(c.noise, serialtest.Noise{})
				if c.fault != "" {
					b.sim.Fault(c.fault)
				}
				port, err := serial.Open(serial.Config{Dial: b.dial})
				if err != nil {
					t.Fatal(err)
				}
				defer port.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var got string
				began := time.Now()
				err = port.Do(ctx, func(l *serial.Line) error {
					got, err = jura.Identify(ctx, l)
					return err
				})
				if got != c.answer || (err == nil) != (c.answer != "") {
					t.Errorf("%q, %v", got, err)
				}
				if took := time.Since(began); took > 3*time.Second || c.fault == sim.Off && took > 1500*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				lines := b.lines()
				for _, line := range lines {
					if line != "TY:" {
						t.Errorf("%q was sent", line)
					}
				}
				if len(lines) < 2 {
					t.Errorf("it asked %d times", len(lines))
				}
			})
		})
	}
}

package jura

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

// slow is a line of a computer that has no time: whoever waits there is woken late, and
// what comes at a time is given out by whoever looks after it.
type slow struct {
	late  time.Duration // that each wake is
	slips []bool        // whether the next wakes are late; then all are in time
	comes []piece
	slip  time.Duration
}

// piece comes at a time after the start.
type piece struct {
	at   time.Time
	text []byte
}

var _ line = (*slow)(nil)

func (s *slow) sleep(until time.Time) {
	time.Sleep(time.Until(until))
	if len(s.slips) > 0 {
		if s.slips[0] {
			time.Sleep(s.late)
			s.slip += s.late
		}
		s.slips = s.slips[1:]
	}
}

func (s *slow) Write([]byte) error  { return nil }
func (s *slow) Discard() int        { return 0 }
func (s *slow) Slip() time.Duration { return s.slip }

func (s *slow) Pause(_ context.Context, d time.Duration) error {
	s.sleep(time.Now().Add(d))
	return nil
}

func (s *slow) Next(until time.Time) ([]byte, error) {
	if len(s.comes) > 0 && s.comes[0].at.Before(until) {
		p := s.comes[0]
		s.comes = s.comes[1:]
		time.Sleep(time.Until(p.at))
		return p.text, nil
	}
	s.sleep(until)
	return nil, serial.ErrSilence
}

// TestLateIsNoNoise: an answer whose bytes are good is good, however late this computer
// reads it; one that is missing proves nothing when this computer was not awake, and
// does when it was. Bad bytes are noise whoever was late.
func TestLateIsNoNoise(t *testing.T) {
	raw := AppendLine(nil, "ty:EF532M V02.03", LowFiller)
	bent := AppendLine(nil, "ty:EF532M V02.03", LowFiller)
	bent[8] ^= 1 << 2
	const asking = 5 * 12500 * time.Microsecond // TY: and its end
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	type part struct {
		after time.Duration // from the end of the question
		text  []byte
	}
	calm := []bool{false, false, false, false, false, false} // quiet, and five characters
	for name, c := range map[string]struct {
		late  time.Duration
		slips []bool
		parts []part
		want  error
	}{
		"in time":                   {0, nil, []part{{ms(20), raw}}, nil},
		"nothing":                   {0, nil, nil, errSilent},
		"too late":                  {0, nil, []part{{ms(1600), raw}}, errSilent},
		"it stops":                  {0, nil, []part{{ms(20), raw[:40]}, {ms(400), raw[40:]}}, errDamaged},
		"cut":                       {0, nil, []part{{ms(20), raw[:40]}}, errDamaged},
		"bent":                      {0, nil, []part{{ms(20), bent}}, errDamaged},
		"asleep before it came":     {ms(3000), append(calm, true), []part{{ms(4000), raw}}, nil},
		"asleep in the middle":      {ms(700), append(calm, true), []part{{ms(20), raw[:40]}, {ms(880), raw[40:]}}, nil},
		"asleep, and nothing":       {ms(300), append(calm, true), nil, errLate},
		"asleep, and the rest lost": {ms(300), append(calm, true), []part{{ms(20), raw[:40]}}, errLate},
		"asleep while asking":       {ms(300), []bool{false, true}, nil, errLate},
		"asleep, and bent":          {ms(300), append(calm, true), []part{{ms(1600), bent}}, errDamaged},
		"a little":                  {ms(20), append(calm, true), nil, errSilent},
		"asleep long before":        {ms(300), []bool{true}, nil, errSilent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{late: c.late, slips: c.slips}
				asked := time.Now().Add(40*time.Millisecond + asking)
				if len(c.slips) > 0 && c.slips[0] {
					asked = asked.Add(c.late)
				}
				for _, p := range c.parts {
					s.comes = append(s.comes, piece{asked.Add(p.after), p.text})
				}
				got, err := ask(t.Context(), s, askType, typeWithin, parseType)
				if !errors.Is(err, c.want) || err == nil && got != "EF532M V02.03" {
					t.Errorf("%q, %v; want %v", got, err, c.want)
				}
			})
		})
	}
}

// TestTrustOfABusyComputer: hours of load cost a wire nothing of its name. Each answer
// that was not heard ends the row, for as many good ones as a known wire needs.
func TestTrustOfABusyComputer(t *testing.T) {
	var tr trust
	now := time.Now()
	saw := func(n int, err error) {
		for range n {
			tr.answer(err, true)
			now = now.Add(motors)
			tr.age(true, now)
		}
	}
	saw(known, nil)
	for range 1000 {
		saw(3, errLate)
		saw(rowKnown-1, nil)
		if err := tr.doubt(); !errors.Is(err, driver.ErrNotYet) || !strings.Contains(err.Error(), "this computer was too busy") || !strings.Contains(err.Error(), fmt.Sprintf("%d of %d", rowKnown-1, rowKnown)) {
			t.Fatal("a row that was ended: ", err)
		}
		saw(1, nil)
		if err := tr.doubt(); err != nil {
			t.Fatal("a row: ", err)
		}
	}
	if n := tr.bad(); n != 0 {
		t.Errorf("%d bad answers are remembered", n)
	}
	saw(1, errLate)
	saw(badKnown+1, errDamaged)
	saw(1, nil)
	if err := tr.doubt(); err == nil || !strings.Contains(err.Error(), "is noisy: 5") {
		t.Errorf("noise on a busy computer is noise: %v", err)
	}
}

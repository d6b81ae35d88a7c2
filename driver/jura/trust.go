package jura

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"barista/driver"
)

// A key has no checksum: two bits that fall over on the wire make FA:05 of FA:04,
// which is another drink, and nothing that we send can prevent it. But a wire that
// bends keys bends questions and answers too, and those show it. So a key is sent
// only over a wire that has shown itself clean at rest: by a row of good answers,
// and by few bad ones over the time that is remembered, for on a noisy wire a row
// of good ones comes too, if one waits for it.
//
// One bent key in 28 is another key. TestTrustInNoise plays 200,000 questions
// over wires that bend a share of the lines each way, with a key whenever one may
// be sent: from 1 % on none is sent for long; at 0.3 % one in ten is, and one in
// 9,000 of them bent; at 0.1 % nearly all are, and one in 28,000 is bent. A service
// that has just started knows no more than the short row, and may send some keys
// before it knows better; a wire that becomes bad in the very moment of the key is
// not found out.
const (
	steadyRow = 16   // good answers in a row over a wire that is known: 3 s of questions
	shortRow  = 64   // over one that is not: 13 s
	longRow   = 1024 // over one that was noisy; then it is believed to be mended: 3 to 4 minutes
	known     = 512  // answers, from which on a wire is known
	memory    = 2048 // answers that are remembered
	mostBad   = 4    // among them, on a wire that is not noisy
	firstBad  = 1    // the same, while it is not known yet

	motors = 30 * time.Second // what is bad so long before it is seen at work, is forgiven
)

// trust is what the questions tell about the wire. It outlives the cable: pulling
// and plugging makes a wire no better. What comes while the machine works counts
// only against it, and is not remembered: motors make noise, and keys are sent at
// rest.
type trust struct {
	good   int                 // answers in a row, up to longRow
	silent int                 // questions since the last answer
	seen   int                 // answers, up to memory
	bad    [memory / 64]uint64 // a ring: 1 is a bad one
	next   int                 // its place for the next one
	fresh  int                 // bad ones that came when it seemed at rest, until that is seen
	older  int                 // the same, from before turned
	turned time.Time
}

// saw is what came of a question, at rest or at work.
func (t *trust) saw(err error, rest bool) {
	bad := t.silent
	switch {
	case err == nil:
		t.silent = 0
	case errors.Is(err, errSilent):
		// A machine that is switched off is silent too, and that is no noise.
		if t.good, t.silent = 0, t.silent+1; t.silent >= patience {
			t.silent = 0
		}
		return
	case errors.Is(err, errDamaged), errors.Is(err, errBabble):
		t.good, t.silent = 0, 0
		bad++
	default:
		return // given up, or unplugged: that tells nothing
	}
	if !rest {
		return
	}
	t.fresh = min(t.fresh+bad, memory)
	if err != nil {
		return
	}
	t.note(0)
	if t.good = min(t.good+1, longRow); t.good == longRow && t.count() > mostBad {
		*t = trust{good: longRow} // it was mended, and is to be known anew
	}
}

// settle is told whether the machine is at rest indeed. What was bad within the
// half minute before it was seen at work may be its motors'.
func (t *trust) settle(rest bool, now time.Time) {
	switch {
	case !rest:
		t.older, t.fresh, t.turned = 0, 0, now
	case now.Sub(t.turned) >= motors:
		fresh := t.fresh
		t.fresh = 0
		t.sure()
		t.older, t.turned = fresh, now
	}
}

// sure: a key of ours goes out, so the motors did not run before it.
func (t *trust) sure() {
	for range t.older + t.fresh {
		t.note(1)
	}
	t.older, t.fresh = 0, 0
}

// count is how many bad ones are remembered.
func (t *trust) count() int {
	n := t.older + t.fresh
	for _, b := range t.bad {
		n += bits.OnesCount64(b)
	}
	return n
}

// note remembers one answer.
func (t *trust) note(bad uint64) {
	at, bit := &t.bad[t.next/64], t.next%64
	*at = *at&^(1<<bit) | bad<<bit
	t.next = (t.next + 1) % memory
	t.seen = min(t.seen+1, memory)
}

// stray: an answer was whole, and unlike those around it. It may be a bent one, or
// something moved: the row begins anew, and nothing is remembered.
func (t *trust) stray() { t.good = 0 }

// again: the cable was plugged in, or the machine switched on.
func (t *trust) again() { t.good, t.silent = 0, 0 }

// doubt says why no key may be sent; nil is none.
func (t *trust) doubt() error {
	bad := t.count()
	need, most := steadyRow, mostBad
	if t.seen < known {
		need, most = shortRow, firstBad
	}
	if bad > most {
		return fmt.Errorf("its wire is noisy: %d of the last questions had no answer or a damaged one, and a key that is bent on its way is another drink: look at the cable, its plug and the level shifter; %d of %d good answers in a row have come", bad, t.good, longRow)
	}
	if t.good < need {
		return fmt.Errorf("its wire is tried, %d of %d good answers in a row: %w", t.good, need, driver.ErrNotYet)
	}
	return nil
}

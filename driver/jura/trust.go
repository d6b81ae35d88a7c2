package jura

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"barista/driver"
)

// A key has no checksum. Two bits that fall over on the wire make FA:05 of FA:04,
// which is another drink, and nothing that we send can prevent it. But a wire that
// bends keys bends questions and answers too, and those show it. An answer is bad
// if it is damaged, or if it does not come between others that do. One that this
// computer was too busy to hear, by its own clock, is neither good nor bad: it ends
// the row of rule 1. Three rules say whether a key may be sent:
//
//  1. Row. The last answers were all good: 16 of them (3 s of questions), or 64
//     (13 s) while the wire is not known, which takes 512 answers.
//  2. Memory. Of the last 2048 answers at most 4 were bad, or 1 while the wire is
//     not known. With more it is noisy, and the row of rule 1 does not help: it
//     comes on a noisy wire too, if one waits for it. After 1024 good answers in a
//     row (3 to 4 minutes) the wire is taken as mended: all is forgotten, and it is
//     not known.
//  3. Motors. Motors make noise, and keys are sent at rest. A bad answer while the
//     machine works ends the row and is not remembered. Motors start before we see
//     the machine at work, so a bad answer at rest is pending for 30 s at least: it
//     counts, and it is forgiven if the machine is seen at work in that time.
//
// The figures are those of TestTrustInNoise. It plays 200,000 questions over wires
// that bend a share of the lines each way, with a key whenever one may be sent. One
// bent key in 28 is another key.
//
//	lines bent   keys that are sent       of them bent
//	from 1 %     none for long
//	0.3 %        one in ten               1 in 9,000
//	0.1 %        nearly all               1 in 28,000
//
// Two things are not found out: a service that has just started knows only the row
// of 64, and may send some keys over a noisy wire; and a wire may become bad in the
// very moment of the key.
const (
	rowKnown  = 16   // rule 1
	rowNew    = 64   // rule 1, while the wire is not known
	rowMended = 1024 // rule 2
	known     = 512  // remembered answers from which on a wire is known
	memory    = 2048 // rule 2: answers that are remembered
	badKnown  = 4    // rule 2: bad ones among them
	badNew    = 1    // rule 2, while the wire is not known

	motors = 30 * time.Second // rule 3: the shortest time that a bad answer is pending
)

// trust is what the answers tell about the wire. It outlives the cable: to pull and
// plug makes a wire no better.
type trust struct {
	row    int // good answers in a row, up to rowMended
	silent int // questions since the last answer

	late bool // the row was ended by this computer

	// Rule 2: a ring of answers, 1 is a bad one.
	ring       [memory / 64]uint64
	next       int // the place of the next answer
	remembered int // answers in it

	// Rule 3: bad answers that are pending.
	recent  int       // since the time below
	earlier int       // in the half minute, or more, before it
	since   time.Time // zero: no answer of the inputs yet
}

// answer takes what came of a question. atRest: as far as was seen, the machine did
// nothing.
func (t *trust) answer(err error, atRest bool) {
	bad := t.silent
	switch {
	case err == nil:
		t.silent = 0
	case errors.Is(err, errSilent):
		// A machine that is switched off is silent too, and that is no noise.
		if t.row, t.silent = 0, t.silent+1; t.silent >= patience {
			t.silent = 0
		}
		return
	case errors.Is(err, errLate):
		// That is no noise either, and no proof that there was none.
		t.row, t.late = 0, true
		return
	case errors.Is(err, errDamaged), errors.Is(err, errBabble):
		t.row, t.silent = 0, 0
		bad++
	default:
		return // given up, or unplugged: that tells nothing
	}
	if !atRest {
		return
	}
	t.recent = min(t.recent+bad, memory)
	if err != nil {
		return
	}
	t.remember(0)
	t.late = t.late && t.row+1 < rowKnown
	if t.row = min(t.row+1, rowMended); t.row == rowMended && t.bad() > badKnown {
		*t = trust{row: rowMended}
	}
}

// age is told at each look whether the machine is at rest: then the older half of
// what is pending is remembered when its time is over. At work all of it is
// forgiven.
func (t *trust) age(atRest bool, now time.Time) {
	switch {
	case !atRest:
		t.recent, t.earlier, t.since = 0, 0, now
	case now.Sub(t.since) >= motors:
		recent := t.recent
		t.recent = 0
		t.rememberPending()
		t.earlier, t.since = recent, now
	}
}

// rememberPending ends the wait of rule 3. A key of ours does, too: the motors did
// not run before it.
func (t *trust) rememberPending() {
	for range t.recent + t.earlier {
		t.remember(1)
	}
	t.recent, t.earlier = 0, 0
}

// remember puts one answer into the ring, in place of the oldest one.
func (t *trust) remember(bad uint64) {
	word, bit := &t.ring[t.next/64], t.next%64
	*word = *word&^(1<<bit) | bad<<bit
	t.next = (t.next + 1) % memory
	t.remembered = min(t.remembered+1, memory)
}

// bad counts the bad answers, remembered and pending.
func (t *trust) bad() int {
	n := t.recent + t.earlier
	for _, word := range t.ring {
		n += bits.OnesCount64(word)
	}
	return n
}

// stray: an answer was whole, and unlike those around it. It may be a bent one, or
// something moved, so the row begins anew and nothing is remembered.
func (t *trust) stray() { t.row = 0 }

// plugged: the cable was plugged in, or the machine switched on.
func (t *trust) plugged() { t.row, t.silent = 0, 0 }

// doubt says why no key may be sent; nil is none.
func (t *trust) doubt() error {
	bad := t.bad()
	need, most := rowKnown, badKnown
	if t.remembered < known {
		need, most = rowNew, badNew
	}
	if bad > most {
		return fmt.Errorf("its wire is noisy: %d of the last questions had no answer or a damaged one, and a key that is bent on its way is another drink: look at the cable, its plug and the level shifter; %d of %d good answers in a row have come", bad, t.row, rowMended)
	}
	if t.row < need && t.late {
		return fmt.Errorf("this computer was too busy to hear all of its answers; its wire is tried anew, %d of %d good answers in a row: %w", t.row, need, driver.ErrNotYet)
	}
	if t.row < need {
		return fmt.Errorf("its wire is tried, %d of %d good answers in a row: %w", t.row, need, driver.ErrNotYet)
	}
	return nil
}

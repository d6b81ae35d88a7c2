package jura

import (
	"errors"
	"fmt"
	"math/bits"

	"barista/driver"
)

// window is how many questions in a row must have been answered, whole and alike,
// before a key is sent.
//
// A key has no checksum: two bits that fall over on the wire make FA:05 of FA:04,
// which is another drink, and nothing that we send can prevent it. But a wire
// that bends keys bends questions and answers too, and those show it. If a share p
// of the lines is bent each way, and one bent key in 28 is another key, then of
// the wishes to start p(1-p)^128/28 end with a wrong key: at 5 % one in 400,000
// (without this, one in 560), and at 0.8 %, which is the worst, one in 9,800. A
// wire that becomes bad in the very moment of the key is not found out.
const window = 64

// noisy is how many bad ones within the window need somebody to look at the wire.
const noisy = 4

// trust is what the newest questions tell about the wire.
type trust struct {
	asked int    // since the cable was plugged in, up to window
	bad   uint64 // the newest in the lowest bit: 1 is silent, damaged, or unlike the others
}

// saw is what came of a question.
func (t *trust) saw(err error) {
	bad := errors.Is(err, errSilent) || errors.Is(err, errDamaged) || errors.Is(err, errBabble)
	if err != nil && !bad {
		return // given up, or unplugged: that tells nothing
	}
	t.asked = min(t.asked+1, window)
	t.bad <<= 1
	if bad {
		t.bad |= 1
	}
}

// stray: an answer before the newest was whole, and unlike those around it.
func (t *trust) stray() { t.bad |= 1 }

// doubt says why no key may be sent; nil is none.
func (t *trust) doubt() error {
	bad := bits.OnesCount64(t.bad)
	switch {
	case bad >= noisy:
		return fmt.Errorf("its wire is noisy: %d of the last %d questions had no answer or a damaged one, and a key that is bent on its way is another drink: look at the cable, its plug and the level shifter", bad, t.asked)
	case bad > 0 || t.asked < window:
		return fmt.Errorf("its wire is tried, %d of %d good answers in a row: %w", min(t.asked, bits.TrailingZeros64(t.bad)), window, driver.ErrNotYet)
	}
	return nil
}

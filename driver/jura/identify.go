package jura

import (
	"context"
	"errors"
	"time"

	"barista/driver/serial"
)

// Identify asks whatever hangs on the line what it is, with TY: and nothing else,
// and returns the whole answer, such as "EF532M V02.03". It must have come twice
// in the same words. The error says that nothing answers as such a machine would;
// that takes no longer than a second and a half.
//
// To devices that speak something else the question is noise: spread over four
// bytes each, its characters are [ _ { and DEL, so there is no line end in it, no
// A0 or FF, with which frames of relay boards begin, and no function of Modbus.
// The test in cmd/barista/detect holds it against every decoder here.
func Identify(ctx context.Context, l *serial.Line) (string, error) {
	const within = 600 * time.Millisecond // a machine begins to answer at once
	var last string
	var err error
	for silent := 0; silent < 2; {
		var got string
		got, err = ask(ctx, l, askType, within, parseType)
		switch {
		case errors.Is(err, errSilent), errors.Is(err, errLate), errors.Is(err, errDamaged):
			silent++
			continue
		case err != nil:
			return "", err
		case got == last:
			return got, nil
		}
		if last != "" {
			silent++ // it doesn't agree with itself
		}
		last = got
	}
	if err == nil {
		err = errDamaged
	}
	return "", err
}

package serial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"barista/driver"
)

// ErrSilence: nothing came in the time that it was given. The connection goes
// on.
var ErrSilence = errors.New("no answer in time")

// Line is the port in the hands of one piece of work, inside Do or Check and no
// longer. Its calls end when the context of that work does.
type Line struct {
	ctx  context.Context
	g    *generation
	slip time.Duration
}

// Generation numbers the connection, from 1. Under another number the device
// may have been anything in between.
func (l *Line) Generation() uint64 { return l.g.n }

// usable says why nothing may be done any more.
func (l *Line) usable() error {
	if l.g.over != nil {
		return l.g.over
	}
	if err := context.Cause(l.ctx); err != nil {
		return onPort(l.g.name, "given up: %w", err)
	}
	return nil
}

// Write sends all of b, or fails; then the connection is over, because a part
// of b may have gone out, and the next piece of work is refused until the port
// was opened anew. Within 500 ms or the context's end; where this process was not
// awake for that time, and nothing went out, it is tried once more.
func (l *Line) Write(b []byte) error {
	if err := l.usable(); err != nil {
		return err
	}
	select {
	case <-l.g.dead:
		return l.g.abandon(l.g.err)
	default:
	}
	l.g.record.add(Out, b)
	n, late, err := l.write(b)
	if late && n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		// The time passed while nobody was awake to write: the wire was not to blame.
		if err := l.usable(); err != nil {
			return err
		}
		n, _, err = l.write(b)
	}
	if err == nil && n < len(b) {
		err = fmt.Errorf("only %d of %d bytes went out", n, len(b))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%d of %d bytes went out before the time was over", n, len(b))
	}
	if err != nil {
		return l.g.abandon(err)
	}
	if now := time.Now(); l.g.outEnd.Before(now) {
		l.g.outEnd = now
	}
	l.g.outEnd = l.g.outEnd.Add(time.Duration(len(b)) * l.g.char)
	return nil
}

// write is one try, and whether it came back late.
func (l *Line) write(b []byte) (n int, late bool, err error) {
	deadline := time.Now().Add(writeWithin)
	if d, ok := l.ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := l.g.wire.SetWriteDeadline(deadline); err != nil {
		return 0, false, err
	}
	n, err = l.g.wire.Write(b)
	return n, time.Since(deadline) > starved, err
}

// Next returns the next bytes as they came, at least one. ErrSilence if there
// was none until then.
func (l *Line) Next(until time.Time) ([]byte, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	select {
	case c := <-l.g.in: // before any bad news
		return l.took(c), nil
	default:
	}
	due := soon(time.Now(), until)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for again := false; ; {
		select {
		case c := <-l.g.in:
			return l.took(c), nil
		case <-l.g.dead:
			select {
			case c := <-l.g.in:
				return l.took(c), nil
			default:
			}
			return nil, l.g.abandon(l.g.err)
		case <-timer.C:
			now := time.Now()
			late, over := l.woken(due, now), !now.Before(until)
			switch {
			case !over:
				due = soon(now, until)
			case late && !again:
				// Whoever is woken late has not been given what came meanwhile either: it
				// waits in the kernel for the goroutine that reads.
				again, due = true, now.Add(starved)
			default:
				return nil, onPort(l.g.name, "%w", ErrSilence)
			}
			timer.Reset(time.Until(due))
		case <-l.ctx.Done():
			return nil, l.usable()
		}
	}
}

const (
	// starved is how late a timer may be on a computer that has time for us.
	starved = 5 * time.Millisecond
	// look is how often whoever waits looks whether the computer has time for us.
	look = 50 * time.Millisecond
)

// soon is when whoever waits until then looks next.
func soon(now, until time.Time) time.Time {
	switch next := now.Add(look); {
	case until.Before(now):
		return now
	case until.After(next):
		return next
	}
	return until
}

// woken notes how late it is, and reports whether that is late.
func (l *Line) woken(due, now time.Time) bool {
	late := now.Sub(due)
	if late <= starved {
		return false
	}
	l.slip += late
	return true
}

// Slip is how long this piece of work was not woken when it was due: the computer had
// no time for it, or the whole process was stopped. What did not come meanwhile proves
// nothing about the device. It only grows.
func (l *Line) Slip() time.Duration { return l.slip }

// Pause lets d pass between two characters; what comes meanwhile is kept.
func (l *Line) Pause(ctx context.Context, d time.Duration) error {
	due := time.Now().Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		l.woken(due, time.Now())
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *Line) took(c chunk) []byte {
	l.g.inEnd = c.at
	return c.bytes
}

// Quiet waits until the line has been silent for d in both directions, as
// protocols want it that tell frames by the pause between them, and drops what
// comes meanwhile. The time that our own bytes need on the wire counts as not
// silent.
func (l *Line) Quiet(d time.Duration) error {
	for {
		if err := l.usable(); err != nil {
			return err
		}
		l.Discard()
		last := l.g.outEnd
		if l.g.inEnd.After(last) {
			last = l.g.inEnd
		}
		left := d - time.Since(last)
		if left <= 0 {
			return nil
		}
		if _, err := l.Next(time.Now().Add(left)); err != nil && !errors.Is(err, ErrSilence) {
			return err
		}
	}
}

// Discard drops what was received and not read. It returns the number of bytes.
func (l *Line) Discard() int {
	n := 0
	for {
		select {
		case c := <-l.g.in:
			n += len(l.took(c))
		default:
			l.g.dropped.Add(int64(n))
			return n
		}
	}
}

// portError is an error of this package; it names the port.
type portError struct {
	port string
	err  error
}

func (e *portError) Error() string { return "serial port " + e.port + ": " + e.err.Error() }
func (e *portError) Unwrap() error { return e.err }

func onPort(port, format string, args ...any) error {
	return &portError{port, fmt.Errorf(format, args...)}
}

// gone makes an error of a connection that is over: driver.ErrGone, with its
// reason and the port's name.
func gone(name string, why error) error {
	if errors.Is(why, driver.ErrGone) {
		return why
	}
	if _, named := errors.AsType[*portError](why); named {
		return &goneError{why}
	}
	return onPort(name, "%w: %w", driver.ErrGone, why)
}

// goneError is driver.ErrGone in the words of its reason.
type goneError struct{ why error }

func (e *goneError) Error() string   { return e.why.Error() }
func (e *goneError) Unwrap() []error { return []error{driver.ErrGone, e.why} }

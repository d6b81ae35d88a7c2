package jura

import (
	"context"
	"errors"
	"fmt"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

// The line's times. Four bytes at 9600 baud take 4.2 ms, the pause after them is
// 7 to 8 ms; a USB adapter may keep bytes back for another 16 ms.
const (
	pace   = 12500 * time.Microsecond // from one character to the next
	calm   = 40 * time.Millisecond    // no character in so long: nothing is under way
	stall  = 150 * time.Millisecond   // a line that stops for so long has lost something
	busy   = 40 * time.Millisecond    // that this process was not woken: then an answer that is missing proves nothing
	most   = 10 * time.Second         // of that is made up for
	babble = 2 * time.Second          // the longest answer takes less than half of it
)

// line is what is spoken over: a *serial.Line.
type line interface {
	Write([]byte) error
	Next(until time.Time) ([]byte, error)
	Discard() int
	Pause(ctx context.Context, d time.Duration) error
	Slip() time.Duration
}

var (
	// errSilent: silence is the machine's only way to say no.
	errSilent = errors.New("it did not answer")
	// errDamaged: an answer came, and could not be read. Nothing more is under way.
	errDamaged = errors.New("its answer was damaged")
	// errLate: no whole answer, and this process was not woken in its time meanwhile.
	errLate   = fmt.Errorf("this computer was too busy to hear its answer: %w", driver.ErrNotYet)
	errBabble = errors.New("it talks without being asked and does not stop, as in its debug mode: pull its mains plug")
)

// quiet waits until nothing is under way, and drops what still comes: answers
// that are late, or double.
func quiet(l line) error {
	l.Discard()
	for until := time.Now().Add(babble); ; {
		_, err := l.Next(time.Now().Add(calm))
		switch {
		case errors.Is(err, serial.ErrSilence):
			return nil
		case err != nil:
			return err
		case time.Now().After(until):
			return errBabble
		}
	}
}

// say sends a command, a character at a time. With an error, whole tells whether
// the machine may have the whole command: without the end of the line it has
// none, and what it has spoils the next line, which is then not answered.
func say(ctx context.Context, l line, c command) (whole bool, err error) {
	text := wire[c] + ends
	var buf [group]byte
	for i := range len(text) {
		whole = i >= len(text)-len(ends)
		if err := l.Write(AppendByte(buf[:0], text[i], LowFiller)); err != nil {
			return whole, err
		}
		if err := l.Pause(ctx, pace); err != nil {
			return whole, err
		}
	}
	return true, nil
}

// hear waits for the line that parse accepts. What else comes is noise, or the
// answer to an earlier question. The time that it waits is this process's own: what it
// slept through is added. slip is what the line had of that before the question.
func hear[T any](l line, within, slip time.Duration, parse func(string) (T, bool)) (v T, err error) {
	var lines Lines
	spoilt, cut, begun := false, false, false
	seen := l.Slip()
	for until := time.Now().Add(within); ; {
		// A line that has begun may end.
		by := time.Now().Add(stall)
		if !begun && until.Before(by) {
			by = until
		}
		b, err := l.Next(by)
		slept := min(l.Slip(), slip+most) - seen
		if slept > 0 {
			seen += slept
			until = until.Add(slept)
		}
		switch {
		case errors.Is(err, serial.ErrSilence):
			if slept > 0 && begun {
				continue // the rest of it may lie in the kernel
			}
			cut = cut || begun
			begun = false
			lines.Reset()
			late := seen-slip >= busy
			switch {
			case spoilt, cut && !late:
				return v, errDamaged
			case cut, late && !time.Now().Before(until):
				return v, errLate
			case !time.Now().Before(until):
				return v, errSilent
			}
			continue
		case err != nil:
			return v, err
		case time.Now().After(until.Add(babble)):
			return v, errBabble
		}
		begun = true
		for _, c := range b {
			line, whole := lines.Feed(c)
			if !whole {
				continue
			}
			begun = false
			if v, ok := parse(line); ok {
				return v, nil
			}
			spoilt = spoilt || !isAnswer(line)
		}
	}
}

// ask puts a question. A question that has begun goes out whole, whoever gives up
// meanwhile: a piece of one would spoil the next.
func ask[T any](ctx context.Context, l line, c command, within time.Duration, parse func(string) (T, bool)) (T, error) {
	var none T
	if err := quiet(l); err != nil {
		return none, err
	}
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	slip := l.Slip()
	if _, err := say(context.WithoutCancel(ctx), l, c); err != nil {
		return none, err
	}
	return hear(l, within, slip, parse)
}

// reading is a value that the machine is asked for, again and again. A single
// answer proves nothing: a bit may have fallen over on the wire, so two in a row
// must be the same, of which the first may be the last of the reading before. Nor
// does an answer say to which question it belongs: after questions that were not
// answered, as many answers are not believed as could still come late.
//
// A question may be bent as well, into one that the machine answers: RT:0001
// brings another part of its memory, in the same form. So what does not follow
// from the last value (odd) takes two answers more, the first value of all one.
type reading[T comparable] struct {
	odd   func(last, now T) bool // nil: nothing is
	stray func()                 // an answer stood alone; nil: nobody wants to know

	last T         // found good
	at   time.Time // when; zero is never

	value T   // of the newest answers
	same  int // how many in a row had it

	missed int // answers that may still come
	missAt time.Time
}

const (
	patience  = 3                // questions in a row without an answer, then we give up
	questions = 12               // for one reading
	lateAt    = 30 * time.Second // no answer comes later than that
	mostLate  = 2                // nor are so many kept back
)

func (r *reading[T]) read(question func() (T, error)) (T, error) {
	if time.Since(r.missAt) > lateAt {
		r.missed = 0
	}
	r.same = min(r.same, 1)
	fresh := 0 // the same answers within this reading
	for range questions {
		got, err := r.persist(question)
		if err != nil {
			return r.last, err
		}
		if r.same > 0 && got == r.value {
			r.same++
			fresh++
		} else {
			if fresh == 1 && r.stray != nil {
				r.stray()
			}
			r.value, r.same, fresh = got, 1, 1
		}
		need := 2
		switch {
		case r.odd == nil:
		case r.at.IsZero():
			need++
		case r.odd(r.last, got):
			need += 2
		}
		if r.same >= need && fresh > r.missed {
			r.last, r.at, r.missed = got, time.Now(), 0
			return got, nil
		}
	}
	return r.last, errors.New("its answers do not agree with each other: is the cable loose, or the level shifter missing?")
}

// doubt makes the next reading start anew: things have changed.
func (r *reading[T]) doubt() { r.same = 0 }

// persist asks until there is an answer, a few times.
func (r *reading[T]) persist(question func() (T, error)) (T, error) {
	for tries := 1; ; tries++ {
		got, err := question()
		switch {
		case errors.Is(err, errSilent), errors.Is(err, errLate):
			r.missed, r.missAt = min(r.missed+1, mostLate), time.Now()
		case !errors.Is(err, errDamaged):
			return got, err
		}
		if tries == patience {
			return got, err
		}
	}
}

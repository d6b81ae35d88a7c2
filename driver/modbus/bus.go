package modbus

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"barista/driver/board"
	"barista/driver/serial"
)

// bus asks one board on a line and believes only answers to the question.
type bus struct {
	address byte
	first   uint16
	relays  uint16
	inputs  uint16 // as many as are read; 0: none
	baud    int
	// echo: the adapter sends us what we send. The echo of a write looks exactly
	// like its answer; that of a read can't be mistaken, and shows it.
	echo bool
}

// charBits is a character as the standard counts it: 11 bits, whatever the
// parity.
const charBits = 11

// turnaround is how long a board may think, beyond the time that both frames
// need on the wire. Boards answer within some milliseconds; a USB adapter adds
// up to 16 ms each way.
const turnaround = 60 * time.Millisecond

func (b *bus) chars(n float64) time.Duration {
	return time.Duration(n * charBits * float64(time.Second) / float64(b.baud))
}

// silence is what stands between two frames: 3.5 characters, and above 19200
// baud a fixed time.
func (b *bus) silence() time.Duration {
	if b.baud > 19200 {
		return 1750 * time.Microsecond
	}
	return b.chars(3.5)
}

// ask sends one request and waits for its answer. An Exception is an error.
func (b *bus) ask(l *serial.Line, q Request) (Answer, error) {
	if err := l.Quiet(b.silence()); err != nil {
		return Answer{}, err
	}
	sent := q.Append(nil)
	if err := l.Write(sent); err != nil {
		return Answer{}, err
	}
	until := time.Now().Add(b.patience(q))
	var got []byte
	for {
		part, err := l.Next(until)
		if errors.Is(err, serial.ErrSilence) {
			if len(got) > 0 {
				return Answer{}, fmt.Errorf("%w so that it can be understood: %d bytes of noise, or of another protocol", board.ErrNoAnswer, len(got))
			}
			return Answer{}, board.ErrNoAnswer
		}
		if err != nil {
			return Answer{}, err
		}
		got = append(got, part...)
		if bytes.HasPrefix(got, sent) && sent != nil && (b.echo || q.Function == ReadCoils) {
			b.echo, got = true, got[len(sent):]
			sent = nil // once
		}
		got = got[max(0, len(got)-maxAnswer):]
		if b.echo && sent != nil {
			continue // it comes first
		}
		if a, ok := find(q, got); ok {
			if a.Exception != 0 {
				return a, a.Exception
			}
			return a, nil
		}
	}
}

// patience is how long an answer is waited for.
func (b *bus) patience(q Request) time.Duration {
	return b.chars(float64(len(q.Append(nil))+answerLen(q))) + turnaround
}

// read asks for relays or contacts, and once more if there was no answer: a
// question has no effect.
func (b *bus) read(l *serial.Line, what Function, count uint16) ([]bool, error) {
	q := Read(b.address, what, b.first, count)
	a, err := b.ask(l, q)
	if errors.Is(err, board.ErrNoAnswer) {
		a, err = b.ask(l, q)
	}
	return a.Bits, err
}

// atOpening repeats what had no answer: at opening nobody waits for an off, and a
// computer that has just started may be late itself. Only for what may be
// repeated.
func atOpening[T any](f func() (T, error)) (T, error) { return upTo(openTries, f) }

const openTries = 5

// upTo tries so many times while there is no answer.
func upTo[T any](tries int, f func() (T, error)) (v T, err error) {
	for range tries {
		if v, err = f(); !errors.Is(err, board.ErrNoAnswer) {
			break
		}
	}
	return v, err
}

// coils reads every relay of the board.
func (b *bus) coils(l *serial.Line) ([]bool, error) { return b.read(l, ReadCoils, b.relays) }

// contacts reads the contacts that are in use.
func (b *bus) contacts(l *serial.Line) ([]bool, error) { return b.read(l, ReadInputs, b.inputs) }

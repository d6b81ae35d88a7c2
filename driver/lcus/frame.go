package lcus

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Frame switches one relay.
type Frame struct {
	Channel int // from 1 to 8
	On      bool
}

// MaxRelays is how many relays the largest board has.
const MaxRelays = 8

const (
	start    = 0xA0
	frameLen = 4
	// Query asks for all relays; boards that do not know it say nothing.
	Query = 0xFF
)

// Append adds the frame's four bytes: start, channel, state, and their sum.
func (f Frame) Append(b []byte) []byte {
	state := byte(0)
	if f.On {
		state = 1
	}
	return append(b, start, byte(f.Channel), state, start+byte(f.Channel)+state)
}

func (f Frame) String() string {
	if f.On {
		return fmt.Sprintf("relay %d on", f.Channel)
	}
	return fmt.Sprintf("relay %d off", f.Channel)
}

var (
	errLength = errors.New("a frame has four bytes")
	errStart  = errors.New("a frame begins with A0")
	errSum    = errors.New("the frame is damaged: its sum is wrong")
	errBody   = errors.New("no such relay or state")
)

// DecodeFrame reads one frame, as a board does.
func DecodeFrame(b []byte) (Frame, error) {
	switch {
	case len(b) != frameLen:
		return Frame{}, errLength
	case b[0] != start:
		return Frame{}, errStart
	case b[3] != b[0]+b[1]+b[2]:
		return Frame{}, errSum
	case b[1] < 1 || b[1] > MaxRelays || b[2] > 1:
		return Frame{}, errBody
	}
	return Frame{Channel: int(b[1]), On: b[2] == 1}, nil
}

// Answers is how a board answers the question about its relays.
type Answers string

// The dialects that were seen.
const (
	AnswersNone  Answers = "none"
	AnswersText  Answers = "text"  // lines CH1:OFF or CH1: ON, with CR LF
	AnswersBytes Answers = "bytes" // one byte for each relay, 00 or 01
)

// maxAnswer is as much as is kept while an answer is looked for.
const maxAnswer = 256

// AppendStates adds what a board of this dialect says.
func (a Answers) AppendStates(b []byte, relays []bool) []byte {
	for i, on := range relays {
		switch {
		case a == AnswersBytes && on:
			b = append(b, 1)
		case a == AnswersBytes:
			b = append(b, 0)
		case a == AnswersText && on:
			b = fmt.Appendf(b, "CH%d: ON\r\n", i+1)
		case a == AnswersText:
			b = fmt.Appendf(b, "CH%d:OFF\r\n", i+1)
		}
	}
	return b
}

// errMore: the answer is not whole yet.
var errMore = errors.New("the answer is not whole")

// parse reads the answer of a board with so many relays. It is strict: every
// relay once, in its order, and nothing else. errMore until it is whole.
func (a Answers) parse(b []byte, relays int) ([]bool, error) {
	if a == AnswersBytes {
		switch {
		case len(b) < relays:
			return nil, errMore
		case len(b) > relays:
			return nil, fmt.Errorf("%d bytes for %d relays", len(b), relays)
		}
		list := make([]bool, relays)
		for i, x := range b {
			if x > 1 {
				return nil, fmt.Errorf("%02X is no state of a relay", x)
			}
			list[i] = x == 1
		}
		return list, nil
	}
	var list []bool
	for rest := b; ; {
		line, after, whole := bytes.Cut(rest, []byte("\r\n"))
		if !whole {
			if len(list) == relays && len(rest) == 0 {
				return list, nil
			}
			if len(b) >= maxAnswer || len(list) == relays {
				return nil, errors.New("there is more in it than its relays")
			}
			return nil, errMore
		}
		rest = after
		state, is := strings.CutPrefix(string(line), fmt.Sprintf("CH%d:", len(list)+1))
		state = strings.TrimPrefix(state, " ")
		if !is || len(list) == relays || state != "ON" && state != "OFF" {
			return nil, fmt.Errorf("%q is not the state of relay %d", line, len(list)+1)
		}
		list = append(list, state == "ON")
	}
}

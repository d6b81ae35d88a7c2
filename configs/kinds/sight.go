package kinds

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"barista/driver/serial"
)

// Sight is how detect recognises a kind behind a free serial port.
type Sight struct {
	// Turn is when the kind asks, 1 first. The order is that of the harm which a
	// question could do to the wrong device, and of how surely an answer is one.
	Turn int
	// Asks is its question, for the help; a whole sentence where nothing is asked.
	Asks string
	// Ask puts a question that only reads, at 9600 baud. An error says that no such
	// device answers, and the next kind asks; one that is driver.ErrGone, that the
	// port is gone. Nil: there is nothing that could be asked without harm.
	Ask func(ctx context.Context, l *serial.Line) (Answer, error)
	// Look reads what the device tells beyond what it is, if it can tell more. What
	// fails here is no trouble: it is known already what it is.
	Look func(ctx context.Context, port *serial.Port, a *Answer)
	// Mute says what may hang on an adapter where nothing answers; "" if nothing of
	// this kind would. Nil is never.
	Mute func(serial.Adapter) string
	// Talks is what of this kind speaks without being asked; "" if nothing does.
	Talks string
}

// Asking are the kinds that ask, in their turn.
func (t Table) Asking() []*Sight {
	var out []*Sight
	for _, k := range t {
		if k.Sight != nil && k.Sight.Ask != nil {
			out = append(out, k.Sight)
		}
	}
	slices.SortStableFunc(out, func(a, b *Sight) int { return cmp.Compare(a.Turn, b.Turn) })
	return out
}

// Answer is what a device said of itself, in words and as data.
type Answer struct {
	Kind   string
	Driver string // "": no machine can be made of it
	Text   string // what it is, in words
	Facts  []Fact
	More   []string          // lines for a person, below the text
	Hints  map[string]string // by key of the machine's section: what setup suggests
}

// Fact is one thing that a device told; none if it is "" or 0.
type Fact struct {
	Name  string
	Value any
}

// MarshalJSON has the facts beside the words, in their order.
func (a Answer) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	write := json.NewEncoder(&out)
	write.SetEscapeHTML(false) // whoever wants that escaped does it to the whole
	before := byte('{')
	for _, f := range append([]Fact{{"kind", a.Kind}, {"driver", a.Driver}, {"text", a.Text}}, a.Facts...) {
		if f.Value == "" || f.Value == 0 {
			continue
		}
		out.WriteByte(before)
		before = ','
		if err := write.Encode(f.Name); err != nil {
			return nil, err
		}
		out.WriteByte(':')
		if err := write.Encode(f.Value); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// Pins is what a kind that hangs on the computer's own lines sees of them.
type Pins struct {
	Board func() string // how the computer calls itself
	Chips func() ([]Chip, error)
}

// Chip is a set of lines of this computer.
type Chip struct {
	Label  string `json:"label"` // stays the same
	Device string `json:"device"`
	Lines  int    `json:"lines"`
	Header string `json:"header,omitempty"` // what people call its lines, if it is one for machines
	Held   []Held `json:"held,omitempty"`
}

// Held is a line that somebody has.
type Held struct {
	Offset int    `json:"offset"`
	Name   string `json:"name,omitempty"`
	By     string `json:"by,omitempty"`
}

package plant

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"barista/driver"
)

// maxRequest and maxAnswer bound a line, newline included. An answer may carry
// thousands of flows.
const (
	maxRequest = 4 << 10
	maxAnswer  = 8 << 20
	maxOn      = time.Hour // of a board's timer
)

// request is one line to the process; answer is the line that comes back. Fields
// that a verb does not use must be left out.
type request struct {
	Do     string        `json:"do"`
	Part   driver.Part   `json:"part,omitempty"`
	On     bool          `json:"on,omitempty"`
	AtMost time.Duration `json:"at_most,omitempty"` // ns
	Signal driver.Signal `json:"signal,omitempty"`
	Fault  string        `json:"fault,omitempty"`
	// From and Seq order the switching of one client over its connections: a
	// command that was overtaken by a later one has no effect.
	From string `json:"from,omitempty"`
	Seq  uint64 `json:"seq,omitempty"`

	fault Fault // decoded
}

type answer struct {
	Error  string  `json:"error,omitempty"`
	Code   string  `json:"code,omitempty"` // with Error: codeInvalid or ""
	Value  float64 `json:"value,omitempty"`
	Cup    *Cup    `json:"cup,omitempty"`
	Config *Config `json:"config,omitempty"`
	Counts *Counts `json:"counts,omitempty"`
	Pours  []Pour  `json:"pours,omitempty"`
	Edges  []Edge  `json:"edges,omitempty"`
}

// codeInvalid stands for driver.ErrInvalid.
const codeInvalid = "invalid"

// verbs lists what may be asked.
var verbs = []string{"config", "set", "on-for", "read", "place", "take", "fault", "mend", "clear", "refill", "poured", "flows", "counts", "edges"}

// decodeRequest reads one line. It is strict: what it does not understand, it
// refuses whole.
func decodeRequest(line []byte) (request, error) {
	var r request
	if len(line) > maxRequest {
		return r, fmt.Errorf("the line is longer than %d bytes", maxRequest)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("not a request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("not a request: there is more on the line")
	}

	want := request{Do: r.Do} // what the verb may carry
	switch r.Do {
	case "set":
		want.Part, want.On, want.From, want.Seq = r.Part, r.On, r.From, r.Seq
	case "on-for":
		want.Part, want.AtMost, want.From, want.Seq = r.Part, r.AtMost, r.From, r.Seq
		if r.AtMost <= 0 || r.AtMost > maxOn {
			return r, fmt.Errorf("at_most is %v: must be above 0 and at most %v", r.AtMost, maxOn)
		}
	case "read":
		want.Signal = r.Signal
	case "fault", "mend":
		want.Fault = r.Fault
		f, err := ParseFault(r.Fault)
		if err != nil {
			return r, err
		}
		r.fault, want.fault = f, f
	default:
		if !slices.Contains(verbs, r.Do) {
			return r, fmt.Errorf("there is no verb %q", r.Do)
		}
	}
	if r != want {
		return r, fmt.Errorf("%s: a field that it does not take", r.Do)
	}
	if want.Part != "" && (r.From == "" || len(r.From) > 64 || r.Seq == 0) {
		return r, fmt.Errorf("%s: from (1 to 64 characters) and seq (from 1) are needed", r.Do)
	}
	return r, nil
}

// readLine reads a line of at most limit bytes, without its newline. A last line
// without a newline was cut off and is never acted upon: io.ErrUnexpectedEOF.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, fmt.Errorf("the line is longer than %d bytes", limit)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

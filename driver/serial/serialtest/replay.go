package serialtest

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"barista/driver"
	"barista/driver/serial"
)

// Event is one thing that happened on a port.
type Event struct {
	At    time.Duration // since the recording began
	Dir   serial.Dir
	Bytes []byte
}

// event is a line of a recording.
type event struct {
	At  int64      `json:"at_us"` // µs since it began
	Dir serial.Dir `json:"dir"`
	Hex string     `json:"hex,omitempty"`
}

// maxLine bounds a line of a recording.
const maxLine = 64 << 10

// ReadRecording reads what a serial.Recorder wrote. It is strict: a recording that was
// edited by hand must still be one.
func ReadRecording(r io.Reader) ([]Event, error) {
	var list []Event
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var e event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("recording, line %d: %w", len(list)+1, err)
		}
		b, err := hex.DecodeString(e.Hex)
		last := int64(0)
		if len(list) > 0 {
			last = list[len(list)-1].At.Microseconds()
		}
		const most = int64(30 * 24 * time.Hour / time.Microsecond)
		switch {
		case err != nil:
		case e.At < last || e.At > most:
			err = fmt.Errorf("the time %d does not go on from %d", e.At, last)
		case e.Dir == serial.Out || e.Dir == serial.In:
			if len(b) == 0 {
				err = errors.New("no bytes")
			}
		case e.Dir == serial.Opened || e.Dir == serial.Gone:
			if len(b) > 0 {
				err = errors.New("bytes where there can be none")
			}
		default:
			err = fmt.Errorf("there is no direction %q", e.Dir)
		}
		if err != nil {
			return nil, fmt.Errorf("recording, line %d: %w", len(list)+1, err)
		}
		list = append(list, Event{time.Duration(e.At) * time.Microsecond, e.Dir, b})
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("recording, line %d: %w", len(list)+1, err)
	}
	return list, nil
}

// Replay plays a recording as the device did: it wants the same bytes, in
// whatever pieces, and answers with the same bytes after the same pauses.
type Replay struct {
	mu      sync.Mutex
	left    []Event
	from    time.Time // when the last event was over
	at      time.Duration
	changed chan struct{}
	bad     []error
	open    int // wires that were handed out and not closed
}

// NewReplay plays these events.
func NewReplay(events []Event) *Replay {
	return &Replay{left: slices.Clone(events), changed: make(chan struct{})}
}

// Dial is for Config.Dial: the next connection of the recording.
func (r *Replay) Dial() (serial.Wire, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.left) == 0 {
		return nil, fmt.Errorf("the recording is over: %w", driver.ErrGone)
	}
	if r.left[0].Dir == serial.Opened {
		r.next(time.Now())
	}
	r.from = time.Now()
	r.open++
	return &replayed{r: r}, nil
}

// Done complains about what was sent and not in the recording, and about what
// is in the recording and was not sent or not fetched. A Gone at its end is not
// missed.
func (r *Replay) Done() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := slices.Clone(r.bad)
	for _, e := range r.left {
		if len(e.Bytes) > 0 {
			errs = append(errs, fmt.Errorf("left over at %v: %d bytes %s: % X", e.At, len(e.Bytes), e.Dir, e.Bytes))
		}
	}
	if r.open > 0 {
		errs = append(errs, fmt.Errorf("%d connections were not closed", r.open))
	}
	return errors.Join(errs...)
}

// next goes on to the next event. The lock is held.
func (r *Replay) next(now time.Time) {
	r.from, r.at = now, r.left[0].At
	r.left = r.left[1:]
	close(r.changed)
	r.changed = make(chan struct{})
}

// replayed is a wire of a Replay.
type replayed struct {
	r      *Replay
	closed bool
}

func (w *replayed) Read(p []byte) (int, error) {
	for {
		r := w.r
		r.mu.Lock()
		now := time.Now()
		var wait time.Duration = -1
		switch {
		case w.closed:
			r.mu.Unlock()
			return 0, io.ErrClosedPipe
		case len(r.left) == 0 || r.left[0].Dir == serial.Opened:
		default:
			e := &r.left[0]
			wait = e.At - r.at - now.Sub(r.from)
			switch {
			case e.Dir == serial.Out:
				wait = -1
			case wait > 0:
			case e.Dir == serial.Gone:
				r.next(now)
				r.mu.Unlock()
				return 0, io.EOF
			default:
				n := copy(p, e.Bytes)
				if e.Bytes = e.Bytes[n:]; len(e.Bytes) == 0 {
					r.next(now)
				}
				r.mu.Unlock()
				return n, nil
			}
		}
		changed := r.changed
		r.mu.Unlock()
		await(changed, wait)
	}
}

func (w *replayed) Write(p []byte) (int, error) {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := 0; n < len(p); {
		if w.closed {
			return n, io.ErrClosedPipe
		}
		var want []byte
		if len(r.left) > 0 && r.left[0].Dir == serial.Out {
			want = r.left[0].Bytes
		}
		k := min(len(want), len(p)-n)
		if k == 0 || string(want[:k]) != string(p[n:n+k]) {
			err := fmt.Errorf("sent % X where the recording has %s", p[n:], r.what())
			r.bad = append(r.bad, err)
			return n, err
		}
		n += k
		if r.left[0].Bytes = want[k:]; len(want) == k {
			r.next(time.Now())
		}
	}
	return len(p), nil
}

// what names the next event. The lock is held.
func (r *Replay) what() string {
	if len(r.left) == 0 {
		return "ended"
	}
	e := r.left[0]
	if len(e.Bytes) == 0 {
		return string(e.Dir)
	}
	return fmt.Sprintf("% X %s", e.Bytes, e.Dir)
}

func (w *replayed) SetWriteDeadline(time.Time) error { return nil }

func (w *replayed) Close() error {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if !w.closed {
		w.closed = true
		w.r.open--
		close(w.r.changed)
		w.r.changed = make(chan struct{})
	}
	return nil
}

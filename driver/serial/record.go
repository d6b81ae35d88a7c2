package serial

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Dir says what an Event is.
type Dir string

// The directions, and the two ends of a connection.
const (
	Out    Dir = "out" // to the device
	In     Dir = "in"  // from the device
	Opened Dir = "open"
	Gone   Dir = "gone"
)

// event is a line of a recording.
type event struct {
	At  int64  `json:"at_us"` // µs since it began
	Dir Dir    `json:"dir"`
	Hex string `json:"hex,omitempty"`
}

// Recorder writes what happens on a port as JSON lines with times. A nil
// Recorder records nothing. Any goroutine may use it; whoever made it closes the
// file behind it, after the port was closed.
type Recorder struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
	err   error
}

// NewRecorder records to w from now on.
func NewRecorder(w io.Writer) *Recorder { return &Recorder{w: w, began: time.Now()} }

// Err is the first error of writing. What came after it was not recorded.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *Recorder) add(dir Dir, b []byte) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	line, err := json.Marshal(event{time.Since(r.began).Microseconds(), dir, hex.EncodeToString(b)})
	if err == nil {
		_, err = r.w.Write(append(line, '\n'))
	}
	if err != nil {
		r.err = fmt.Errorf("recording a serial port: %w", err)
	}
}

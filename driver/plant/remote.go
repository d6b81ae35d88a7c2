package plant

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"barista/driver"
)

// SwitchWithin is how long a call of Set, OnFor or Read may take, whatever the
// process at the other end does. A driver may declare 250 ms for its Off; the
// rest is for the scheduler.
const SwitchWithin = 200 * time.Millisecond

// listWithin is the same for lists, which are for people and tests.
const listWithin = 5 * time.Second

// Remote is a plant in another process. Any goroutine may call any method; calls
// at the same time use connections of their own, so that a slow one delays none.
type Remote struct {
	path string
	from string
	seq  atomic.Uint64

	mu     sync.Mutex
	idle   []*line
	closed bool
}

// line is a connection between two calls.
type line struct {
	net.Conn
	in *bufio.Reader
}

// keepIdle is how many connections wait for the next call.
const keepIdle = 8

// Dial reaches the plant that Serve offers at the path. It returns an error that
// is driver.ErrGone if nobody answers there.
func Dial(path string) (*Remote, error) {
	r := &Remote{path: path, from: rand.Text()}
	if _, err := r.Config(); err != nil {
		return nil, err
	}
	return r, nil
}

// Close lets the connections go. It switches nothing. Calls after it fail.
func (r *Remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var errs []error
	for _, l := range r.idle {
		errs = append(errs, l.Close())
	}
	r.idle = nil
	return errors.Join(errs...)
}

// take hands out a waiting connection, or a new one.
func (r *Remote) take(deadline time.Time) (l *line, waited bool, err error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, false, errors.New("this end was closed")
	}
	if n := len(r.idle); n > 0 {
		l, r.idle = r.idle[n-1], r.idle[:n-1]
	}
	r.mu.Unlock()
	if l != nil {
		return l, true, l.SetDeadline(deadline)
	}
	d := net.Dialer{Deadline: deadline}
	c, err := d.Dial("unix", r.path)
	if err != nil {
		return nil, false, err
	}
	return &line{Conn: c, in: bufio.NewReader(c)}, false, c.SetDeadline(deadline)
}

// give keeps a connection for the next call.
func (r *Remote) give(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.idle) >= keepIdle {
		_ = l.Close()
		return
	}
	r.idle = append(r.idle, l)
}

// call asks once. A connection that waited may be of a process that has been
// replaced since: what may be said twice is said again on a new one, within the
// same time.
func (r *Remote) call(q request, within time.Duration) (answer, error) {
	deadline := time.Now().Add(within)
	for {
		l, waited, err := r.take(deadline)
		var a answer
		if err == nil {
			a, err = l.ask(q)
		}
		switch {
		case err == nil:
			r.give(l)
			return a, refusal(a)
		case l != nil:
			_ = l.Close()
		}
		if waited && q.Do != "take" && !errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("no answer within %v", within)
		}
		return answer{}, fmt.Errorf("%w: no plant process answers at %s, is it running? %v", driver.ErrGone, r.path, err)
	}
}

func (l *line) ask(q request) (answer, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	if _, err := l.Write(append(b, '\n')); err != nil {
		return answer{}, err
	}
	b, err = readLine(l.in, maxAnswer)
	if err != nil {
		return answer{}, err
	}
	return decodeAnswer(b)
}

func decodeAnswer(b []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return answer{}, fmt.Errorf("not an answer: %w", err)
	}
	return a, nil
}

// refusal is the error that the plant itself answered.
func refusal(a answer) error {
	switch {
	case a.Error == "":
		return nil
	case a.Code == codeInvalid:
		return &invalid{a.Error}
	}
	return errors.New(a.Error)
}

// invalid is driver.ErrInvalid in the plant's own words.
type invalid struct{ text string }

func (e *invalid) Error() string { return e.text }
func (e *invalid) Unwrap() error { return driver.ErrInvalid }

func (r *Remote) do(q request, within time.Duration) error {
	_, err := r.call(q, within)
	return err
}

// Config is the machine's figures.
func (r *Remote) Config() (Config, error) {
	a, err := r.call(request{Do: "config"}, listWithin)
	if err == nil && a.Config == nil {
		err = errMissing
	}
	if err != nil {
		return Config{}, err
	}
	return *a.Config, nil
}

var errMissing = errors.New("the plant process answered something else than it was asked")

// Set is Plant.Set.
func (r *Remote) Set(part driver.Part, on bool) error {
	return r.do(request{Do: "set", Part: part, On: on, From: r.from, Seq: r.seq.Add(1)}, SwitchWithin)
}

// OnFor is Plant.OnFor.
func (r *Remote) OnFor(part driver.Part, atMost time.Duration) error {
	return r.do(request{Do: "on-for", Part: part, AtMost: atMost, From: r.from, Seq: r.seq.Add(1)}, SwitchWithin)
}

// Read is Plant.Read.
func (r *Remote) Read(s driver.Signal) (float64, error) {
	a, err := r.call(request{Do: "read", Signal: s}, SwitchWithin)
	return a.Value, err
}

// PlaceCup is Plant.PlaceCup.
func (r *Remote) PlaceCup() error { return r.do(request{Do: "place"}, listWithin) }

// TakeCup is Plant.TakeCup.
func (r *Remote) TakeCup() (Cup, bool, error) {
	a, err := r.call(request{Do: "take"}, listWithin)
	if err != nil || a.Cup == nil {
		return Cup{}, false, err
	}
	return *a.Cup, true, nil
}

// Fault is Plant.Fault.
func (r *Remote) Fault(f Fault) error {
	return r.do(request{Do: "fault", Fault: f.String()}, listWithin)
}

// Mend is Plant.Mend.
func (r *Remote) Mend(f Fault) error {
	return r.do(request{Do: "mend", Fault: f.String()}, listWithin)
}

// Clear is Plant.Clear.
func (r *Remote) Clear() error { return r.do(request{Do: "clear"}, listWithin) }

// Refill is Plant.Refill.
func (r *Remote) Refill() error { return r.do(request{Do: "refill"}, listWithin) }

// Poured is Plant.Poured.
func (r *Remote) Poured() ([]Pour, error) {
	a, err := r.call(request{Do: "poured"}, listWithin)
	return a.Pours, err
}

// Flows is Plant.Flows.
func (r *Remote) Flows() ([]Pour, error) {
	a, err := r.call(request{Do: "flows"}, listWithin)
	return a.Pours, err
}

// Counts is Plant.Counts.
func (r *Remote) Counts() (Counts, error) {
	a, err := r.call(request{Do: "counts"}, listWithin)
	if err == nil && a.Counts == nil {
		err = errMissing
	}
	if err != nil {
		return Counts{}, err
	}
	return *a.Counts, nil
}

// Edges is Plant.Edges.
func (r *Remote) Edges() ([]Edge, error) {
	a, err := r.call(request{Do: "edges"}, listWithin)
	return a.Edges, err
}

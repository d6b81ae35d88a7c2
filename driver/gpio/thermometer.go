package gpio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"barista/driver"
)

// probe is a thermometer that takes its time.
type probe interface {
	read() (float64, error) // °C
	close() error
	period() time.Duration // between two readings
}

// errGarbled is an answer that was disturbed on its way; the next one may be
// good. Everything else that a probe says is meant.
var errGarbled = errors.New("the answer is garbled")

const (
	// garbledMost is how many garbled answers in a row are borne.
	garbledMost = 2
	// closeWithin is how long a probe may take to come to an end: the kernel
	// waits 750 ms for a DS18B20 and can't be interrupted.
	closeWithin = 3 * time.Second
	// firstWithin is how long opening waits for the first reading.
	firstWithin = 3 * time.Second
)

// thermometer reads a probe all the time, on a goroutine of its own, so that
// whoever asks gets the newest reading at once.
type thermometer struct {
	probe probe
	stop  context.CancelFunc
	ended chan struct{}
	first chan struct{} // closed after the first reading, good or bad

	mu      sync.Mutex
	last    driver.Reading
	err     error // instead of last
	garbled int
}

var _ driver.Sensor = (*thermometer)(nil)

// startThermometer begins to read and waits for the first reading, which may be
// an error: the sensor says so then.
func startThermometer(p probe) *thermometer {
	ctx, stop := context.WithCancel(context.Background())
	t := &thermometer{probe: p, stop: stop, ended: make(chan struct{}), first: make(chan struct{}), err: fmt.Errorf("%w: no answer yet", driver.ErrInvalid)}
	go t.run(ctx)
	late := time.NewTimer(firstWithin)
	defer late.Stop()
	select {
	case <-t.first:
	case <-late.C:
	}
	return t
}

func (t *thermometer) run(ctx context.Context) {
	defer close(t.ended)
	next := time.NewTimer(0)
	defer next.Stop()
	for began := false; ; began = true {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		at := time.Now()
		v, err := t.probe.read()
		t.note(v, err)
		if !began {
			close(t.first)
		}
		// Counted from the begin, but never without a pause.
		next.Reset(max(t.probe.period()-time.Since(at), 50*time.Millisecond))
	}
}

func (t *thermometer) note(v float64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.last, t.err, t.garbled = driver.Reading{Value: v, At: time.Now()}, nil, 0
		return
	case errors.Is(err, errGarbled) && t.err == nil && t.garbled < garbledMost:
		t.garbled++ // the last one still stands, with its own time
		return
	}
	t.err = fmt.Errorf("%w: %w", driver.ErrInvalid, err)
}

// Read is the newest reading. One that is older than three periods and a second
// is none: the probe hangs.
func (t *thermometer) Read() (driver.Reading, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return driver.Reading{}, fmt.Errorf("%s: %w", driver.Temperature, t.err)
	}
	if age := time.Since(t.last.At); age > 3*t.probe.period()+time.Second {
		return driver.Reading{}, fmt.Errorf("%s: %w: the last answer is %v old", driver.Temperature, driver.ErrInvalid, age.Round(100*time.Millisecond))
	}
	return t.last, nil
}

// close ends the reading. The probe is released once it came back.
func (t *thermometer) close() error {
	t.stop()
	late := time.NewTimer(closeWithin)
	defer late.Stop()
	select {
	case <-t.ended:
	case <-late.C:
		return fmt.Errorf("%s: the probe does not come back within %v", driver.Temperature, closeWithin)
	}
	t.mu.Lock()
	t.err = fmt.Errorf("%w: it was closed", driver.ErrGone)
	t.mu.Unlock()
	return t.probe.close()
}

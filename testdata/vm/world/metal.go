package main

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"barista/driver"
	"barista/driver/plant"
)

// metal joins the chip and the plant.
type metal struct {
	chip  *chip
	wires wiring
	plant *plant.Plant

	mu     sync.Mutex
	events []Event
}

// saw takes what the kernel saw. A line that was set has that level. One that was
// released is looked at: which level it has now is the chip's affair.
func (m *metal) saw(e Event) {
	if o, is := m.wires.outputs[e.Line]; is {
		e.Part = o.name
		switch e.What {
		case "free", "in":
			e.High = m.chip.level(e.Line)
		case "out": // the level was set before, and is traced of its own
			e.High = m.level(e.Line)
		}
		e.On = e.High == o.active
		m.plant.Set(driver.Part(e.Part), e.On)
	}
	m.note(e)
}

func (m *metal) note(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
}

// level is what the newest event of a line said.
func (m *metal) level(line string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range slices.Backward(m.events) {
		if e.Line == line {
			return e.High
		}
	}
	return m.chip.level(line)
}

// since is the events from number n on.
func (m *metal) since(n int) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events[min(n, len(m.events)):])
}

// tick is how often the sensors are brought to the input lines, and half of a
// flow pulse.
const tick = 10 * time.Millisecond

// stands is a pause of the whole computer that is worth a word.
const stands = 40 * time.Millisecond

// run moves the input lines as the plant's sensors say, until ctx ends.
func (m *metal) run(ctx context.Context) error {
	said := map[string]bool{}
	last := monotonic()
	pulses, low := 0.0, false
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		now := monotonic()
		if late := now - last - tick; late > stands {
			m.note(Event{At: now, What: "stood", Stood: late, By: "world"})
		}
		last = now
		for line, w := range m.wires.inputs {
			v, err := m.plant.Read(driver.Signal(w.name))
			high := (err == nil && v >= 0.5) == w.active // a broken wire reads as no
			if was, known := said[line]; known && was == high {
				continue
			}
			said[line] = high
			if err := m.chip.pull(line, high); err != nil {
				return err
			}
			m.note(Event{At: monotonic(), What: "wire", Line: line, High: high, Part: w.name, On: high == w.active, By: "world"})
		}
		if m.wires.flow != "" {
			ml, err := m.plant.Read(driver.Flow)
			switch {
			case low:
				low = false
				pulses++
				if err := m.chip.pull(m.wires.flow, true); err != nil {
					return err
				}
			case err == nil && math.Round(ml*m.wires.pulsesPerML) > pulses:
				low = true
				if err := m.chip.pull(m.wires.flow, false); err != nil {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

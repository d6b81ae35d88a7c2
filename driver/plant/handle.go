package plant

import (
	"fmt"
	"slices"
	"time"

	"barista/driver"
)

// Handle is a plant wherever it lives: in memory by Plant.Handle, in a process
// of its own by Dial. An error means that the call may or may not have had its
// effect; it is driver.ErrGone where the process does not answer.
type Handle interface {
	Config() (Config, error)
	Set(part driver.Part, on bool) error
	OnFor(part driver.Part, atMost time.Duration) error
	Read(s driver.Signal) (float64, error)
	PlaceCup() error
	TakeCup() (Cup, bool, error)
	Fault(f Fault) error
	Mend(f Fault) error
	Clear() error
	Refill() error
	Poured() ([]Pour, error)
	Flows() ([]Pour, error)
	Counts() (Counts, error)
	Edges() ([]Edge, error)
}

var (
	_ Handle = memory{}
	_ Handle = (*Remote)(nil)
)

// Harm looks for what the plant notes as harm from now on. What it returns says the
// first of it, or that the plant is out of reach.
func Harm(h Handle) func() error {
	c, _ := h.Counts()
	old := len(c.Harm)
	return func() error {
		c, err := h.Counts()
		if err != nil {
			return fmt.Errorf("the plant is out of reach: %w", err)
		}
		if len(c.Harm) > old {
			return fmt.Errorf("harm: %s", c.Harm[old])
		}
		return nil
	}
}

// Handle is this plant, for callers that do not care where it lives.
func (p *Plant) Handle() Handle { return memory{p} }

type memory struct{ p *Plant }

// hasPart refuses what Set would note as harm.
func (p *Plant) hasPart(part driver.Part) error {
	if !slices.Contains(p.parts, part) {
		return fmt.Errorf("this machine has no part %q", part)
	}
	return nil
}

func (m memory) Config() (Config, error) { return m.p.Config(), nil }

func (m memory) Set(part driver.Part, on bool) error {
	if err := m.p.hasPart(part); err != nil {
		return err
	}
	m.p.Set(part, on)
	return nil
}

func (m memory) OnFor(part driver.Part, atMost time.Duration) error {
	if err := m.p.hasPart(part); err != nil {
		return err
	}
	m.p.OnFor(part, atMost)
	return nil
}

func (m memory) Fault(f Fault) error {
	if err := f.Check(); err != nil {
		return err
	}
	m.p.Fault(f)
	return nil
}

func (m memory) TakeCup() (Cup, bool, error) {
	c, ok := m.p.TakeCup()
	return c, ok, nil
}

func (m memory) Read(s driver.Signal) (float64, error) { return m.p.Read(s) }
func (m memory) PlaceCup() error                       { m.p.PlaceCup(); return nil }
func (m memory) Mend(f Fault) error                    { m.p.Mend(f); return nil }
func (m memory) Clear() error                          { m.p.Clear(); return nil }
func (m memory) Refill() error                         { m.p.Refill(); return nil }
func (m memory) Poured() ([]Pour, error)               { return m.p.Poured(), nil }
func (m memory) Flows() ([]Pour, error)                { return m.p.Flows(), nil }
func (m memory) Counts() (Counts, error)               { return m.p.Counts(), nil }
func (m memory) Edges() ([]Edge, error)                { return m.p.Edges(), nil }

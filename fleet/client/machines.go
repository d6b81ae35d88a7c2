package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"barista/fleet"
)

// Machine is one machine in a list.
type Machine struct {
	Machine    string        `json:"machine"`
	State      fleet.State   `json:"state"` // StateAway: known, but not here
	Here       bool          `json:"here"`  //
	Able       bool          `json:"able"`  // takes orders without a person's help
	Code       string        `json:"code,omitempty"`
	Reason     string        `json:"reason"` // why it is not able, for people
	By         string        `json:"by,omitempty"`
	Order      string        `json:"order,omitempty"`
	Percent    int           `json:"percent,omitempty"`
	Classes    []fleet.Class `json:"classes,omitempty"`
	Sizes      []fleet.Size  `json:"sizes,omitempty"`
	Never      []fleet.Never `json:"never,omitempty"`
	Cup        string        `json:"cup,omitempty"`
	Driver     string        `json:"driver,omitempty"`
	MinWaiting int           `json:"min_waiting,omitempty"`
	Drinks     int           `json:"drinks"`
	Seconds    float64       `json:"seconds,omitempty"`
	Lacks      []string      `json:"lacks,omitempty"`
	Gauges     fleet.Gauges  `json:"gauges,omitzero"`   // what its sensors tell
	Swapped    []string      `json:"swapped,omitempty"` // parts that were swapped and not measured since
	Care       []fleet.Care  `json:"care,omitempty"`    // how it stands with its upkeep
	Version    string        `json:"version,omitempty"`
	Seen       *time.Time    `json:"seen,omitempty"` // of one that is away
	Replaced   bool          `json:"replaced,omitempty"`
	Fault      string        `json:"fault,omitempty"` // code of the one that it is in, out of service or not
}

// The states that machines do not say of themselves: it was here within the last days; it
// was drained and may be opened.
const (
	StateAway    fleet.State = "away"
	StateDrained fleet.State = "drained"
)

// Fleet lists the machines that are here, or were within seven days, or are
// cordoned, by name.
func (s Shop) Fleet(ctx context.Context) ([]Machine, error) {
	all, err := s.Machines(ctx)
	if err != nil {
		return nil, err
	}
	out := []Machine{}
	for _, m := range all {
		out = append(out, MachineOf(m))
	}
	return out, nil
}

// MachineOf is the line of one machine.
func MachineOf(m fleet.Machine) Machine {
	l := Machine{Machine: m.Machine, State: StateAway}
	if m.Here {
		l = Machine{
			Machine: m.Machine, State: m.State, Here: true, Able: m.Able(), Code: m.Code, Reason: m.Note, Order: m.Order, Percent: m.Percent,
			Classes: m.Classes, Sizes: m.Sizes, Never: m.Never, Cup: m.Cup, Driver: m.Driver, MinWaiting: m.MinWaiting, Drinks: m.Drinks,
			Seconds: m.Seconds, Lacks: m.Lacks, Gauges: m.Gauges, Swapped: m.Swapped, Care: m.Care, Version: m.Version,
		}
		if m.State == fleet.StateFault {
			l.Fault = cmp.Or(m.Code, string(fleet.StateFault))
		}
	} else if !m.Seen.IsZero() {
		l.Reason, l.Seen = "last seen "+m.Seen.Local().Format(time.DateTime), &m.Seen
	}
	if m.Cordon != nil {
		l.By, l.Code, l.Reason = m.Cordon.By, fleet.CodeCordoned, m.Cordon.Reason
		if l.Replaced = m.Cordon.Replaced; l.Replaced {
			l.Reason = "new hardware, not checked: " + l.Reason
		} else if m.Cordon.Retired {
			l.Reason = "it was retired, and is back: " + l.Reason
		}
		// It is cordoned from the moment that a person said so; what it still has
		// in hand is told by order.
		if m.Parked() {
			l.State = StateDrained
		} else if l.Here && l.Order == "" {
			l.State = fleet.StateCordoned
		} else if l.Here {
			l.State = fleet.StateDraining
		}
	}
	return l
}

// Due are the kinds of its care that are due.
func (m Machine) Due() (kinds []string) {
	for _, c := range m.Care {
		if c.Due {
			kinds = append(kinds, string(c.Kind))
		}
	}
	return kinds
}

// Next is what a person types about a machine that is not able: what puts it right, or
// what shows when it is.
func (m Machine) Next() Next {
	switch {
	case m.Replaced && !m.Here:
		return Next{"barista machine invite " + m.Machine, "if the code for the new " + m.Machine + " is over"}
	case m.Replaced:
		return Next{"barista machine uncordon " + m.Machine + " --checked", "after barista selftest and barista calibrate at the new " + m.Machine + "; look at its first cup"}
	case m.By != "" || m.State == fleet.StateCordoned:
		return Next{"barista machine uncordon " + m.Machine, "if " + m.Machine + " may work again"}
	case m.State == fleet.StateFault:
		return m.clear()
	case !m.Here:
		return Next{"barista status --watch", "shows when " + m.Machine + " is back"}
	}
	return Next{"barista status --watch", "shows when " + m.Machine + " is ready"}
}

// clear is what a person types once a fault is mended.
func (m Machine) clear() Next {
	return Next{fmt.Sprintf(`barista machine clear-fault %s --reason "what was done"`, m.Machine), "after somebody has looked at " + m.Machine + " and mended it"}
}

// Named is the machine of that name, one that is here or is known; fleet.ErrNotFound
// if there is none.
func (s Shop) Named(ctx context.Context, machine string) (fleet.Machine, error) {
	all, err := s.Machines(ctx)
	if err != nil {
		return fleet.Machine{}, err
	}
	i := slices.IndexFunc(all, func(m fleet.Machine) bool { return m.Machine == machine })
	if i < 0 {
		return fleet.Machine{}, fleet.Saying("there is no machine "+machine, fleet.ErrNotFound)
	}
	return all[i], nil
}

// InHand is the order that a machine has in hand: empty if none, or if the
// machine is not here.
func (s Shop) InHand(ctx context.Context, machine string) (string, error) {
	m, err := s.Named(ctx, machine)
	if errors.Is(err, fleet.ErrNotFound) {
		return "", nil // it may still hear: presence is advice
	}
	return m.Order, err
}

// Command asks one machine. ErrNobody: no machine of this name listens.
func (s Shop) Command(ctx context.Context, machine string, q fleet.Command) (fleet.CommandAnswer, error) {
	var a fleet.CommandAnswer
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	b, err := s.Requester.Request(ctx, q.Subject(machine), body)
	if err != nil {
		return a, err
	}
	if a, err = fleet.ParseCommandAnswer(b); err != nil {
		return a, fmt.Errorf("the answer of %s can't be read: %w", machine, err)
	}
	return a, nil
}

// Cordon takes a machine out of service: it starts no further order, and ends
// what it has in hand. Both who and why are needed.
func (s Shop) Cordon(ctx context.Context, machine, by, reason string) error {
	return s.cordon(ctx, machine, fleet.Cordon{By: by, Reason: reason})
}

// Drain is Cordon for a machine that shall be opened: an order that waits for its cup there
// goes to another, and the machine says when it may be. See fleet.Machine.Parked.
func (s Shop) Drain(ctx context.Context, machine, by, reason string) error {
	return s.cordon(ctx, machine, fleet.Cordon{By: by, Reason: reason, Drain: true})
}

// Holds lists the orders that stand in a machine's name: in its hand, or with an outcome
// that nobody knows.
func (s Shop) Holds(ctx context.Context, machine string) ([]Order, error) {
	all, err := s.List(ctx, true, 0)
	return slices.DeleteFunc(all, func(o Order) bool {
		return o.Machine != machine || o.Phase != fleet.Claimed && o.Phase != fleet.Brewing && o.Phase != fleet.Unknown
	}), err
}

func (s Shop) cordon(ctx context.Context, machine string, c fleet.Cordon) error {
	if err := signed(&c); err != nil {
		return err
	}
	m, err := s.Named(ctx, machine)
	if err != nil {
		return err
	}
	if m.Cordon != nil { // no later reason makes new hardware a known one
		c.Replaced, c.Retired = m.Cordon.Replaced, m.Cordon.Retired
	}
	return s.set(ctx, machine, c)
}

// signed looks whether a cordon says who and why.
func signed(c *fleet.Cordon) error {
	c.By, c.Reason = fleet.Plain(c.By), fleet.Plain(c.Reason)
	var errs []error
	if c.By == "" {
		errs = append(errs, errors.New("who does it must be said"))
	}
	if c.Reason == "" {
		errs = append(errs, errors.New("a reason must be given, for those who find the machine so"))
	}
	return errors.Join(errs...)
}

func (s Shop) set(ctx context.Context, machine string, c fleet.Cordon) error {
	if err := signed(&c); err != nil {
		return err
	}
	c.At = time.Now().UTC().Format(time.RFC3339Nano)
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := s.Settings.Put(ctx, fleet.CordonKey(machine), v); err != nil {
		return fmt.Errorf("cordon %s: %w", machine, err)
	}
	return nil
}

// GiveUp goes on without a machine whose word the shop awaits: what was made before
// the shop's start, or what the shop lost, it will never say. Both who and why are needed.
func (s Shop) GiveUp(ctx context.Context, machine, by, why string) error {
	return s.Controller.GoOn(ctx, machine, by, why)
}

// Uncordon puts a machine back into service; nothing happens if it is there. Of new
// hardware it wants to hear that somebody has looked at it: *fleet.StaysError without. by
// and why are told to the machine, if it is here and hears it, and stand on its tile: of a
// cordon that is over the shop keeps nothing. why may be empty.
func (s Shop) Uncordon(ctx context.Context, machine, by, why string, checked bool) error {
	m, err := s.Named(ctx, machine)
	if err != nil {
		return err
	}
	if m.Cordon != nil && m.Cordon.Replaced && !checked {
		return &fleet.StaysError{Machine: machine, Code: fleet.StaysUnchecked}
	}
	if err := s.Settings.Delete(ctx, fleet.CordonKey(machine)); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return fmt.Errorf("uncordon %s: %w", machine, err)
	}
	if m.Cordon != nil && m.Here && by != "" {
		_, _ = s.Command(ctx, machine, fleet.Command{Verb: fleet.CommandBack, By: by, Why: why}) // an earlier version knows no such word
	}
	return nil
}

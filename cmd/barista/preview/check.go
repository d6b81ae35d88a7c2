// Package preview says what a file would make of a machine, before anything is touched:
// all that is wrong with it, which figures count, what each drink would do second by
// second. It asks the plan by which the machine works, never rules of its own. It opens
// no chip, no port, no lock and no socket; verbs print what it returns.
package preview

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
	"barista/fleet/broker"
	"barista/fleet/queue"
	"barista/machine"
	measured "barista/machine/calibration"
	"barista/machine/station"
)

// File is what is said of one file; in JSON too.
type File struct {
	File     string    `json:"file"`
	OK       bool      `json:"ok"`
	Roles    []string  `json:"roles,omitempty"`
	State    string    `json:"state,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Warnings []string  `json:"warnings,omitempty"` // good to know, and no reason to refuse
	Changes  []string  `json:"changes,omitempty"`  // what the next start changes in the shop's store
	// Calibration is which figures of the machine count, and where they are from.
	Calibration []station.Figures `json:"calibration,omitempty"`
}

// Problem is one thing that a person has to mend.
type Problem struct {
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"`
	Reason string `json:"reason"`
	Fix    string `json:"fix"`
}

// warnings are what a kind of machine wants to be known of its wiring.
func Warnings(f *configs.File) []string {
	if f.Machine == nil {
		return nil
	}
	if w, is := f.Machine.Settings.(kinds.Warner); is {
		return w.Warnings()
	}
	return nil
}

// Bad is the error of a command that found so many problems.
func Bad(exit, count int) *term.Error {
	what := "1 problem"
	if count != 1 {
		what = fmt.Sprintf("%d problems", count)
	}
	e := term.Fail(exit, "nothing was touched", "%s in the configuration", what)
	e.Code = term.BadConfig
	return e
}

// Check reads a file and says everything that is wrong with it. It touches nothing.
func Check(path string, table kinds.Table) File {
	f, err := configs.Load(path, table.Loader())
	if err == nil {
		r := File{File: path, OK: true, Roles: f.Roles(), State: f.State, Warnings: Warnings(f)}
		return r.stored(f).measured(f)
	}
	var all *configs.Problems
	if !errors.As(err, &all) {
		return File{File: path, Problems: []Problem{{Reason: err.Error()}}}
	}
	return ProblemsOf(all)
}

// ProblemsOf is a file of which the loader has said all that is wrong.
func ProblemsOf(all *configs.Problems) File {
	r := File{File: all.File}
	for _, p := range all.List {
		r.Problems = append(r.Problems, Problem{p.Pos.Line, p.Pos.Column, p.Where, p.Reason, p.Fix})
	}
	return r
}

// stored adds what becomes of the shop's streams, where the store is there. One that
// can't become what it must be keeps the service from starting.
func (r File) stored(f *configs.File) File {
	if f.Broker == nil {
		return r
	}
	there, err := broker.Streams(f.Broker.Store)
	if err != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the shop's store can't be read by this user: %v", err))
		return r
	}
	r.Changes = queue.Changes(f.Broker.OrdersPerDay, there)
	for _, err := range queue.Stuck(f.Broker.OrdersPerDay, there) {
		r.OK = false
		r.Problems = append(r.Problems, Problem{Reason: err.Error(), Fix: "the service does not start with it"})
	}
	return r
}

// measured adds which calibration counts. A damaged one keeps the service from
// starting; one that this user may not read is worth a word.
func (r File) measured(f *configs.File) File {
	if f.Machine == nil || f.Machine.Appliance() {
		return r
	}
	plan, here, err := InForce(f)
	switch {
	case errors.Is(err, os.ErrPermission):
		r.Warnings = append(r.Warnings, fmt.Sprintf("what was measured on this machine can't be read by this user: %v", err))
	case err != nil:
		return File{File: r.File, Problems: append(r.Problems, Problem{Reason: term.OneLine(err.Error()), Fix: "the service does not start with it: rates decide how much hot water goes into a cup"})}
	default:
		r.Calibration = station.Calibration(f.Machine.Rates, plan, here)
	}
	return r
}

// ErrNoMachine: there is nothing in the file that could move.
var ErrNoMachine = errors.New("the file has no machine section")

// Machine loads a file that has a machine.
func Machine(path string, table kinds.Table) (*configs.File, error) {
	f, err := configs.Load(path, table.Loader())
	if err != nil {
		return nil, term.Fail(term.ExitFailed, "barista check "+path+" shows it in full", "%s", term.OneLine(err.Error()))
	}
	if f.Machine == nil {
		return nil, term.Fail(term.ExitFailed, "name the file of a machine", "%s: %w", path, ErrNoMachine)
	}
	return f, nil
}

// Print prints it for a person.
func (r File) Print(w io.Writer) {
	if r.OK {
		fmt.Fprintf(w, "%s: good (%s; state in %s)\n", term.Safe(r.File), strings.Join(r.Roles, ", "), term.Safe(r.State))
		for _, x := range r.Calibration {
			fmt.Fprintf(w, "    %s: %s\n", x.Part, hands.FiguresText(x))
		}
		for _, text := range r.Changes {
			fmt.Fprintf(w, "    at the next start %s\n", term.Safe(text))
		}
		for _, text := range r.Warnings {
			fmt.Fprintf(w, "    warning: %s\n", term.Safe(text))
		}
		return
	}
	for _, p := range r.Problems {
		place := term.Safe(r.File)
		if p.Line > 0 {
			place += fmt.Sprintf(":%d:%d", p.Line, p.Column)
		}
		if p.Key != "" {
			place += ": " + p.Key
		}
		fmt.Fprintf(w, "%s: %s\n    %s\n", place, p.Reason, p.Fix)
	}
}

// InForce is the plan of the file's machine with what was measured on it.
func InForce(f *configs.File) (machine.Plan, *measured.Store, error) {
	return station.InForce(f.Machine.Plan, station.Folder(f.State, f.Machine.Name))
}

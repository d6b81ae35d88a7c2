package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/hands"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
	"barista/machine/station"
)

// checked is one file's result in JSON.
type checked struct {
	File     string         `json:"file"`
	OK       bool           `json:"ok"`
	Roles    []string       `json:"roles,omitempty"`
	State    string         `json:"state,omitempty"`
	Problems []checkProblem `json:"problems,omitempty"`
	Warnings []string       `json:"warnings,omitempty"` // good to know, and no reason to refuse
	// Calibration is which figures of the machine count, and where they are from.
	Calibration []station.Figures `json:"calibration,omitempty"`
}

type checkProblem struct {
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"`
	Reason string `json:"reason"`
	Fix    string `json:"fix"`
}

func newCheck(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "say everything that is wrong with a configuration",
		Long: `check reads configurations and says everything that is wrong with each, with
file, line and column, the reason and the fix. It touches nothing: no line, no
port, no folder.`,
		Example: `  barista check configs/demo.yaml
  barista check /etc/barista/*.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return term.Usage("name the file to check; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var results []checked
			count := 0
			for _, path := range args {
				r := checkFile(path)
				count += len(r.Problems)
				results = append(results, r)
			}
			w := cmd.OutOrStdout()
			if c.json {
				out := struct {
					Error *term.Error `json:"error,omitempty"`
					Files []checked   `json:"files"`
				}{Files: results}
				if count > 0 {
					out.Error = badConfig(term.ExitFailed, count)
				}
				if err := term.JSON(w, out); err != nil || count == 0 {
					return err
				}
				return term.Said(term.ExitFailed)
			}
			for _, r := range results {
				r.text(w)
			}
			if count > 0 {
				return badConfig(term.ExitFailed, count)
			}
			return nil
		},
	}
}

// warnings are what a kind of machine wants to be known of its wiring.
func warnings(f *configs.File) []string {
	if f.Machine == nil {
		return nil
	}
	if w, is := f.Machine.Settings.(kinds.Warner); is {
		return w.Warnings()
	}
	return nil
}

func badConfig(exit, count int) *term.Error {
	what := "1 problem"
	if count != 1 {
		what = fmt.Sprintf("%d problems", count)
	}
	e := term.Fail(exit, "nothing was touched", "%s in the configuration", what)
	e.Code = term.BadConfig
	return e
}

func checkFile(path string) checked {
	f, err := configs.Load(path, loader())
	if err == nil {
		r := checked{File: path, OK: true, Roles: f.Roles(), State: f.State, Warnings: warnings(f)}
		return r.measured(f)
	}
	var all *configs.Problems
	if !errors.As(err, &all) {
		return checked{File: path, Problems: []checkProblem{{Reason: err.Error()}}}
	}
	return problemsOf(all)
}

func problemsOf(all *configs.Problems) checked {
	r := checked{File: all.File}
	for _, p := range all.List {
		r.Problems = append(r.Problems, checkProblem{p.Pos.Line, p.Pos.Column, p.Where, p.Reason, p.Fix})
	}
	return r
}

// measured adds which calibration counts. A damaged one keeps the service from
// starting; one that this user may not read is worth a word.
func (r checked) measured(f *configs.File) checked {
	if f.Machine == nil || f.Machine.Appliance() {
		return r
	}
	plan, here, err := inForce(f)
	switch {
	case errors.Is(err, os.ErrPermission):
		r.Warnings = append(r.Warnings, fmt.Sprintf("what was measured on this machine can't be read by this user: %v", err))
	case err != nil:
		return checked{File: r.File, Problems: []checkProblem{{Reason: term.OneLine(err.Error()), Fix: "the service does not start with it: rates decide how much hot water goes into a cup"}}}
	default:
		r.Calibration = station.Calibration(f.Machine.Rates, plan, here)
	}
	return r
}

var errNoMachine = errors.New("the file has no machine section")

// machineFile loads a file that has a machine.
func machineFile(path string) (*configs.File, error) {
	f, err := configs.Load(path, loader())
	if err != nil {
		return nil, term.Fail(term.ExitFailed, "barista check "+path+" shows it in full", "%s", term.OneLine(err.Error()))
	}
	if f.Machine == nil {
		return nil, term.Fail(term.ExitFailed, "name the file of a machine", "%s: %w", path, errNoMachine)
	}
	return f, nil
}

func (r checked) text(w io.Writer) {
	if r.OK {
		fmt.Fprintf(w, "%s: good (%s; state in %s)\n", term.Safe(r.File), strings.Join(r.Roles, ", "), term.Safe(r.State))
		for _, x := range r.Calibration {
			fmt.Fprintf(w, "    %s: %s\n", x.Part, hands.FiguresText(x))
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

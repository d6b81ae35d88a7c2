package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/gpio"
)

func newGPIO(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "gpio",
		Short: "look at this computer's GPIO lines; nothing is switched",
		Example: `  barista gpio list
  barista gpio watch --config /etc/barista/zoe.yaml
  barista gpio watch GPIO23 P1_18`,
	})
	cmd.AddCommand(newGPIOList(c), newGPIOWatch(c))
	return cmd
}

// gpioChip is one chip in JSON.
type gpioChip struct {
	Label  string     `json:"label"`
	Device string     `json:"device"` // of today
	Lines  []gpioLine `json:"lines"`
}

type gpioLine struct {
	Offset int    `json:"offset"`
	Name   string `json:"name,omitempty"`
	Used   bool   `json:"used"`
	By     string `json:"by,omitempty"`
	Out    bool   `json:"out"`
}

// chipsHere looks at the computer; a test puts chips here.
var chipsHere = gpio.List

func newGPIOList(c *cli) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the GPIO chips by label, their lines, and who holds them",
		Long: `list asks the kernel what GPIO chips there are and prints their lines by name. It
requests no line, so it can run beside a service. Without --all only lines with a
name or a holder are shown.`,
		Example: `  barista gpio list
  barista gpio list --all --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			chips, err := chipsHere()
			if len(chips) == 0 && err != nil {
				return term.Fail(term.ExitUnauthorised, "", "%s", err)
			}
			out := struct {
				Chips   []gpioChip `json:"chips"`
				Problem string     `json:"problem,omitempty"` // what could not be looked at
			}{Chips: []gpioChip{}}
			if err != nil {
				out.Problem = term.OneLine(err.Error())
			}
			for _, chip := range chips {
				x := gpioChip{chip.Label, chip.Device, []gpioLine{}}
				for _, l := range chip.Lines {
					if all || l.Name != "" || l.Used {
						x.Lines = append(x.Lines, gpioLine{l.Offset, l.Name, l.Used, l.By, l.Out})
					}
				}
				out.Chips = append(out.Chips, x)
			}
			return c.show(cmd, out, func(w io.Writer) {
				if len(out.Chips) == 0 {
					fmt.Fprintln(w, "this computer has no GPIO chip")
				}
				for i, x := range out.Chips {
					if i > 0 {
						fmt.Fprintln(w)
					}
					fmt.Fprintf(w, "%s (/dev/%s today), %d lines\n", term.Safe(x.Label), term.Safe(x.Device), len(chips[i].Lines))
					rows := [][]string{{"LINE", "NAME", "NOW", "HELD BY"}}
					for _, l := range x.Lines {
						now := "input"
						if l.Out {
							now = "output"
						}
						by := l.By
						if l.Used && by == "" {
							by = "somebody who gave no name"
						}
						rows = append(rows, []string{fmt.Sprint(l.Offset), l.Name, now, by})
					}
					term.Table(w, rows)
				}
				if out.Problem != "" {
					fmt.Fprintln(w, term.Safe(out.Problem))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "lines without a name and a holder too")
	return cmd
}

// gpioChange is one change in JSON, one per line.
type gpioChange struct {
	Input  string `json:"input"`
	Line   string `json:"line"`
	Level  string `json:"level"`           // "high" or "low", of the wire
	Yes    *bool  `json:"yes,omitempty"`   // what it means, where a file says so
	First  bool   `json:"first,omitempty"` // no change but how it was at the beginning
	AtMS   int64  `json:"at_ms"`
	LostBy int    `json:"lost,omitempty"` // changes before it that were too fast
}

func newGPIOWatch(c *cli) *cobra.Command {
	var config, pull string
	cmd := &cobra.Command{
		Use:   "watch [LINE…]",
		Short: "print what input lines do, with the time",
		Long: `watch prints each change of input lines until Ctrl-C: those that a machine's file
names as inputs, or single ones. It reads only. A line that the file calls an
output is refused, and so is one that drives its wire; and a line that somebody
holds, with the holder's name: the service has its lines while it runs.

The times are the kernel's, in seconds since the beginning.`,
		Example: `  barista gpio watch --config /etc/barista/zoe.yaml
  barista gpio watch GPIO23 pinctrl-rp1:24 --pull up`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if config == "" && len(args) == 0 {
				return term.Usage("name lines, or a machine's file: barista gpio watch --config FILE")
			}
			if !slices.Contains([]string{"", "up", "down", "off"}, pull) {
				return term.Usage("--pull %s is no resistor: up, down or off", term.Quote(pull))
			}
			if pull != "" && len(args) == 0 {
				return term.Usage("--pull is for single lines; the file says it for its own")
			}
			var cfg gpio.Config
			if config != "" {
				f, err := machineFile(config)
				if err != nil {
					return err
				}
				var is bool
				var w interface{ Wiring() gpio.Config }
				if w, is = f.Machine.Settings.(interface{ Wiring() gpio.Config }); is {
					cfg = w.Wiring()
				} else {
					return term.Fail(term.ExitRefused, "name single lines instead", "%s hangs on no GPIO lines: its driver is %s", f.Machine.Name, f.Machine.Driver)
				}
			}
			w := cmd.OutOrStdout()
			begun := time.Now()
			base, any := time.Duration(0), false
			each := func(x gpio.Change) {
				if !any && !x.First {
					any, base = true, x.At-time.Since(begun)
				}
				at := time.Duration(0)
				if !x.First {
					at = x.At - base
				}
				c.change(w, x, at, len(args) == 0)
			}
			var err error
			if len(args) == 0 {
				err = gpio.Watch(cmd.Context(), cfg, each)
			} else {
				var lines []gpio.Line
				for _, a := range args {
					lines = append(lines, gpio.Line(a))
				}
				err = gpio.WatchLines(cmd.Context(), cfg, lines, gpio.Pull(pull), each)
			}
			if errors.Is(err, driver.ErrBusyLine) {
				return term.Fail(term.ExitRefused, "stop the service that holds it, or watch other lines", "%s", err)
			}
			if err != nil {
				return term.Fail(term.ExitFailed, "", "%s", term.Safe(term.OneLine(err.Error())))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the machine's configuration `FILE`")
	cmd.Flags().StringVar(&pull, "pull", "", "the `resistor` for single lines: up, down or off (default what it is)")
	return cmd
}

// change prints one; named: a file says what the line means.
func (c *cli) change(w io.Writer, x gpio.Change, at time.Duration, named bool) {
	level := "low"
	if x.High {
		level = "high"
	}
	if c.json {
		out := gpioChange{Input: x.Input, Line: string(x.Line), Level: level, First: x.First, AtMS: at.Milliseconds(), LostBy: x.Lost}
		if named {
			out.Yes = &x.Yes
		}
		_ = term.JSON(w, out)
		return
	}
	words := []string{fmt.Sprintf("%10.4f", at.Seconds()), term.Safe(string(x.Line)), level}
	if named {
		words = append(words, term.Safe(x.Input), map[bool]string{true: "yes", false: "no"}[x.Yes])
	}
	if x.First {
		words = append(words, "(at the beginning)")
	}
	if x.Lost > 0 {
		words = append(words, fmt.Sprintf("(%d changes before it were too fast)", x.Lost))
	}
	fmt.Fprintln(w, strings.Join(words, " "))
}

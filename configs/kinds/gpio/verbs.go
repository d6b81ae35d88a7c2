package gpio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/gpio"
)

// look are the commands that look at the lines.
var look = kinds.Command{
	Use:   "gpio",
	Short: "look at this computer's GPIO lines; nothing is switched",
	Example: `  barista gpio list
  barista gpio watch --config /etc/barista/zoe.yaml
  barista gpio watch GPIO23 P1_18`,
	Commands: []kinds.Command{list(gpio.List), watch},
}

// listedChip is one chip in JSON.
type listedChip struct {
	Label  string       `json:"label"`
	Device string       `json:"device"` // of today
	Lines  []listedLine `json:"lines"`
}

type listedLine struct {
	Offset int    `json:"offset"`
	Name   string `json:"name,omitempty"`
	Used   bool   `json:"used"`
	By     string `json:"by,omitempty"`
	Out    bool   `json:"out"`
}

// list lists chips.
func list(chips func() ([]gpio.Chip, error)) kinds.Command {
	return kinds.Command{
		Use:   "list",
		Short: "list the GPIO chips by label, their lines, and who holds them",
		Long: `list asks the kernel what GPIO chips there are and prints their lines by name. It
requests no line, so it can run beside a service. Without --all only lines with a
name or a holder are shown.`,
		Example: `  barista gpio list
  barista gpio list --all --json`,
		Flags: func(f *pflag.FlagSet) kinds.Run {
			all := f.Bool("all", false, "lines without a name and a holder too")
			return func(_ context.Context, c kinds.Console, _ []string) error { return listed(c, chips, *all) }
		},
	}
}

func listed(c kinds.Console, chips func() ([]gpio.Chip, error), all bool) error {
	seen, err := chips()
	if len(seen) == 0 && err != nil {
		return &kinds.Error{Why: kinds.NotAllowed, Err: err}
	}
	out := struct {
		Chips   []listedChip `json:"chips"`
		Problem string       `json:"problem,omitempty"` // what could not be looked at
	}{Chips: []listedChip{}}
	if err != nil {
		out.Problem = oneLine(err)
	}
	for _, chip := range seen {
		x := listedChip{chip.Label, chip.Device, []listedLine{}}
		for _, l := range chip.Lines {
			if all || l.Name != "" || l.Used {
				x.Lines = append(x.Lines, listedLine{l.Offset, l.Name, l.Used, l.By, l.Out})
			}
		}
		out.Chips = append(out.Chips, x)
	}
	return c.Show(out, func(w io.Writer) {
		if len(out.Chips) == 0 {
			fmt.Fprintln(w, "this computer has no GPIO chip")
		}
		for i, x := range out.Chips {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s (/dev/%s today), %d lines\n", c.Safe(x.Label), c.Safe(x.Device), len(seen[i].Lines))
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
			c.Table(w, rows)
		}
		if out.Problem != "" {
			fmt.Fprintln(w, c.Safe(out.Problem))
		}
	})
}

// change is one change in JSON, one per line.
type change struct {
	Input  string `json:"input"`
	Line   string `json:"line"`
	Level  string `json:"level"`           // "high" or "low", of the wire
	Yes    *bool  `json:"yes,omitempty"`   // what it means, where a file says so
	First  bool   `json:"first,omitempty"` // no change but how it was at the beginning
	AtMS   int64  `json:"at_ms"`
	LostBy int    `json:"lost,omitempty"` // changes before it that were too fast
}

// watch prints what lines do.
var watch = kinds.Command{
	Use:   "watch [LINE…]",
	Short: "print what input lines do, with the time",
	Long: `watch prints each change of input lines until Ctrl-C: those that a machine's file
names as inputs, or single ones. It reads only. A line that the file calls an
output is refused, and so is one that drives its wire; and a line that somebody
holds, with the holder's name: the service has its lines while it runs.

The times are the kernel's, in seconds since the beginning.`,
	Example: `  barista gpio watch --config /etc/barista/zoe.yaml
  barista gpio watch GPIO23 pinctrl-rp1:24 --pull up`,
	Args: true,
	Flags: func(f *pflag.FlagSet) kinds.Run {
		file := f.String("config", "", "the machine's configuration `FILE`")
		pull := f.String("pull", "", "the `resistor` for single lines: up, down or off (default what it is)")
		return func(ctx context.Context, c kinds.Console, args []string) error {
			return watched(ctx, c, *file, *pull, args)
		}
	},
}

func watched(ctx context.Context, c kinds.Console, file, pull string, args []string) error {
	switch {
	case file == "" && len(args) == 0:
		return kinds.Usage("name lines, or a machine's file: barista gpio watch --config FILE")
	case !slices.Contains([]string{"", "up", "down", "off"}, pull):
		return kinds.Usage("--pull %s is no resistor: up, down or off", c.Quote(pull))
	case pull != "" && len(args) == 0:
		return kinds.Usage("--pull is for single lines; the file says it for its own")
	}
	var cfg gpio.Config
	if file != "" {
		m, err := c.Machine(file)
		if err != nil {
			return err
		}
		w, is := m.Settings.(interface{ Wiring() gpio.Config })
		if !is {
			return &kinds.Error{Why: kinds.Refused, Hint: "name single lines instead", Err: fmt.Errorf("%s hangs on no GPIO lines: its driver is %s", m.Name, m.Driver)}
		}
		cfg = w.Wiring()
	}
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
		show(c, x, at, len(args) == 0)
	}
	var err error
	if len(args) == 0 {
		err = gpio.Watch(ctx, cfg, each)
	} else {
		var lines []gpio.Line
		for _, a := range args {
			lines = append(lines, gpio.Line(a))
		}
		err = gpio.WatchLines(ctx, cfg, lines, gpio.Pull(pull), each)
	}
	if errors.Is(err, driver.ErrBusyLine) {
		return &kinds.Error{Why: kinds.Refused, Hint: "stop the service that holds it, or watch other lines", Err: err}
	}
	if err != nil {
		return errors.New(c.Safe(oneLine(err)))
	}
	return nil
}

// oneLine makes one line of an error that joins several.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}

// show prints one change; named: a file says what the line means.
func show(c kinds.Console, x gpio.Change, at time.Duration, named bool) {
	out := change{Input: x.Input, Line: string(x.Line), Level: "low", First: x.First, AtMS: at.Milliseconds(), LostBy: x.Lost}
	if x.High {
		out.Level = "high"
	}
	if named {
		out.Yes = &x.Yes
	}
	_ = c.Show(out, func(w io.Writer) {
		words := []string{fmt.Sprintf("%10.4f", at.Seconds()), c.Safe(out.Line), out.Level}
		if named {
			words = append(words, c.Safe(x.Input), map[bool]string{true: "yes", false: "no"}[x.Yes])
		}
		if x.First {
			words = append(words, "(at the beginning)")
		}
		if x.Lost > 0 {
			words = append(words, fmt.Sprintf("(%d changes before it were too fast)", x.Lost))
		}
		fmt.Fprintln(w, strings.Join(words, " "))
	})
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/driver"
	"barista/driver/jura"
	"barista/driver/modbus"
	"barista/driver/serial"
)

func newDriver(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "driver",
		Short:   "for who writes a driver",
		Example: "  barista driver record --kind jura --port ./jura --out e6.jsonl",
	})
	cmd.AddCommand(newDriverRecord(c))
	return cmd
}

// recorded is the result of a recording in JSON.
type recorded struct {
	Kind   string `json:"kind"`
	Port   string `json:"port"`
	File   string `json:"file"`
	Answer string `json:"answer"` // in words
}

func newDriverRecord(c *cli) *cobra.Command {
	var kind, out string
	var port serial.Config
	var board modbus.Config
	cmd := &cobra.Command{
		Use:   "record --kind KIND --port PORT --out FILE",
		Short: "record what a machine or board says of itself, with the times",
		Long: `record asks what only reads and writes down every byte both ways with its time, as
JSON lines: of a Jura its type, inputs and counters; of a Modbus board its relays
and contacts. Nothing is brewed, switched or written. A test plays such a file
again in place of the machine; of a model that is not known yet it is what a new
row of the table begins with.

The port must be free: stop the machine's service first. If nothing answers, the
file has the questions and the silence. An LCUS board says nothing of itself.`,
		Example: `  barista driver record --kind jura --port /dev/serial/by-id/usb-… --out e6.jsonl
  barista driver record --kind modbus --port ./board --relays 8 --out board.jsonl`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case port.Device == "":
				return term.Usage("name the port: --port, see ls -l /dev/serial/by-id")
			case out == "":
				return term.Usage("name the file to write: --out FILE")
			case kind != "jura" && kind != "modbus":
				return term.Usage("--kind is jura or modbus, not %s", term.Quote(kind))
			case kind == "jura" && port.Baud != 9600:
				return term.Usage("a Jura speaks at 9600 baud only: leave --baud out")
			case kind == "modbus" && (!slices.Contains(modbus.Bauds, port.Baud) || board.Address < 1 || board.Address > 247 ||
				board.Relays < 1 || board.Relays > modbus.MaxRelays || board.First < 0 || board.First > 1):
				return term.Usage("give a --baud of %v, an --address from 1 to 247, --relays from 1 to %d and a --first of 0 or 1", modbus.Bauds, modbus.MaxRelays)
			}
			if err := driver.Refusal(port.Problems()); err != nil {
				return term.Usage("%s", term.OneLine(err.Error()))
			}
			return record(c, cmd, kind, port, board, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "", "jura or modbus")
	f.StringVar(&port.Device, "port", "", "`PORT` of the machine or board")
	f.StringVar(&out, "out", "", "`FILE` to write; it must not be there yet")
	f.IntVar(&port.Baud, "baud", 9600, "of the board")
	f.IntVar(&board.Address, "address", 1, "of the board")
	f.IntVar(&board.Relays, "relays", 8, "how many the board has")
	f.IntVar(&board.First, "first", 0, "number of the first relay and contact on the wire: 0 or 1")
	return cmd
}

// record opens the port, asks, and closes everything again. The file stays
// whatever comes of it, but for a port that could not be opened.
func record(c *cli, cmd *cobra.Command, kind string, cfg serial.Config, board modbus.Config, out string) (err error) {
	file, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return term.Fail(term.ExitRefused, "name another one, or remove it", "%s is there already", term.Safe(out))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	tape := serial.NewRecorder(file)
	cfg.Record = tape
	port, err := serial.Open(cfg)
	if err != nil {
		_ = os.Remove(out)
		switch {
		case errors.Is(err, driver.ErrGone):
			return term.Fail(term.ExitNotFound, "", "%s", err)
		case errors.Is(err, driver.ErrBusyLine):
			return term.Fail(term.ExitRefused, "a machine's service holds it: systemctl stop barista@NAME", "%s", err)
		}
		return err
	}
	var answer string
	var asked error
	switch kind {
	case "jura":
		var g jura.Glance
		if g, asked = jura.Look(cmd.Context(), port); asked == nil {
			answer = inWords(g)
		}
	case "modbus":
		var g modbus.Glance
		if g, asked = modbus.Look(cmd.Context(), port, board); asked == nil {
			answer = fmt.Sprintf("relays %s, contacts %s", closed(g.Relays), closed(g.Contacts))
		}
	}
	if err := errors.Join(port.Close(), tape.Err()); err != nil {
		return err
	}
	if asked != nil {
		return term.Fail(term.ExitFailed, "what was sent, and the silence, is in "+term.Safe(out), "%s", asked)
	}
	return c.show(cmd, recorded{kind, cfg.Device, out, answer}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\nrecorded in %s\n", term.Safe(cfg.Device), term.Safe(answer), term.Safe(out))
	})
}

func inWords(g jura.Glance) string {
	if !g.Known {
		return g.Answer + ", which is no model that is known"
	}
	s := fmt.Sprintf("%s, the %v", g.Answer, g.Model)
	if g.Products >= 0 {
		s += fmt.Sprintf(", %d products made", g.Products)
	}
	for _, x := range []string{g.Busy, g.Want} {
		if x != "" {
			s += ", " + x
		}
	}
	return s
}

// closed lists what is closed.
func closed(bits []bool) string {
	var list []string
	for i, on := range bits {
		if on {
			list = append(list, fmt.Sprint(i+1))
		}
	}
	switch {
	case len(bits) == 0:
		return "not there"
	case len(list) == 0:
		return "all open"
	}
	return strings.Join(list, " ") + " closed"
}

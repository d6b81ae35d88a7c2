package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/detect"
	"barista/cmd/barista/term"
	"barista/configs/kinds"
	"barista/driver"
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

func newDriverRecord(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "record --kind KIND --port PORT --out FILE", Short: "record what a machine or board says of itself, with the times", Args: exactly()}
	f := cmd.Flags()
	asking := map[string]func(serial.Config) (kinds.Look, error){}
	var says, examples []string
	none := ""
	for _, k := range slices.SortedFunc(slices.Values(drivers), func(a, b kinds.Kind) int { return cmp.Compare(a.Name, b.Name) }) {
		switch r := k.Record; {
		case r == nil:
		case r.Flags == nil:
			none += " " + r.Says
		default:
			asking[k.Name] = r.Flags(f)
			says, examples = append(says, r.Says), append(examples, "  "+r.Example)
		}
	}
	cmd.Long = term.Wrap("record asks what only reads and writes down every byte both ways with its time, as JSON lines: "+strings.Join(says, "; ")+
		". Nothing is brewed, switched or written. A test plays such a file again in place of the machine; of a model that is not known yet it is what a new row of the table begins with.") +
		"\n\n" + term.Wrap("The port must be free: stop the machine's service first. If nothing answers, the file has the questions and the silence."+none)
	cmd.Example = strings.Join(examples, "\n")
	names := strings.Join(slices.Sorted(maps.Keys(asking)), " or ")
	var kind, out string
	var port serial.Config
	f.StringVar(&kind, "kind", "", names)
	f.StringVar(&port.Device, "port", "", "`PORT` of the machine or board")
	f.StringVar(&out, "out", "", "`FILE` to write; it must not be there yet")
	f.IntVar(&port.Baud, "baud", 9600, "of the board")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case port.Device == "":
			return term.Usage("name the port: --port, see ls -l /dev/serial/by-id")
		case out == "":
			return term.Usage("name the file to write: --out FILE")
		case asking[kind] == nil:
			return term.Usage("--kind is %s, not %s", names, term.Quote(kind))
		}
		look, err := asking[kind](port)
		if err != nil {
			return err
		}
		if err := driver.Refusal(port.Problems()); err != nil {
			return term.Usage("%w", err)
		}
		answer, err := detect.Record(cmd.Context(), port, look, out)
		if err != nil {
			return err
		}
		return c.show(cmd, recorded{kind, port.Device, out, answer}, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s\nrecorded in %s\n", term.Safe(port.Device), term.Safe(answer), term.Safe(out))
		})
	}
	return cmd
}

// recorded is the result of a recording in JSON.
type recorded struct {
	Kind   string `json:"kind"`
	Port   string `json:"port"`
	File   string `json:"file"`
	Answer string `json:"answer"` // in words
}

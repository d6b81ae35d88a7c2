package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/machine/station"
)

// rested is one machine's result in JSON.
type rested struct {
	Machine string `json:"machine"`
	Driver  string `json:"driver"`
	Off     bool   `json:"off"`  // everything was put at rest
	Busy    bool   `json:"busy"` // another process drives it; nothing was done
	Error   string `json:"error,omitempty"`
}

func newSafeOff(c *cli) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "safe-off --config FILE",
		Short: "put every output of a machine at rest, now",
		Long: `safe-off puts every output of the file's machine at rest. systemd calls it after
each end of the service, also after kill -9: lines of a Raspberry Pi and most
relay boards keep what a dead process has left on. It needs no network, no state
folder and no journal. After a run that did not end by itself it goes by the file
as that run had read it.

While another process drives the machine it does nothing, which is no error. A
file without a machine has nothing to put at rest. It fails (1) when something
may be on, and names it: then use the machine's own switch.`,
		Example: `  barista safe-off --config /etc/barista/zoe.yaml`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return term.Usage("name the configuration: barista safe-off --config FILE")
			}
			list, err := safeOff(config)
			if err != nil {
				return err
			}
			var bad []string
			for _, r := range list {
				if r.Error != "" {
					bad = append(bad, r.Machine+": "+r.Error)
				}
			}
			if len(bad) > 0 {
				return term.Fail(term.ExitFailed, "switch the machine off by its own switch, then look", "%s", strings.Join(bad, "; "))
			}
			return c.show(cmd, map[string]any{"machines": list}, func(w io.Writer) {
				for _, r := range list {
					if r.Busy {
						fmt.Fprintf(w, "%s: another process drives it, nothing was done\n", r.Machine)
					} else {
						fmt.Fprintf(w, "%s: everything is at rest\n", r.Machine)
					}
				}
				if len(list) == 0 {
					fmt.Fprintf(w, "%s has no machine, nothing to do\n", term.Safe(config))
				}
			})
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "`FILE` of the service")
	return cmd
}

// safeOff puts the machines at rest that the file's last run drove, or the one
// of the file.
func safeOff(path string) ([]rested, error) {
	text, err := os.ReadFile(path)
	m, state, wrong := configs.Wiring(path, text, loader())
	if err != nil {
		wrong = err
	}
	todo := map[string]*configs.Machine{}
	for _, copied := range station.Copies(state) {
		text, err := os.ReadFile(copied)
		if err != nil {
			continue
		}
		if was, _, err := configs.Wiring(copied, text, loader()); err == nil && was != nil {
			todo[filepath.Dir(copied)] = was
		}
	}
	if len(todo) == 0 && wrong != nil {
		return nil, term.Fail(term.ExitFailed, "mend the file; until then use the machine's own switch", "%s: it is not known what may be on: %s", term.Safe(path), wrong)
	}
	if m != nil {
		if dir := station.Folder(state, m.Name); todo[dir] == nil {
			todo[dir] = m
		}
	}
	var list []rested
	for _, dir := range slices.Sorted(maps.Keys(todo)) {
		list = append(list, restIn(dir, todo[dir]))
	}
	return list, nil
}

// restIn puts one machine at rest, if no other process drives it.
func restIn(dir string, m *configs.Machine) rested {
	r := rested{Machine: m.Name, Driver: m.Driver}
	err := station.Rest(dir, m.Settings, m.Plan)
	_, r.Busy = errors.AsType[*station.DrivenError](err)
	r.Off = err == nil
	if err != nil && !r.Busy {
		r.Error = term.OneLine(err.Error())
	}
	return r
}

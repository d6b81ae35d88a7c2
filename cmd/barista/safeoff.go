package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
)

// offTime bounds safe-off. systemd gives its stop-post 4 s.
const offTime = 3 * time.Second

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
	for _, copied := range driven(state) {
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
		if dir := machineDir(state, m.Name); todo[dir] == nil {
			todo[dir] = m
		}
	}
	var list []rested
	for _, dir := range slices.Sorted(maps.Keys(todo)) {
		list = append(list, restIn(dir, todo[dir]))
	}
	return list, nil
}

// restIn puts one machine at rest while nobody else may start to drive it.
func restIn(dir string, m *configs.Machine) rested {
	r := rested{Machine: m.Name, Driver: m.Driver}
	// No lock file is left behind that the service could not open; and where there
	// is none, or it can't be opened, that is no reason to leave an output on.
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetFlag(os.O_RDONLY))
	free, err := lock.TryLock()
	if err == nil && !free {
		r.Busy = true
		return r
	}
	defer lock.Close()
	done := make(chan error, 1)
	go func() { done <- m.Settings.Rest() }() // if it hangs, the process ends without it
	timer := time.NewTimer(offTime)
	defer timer.Stop()
	select {
	case err = <-done:
	case <-timer.C:
		err = fmt.Errorf("no answer within %v", offTime)
	}
	r.Off = err == nil
	if err != nil {
		if _, named := errors.AsType[*driver.MayBeOnError](err); !named {
			var parts []string
			for _, p := range driver.Parts {
				if m.Has(p) {
					parts = append(parts, string(p))
				}
			}
			if len(parts) == 0 {
				parts = []string{"any output"}
			}
			err = &driver.MayBeOnError{What: strings.Join(parts, ", "), Err: err}
		}
		r.Error = term.OneLine(err.Error())
	}
	return r
}

// machineDir is where a machine keeps its lock, its journal and its guard's
// memory.
func machineDir(state, name string) string { return filepath.Join(state, "machine-"+name) }

// runningName is the file in a machine's folder that says by which configuration
// it is driven. It is there from before its first output is opened until all are
// seen off; left over, it tells safe-off what the dead process had in its hands,
// whatever a person has changed in the file since.
const runningName = "running.yaml"

func driven(state string) []string {
	if state == "" {
		return nil
	}
	list, _ := filepath.Glob(filepath.Join(state, "machine-*", runningName)) // the pattern is right
	return list
}

// keepRunning writes that file. A full disk is no reason to stop: then the file
// itself must do.
func keepRunning(dir string, text []byte) error {
	return renameio.WriteFile(filepath.Join(dir, runningName), text, 0o600, renameio.WithTempDir(dir))
}

func dropRunning(dir string) error {
	if err := os.Remove(filepath.Join(dir, runningName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package upkeep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// floor is a shop with one machine.
type floor struct {
	zoe   fleet.Machine
	begun time.Time
	at    func(after time.Duration, m *fleet.Machine) // what it says, so long after the verb began
}

func (f *floor) Get(context.Context, string) ([]byte, error) { return nil, fleet.ErrNotFound }

func (f *floor) Put(_ context.Context, key string, v []byte) error {
	if key != fleet.CordonKey("zoe") {
		return fmt.Errorf("%s was set", key)
	}
	f.zoe.Cordon = new(fleet.Cordon)
	return json.Unmarshal(v, f.zoe.Cordon)
}

func (f *floor) Delete(context.Context, string) error { f.zoe.Cordon = nil; return nil }

func (f *floor) machines(context.Context) ([]fleet.Machine, error) {
	if f.at != nil {
		f.at(time.Since(f.begun), &f.zoe)
	}
	return []fleet.Machine{f.zoe}, nil
}

// run types a verb of machines with ARGS.
func (f *floor) run(ctx context.Context, verb func(Shell) *cobra.Command, args ...string) (out, said string, err error) {
	f.begun = time.Now()
	shop := client.Shop{Parts: client.Parts{Settings: f, Machines: f.machines, Requester: &teller{err: fleet.ErrNobody}}}
	do := func(cmd *cobra.Command, do func(context.Context, client.Shop) error) error {
		return do(cmd.Context(), shop)
	}
	shell := Shell{
		Machine: func(reason *string, needed bool) cobra.PositionalArgs {
			return func(_ *cobra.Command, args []string) error {
				if len(args) != 1 || needed && *reason == "" {
					return term.Usage("no")
				}
				return nil
			}
		},
		Show: func(cmd *cobra.Command, v any, text func(io.Writer)) error {
			return term.Show(cmd.OutOrStdout(), false, v, text)
		},
		With: do,
		Watching: func(cmd *cobra.Command, f func(context.Context, client.Shop) error) error {
			err := do(cmd, f)
			if cmd.Context().Err() != nil {
				return nil
			}
			return err
		},
		By: func(_ *cobra.Command, by *string) { *by = "ada" },
		Done: func(cmd *cobra.Command, format string, args ...any) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), format, args...)
			return err
		},
	}
	cmd := verb(shell)
	var o, e bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(ctx)
	return o.String(), e.String(), err
}

// TestDrain: what is said, with which exit code, and that nothing is taken back by giving
// up.
func TestDrain(t *testing.T) {
	parks := func(when time.Duration) func(time.Duration, *fleet.Machine) {
		return func(after time.Duration, m *fleet.Machine) {
			if m.Order, m.Percent, m.State = "01JD0000000000000000000001", 60, fleet.StateDraining; after >= when && m.Cordon != nil {
				m.Order, m.Percent, m.State, m.Drained = "", 0, fleet.StateCordoned, m.Cordon.At
			}
		}
	}
	away := func(_ time.Duration, m *fleet.Machine) { m.Here, m.Order = false, "" }
	cordoned := &fleet.Cordon{By: "eve", Reason: "descaling", At: "x"}
	for name, x := range map[string]struct {
		args   string
		cordon *fleet.Cordon
		at     func(time.Duration, *fleet.Machine)
		leave  time.Duration // a person presses Ctrl-C
		exit   int
		out    string // or the error
		said   string
		stays  bool // out of service
	}{
		"it is waited for":               {args: "zoe --reason x --wait", at: parks(40 * time.Second), out: "zoe may be opened", said: "zoe: finishes order 01JD0000000000000000000001, 50 %\n", stays: true},
		"it is not":                      {args: "zoe --reason x", at: parks(40 * time.Second), out: "zoe drains", stays: true},
		"it was parked for an older one": {args: "zoe --reason x --wait --timeout 5s", at: func(_ time.Duration, m *fleet.Machine) { m.Drained = "2026-11-30T12:00:00Z" }, exit: term.ExitTimeout, out: "may not be opened yet", said: "not said yet", stays: true},
		"it takes too long":              {args: "zoe --reason x --wait --timeout 30s", at: parks(40 * time.Second), exit: term.ExitTimeout, out: "zoe may not be opened yet, after 30s", said: "50 %", stays: true},
		"a person has enough":            {args: "zoe --reason x --wait", at: parks(40 * time.Second), leave: 10 * time.Second, exit: term.ExitFailed, out: "interrupted", said: "50 %", stays: true},
		"it is away":                     {args: "zoe --reason x --wait", at: away, out: "zoe is away", stays: true},
		"it goes away meanwhile": {args: "zoe --reason x --wait", at: func(after time.Duration, m *fleet.Machine) {
			if parks(time.Hour)(after, m); after > 10*time.Second {
				away(after, m)
			}
		}, out: "zoe is away", said: "50 %", stays: true},
		"somebody puts it back": {args: "zoe --reason x --wait", at: func(after time.Duration, m *fleet.Machine) {
			if parks(time.Hour)(after, m); after > 10*time.Second {
				m.Cordon = nil
			}
		}, exit: term.ExitRefused, out: "somebody has put it back", said: "50 %"},
		"nobody is called so":           {args: "leo --reason x --wait", exit: term.ExitNotFound, out: "no machine leo"},
		"it is put back":                {args: "zoe --cancel", cordon: &fleet.Cordon{By: "eve", Reason: "x", Drain: true, At: "x"}, out: "back in service"},
		"what is put back is in use":    {args: "zoe --cancel", exit: term.ExitRefused, out: "nobody drains it"},
		"what is put back was cordoned": {args: "zoe --cancel", cordon: cordoned, exit: term.ExitRefused, out: "cordoned by eve: descaling", stays: true},
		"what is put back is new":       {args: "zoe --cancel", cordon: &fleet.Cordon{By: "eve", Reason: "x", Drain: true, Replaced: true, At: "x"}, exit: term.ExitRefused, out: "zoe is new hardware", stays: true},
		"both at once":                  {args: "zoe --cancel --wait", exit: term.ExitUsage, out: "alone"},
		"a time and no wait":            {args: "zoe --reason x --timeout 5s", exit: term.ExitUsage, out: "--wait"},
		"no time":                       {args: "zoe --reason x --wait --timeout 0s", exit: term.ExitUsage, out: "some time"},
		"no reason":                     {args: "zoe --wait", exit: term.ExitUsage, out: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &floor{zoe: fleet.Machine{Here: true, Presence: fleet.Presence{Machine: "zoe", State: fleet.StateReady}, Cordon: x.cordon}, at: x.at}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if x.leave > 0 {
					time.AfterFunc(x.leave, cancel)
				}
				out, said, err := f.run(ctx, Drain, strings.Fields(x.args)...)
				exit := term.ExitOK
				if e := new(term.Error); errors.As(err, &e) {
					exit, out = e.Exit, e.Message
				} else if err != nil {
					t.Fatal(err)
				}
				if exit != x.exit || !strings.Contains(out, x.out) {
					t.Errorf("exit %d, want %d: %q, want %q", exit, x.exit, out, x.out)
				}
				if said != x.said && (x.said == "" || !strings.Contains(said, x.said)) {
					t.Errorf("on the way it said %q, want %q", said, x.said)
				}
				if stays := f.zoe.Cordon != nil; stays != x.stays {
					t.Errorf("out of service: %v", stays)
				}
			})
		})
	}
}

// TestUncordon: a machine is put back by its name alone, but for new hardware that nobody
// has looked at.
func TestUncordon(t *testing.T) {
	for name, x := range map[string]struct {
		args   string
		cordon *fleet.Cordon
		exit   int
		out    string
		stays  bool
	}{
		"cordoned":         {"zoe", &fleet.Cordon{By: "eve", Reason: "x"}, 0, "zoe is back in service", false},
		"in service":       {"zoe", nil, 0, "zoe is back in service", false},
		"new":              {"zoe", &fleet.Cordon{By: "eve", Reason: "x", Replaced: true}, term.ExitRefused, "nobody has said that it was looked at", true},
		"new, and checked": {"zoe --checked", &fleet.Cordon{By: "eve", Reason: "x", Replaced: true}, 0, "zoe is back in service", false},
		"nobody":           {"leo", nil, term.ExitNotFound, "no machine leo", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &floor{zoe: fleet.Machine{Here: true, Presence: fleet.Presence{Machine: "zoe", State: fleet.StateReady}, Cordon: x.cordon}}
			out, _, err := f.run(t.Context(), Uncordon, strings.Fields(x.args)...)
			exit := term.ExitOK
			if e := new(term.Error); errors.As(err, &e) {
				exit, out = e.Exit, e.Message
			} else if err != nil {
				t.Fatal(err)
			}
			if exit != x.exit || !strings.Contains(out, x.out) || f.zoe.Cordon != nil != x.stays {
				t.Errorf("exit %d, %q, out of service %v", exit, out, f.zoe.Cordon != nil)
			}
		})
	}
}

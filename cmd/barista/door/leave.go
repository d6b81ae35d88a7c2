package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/door"
)

// leaving is a machine that leaves its place in the shop: for good, or for other hardware
// that comes under its name. What is looked at and done is client.Shop's affair.
type leaving struct {
	Shell
	by, reason string
	ttl        time.Duration
}

// noDoor is a shop that revokes nothing.
const noDoor = "this shop gives nobody a key (its broker says keys: none, or is run by others)"

// left is how it came out, in JSON.
type left struct {
	OK      bool              `json:"ok"`
	Machine string            `json:"machine"`
	Revoked bool              `json:"revoked"` // it had a key, which is good no more
	Keys    bool              `json:"keys"`    // the shop gives and takes them
	Invited *fleet.Invitation `json:"invitation,omitempty"`
	Message string            `json:"message"`
}

func (c Shell) retire() *cobra.Command {
	l := leaving{Shell: c}
	cmd := &cobra.Command{
		Use: "retire NAME", Short: "a machine leaves for good",
		Long: `retire is for a machine that does not come back. It must be drained, or away, and no
order may stand in its name: not in its hand, and none of which nobody knows what came
of it. Its key is revoked, the shop waits for its word no more, and it is gone from
machine ls, the pages and the metrics. What it has made stays in the records.

The name stays barred: should it come back, it is out of service until somebody says
machine uncordon. A shop without keys can cut nobody off: end its service first.`,
		Example: `  barista machine drain zoe --reason "sold" --wait
  barista machine retire zoe --reason "sold"`,
		Args: l.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				done, err := s.Retire(ctx, args[0], l.by, l.reason)
				if err != nil {
					return stays(err)
				}
				out := outcome(done)
				if out.Message = out.Machine + " is retired: it is no machine of this shop any more, and its records stay"; !out.Keys {
					out.Message += "; " + noDoor + ": whoever starts a service of that name brings it back, out of service"
				}
				return c.Show(cmd, out, func(w io.Writer) { fmt.Fprintln(w, out.Message) })
			})
		},
	}
	l.flags(cmd)
	return cmd
}

func (c Shell) replace() *cobra.Command {
	l := leaving{Shell: c}
	cmd := &cobra.Command{
		Use: "replace NAME", Short: "other hardware comes under a machine's name",
		Long: `replace is for a machine that gets another computer, or is another one altogether,
under the name that it had. The old one must be drained, or away, and no order may
stand in its name. Its key is revoked, so that it can't come back, and the code for
the new one is printed: as machine invite, barista enroll and machine accept have it.
What was made under the name stays with it.

The new one is out of service until a person says machine uncordon --checked. Nothing that was
measured on the old one is known to be true of it: calibrate it, and look at its first
cup. A shop without keys can keep nobody out: see that the old one stays off, for of two
that run under one name the one that was there first goes on.`,
		Example: `  barista machine drain zoe --reason "new computer" --wait
  barista machine replace zoe --reason "new computer"`,
		Args: l.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				done, err := s.Replace(ctx, args[0], l.by, l.reason, l.ttl)
				if err != nil && done.Out {
					return term.Fail(term.ExitFailed, "barista machine invite "+args[0], "the old %s is put out, and the code for the new one could not be made: %w", args[0], explain(err))
				}
				if err != nil {
					return stays(err)
				}
				out := outcome(done)
				const check = "It is out of service until you have looked at it: barista selftest and barista calibrate there, then barista machine uncordon %s --checked, and watch its first cup.\n"
				if !out.Keys {
					out.Message = fmt.Sprintf("%s may be replaced: see that the old one stays off, and start the new one under this name; %s, so it can't keep the old one out", out.Machine, noDoor)
					return c.Show(cmd, out, func(w io.Writer) { fmt.Fprintf(w, "%s\n"+check, out.Message, out.Machine) })
				}
				out.Message = fmt.Sprintf("the old %s is put out; its key is good no more", out.Machine)
				return c.Show(cmd, out, func(w io.Writer) {
					fmt.Fprintf(w, "%s\n\n", out.Message)
					invited(cmd, w, *out.Invited)
					fmt.Fprintf(w, check, out.Machine)
				})
			})
		},
	}
	cmd.Flags().DurationVar(&l.ttl, "ttl", door.DefaultTTL, "for how long the code is good, 1m to 24h")
	l.flags(cmd)
	return cmd
}

func (l *leaving) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.reason, "reason", "", "why, for the record and for those who find it so")
	l.By(cmd, &l.by)
}

func (l *leaving) args(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) != 1:
		return term.Usage("give NAME")
	case !fleet.IsToken(args[0]):
		return term.Usage("%s is no name of a machine: 1 to 32 of a-z, 0-9 and -", term.Quote(args[0]))
	case strings.TrimSpace(l.reason) == "":
		return term.Usage("give a --reason, for those who look for the machine")
	}
	return nil
}

func outcome(l fleet.Left) left {
	return left{OK: true, Machine: l.Machine, Revoked: l.Revoked, Keys: l.Keys, Invited: l.Invited}
}

// stays is why a machine is not put out.
func stays(err error) error {
	if errors.Is(err, door.ErrElsewhere) {
		return explain(err)
	}
	return told.Stays(err)
}

package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/door"
	"barista/fleet/roles"
)

// leaving is a machine that leaves its place in the shop: for good, or for other hardware
// that comes under its name.
//
// All that may be refused is looked at before anything is changed; and each step may be
// done twice, so that who was interrupted types the same line again.
type leaving struct {
	Shell
	by, reason string
	ttl        time.Duration
}

// noDoor is a shop that revokes nothing.
const noDoor = "this shop gives nobody a key (its broker says keys: none, or is run by others)"

// left is how it came out, in JSON.
type left struct {
	OK      bool             `json:"ok"`
	Machine string           `json:"machine"`
	Revoked bool             `json:"revoked"` // it had a key, which is good no more
	Keys    bool             `json:"keys"`    // the shop gives and takes them
	Invited *door.Invitation `json:"invitation,omitempty"`
	Message string           `json:"message"`
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
				out, err := l.leave(ctx, s, args[0], client.Shop.Retired)
				if err != nil {
					return err
				}
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
				out, err := l.leave(ctx, s, args[0], client.Shop.Replaced)
				if err != nil {
					return err
				}
				const check = "It is out of service until you have looked at it: barista selftest and barista calibrate there, then barista machine uncordon %s --checked, and watch its first cup.\n"
				if !out.Keys {
					out.Message = fmt.Sprintf("%s may be replaced: see that the old one stays off, and start the new one under this name; %s, so it can't keep the old one out", out.Machine, noDoor)
					return c.Show(cmd, out, func(w io.Writer) { fmt.Fprintf(w, "%s\n"+check, out.Message, out.Machine) })
				}
				i, err := door.New(s.Requester).Invite(ctx, string(roles.Machine), out.Machine, l.ttl, l.by)
				if err != nil {
					return term.Fail(term.ExitFailed, "barista machine invite "+out.Machine, "the old %s is put out, and the code for the new one could not be made: %w", out.Machine, explain(err))
				}
				out.Invited, out.Message = &i, fmt.Sprintf("the old %s is put out; its key is good no more", out.Machine)
				return c.Show(cmd, out, func(w io.Writer) {
					fmt.Fprintf(w, "%s\n\n", out.Message)
					invited(cmd, w, i)
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

// leave puts a machine out, and writes down as what.
func (l *leaving) leave(ctx context.Context, s client.Shop, name string, write func(s client.Shop, ctx context.Context, machine, by, reason string) error) (left, error) {
	out := left{OK: true, Machine: name}
	d := door.New(s.Requester)
	member, err := l.may(ctx, s, d, &out)
	if err != nil {
		return out, err
	}
	if member {
		if err := d.Revoke(ctx, string(roles.Machine), name, l.by); err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return out, explain(err)
		}
		out.Revoked = true
	}
	if err := s.GiveUp(ctx, name, l.by, l.reason); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return out, err
	}
	return out, write(s, ctx, name, l.by, l.reason)
}

// may looks whether a machine may leave, and says whether it has a key.
func (l *leaving) may(ctx context.Context, s client.Shop, d door.Client, out *left) (member bool, err error) {
	name := out.Machine
	b, err := s.Controller.Standing(ctx) // first: where a controller answers, a door that there is is open
	if err != nil {
		return false, err
	}
	members, err := d.Members(ctx)
	if out.Keys = err == nil; err != nil && !errors.Is(err, fleet.ErrNobody) {
		return false, explain(err)
	}
	if i := slices.IndexFunc(members, func(m fleet.Member) bool { return m.Kind == string(roles.Machine) && m.Name == name }); i >= 0 {
		if members[i].Own {
			return false, explain(door.ErrOwn)
		}
		member = true
	}
	m, err := s.Named(ctx, name)
	if err != nil && !(member && errors.Is(err, fleet.ErrNotFound)) { // away for longer than the shop remembers
		return false, term.Fail(term.ExitNotFound, "see barista machine ls", "%w", err)
	}
	switch {
	case m.Here && m.Cordon == nil:
		return false, term.Fail(term.ExitRefused, fmt.Sprintf("barista machine drain %s --reason \"…\" --wait", name), "%s is in service", name)
	case m.Here && !m.Parked():
		return false, term.Fail(term.ExitRefused, fmt.Sprintf("barista machine drain %s --reason \"…\" --wait", name), "%s is here, and has not said that it may be opened", name)
	case m.Here && !out.Keys:
		return false, term.Fail(term.ExitRefused, "end its service on its own computer, then say this again", "%s is here while its service runs, and can't be cut off: %s", name, noDoor)
	}
	switch {
	case slices.Contains(b.Missing, name):
		return false, term.Fail(term.ExitRefused, fmt.Sprintf("let it come once more, or: barista machine give-up %s --reason \"…\"", name), "the shop waits for what %s knows of orders from before its start", name)
	case b.State == fleet.StandClosed || b.State == fleet.StandLooking:
		return false, term.Fail(term.ExitRefused, "see barista status", "not now: %s", b.Why)
	}
	return member, holds(ctx, s, name, member)
}

// holds says no while orders stand in the machine's name, and what to type for each.
func holds(ctx context.Context, s client.Shop, name string, member bool) error {
	orders, err := s.Holds(ctx, name)
	if err != nil || len(orders) == 0 {
		return err
	}
	var list, next []string
	cut := false
	for _, o := range orders {
		list = append(list, fmt.Sprintf("%s (%s)", o.ID, o.Phase))
		if o.Phase == fleet.Unknown {
			next = append(next, fmt.Sprintf("barista settle %s made|not-made --reason \"…\"", o.ID))
		} else {
			cut = true
		}
	}
	if cut && member {
		next = append(next, fmt.Sprintf("barista machine revoke %s if it will not come back: what it began is in doubt then, and can be settled", name))
	} else if cut {
		next = append(next, "wait: what it has not begun goes to others, and what it began is in doubt after some minutes, and can be settled")
	}
	return term.Fail(term.ExitRefused, strings.Join(next, "; "), "%s can't leave yet: in its name stands %s", name, strings.Join(list, ", "))
}

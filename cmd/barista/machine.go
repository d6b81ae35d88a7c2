package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/presence"
	"barista/fleet/queue"
)

// machineLine is one machine in a list.
type machineLine struct {
	Machine    string        `json:"machine"`
	State      fleet.State   `json:"state"`  // stateAway: known, but not here
	Here       bool          `json:"here"`   //
	Able       bool          `json:"able"`   // takes orders without a person's help
	Reason     string        `json:"reason"` // why it is not able, for people
	By         string        `json:"by,omitempty"`
	Order      string        `json:"order,omitempty"`
	Percent    int           `json:"percent,omitempty"`
	Classes    []fleet.Class `json:"classes,omitempty"`
	Sizes      []fleet.Size  `json:"sizes,omitempty"`
	Cup        string        `json:"cup,omitempty"`
	Driver     string        `json:"driver,omitempty"`
	MinWaiting int           `json:"min_waiting,omitempty"`
	Drinks     int           `json:"drinks"`
	Seconds    float64       `json:"seconds,omitempty"`
	Lacks      []string      `json:"lacks,omitempty"`
	Version    string        `json:"version,omitempty"`
	Seen       *time.Time    `json:"seen,omitempty"` // of one that is away
}

// stateAway is the state of a machine that was here within the last days.
const stateAway fleet.State = "away"

// fleetNow lists the machines that are here, or were within seven days, or are
// cordoned, by name.
func fleetNow(ctx context.Context, conn *queue.Conn) ([]machineLine, error) {
	all, err := seen(conn, nil).Read(ctx)
	if err != nil {
		return nil, err
	}
	lines := []machineLine{}
	for _, m := range all {
		lines = append(lines, lineOfMachine(m))
	}
	return lines, nil
}

func lineOfMachine(m fleet.Machine) machineLine {
	l := machineLine{Machine: m.Machine, State: stateAway}
	if m.Here {
		l = machineLine{
			Machine: m.Machine, State: m.State, Here: true, Able: m.Able(), Reason: m.Note, Order: m.Order, Percent: m.Percent,
			Classes: m.Classes, Sizes: m.Sizes, Cup: m.Cup, Driver: m.Driver, MinWaiting: m.MinWaiting, Drinks: m.Drinks,
			Seconds: m.Seconds, Lacks: m.Lacks, Version: m.Version,
		}
	} else if !m.Seen.IsZero() {
		l.Reason, l.Seen = "last seen "+term.Time(m.Seen), &m.Seen
	}
	if m.Cordon != nil {
		l.By, l.Reason = m.Cordon.By, m.Cordon.Reason
		// It is cordoned from the moment that a person said so; what it still has
		// in hand is told by order.
		if l.Here && l.Order == "" {
			l.State = fleet.StateCordoned
		} else if l.Here {
			l.State = fleet.StateDraining
		}
	}
	return l
}

func machineTable(w io.Writer, lines []machineLine) {
	rows := [][]string{{"MACHINE", "STATE", "MAKES", "CUP", "DRINKS", "IN HAND", "WHY", "WHO"}}
	for _, l := range lines {
		hand := l.Order
		if hand != "" && l.Percent > 0 {
			hand += fmt.Sprintf(" %d%%", l.Percent)
		}
		why := l.Reason
		if why == "" && len(l.Lacks) > 0 {
			why = "lacks " + strings.Join(l.Lacks, ", ")
		}
		if why == "" && l.MinWaiting > 0 {
			why = fmt.Sprintf("a spare: works above %d waiting", l.MinWaiting)
		}
		drinks := ""
		if l.Here {
			drinks = fmt.Sprint(l.Drinks)
		}
		rows = append(rows, []string{l.Machine, string(l.State), makes(l.Classes), l.Cup, drinks, hand, why, l.By})
	}
	if term.Table(w, rows); len(lines) == 0 {
		fmt.Fprintln(w, "no machines")
	}
}

// makes shortens a list of classes: the beans, then the milks if every bean goes
// with every milk.
func makes(classes []fleet.Class) string {
	var beans, milks []string
	for _, c := range classes {
		if !slices.Contains(beans, c.Bean) {
			beans = append(beans, c.Bean)
		}
		if !slices.Contains(milks, c.Milk) {
			milks = append(milks, c.Milk)
		}
	}
	if len(beans)*len(milks) == len(classes) {
		return strings.Trim(strings.Join(beans, ",")+"/"+strings.Join(milks, ","), "/")
	}
	var out []string
	for _, c := range classes {
		out = append(out, c.String())
	}
	return strings.Join(out, " ")
}

func newMachine(c *cli) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "machine",
		Short: "look after the machines",
		Example: `  barista machine ls
  barista machine drain zoe --reason "new grinder"
  barista machine uncordon zoe`,
	})
	cmd.AddCommand(newMachineLs(c))
	for _, v := range []struct {
		use, short, done string
		reason           bool // must be given
		do               func(ctx context.Context, s fleet.Settings, machine, by, reason string) error
	}{
		{"cordon", "take a machine out of service: it starts no further order", "%s is cordoned", true, presence.Cordon},
		{"drain", "let a machine finish what it has, then take it out of service", "%s drains", true, presence.Drain},
		{"uncordon", "put a machine back into service", "%s is back in service", false,
			func(ctx context.Context, s fleet.Settings, machine, _, _ string) error {
				return presence.Uncordon(ctx, s, machine)
			}},
	} {
		var by, reason string
		sub := &cobra.Command{
			Use:     v.use + " NAME",
			Short:   v.short,
			Example: fmt.Sprintf("  barista machine %s zoe --reason \"new grinder\"", v.use),
			Args:    machineArg(&reason, v.reason),
			RunE: func(cmd *cobra.Command, args []string) error {
				return c.with(cmd, func(ctx context.Context, conn *queue.Conn) error {
					lines, err := fleetNow(ctx, conn)
					if err != nil {
						return err
					}
					if !slices.ContainsFunc(lines, func(l machineLine) bool { return l.Machine == args[0] }) {
						return term.Fail(term.ExitNotFound, "see barista machine ls", "there is no machine %s", args[0])
					}
					if err := v.do(ctx, conn.Settings(), args[0], by, reason); err != nil {
						return err
					}
					return c.done(cmd, v.done, args[0])
				})
			},
		}
		byFlag(sub, &by)
		sub.Flags().StringVar(&reason, "reason", "", "why, for those who find it so")
		cmd.AddCommand(sub)
	}
	for _, v := range []struct {
		verb, short string
		reason      bool
		order       bool // concerns the order in hand
	}{
		{"stop", "switch everything off now; the drink in hand is spoiled", true, true},
		{"cup", "say that a cup stands there for the order in hand", false, true},
		{"clear-fault", "clear a fault that a person has looked at", true, false},
	} {
		var by, reason, order string
		example := "  barista machine " + v.verb + " zoe"
		if v.reason {
			example += ` --reason "looked at it"`
		}
		sub := &cobra.Command{
			Use:     v.verb + " NAME",
			Short:   v.short,
			Example: example,
			Args:    machineArg(&reason, v.reason),
			RunE: func(cmd *cobra.Command, args []string) error {
				return c.with(cmd, func(ctx context.Context, conn *queue.Conn) error {
					q := fleet.Command{Verb: v.verb, By: by, Why: reason}
					if v.order {
						id, err := inHand(ctx, conn, args[0], order)
						if err != nil {
							return err
						}
						q.Order = id
					}
					return c.command(ctx, cmd, conn.Requester(), args[0], q)
				})
			},
		}
		byFlag(sub, &by)
		sub.Flags().StringVar(&reason, "reason", "", "why, for the record")
		if v.order {
			sub.Flags().StringVar(&order, "order", "", "the order that is meant (default the one in hand)")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

func machineArg(reason *string, needed bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := exactly("NAME")(cmd, args); err != nil {
			return err
		}
		if !fleet.IsToken(args[0]) {
			return term.Usage("%s is no name of a machine: 1 to 32 of a-z, 0-9 and -", term.Quote(args[0]))
		}
		if needed && strings.TrimSpace(*reason) == "" {
			return term.Usage("give a --reason, for those who find the machine so")
		}
		return nil
	}
}

// inHand finds which order a command to a machine is about.
func inHand(ctx context.Context, conn *queue.Conn, machine, ref string) (string, error) {
	if ref != "" {
		e, err := find(ctx, conn.Claims(), ref)
		return e.Order.ID, err
	}
	here, err := conn.Fleet().Present(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range here {
		if p.Machine == machine {
			return p.Order, nil
		}
	}
	return "", nil // it may still hear: presence is advice
}

// command asks one machine.
func (c *cli) command(ctx context.Context, cmd *cobra.Command, r fleet.Requester, machine string, q fleet.Command) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	b, err := r.Request(ctx, fleet.CommandSubject(machine), body)
	if errors.Is(err, fleet.ErrNobody) {
		return term.Fail(term.ExitNotFound, "see barista machine ls; stop a machine that does not answer by its own switch", "no machine %s listens", machine)
	}
	if err != nil {
		return err
	}
	var a fleet.CommandAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return term.Fail(term.ExitFailed, "", "the answer of %s can't be read: %v", machine, err)
	}
	if !a.OK {
		return term.Fail(term.ExitRefused, "", "%s: %s", machine, term.Safe(a.Message))
	}
	if a.Message == "" {
		a.Message = "done"
	}
	return c.done(cmd, "%s: %s", machine, term.Safe(a.Message))
}

func newMachineLs(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "list the machines",
		Example: "  barista machine ls --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := func(ctx context.Context, conn *queue.Conn) (any, func(io.Writer), error) {
				lines, err := fleetNow(ctx, conn)
				return map[string]any{"machines": lines}, func(w io.Writer) { machineTable(w, lines) }, err
			}
			return c.once(cmd, watch, list)
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on and print it again whenever it changes")
	return cmd
}

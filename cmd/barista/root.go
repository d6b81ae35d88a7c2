package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/complete"
	"barista/cmd/barista/counter"
	"barista/cmd/barista/door"
	"barista/cmd/barista/preview"
	"barista/cmd/barista/reach"
	"barista/cmd/barista/staff"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
)

// cli is what every subcommand shares: the flags that all of them take.
type cli struct {
	json bool        // --json
	way  reach.Flags // to the shop
}

// newRoot is the whole command line. This list is the only place where a
// subcommand is added, but for those that the kinds bring.
func newRoot() *cobra.Command {
	c := &cli{}
	root := group(&cobra.Command{
		Use:   "barista",
		Short: "coffee machines as one shop",
		Long: `barista turns coffee machines into one shop: it runs each machine, runs the
shop around them, and talks to a shop that is running.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused by the state
of things, 5 not authorised, 6 timed out, 7 degraded (status, doctor). A service exits
with 78 when its configuration is wrong.`,
		Example: `  barista order --size large --bean mixed --milk free --name Zoe --watch
  barista why last
  barista status
  barista check /etc/barista/zoe.yaml`,
		Version:       thisBuild().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	})
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON, errors too")
	c.way.Add(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return term.Usage("%v; see %s --help", err, cmd.CommandPath())
	})
	root.CompletionOptions.HiddenDefaultCmd = true

	root.AddGroup(
		&cobra.Group{ID: "order", Title: "Orders:"},
		&cobra.Group{ID: "shop", Title: "The shop:"},
		&cobra.Group{ID: "here", Title: "On this computer:"},
	)
	for _, g := range []struct {
		id   string
		cmds []*cobra.Command
	}{
		{"order", []*cobra.Command{
			newOrder(c), newOrders(c), newWhy(c), newCancel(c), newSettle(c), newAgain(c),
		}},
		{"shop", []*cobra.Command{
			newStatus(c), newDoctor(c), newMachine(c), counter.Stock(c.counter()), counter.Menu(c.counter()), newBroker(c), newHub(c),
		}},
		{"here", []*cobra.Command{
			newDemo(c), newRun(c), newSafeOff(c),
			newSetup(c), newDetect(c), newCheck(c), newTimeline(c), newFaults(c),
			newSelftest(c), newCalibrate(c), group(staff.Operator(staff.Console{Show: c.show, Args: exactly, Kinds: loader})),
			door.Key(c.shell()), door.Enroll(c.shell()),
			newSim(c), newDriver(c), newVersion(c),
		}},
	} {
		for _, cmd := range g.cmds {
			cmd.GroupID = g.id
			root.AddCommand(cmd)
		}
	}
	for _, cmd := range addCommands(c, root, "") {
		cmd.GroupID = "here"
	}
	complete.Add(root, c.tab)
	return root
}

// shell is the command line to the verbs of the door.
func (c *cli) shell() door.Shell {
	return door.Shell{Group: group, Exactly: exactly, Show: c.show, Way: &c.way, With: c.with, By: byFlag}
}

// counter is the command line to the verbs of what the shop sells and has.
func (c *cli) counter() counter.Shell {
	return counter.Shell{Group: group, Exactly: exactly, Show: c.show, With: c.with, By: byFlag, Once: c.once}
}

// addCommands adds the commands that the kinds bring to a group.
func addCommands(c *cli, parent *cobra.Command, under string) []*cobra.Command {
	var cmds []*cobra.Command
	for _, k := range drivers.Commands(under) {
		cmds = append(cmds, newCommand(c, k))
	}
	parent.AddCommand(cmds...)
	return cmds
}

// newCommand makes the verb of a kind's command.
func newCommand(c *cli, k kinds.Command) *cobra.Command {
	cmd := &cobra.Command{Use: k.Use, Short: k.Short, Long: k.Long, Example: k.Example}
	if k.Flags == nil {
		for _, inner := range k.Commands {
			cmd.AddCommand(newCommand(c, inner))
		}
		return group(cmd)
	}
	if !k.Args {
		cmd.Args = exactly()
	}
	run := k.Flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return run(cmd.Context(), kinds.Console{
			Show:  func(v any, text func(io.Writer)) error { return c.show(cmd, v, text) },
			Table: term.Table, Safe: term.Safe, Quote: term.Quote,
			Machine: func(path string) (*configs.Machine, error) {
				f, err := preview.Machine(path, drivers)
				if err != nil {
					return nil, err
				}
				return f.Machine, nil
			},
		}, args)
	}
	return cmd
}

// group makes a command that only holds others: without one it shows its help,
// and a wrong one is an error with a guess.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		cmd.SuggestionsMinimumDistance = 2
		hint := "see " + cmd.CommandPath() + " --help"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			slices.Sort(near)
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return term.Usage("%s has no command %s; %s", cmd.CommandPath(), term.Quote(args[0]), hint)
	}
	return cmd
}

// exactly wants the named arguments, one each.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		want := "no arguments"
		if len(names) > 0 {
			want = strings.Join(names, " ")
		}
		return term.Usage("%s takes %s; see %s --help", cmd.CommandPath(), want, cmd.CommandPath())
	}
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return term.ExitOK
	}
	e := explain(err)
	// A wrong flag ends the parsing before --json is known.
	asJSON, _ := root.PersistentFlags().GetBool("json")
	asJSON = asJSON || slices.Contains(untilDashes(args), "--json")
	e.Print(out, errOut, asJSON)
	return e.Exit
}

func untilDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}

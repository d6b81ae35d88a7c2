// Package staff is the verbs for the people who look after a shop over its pages: who
// of them there is, and the codes that let them in. They work on the state folder of
// the shop's own computer, with or without its service: whoever may write there is
// trusted with it. They need no connection, and no password is ever an argument.
package staff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver/guard"
	"barista/fleet"
	"barista/fleet/operators"
)

// Console is what a verb needs of the command line.
type Console struct {
	// Show prints v as JSON or as text, whichever was asked for.
	Show func(cmd *cobra.Command, v any, text func(io.Writer)) error
	// Args wants so many arguments, by name.
	Args func(names ...string) cobra.PositionalArgs
	// Kinds are those that the loader of files knows.
	Kinds func() map[string]configs.Kind
}

// usualFile is the shop's, as setup writes it.
const usualFile = "/etc/barista/shop.yaml"

// Operator is the group of the verbs.
func Operator(c Console) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "who may log in on the shop's pages",
		Long: `operator says who looks after the shop over its pages, /operators and /fleet. It is
for the shop's own computer, and works on the state folder of its service, whether
that runs or not. A person is let in by a one-time code, good for 15 minutes, and
chooses a password on the page /login then.`,
		Example: `  barista operator add zoe
  barista operator code zoe      # the password was forgotten
  barista operator list
  barista operator remove zoe    # and log zoe out at once`,
	}
	cmd.PersistentFlags().StringVar(&config, "config", usualFile, "`FILE` of the shop's service")
	open := func() (*operators.Store, error) { return c.open(config) }
	cmd.AddCommand(c.add(open), c.code(open), c.list(open), c.remove(open))
	return cmd
}

// open finds the logins of the service of a file.
func (c Console) open(config string) (*operators.Store, error) {
	f, err := configs.Load(config, c.Kinds())
	if err != nil {
		return nil, term.Fail(term.ExitFailed, "name the file of the shop's service: --config FILE; barista check FILE says all that is wrong with it", "%w", err)
	}
	if f.Web == nil {
		return nil, term.Fail(term.ExitRefused, "name the file of the service with web: in it, on the computer where it runs", "%s has no website, so nobody logs in there", config)
	}
	if _, err := os.Stat(f.State); err != nil {
		return nil, term.Fail(term.ExitRefused, "start the service once, or name its file: --config FILE", "the service of %s has no state folder yet: %w", config, err)
	}
	return operators.NewStore(f.State, guard.SinceBoot), nil
}

// failed gives the errors of the store their exit codes.
func failed(name string, err error) error {
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return term.Fail(term.ExitNotFound, "see barista operator list", "there is no operator %s", name)
	case errors.Is(err, fleet.ErrConflict):
		return term.Fail(term.ExitRefused, "barista operator code "+name+" makes a code for a new password", "%s is an operator already", name)
	case errors.Is(err, operators.ErrHave):
		return term.Fail(term.ExitRefused, "barista operator add NAME, or barista operator code NAME for a forgotten password", "the shop has operators already")
	case errors.Is(err, fleet.ErrWeak):
		return term.Fail(term.ExitRefused, "", "%w; nothing was changed", err)
	case errors.Is(err, fs.ErrPermission):
		return term.Fail(term.ExitUnauthorised, "try it as root, or as the user of the service", "%w", err)
	}
	return err
}

// name checks one that was typed.
func name(s string) error {
	if !fleet.IsToken(s) {
		return term.Usage("%s is no name of an operator: 1 to 32 of a-z, 0-9 and -", term.Quote(s))
	}
	return nil
}

// given prints a code.
func (c Console) given(cmd *cobra.Command, name, code string) error {
	v := map[string]any{"name": name, "code": code, "good_for_s": int(operators.CodeTime.Seconds())}
	return c.Show(cmd, v, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n", code)
		who := "as " + name
		if name == "" {
			who = "with a name of your own, as the first operator"
		}
		fmt.Fprintf(w, "  give it on the shop's page /login, %s; it is good for 15 minutes, once\n", who)
	})
}

func (c Console) add(open func() (*operators.Store, error)) *cobra.Command {
	var ask bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "let somebody become an operator",
		Long: `add prints a one-time code with which the person chooses a password on the page.
With --ask the password is asked for here instead, twice.`,
		Example: "  barista operator add zoe\n  barista operator add zoe --ask",
		Args:    c.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := name(args[0]); err != nil {
				return err
			}
			s, err := open()
			if err != nil {
				return err
			}
			code, err := s.Invite(args[0]) // with --ask too: it says whether the name is free
			if err != nil {
				return failed(args[0], err)
			}
			if !ask {
				return c.given(cmd, args[0], code)
			}
			if err := set(cmd.Context(), cmd, s, args[0]); err != nil {
				return errors.Join(err, s.Remove(args[0]))
			}
			return c.done(cmd, "%s may log in", args[0])
		},
	}
	cmd.Flags().BoolVar(&ask, "ask", false, "ask for the password here")
	return cmd
}

// set asks for a password and keeps its hash.
func set(ctx context.Context, cmd *cobra.Command, s *operators.Store, name string) error {
	p := term.NewPerson(cmd.InOrStdin(), cmd.ErrOrStderr(), false)
	first, err := p.Secret(ctx, "password for %s (it is not shown):", name)
	if err != nil {
		return err
	}
	again, err := p.Secret(ctx, "the same again:")
	if err != nil {
		return err
	}
	if first != again {
		return term.Fail(term.ExitRefused, "", "the two passwords are not the same; nothing was changed")
	}
	if err := s.Set(name, first); err != nil {
		return failed(name, err)
	}
	return nil
}

func (c Console) done(cmd *cobra.Command, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return c.Show(cmd, map[string]any{"ok": true, "message": message}, func(w io.Writer) { fmt.Fprintln(w, message) })
}

func (c Console) code(open func() (*operators.Store, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "code [NAME]",
		Short: "make a one-time code for a new password",
		Long: `code NAME makes a code for an operator who has forgotten the password; the old one is
good until the code is used. Without a name, and while there is no operator, it makes
the code to become the first one, as the service does at its start.`,
		Example: "  barista operator code zoe",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return term.Usage("%s takes one name, or none for the first operator; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			who, make := "", (*operators.Store).First
			if len(args) == 1 {
				if err := name(args[0]); err != nil {
					return err
				}
				who, make = args[0], func(s *operators.Store) (string, error) { return s.Renew(args[0]) }
			}
			s, err := open()
			if err != nil {
				return err
			}
			code, err := make(s)
			if err != nil {
				return failed(who, err)
			}
			return c.given(cmd, who, code)
		},
	}
}

func (c Console) list(open func() (*operators.Store, error)) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "list the operators, and who was invited",
		Example: "  barista operator list --json",
		Args:    c.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := open()
			if err != nil {
				return err
			}
			list, err := s.List()
			if err != nil {
				return failed("", err)
			}
			return c.Show(cmd, map[string]any{"operators": list}, func(w io.Writer) {
				if len(list) == 0 {
					fmt.Fprintln(w, "nobody is an operator; barista operator code makes a code for the first one")
				}
				for _, o := range list {
					switch {
					case o.Made.IsZero():
						fmt.Fprintf(w, "%-16s invited, no password yet\n", o.Name)
					case o.Invited:
						fmt.Fprintf(w, "%-16s since %s, a code for a new password is out\n", o.Name, term.Time(o.Made))
					default:
						fmt.Fprintf(w, "%-16s since %s\n", o.Name, term.Time(o.Made))
					}
				}
			})
		},
	}
}

func (c Console) remove(open func() (*operators.Store, error)) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "take somebody off the list, and log them out at once",
		Example: "  barista operator remove zoe",
		Args:    c.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := name(args[0]); err != nil {
				return err
			}
			s, err := open()
			if err != nil {
				return err
			}
			if err := s.Remove(args[0]); err != nil {
				return failed(args[0], err)
			}
			return c.done(cmd, "%s is no operator any more, and logged out everywhere", args[0])
		},
	}
}

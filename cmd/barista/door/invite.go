package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/door"
)

// Machine are the verbs by which machines come into a shop and leave it.
func Machine(s Shell) []*cobra.Command {
	return append(s.verbs("machine", "zoe"), s.retire(), s.replace())
}

// members are the same for all kinds, as kind and name.
func (c Shell) members() []*cobra.Command { return append(c.verbs("", "operator ada"), c.list()) }

// verbs are invite, accept, refuse and revoke, of one kind or of any.
func (c Shell) verbs(kind, example string) []*cobra.Command {
	of := func(args []string) (string, string) {
		if kind != "" {
			return kind, args[0]
		}
		return args[0], args[1]
	}
	use, n := "NAME", 1
	if kind == "" {
		use, n = "KIND NAME", 2
	}
	path := "barista key "
	if kind != "" {
		path = "barista " + kind + " "
	}
	invite := c.invite(use, n, of, path+"invite "+example)
	revoke := c.act("revoke "+use, "take a key away: it is cut off at once", path+"revoke "+example, n, func(ctx context.Context, d door.Client, args []string, by string) (string, error) {
		kind, name := of(args)
		return fmt.Sprintf("%s %s is revoked and cut off", kind, name), d.Revoke(ctx, kind, name, by)
	})
	name := strings.Fields(example)[len(strings.Fields(example))-1]
	accept := c.act("accept NAME", "let in who waits at the door, after you have compared the key", path+"accept "+name, 1, func(ctx context.Context, d door.Client, args []string, by string) (string, error) {
		return fmt.Sprintf("%s is let in", args[0]), d.Accept(ctx, args[0], by)
	})
	refuse := c.act("refuse NAME", "send away who waits at the door", path+"refuse "+name, 1, func(ctx context.Context, d door.Client, args []string, by string) (string, error) {
		return fmt.Sprintf("%s is sent away", args[0]), d.Refuse(ctx, args[0], by)
	})
	return []*cobra.Command{invite, accept, refuse, revoke}
}

func args(use string, n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return term.Usage("give %s", use)
		}
		return nil
	}
}

func (c Shell) act(use, short, example string, n int, do func(ctx context.Context, d door.Client, args []string, by string) (string, error)) *cobra.Command {
	var by string
	_, rest, _ := strings.Cut(use, " ")
	cmd := &cobra.Command{Use: use, Short: short, Example: "  " + example, Args: args(rest, n), RunE: func(cmd *cobra.Command, args []string) error {
		return c.With(cmd, func(ctx context.Context, s client.Shop) error {
			said, err := do(ctx, door.New(s.Requester), args, by)
			if err != nil {
				return explain(err)
			}
			return c.Show(cmd, map[string]any{"ok": true, "message": said}, func(w io.Writer) { fmt.Fprintln(w, said) })
		})
	}}
	c.By(cmd, &by)
	return cmd
}

// explain gives an error of the door its exit code, and what to do.
func explain(err error) error {
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return term.Fail(term.ExitNotFound, "see barista key list", "%w", err)
	case errors.Is(err, door.ErrElsewhere), errors.Is(err, door.ErrOwn):
		return term.Fail(term.ExitRefused, "", "%w", err)
	case errors.Is(err, fleet.ErrNobody):
		return term.Fail(term.ExitRefused, "is the shop just starting? then try again in a moment. Does its broker: say keys: none? then everybody may come in who reaches it; remove that and start it anew", "the shop has no door to knock at")
	}
	return err
}

func (c Shell) invite(use string, n int, of func([]string) (string, string), example string) *cobra.Command {
	var by string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "invite " + use, Short: "make a code with which one computer may ask to be let in",
		Long: `invite makes a code. Whoever has it may knock at the shop's door once, with
barista enroll, until its time is over; nobody is let in before an operator has
said so. The code is a secret until then.`,
		Example: "  " + example, Args: args(use, n),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, name := of(args)
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				i, err := door.New(s.Requester).Invite(ctx, kind, name, ttl, by)
				if err != nil {
					return explain(err)
				}
				return c.Show(cmd, i, func(w io.Writer) {
					invited(cmd, w, i)
					if i.Known {
						fmt.Fprintf(w, "The shop has a %s %s already: its key is replaced when you accept the new one.\n", i.Kind, i.Name)
					}
				})
			})
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", door.DefaultTTL, "for how long the code is good, 1m to 24h")
	c.By(cmd, &by)
	return cmd
}

// invited prints what is typed on the guest's computer, and what then here.
func invited(cmd *cobra.Command, w io.Writer, i fleet.Invitation) {
	typed := "barista enroll " + i.Code + " --shop " + reached(cmd)
	fmt.Fprintf(w, "On the computer of %s, until %s:\n\n  %s\n\n", i.Name, i.Until.Local().Format("15:04"), typed)
	term.QR(w, typed)
	fmt.Fprintf(w, "Then compare the key that it shows, and let it in: barista key accept %s\n", i.Name)
}

// reached is where others may reach the broker that this verb has reached: on the
// broker's own computer that is by its name.
func reached(cmd *cobra.Command) string {
	list, _ := cmd.Flags().GetString("nats")
	if list == "" {
		list = os.Getenv("NATS_URL")
	}
	first, _, _ := strings.Cut(list, ",")
	host, port := "127.0.0.1", "4222"
	if u, err := url.Parse(strings.TrimSpace(first)); err == nil && u.Hostname() != "" {
		host = u.Hostname()
		if u.Port() != "" {
			port = u.Port()
		}
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		if h, err := os.Hostname(); err == nil {
			host = strings.ToLower(h)
			if !strings.Contains(host, ".") {
				host += ".local"
			}
		}
	}
	return net.JoinHostPort(host, port)
}

// list is who belongs to the shop, and who waits.
func (c Shell) list() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "who has a key of the shop, and who waits at the door", Example: "  barista key list", Args: args("no arguments", 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd, func(ctx context.Context, s client.Shop) error {
				d := door.New(s.Requester)
				members, err := d.Members(ctx)
				if err != nil {
					return explain(err)
				}
				waits, err := d.Pending(ctx)
				if err != nil {
					return explain(err)
				}
				return c.Show(cmd, map[string]any{"members": members, "waiting": waits}, func(w io.Writer) {
					rows := [][]string{{"ROLE", "NAME", "KEY", "LET IN BY"}}
					for _, m := range members {
						by := m.By
						if m.Own {
							by = "the shop's own"
						}
						rows = append(rows, []string{m.Kind, m.Name, m.Key, term.Safe(by)})
					}
					term.Table(w, rows)
					for _, a := range waits {
						from := ""
						if a.From != "" {
							from = ", from " + term.Safe(a.From)
						}
						fmt.Fprintf(w, "\n%s %s waits at the door since %s%s with the key %s (%s): barista key accept %s\n", a.Kind, a.Name, a.Asked.Local().Format("15:04:05"), from, a.Key, term.Safe(a.About), a.Name)
					}
				})
			})
		}}
}

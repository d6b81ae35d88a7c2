package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/roles"
)

// patience is how long a hub may take for all that a verb asks.
const patience = 20 * time.Second

// heardWithin is how long add-site waits for a first word of a site: the hub's server
// tries at once, and again after a second or two.
const heardWithin = 8 * time.Second

// hub is the command line, and the way to the hub's broker with the key that was named.
type hub struct{ Shell }

// Hub are the verbs of the one place that gathers the events of many sites. They ask its
// JetStream, with the admin's key where it has keys.
func Hub(s Shell) []*cobra.Command {
	h := hub{s}
	return []*cobra.Command{h.addSite(), h.sites(), h.forgetSite()}
}

// dialed connects, bounds the time, and hangs up.
func (h hub) dialed(cmd *cobra.Command, do func(ctx context.Context, at *reach.Conn) error) error {
	at, err := h.Way.Dial(cmd.Context())
	if err != nil {
		return err
	}
	defer at.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	return do(ctx, at)
}

func (h hub) addSite() *cobra.Command {
	var public string
	cmd := &cobra.Command{
		Use:   "add-site NAME",
		Short: "gather the events of a site",
		Long: `add-site has the hub gather the events of a site, each once and in the order of its
order, into the stream coffee-site-NAME, under coffee.site.NAME.events.>. NAME is the
domain in the site's file. While the link is away the site goes on, and what it did
comes afterwards. Nothing else passes: no order, no stock, no command.

It needs the admin's key of the hub, where it has keys, and the site one of its own
there: barista key invite hub NAME at the hub, barista enroll at the site. For a hub
that is a server of others, --public prints the account that the site's link must end
in. Do not let it end in another one: over a link a server lets through what would
settle orders and remove streams there.`,
		Example: `  barista hub add-site paris --key /var/lib/barista/hub/keys/admin.key
  barista hub add-site paris --public U… --nats tls://hub.example:4222 --key admin.key`,
		Args: args("NAME", 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			name := given[0]
			if !fleet.IsToken(name) {
				return term.Usage("%s is no name of a site: 1 to 32 of a-z, 0-9 and -, as domain: in its file", term.Quote(name))
			}
			if public != "" {
				return h.account(cmd, name, public)
			}
			return h.dialed(cmd, func(ctx context.Context, at *reach.Conn) error {
				isNew, err := at.AddSite(ctx, name)
				if err != nil {
					return letIn(err, name)
				}
				s, err := heard(ctx, at, name)
				if err != nil {
					return err
				}
				return h.Show(cmd, added{Site: siteJSON(s), New: isNew}, func(w io.Writer) { sayAdded(w, s, isNew) })
			})
		},
	}
	cmd.Flags().StringVar(&public, "public", "", "the site's public `key`: print its account for a server's own configuration, and add nothing")
	return cmd
}

// letIn says what is to be done for a site that has no key at the hub.
func letIn(err error, name string) error {
	if !errors.Is(err, fleet.ErrNobody) {
		return err
	}
	return term.Fail(term.ExitRefused, fmt.Sprintf("barista key invite hub %s; at a server of others: barista hub add-site %s --public KEY prints the account for its configuration", name, name),
		"the hub has no account for a site called %s: it must be let in first", name)
}

// account prints what is for the configuration of a server of others.
func (h hub) account(cmd *cobra.Command, name, public string) error {
	account, imports, err := roles.Site(name, public)
	if err != nil {
		return term.Usage("--public: %v", err)
	}
	return h.Show(cmd, map[string]string{"account": account, "imports": imports}, func(w io.Writer) {
		fmt.Fprintf(w, "# Among the accounts of the hub's server:\n%s# Among the imports of the account %s, in which the hub's admin is:\n%s# Then: barista hub add-site %s, with the admin's key\n", account, fleet.AccountShop, imports, name)
	})
}

type added struct {
	Site site `json:"site"`
	New  bool `json:"new"`
}

func sayAdded(w io.Writer, s fleet.Site, isNew bool) {
	what := "was added already"
	if isNew {
		what = "is added"
	}
	fmt.Fprintf(w, "%s %s: its events come into %s\n", s.Name, what, fleet.SiteStream(s.Name))
	if s.Heard {
		fmt.Fprintf(w, "it is linked; %d events are here\n", s.Events)
	} else {
		fmt.Fprintf(w, "nothing was heard of it yet: is domain: %s in its file, and does its link stand (its log says so)? What it has comes as soon as it is\n", s.Name)
	}
}

// heard waits a while for a site's first word.
func heard(ctx context.Context, at *reach.Conn, name string) (fleet.Site, error) {
	over := time.NewTimer(heardWithin)
	defer over.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := at.Sites(ctx)
		if err != nil {
			return fleet.Site{}, err
		}
		found := fleet.Site{Name: name}
		for _, s := range list {
			if s.Name == name {
				found = s
			}
		}
		if found.Heard {
			return found, nil
		}
		select {
		case <-over.C:
			return found, nil
		case <-ctx.Done():
			return found, ctx.Err()
		case <-tick.C:
		}
	}
}

// site is how a site is shown to programs.
type site struct {
	Name   string   `json:"name"`
	Events uint64   `json:"events"`
	Behind uint64   `json:"behind"`
	Silent *float64 `json:"silent_seconds,omitempty"` // missing: never heard of
}

func siteJSON(s fleet.Site) site {
	out := site{Name: s.Name, Events: s.Events, Behind: s.Behind}
	if s.Heard {
		seconds := s.Silent.Seconds()
		out.Silent = &seconds
	}
	return out
}

// silentAfter is how long nothing need be heard of a site that is linked: its server
// says that it is there every second or two.
const silentAfter = 30 * time.Second

func (h hub) sites() *cobra.Command {
	return &cobra.Command{
		Use:   "sites",
		Short: "the sites of a hub, and how far it has their events",
		Example: `  barista hub sites --nats nats://hub.example:4222
  barista hub sites --json`,
		Args: args("no arguments", 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return h.dialed(cmd, func(ctx context.Context, at *reach.Conn) error {
				list, err := at.Sites(ctx)
				if err != nil {
					return err
				}
				shown := []site{}
				rows := [][]string{{"SITE", "EVENTS", "BEHIND", "LINK"}}
				for _, s := range list {
					shown = append(shown, siteJSON(s))
					rows = append(rows, []string{s.Name, strconv.FormatUint(s.Events, 10), strconv.FormatUint(s.Behind, 10), link(s)})
				}
				return h.Show(cmd, shown, func(w io.Writer) {
					if len(list) == 0 {
						fmt.Fprintln(w, "no site yet: barista hub add-site NAME")
						return
					}
					term.Table(w, rows)
				})
			})
		},
	}
}

func link(s fleet.Site) string {
	switch {
	case s.Keyless:
		return "it has no key here any more"
	case !s.Heard:
		return "never heard of since the hub was started"
	case s.Silent > silentAfter:
		return "silent for " + s.Silent.String()
	}
	return "up"
}

func (h hub) forgetSite() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "forget-site NAME",
		Short:   "remove what the hub has of a site, and gather no more",
		Example: "  barista hub forget-site paris",
		Args:    args("NAME", 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			return h.dialed(cmd, func(ctx context.Context, at *reach.Conn) error {
				if !yes {
					err := term.Sure(ctx, cmd.InOrStdin(), cmd.ErrOrStderr(), "What the hub has gathered of "+term.Quote(given[0])+" is removed for good; the site itself keeps its last 90 days.\nreally remove it?")
					if err != nil {
						return err
					}
				}
				err := at.ForgetSite(ctx, given[0])
				if errors.Is(err, fleet.ErrNotFound) {
					return term.Fail(term.ExitNotFound, "barista hub sites lists them", "the hub has no site %s", term.Quote(given[0]))
				}
				if err != nil {
					return letIn(err, given[0])
				}
				message := given[0] + " is forgotten; take its key away too, if it has one: barista key revoke hub " + given[0]
				return h.Show(cmd, map[string]any{"ok": true, "message": message}, func(w io.Writer) { fmt.Fprintln(w, message) })
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

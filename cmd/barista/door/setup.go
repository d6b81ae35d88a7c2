package door

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/queue"
)

// setupWithin bounds the verb: servers that start together need some seconds to agree, and
// a stream is made on each of three disks.
const setupWithin = 3 * time.Minute

// provided is what the verb has done, for --json.
type provided struct {
	Servers  []string `json:"servers"`
	Replicas int      `json:"replicas"`
	Parts    []part   `json:"parts"`
}

type part struct {
	Name     string         `json:"name"`
	State    string         `json:"state"` // made, changed, found
	Changes  []queue.Change `json:"changes,omitempty"`
	Replicas int            `json:"replicas,omitempty"`
	Wanted   int            `json:"wanted,omitempty"`
}

// Setup makes on a broker of others what a shop keeps there.
func (s Shell) Setup() *cobra.Command {
	var perDay, replicas int
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "make a shop's streams, buckets and queues at a broker of others",
		Long: `setup makes at a NATS server or cluster what a shop keeps there, with the admin's
key: its streams, buckets and queues. What is there is compared and adapted, and
nothing is removed: run again it finds everything. Streams that fewer servers keep
than could, min(3, servers), are raised, and never lowered.

A shop does the same at each start, if its key may. Where no service may make streams,
setup is run before the shop's first start, with the orders_per_day of its file, and
again when that, the menu or the number of servers changes.`,
		Example: `  barista broker setup --nats tls://n1.local:4222,tls://n2.local:4222 --key admin.key --ca ca.pem
  barista broker setup --nats tls://n1.local:4222 --key admin.key --orders-per-day 2000`,
		Args: s.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch f := cmd.Flags(); {
			case f.Changed("replicas") && (replicas < 1 || replicas > mostServers):
				return term.Usage("--replicas %d: 1 to %d servers keep a stream", replicas, mostServers)
			case f.Changed("orders-per-day") && (perDay < 1 || perDay > 100_000):
				return term.Usage("--orders-per-day %d: 1 to 100000", perDay)
			}
			at, err := s.Way.Dial(cmd.Context(), func(cfg *queue.Config) {
				cfg.OrdersPerDay, cfg.Replicas, cfg.KeepSizes = perDay, replicas, perDay == 0
				// What it waits for is said, and what a server has no room for.
				cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			})
			if err != nil {
				return err
			}
			defer at.Close()
			if at.Through {
				return term.Fail(term.ExitUnauthorised, "name the admin's: --key admin.key", "this key sees no stream, and may make none")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), setupWithin)
			defer cancel()
			out, err := provide(ctx, at)
			if err != nil {
				return err
			}
			if err := s.Show(cmd, out, out.print); err != nil {
				return err
			}
			return out.short()
		},
	}
	cmd.Flags().IntVar(&perDay, "orders-per-day", 0, "`N` orders a day, which size the streams (default: streams that are there keep their size, new ones are for 500)")
	cmd.Flags().IntVar(&replicas, "replicas", 0, "`N` servers that keep each stream (default: as many as there are, at most 3)")
	return cmd
}

// provide has it done, and puts it as it is shown.
func provide(ctx context.Context, at *reach.Conn) (provided, error) {
	did, err := at.Provide(ctx, fleet.DefaultMenu())
	if err != nil {
		return provided{}, err
	}
	var out provided
	if out.Servers, err = at.Servers(ctx); err != nil {
		return out, err
	}
	for _, p := range did {
		one := part{Name: p.Name, State: "found", Changes: p.Changes, Replicas: p.Replicas, Wanted: p.Wanted}
		switch {
		case p.Made:
			one.State = "made"
		case len(p.Changes) > 0:
			one.State = "changed"
		}
		out.Parts, out.Replicas = append(out.Parts, one), max(out.Replicas, p.Wanted)
	}
	return out, nil
}

func (p provided) print(w io.Writer) {
	rows := [][]string{{"NAME", "", "SERVERS", "CHANGED"}}
	count := map[string]int{}
	for _, one := range p.Parts {
		servers := ""
		if one.Replicas > 0 {
			servers = fmt.Sprint(one.Replicas)
		}
		var changes []string
		for _, c := range one.Changes {
			changes = append(changes, c.Figure+" "+c.Was+" to "+c.Is)
		}
		count[one.State]++
		rows = append(rows, []string{one.Name, one.State, servers, strings.Join(changes, ", ")})
	}
	term.Table(w, rows)
	at := ""
	if len(p.Servers) > 0 {
		at = ", at " + strings.Join(p.Servers, ", ")
	}
	fmt.Fprintf(w, "%d made, %d changed, %d found%s; each stream is for %s\n", count["made"], count["changed"], count["found"], term.Safe(at), servers(p.Replicas))
}

func servers(n int) string {
	if n == 1 {
		return "1 server"
	}
	return fmt.Sprint(n, " servers")
}

// short says what fewer servers keep than were to.
func (p provided) short() error {
	var names []string
	for _, one := range p.Parts {
		if one.Replicas < one.Wanted {
			names = append(names, one.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return term.Fail(term.ExitDegraded, "start the servers that are away, or give them room (max_file_store), and run it again",
		"fewer than %d servers keep %s", p.Replicas, strings.Join(names, ", "))
}

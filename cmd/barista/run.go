package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"barista/cmd/barista/preview"
	"barista/cmd/barista/service"
	"barista/cmd/barista/term"
	"barista/configs"
)

func newRun(c *cli) *cobra.Command {
	var config string
	var dry dryFlags
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "run a service: a machine, a shop, or both",
		Long: `run is the service: the roles that the configuration names, until SIGINT or
SIGTERM. Then the drink in hand is finished, the outputs are seen off, and it
ends. With a wrong configuration it touches nothing and exits with 78; where
another process drives the machine, or uses the store, with 4. systemd does not
try again after these two. A service of machines alone starts without its shop
and goes on looking for it.

With --dry-run it prints what the file's machine would do for each drink that it
serves, second by second, with the line and its level, and touches nothing: no
chip, no port, no lock, no network.`,
		Example: `  barista run --config configs/shop.yaml
  barista run --config configs/machine-mock.yaml
  barista run --dry-run --size large --config configs/gpio-relays.yaml`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if config == "" {
				return term.Usage("name the configuration: barista run --config FILE")
			}
			if err := dry.check(); err != nil {
				return err
			}
			f, err := configs.Load(config, loader())
			if err != nil {
				var all *configs.Problems
				if errors.As(err, &all) {
					preview.Check(config, drivers).Print(cmd.ErrOrStderr())
					return preview.Bad(term.ExitConfig, len(all.List))
				}
				return term.Fail(term.ExitConfig, "", "%v", err)
			}
			if dry.on {
				return c.dryRun(cmd, f, dry)
			}
			log := newLog(cmd.ErrOrStderr())
			if f.Broker != nil && f.Broker.NoKeys && f.Broker.Listen != configs.ListenNone {
				log.Warn("the broker has no keys (keys: none): every program on this computer may do everything", "listen", f.Broker.Listen)
			}
			s, err := openShop(cmd.Context(), log, f)
			if err != nil {
				return ended(err)
			}
			log.Info("running", "roles", f.Roles(), "state", f.State)
			s.greet(cmd.OutOrStdout())
			err = s.serve(cmd.Context())
			if err == nil {
				log.Info("stopped, everything is off")
			}
			return ended(err)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "`FILE` of the service")
	dry.add(cmd)
	return cmd
}

// ended is why a service could not go on. Only what was meant for whoever
// starts it keeps its exit code: systemd does not start a service again after
// some of them, and must after everything else.
func ended(err error) error {
	if err == nil {
		return nil
	}
	if e := forGood(err); e != nil {
		return e
	}
	return term.Fail(term.ExitFailed, "", "%s", err)
}

// newLog writes text for people; the journal of the system adds the time.
func newLog(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("BARISTA_DEBUG") != "" {
		level = slog.LevelDebug
	}
	opts := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(service.NotTooOften(slog.NewTextHandler(w, opts)))
}

// greet says where the shop can be reached.
func (s *shop) greet(w io.Writer) {
	if s.page != nil {
		s.page.Greet(w)
	}
	if s.broker != nil && s.broker.URL() != "" {
		fmt.Fprintf(w, "  broker  %s\n", s.broker.URL())
	}
	if s.broker != nil && s.broker.SitesURL() != "" {
		fmt.Fprintf(w, "  sites   %s\n", s.broker.SitesURL())
	}
}

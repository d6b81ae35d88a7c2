package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"barista/configs"
)

func newRun(c *cli) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "run a service: a machine, a shop, or both",
		Long: `run is the service: the roles that the configuration names, until SIGINT or
SIGTERM. Then the drink in hand is finished, the outputs are seen off, and it
ends. With a wrong configuration it touches nothing and exits with 78; where
another process drives the machine, or uses the store, with 4. systemd does not
try again after these two. A service of machines alone starts without its shop
and goes on looking for it.`,
		Example: `  barista run --config configs/shop.yaml
  barista run --config configs/machine-mock.yaml`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if config == "" {
				return usage("name the configuration: barista run --config FILE")
			}
			f, err := configs.Load(config, kinds())
			if err != nil {
				var all *configs.Problems
				if errors.As(err, &all) {
					checkFile(config).text(cmd.ErrOrStderr())
					return badConfig(exitConfig, len(all.List))
				}
				return fail(exitConfig, "", "%v", err)
			}
			log := newLog(cmd.ErrOrStderr())
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
	return cmd
}

// ended is why a service could not go on. Only what was meant for whoever
// starts it keeps its exit code: systemd does not start a service again after
// some of them, and must after everything else.
func ended(err error) error {
	var e *exitError
	if err == nil || errors.As(err, &e) {
		return err
	}
	return fail(exitFailed, "", "%s", oneLine(err.Error()))
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
	return slog.New(slog.NewTextHandler(w, opts))
}

// greet says where the shop can be reached.
func (s *shop) greet(w io.Writer) {
	if s.listener != nil {
		fmt.Fprintf(w, "  order   http://%s\n  board   http://%s/board\n", s.listener.Addr(), s.listener.Addr())
	}
	if s.broker != nil && s.broker.URL() != "" {
		fmt.Fprintf(w, "  broker  %s\n", s.broker.URL())
	}
}

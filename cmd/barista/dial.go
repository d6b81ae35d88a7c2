package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet/client"
	"barista/fleet/queue"
)

const defaultNATS = "nats://127.0.0.1:4222"

// patience is how long a verb waits for the broker, and then for each answer.
const patience = 5 * time.Second

// servers are the URLs to dial: the flag goes before the environment, that
// before the default.
func (c *cli) servers() ([]string, error) {
	from, list := "--nats", c.nats
	if list == "" {
		from, list = configs.EnvNATS, os.Getenv(configs.EnvNATS)
	}
	if list == "" {
		return []string{defaultNATS}, nil
	}
	var out []string
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" {
			// The text is not repeated: it may hold a password.
			return nil, term.Usage("%s is not the URL of a NATS server; write for example %s", from, defaultNATS)
		}
		out = append(out, s)
	}
	return out, nil
}

// dial connects a verb to its shop; the caller closes it.
func (c *cli) dial(cmd *cobra.Command) (*queue.Conn, error) {
	servers, err := c.servers()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	conn, err := queue.Connect(ctx, queue.Config{
		Name:    "cli-" + hex.EncodeToString(id[:]), // an inbox of its own for each run
		Servers: servers,
	})
	if err != nil {
		shown := make([]string, len(servers))
		for i, s := range servers {
			if u, err := url.Parse(s); err == nil {
				shown[i] = u.Redacted()
			}
		}
		e := term.Fail(term.ExitTimeout, "is the shop running, and is the address right? give it with --nats or NATS_URL",
			"no broker answers at %s", strings.Join(shown, ", "))
		e.Cause = err
		return nil, e
	}
	return conn, nil
}

// with dials, bounds the time, runs the verb and hangs up.
func (c *cli) with(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error {
	conn, err := c.dial(cmd)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 4*patience)
	defer cancel()
	return do(ctx, reach.Shop(conn, c.through))
}

// watching is with for a verb that goes on until it is interrupted.
func (c *cli) watching(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error {
	conn, err := c.dial(cmd)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = do(cmd.Context(), reach.Shop(conn, c.through))
	if cmd.Context().Err() != nil {
		return nil // a person pressed Ctrl-C: that is how a watch ends
	}
	return err
}

// byFlag adds --by.
func byFlag(cmd *cobra.Command, by *string) {
	cmd.Flags().StringVar(by, "by", "", "`who` does it, for the record (default you)")
	pre := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *by == "" {
			*by = term.Whoami()
		}
		if pre != nil {
			return pre(cmd, args)
		}
		return nil
	}
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/fleet/client"
)

// patience is how long a verb waits for the broker, and then for each answer.
const patience = reach.Patience

// dial connects a verb to its shop; the caller closes it.
func (c *cli) dial(cmd *cobra.Command) (*reach.Conn, error) { return c.way.Dial(cmd.Context()) }

// with dials, bounds the time, runs the verb and hangs up.
func (c *cli) with(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error {
	conn, err := c.dial(cmd)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 4*patience)
	defer cancel()
	return conn.While(ctx, func(ctx context.Context) error { return do(ctx, reach.Shop(conn.Conn, conn.Through)) })
}

// watching is with for a verb that goes on until it is interrupted.
func (c *cli) watching(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error {
	conn, err := c.dial(cmd)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.While(cmd.Context(), func(ctx context.Context) error { return do(ctx, reach.Shop(conn.Conn, conn.Through)) })
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

// tab is the shop of a line that the shell completes.
func (c *cli) tab(ctx context.Context) (client.Shop, func(), error) {
	conn, err := c.way.Dial(ctx)
	if err != nil {
		return client.Shop{}, nil, err
	}
	return reach.Shop(conn.Conn, conn.Through), conn.Close, nil
}

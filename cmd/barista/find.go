package main

import (
	"context"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet"
	"barista/fleet/client"
)

// orderArgs wants an order and then the named arguments.
func orderArgs(more ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := exactly(append([]string{"ORDER"}, more...)...)(cmd, args); err != nil {
			return err
		}
		if client.CheckRef(args[0]) != nil {
			return term.Usage("%s is no order: give its id, the last 4 or more characters of it, or last", term.Quote(args[0]))
		}
		return nil
	}
}

// find reads the claim that a person means, or says what to do instead.
func find(ctx context.Context, s client.Shop, ref string) (fleet.Entry, error) {
	e, err := s.Find(ctx, ref)
	return e, told.NotFound(ref, err)
}

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
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
	_, part := fleet.ParseID(ref)
	switch {
	case errors.Is(err, client.ErrSeveral), errors.Is(err, client.ErrNoRef):
		return e, term.Usage("%w", err)
	case errors.Is(err, client.ErrNoOrders):
		return e, term.Fail(term.ExitNotFound, "place one with barista order", "%w", err)
	case errors.Is(err, fleet.ErrNotFound) && part == nil:
		return e, term.Fail(term.ExitNotFound, "orders are kept for 30 days; see barista orders", "%w", err)
	case errors.Is(err, fleet.ErrNotFound):
		return e, term.Fail(term.ExitNotFound, "see barista orders; give the whole id of one that ended more than a day ago", "%w", err)
	}
	return e, err
}

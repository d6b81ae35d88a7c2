package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
)

// claims lists every claim that is kept, the one that changed last at the end.
func claims(ctx context.Context, store fleet.Claims) ([]fleet.ClaimEntry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	byID := map[string]fleet.ClaimEntry{}
	whole := false
	err := store.Watch(ctx, func(e fleet.ClaimEntry) { byID[e.Order.ID] = e }, func() {
		whole = true
		cancel()
	})
	if !whole {
		if err == nil {
			err = fleet.ErrNoAnswer
		}
		return nil, fmt.Errorf("the orders could not be read: %w", err)
	}
	list := make([]fleet.ClaimEntry, 0, len(byID))
	for _, e := range byID {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b fleet.ClaimEntry) int { return cmp.Compare(a.Revision, b.Revision) })
	return list, nil
}

// checkRef refuses what can't mean an order.
func checkRef(ref string) error {
	if _, err := fleet.ParseID(ref); err == nil || ref == "last" {
		return nil
	}
	if len(ref) < 4 || len(ref) > 25 || strings.Trim(strings.ToUpper(ref), "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return term.Usage("%s is no order: give its id, the last 4 or more characters of it, or last", term.Quote(ref))
	}
	return nil
}

// orderArgs wants an order and then the named arguments.
func orderArgs(more ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := exactly(append([]string{"ORDER"}, more...)...)(cmd, args); err != nil {
			return err
		}
		return checkRef(args[0])
	}
}

// find reads the claim that a person means: a whole id, the last four or more
// of its characters if only one order ends so, or "last", the order that changed
// last.
func find(ctx context.Context, store fleet.Claims, ref string) (fleet.ClaimEntry, error) {
	if id, err := fleet.ParseID(ref); err == nil {
		e, err := store.Get(ctx, id)
		if errors.Is(err, fleet.ErrNotFound) {
			return e, term.Fail(term.ExitNotFound, "orders are kept for 30 days; see barista orders", "there is no order %s", id)
		}
		return e, err
	}
	if err := checkRef(ref); err != nil {
		return fleet.ClaimEntry{}, err
	}
	tail := strings.ToUpper(ref)
	list, err := claims(ctx, store)
	if err != nil {
		return fleet.ClaimEntry{}, err
	}
	if ref == "last" {
		if len(list) == 0 {
			return fleet.ClaimEntry{}, term.Fail(term.ExitNotFound, "place one with barista order", "there is no order yet")
		}
		return list[len(list)-1], nil
	}
	var found []fleet.ClaimEntry
	var ids []string
	for _, e := range list {
		if strings.HasSuffix(e.Order.ID, tail) {
			found = append(found, e)
			ids = append(ids, e.Order.ID)
		}
	}
	switch len(found) {
	case 0:
		return fleet.ClaimEntry{}, term.Fail(term.ExitNotFound, "see barista orders", "no order ends with %s", tail)
	case 1:
		return found[0], nil
	}
	return fleet.ClaimEntry{}, term.Usage("%d orders end with %s: give more of the id (%s)", len(found), tail, strings.Join(ids[:min(len(ids), 5)], ", "))
}

package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/text/unicode/norm"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet/client"
)

func newWhy(c *cli) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "why ORDER",
		Short: "tell what became of an order, why, and what to type next",
		Long: `why tells an order's whole story in a paragraph: cause, tries, machines, what it
took from the stock, what the customer was told, what most likely lies behind it, and
the next command to type; and then every event. ORDER is its id, the last 4 or more
characters of it, the customer's name, "last" for the order that changed last, or
"last failed", "last unknown" and so on; one that ended more than a day ago is found
by its whole id only.`,
		Example: `  barista why last failed
  barista why Zoe
  barista why 7QXR --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly("ORDER")(cmd, args)
			}
			if words := strings.Join(args, " "); client.CheckWords(words) != nil {
				return term.Usage("%s is no order: give its id, the last 4 or more characters of it, the customer's name, or last", term.Quote(words))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			run, words := c.with, norm.NFC.String(strings.Join(args, " "))
			if watch {
				run = c.watching
			}
			return run(cmd, func(ctx context.Context, s client.Shop) error {
				m, err := s.Mean(ctx, words)
				if err != nil {
					return told.NotFound(words, err)
				}
				if watch {
					return c.follow(ctx, cmd, s, m.Order.ID)
				}
				a, err := s.Why(ctx, m.Claim)
				if err != nil {
					return err
				}
				all, _ := s.Machines(ctx) // none: the story says so
				a.Cause = told.Cause(m.Claim)
				a.Story, a.Next = told.Explain(told.Case{Account: a, Meant: m, Machines: all})
				return c.show(cmd, a, func(w io.Writer) { told.Account(w, a) })
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "tell the events, and go on until it has ended")
	return cmd
}

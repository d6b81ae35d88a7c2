package main

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/fleet/words"
	"barista/machine"
)

func newFaults(c *cli) *cobra.Command {
	var lang string
	cmd := &cobra.Command{
		Use:   "faults [FAULT]",
		Short: "print what can go wrong with a machine, and who ends it",
		Long: `faults prints the table of faults, or one of them whole. FAULT is the word that
the reason of a status, of machine ls or of why begins with; the whole reason will
do as well. It asks nobody and works without a shop.`,
		Example: `  barista faults
  barista faults no-flow --lang fr
  barista faults --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return term.Usage("name one fault, by its word alone; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(words.Languages, lang) {
				return term.Usage("--lang is en or fr, not %s", term.Quote(lang))
			}
			asked := ""
			if len(args) == 1 { // a person may paste what a screen shows: the word, and its sentence
				asked, _, _ = strings.Cut(strings.ToLower(args[0]), ":")
			}
			lines, known := []told.Fault{}, []string{}
			for _, f := range machine.Faults {
				code, mend := string(f.Cause), string(f.Mend)
				known = append(known, code)
				if asked != "" && code != asked {
					continue
				}
				lines = append(lines, told.Fault{
					Fault: code, Seen: f.Detect, Drink: string(f.Outcome), Mend: mend, Reaction: words.Reaction(lang, mend), Who: words.Who(lang, mend),
					Operator: words.Operator(lang, code), Customer: words.Customer(lang, code), Lacks: f.Lacks, Danger: machine.Dangerous(f.Cause),
				})
			}
			if len(lines) == 0 {
				return term.Fail(term.ExitNotFound, "there are "+strings.Join(known, ", "), "there is no fault %s", term.Quote(args[0]))
			}
			return c.show(cmd, map[string]any{"faults": lines}, func(w io.Writer) {
				if len(args) == 1 {
					lines[0].Print(w)
					return
				}
				rows := [][]string{{"FAULT", "ENDED BY", "WHAT IT IS"}}
				for _, l := range lines {
					rows = append(rows, []string{l.Fault, l.Mend, l.Operator})
				}
				term.Table(w, rows)
			})
		},
	}
	cmd.Flags().StringVar(&lang, "lang", "en", "language of the texts, en or fr")
	return cmd
}

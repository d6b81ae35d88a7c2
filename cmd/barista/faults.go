package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet/words"
	"barista/machine"
)

// faultLine is one row of the table of faults, in one language.
type faultLine struct {
	Fault    string `json:"fault"` // the word that reasons begin with
	Seen     string `json:"seen"`
	Drink    string `json:"drink"` // its outcome, at worst
	Mend     string `json:"mend"`  // clear, fill, again or restart
	Reaction string `json:"reaction"`
	Who      string `json:"who"` // ends it
	Operator string `json:"operator"`
	Customer string `json:"customer"`
	Lacks    string `json:"lacks,omitempty"`
}

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
			lines, known := []faultLine{}, []string{}
			for _, f := range machine.Faults {
				code, mend := string(f.Cause), string(f.Mend)
				known = append(known, code)
				if asked != "" && code != asked {
					continue
				}
				lines = append(lines, faultLine{
					code, f.Detect, string(f.Outcome), mend, words.Reaction(lang, mend), words.Who(lang, mend),
					words.Operator(lang, code), words.Customer(lang, code), f.Lacks,
				})
			}
			if len(lines) == 0 {
				return term.Fail(term.ExitNotFound, "there are "+strings.Join(known, ", "), "there is no fault %s", term.Quote(args[0]))
			}
			return c.show(cmd, map[string]any{"faults": lines}, func(w io.Writer) {
				if len(args) == 1 {
					lines[0].text(w)
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

func (l faultLine) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", l.Fault, l.Operator)
	for _, x := range []struct{ what, text string }{
		{"seen by", l.Seen}, {"the drink", l.Drink + ", at worst"}, {"then", l.Reaction}, {"ended by", l.Who}, {"customer", l.Customer},
	} {
		fmt.Fprintf(w, "  %-10s %s\n", x.what, x.text)
	}
}

package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"barista/cmd/barista/detect"
	"barista/cmd/barista/preview"
	"barista/cmd/barista/setup"
	"barista/cmd/barista/term"
)

func newSetup(c *cli) *cobra.Command {
	r := &setup.Run{Kinds: drivers}
	var root string
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "write the file of a machine on this computer, and the shop's",
		Long: `setup looks for machines and boards (see barista detect), asks some questions, and
writes a machine's file, and the shop's if this computer is to be that too. What
a wrong answer could do harm with has no usual answer: how it knows that a cup
stands there, at which level a relay is on, what cuts the pump off when this
computer is dead. ? explains each question.

Nothing is written before everything was answered, checked as the service itself
would check it, shown, and agreed to; interrupted anywhere, nothing is. A file
that is there already is shown with the difference, and kept beside the new one
as .bak.

With --answers nobody is asked: the file has what would be answered, under the
same names; see the example. Then a new file is written at once, one that is
there already is replaced only with --yes, and services are started only with
--yes.

An answers file for a simulated machine:

    name: zoe
    driver: mock
    beans: [arabica]
    milk: [free, normal]
    sizes: [small, medium, large]
    cup: sensor
    shop: here          # or elsewhere, with nats: nats://shop.local:4222
    stock: {arabica: 1000, milk-normal: 2000, sugar: 100}

The others, for a pump on a relay: outputs: {pump: {line: GPIO27, active: high,
deadman: external}} on GPIO, {pump: {relay: 2}} on a board. What is missing is
listed.`,
		Example: `  sudo barista setup
  barista setup --dry-run
  sudo barista setup --answers zoe-answers.yaml --yes
  barista setup --answers zoe-answers.yaml --out ./files`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.json && r.Answers == "" {
				return term.Usage("--json needs --answers FILE: nobody could read the questions")
			}
			r.Here = detect.Below(root, drivers)
			r.JSON, r.ServiceDir = c.json, root+setup.Dir
			r.Dir = cmp.Or(r.Dir, r.ServiceDir)
			r.In = &term.Lines{In: cmd.InOrStdin()}
			r.Out, r.ErrOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
			result, err := r.Do(cmd.Context())
			if wrong, is := errors.AsType[*setup.Wrong](err); is {
				return c.wrongAnswers(cmd, wrong)
			}
			if err != nil {
				return err
			}
			if c.json {
				return term.JSON(r.Out, result)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Answers, "answers", "", "a `FILE` with the answers: nobody is asked")
	f.StringVar(&r.Dir, "out", "", "the `FOLDER` for the files (default "+setup.Dir+")")
	f.BoolVar(&r.Dry, "dry-run", false, "show the files and write nothing")
	f.BoolVar(&r.Yes, "yes", false, "replace files that are there, and start the services")
	hiddenRoot(cmd, &root)
	return cmd
}

// wrongAnswers prints what is wrong, as check does.
func (c *cli) wrongAnswers(cmd *cobra.Command, wrong *setup.Wrong) error {
	x := preview.ProblemsOf(wrong.Problems)
	what := "1 problem "
	if n := len(x.Problems); n != 1 {
		what = fmt.Sprintf("%d problems ", n)
	}
	e := term.Fail(term.ExitFailed, "nothing was written", "%s%s", what, wrong.Where)
	e.Code = term.BadConfig
	if !c.json {
		x.Print(cmd.OutOrStdout())
		return e
	}
	if err := term.JSON(cmd.OutOrStdout(), struct {
		Error *term.Error    `json:"error"`
		Files []preview.File `json:"files"`
	}{e, []preview.File{x}}); err != nil {
		return err
	}
	return term.Said(term.ExitFailed)
}

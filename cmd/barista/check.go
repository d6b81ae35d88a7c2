package main

import (
	"github.com/spf13/cobra"

	"barista/cmd/barista/preview"
	"barista/cmd/barista/term"
)

func newCheck(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "say everything that is wrong with a configuration",
		Long: `check reads configurations and says everything that is wrong with each, with
file, line and column, the reason and the fix. It touches nothing: no line, no
port, no folder.`,
		Example: `  barista check configs/demo.yaml
  barista check /etc/barista/*.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return term.Usage("name the file to check; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var results []preview.File
			count := 0
			for _, path := range args {
				r := preview.Check(path, drivers)
				count += len(r.Problems)
				results = append(results, r)
			}
			w := cmd.OutOrStdout()
			if c.json {
				out := struct {
					Error *term.Error    `json:"error,omitempty"`
					Files []preview.File `json:"files"`
				}{Files: results}
				if count > 0 {
					out.Error = preview.Bad(term.ExitFailed, count)
				}
				if err := term.JSON(w, out); err != nil || count == 0 {
					return err
				}
				return term.Said(term.ExitFailed)
			}
			for _, r := range results {
				r.Print(w)
			}
			if count > 0 {
				return preview.Bad(term.ExitFailed, count)
			}
			return nil
		},
	}
}

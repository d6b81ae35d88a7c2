package main

import (
	"github.com/spf13/cobra"

	"barista/cmd/barista/service"
)

// packaged is the version of the package that the program came in; the linker
// sets it.
var packaged string

func thisBuild() service.Build { return service.ThisBuild(packaged) }

func newVersion(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print which barista this is",
		Example: "  barista version --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := thisBuild()
			return c.show(cmd, b, b.Print)
		},
	}
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
)

// show prints v as JSON, or calls text.
func (c *cli) show(cmd *cobra.Command, v any, text func(w io.Writer)) error {
	return term.Show(cmd.OutOrStdout(), c.json, v, text)
}

// done reports a verb that changed something.
func (c *cli) done(cmd *cobra.Command, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return c.show(cmd, map[string]any{"ok": true, "message": message}, func(w io.Writer) { fmt.Fprintln(w, message) })
}

// whole prints what work at a machine has brought, also where it ended early, as JSON
// with the error in its place. Without --json the work itself has said it all.
func (c *cli) whole(cmd *cobra.Command, out any, place **term.Error, err error) error {
	if !c.json {
		return err
	}
	if err != nil {
		*place = explain(err)
	}
	if bad := term.JSON(cmd.OutOrStdout(), out); bad != nil || err == nil {
		return bad
	}
	return term.Said((*place).Exit)
}

package setup

import (
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"barista/cmd/barista/term"
)

// unified is the difference between two texts, as diff -u shows it, safe on a
// terminal; "" if there is none.
func unified(oldName, newName, before, after string) string {
	var out strings.Builder
	for line := range strings.Lines(udiff.Unified(oldName, newName, before, after)) {
		sign, text := line[:1], strings.TrimSuffix(line[1:], "\n")
		out.WriteString(sign + term.Safe(text) + "\n")
	}
	return out.String()
}

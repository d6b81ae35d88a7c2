package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// writeJSON writes one value in one line.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// show prints v as JSON, or calls text.
func (c *cli) show(cmd *cobra.Command, v any, text func(w io.Writer)) error {
	w := cmd.OutOrStdout()
	if c.json {
		return writeJSON(w, v)
	}
	text(w)
	return nil
}

// done reports a verb that changed something.
func (c *cli) done(cmd *cobra.Command, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return c.show(cmd, map[string]any{"ok": true, "message": message}, func(w io.Writer) { fmt.Fprintln(w, message) })
}

// safe shows a text from outside: as it is, or quoted if anything in it could
// act on a terminal or is not to be seen.
func safe(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029' }) {
		return s
	}
	return quote(s)
}

// quote quotes a text from outside, short and with nothing in it that acts.
func quote(s string) string {
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return strconv.QuoteToGraphic(s)
}

// oneLine makes one line of an error that joins several.
func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }

// table prints rows in aligned columns; the first row is the head. Cells come
// from outside as well and are made safe here. A column in which nothing stands
// is left out.
func table(w io.Writer, rows [][]string) {
	if len(rows) < 2 {
		return
	}
	paint := colours(w)
	width := make([]int, len(rows[0]))
	filled := make([]bool, len(rows[0]))
	for i, row := range rows {
		for j, cell := range row {
			row[j] = safe(cell)
			width[j] = max(width[j], utf8.RuneCountInString(row[j]))
			filled[j] = filled[j] || i > 0 && cell != ""
		}
	}
	for i, row := range rows {
		var line strings.Builder
		gap := 0
		for j, cell := range row {
			if !filled[j] {
				continue
			}
			line.WriteString(strings.Repeat(" ", gap))
			gap = 2 + width[j] - utf8.RuneCountInString(cell)
			if i > 0 {
				cell = paint(cell)
			}
			line.WriteString(cell)
		}
		fmt.Fprintln(w, line.String())
	}
}

// colours returns what paints the words for good and bad states: nothing but on
// a terminal whose owner has not asked for NO_COLOR. The word always stands
// there, so nothing depends on the colour.
func colours(w io.Writer) func(string) string {
	plain := func(s string) string { return s }
	f, is := w.(*os.File)
	if !is || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return plain
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return plain
	}
	return func(s string) string {
		switch s {
		case "ready", "served", "made":
			return "\x1b[32m" + s + "\x1b[0m"
		case "fault", "failed", "unknown", "spoiled", "away":
			return "\x1b[31m" + s + "\x1b[0m"
		case "blocked", "cordoned", "draining", "unsynced", "waiting":
			return "\x1b[33m" + s + "\x1b[0m"
		}
		return s
	}
}

// span writes an ETA as people say it.
func span(eta []int) string {
	if len(eta) != 2 {
		return ""
	}
	if eta[0] == eta[1] {
		return fmt.Sprintf("%d s", eta[0])
	}
	return fmt.Sprintf("%d to %d s", eta[0], eta[1])
}

// at writes a time of the shop for display.
func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

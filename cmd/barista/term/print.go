package term

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
)

// JSON writes one value in one line.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Show prints v as JSON, or calls text.
func Show(w io.Writer, asJSON bool, v any, text func(io.Writer)) error {
	if asJSON {
		return JSON(w, v)
	}
	text(w)
	return nil
}

// Safe shows a text from outside: as it is, or quoted if anything in it could
// act on a terminal or is not to be seen.
func Safe(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029' }) {
		return s
	}
	return Quote(s)
}

// Quote quotes a text from outside, short and with nothing in it that acts.
func Quote(s string) string {
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return strconv.QuoteToGraphic(s)
}

// OneLine makes one line of an error that joins several.
func OneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }

// Time writes a time for display.
func Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// Table prints rows in aligned columns; the first row is the head. Cells come
// from outside as well and are made safe here. A column in which nothing stands
// is left out.
func Table(w io.Writer, rows [][]string) {
	if len(rows) < 2 {
		return
	}
	paint := Colours(w)
	width := make([]int, len(rows[0]))
	filled := make([]bool, len(rows[0]))
	for i, row := range rows {
		for j, cell := range row {
			row[j] = Safe(cell)
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

// Colours returns what paints the words for good and bad states: nothing but on
// a terminal whose owner has not asked for NO_COLOR. The word always stands
// there, so nothing depends on the colour.
func Colours(w io.Writer) func(string) string {
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

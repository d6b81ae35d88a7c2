package term

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
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

// Wrap breaks a text into lines, as wide as those of a help.
func Wrap(text string) string { return WrapTo(text, 82) }

// WrapTo breaks a text between words into lines of at most so many characters; a longer
// word has a line to itself.
func WrapTo(text string, most int) string {
	var out strings.Builder
	width := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case width == 0:
		case width+1+n > most:
			out.WriteByte('\n')
			width = 0
		default:
			out.WriteByte(' ')
			width++
		}
		out.WriteString(word)
		width += n
	}
	return out.String()
}

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
	var plain strings.Builder
	lines := tabwriter.NewWriter(&plain, 0, 0, 2, ' ', 0)
	shown := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			if slices.ContainsFunc(rows[1:], func(row []string) bool { return row[j] != "" }) {
				shown[i] = append(shown[i], Safe(cell))
			}
		}
		fmt.Fprintln(lines, strings.Join(shown[i], "\t"))
	}
	_ = lines.Flush() // a Builder never fails
	// What colours a cell would count as its width: it comes last.
	paint := Colours(w)
	head, rest, _ := strings.Cut(plain.String(), "\n")
	fmt.Fprintln(w, head)
	for _, row := range shown[1:] {
		line := ""
		for _, cell := range row {
			gap, after, _ := strings.Cut(rest, cell)
			line, rest = line+gap+paint(cell), after
		}
		_, rest, _ = strings.Cut(rest, "\n")
		fmt.Fprintln(w, line)
	}
}

// Colours returns what paints the words for good and bad states: nothing but on
// a terminal whose owner has not asked for NO_COLOR. The word always stands
// there, so nothing depends on the colour.
func Colours(w io.Writer) func(string) string {
	plain := func(s string) string { return s }
	if !terminal(w) {
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

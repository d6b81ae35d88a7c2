package term

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

// TestSafe: nothing from outside acts on a terminal.
func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"Zoë 名前":           "Zoë 名前",
		"":                 "",
		"a\x1b[31mred":     `"a\x1b[31mred"`,
		"a\nb":             `"a\nb"`,
		"\u202egnp.exe":    `"\u202egnp.exe"`,
		"a\u2028b":         `"a\u2028b"`,
		"\xff":             `"\xff"`,
		"a\u009b31m":       `"a\u009b31m"`,
		"tab\there":        `"tab\there"`,
		"zero\u200bwidth":  `"zero\u200bwidth"`,
		`say "hi" \ there`: `say "hi" \ there`,
	} {
		if got := Safe(in); got != want {
			t.Errorf("safe(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	Table(&b, [][]string{
		{"NAME", "EMPTY", "STATE", "N"},
		{"zoë", "", "ready", "1"},
		{"a\x1b[2Jb", "", "", "22"},
		{"n", "", "fault", ""},
	})
	want := "NAME         STATE  N\n" +
		"zoë          ready  1\n" +
		"\"a\\x1b[2Jb\"         22\n" +
		"n            fault\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if Table(&b, [][]string{{"NAME"}}); b.Len() > 0 {
		t.Errorf("a head without rows: %q", b.String())
	}
}

// TestColours: only on a terminal, and not where the owner asks for none.
func TestColours(t *testing.T) {
	far, tty, err := pty.Open()
	if err != nil {
		t.Fatal("no terminal can be had here: ", err)
	}
	defer far.Close()
	defer tty.Close()
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer w.Close()
	for _, c := range []struct {
		w             io.Writer
		noColor, term string
		want          string
	}{
		{tty, "", "xterm", "\x1b[31mfault\x1b[0m"},
		{tty, "1", "xterm", "fault"},
		{tty, "", "dumb", "fault"},
		{tty, "", "", "fault"},
		{w, "", "xterm", "fault"},
		{&bytes.Buffer{}, "", "xterm", "fault"},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		if got := Colours(c.w)("fault"); got != c.want {
			t.Errorf("NO_COLOR=%q TERM=%q on %T: %q, want %q", c.noColor, c.term, c.w, got, c.want)
		}
	}
}

// TestTableColours: a colour takes no place in a column.
func TestTableColours(t *testing.T) {
	far, tty, err := pty.Open()
	if err != nil {
		t.Fatal("no terminal can be had here: ", err)
	}
	defer far.Close()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	Table(tty, [][]string{{"STATE", "N"}, {"fault", "1"}, {"away", "2"}})
	tty.Close()
	var got bytes.Buffer
	_, _ = io.Copy(&got, far) // it ends with an error when the other side is closed
	want := "STATE  N\r\n\x1b[31mfault\x1b[0m  1\r\n\x1b[31maway\x1b[0m   2\r\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("é", 90)
	for text, want := range map[string]string{
		"":        "",
		" a\n b ": "a b",
		strings.Repeat("é", 40) + " " + strings.Repeat("e", 41): strings.Repeat("é", 40) + " " + strings.Repeat("e", 41),
		strings.Repeat("é", 40) + " " + strings.Repeat("e", 42): strings.Repeat("é", 40) + "\n" + strings.Repeat("e", 42),
		"a " + long + " b": "a\n" + long + "\nb",
	} {
		if got := Wrap(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

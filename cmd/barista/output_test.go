package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"barista/fleet"
	"barista/fleet/controller"
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
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	table(&b, [][]string{
		{"NAME", "EMPTY", "STATE", "N"},
		{"zoë", "", "ready", "1"},
		{"a\x1b[2Jb", "", "", "22"},
	})
	want := "NAME         STATE  N\n" +
		"zoë          ready  1\n" +
		"\"a\\x1b[2Jb\"         22\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if table(&b, [][]string{{"NAME"}}); b.Len() > 0 {
		t.Errorf("a head without rows: %q", b.String())
	}
}

// TestColours: only on a terminal, and not where the owner asks for none.
func TestColours(t *testing.T) {
	far, tty, err := pty.Open()
	if err != nil {
		t.Skip("no pty here:", err)
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
		if got := colours(c.w)("fault"); got != c.want {
			t.Errorf("NO_COLOR=%q TERM=%q on %T: %q, want %q", c.noColor, c.term, c.w, got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		exit int
		code string
	}{
		{errors.New("x"), exitFailed, "failed"},
		{usage("x"), exitUsage, "usage"},
		{fmt.Errorf("room: %w", fleet.ErrNotFound), exitNotFound, "not_found"},
		{&controller.StateError{Phase: fleet.Brewing, Message: "too late"}, exitRefused, "refused"},
		{fmt.Errorf("x: %w", &fleet.ErrOutOfStock{Item: "mixed"}), exitRefused, "refused"},
		{fleet.ErrConflict, exitRefused, "refused"},
		{fmt.Errorf("x: %w", fleet.ErrNoAnswer), exitTimeout, "timeout"},
		{context.DeadlineExceeded, exitTimeout, "timeout"},
		{fleet.ErrNobody, exitFailed, "failed"},
		{badConfig(exitConfig, 2), exitConfig, "bad_config"},
		{errors.Join(errors.New("a"), errors.New("b")), exitFailed, "failed"},
	} {
		e := explain(c.err)
		if e.Exit != c.exit || e.Code != c.code || e.Message == "" || strings.Contains(e.Message, "\n") {
			t.Errorf("explain(%v) = %+v, want exit %d and code %s", c.err, e, c.exit, c.code)
		}
	}
}

// TestReach: what a person hears of the old machine before deciding.
func TestReach(t *testing.T) {
	owner := fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b1"}
	claim := fleet.Claim{Owner: &owner}
	for want, here := range map[string][]fleet.Presence{
		"can't be reached":              {{Machine: "max"}},
		"is here with the same journal": {{Machine: "zoe", Owner: owner}},
		"its journal may still say":     {{Machine: "zoe", Owner: fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b2"}}},
		"with another journal":          {{Machine: "zoe", Owner: fleet.Owner{Machine: "zoe", Journal: "j2", Boot: "b1"}}},
	} {
		if got := reach(claim, here); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}

package term

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// counting is a view that is another one at every second look, and ends the watch after
// some.
func counting(looks int, lines int, stop func()) View {
	n := 0
	return func(context.Context) (any, func(io.Writer), error) {
		n++
		if n == looks {
			stop()
		}
		v := (n + 1) / 2
		return v, func(w io.Writer) {
			for i := range lines {
				fmt.Fprintf(w, "%s of look %d in line %d of a wide text\n", Colours(w)("fault"), v, i)
			}
		}, nil
	}
}

// TestWatchPiped: a block for each change, and JSON likewise.
func TestWatchPiped(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		var out bytes.Buffer
		if err := Watch(ctx, &out, asJSON, time.Millisecond, counting(6, 1, stop)); err != nil {
			t.Error(err)
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "-- ") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		want := "fault of look 1 in line 0 of a wide text|fault of look 2 in line 0 of a wide text|fault of look 3 in line 0 of a wide text"
		if asJSON {
			want = "1|2|3"
		}
		if strings.Join(got, "|") != want || strings.Contains(out.String(), "\x1b") || !asJSON && strings.Count(out.String(), "-- ") != 3 {
			t.Errorf("%q", out.String())
		}
	}
}

// TestWatchDraws: on a terminal the last look stands alone, as much as there is room for.
func TestWatchDraws(t *testing.T) {
	far, tty, err := pty.Open()
	if err != nil {
		t.Fatal("no terminal can be had here: ", err)
	}
	defer far.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 6, Cols: 30}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	shown := make(chan []string)
	go func() {
		b, _ := io.ReadAll(far) // ends with an error once nobody has the other end
		shown <- play(string(b), 6, 30)
	}()
	ctx, stop := context.WithCancel(t.Context())
	n := 0
	view := counting(4, 9, func() {})
	err = Watch(ctx, tty, false, time.Millisecond, func(ctx context.Context) (any, func(io.Writer), error) {
		if n++; n == 5 { // shorter than before
			stop()
			return nil, func(w io.Writer) { fmt.Fprintf(w, "all is well\n") }, nil
		}
		return view(ctx)
	})
	tty.Close()
	if got := <-shown; err != nil || !strings.HasSuffix(got[0], "(Ctrl-C ends)") && !strings.HasPrefix(got[0], "20") || strings.Join(got[1:], "|") != "|all is well|||" {
		t.Errorf("%v: the screen shows %q", err, got)
	}

	text := drawn(&bytes.Buffer{}, func(w io.Writer) { fmt.Fprint(w, strings.Repeat("x\n", 30)) })
	if !strings.Contains(text, "… 10 more lines") || strings.Count(text, "\n") != 23 {
		t.Errorf("30 lines in 24 rows: %q", text)
	}
}

// play is what stands on a screen of so many rows and columns after all of it.
func play(text string, rows, columns int) []string {
	screen := make([][]rune, rows)
	row, column := 0, 0
	for i := 0; i < len(text); {
		if rest, is := strings.CutPrefix(text[i:], "\x1b["); is {
			n := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' })
			switch rest[:n+1] {
			case "H":
				row, column = 0, 0
			case "2J":
				screen = make([][]rune, rows)
			case "K":
				screen[row] = screen[row][:min(column, len(screen[row]))]
			case "J":
				screen[row] = screen[row][:min(column, len(screen[row]))]
				for r := row + 1; r < rows; r++ {
					screen[r] = nil
				}
			}
			i += 2 + n + 1
			continue
		}
		r := []rune(text[i:])[0]
		i += len(string(r))
		switch {
		case r == '\r':
			column = 0
		case r == '\n':
			if row++; row == rows { // it scrolls: what stood on top is lost
				screen, row = append(screen[1:], nil), rows-1
			}
		default:
			if column == columns {
				screen, row, column = append(screen[1:], nil), rows-1, 0 // worse than it is: a line too wide is seen
			}
			for len(screen[row]) <= column {
				screen[row] = append(screen[row], ' ')
			}
			screen[row][column] = r
			column++
		}
	}
	var out []string
	for _, line := range screen {
		out = append(out, strings.TrimRight(string(line), " "))
	}
	return out
}

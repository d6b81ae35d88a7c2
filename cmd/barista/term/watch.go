package term

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// View takes one look: the value for JSON, and what prints it as text.
type View func(ctx context.Context) (v any, text func(io.Writer), err error)

// Watch prints a view again whenever it has changed, until ctx ends: one JSON object a
// line, or the text under the time. On a terminal the text is drawn anew in its place at
// every look, as much of it as there is room for.
func Watch(ctx context.Context, w io.Writer, asJSON bool, every time.Duration, look View) error {
	again := time.NewTicker(every)
	defer again.Stop()
	draws := !asJSON && tty(w)
	begin := "\x1b[2J"
	var last []byte
	for {
		v, text, err := look(ctx)
		if err != nil {
			return err
		}
		var now bytes.Buffer
		if err := JSON(&now, v); err != nil {
			return err
		}
		switch {
		case draws:
			if _, err := io.WriteString(w, begin+drawn(w, text)); err != nil {
				return err
			}
			begin = ""
		case !bytes.Equal(now.Bytes(), last):
			last = now.Bytes()
			if !asJSON {
				fmt.Fprintf(w, "-- %s\n", Time(time.Now()))
			}
			if err := Show(w, asJSON, v, text); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-again.C:
		}
		if ctx.Err() != nil { // also where the next look was due
			return nil
		}
	}
}

// screen gathers what is drawn at once on the terminal w.
type screen struct {
	bytes.Buffer
	w io.Writer
}

// drawn is the text from the top left corner on; it rubs out what stood there before.
func drawn(w io.Writer, text func(io.Writer)) string {
	s := &screen{w: w}
	fmt.Fprintf(s, "%s   (Ctrl-C ends)\n\n", Time(time.Now()))
	text(s)
	rows, columns := size(w)
	lines := strings.Split(strings.TrimRight(s.String(), "\n"), "\n")
	if n := len(lines); n >= rows { // the last row stays free for the cursor
		keep := max(rows-2, 1)
		lines = append(lines[:keep:keep], fmt.Sprintf("… %d more lines", n-keep))
	}
	var out strings.Builder
	out.WriteString("\x1b[H")
	for _, line := range lines {
		out.WriteString(cut(line, columns) + "\x1b[K\r\n")
	}
	out.WriteString("\x1b[J")
	return out.String()
}

// size is that of a terminal, or a usual one.
func size(w io.Writer) (rows, columns int) {
	if f, is := w.(*os.File); is {
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if ws, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
					rows, columns = int(ws.Row), int(ws.Col)
				}
			})
		}
	}
	if rows < 1 || columns < 1 {
		return 24, 80
	}
	return rows, columns
}

// cut leaves so many characters of a line. What colours it takes no room.
func cut(line string, columns int) string {
	n, inside := 0, false
	for i, r := range line {
		switch {
		case r == '\x1b':
			inside = true
		case inside:
			inside = r != 'm'
		default:
			if n++; n > columns {
				return line[:i] + "\x1b[0m"
			}
		}
	}
	return line
}

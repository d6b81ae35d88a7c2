package term

import (
	"fmt"
	"io"
	"os"
	"strings"

	"rsc.io/qr"
)

// terminal reports whether w is one that may be painted on.
func terminal(w io.Writer) bool {
	if s, is := w.(*screen); is {
		w = s.w
	}
	return os.Getenv("NO_COLOR") == "" && tty(w)
}

// tty reports whether w is a terminal that obeys.
func tty(w io.Writer) bool {
	f, is := w.(*os.File)
	if !is || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// QR draws a text for a phone's camera on a terminal whose owner has not asked for
// NO_COLOR, and nothing elsewhere. The text stands beside it in any case: that is
// the caller's affair.
func QR(w io.Writer, text string) {
	if !terminal(w) {
		return
	}
	fmt.Fprint(w, drawQR(text))
}

// quietZone is the white around a code, in modules, without which no camera finds it.
const quietZone = 2

// drawQR is black on white whatever the terminal's colours are: some cameras take
// no negative. A character is two modules high.
func drawQR(text string) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "" // too long for any code
	}
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch up, down := code.Black(x, y), code.Black(x, y+1); {
			case up && down:
				b.WriteRune('█')
			case up:
				b.WriteRune('▀')
			case down:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}

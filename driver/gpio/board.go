package gpio

import (
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Board is how this computer calls itself: "Raspberry Pi 5 Model B Rev 1.0"; ""
// where the kernel does not say.
func Board() string { return boardOf(os.DirFS("/")) }

func boardOf(files fs.FS) string {
	b, err := fs.ReadFile(files, "sys/firmware/devicetree/base/model")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.Trim(string(b), "\x00"))
}

// Header reports whether the chip has the 40 pins of a Raspberry Pi's header on
// it: GPIO0 to GPIO27 are its lines 0 to 27.
func (c Chip) Header() bool { return slices.Contains(piChips, c.Label) && len(c.Lines) >= len(pins) }

// PiChips are the labels of the chips that have a Raspberry Pi's header, the
// newest first.
func PiChips() []string {
	out := slices.Clone(piChips)
	slices.Reverse(out)
	return out
}

// Check says why a text can't name a line; nothing is looked up.
func (l Line) Check() error {
	_, err := l.place()
	return err
}

package term

import (
	"bytes"
	"strings"
	"testing"
)

// The code is square on a terminal, where a character is twice as high as wide, has
// white around it, and is drawn on terminals only.
func TestQR(t *testing.T) {
	drawn := drawQR("https://shop.local:8080")
	lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[30;107m"), "\x1b[0m")
		lines[i] = line
		if n := len([]rune(line)); n < 25 || (n+1)/2 != len(lines) {
			t.Errorf("line %d is %d wide of %d lines", i, n, len(lines))
		}
		if !strings.HasPrefix(line, strings.Repeat(" ", quietZone)) || !strings.HasSuffix(line, strings.Repeat(" ", quietZone)) {
			t.Errorf("line %d has no white beside it: %q", i, line)
		}
	}
	if strings.TrimSpace(lines[0]) != "" || !strings.HasPrefix(strings.TrimSpace(lines[1]), "█▀▀▀▀▀█") {
		t.Errorf("no finder in the corner:\n%s", strings.Join(lines, "\n"))
	}
	if drawQR(strings.Repeat("x", 5000)) != "" {
		t.Error("a text that no code holds was drawn")
	}
	var out bytes.Buffer
	if QR(&out, "x"); out.Len() > 0 {
		t.Error("drawn into a pipe")
	}
}

package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestComplaints: a machine whose key was taken away comes each second for days, each
// time as another connection. That is a line a minute, and others are heard beside it.
func TestComplaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := &logger{log: slog.New(slog.NewTextHandler(&out, nil))}
		said := func() (lines []string) {
			lines = strings.Split(strings.TrimSpace(out.String()), "\n")
			out.Reset()
			return lines
		}
		for n := range 3 * 60 {
			l.Errorf("%s - authentication error - Nkey %q", fmt.Sprintf("10.0.0.7:%d - cid:%d", 40000+n, n), "UABC")
			time.Sleep(time.Second)
		}
		lines := said()
		if len(lines) != 3 || !strings.Contains(lines[0], `client="10.0.0.7:40000 - cid:0"`) || !strings.Contains(lines[0], "UABC") || !strings.Contains(lines[2], "times=60") {
			t.Errorf("three minutes of it:\n%s", strings.Join(lines, "\n"))
		}
		l.Errorf("10.0.0.8:1 - cid:900 - authentication error - Nkey %q", "UXYZ")
		l.Errorf("10.0.0.7:1 - cid:901 - authentication error") // without a key the text names nobody
		l.Errorf("10.0.0.9:1 - cid:902 - authentication error")
		l.Errorf("10.0.0.9:2 - cid:903 - authentication error")
		l.Errorf("JetStream is full")
		l.Errorf("JetStream is full")
		if lines = said(); len(lines) != 5 {
			t.Errorf("others:\n%s", strings.Join(lines, "\n"))
		}
		for n := range 10 * mostComplaints {
			l.Errorf("10.0.0.8:1 - cid:%d - authentication error - Nkey \"U%d\"", n, n)
		}
		if len(l.of) > mostComplaints {
			t.Errorf("%d complaints are kept", len(l.of))
		}
	})
}

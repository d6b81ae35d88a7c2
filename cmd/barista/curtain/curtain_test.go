package curtain

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// brewing is a machine that takes so long for its drink.
func brewing(name string, d time.Duration, stopped *[]string) Machine {
	end := time.Now().Add(d)
	return Machine{Name: name, Doing: func() (string, int) {
		if !time.Now().Before(end) {
			return "", 0
		}
		return "o-" + name, 40
	}, Stop: func(why string) {
		*stopped = append(*stopped, name+": "+why)
		end = time.Now()
	}}
}

func TestFall(t *testing.T) {
	for _, c := range []struct {
		name    string
		left    []time.Duration // of each machine's drink
		presses int
		says    []string
		stopped int
	}{
		{"nothing in hand", []time.Duration{0, 0}, 1, nil, 0},
		{"one is finished", []time.Duration{0, 3 * time.Second}, 0, []string{"finishing one drink: b (40 %); Ctrl-C again stops them now", "b has nothing in hand any more"}, 0},
		{"two are finished", []time.Duration{2 * time.Second, time.Second}, 0, []string{"finishing 2 drinks: a (40 %), b (40 %)", "b has nothing in hand any more\n  a has"}, 0},
		{"the second Ctrl-C", []time.Duration{time.Hour, time.Second, time.Hour}, 3, []string{"finishing 3 drinks", "b has nothing", "stopping now", "a has nothing", "c has nothing"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stopped []string
				var all []Machine
				for i, d := range c.left {
					all = append(all, brewing(string(rune('a'+i)), d, &stopped))
				}
				var out bytes.Buffer
				again, over, ended := make(chan os.Signal, c.presses), make(chan struct{}), make(chan struct{})
				go func() {
					defer close(ended)
					fall(&out, all, again, over)
				}()
				time.Sleep(5 * time.Second)
				for range c.presses {
					again <- os.Interrupt
				}
				time.Sleep(5 * time.Second)
				close(over)
				<-ended
				rest := out.String()
				for _, s := range c.says {
					at := strings.Index(rest, s)
					if at < 0 {
						t.Fatalf("%q is missing, in its order, in\n%s", s, out.String())
					}
					rest = rest[at+len(s):]
				}
				if len(c.says) == 0 && out.Len() > 0 {
					t.Errorf("it says %q", out.String())
				}
				if len(stopped) != c.stopped {
					t.Errorf("stopped: %q, want %d", stopped, c.stopped)
				}
			})
		})
	}
}

package worker

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is done unless something else came first is done once, late enough, and
// waited for.
func TestUnless(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second - 1, time.Second + 1, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			begin, done := time.Now(), 0
			over := unless(time.Second, func() {
				if d := time.Since(begin); d != time.Second {
					t.Errorf("done after %v", d)
				}
				time.Sleep(5 * time.Second)
				done++
			})
			time.Sleep(after)
			over()
			if want := map[bool]int{true: 1}[after > time.Second]; done != want {
				t.Errorf("over after %v: done %d times, want %d", after, done, want)
			}
		})
	}
}

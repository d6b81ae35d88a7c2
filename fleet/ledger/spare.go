package ledger

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// near is how many records lie in so few blocks of a broker's file that nothing need be
// spared for them.
const near = 30_000

// room is what a start may hold beside what the process held before, in bytes: some
// blocks of the broker's files. Kept closer, the collector runs after each of them.
const room = 24 << 20

// spares are the starts under way in this process: the collector is everybody's.
var spares struct {
	sync.Mutex
	n      int
	before int64 // the limit of memory that the process had
}

// spare lets the collector run more often until end is called. A start reads the records of
// orders that nobody knows the end of from all over the book; for each a broker in this
// process reads a whole block of its file, of which it holds on to nothing, but which the
// collector would let lie until there is twice of what is needed.
func spare() (end func()) {
	spares.Lock()
	defer spares.Unlock()
	if spares.n++; spares.n == 1 {
		runtime.GC() // so that what is in use is known
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		spares.before = debug.SetMemoryLimit(-1)
		debug.SetMemoryLimit(min(spares.before, int64(m.Sys-m.HeapIdle)+room))
	}
	return sync.OnceFunc(func() {
		spares.Lock()
		defer spares.Unlock()
		if spares.n--; spares.n == 0 {
			debug.SetMemoryLimit(spares.before)
		}
	})
}

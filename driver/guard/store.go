package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stateFile = "guard.state" // the latch, and under which boot: on disk when it counts
	restFile  = "guard.rest"  // rests and duties of that boot: written, not waited for
	logFile   = "guard.log"   // one line of JSON per cleared fault
	maxState  = 64 << 10      // bytes; a file of ours is far below

	maxTime = int64(100 * 365 * 24 * time.Hour) // no computer runs longer
)

// bootClock gives the kernel's id of this boot and the time since it, which
// runs on while the computer sleeps and knows no wall clock.
type bootClock func() (id string, now time.Duration)

// kernelClock is the real one. An id that can't be read equals no other; a clock
// that can't be read is 0: both lead to the full rest.
func kernelClock() (string, time.Duration) {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return BootID(), time.Duration(now.Nano())
}

// BootID is the kernel's name of this boot, new each time; "" if there is none.
func BootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// store keeps the state on disk. Writing is slow and may hang (a worn SD card),
// so it has a goroutine of its own, which lives while there is something to
// write; nobody who switches waits for it. Several changes become one write.
type store struct {
	dir      string // "" = nowhere
	clock    bootClock
	snapshot func() state

	mu      sync.Mutex
	due     bool // something changed since the last write began
	notes   []any
	writing bool
	waiting []chan error
	err     error  // of the last write
	latch   *Latch // that is on disk
}

// poke has the present state written soon.
func (s *store) poke() { s.ask(nil) }

// save has the present state written and gives the result of a write that began
// after this call.
func (s *store) save() <-chan error {
	result := make(chan error, 1)
	s.ask(result)
	return result
}

func (s *store) ask(result chan error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		if result != nil {
			result <- nil
		}
		return
	}
	s.due = true
	if result != nil {
		s.waiting = append(s.waiting, result)
	}
	if !s.writing {
		s.writing = true
		go s.write()
	}
}

func (s *store) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.due {
		waiting, notes := s.waiting, s.notes
		s.due, s.waiting, s.notes = false, nil, nil
		failed, latch := s.err != nil, s.latch
		s.mu.Unlock()
		st := s.snapshot()
		err := s.log(notes)
		if err == nil && (len(waiting) > 0 || failed || st.Latch != latch) {
			if err = s.put(st); err == nil {
				latch = st.Latch
			}
		}
		err = errors.Join(err, s.keep(st))
		s.mu.Lock()
		s.err, s.latch = err, latch
		for _, result := range waiting {
			result <- err
		}
	}
	s.writing = false
}

func (s *store) last() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// keep writes the rests and duties over what was there, and does not wait for the
// disk: a part of most machines goes on and off in every drink, and a card is worn
// by each wait. Only a power cut can take what was written or leave half of it,
// and then another boot has come, in which each part rests in full, whatever the
// file says.
func (s *store) keep(st state) error {
	st.Latch = nil
	data := encode(st)
	f, err := os.OpenFile(filepath.Join(s.dir, restFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Truncate(int64(len(data))), f.Close())
	}
	if err != nil {
		return fmt.Errorf("can't remember rests and faults over a restart: %w", err)
	}
	return nil
}

// put replaces the state file: a reader finds the old one or the new one, never
// half of one, whenever the power goes. It waits for the disk, because a latch
// must hold after a power cut too.
func (s *store) put(st state) error {
	st.Parts = nil
	path := filepath.Join(s.dir, stateFile)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.Write(encode(st))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncFolder(s.dir)
	}
	if err != nil {
		return fmt.Errorf("can't remember rests and faults over a restart: %w", err)
	}
	return nil
}

// load reads what the last run left. A latch that can't be understood is not an
// error but a fault: latched, and the full rest for everything. Rests that can't
// be, or are of another boot, are full.
func (s *store) load() (state, error) {
	if s.dir == "" {
		return state{fresh: true}, nil
	}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return state{}, fmt.Errorf("there is no folder to remember rests and faults in: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return state{fresh: true}, nil
	}
	st, bad := decode(data)
	if err = errors.Join(err, bad); err != nil {
		cause := fmt.Sprintf("what the guard remembered can't be read (%v); whether there was a fault is not known", err)
		return state{Latch: newLatch(Latch{Cause: cause})}, nil // no boot has no name: the full rest
	}
	data, err = os.ReadFile(filepath.Join(s.dir, restFile))
	rests, bad := decode(data)
	if err != nil || bad != nil || rests.Boot != st.Boot {
		rests = state{}
	}
	st.Boot, st.Parts = rests.Boot, rests.Parts
	return st, nil
}

// note has one line appended to the log, before the next write of the state: if
// that fails, the state is not written either.
func (s *store) note(entry any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, entry)
}

func (s *store) log(entries []any) error {
	if len(entries) == 0 {
		return nil
	}
	var lines []byte
	for _, entry := range entries {
		line, _ := json.Marshal(entry) // plain strings and times: can't fail
		lines = append(append(lines, line...), '\n')
	}
	f, err := os.OpenFile(filepath.Join(s.dir, logFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(lines)
		err = errors.Join(err, f.Sync(), f.Close(), syncFolder(s.dir))
	}
	if err != nil {
		return fmt.Errorf("can't record who cleared the fault: %w", err)
	}
	return nil
}

// syncFolder makes a new or renamed file durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the first line: what this is, its version, and the checksum of all
// that follows, so that a flipped bit is not taken for a shorter rest.
func header(body []byte) string {
	return fmt.Sprintf("barista guard 1 %08x\n", crc32.Checksum(body, castagnoli))
}

func encode(s state) []byte {
	body, _ := json.Marshal(s) // plain strings, numbers and times: can't fail
	return append([]byte(header(body)), body...)
}

// decode is strict: this file has one writer, so anything odd is damage.
func decode(data []byte) (state, error) {
	var s state
	if len(data) > maxState {
		return s, fmt.Errorf("%d bytes are too many", len(data))
	}
	head, body, _ := bytes.Cut(data, []byte("\n"))
	if string(head)+"\n" != header(body) {
		return s, errors.New("its checksum or version is wrong")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return state{}, err
	}
	if d.InputOffset() != int64(len(body)) {
		return state{}, errors.New("something stands behind its end")
	}
	if s.Latch != nil && s.Latch.Cause == "" && s.Latch.Code == "" {
		return state{}, errors.New("a fault without a cause")
	}
	for name, m := range s.Parts {
		if len(m.Runs) > maxSpans {
			return state{}, fmt.Errorf("%s: too many runs", name)
		}
		last := -maxTime
		for _, r := range m.Runs {
			if r[0] < last || r[1] < r[0] {
				return state{}, fmt.Errorf("%s: runs out of order", name)
			}
			last = r[1]
		}
		if min(m.From, m.Off) < -maxTime || max(m.From, m.Off, last) > maxTime {
			return state{}, fmt.Errorf("%s: a time beyond all clocks", name)
		}
	}
	return s, nil
}

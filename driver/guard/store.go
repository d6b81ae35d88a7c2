package guard

import (
	"bytes"
	"cmp"
	"crypto/rand"
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
	stateFile = "guard.state" // the latch, and under which boot, twice: on disk when it counts
	restFile  = "guard.rest"  // rests and duties of that boot: written, not waited for
	logFile   = "guard.log"   // one line of JSON per cleared fault

	// room is what a state has in its file, in bytes, from its first day on: what is
	// written over needs no space on the disk. A state of ours is far below.
	room = 16 << 10

	maxTime = int64(100 * 365 * 24 * time.Hour) // no computer runs longer
)

// CodeForgot is the code of a latch that stands for one which may have been
// forgotten: the guard's memory is gone, is an older copy, or can't be read.
const CodeForgot = "forgot"

// CodeVersion is the code of a latch that stands for one which may have come or gone
// while another version of this program ran here, whose memory this one can't follow.
const CodeVersion = "version"

// retryWrite is how long after a failed write Run has it tried once more.
const retryWrite = 5 * time.Second

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

// SinceBoot is the kernel's name of this boot, and the time since: no clock that is
// set changes it.
func SinceBoot() (id string, up time.Duration) { return kernelClock() }

// BootID is the kernel's name of this boot, new each time; "" if there is none. It is
// read once: no process outlives a boot, and every write of the rests asks.
func BootID() string { return bootID() }

var bootID = sync.OnceValue(func() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
})

// store keeps the state on disk. Writing is slow and may hang (a worn SD card),
// so it has a goroutine of its own, which lives while there is something to
// write; nobody who switches waits for it. Several changes become one write.
type store struct {
	dir      string // "" = nowhere
	clock    bootClock
	snapshot func() state
	wake     func() // called after a write that failed; may be nil

	rests sync.Mutex // one at a time writes them

	mu      sync.Mutex
	due     bool // something changed since the last write began
	notes   []any
	writing bool
	waiting []chan error
	err     error     // of the last write
	failed  time.Time // when it failed
	latch   *Latch    // that is on disk
	there   bool      // a state is on disk, or was: rests beside none say that it is lost
	former  bool      // version 1 wrote the state that was there at first
	own     Place     // of what is on disk
	beside  Beside    // the journal; nil until Join
	// What the last run knew of it: all that was written, and what was on disk.
	written, durable Place
}

// Place is where a memory of the machine stands: which one it is, and how much it
// has taken in. It is how two memories in one folder know of each other.
type Place struct {
	ID string `json:"id"`
	At uint64 `json:"at"`
}

// Beside is the other memory in the folder of the guard's: the machine's journal.
type Beside interface {
	// Place is how far it has come, with all that is written, and on disk for
	// certain. It waits for nothing.
	Place() (written, durable Place)
	// Guard is where the guard's memory stood when it heard of that last.
	Guard() Place
	// Note has it remember where the guard's memory stands now.
	Note(Place) error
}

// places are those that the next write has to say.
func (s *store) places() (own, written, durable Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beside == nil {
		return s.own, s.written, s.durable
	}
	written, durable = s.beside.Place()
	return s.own, written, durable
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
		failed, latch, there := s.err != nil, s.latch, s.there
		s.mu.Unlock()
		st := s.snapshot()
		own, _, durable := s.places()
		err := s.log(notes)
		if err == nil && (len(waiting) > 0 || failed || st.Latch != latch) {
			if st.Latch != latch {
				own.At++ // faults that came and went
			}
			st.ID, st.At, st.Journal = own.ID, own.At, durable
			if err = s.put(st); err == nil {
				latch, there = st.Latch, true
			}
		}
		if there {
			err = errors.Join(err, s.keep())
		}
		s.mu.Lock()
		s.err, s.latch, s.there = err, latch, there
		if st.Latch == latch && st.ID != "" {
			s.own = own
		}
		for _, result := range waiting {
			result <- err
		}
		beside := s.beside
		s.mu.Unlock()
		if err != nil {
			s.complain()
		} else if beside != nil && st.ID != "" {
			// The journal may hang on its disk, and what counts is told already. What it
			// can't take it says itself.
			_ = s.noted(beside)
		}
		s.mu.Lock()
	}
	s.writing = false
}

// standing is keep by itself, and has it tried again if it fails.
func (s *store) standing() error {
	err := s.keep()
	if err != nil {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		s.complain()
	}
	return err
}

// complain has Run see to it that what could not be written is tried again.
func (s *store) complain() {
	s.mu.Lock()
	s.failed = time.Now()
	s.mu.Unlock()
	if s.wake != nil {
		s.wake()
	}
}

// retry tries a write that failed once more, when it is time, and says when it is
// time again.
func (s *store) retry(now time.Time) (next time.Time, failed bool) {
	s.mu.Lock()
	failed = s.err != nil
	due := failed && !now.Before(s.failed.Add(retryWrite))
	if due {
		s.failed = now
	}
	next = s.failed.Add(retryWrite)
	s.mu.Unlock()
	if due {
		s.poke()
	}
	return next, failed
}

// noted tells the journal what is on disk here, if it does not know it.
func (s *store) noted(beside Beside) error {
	own, _, _ := s.places()
	if beside.Guard() == own {
		return nil
	}
	return beside.Note(own)
}

func (s *store) last() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// has is the latch that is on disk, and the error of the last write.
func (s *store) has() (*Latch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latch, s.err
}

// keep writes the rests and duties over what was there, and does not wait for the
// disk: a part of most machines goes on and off in every drink, and a card is worn
// by each wait. Only a power cut can take what was written or leave half of it,
// and then another boot has come, in which each part rests in full, whatever the
// file says.
func (s *store) keep() error {
	s.rests.Lock()
	defer s.rests.Unlock()
	st := s.snapshot()
	_, st.Journal, _ = s.places()
	st.Latch = nil
	data, err := encode(st)
	if err != nil {
		return unremembered(err)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, restFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		if info, e := f.Stat(); e == nil && info.Size() < room {
			data = append(data, make([]byte, room-len(data))...)
		}
		_, err = f.Write(data)
		err = errors.Join(err, f.Close())
	}
	return unremembered(err)
}

// put writes the state into its file, into one half and then into the other, and
// waits for the disk each time, because a latch must hold after a power cut too.
// So one half is whole whenever the power goes: the first, if it is, and it is the
// newer one then. Nothing of it needs space on the disk, which may be full just
// when a fault comes.
func (s *store) put(st state) error {
	st.Parts = nil
	data, err := encode(st)
	if err != nil {
		return unremembered(err)
	}
	path := filepath.Join(s.dir, stateFile)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return unremembered(s.make(path, data))
	}
	if err != nil {
		return unremembered(err)
	}
	if info, e := f.Stat(); e == nil && info.Mode().IsRegular() && info.Size() != 2*room {
		return unremembered(errors.Join(f.Close(), s.make(path, data))) // of a former version, or damaged
	}
	for _, half := range []int64{0, room} {
		if err == nil {
			_, err = f.WriteAt(data, half)
		}
		if err == nil {
			err = f.Sync()
		}
	}
	return unremembered(errors.Join(err, f.Close()))
}

// make puts a file with all its room in the place of path: a reader finds the old
// one or the new one.
func (s *store) make(path string, data []byte) error {
	half := append(data, make([]byte, room-len(data))...)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.Write(append(half, half...))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncFolder(s.dir)
	}
	return err
}

func unremembered(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("can't remember rests and faults over a restart: %w", err)
}

// load reads what the last run left. A latch that can't be understood, or is gone
// while rests are left of it, is not an error but a fault: latched, and the full
// rest for everything. Rests that can't be, or are of another boot, are full.
func (s *store) load() (state, error) {
	s.own = Place{ID: strings.ToLower(rand.Text())}
	if s.dir == "" {
		return state{fresh: true}, nil
	}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return state{}, fmt.Errorf("there is no folder to remember rests and faults in: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, restFile))
	rests, bad := decode(data)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil || bad != nil {
		rests = state{}
	}
	data, err = os.ReadFile(filepath.Join(s.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) && gone {
		return state{fresh: true}, nil
	}
	s.there = true
	st, bad := decodeHalves(data)
	if err = cmp.Or(err, bad); err != nil {
		if boot, _ := s.clock(); boot != "" && rests.Boot == boot {
			s.written = rests.Journal
		}
		code := CodeForgot
		if errors.Is(err, errLater) {
			code = CodeVersion
		}
		cause := fmt.Sprintf("what the guard remembered can't be read (%v); whether there was a fault is not known", err)
		return state{Latch: newLatch(Latch{Code: code, Cause: cause})}, nil // no boot has no name: the full rest
	}
	s.former = st.ID == ""
	if s.latch = st.Latch; st.ID != "" {
		s.own = Place{st.ID, st.At}
	}
	s.written, s.durable = st.Journal, st.Journal
	// Under the same boot nothing that was written can be lost.
	if boot, _ := s.clock(); boot != "" && rests.Boot == boot && (s.written.ID == "" || s.written.ID == rests.Journal.ID) {
		s.written = Place{rests.Journal.ID, max(s.written.At, rests.Journal.At)}
	}
	if rests.Boot != st.Boot {
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

// header is the first line: what this is, its version, and checksum and length of
// what follows, so that a flipped bit is not taken for a shorter rest. What stands
// behind that is left of something longer.
func header(body []byte) string {
	return fmt.Sprintf("barista guard 2 %08x %d\n", crc32.Checksum(body, castagnoli), len(body))
}

// formerHeader is that of version 1, whose file ends with what follows.
func formerHeader(body []byte) string {
	return fmt.Sprintf("barista guard 1 %08x\n", crc32.Checksum(body, castagnoli))
}

// errLater: nothing is wrong with it.
var errLater = errors.New("it was written by a later version of barista")

func encode(s state) ([]byte, error) {
	body, _ := json.Marshal(s) // plain strings, numbers and times: can't fail
	data := append([]byte(header(body)), body...)
	if len(data) > room {
		return nil, fmt.Errorf("it has %d bytes, and there is room for %d", len(data), room)
	}
	return data, nil
}

// decodeHalves reads the file of the state.
func decodeHalves(data []byte) (state, error) {
	first, second := data[:min(len(data), room)], data[min(len(data), room):]
	st, err := decode(first)
	if err == nil || len(second) == 0 {
		return st, err
	}
	if st, bad := decode(second); bad == nil {
		return st, nil
	}
	return state{}, err
}

// decode is strict: these files have one writer, so anything odd is damage.
func decode(data []byte) (state, error) {
	var s state
	head, body, _ := bytes.Cut(data, []byte("\n"))
	var sum uint32
	var long, version int
	if n, _ := fmt.Sscanf(string(head), "barista guard %d ", &version); n == 1 && version > 2 {
		return s, errLater
	}
	if n, _ := fmt.Sscanf(string(head), "barista guard 2 %x %d", &sum, &long); n == 2 && long >= 0 && long <= len(body) {
		body = body[:long]
	}
	if len(data) > room {
		return s, fmt.Errorf("%d bytes are too many", len(data))
	}
	if h := string(head) + "\n"; h != header(body) && h != formerHeader(body) {
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
